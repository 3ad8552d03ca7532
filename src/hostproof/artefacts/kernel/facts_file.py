"""Kernel facts as a small JSON file that needs no kernel binary.

`hostproof kernel-facts` writes it and `assess --kernel` takes it, so that examples and CI jobs need no package.
The encoding is canonical: the same kernel gives the same bytes.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from hostproof.artefacts.kernel.facts import (
    FORMAT,
    Answer,
    ConfigValue,
    Hex256,
    ImageFacts,
    KernelFacts,
    Module,
    Sites,
)
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["MAX_BYTES", "decode", "encode", "looks_like_facts"]

MAX_BYTES = 32 * 1024 * 1024
FORMATS = (FORMAT, "hostproof-kernel-facts/1")
"""Formats that are read. The first version knew nothing of the image."""


def encode(facts: KernelFacts) -> bytes:
    """Canonical JSON of `facts`, one module per line, with a trailing newline.

    Two things are written shorter than the fields are: a configuration value as `["y", 12]` (value and line), and
    neighbouring aliases that differ in one place as `["pci:v00008086d", ["00001000", "00001001"], "sv*sd*bc*sc*i*"]`.
    Fields that hold their default are left out.
    """
    wire: dict[str, object] = {}
    for name in sorted(KernelFacts.__slots__):
        value = getattr(facts, name)
        if name == "config" and value is not None:
            wire[name] = {symbol: (entry.value, entry.line) for symbol, entry in sorted(value.items())}
        elif name not in _OPTIONAL or value not in (None, "", (), {}, True):
            wire[name] = value
    wire["modules"] = [] if facts.modules else facts.modules
    head = msgspec.json.encode(wire, order="sorted")
    if facts.modules:
        lines = b",\n".join(_encode_module(module) for module in facts.modules)
        head = head.replace(b'"modules":[]', b'"modules":[\n' + lines + b"\n]", 1)
    return head + b"\n"


def looks_like_facts(data: bytes) -> bool:
    """Whether this is JSON that says it is kernel facts, of whatever version."""
    try:
        return msgspec.json.decode(data, type=_Head).format.startswith("hostproof-kernel-facts/")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def decode(data: bytes, name: str) -> KernelFacts:
    """The facts that `data` holds. Raises InputError where it is not such a file, naming the field."""
    if len(data) > MAX_BYTES:
        raise InputError(f"kernel facts are larger than {MAX_BYTES >> 20} MiB", place=Place(name))
    try:
        wire = msgspec.json.decode(data, type=_Wire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"not a kernel-facts file: {error}",
            place=Place(name),
            expected=f"the JSON that `hostproof kernel-facts` writes ({FORMAT})",
        ) from None
    if wire.format not in FORMATS:
        raise InputError(
            f"kernel facts of format {wire.format[:80]!r}",
            place=Place(name),
            expected=FORMAT,
            hint="write them again with `hostproof kernel-facts`",
        )
    if not _VERSION.fullmatch(wire.version):
        raise InputError(
            f"{wire.version[:80]!r} is no upstream version of Linux - at `$.version`",
            place=Place(name),
            expected="digits and dots such as 6.1.192, or nothing",
        )
    return wire.facts(name)


_VERSION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9}){0,3}(?:[-~]?rc\d{1,9})?)?", re.ASCII)
_OPTIONAL = frozenset(
    ("package", "image_sha256", "image_name", "config_name", "config_complete", "builtin_aliases", "notes")
    + ("image", "answers", "changelog_cves", "sites_counted")
)
_Group = tuple[str, list[str], str]
_SHARED = 12  # characters that neighbouring aliases must share to be written as a group


class _Head(msgspec.Struct):
    """As much of the file as tells which format it is."""

    format: str = ""


class _WireModule(msgspec.Struct, frozen=True):
    name: str
    path: str
    text_bytes: Annotated[int, Meta(ge=0)]
    text_sha256: Hex256
    aliases: tuple[str | _Group, ...] = ()
    depends: tuple[str, ...] = ()
    code_sha256: str = ""
    sites: dict[str, Sites] = {}
    sources: tuple[str, ...] = ()


class _Wire(msgspec.Struct, frozen=True):
    """The file as it is written."""

    release: str
    version: str
    architecture: str
    source: str
    format: str = FORMAT
    package: str = ""
    image_sha256: str = ""
    image_name: str = ""
    config_name: str = ""
    config: dict[str, ConfigValue | tuple[str, int]] | None = None
    config_complete: bool = True
    builtin: tuple[str, ...] | None = None
    builtin_aliases: dict[str, tuple[str, ...]] = {}
    modules: tuple[_WireModule, ...] | None = None
    notes: tuple[str, ...] = ()
    image: ImageFacts | None = None
    answers: dict[str, Answer] = {}
    changelog_cves: tuple[str, ...] | None = None
    sites_counted: tuple[str, ...] = ()

    def facts(self, name: str) -> KernelFacts:
        fields = {field: getattr(self, field) for field in self.__struct_fields__} | {"format": FORMAT}
        if self.config is not None:
            fields["config"] = {
                symbol: ConfigValue(*entry) if isinstance(entry, tuple) else entry
                for symbol, entry in self.config.items()
            }
        if self.modules is not None:
            budget = MAX_BYTES * 4
            modules = []
            for module in self.modules:
                budget -= _unfolded(module.aliases)
                if budget < 0:
                    raise InputError("the aliases of a kernel-facts file unfold to too much", place=Place(name))
                modules.append(
                    Module(
                        module.name,
                        module.path,
                        module.text_bytes,
                        module.text_sha256,
                        _ungroup(module.aliases),
                        module.depends,
                        module.code_sha256,
                        module.sites,
                        module.sources,
                    )
                )
            fields["modules"] = tuple(modules)
        return KernelFacts(**fields)


def _encode_module(module: Module) -> bytes:
    wire: dict[str, object] = {
        "name": module.name,
        "path": module.path,
        "text_bytes": module.text_bytes,
        "text_sha256": module.text_sha256,
    }
    for name in ("depends", "code_sha256", "sites", "sources"):
        if value := getattr(module, name):
            wire[name] = value
    if module.aliases:
        wire["aliases"] = _group(module.aliases)
    return msgspec.json.encode(wire, order="sorted")


def _group(aliases: tuple[str, ...]) -> list[str | _Group]:
    """Aliases with runs of neighbours that share a beginning and an end written once."""
    out: list[str | _Group] = []
    position = 0
    while position < len(aliases):
        first = aliases[position]
        end = position + 1
        if end < len(aliases):
            start = _common(first, aliases[end])
            rest, other = first[len(start) :], aliases[end][len(start) :]
            tail = _common(rest[::-1], other[::-1])[::-1]
            if len(start) + len(tail) >= _SHARED and start:
                while end < len(aliases) and _fits(aliases[end], start, tail):
                    end += 1
                middles = [alias[len(start) : len(alias) - len(tail)] for alias in aliases[position:end]]
                out.append((start, middles, tail))
                position = end
                continue
        out.append(first)
        position += 1
    return out


def _common(one: str, other: str) -> str:
    """The longest common beginning."""
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return one[:position]
    return min(one, other, key=len)


def _fits(alias: str, start: str, tail: str) -> bool:
    return len(alias) >= len(start) + len(tail) and alias.startswith(start) and alias.endswith(tail)


def _unfolded(aliases: tuple[str | _Group, ...]) -> int:
    """Characters that the groups among `aliases` repeat."""
    groups = (alias for alias in aliases if not isinstance(alias, str))
    return sum((len(start) + len(tail)) * len(middles) for start, middles, tail in groups)


def _ungroup(aliases: tuple[str | _Group, ...]) -> tuple[str, ...]:
    if all(isinstance(alias, str) for alias in aliases):
        return aliases  # type: ignore[return-value]
    out: list[str] = []
    for alias in aliases:
        if isinstance(alias, str):
            out.append(alias)
        else:
            start, middles, tail = alias
            out.extend(start + middle + tail for middle in middles)
    return tuple(out)
