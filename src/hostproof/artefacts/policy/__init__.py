"""Launch policies: the words with which a guest's owner tells the security manager what the host may do.

`decode` turns a word into facts, `format_line` into one line. One module per technology holds its bits and sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hostproof.artefacts.policy.model import Policy, PolicyBit, as_hex
from hostproof.artefacts.policy.pkvm import decode_pkvm
from hostproof.artefacts.policy.s390 import decode_s390
from hostproof.artefacts.policy.sev import decode_sev
from hostproof.artefacts.policy.snp import decode_sev_features, decode_snp
from hostproof.artefacts.policy.tdx import decode_tdx, decode_xfam

__all__ = ["Policy", "PolicyBit", "decode", "decode_sev_features", "decode_xfam", "format_line"]

DECODERS: Mapping[str, Callable[[int], Policy]] = MappingProxyType(
    {
        "sev": decode_sev,
        "sev-es": lambda policy: decode_sev(policy, "sev-es"),
        "sev-snp": decode_snp,
        "tdx": decode_tdx,
        "s390-pv": decode_s390,
        "pkvm-arm64": decode_pkvm,
        "pkvm-x86": lambda policy: decode_pkvm(policy, "pkvm-x86"),
    }
)


def decode(technology: str, policy: int) -> Policy:
    """What `policy` says under `technology` (an id of the catalogue).

    A technology whose policy has no definition here gives no bits, an undecided `debug_allowed` and a problem that says so.
    """
    decoder = DECODERS.get(technology)
    if decoder is None:
        problem = f"no definition of a launch policy is known for {technology}"
        return Policy(technology, f"{technology} policy", policy, (), None, (problem,))
    return decoder(policy)


def format_line(policy: Policy) -> str:
    """One line for people, debugging first: `SNP policy 0xb0000: debug ALLOWED (bit 19), SMT allowed (bit 16)`."""
    phrases = sorted(
        (bit.phrase for bit in policy.bits if bit.phrase), key=lambda phrase: not phrase.startswith("debug")
    )
    line = f"{policy.label} {as_hex(policy.value)}: " + (", ".join(phrases) or "nothing allowed or demanded")
    if policy.problems:
        line += "; PROBLEM: " + "; ".join(policy.problems)
    return line
