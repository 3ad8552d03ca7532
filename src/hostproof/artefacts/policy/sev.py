"""SEV and SEV-ES guest policy: the 32-bit word of LAUNCH_START

| bits | name | set means |
|---|---|---|
| 0 | NODBG | debugging is not allowed |
| 1 | NOKS | sharing keys with other guests is not allowed |
| 2 | ES | SEV-ES is required |
| 3 | NOSEND | sending the guest to another platform is not allowed |
| 4 | DOMAIN | the guest may only be sent to a platform of the same domain |
| 5 | SEV | the guest may only be sent to a platform that has SEV |
| 15:6 | reserved, zero | |
| 23:16 | API_MAJOR | least firmware API, major number |
| 31:24 | API_MINOR | least firmware API, minor number |

Source: AMD 55766 "Secure Encrypted Virtualization API", chapter "Guest Policy"; the same masks in Linux
`include/linux/psp-sev.h` (commit 0eaed89c18ae), `SEV_POLICY_MASK_*`, and QEMU 10.0 `target/i386/sev.h`.
NODBG is a prohibition: a policy of 0 allows the host to decrypt guest memory with DBG_DECRYPT.
"""

from __future__ import annotations

from hostproof.artefacts.policy.bits import SEV_ES, SEV_NODBG
from hostproof.artefacts.policy.model import BitDefinition, Policy, read_bits

__all__ = ["DEFINITIONS", "decode_sev"]

SOURCE = "AMD 55766, Guest Policy; Linux include/linux/psp-sev.h SEV_POLICY_MASK_{}"


def _bit(
    name: str,
    bit: int,
    when_set: str,
    when_clear: str,
    *,
    width: int = 1,
    set_phrase: str = "",
    clear_phrase: str = "",
    feature: str = "",
    inverted: bool = False,
) -> BitDefinition:
    return BitDefinition(
        name, bit, when_set, when_clear, SOURCE.format(name), width, set_phrase, clear_phrase, feature, inverted
    )


DEFINITIONS = (
    _bit(
        "NODBG",
        0,
        "The firmware refuses the debug commands for this guest.",
        "The host may read and write guest memory in plaintext with DBG_DECRYPT and DBG_ENCRYPT.",
        set_phrase="debug not allowed (bit 0)",
        clear_phrase="debug ALLOWED (bit 0 NODBG clear)",
        feature="debug_allowed",
        inverted=True,
    ),
    _bit(
        "NOKS",
        1,
        "The guest's memory key is shared with no other guest.",
        "The host may start another guest with the same memory key.",
        clear_phrase="key sharing allowed (bit 1 NOKS clear)",
    ),
    _bit(
        "ES",
        2,
        "The guest can only be started as an SEV-ES guest, so its registers are encrypted at exits.",
        "The guest may be started without SEV-ES: the host then sees and changes its registers at every exit.",
        set_phrase="SEV-ES required (bit 2)",
        clear_phrase="SEV-ES not required (bit 2 clear)",
    ),
    _bit(
        "NOSEND",
        3,
        "The guest must not be sent to another platform.",
        "The guest may be sent to another platform that presents a certificate chain the firmware accepts.",
        clear_phrase="migration allowed (bit 3 NOSEND clear)",
        feature="migration_allowed",
        inverted=True,
    ),
    _bit(
        "DOMAIN",
        4,
        "The guest may only be sent to platforms of the same domain (same owner's certificate authority).",
        "The guest may be sent to platforms of any domain, where it may be sent at all.",
    ),
    _bit(
        "SEV",
        5,
        "The guest may only be sent to platforms that have SEV.",
        "The receiving platform needs no SEV, where the guest may be sent at all.",
    ),
    _bit(
        "API_MAJOR",
        16,
        "The firmware's API must have a major version of at least {value}.",
        "Any major API version of the firmware is accepted.",
        width=8,
        set_phrase="firmware API major ≥ {value}",
    ),
    _bit(
        "API_MINOR",
        24,
        "The firmware's API must have a minor version of at least {value}.",
        "Any minor API version of the firmware is accepted.",
        width=8,
        set_phrase="firmware API minor ≥ {value}",
    ),
)


def decode_sev(policy: int, technology: str = "sev") -> Policy:
    """The SEV policy word. Under technology `sev-es` a clear ES bit is a problem: nothing then demands SEV-ES."""
    problems = []
    if technology == "sev-es" and not policy & SEV_ES:
        problems.append("bit 2 (ES) is clear, so the host may start this guest as plain SEV, with readable registers")
    return read_bits(
        technology, "SEV policy", policy, DEFINITIONS, word=32, debug=not policy & SEV_NODBG, problems=problems
    )
