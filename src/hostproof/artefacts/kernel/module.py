"""Loadable modules: `.ko` files, plain or packed, and the `.modinfo` in them.

SOURCE: `include/linux/module.h`, `include/linux/moduleparam.h` (MODULE_INFO: `tag=value`, NUL-terminated, in section
`.modinfo`), `scripts/mod/modpost.c` (`name=`, `depends=`, `vermagic=`, `alias=`); `kernel/module/Kconfig` for the packings
`.gz`, `.xz` and `.zst` (`.lz4` was proposed and is read too).

Text is the sum of `sh_size` over the sections with SHF_EXECINSTR whose names do not start with `.init` or `.exit`:
`.text`, `.text.unlikely`, `.noinstr.text`, `.static_call.text` and the like, what the processor may fetch as long as the
module is loaded. By this definition the modules of Debian's 6.1.192-1 have 65.35 MiB; with the sections for
initialisation and removal they would have 65.85.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hostproof.artefacts.archive.decompress import detect, whole
from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.kernel.elf import SHT_NOBITS, Elf, read_elf
from hostproof.artefacts.kernel.facts import Answer, Module
from hostproof.artefacts.kernel.questions import Questions
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["SUFFIXES", "ModuleFile", "canonical", "modinfo", "read_module", "read_modules"]

Buffer = bytes | memoryview

SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz", ".ko.lz4", ".ko.bz2")
MAX_INFO = 2 << 20


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A module with what its file says besides: the architecture, and the release at the start of `vermagic`.

    `answers` are those to the questions that name this module, by the name of the fact.
    """

    module: Module
    architecture: str
    release: str
    answers: dict[str, Answer] = field(default_factory=dict)


def canonical(name: str) -> str:
    """The name as the kernel uses it: `-` becomes `_`, no directory, no suffix."""
    base = name.rpartition("/")[2]
    for suffix in (*SUFFIXES, ".o"):
        if base.endswith(suffix):
            base = base[: -len(suffix)]
            break
    return base.replace("-", "_")


def modinfo(data: Buffer) -> list[tuple[str, str]]:
    """The `key=value` strings of a `.modinfo` section or of `modules.builtin.modinfo`, in order.

    Strings without `=` are left out: they are padding.
    """
    pairs = []
    for item in bytes(data).split(b"\0"):
        key, equals, value = item.partition(b"=")
        if equals:
            pairs.append((key.decode("utf-8", "backslashreplace"), value.decode("utf-8", "backslashreplace")))
    return pairs


def read_module(
    data: Buffer, path: str, name: str, limits: Limits = DEFAULT, questions: Questions | None = None
) -> ModuleFile:
    """The module in a `.ko` file; `path` is its path below the modules directory, `name` the artefact in messages.

    With `questions` also its sites by interface, the digest of its code, the source files that it names, and answers;
    without, none of these is computed. Offsets are into the unpacked file.

    Raises InputError naming the module and the offset where the file is malformed, or holds no `.modinfo`.
    """
    return read_modules([(data, path, name)], limits, questions)[0]


def read_modules(
    files: Iterable[tuple[Buffer, str, str]], limits: Limits = DEFAULT, questions: Questions | None = None
) -> list[ModuleFile]:
    """`read_module` for several (data, path, name). Instructions are then searched in all of them at once, which saves a
    third of the time; the unpacked files are held until it returns.
    """
    read = [_read(data, path, name, limits) for data, path, name in files]
    return [file for file, _ in read] if questions is None else _examined(read, questions)


def _read(data: Buffer, path: str, name: str, limits: Limits) -> tuple[ModuleFile, Elf]:
    if detect(bytes(data[:8])) is not None:
        data = whole(bytes(data), name, limits)
    elf = read_elf(data, name)
    section = elf.section(".modinfo")
    if section is None or section.size > MAX_INFO:
        raise InputError(
            "no usable .modinfo section",
            place=Place(name, offset=0),
            expected="a kernel module",
            hint="is this file a module? remove it, or download the package again",
        )
    info: dict[str, str] = {}
    aliases: list[str] = []
    for key, value in modinfo(elf.bytes_of(section)):
        if key == "alias":
            aliases.append(value)
        else:
            info.setdefault(key, value)
    size, digest = _text(elf)
    module = Module(
        name=canonical(info.get("name") or path),
        path=path,
        text_bytes=size,
        text_sha256=digest,
        aliases=tuple(dict.fromkeys(aliases)),
        depends=tuple(canonical(other) for other in info.get("depends", "").split(",") if other),
    )
    return ModuleFile(module, elf.architecture, info.get("vermagic", "").partition(" ")[0]), elf


def _examined(files: list[tuple[ModuleFile, Elf]], questions: Questions) -> list[ModuleFile]:
    """The same modules with what their code says."""
    from hostproof.artefacts.kernel.code_digest import code_digest
    from hostproof.artefacts.kernel.module_answers import answer, source_files
    from hostproof.artefacts.kernel.module_code import count_sites, find_instructions, read_code

    codes = [read_code(elf) for _, elf in files]
    examined = []
    instructions = find_instructions(codes, questions.interfaces)
    for (file, elf), code, found in zip(files, codes, instructions, strict=True):
        module = replace(
            file.module,
            code_sha256=code_digest(code),
            sites=count_sites(code, questions.interfaces, found),
            sources=source_files(elf),
        )
        answers = answer(code, questions, module.name, module.path)
        examined.append(replace(file, module=module, answers=answers))
    return examined


def _text(elf: Elf) -> tuple[int, str]:
    """Size and digest of the text."""
    sections = [section for section in elf.text() if section.type != SHT_NOBITS]
    size = sum(section.size for section in sections)
    if size > len(elf.data):
        place = Place(elf.name, offset=sections[-1].offset)
        raise InputError(f"executable sections overlap: {size} bytes in all", place=place, expected="a kernel module")
    digest = hashlib.sha256()
    for section in sections:
        digest.update(elf.bytes_of(section))
    return size, digest.hexdigest()
