"""Command-line options worth trying: those that close a channel, added; those that open one, removed

An option that no predicate reads changes no row and is not tried. What a command line closes is closed only while something
pins the command line: alone such an option often closes nothing, with the change that pins it, it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hostproof.artefacts.cmdline import COMMAND_LINE_SIZE, CommandLine
from hostproof.knowledge.records import CommandLineOption
from hostproof.ledger.what_if.changes import BootWith, BootWithout, Change, Kind
from hostproof.ledger.what_if.literals import Literals

__all__ = ["blacklist", "boot_changes", "vain"]

HOW = {
    "qemu-argv": "-append '... {}'",
    "libvirt-xml": "<cmdline>... {}</cmdline>",
    "kata-toml": 'kernel_params = "... {}"',
}
LISTS = frozenset({"efi", "pci"})
"""Options whose value is a list, of which one parameter holds several words (kernel-parameters.txt)."""
ROOM = 512
"""Bytes that a list of modules leaves for the rest of the command line."""
ELSEWHERE = "{} on the kernel command line"


def boot_changes(
    options: Sequence[CommandLineOption], literals: Literals, line: CommandLine, definition_format: str
) -> Iterator[Change]:
    """Changes of this command line, by option."""
    meanings = {option.option: option.meaning for option in options}
    found: dict[str, Change] = {}
    known = {_fact(written) for written in meanings}
    named = [written for written in _named(literals) if _fact(written) not in known]
    for written in [*(option.option for option in options if option.effect == "closes"), *named]:
        name, equals, value = written.partition("=")
        if written in found or (equals and not value) or not _is_read(name, literals):
            continue
        joins = name in LISTS
        if _stands(line, name, value if equals else None, joins):
            continue
        found[written] = Change(
            kind=Kind.CMDLINE,
            id=written,
            sentence=f"boot with {written}" + _meaning(meanings.get(written, "")),
            how=HOW.get(definition_format, ELSEWHERE).format(written),
            edit=BootWith(name, value if equals else None, joins),
            slot="" if joins else f"cmdline.{_fact(name)}",
        )
    for option in options:
        name, _, word = option.option.partition("=")
        if option.effect == "opens" and _is_read(name, literals) and _stands(line, name, word or None, bool(word)):
            found[f"no {option.option}"] = Change(
                kind=Kind.CMDLINE,
                id=f"no {option.option}",
                sentence=f"boot without {option.option}" + _meaning(option.meaning),
                how=f"remove {option.option} from the kernel command line",
                edit=BootWithout(name, word),
                slot=f"cmdline.{_fact(name)}",
            )
    yield from (found[key] for key in sorted(found))


def blacklist(bus: str, drivers: Sequence[str], line: CommandLine, architecture: str) -> Change | None:
    """`module_blacklist=` of these drivers; None where it would not fit into what the kernel reads."""
    value = ",".join(drivers)
    if len(line.text) + len(value) + ROOM >= COMMAND_LINE_SIZE.get(architecture, COMMAND_LINE_SIZE["x86_64"]):
        return None
    return Change(
        kind=Kind.CMDLINE,
        id=f"module_blacklist:{bus}",
        sentence=f"boot with module_blacklist= of the {len(drivers)} {bus} drivers that the definition's devices do not need",
        how=f"module_blacklist={value}",
        edit=BootWith("module_blacklist", value, joins=True),
        slot="cmdline.module_blacklist",
    )


def vain(options: Sequence[CommandLineOption], literals: Literals) -> list[str]:
    """Options that close a channel by the catalogue, and that no rule reads."""
    return [
        option.option
        for option in options
        if option.effect == "closes" and not _is_read(option.option.partition("=")[0], literals)
    ]


def _named(literals: Literals) -> Iterator[str]:
    """Options as predicates name them: `mce=off`, `no_kvmclock`, `pci=noearly`."""
    for fact, words in literals.asked.items():
        space, _, name = fact.partition(".")
        if space == "cmdline" and name != "given":
            yield from (name if word == "set" else f"{name}={word}" for word in words if word != "unset")


def _is_read(name: str, literals: Literals) -> bool:
    fact = f"cmdline.{_fact(name)}"
    return fact in literals.values or fact in literals.asked


def _fact(name: str) -> str:
    return name.replace("-", "_")


def _stands(line: CommandLine, name: str, value: str | None, joins: bool) -> bool:
    """Whether the option stands on the line with this value, or with any where `value` is None and it has one."""
    for parameter in line.all(name):
        if value is None or parameter.value == value or (joins and value in (parameter.value or "").split(",")):
            return True
    return False


def _meaning(text: str) -> str:
    return f": {text}" if text else ""
