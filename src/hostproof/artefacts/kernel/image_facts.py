"""What an image says of itself: built-in drivers, sites of interfaces in its text, and answers to what is asked.

The image is unpacked once; symbols, types, drivers and code are read from that, each bounded. What an image does not
hold (BTF, symbols of data, a section table), or holds in a form that cannot be read (newer kinds of types), limits what is
told, and a note says so: no answer is made up.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from hostproof.artefacts.kernel.btf import Btf, find_btf, read_btf
from hostproof.artefacts.kernel.facts import Answer, ImageFacts
from hostproof.artefacts.kernel.questions import Questions
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.unpack import OpenImage
from hostproof.artefacts.kernel.vmlinux import Vmlinux
from hostproof.errors import InputError

__all__ = ["ImageReading", "read_image_facts"]

MAX_SOURCES = 4096
"""Names of source files that are kept; Debian's kernels name 1,000 to 1,400."""
MAX_TEXTS = 1 << 17
"""Texts with such a name that are looked at."""
_KMOD = re.compile(r"__initcall__kmod_(\w+?)__\d+_\d+_")


@dataclass(frozen=True, slots=True)
class ImageReading:
    """The facts of an image, and its answers by the name of the fact."""

    facts: ImageFacts
    answers: dict[str, Answer] = field(default_factory=dict)


def read_image_facts(opened: OpenImage, questions: Questions, builtin: Sequence[str] | None) -> ImageReading:
    """What an image says. `builtin` are the names of `modules.builtin`, where known.

    Raises UntoldSymbols where the tables of symbols are damaged, InputError where what they lead to is beyond a limit.
    """
    from hostproof.artefacts.kernel import driver_structures, image_answers, image_code, kallsyms

    kernel = opened.kernel
    name = kernel.name
    symbols = kallsyms.find_kallsyms(kernel)
    types, unread = _types(kernel)
    facts = ImageFacts(
        sha256=hashlib.sha256(opened.data).hexdigest(),
        unpacked_sha256=kernel.sha256,
        types=len(types) if types is not None else 0,
        text_bytes=sum(section.size for section in kernel.sections if section.executable),
        sources=_sources(kernel),
    )
    if symbols is None:
        note = f"{name} holds no kallsyms: nothing is told of its code"
        return ImageReading(replace(facts, notes=(note,)))
    known = builtin if builtin is not None else _initialised(symbols)
    drivers, buses = driver_structures.built_in_drivers(kernel, symbols, types, known)
    if unread:
        buses = dict.fromkeys(buses, "the types of this image cannot be read: the layout of its structures is unknown")
    answers = image_answers.image_answers(kernel, symbols, questions, known)
    facts = replace(
        facts,
        symbols=len(symbols),
        data_symbols=symbols.complete,
        drivers=drivers,
        driver_buses=buses,
        sites=image_code.image_sites(kernel, symbols, questions.interfaces),
        notes=tuple(_limits_of(name, symbols, facts, unread)),
    )
    return ImageReading(facts, answers)


def _types(kernel: Vmlinux) -> tuple[Btf | None, str]:
    """The types of a kernel, and where and why they cannot be read: they are damaged, or newer than their reader."""
    section = find_btf(kernel)
    try:
        return (read_btf(section, f"{kernel.name}!BTF") if section is not None else None), ""
    except InputError as error:
        return None, f"{error.place}: {error.message}"


def _sources(kernel: Vmlinux) -> tuple[str, ...]:
    """The source files that texts outside of its code name, sorted."""
    from hostproof.artefacts.kernel.module_answers import named_sources

    data = (bytes(kernel.bytes_of(section)) for section in kernel.sections if not section.executable)
    found = set(islice((name for part in data for name in named_sources(part)), MAX_TEXTS))
    return tuple(sorted(found)[:MAX_SOURCES])


def _initialised(symbols: Symbols) -> list[str] | None:
    """Built-in modules by the names of their initcalls, where symbols of data are there to tell."""
    found = {match[1]: None for name in symbols.names if (match := _KMOD.match(name))}
    return list(found) or None


def _limits_of(name: str, symbols: Symbols, facts: ImageFacts, unread: str) -> list[str]:
    notes = []
    if not symbols.complete:
        notes.append(f"{name} has no symbols of data (CONFIG_KALLSYMS_ALL): parameters and initcalls are told in part")
    if unread:
        notes.append(f"{unread}; match tables of built-in drivers are not told")
    elif not facts.types:
        notes.append(f"{name} has no BTF (CONFIG_DEBUG_INFO_BTF): match tables of built-in drivers are not told")
    return notes
