"""A verifier's policy: which measurements and signed fields somebody really checks.

A measurement that nobody verifies closes nothing. A policy is a small TOML file that the relying party writes::

    name = "our key broker"
    checks = ["LAUNCH_DIGEST", "POLICY", "HOST_DATA"]
    source = "policy.rego, commit 1a2b3c"
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from hostproof.errors import InputError
from hostproof.knowledge import toml
from hostproof.place import Place

__all__ = ["REGISTERS", "VerifierPolicy", "read"]

REGISTERS: dict[str, str] = {
    "LAUNCH_DIGEST": "SEV-SNP launch measurement, report offset 0x90 (AMD 56860, ATTESTATION_REPORT)",
    "LAUNCH_MEASURE": "SEV and SEV-ES launch measurement (AMD 55766, LAUNCH_MEASURE)",
    "POLICY": "guest policy, in the signed SNP report or under the LAUNCH_MEASURE HMAC",
    "HOST_DATA": "32 bytes given by the host at launch, in the SNP report",
    "ID_BLOCK": "ID block digest, family, image and SVN, in the SNP report",
    "PLATFORM_INFO": "platform bits of the SNP report: SMT, ECC, ciphertext hiding, alias check",
    "REPORTED_TCB": "TCB version of the SNP platform",
    "MRTD": "measurement of the TD's initial contents (Intel TDX Module base architecture specification)",
    "RTMR0": "run-time measurement register 0: TD HOB, firmware volume, ACPI tables, boot variables",
    "RTMR1": "run-time measurement register 1: boot loader, kernel image, option ROMs",
    "RTMR2": "run-time measurement register 2: command line, initrd",
    "RTMR3": "run-time measurement register 3: for the guest's own use",
    "TDATTRIBUTES": "TD attributes: DEBUG, SEPT_VE_DISABLE, MIGRATABLE, PKS, KL, PERFMON",
    "XFAM": "extended features that the TD may use",
    "MRCONFIGID": "48 bytes of configuration given by the host at launch",
    "MROWNER": "48 bytes that identify the owner of the TD",
    "MROWNERCONFIG": "48 bytes of the owner's configuration",
    "TEE_TCB_SVN": "security version numbers of the TDX module and platform",
    "DICE_CHAIN": "DICE certificate chain of a pKVM guest, begun by pvmfw",
    "VERIFIED_BOOT": "signatures over the guest's image, checked by pvmfw or another loader in the TCB",
    "RIM": "realm initial measurement (Arm RMM)",
    "REM": "realm extensible measurements (Arm RMM)",
    "SE_HEADER": "Secure Execution header and image hash, checked by the ultravisor (s390)",
    "VTPM_PCR": "PCRs of a vTPM that stands inside the TCB",
}
"""What a verifier can check: name -> what it is."""

MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class VerifierPolicy:
    """What a verifier checks. `checks` are names of `REGISTERS`; `source` says where the policy itself stands."""

    name: str
    checks: frozenset[str]
    place: Place
    source: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    checks: list[str]
    source: str = ""


def read(data: bytes, name: str) -> VerifierPolicy:
    """The policy that TOML bytes hold. Raises InputError naming the field, or the register that does not exist."""
    place = Place(name)
    if len(data) > MAX_BYTES:
        raise InputError("a verifier's policy is larger than 1 MiB", place=place)
    expected = 'name = "...", checks = ["MRTD", ...]'
    file = toml.record(data, name, _File, refusal="not a verifier's policy", expected=expected)
    for check in file.checks:
        if check not in REGISTERS:
            raise InputError(
                f"{check!r} is no register or field that a verifier can check",
                place=place.at(path="checks"),
                expected=", ".join(REGISTERS),
            )
    return VerifierPolicy(file.name, frozenset(file.checks), place, file.source)
