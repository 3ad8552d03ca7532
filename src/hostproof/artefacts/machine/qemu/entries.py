"""From arguments to options: option table, configuration files, `-set`

QEMU takes options from its arguments and from the files that `-readconfig` names (`[device "net0"]` and lines `key = "value"`);
`-set device.net0.mac=...` changes one that stands before it. All of them become `Entry` rows in the order in which
QEMU sees them. A file that is not among the given ones is told as unread, never opened.

SOURCE: QEMU 7.2 softmmu/vl.c (lookup_opt, qemu_parse_config_group), util/qemu-config.c (qemu_config_foreach, qemu_set_option),
system/vl.c at 00cfbdcbe16d.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hostproof.artefacts.machine.qemu.draft import Draft, Entry
from hostproof.artefacts.machine.qemu.options import OPTIONS, Option
from hostproof.artefacts.machine.qemu.tokens import MAX_ARGUMENTS, MAX_BYTES, Word
from hostproof.artefacts.machine.qemu.values import Options, options
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["entries"]

MAX_CONFIG_FILES = 16

_GROUP = re.compile(r'\[\s*([A-Za-z0-9_-]{1,63})(?:\s+"([^"]{1,63})")?\s*\]\s*$')
_ASSIGNMENT = re.compile(r'\s*([^\s="]{1,63})\s*=\s*"([^"]{0,1023})"\s*$')
_SET = re.compile(r"([^.=]{1,63})\.([^.=]{1,63})\.([^=]{1,63})=(.*)", re.DOTALL)
_SETTABLE = frozenset({"device", "drive", "chardev", "netdev", "fsdev", "tpmdev", "mon", "numa", "fw_cfg", "accel"})
"""Groups that `-set` still reaches. Objects and the machine are no QemuOpts any more when it runs (QEMU 6.0)."""

_GROUPS = {"memory": "m", "smp-opts": "smp", "boot-opts": "boot", "acpi": "acpitable", "machine": "machine"}
"""Groups of a configuration file whose option has another name."""


def entries(draft: Draft, words: Sequence[Word], config_files: Mapping[str, bytes]) -> list[Entry]:
    """The options that `words` (without the binary) give. Raises InputError where an option lacks its argument."""
    found: list[Entry] = []
    settable: dict[tuple[str, str], int] = {}
    counts: Counter[str] = Counter()
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.text.startswith("-") or word.text == "-":
            entry = _positional(draft, word, counts)
            found.extend([entry] if entry else [])
            continue
        name = word.text[2:] if word.text.startswith("--") else word.text[1:]
        counts[name] += 1
        if name == "readconfig" and counts[name] > MAX_CONFIG_FILES:
            raise InputError("too many configuration files", place=word.place, expected=f"at most {MAX_CONFIG_FILES}")
        place = _placed(word.place, f"-{name} #{counts[name]}" if len(name) < 40 else "option")
        option = OPTIONS.get(name)
        if option is None:
            argument = ""
            if position < len(words) and not words[position].text.startswith("-"):
                argument = f" {words[position].text}"
                position += 1
            draft.cannot_read(f"-{name}{argument}"[:200], "QEMU's option table does not hold this option", place)
            continue
        value = Word("", place)
        if option.argument:
            if position == len(words):
                raise InputError(f"-{name} without its argument", place=place, expected="an argument after the option")
            value = words[position]
            position += 1
        entry = _entry(draft, option, value, place)
        if entry is not None:
            _take(draft, found, settable, entry, config_files)
        if len(found) > MAX_ARGUMENTS:
            raise InputError(f"more than {MAX_ARGUMENTS} options", place=place, expected=f"at most {MAX_ARGUMENTS}")
    for entry in found:
        _tell_unresolved(draft, entry)
    return found


def _placed(place: Place, path: str) -> Place:
    return place if place.path is not None and not place.path.startswith("[") else place.at(path=path)


def _positional(draft: Draft, word: Word, counts: Counter[str]) -> Entry | None:
    """An argument that is no option: QEMU takes it for the first disk; one that the shell would expand may be anything."""
    if word.unresolved:
        why = (
            "an expansion of the shell where an option should stand: it may hold any options, and none of them is known"
        )
        draft.cannot_read(word.text[:200], why, word.place)
        return None
    counts["hda"] += 1
    return Entry("hda", word.text, Options(), _placed(word.place, f"disk image #{counts['hda']}"))


def _entry(draft: Draft, option: Option, value: Word, place: Place) -> Entry | None:
    """`-name` with its argument. A list of keys is only taken apart where the option has one."""
    try:
        parsed = Options() if option.plain or not option.argument else options(value.text, option.implied, place)
    except InputError:
        if not value.unresolved:
            raise
        why = "an expansion of the shell stands inside this JSON, which is none without it"
        draft.cannot_read(f"-{option.name} {value.text}"[:200], why, place)
        return None
    return Entry(option.name, value.text, parsed, place, value.unresolved)


def _take(
    draft: Draft,
    found: list[Entry],
    settable: dict[tuple[str, str], int],
    entry: Entry,
    config_files: Mapping[str, bytes],
) -> None:
    """Puts an option after those before it; `settable` remembers where those stand that `-set` reaches."""
    if entry.option == "readconfig":
        data = config_files.get(entry.text)
        if data is None:
            why = f"the configuration file {entry.text!r} was not given; it may define anything"
            draft.cannot_read(f"-readconfig {entry.text}", why, entry.place)
        for read in [] if data is None else _config_file(draft, data, entry.text):
            _take(draft, found, settable, read, {})
    elif entry.option == "set":
        _set(draft, found, settable, entry)
    else:
        if entry.option in _SETTABLE and not entry.text.startswith("{"):
            settable[entry.option, entry.options.get("id") or ""] = len(found)
        found.append(entry)


def _set(draft: Draft, found: list[Entry], settable: dict[tuple[str, str], int], entry: Entry) -> None:
    match = _SET.fullmatch(entry.text)
    if match is None:
        draft.cannot_read(f"-set {entry.text}", "not of the form group.id.arg=value", entry.place)
        return
    group, identifier, key, value = match.groups()
    index = settable.get((group, identifier))
    if index is None:
        why = f"no {group} with the id {identifier!r} stands before it that -set could change"
        draft.cannot_read(f"-set {entry.text}", why, entry.place)
        return
    found[index] = replace(found[index], options=found[index].options.with_pair(key, value))


def _config_file(draft: Draft, data: bytes, name: str) -> list[Entry]:
    """The options of a configuration file. Raises InputError naming the line that is none of its grammar."""
    if len(data) > MAX_BYTES:
        raise InputError(f"a file of {len(data)} bytes", place=Place(name), expected=f"at most {MAX_BYTES} bytes")
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text", place=Place(name, offset=error.start), expected="text") from None
    groups: list[tuple[str, Place, list[tuple[str, str]]]] = []
    for number, line in enumerate(lines, 1):
        place = Place(name, line=number)
        if not line.strip() or line.startswith("#"):
            continue
        if group := _GROUP.match(line):
            pairs = [("id", group[2])] if group[2] else []
            groups.append((group[1], place.at(path=line.strip()), pairs))
        elif (assignment := _ASSIGNMENT.match(line)) and groups:
            groups[-1][2].append((assignment[1], assignment[2]))
        else:
            raise InputError(
                "a line of a configuration file that QEMU would refuse",
                place=place,
                expected='[group] or [group "id"], then lines key = "value"',
            )
    found = []
    for group_name, place, pairs in groups:
        option = OPTIONS.get(_GROUPS.get(group_name, group_name))
        if option is None or (option.plain and option.name != "global"):
            draft.cannot_read(f"[{group_name}]", "a group that no option of QEMU's table has", place)
            continue
        found.append(Entry(option.name, "", Options(tuple(pairs)), place))
    return found


def _tell_unresolved(draft: Draft, entry: Entry) -> None:
    """A note of each expansion that stayed in an argument, and an unread row where it may stand for whole keys."""
    if not entry.unresolved:
        return
    names = ", ".join(entry.unresolved)
    draft.note(f"{names} in -{entry.option} is left as written: nothing of the shell is expanded")
    option = OPTIONS[entry.option]
    hidden = [key for key, _ in entry.options.pairs if any(expansion in key for expansion in entry.unresolved)]
    whole = entry.text in entry.unresolved and option.implied in (None, "driver", "type", "qom-type")
    if option.reader and (whole or hidden) and not option.plain:
        why = "an expansion of the shell stands for keys and values of this option"
        draft.cannot_read(f"-{entry.option} {entry.text}"[:200], why, entry.place)
