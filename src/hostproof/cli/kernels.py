"""The kernel that a person names: read once with everything that the catalogue asks of it, then taken from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hostproof.artefacts.kernel import facts_file
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.artefacts.kernel.questions import SPACES, Interface, Questions
from hostproof.cli import files, kernel_cache
from hostproof.cli.progress import Report
from hostproof.knowledge.load import Catalogue

__all__ = ["joined", "questions", "read", "read_all"]

HEAD = 64


def questions(known: Catalogue) -> Questions:
    """Everything that the catalogue asks of a kernel's image, modules and changelog."""
    return Questions(
        interfaces=tuple(
            Interface(record.id, tuple(record.functions), tuple(record.instructions))
            for record in known.interfaces.values()
        ),
        facts=frozenset(name for name in known.asked() if name.partition(".")[0] in SPACES),
        titles={name: tuple(record.titles) for name, record in known.mechanisms_by_fact.items() if record.titles},
    )


def read(
    name: str,
    known: Catalogue,
    *,
    config: str | None = None,
    modules: str | None = None,
    report: Report | None = None,
) -> KernelFacts:
    """The facts of the kernel in the input `name`; `config` is its configuration and `modules` its modules where they
    stand apart. Raises InputError.
    """
    path = Path(name)
    head = _head(path)
    if head.startswith(b"{") and config is None and modules is None:
        return facts_file.decode(
            files.read_bytes(name, "the kernel facts", limit=facts_file.MAX_BYTES), files.label(name)
        )
    asked = questions(known)
    beside = [Path(other) if other else None for other in (config, modules)]
    cache = kernel_cache.opened() if head and not head.startswith((b"{", b"#")) else None
    given = [path, *(other for other in beside if other)]
    about = f"{asked.digest()} {[str(other) for other in beside]}"
    key = cache.key(given, about) if cache is not None else None
    if cache is not None and key is not None and (found := cache.get(key)) is not None:
        return found
    from hostproof.artefacts.kernel.read import read_kernel

    facts = read_kernel(path, config=beside[0], modules=beside[1], progress=report, questions=asked)
    if cache is not None and key is not None and cache.key(given, about) == key:  # else it was written to meanwhile
        cache.put(key, facts)
    return facts


def read_all(
    names: Sequence[str],
    known: Catalogue,
    *,
    config: str | None = None,
    modules: str | None = None,
    report: Report | None = None,
) -> KernelFacts:
    """The facts of one kernel that stands in several inputs, for distributions that split it. Raises InputError."""
    facts = read(names[0], known, config=config, modules=modules, report=report)
    return joined(facts, names[1:], known, report=report)


def joined(facts: KernelFacts, names: Sequence[str], known: Catalogue, *, report: Report | None = None) -> KernelFacts:
    """These facts with those of the other inputs of the same kernel. Raises InputError."""
    for name in names:
        from hostproof.artefacts.kernel.read import merge

        facts = merge(facts, read(name, known, report=report))
    return facts


def _head(path: Path) -> bytes:
    """How a file begins, blanks left out; nothing where it is no regular file, or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEAD).lstrip()
    except OSError:
        return b""
