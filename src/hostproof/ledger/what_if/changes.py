"""Changes to a VM, and how each edits what is assessed

A change is a record that says what to do, in words and as the text to type, with an edit: a pure function from `Subject` to
`Subject`. Nothing is estimated from it: the changed VM is assessed like any other.

What an edit does not know stays as it was, and the change's note says so. A kernel with another configuration is another
image: what the old image answered about a mechanism that the symbol switches is dropped, so that configuration and
version decide. Symbols that Kconfig would switch along with it, and code that would leave the image with it, are not
modelled, but for the drivers that the symbol builds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from hostproof.artefacts import cmdline
from hostproof.artefacts.cmdline import CommandLine, Parameter
from hostproof.artefacts.kernel.facts import ConfigValue, KernelFacts
from hostproof.artefacts.machine.model import Machine, Origin
from hostproof.attestation.verifier import VerifierPolicy
from hostproof.ledger.assess import Subject
from hostproof.place import Place

__all__ = [
    "BootWith",
    "BootWithout",
    "Change",
    "Check",
    "HashKernel",
    "Kind",
    "LeaveOut",
    "SetConfig",
    "SetPolicyBit",
    "SetSevFeature",
    "StateFeature",
    "Unplug",
    "apply",
    "needing",
    "with_dependents",
]

SUPPOSED = Place("what-if")
"""Where a supposed verifier policy stands."""
SEV_FEATURES = ("guest-features", "sev-features")
"""Launch fields that write the VMSA's SEV_FEATURES, as `hostproof.ledger.features` reads them."""


class Kind(StrEnum):
    """What a change changes, in the order in which several are made."""

    KCONFIG = "kconfig"
    MODULE = "module"
    BOARD = "board"
    CMDLINE = "cmdline"
    POLICY = "policy"
    FEATURE = "feature"
    VERIFIER = "verifier"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `sentence` says it in words, `how` is the text to type, `note` what is not modelled or not known.

    Two changes with the same `slot` exclude each other (`CONFIG_X=y` and `CONFIG_X=n`); an empty one excludes nothing.
    `breaks` says what of the VM as defined would no longer work: such a change is ranked and never part of a set.
    """

    kind: Kind
    id: str
    sentence: str
    how: str
    edit: Callable[[Subject], Subject]
    note: str = ""
    slot: str = ""
    breaks: str = ""


def apply(subject: Subject, changes: Iterable[Change]) -> Subject:
    """The VM with these changes, made in the order of their kinds and ids, whatever order they are given in."""
    order = list(Kind)
    for change in sorted(changes, key=lambda change: (order.index(change.kind), change.id)):
        subject = change.edit(subject)
    return subject


@dataclass(frozen=True, slots=True)
class SetConfig:
    """The kernel built with another value of one symbol. `modules` are the drivers that it builds, gone where it is `n`;
    `answers` are facts that the image of another configuration would answer anew.
    """

    symbol: str
    value: str
    modules: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()

    def __call__(self, subject: Subject) -> Subject:
        kernel = subject.kernel
        if kernel is None or kernel.config is None:
            return subject
        old = kernel.config.get(self.symbol)
        config = {**kernel.config, self.symbol: ConfigValue(self.value, old.line if old else 0)}
        kept = {name: answer for name, answer in kernel.answers.items() if name not in self.answers}
        kernel = replace(kernel, config=config, answers=kept)
        if self.value == "n" and self.modules:
            kernel = _without(kernel, with_dependents(kernel, self.modules))
        return replace(subject, kernel=kernel)


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """Loadable modules that are neither in the initrd nor on the disk; what needs them goes with them."""

    modules: tuple[str, ...]

    def __call__(self, subject: Subject) -> Subject:
        if subject.kernel is None:
            return subject
        return replace(subject, kernel=_without(subject.kernel, with_dependents(subject.kernel, self.modules)))


@dataclass(frozen=True, slots=True)
class Unplug:
    """Devices that the board or the VMM's defaults add, taken away: model and how many of it."""

    models: tuple[tuple[str, int], ...]

    def __call__(self, subject: Subject) -> Subject:
        machine = subject.machine
        if machine is None:
            return subject
        left, kept = Counter(dict(self.models)), []
        for device in machine.devices:
            if device.origin is not Origin.DEFINITION and left[device.model] > 0:
                left[device.model] -= 1
            else:
                kept.append(device)
        return replace(subject, machine=replace(machine, devices=tuple(kept)))


@dataclass(frozen=True, slots=True)
class BootWith:
    """A parameter on the kernel command line. Where it `joins`, its value joins what stands there (`pci=noearly,nommconf`);
    else it takes the place of every earlier one. A command line that is not known cannot be changed.
    """

    name: str
    value: str | None
    joins: bool = False

    def __call__(self, subject: Subject) -> Subject:
        line = subject.command_line
        if line is None:
            return subject
        same = line.all(self.name)
        value = self.value
        if self.joins and value is not None:
            words = [word for one in same[-1:] for word in (one.value or "").split(",") if word]
            value = ",".join(dict.fromkeys([*words, *value.split(",")]))
            same = same[-1:]
        kept = [parameter for parameter in line.parameters if parameter not in same]
        added = Parameter(self.name.replace("-", "_"), self.name, value, 0)
        return replace(subject, command_line=_written(line, [*kept, added], _architecture(subject)))


@dataclass(frozen=True, slots=True)
class BootWithout:
    """Parameters of this name removed from the kernel command line; of those with a list, only `word` where it is given."""

    name: str
    word: str = ""

    def __call__(self, subject: Subject) -> Subject:
        line = subject.command_line
        if line is None:
            return subject
        kept = []
        for parameter in line.parameters:
            if parameter.name != self.name.replace("-", "_"):
                kept.append(parameter)
            elif self.word:
                words = [word for word in (parameter.value or "").split(",") if word and word != self.word]
                kept += [replace(parameter, value=",".join(words))] if words else []
        return replace(subject, command_line=_written(line, kept, _architecture(subject)))


@dataclass(frozen=True, slots=True)
class SetPolicyBit:
    """One bit of the launch policy, set or cleared."""

    bit: int
    on: bool

    def __call__(self, subject: Subject) -> Subject:
        machine = subject.machine
        if machine is None or machine.confidential is None or machine.confidential.policy is None:
            return subject
        old, mask = machine.confidential.policy, 1 << self.bit
        confidential = replace(machine.confidential, policy=old | mask if self.on else old & ~mask)
        return replace(subject, machine=replace(machine, confidential=confidential))


@dataclass(frozen=True, slots=True)
class HashKernel:
    """The launch measurement covers hashes of kernel, initrd and command line."""

    def __call__(self, subject: Subject) -> Subject:
        machine = subject.machine
        if machine is None:
            return subject
        return replace(subject, machine=replace(machine, boot=replace(machine.boot, kernel_hashes=True)))


@dataclass(frozen=True, slots=True)
class SetSevFeature:
    """One bit of SEV_FEATURES in a definition that writes them."""

    bit: int
    on: bool

    def __call__(self, subject: Subject) -> Subject:
        machine = subject.machine
        if machine is None or machine.confidential is None:
            return subject
        fields, mask = [], 1 << self.bit
        for name, text in machine.confidential.fields:
            old = _number(text) if name in SEV_FEATURES else None
            if old is None:
                fields.append((name, text))
            else:
                fields.append((name, f"{old | mask if self.on else old & ~mask:#x}"))
        confidential = replace(machine.confidential, fields=tuple(fields))
        return replace(subject, machine=replace(machine, confidential=confidential))


@dataclass(frozen=True, slots=True)
class StateFeature:
    """A feature bit of the technology, as `--fact feature.ID=yes` would state it."""

    feature: str
    on: bool

    def __call__(self, subject: Subject) -> Subject:
        return replace(subject, stated={**subject.stated, f"feature.{self.feature}": self.on})


@dataclass(frozen=True, slots=True)
class Check:
    """A verifier that checks these registers too. Where there was none it is a new one, beside what the use itself checks."""

    registers: tuple[str, ...]

    def __call__(self, subject: Subject) -> Subject:
        policy = subject.verifier
        if policy is None:
            signed = frozenset({"VERIFIED_BOOT"} if subject.use.image_check == "signed-boot" else ())
            policy = VerifierPolicy("a verifier", signed, SUPPOSED)
        return replace(subject, verifier=replace(policy, checks=policy.checks | frozenset(self.registers)))


def with_dependents(kernel: KernelFacts, names: Iterable[str]) -> frozenset[str]:
    """The modules, and all that cannot be loaded without them."""
    return needing(_needed_by(kernel), names)


def needing(needed_by: Mapping[str, Sequence[str]], names: Iterable[str]) -> frozenset[str]:
    """`names` and everything that needs one of them, directly or not."""
    found: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(needed_by.get(name, ()))
    return frozenset(found)


def _needed_by(kernel: KernelFacts) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for module in kernel.modules or ():
        for other in module.depends:
            found.setdefault(other, []).append(module.name)
    return found


def _without(kernel: KernelFacts, names: Collection[str]) -> KernelFacts:
    """The kernel without these drivers, loadable or built in; what they answered is no longer known."""
    image = kernel.image
    if image is not None:
        image = replace(image, drivers=tuple(driver for driver in image.drivers if driver.module not in names))
    return replace(
        kernel,
        modules=None if kernel.modules is None else tuple(one for one in kernel.modules if one.name not in names),
        builtin=None if kernel.builtin is None else tuple(name for name in kernel.builtin if name not in names),
        builtin_aliases={name: keys for name, keys in kernel.builtin_aliases.items() if name not in names},
        answers={name: answer for name, answer in kernel.answers.items() if not _of(name, names)},
        image=image,
    )


def _of(fact: str, modules: Collection[str]) -> bool:
    """Whether a fact is one of the code of these modules: `symbol.MODULE.SYMBOL`, `calls.MODULE.FUNCTION`."""
    space, _, rest = fact.partition(".")
    module, dot, _ = rest.partition(".")
    return space in ("symbol", "calls") and bool(dot) and module in modules


def _written(line: CommandLine, parameters: Iterable[Parameter], architecture: str) -> CommandLine:
    """The command line that holds these parameters, parsed anew as the kernel would."""
    words = [_word(parameter) for parameter in parameters]
    text = " ".join([*words, *(("--", *line.init_arguments) if line.init_arguments else ())])
    return cmdline.parse(text, line.place, architecture)


def _word(parameter: Parameter) -> str:
    if parameter.value is None:
        return parameter.written
    quoted = f'"{parameter.value}"' if any(character.isspace() for character in parameter.value) else parameter.value
    return f"{parameter.written}={quoted}"


def _architecture(subject: Subject) -> str:
    machine: Machine | None = subject.machine
    return (machine and machine.architecture) or (subject.kernel and subject.kernel.architecture) or "x86_64"


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None
