"""Finding the QEMU command in a file

A file may be one command line, or a script with much around it: assignments, `exec`, `sudo`, `numactl`, a loop. The
QEMU command is the first command whose program is a QEMU system emulator, or a variable in its place followed by
options that only QEMU has. A newline ends a command, except in a plain list of arguments, whose next line begins with
an option.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hostproof.artefacts.machine.qemu.options import OPTIONS
from hostproof.artefacts.machine.qemu.tokens import MAX_ARGUMENTS, MAX_BYTES, Command, Word, commands
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["binary_name", "command_line", "looks_like_qemu"]

MAX_OTHERS = 20
"""Further QEMU commands of one file that are told one by one."""


def _names(row: str) -> frozenset[str]:
    return frozenset(row.split())


_BINARY = re.compile(r"(?:qemu-system-[a-z0-9_]+|qemu-kvm|kvm|kvm-spice|qemu)(?:[-.][A-Za-z0-9_.+-]*)?")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_KEYWORDS = frozenset(
    {"if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "exec", "command", "eval"}
)
_WRAPPERS = _names(
    "sudo doas env nohup setsid nice ionice chrt taskset numactl timeout stdbuf strace ltrace gdb valgrind perf systemd-run "
    "runuser unshare nsenter ip cgexec prlimit script screen tmux rlwrap setpriv capsh firejail schedtool choom"
)
_OURS = _names(
    "-machine -M -cpu -smp -enable-kvm -accel -device -object -netdev -drive -blockdev -nodefaults -nographic -bios -kernel "
    "-append -initrd -chardev -global -monitor -serial -display -m"
)
"""Options that, two of them together, only a QEMU command has."""


def binary_name(word: str) -> str | None:
    """The file name of a QEMU system emulator; None where the word is none."""
    name = word.rpartition("/")[2]
    return name if _BINARY.fullmatch(name) and not name.startswith(("qemu-img", "qemu-nbd", "qemu-io")) else None


def _binary_index(words: Sequence[str]) -> int | None:
    """Where the emulator stands in a command; None where the command runs something else."""
    start = 0
    while start < len(words) and (words[start] in _KEYWORDS or _ASSIGNMENT.match(words[start])):
        start += 1
    if start == len(words):
        return None
    if binary_name(words[start]) is not None:
        return start
    if words[start].rpartition("/")[2] in _WRAPPERS:
        return next((i for i in range(start, len(words)) if binary_name(words[i]) is not None), None)
    return None


def _start(words: Sequence[str], *, unresolved: Sequence[bool]) -> int | None:
    """Where the QEMU command line begins among these words; None where there is none."""
    index = _binary_index(words)
    if index is not None:
        if _starts_nothing(words[index + 1 : index + 3]):
            return None
        following = words[index + 1 : index + 2]
        named = (binary_name(words[index]) or "").startswith("qemu-system-")
        return index if named or any(text.startswith(("-", "$")) for text in following) else None
    ours = [i for i, text in enumerate(words) if text in _OURS or text[1:] in _OURS]
    if len(ours) < 2:
        return None
    if words[0].startswith("-"):
        return 0
    return next((i for i in range(ours[0]) if unresolved[i]), None)


def _starts_nothing(arguments: Sequence[str]) -> bool:
    """Whether QEMU only prints something: `--version`, `-machine help`."""
    return bool(arguments) and (arguments[0].lstrip("-") in ("version", "help", "h") or arguments[-1] in ("help", "?"))


def command_line(data: bytes, name: str) -> tuple[tuple[Word, ...], list[Word]]:
    """The words of the first QEMU command in `data`, and the programs of further ones.

    Raises InputError where there is none.
    """
    found = commands(data, name)
    chosen: tuple[Word, ...] | None = None
    others: list[Word] = []
    index = 0
    while index < len(found):
        words = found[index].words
        start = _start([word.text for word in words], unresolved=[bool(word.unresolved) for word in words])
        index += 1
        if start is None and not (chosen is None and _is_plain_list(found, index - 1)):
            continue
        if chosen is not None:
            others.extend([words[start or 0]] if len(others) < MAX_OTHERS else [])
            continue
        joined = list(words[start or 0 :])
        ended = found[index - 1].ended_by_newline
        while ended and index < len(found) and _continues(joined, found[index]):
            joined.extend(found[index].words)
            ended = found[index].ended_by_newline
            index += 1
        chosen = tuple(joined)
    if chosen is None:
        raise InputError(
            "no QEMU command line",
            place=Place(name),
            expected="qemu-system-... with its options, as a shell line, a list of arguments, /proc/PID/cmdline or JSON",
        )
    if len(chosen) > MAX_ARGUMENTS:
        raise InputError(
            f"a command line of {len(chosen)} arguments", place=chosen[0].place, expected=f"at most {MAX_ARGUMENTS}"
        )
    return chosen, others


def _is_plain_list(found: Sequence[Command], index: int) -> bool:
    """Whether a list of options without a binary begins here, one option or argument per line."""
    if not found[index].words[0].text.startswith("-"):
        return False
    first = {command.words[0].text for command in found[index : index + 200]}
    return len(first & _OURS) >= 2


def _continues(words: Sequence[Word], following: Command) -> bool:
    """Whether the next line of a plain list of arguments belongs to these: it begins with an option, or one waits for it."""
    text = following.words[0].text
    if text.startswith("-"):
        return True
    option = OPTIONS.get(words[-1].text.lstrip("-")) if words[-1].text.startswith("-") else None
    return option is not None and option.argument


def looks_like_qemu(data: bytes) -> bool:
    """Whether `data` looks like a QEMU command line, by the programs and options that its lines begin with."""
    if len(data) > MAX_BYTES:
        return False
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return False
    if "\0" in text:
        return _start(text.split("\0"), unresolved=[False] * (text.count("\0") + 1)) is not None
    if text.lstrip().startswith("["):
        head = re.findall(r'"((?:[^"\\]|\\.){0,200})"', text[:20_000])
        return bool(head) and _start(head, unresolved=[False] * len(head)) is not None
    first_words = set()
    for line in text.splitlines():
        words = [word.strip("\"'") for word in line.split(maxsplit=40)[:40]]
        if not words or words[0].startswith("#"):
            continue
        first_words.add(words[0])
        if _start(words, unresolved=["$" in word or "`" in word for word in words]) is not None:
            return True
    return len(first_words & _OURS) >= 2
