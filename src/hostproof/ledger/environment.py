"""The facts of one VM, by the names that predicates use.

`VmFacts` answers every name of the catalogue's predicates from the definition, the kernel, the command line, the
technology's feature bits, the use, the verifier's policy and what a person stated with `--fact`. What was not given is
an unknown fact that names the option which supplies it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hostproof.artefacts.cmdline import CommandLine
from hostproof.artefacts.initrd.model import Initrd
from hostproof.artefacts.kernel.facts import KernelFacts, Module
from hostproof.artefacts.machine.model import Machine
from hostproof.attestation.verifier import VerifierPolicy
from hostproof.knowledge.predicate import Fact, Value, parse
from hostproof.knowledge.records import Mechanism, Option, Technology, Use
from hostproof.place import Place

__all__ = ["VmFacts"]

KERNEL_SUPPLY = "--kernel PACKAGE, DIRECTORY or FACTS"
CONFIG_SUPPLY = "--kernel with its configuration (boot/config-*), or --config FILE"
CMDLINE_SUPPLY = "--cmdline TEXT or @FILE"
IMAGE_SUPPLY = "--kernel with its image (boot/vmlinuz-*), or facts that a newer `hostproof kernel-facts` wrote"
CHANGELOG_SUPPLY = "--kernel PACKAGE with its changelog"
INITRD_SUPPLY = "--initrd FILE"
DEFINITION_SUPPLY = "a VM definition as the argument"


@dataclass(frozen=True, slots=True)
class VmFacts:
    """Everything known of one VM. `stated` are facts that a person gave with `--fact`, name -> value."""

    technology: Technology
    use: Use
    options: Mapping[str, Option]
    chosen: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, Fact] = field(default_factory=dict)
    machine: Machine | None = None
    kernel: KernelFacts | None = None
    command_line: CommandLine | None = None
    initrd: Initrd | None = None
    verifier: VerifierPolicy | None = None
    stated: Mapping[str, Value] = field(default_factory=dict)
    use_place: Place | None = None
    mechanisms: Mapping[str, Mechanism] = field(default_factory=dict)
    loadable: Mapping[str, Module] = field(init=False, repr=False)
    _told: dict[str, Fact] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        modules = self.kernel.modules if self.kernel is not None and self.kernel.modules else ()
        object.__setattr__(self, "loadable", {module.name: module for module in modules})

    def fact(self, name: str) -> Fact:
        """The fact of this name; unknown, with what supplies it, where it was not given."""
        if name in self.stated:
            return Fact(name, self.stated[name], Place("--fact"))
        space, _, rest = name.partition(".")
        match space:
            case "feature":
                return self.features.get(rest) or Fact(name, None, None, _state(name, "yes|no"))
            case "use":
                return Fact(name, getattr(self.use, rest), self.use_place)
            case "option":
                return self._option(name, rest)
            case "technology":
                return Fact(name, self.technology.id)
            case "architecture":
                return self._architecture(name)
            case "definition":
                return self._definition(name, rest)
            case "kernel":
                return self._kernel(name, rest)
            case "config":
                return self._config(name, rest)
            case "module":
                return self._module(name, rest)
            case "cmdline":
                return self._cmdline(name, rest)
            case "initrd":
                return self._initrd(name, rest)
            case "verifier":
                return self._verifier(name, rest)
            case "mechanism":
                if name not in self._told:
                    self._told[name] = self._mechanism(name, rest)
                return self._told[name]
            case "symbol" | "calls" | "instruction" | "parameter" | "initcall" | "section" | "changelog":
                return self._image(name, space)
            case _:
                return Fact(name, None, None, _state(name, "yes|no, a word or a version"))

    def _option(self, name: str, option: str) -> Fact:
        return Fact(name, self.chosen.get(option, self.options[option].default))

    def _architecture(self, name: str) -> Fact:
        if self.machine is not None and self.machine.architecture:
            return Fact(name, self.machine.architecture, self.machine.place)
        if self.kernel is not None and self.kernel.architecture:
            return Fact(name, self.kernel.architecture, Place(self.kernel.source))
        if len(self.technology.architectures) == 1:
            return Fact(name, self.technology.architectures[0])
        return Fact(name, None, None, KERNEL_SUPPLY)

    def _definition(self, name: str, rest: str) -> Fact:
        machine = self.machine
        if rest == "given":
            return Fact(name, machine is not None, machine.place if machine else None)
        if machine is None:
            return Fact(name, None, None, DEFINITION_SUPPLY)
        boot, confidential = machine.boot, machine.confidential
        values: dict[str, tuple[Value | None, Place | None]] = {
            "format": (machine.format, machine.place),
            "vmm": (machine.vmm, machine.place),
            "board": (machine.board, machine.place),
            "technology": (confidential.technology if confidential else "none", None),
            "confidential": (confidential is not None, confidential.place if confidential else machine.place),
            "opaque": (machine.opaque, machine.place),
            "direct_boot": (None if machine.opaque else boot.kernel is not None, boot.kernel_place),
            "firmware_given": (boot.firmware is not None, boot.firmware_place),
            "igvm": (boot.igvm is not None, boot.igvm_place),
            "kernel_hashes": (boot.kernel_hashes, confidential.place if confidential else None),
            "devices": (None if machine.opaque else tuple(device.model for device in machine.devices), machine.place),
        }
        value, place = values[rest]
        supply = "nobody outside can see the provider's VMM" if machine.opaque else "a definition that says it"
        return Fact(name, value, place or machine.place, None if value is not None else supply)

    def _kernel(self, name: str, rest: str) -> Fact:
        kernel = self.kernel
        if rest == "given":
            return Fact(name, kernel is not None)
        value = getattr(kernel, rest) if kernel is not None else None
        return Fact(name, value or None, Place(kernel.source) if kernel else None, None if value else KERNEL_SUPPLY)

    def _config(self, name: str, symbol: str) -> Fact:
        kernel = self.kernel
        if kernel is None or kernel.config is None:
            return Fact(name, None, None, CONFIG_SUPPLY)
        value = kernel.config.get(symbol)
        if value is None and not kernel.config_complete:
            return Fact(name, None, kernel.config_place(symbol), "the whole configuration (.config or boot/config-*)")
        return Fact(name, value.value if value else "n", kernel.config_place(symbol))

    def _module(self, name: str, module: str) -> Fact:
        kernel = self.kernel
        if kernel is None:
            return Fact(name, None, None, KERNEL_SUPPLY)
        if kernel.builtin is not None and module in kernel.builtin:
            return Fact(name, "y", Place(kernel.source, path="modules.builtin"))
        loadable = self.loadable.get(module)
        if loadable is not None:
            return Fact(name, "m", Place(f"{kernel.source}!{loadable.path}"))
        if kernel.modules is None or kernel.builtin is None:
            return Fact(name, None, None, "--kernel with its modules directory")
        return Fact(name, "n", Place(kernel.source))

    def _image(self, name: str, space: str) -> Fact:
        """What the image, its modules or the package's changelog answered when the kernel was read."""
        kernel = self.kernel
        answer = kernel.answers.get(name) if kernel is not None else None
        supply = CHANGELOG_SUPPLY if space == "changelog" else IMAGE_SUPPLY
        if kernel is None or answer is None:
            if space == "symbol" and kernel is not None and kernel.answers and self._has_no_module(name.split(".")[1:]):
                return Fact(name, False, Place(kernel.source))
            return Fact(name, None, Place(kernel.source) if kernel else None, supply)
        if answer.module:
            place = Place(f"{kernel.source}!{answer.module}", offset=answer.offset, path=answer.symbol or None)
        elif space == "changelog" or kernel.image is None:
            place = Place(kernel.source, path=answer.symbol or None)
        else:
            artefact = f"{kernel.image_name or kernel.source}@sha256:{kernel.image.sha256}"
            place = Place(artefact, offset=answer.offset, path=answer.symbol or None)
        return Fact(name, answer.value, place, None if answer.value is not None else answer.note or supply)

    def _has_no_module(self, words: Sequence[str]) -> bool:
        """Whether `MODULE.SYMBOL` is asked of a module that this kernel has neither loadable nor built in."""
        return len(words) == 2 and self._module("", words[0]).value == "n"

    def _mechanism(self, name: str, rest: str) -> Fact:
        """Whether this kernel has a mechanism: by its image, and where that cannot tell, by configuration and version."""
        mechanism = self.mechanisms[rest]
        missing: tuple[Fact, ...] = ()
        for condition in (mechanism.image, mechanism.package):
            if not condition:
                continue
            truth = parse(condition)(self)
            if truth.value is not None:
                return Fact(name, truth.value, truth.because[0].place if truth.because else None, rests=truth.because)
            missing += truth.missing
        return Fact(name, None, None, IMAGE_SUPPLY, rests=missing)

    def _cmdline(self, name: str, option: str) -> Fact:
        line = self.command_line
        if option == "given":
            return Fact(name, line is not None, line.place if line else None)
        if line is None:
            return Fact(name, None, None, CMDLINE_SUPPLY)
        return Fact(name, line.get(option), line.place_of(option))

    def _initrd(self, name: str, rest: str) -> Fact:
        initrd = self.initrd
        if rest == "given":
            return Fact(name, initrd is not None, initrd.place if initrd else None)
        if initrd is None:
            return Fact(name, None, None, INITRD_SUPPLY)
        tables, block, switch = initrd.acpi_tables, initrd.bootconfig, initrd.switch
        values: dict[str, tuple[Value | None, Place]] = {
            "kind": (initrd.kind, initrd.kind_place),
            "loader": (tuple(dict.fromkeys(loader.kind for loader in initrd.loaders)), initrd.place),
            "switches_root": (initrd.switches_root, switch.place if switch else initrd.place),
            "acpi_override": (bool(tables), tables[0].place if tables else initrd.place),
            "bootconfig": (block is not None, block.place if block else initrd.place),
        }
        value, place = values[rest]
        return Fact(name, value, place, None if value is not None else "an initrd whose first program tells it")

    def _verifier(self, name: str, register: str) -> Fact:
        policy = self.verifier
        if register == "given":
            return Fact(name, policy is not None, policy.place if policy else None)
        if policy is not None:
            return Fact(name, register in policy.checks, policy.place)
        if self.use.image_check == "none":
            return Fact(name, False, self.use_place)
        if register == "VERIFIED_BOOT":
            return Fact(name, self.use.image_check == "signed-boot", self.use_place)
        return Fact(name, None, None, "--verifier POLICY (which registers and fields the verifier checks)")


def _state(name: str, value: str) -> str:
    return f"--fact {name}={value}"
