"""The subject of an assessment, from the words of the command line."""

from __future__ import annotations

import argparse
import datetime

from hostproof.artefacts import cmdline
from hostproof.artefacts.initrd.model import Initrd
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.artefacts.kernel.facts_file import encode
from hostproof.artefacts.machine import read as machine_reader
from hostproof.artefacts.machine.model import Machine
from hostproof.attestation import verifier
from hostproof.cli import files, kernels
from hostproof.cli.progress import Report
from hostproof.cli.stated import facts_stated, options_chosen, read_use, technology_named
from hostproof.errors import InputError, UsageError
from hostproof.knowledge.load import Catalogue, catalogue
from hostproof.knowledge.records import Technology, Use
from hostproof.ledger import audits, waivers
from hostproof.ledger.assess import Subject
from hostproof.ledger.model import InputFile
from hostproof.place import Place

__all__ = ["from_arguments", "machine_named"]

INITRD_BYTES = 1 << 30


class _Inputs:
    """Inputs as they are read, with their digests for the ledger."""

    def __init__(self) -> None:
        self.seen: list[InputFile] = []

    def read(self, role: str, name: str) -> bytes:
        data = files.read_bytes(name, f"the {role}")
        self.add(role, name, data)
        return data

    def named(self, role: str, name: str) -> tuple[bytes, str]:
        """The bytes of an input with its name for places."""
        return self.read(role, name), files.label(name)

    def add(self, role: str, name: str, data: bytes, kind: str = "") -> None:
        self.seen.append(InputFile(role, files.label(name), kind, files.sha256(data)))


def from_arguments(args: argparse.Namespace, report: Report | None) -> Subject:
    """The subject that the arguments of `assess` name. Raises InputError and UsageError."""
    known, inputs = catalogue(), _Inputs()
    machine = _machine(args, inputs)
    kernel = _kernel(args, known, inputs, report)
    initrd = _initrd(args, inputs)
    technology, asked, notes = _technology(known, args.technology, machine)
    use, use_place, use_note = _use(known, args.use, machine, technology, inputs)
    return Subject(
        name=(machine.name if machine and machine.name else files.label(args.vm or technology.name)),
        technology=technology,
        use=use,
        today=_date(args.at),
        asked=asked,
        machine=machine,
        kernel=kernel,
        initrd=initrd,
        command_line=_command_line(args.cmdline, machine, kernel, inputs),
        verifier=verifier.read(*inputs.named("verifier", args.verifier)) if args.verifier else None,
        waivers=waivers.read(*inputs.named("waivers", args.waivers)) if args.waivers else None,
        audits=audits.together(audits.read(*inputs.named("audits", name), known.interfaces) for name in args.audits),
        chosen=options_chosen(known, args.option),
        stated=facts_stated(known, args.fact),
        use_place=use_place,
        inputs=tuple(inputs.seen),
        notes=(*notes, *use_note),
    )


def machine_named(name: str, technology: str | None) -> Machine:
    """The VM that the definition `name` describes; `technology` chooses where it describes several."""
    return _choose(machine_reader.read(files.read_bytes(name, "the definition"), files.label(name)), technology, name)


def _machine(args: argparse.Namespace, inputs: _Inputs) -> Machine | None:
    if args.vm is None:
        if args.technology is None:
            raise UsageError("nothing to assess", hint="name a VM definition, or a technology with --technology")
        if args.companion:
            raise UsageError("--companion stands beside a VM definition", hint="name the definition too")
        return None
    data = files.read_bytes(args.vm, "the definition")
    companions = {name: files.read_bytes(name, "the companion") for name in args.companion}
    name = files.label(args.vm)
    machine = _choose(machine_reader.read(data, name, companions=companions), args.technology, name)
    inputs.add("definition", args.vm, data, machine.format)
    for name, companion in companions.items():
        inputs.add("companion", name, companion)
    return machine


def _choose(machines: tuple[Machine, ...], technology: str | None, name: str) -> Machine:
    """The one machine of a file that describes several (one per isolation type), by technology."""
    if len(machines) == 1:
        return machines[0]
    by_technology = {
        machine.confidential.technology if machine.confidential else "kvm": machine for machine in machines
    }
    if technology in by_technology:
        return by_technology[technology]
    raise UsageError(
        f"{name} describes {len(machines)} VMs", hint="choose one: --technology " + " or ".join(by_technology)
    )


def _kernel(args: argparse.Namespace, known: Catalogue, inputs: _Inputs, report: Report | None) -> KernelFacts | None:
    names, config, modules = args.kernel, args.config, args.modules
    if not names and config:
        names, config = [args.config], None
    elif not names and modules:
        names, modules = [args.modules], None
    facts: KernelFacts | None = None
    for name in names:
        if facts is None:
            facts = more = kernels.read(name, known, config=config, modules=modules, report=report)
        else:
            from hostproof.artefacts.kernel.read import merge

            more = kernels.read(name, known, report=report)
            facts = merge(facts, more)
        digest = more.image_sha256 or files.sha256(encode(more))
        inputs.seen.append(InputFile("kernel", files.label(name), more.package or more.release, digest))
    if config is not None:
        inputs.add("configuration", args.config, files.read_bytes(args.config, "the configuration"))
    return facts


def _initrd(args: argparse.Namespace, inputs: _Inputs) -> Initrd | None:
    """The initrd, of several files where several were given. One that the definition names is named there and not opened."""
    if not args.initrd:
        return None
    from hostproof.artefacts.initrd.read import read_initrds

    parts = [(files.read_bytes(name, "the initrd", limit=INITRD_BYTES), files.label(name)) for name in args.initrd]
    initrd = read_initrds(parts)
    for name, (data, _) in zip(args.initrd, parts, strict=True):
        inputs.add("initrd", name, data, initrd.kind)
    return initrd


def _command_line(
    text: str | None, machine: Machine | None, kernel: KernelFacts | None, inputs: _Inputs
) -> cmdline.CommandLine | None:
    """The command line that was given, else the one that the definition passes to the kernel it boots."""
    place = Place("--cmdline")
    if text is not None and text.startswith("@"):
        place = Place(files.label(text[1:]))
        text = inputs.read("command line", text[1:]).decode("latin-1").rstrip("\n\0")
    elif text is None and machine is not None and not machine.opaque:
        boot = machine.boot
        text = (boot.command_line or "") if boot.kernel is not None else boot.command_line
        place = boot.command_line_place or machine.place
    if text is None:
        return None
    architecture = (machine and machine.architecture) or (kernel and kernel.architecture) or "x86_64"
    return cmdline.parse(text, place, architecture)


def _technology(
    known: Catalogue, asked: str | None, machine: Machine | None
) -> tuple[Technology, bool, tuple[str, ...]]:
    """The technology to assess: as asked, else as defined, else plain KVM."""
    if asked is not None:
        return technology_named(known, asked), True, ()
    defined = machine.confidential.technology if machine and machine.confidential else "kvm"
    if defined not in known.technologies:
        raise InputError(
            f"the definition asks for {defined!r}, which the catalogue does not know",
            place=machine.confidential.place if machine and machine.confidential else None,
            hint="assess it as another one: --technology " + "|".join(known.technologies),
        )
    return known.technologies[defined], False, ()


def _use(
    known: Catalogue, name: str | None, machine: Machine | None, technology: Technology, inputs: _Inputs
) -> tuple[Use, Place | None, tuple[str, ...]]:
    if name is not None:
        use, data = read_use(known, name)
        if data is None:
            return use, None, ()
        inputs.add("use", name, data)
        return use, Place(files.label(name)), ()
    assumed, why = _assumed_use(machine, technology)
    note = f"no --use was given: assumed {assumed}, because {why}"
    return known.uses[assumed], None, (note,)


def _assumed_use(machine: Machine | None, technology: Technology) -> tuple[str, str]:
    if technology.id.startswith("pkvm"):
        return "client-no-network", "pKVM guests live on portable client devices"
    if machine is not None and machine.format in ("kata-toml", "k8s-pod", "peerpods-yaml"):
        return "confidential-container", "the definition is one of a container runtime"
    if machine is not None and machine.vmm == "openvmm":
        return "paravisor-guest", "the manifest loads a paravisor"
    return "third-party-server", "the technology is one of servers"


def _date(text: str | None) -> datetime.date:
    if text is None:
        return datetime.datetime.now(tz=datetime.UTC).date()
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"not a date: {text!r}", hint="YYYY-MM-DD") from None
