"""The words of the threat model, as types.

The vocabulary is that of `Documentation/security/snp-tdx-threat-model.rst` (Linux commit 1f597b1a6ec2) and of the
mailing-list review that shaped it; a word has one meaning in the whole project.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "Checked",
    "Coverage",
    "Direction",
    "Kind",
    "Objective",
    "Presence",
    "Status",
    "Threat",
    "Tree",
    "Verdict",
]


class Kind(StrEnum):
    """How a channel delivers what the host controls."""

    READ = "R"
    """The guest reads host data synchronously (port I/O, CPUID answers, configuration space)."""
    ASYNCHRONOUS = "A"
    """An event at a time that the host chooses (interrupt, page fault, hot-plug)."""
    SHARED = "S"
    """Memory that both sides write (rings, bounce buffers)."""
    LAUNCH = "L"
    """Chosen before the guest runs (firmware, kernel, command line, tables)."""
    OBSERVATION = "O"
    """Nothing is fed: the host learns (ciphertext, page faults, timing)."""


class Direction(StrEnum):
    """Which way data moves on a channel."""

    TO_GUEST = "host-to-guest"
    FROM_GUEST = "guest-to-host"
    BOTH = "both"


class Objective(StrEnum):
    """The security objectives of the kernel's document. Denial of service by the host is no objective, ever."""

    O1 = "O1"
    """Confidentiality and integrity of the guest's private memory and registers."""
    O2 = "O2"
    """No privilege escalation from the host into the guest kernel."""


class Threat(StrEnum):
    """The four threats of the kernel's document."""

    T1 = "T1"
    """Malicious configuration of the guest at launch."""
    T2 = "T2"
    """Attacks on guest data in transit: confidentiality, integrity, freshness."""
    T3 = "T3"
    """Malformed run-time input."""
    T4 = "T4"
    """Malicious but well-formed run-time input: time, entropy, order and timing of events."""


class Status(StrEnum):
    """What a row of the ledger says. The order is the order in which a report lists them."""

    OPEN = "open"
    """The host can feed it and nothing stops it."""
    UNKNOWN = "unknown"
    """The facts needed were not given. Never counts as closed, never as a finding."""
    ACCEPTED = "accepted"
    """A waiver with reason, owner and expiry."""
    HARDENED = "hardened"
    """The guest consumes it, and a named audit or campaign, bound to a digest of the code it tested, found nothing."""
    SEALED = "sealed"
    """The data is protected end to end."""
    REFUSED = "refused"
    """A mechanism found in this guest makes it not consume the input."""
    ATTESTED = "attested"
    """A measurement covers the input and a verifier's policy checks that measurement."""
    PREVENTED = "prevented"
    """The security manager stops every primitive that would feed it."""
    OUT_OF_SCOPE = "out-of-scope"
    """A rule of the threat model excludes it."""
    ABSENT = "absent"
    """The channel does not exist here."""

    @property
    def closed(self) -> bool:
        """Whether the row counts as closed: neither `open` nor `unknown`."""
        return self not in (Status.OPEN, Status.UNKNOWN)


class Presence(StrEnum):
    """What is known of one driver or device in this VM. The definition is written by the adversary: it proves
    nothing about what the guest will be fed.
    """

    CONFIGURED = "configured"
    """The VM definition (or its board) presents the device."""
    PRESENTABLE = "presentable"
    """The definition does not, but the host may, and this guest binds code to it."""
    ABSENT = "absent"
    """This guest has no code for it, or cannot load it."""
    UNKNOWN = "unknown"
    """No facts about the guest were given that would tell."""


class Checked(StrEnum):
    """How far a fact was checked against its source. `unchecked` never decides a row."""

    PRIMARY = "primary"
    """The primary text was read: specification, source file, mail, paper."""
    ABSTRACT = "abstract"
    """An abstract, excerpt or vendor text of the primary was read."""
    SECONDARY = "secondary"
    """A document that cites the primary was read."""
    UNCHECKED = "unchecked"
    """General knowledge of the field; the address was not opened."""


class Verdict(StrEnum):
    """What a security manager does to a primitive."""

    PREVENTED = "prevented"
    POSSIBLE = "possible"


class Tree(StrEnum):
    """Where a mitigation lives."""

    MAINLINE = "mainline"
    VENDOR = "vendor"
    """In a vendor's or distribution's tree only; a stock kernel does not have it."""
    BROKEN = "broken"
    """In mainline, but it cannot be enabled (its Kconfig depends on BROKEN)."""
    FIRMWARE = "firmware"
    USER_SPACE = "user-space"
    PLATFORM = "platform"
    """Silicon, microcode or the security manager."""


class Coverage(StrEnum):
    """How a launch measurement covers an input."""

    CONTENT = "content"
    PRESENCE = "presence"
    """Only that it is there and where, not what it holds."""
    REPORT = "report"
    """Not measured, but a signed field of the report."""
    NONE = "none"
