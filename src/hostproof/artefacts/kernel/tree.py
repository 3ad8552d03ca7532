"""A kernel's files by their place in a root file system, whatever they came in.

Packages, payloads and directories are walked by others; what they meet is offered here by path. Wanted are::

    boot/config-RELEASE, boot/vmlinuz-RELEASE (vmlinux, Image, image)
    [usr/]lib/modules/RELEASE/config, vmlinuz              as Fedora, Arch and openSUSE install them
    [usr/]lib/modules/RELEASE/modules.builtin, modules.builtin.modinfo, modules.order
    [usr/]lib/modules/RELEASE/**/*.ko[.gz|.xz|.zst|.lz4]
    usr/share/doc/linux-{image,base,modules}-RELEASE/changelog[.Debian][.gz]

SOURCE: `scripts/Makefile.modinst` and `scripts/package/` of Linux; depmod.d(5) for `updates` before other directories.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hostproof.artefacts.archive.decompress import detect
from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.archive.member import inside
from hostproof.artefacts.kernel import builtin
from hostproof.artefacts.kernel.changelog import Changelog, read_changelog
from hostproof.artefacts.kernel.config import Config, read_config
from hostproof.artefacts.kernel.facts import Answer, Module
from hostproof.artefacts.kernel.image import Image, read_image
from hostproof.artefacts.kernel.module import SUFFIXES, ModuleFile, read_modules
from hostproof.artefacts.kernel.questions import Questions
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["Parts", "Progress", "Reading", "Tree", "open_tree", "preferred", "workers"]

Progress = Callable[[str, int, int], None]
"""Told what is being read, and how much of how much is done (bytes or files)."""

_MODULES = re.compile(r"(?:usr/)?lib/modules/([^/]+)/(.+)", re.DOTALL)
_BOOT = re.compile(r"boot/(config|vmlinuz|vmlinux|Image|image|bzImage)-([^/]+)", re.DOTALL)
_CHANGELOG = re.compile(
    r"usr/share/doc/linux-(?:image|base|modules)-([^/]+?)(?:-unsigned)?/changelog(?:\.Debian)?(?:\.gz)?"
)
_BESIDE = {
    "config": "config",
    "vmlinuz": "image",
    "vmlinuz.unsigned": "image",  # Debian since 7.0: linux-binary-unsigned-RELEASE
    "modules.order": "order",
    "modules.builtin": "builtin",
    "modules.builtin.modinfo": "modinfo",
}
MAX_NOTES = 20
BATCH = 64  # modules that are read together, or as many as unpack to about BATCH_BYTES
BATCH_BYTES = 8 << 20
PACKED = 4  # how many times its size a packed module unpacks to, about
IN_FLIGHT = 4  # batches that wait for a thread
MAX_ALIASES = 64 << 20  # characters of all aliases of a kernel; Debian's stock kernel has one million

MAX_NAMES = (
    16 << 20
)  # characters of names of functions and source files in what modules say; with that kernel 0.4 million


def workers() -> int:
    """Threads for decompression: the processors of this machine, two to four."""
    return max(2, min(4, os.cpu_count() or 2))


@dataclass(frozen=True, slots=True)
class Reading:
    """How a kernel is read: what is asked of its code (None: nothing), who is told of progress, and the bounds."""

    questions: Questions | None = None
    progress: Progress | None = None
    limits: Limits = DEFAULT


@dataclass(slots=True)
class Parts:
    """What was found of one release."""

    release: str
    modules: dict[str, ModuleFile] = field(default_factory=dict)
    """By path below the modules directory."""
    has_modules_directory: bool = False
    config: Config | None = None
    config_name: str = ""
    image: Image | None = None
    image_name: str = ""
    image_sha256: str = ""
    image_data: bytes = field(default=b"", repr=False)
    """The image itself, where its code is asked about."""
    builtin: tuple[str, ...] | None = None
    builtin_aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ordered: tuple[str, ...] = ()
    """The modules that the build made, from `modules.order`; a split package holds a part of them."""


class Tree:
    """Collects parts by release. Use `open_tree`, which ends its threads."""

    def __init__(self, source: str, pool: ThreadPoolExecutor, reading: Reading) -> None:
        self.source = source
        self.limits = reading.limits
        self.questions = reading.questions
        self.changelogs: dict[str, Changelog] = {}
        """By the release that the name of their package says."""
        self.parts: dict[str, Parts] = {}
        self.notes: list[str] = []
        self.members = 0
        self._pool = pool
        self._batch: list[tuple[Parts, tuple[bytes | memoryview, str, str]]] = []
        self._batch_bytes = 0
        self._pending: deque[tuple[list[Parts], Future[list[ModuleFile]]]] = deque()
        self._aliases = 0
        self._names = 0

    def wants(self, path: str) -> bool:
        """Whether the file at `path` is one to `add`."""
        return _classify(path) is not None or _CHANGELOG.fullmatch(path) is not None

    def directory(self, path: str) -> None:
        """Notes that a directory exists: a modules directory without modules is a fact too."""
        found = _MODULES.fullmatch(path.rstrip("/") + "/.")
        if found and "/" not in found[2]:
            self._of(found[1]).has_modules_directory = True

    def add(self, path: str, data: bytes | memoryview) -> None:
        """Reads the file at `path`. Raises InputError naming it."""
        name = f"{self.source}!{path}"
        if owner := _CHANGELOG.fullmatch(path):
            if self.questions is not None and owner[1] not in self.changelogs:
                self.changelogs[owner[1]] = read_changelog(bytes(data), name, self.limits)
            return
        found = _classify(path)
        if found is None:
            return
        kind, release, rest = found
        parts = self._of(release)
        if kind == "module":
            self._add_module(parts, rest, name, data)
        elif kind == "config" and parts.config is None:
            parts.config = read_config(bytes(data), name)
            parts.config_name = path
            self.notes.extend(parts.config.notes)
        elif kind == "image" and parts.image is None:
            parts.image = read_image(bytes(data), name)
            parts.image_name = path
            parts.image_sha256 = hashlib.sha256(data).hexdigest()
            parts.image_data = bytes(data) if self.questions is not None else b""
        elif kind == "builtin":
            parts.builtin = builtin.read_module_list(bytes(data), name)
        elif kind == "order":
            parts.ordered = builtin.read_module_list(bytes(data), name)
        elif kind == "modinfo":
            parts.builtin_aliases = builtin.read_builtin_aliases(bytes(data), name)

    def link(self, path: str, target: str, *, hard: bool) -> None:
        """A link at `path`. A module that is a hard link to one read before is that module again; a symbolic link to
        a wanted file is noted, as its target stands in the archive under its own name or nowhere.
        """
        found = _classify(path)
        if found is None:
            return
        kind, release, rest = found
        original = _classify(inside(target) or "") if hard else None
        if original is not None and kind == "module" and original[0] == "module":
            self._settle()
            file = self._of(original[1]).modules.get(original[2])
            if file is not None:
                answers = {name: replace(answer, module=rest) for name, answer in file.answers.items()}
                again = replace(file, module=replace(file.module, path=rest), answers=answers)
                self._keep(self._of(release), rest, again)
                return
        self.note(f"{path} is a link to {target}, which was not followed")

    def note(self, text: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(text)
        elif len(self.notes) == MAX_NOTES:
            self.notes.append("further notes of this kind were left out")

    def finish(self) -> dict[str, Parts]:
        """The parts by release, once everything was offered."""
        self._settle()
        return self.parts

    def _add_module(self, parts: Parts, path: str, name: str, data: bytes | memoryview) -> None:
        """Modules are read in batches: what is searched in their code is searched in all of a batch at once."""
        parts.has_modules_directory = True
        self._batch.append((parts, (data, path, name)))
        self._batch_bytes += len(data) * (1 if detect(bytes(data[:8])) is None else PACKED)
        if len(self._batch) >= BATCH or self._batch_bytes >= BATCH_BYTES:
            self._send()

    def _send(self) -> None:
        """Has the batch read in a thread, and takes what others have read where too many wait."""
        if not self._batch:
            return
        files = [file for _, file in self._batch]
        future = self._pool.submit(read_modules, files, self.limits, self.questions)
        self._pending.append(([parts for parts, _ in self._batch], future))
        self._batch, self._batch_bytes = [], 0
        while len(self._pending) > IN_FLIGHT:
            self._take()

    def _take(self) -> None:
        owners, future = self._pending.popleft()
        for parts, file in zip(owners, future.result(), strict=True):
            self._keep(parts, file.module.path, file)

    def _keep(self, parts: Parts, path: str, file: ModuleFile) -> None:
        module = file.module
        self._aliases += sum(map(len, module.aliases)) + sum(map(len, module.depends))
        if self._aliases > MAX_ALIASES:
            raise InputError(
                f"aliases and dependencies of more than {MAX_ALIASES >> 20} MiB",
                place=Place(f"{self.source}!{path}"),
                expected="a kernel package",
            )
        self._names += sum(sum(map(len, sites.functions)) for sites in module.sites.values())
        self._names += sum(map(len, module.sources)) + sum(map(_length, file.answers.values()))
        if self._names > MAX_NAMES:
            raise InputError(
                f"names of functions and source files of more than {MAX_NAMES >> 20} MiB",
                place=Place(f"{self.source}!{path}"),
                expected="a kernel package",
            )
        parts.modules[path] = file

    def _settle(self) -> None:
        self._send()
        while self._pending:
            self._take()

    def _of(self, release: str) -> Parts:
        return self.parts.setdefault(release, Parts(release))


@contextmanager
def open_tree(source: str, reading: Reading) -> Iterator[Tree]:
    """A tree whose threads end with the block, also when it fails."""
    with ThreadPoolExecutor(workers()) as pool:
        try:
            yield Tree(source, pool, reading)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _classify(path: str) -> tuple[str, str, str] | None:
    """Kind, release and path below the modules directory, of a file that is wanted."""
    if found := _MODULES.fullmatch(path):
        if found[2].endswith(SUFFIXES):
            return "module", found[1], found[2]
        kind = _BESIDE.get(found[2])
        return (kind, found[1], found[2]) if kind else None
    if found := _BOOT.fullmatch(path):
        return ("config" if found[1] == "config" else "image"), found[2], path
    return None


def _length(answer: Answer) -> int:
    return sum(map(len, answer.value)) if isinstance(answer.value, tuple) else 0


def preferred(modules: dict[str, ModuleFile]) -> tuple[list[Module], list[str]]:
    """The modules by path, one per name: depmod takes `updates` before other directories. Also notes on the others."""
    by_name: dict[str, Module] = {}
    notes = []
    for path in sorted(modules, key=lambda path: (not path.startswith("updates/"), path)):
        module = modules[path].module
        kept = by_name.setdefault(module.name, module)
        if kept is not module:
            notes.append(f"module {module.name} is there twice; {kept.path} is taken before {module.path}")
    return sorted(by_name.values(), key=lambda module: module.path), notes
