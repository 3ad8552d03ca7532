"""The files of an initrd as they stand once the kernel has unpacked it, and the few whose bytes say something.

Later members replace earlier ones. Names are taken below the root of the initrd whatever they say: `/` and `./` in front
mean nothing, `..` stops at the root, and a link leads to another file of the initrd or nowhere. Nothing is looked up outside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hostproof.artefacts.archive.limits import MIB
from hostproof.artefacts.archive.member import Member
from hostproof.artefacts.initrd.model import Found
from hostproof.artefacts.initrd.program import Program, read_program
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["Contents", "Entry"]

MAX_ENTRIES = 200_000
MAX_NAMES = 16 * MIB
MAX_DIRECTORIES = 100_000
MAX_TEXT = 1 * MIB
MAX_TEXTS = 64 * MIB
MAX_PROGRAM = 128 * MIB
MAX_LINKS = 40  # as many as the kernel follows (MAXSYMLINKS of include/linux/namei.h)
ACPI_HEADER = 36

MODULE = re.compile(r"(?:^|/)([^/]+)\.ko(?:\.gz|\.xz|\.zst)?$")
_TEXT = re.compile(
    r"(^|/)modprobe\.d/[^/]+\.conf$|(^|/)modprobe\.conf$|(^|/)modules-load\.d/[^/]+\.conf$|^conf/modules$|^etc/modules$"
    r"|^etc/cmdline$|(^|/)cmdline\.d/[^/]+\.conf$|(^|/)lib/modules/[^/]+/modules\.dep$|(^|/)initrd-release$"
    r"|(^|/)udev/rules\.d/[^/]+\.rules$"
)
_NO_PROGRAM = re.compile(r"(^|/)lib/firmware/|(^|/)lib/modules/|^kernel/|\.so(\.|$)")
MICROCODE = "kernel/x86/microcode/"
ACPI = "kernel/firmware/acpi/"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name: its kind as in `archive.member`, what a link names, and where it was read."""

    kind: str
    target: str
    place: Place


@dataclass(slots=True)
class Contents:
    """Everything that the segments hold. `take` is told each member in order; the rest asks once all are told."""

    entries: dict[str, Entry] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    microcode: list[Found] = field(default_factory=list)
    acpi_tables: list[Found] = field(default_factory=list)
    late_tables: list[str] = field(default_factory=list)
    """ACPI tables that stand where the kernel does not look for them."""
    unseen: list[str] = field(default_factory=list)
    """Files that may be programs and are too large to look into."""
    _held: int = 0
    _named: int = 0
    _directories: dict[str, str] = field(default_factory=dict)

    def take(self, member: Member, segment: Place, early: bool) -> None:
        """Notes a member. Raises InputError beyond the limits."""
        path = _normal(member.name)
        place = Place(f"{segment.artefact}!{path}", offset=None, path=f"segment at {segment.offset:#x}")
        if not path:
            return
        self._named += len(path) + len(member.target)
        if len(self.entries) >= MAX_ENTRIES or self._named > MAX_NAMES:
            raise InputError(
                f"more than {MAX_ENTRIES} files, or names of more than {MAX_NAMES >> 20} MiB",
                place=segment,
                expected="an initrd",
            )
        if member.kind == "directory" and path in self.entries:
            return
        self.entries[path] = Entry(member.kind, member.target, place)
        for other in member.also:
            self.entries[_normal(other)] = Entry("hardlink", member.name, place)
        self.programs.pop(path, None)
        self.texts.pop(path, None)
        if member.kind == "file" and member.size:
            self._bytes(member, path, place, early)

    def _bytes(self, member: Member, path: str, place: Place, early: bool) -> None:
        if member.name.startswith((MICROCODE, ACPI)):
            self._early(member, path, place, early)
        elif _TEXT.search(path):
            if member.size > MAX_TEXT and not path.endswith("modules.dep"):
                raise InputError(f"{path!r} has {member.size} bytes", place=place, expected=f"at most {MAX_TEXT}")
            self._held += member.size
            if self._held > MAX_TEXTS:
                raise InputError(f"configuration files of more than {MAX_TEXTS >> 20} MiB", place=place)
            self.texts[path] = bytes(member.read())
        elif not MODULE.search(path) and not _NO_PROGRAM.search(path):
            if member.size > MAX_PROGRAM:
                self.unseen.append(
                    f"{path}: {member.size >> 20} MiB, not looked into: a loader in it would not be seen"
                )
                return
            program = read_program(member.read())
            if program is not None:
                self.programs[path] = program

    def _early(self, member: Member, path: str, place: Place, early: bool) -> None:
        if member.name.startswith(MICROCODE):
            if early:
                self.microcode.append(Found(path, place))
            return
        data = bytes(member.read()[:ACPI_HEADER])
        signature = data[:4].decode("ascii", "backslashreplace")
        if early and len(data) == ACPI_HEADER:
            self.acpi_tables.append(Found(path, place, signature))
        else:
            self.late_tables.append(path)

    def resolve(self, path: str) -> str | None:
        """The path of the file that `path` leads to inside the initrd, or None where it leads nowhere."""
        path = _normal(path)
        for _ in range(MAX_LINKS):
            head, _, name = path.rpartition("/")
            directory = self._directory(head)
            if directory is None:
                return None
            path = f"{directory}/{name}" if directory else name
            entry = self.entries.get(path)
            if entry is None:
                return None
            if entry.kind == "hardlink":
                path = _normal(entry.target)
            elif entry.kind == "symlink":
                path = _normal(entry.target if entry.target.startswith("/") else f"{directory}/{entry.target}")
            else:
                return path
        return None

    def _directory(self, path: str, depth: int = 0) -> str | None:
        """The directory that `path` leads to; each one is found once."""
        if not path:
            return ""
        known = self._directories.get(path)
        if known is not None:
            return known if known != _NOWHERE else None
        if len(self._directories) >= MAX_DIRECTORIES:  # links to links can name far more than there are
            place = next(iter(self.entries.values())).place
            raise InputError(f"links name more than {MAX_DIRECTORIES} directories", place=place, expected="an initrd")
        self._directories[path] = _NOWHERE  # until it is found: a link that leads through itself finds this
        found = self._follow(path, depth + 1) if depth < _DEEPEST else None
        self._directories[path] = _NOWHERE if found is None else found
        return found

    def _follow(self, path: str, depth: int) -> str | None:
        head, _, name = path.rpartition("/")
        directory = self._directory(head, depth)
        if directory is None:
            return None
        real = f"{directory}/{name}" if directory else name
        entry = self.entries.get(real)
        if entry is None or entry.kind != "symlink":
            return real
        target = entry.target if entry.target.startswith("/") else f"{directory}/{entry.target}"
        return self._directory(_normal(target), depth)

    def settle(self) -> None:
        """Puts every name, text and program into the directory that it is really in (`lib/x` in `usr/lib` where `lib` leads
        there). Once, after the last member.
        """
        entries = {real: entry for path, entry in self.entries.items() if (real := self._real(path)) is not None}
        self.texts = {real: text for path, text in self.texts.items() if (real := self._real(path)) is not None}
        self.programs = {real: item for path, item in self.programs.items() if (real := self._real(path)) is not None}
        self.entries = entries

    def _real(self, path: str) -> str | None:
        head, _, name = path.rpartition("/")
        directory = self._directory(head)
        if directory is None:
            return None
        return f"{directory}/{name}" if directory else name

    def found(self, path: str, text: str = "") -> Found | None:
        """The file that `path` leads to, as evidence under the name that was asked for."""
        real = self.resolve(path)
        if real is None or self.entries[real].kind == "directory":
            return None
        return Found(path, self.entries[real].place, text)

    def program(self, path: str) -> Program | None:
        """The program that `path` leads to."""
        real = self.resolve(path)
        return None if real is None else self.programs.get(real)


_NOWHERE = "\0"
_DEEPEST = 100


def _normal(name: str) -> str:
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
