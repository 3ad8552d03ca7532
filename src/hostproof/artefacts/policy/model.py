"""Launch policies as facts: what every bit of the word allows, and where that is defined.

A launch policy is a word that the guest's owner hands to the security manager at launch and that the security manager
enforces. It is only worth something where a verifier compares it: the host starts the VM and can write another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["BitDefinition", "Policy", "PolicyBit", "read_bits"]

MAX_SHOWN_BITS = 64
"""Words that are longer than any policy are not printed in full."""


@dataclass(frozen=True, slots=True)
class BitDefinition:
    """A bit or field as its specification defines it.

    `bit` counts from the least significant one, `width` in bits. `when_set` and `when_clear` are sentences;
    `set_phrase` and `clear_phrase` what a one-line summary says (empty: nothing). `feature` is the catalogue's id that
    the bit decides, true when the bit is set, or when it is clear where `inverted`.
    """

    name: str
    bit: int
    when_set: str
    when_clear: str
    source: str
    width: int = 1
    set_phrase: str = ""
    clear_phrase: str = ""
    feature: str = ""
    inverted: bool = False

    @property
    def mask(self) -> int:
        """The bits of the word that belong to this field."""
        return ((1 << self.width) - 1) << self.bit


@dataclass(frozen=True, slots=True)
class PolicyBit:
    """One bit or field of a policy word with its value, what that value means, and the source that says so."""

    name: str
    bit: int
    value: int
    meaning: str
    source: str
    width: int = 1
    phrase: str = ""
    """What a one-line summary says of it; empty where it is not worth a word."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A decoded policy word.

    `debug_allowed` is None where the word does not decide it. `problems` are sentences about a word that the security
    manager would refuse or that means something else than it seems (reserved bits, a mandatory bit missing).
    """

    technology: str
    label: str
    value: int
    bits: tuple[PolicyBit, ...]
    debug_allowed: bool | None
    problems: tuple[str, ...]
    decided: tuple[tuple[str, bool], ...] = ()

    def features(self) -> dict[str, bool]:
        """The features of the catalogue that this word decides, by id."""
        return dict(self.decided)

    def bit(self, name: str) -> PolicyBit:
        """The bit or field called `name` in the specification. Raises KeyError where this policy has none."""
        for bit in self.bits:
            if bit.name == name:
                return bit
        raise KeyError(name)


def as_hex(value: int) -> str:
    """`value` as people write policies; a word that is longer than any policy is described, not printed."""
    if value.bit_length() > MAX_SHOWN_BITS:
        return f"a number of {value.bit_length()} bits"
    return f"{value:#x}"


def read_bits(
    technology: str,
    label: str,
    value: int,
    definitions: Sequence[BitDefinition],
    *,
    word: int,
    debug: bool | None,
    problems: Sequence[str] = (),
) -> Policy:
    """`value` decoded by `definitions`, a word of `word` bits; bits that no definition covers are a problem.

    A negative number is read as C would store it in that word.
    """
    found = list(problems)
    stored = value & ((1 << word) - 1)
    if value < 0:
        found.append(f"{as_hex(value)} is negative; it is read as {stored:#x}")
    elif value != stored:
        found.append(f"{as_hex(value)} does not fit into the {word} bits of a {label}")
    defined = 0
    bits = []
    decided = []
    for definition in definitions:
        field = (stored & definition.mask) >> definition.bit
        defined |= definition.mask
        bits.append(
            PolicyBit(
                name=definition.name,
                bit=definition.bit,
                value=field,
                meaning=(definition.when_set if field else definition.when_clear).format(value=field),
                source=definition.source,
                width=definition.width,
                phrase=(definition.set_phrase if field else definition.clear_phrase).format(value=field),
            )
        )
        if definition.feature:
            decided.append((definition.feature, bool(field) != definition.inverted))
    reserved = [bit for bit in range(word) if stored & ~defined & (1 << bit)]
    if reserved:
        numbers = ", ".join(str(bit) for bit in reserved)
        found.append(f"reserved bit{'s' if len(reserved) > 1 else ''} {numbers} set: no definition known")
    return Policy(
        technology=technology,
        label=label,
        value=value,
        bits=tuple(bits),
        debug_allowed=debug,
        problems=tuple(found),
        decided=tuple(sorted(decided)),
    )
