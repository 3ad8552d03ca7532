"""The records of the catalogue about code: mechanisms, interfaces, drivers, and audits of them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from hostproof.knowledge.sourced import Condition, Identifier, Sentence, Sourced

__all__ = ["Audit", "BuiltinDriver", "Interface", "LegacyCode", "Mechanism"]


class Mechanism(Sourced, frozen=True, kw_only=True):
    """Something that a guest kernel has or has not, and how to tell: the fact `mechanism.ID` (`-` written `_`).

    The image is asked first (`image`: facts `symbol.`, `calls.`, `instruction.`, `parameter.`, `initcall.`, `section.`);
    where it cannot tell, configuration, version and the package's changelog (`package`: facts `config.`, `module.`,
    `kernel.`, `changelog.ID`). The row says which of the two answered. Only what no image shows has no `image`; `note`
    then says why.
    """

    id: Identifier
    name: Sentence
    image: Condition = ""
    package: Condition = ""
    titles: list[Sentence] = field(default_factory=list)
    """Titles of the commits that brought it, as a package's changelog lists them: the fact `changelog.ID`."""
    commits: list[Annotated[str, Meta(pattern="^[0-9a-f]{12,40}$")]] = field(default_factory=list)
    since: str = ""
    """The mainline release that has it first, for people; `package` decides."""
    note: str = ""


class Interface(Sourced, frozen=True, kw_only=True):
    """A way in which guest code reads host input, as binaries show it: calls of `functions` (one that ends in `*` stands
    for all that begin so) and executed `instructions`.
    """

    id: Identifier
    name: Sentence
    channels: Annotated[list[str], Meta(min_length=1)]
    functions: list[str] = field(default_factory=list)
    instructions: list[str] = field(default_factory=list)
    weight: Annotated[int, Meta(ge=0, le=3)] = 1
    """How directly a site reads host data: 3 a value that the host chooses, 2 a buffer that it fills or a mapping through
    which it is read, 1 a hook by which it acts, 0 a preparation. Orders reports; decides nothing.
    """
    blind: Sentence
    """What counting sites of this interface cannot see."""


class LegacyCode(Sourced, frozen=True, kw_only=True):
    """Code that binds without a match table: it probes a fixed place, or board code makes its device."""

    module: Identifier
    name: Sentence
    rows: Annotated[list[Annotated[str, Meta(pattern="^C[0-9]{2}/[A-Za-z0-9_.-]+$")]], Meta(min_length=1)]
    """The rows that it feeds, as CHANNEL/INSTANCE. One that the catalogue has no instance for is a row by this record."""
    probes: Sentence
    """What it reads of the host, and where: ports, memory, a table."""
    when: Sentence
    """When it runs: at boot, on loading, on an option."""
    present: Condition
    """When this guest has the code and runs it."""


class BuiltinDriver(Sourced, frozen=True, kw_only=True):
    """Match keys of a driver, for kernels that build it in and carry no aliases for it."""

    module: Identifier
    aliases: Annotated[list[str], Meta(min_length=1)]


class Audit(Sourced, frozen=True, kw_only=True):
    """A named audit or campaign of a driver's interface, bound to a digest of the code that it tested."""

    id: Identifier
    driver: Identifier
    rows: list[str]
    code_sha256: str
    """SHA-256 of the executable sections it tested; empty where the audit published none: it is then always stale."""
    date: str
    finding: Sentence
