"""The first lines: what must not be missed is said before the rows."""

from __future__ import annotations

import datetime

import pytest

from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.artefacts.machine import qemu
from hostproof.attestation.verifier import VerifierPolicy
from hostproof.knowledge.load import catalogue
from hostproof.knowledge.terms import Status
from hostproof.ledger.assess import Subject, assess
from hostproof.ledger.model import Headline, Ledger
from hostproof.managers.verdicts import CatalogueVerdicts
from hostproof.place import Place

LINE = "qemu-system-x86_64 -nodefaults -machine q35,confidential-guest-support=s -object sev-snp-guest,id=s,policy={}"


OF_ARM = KernelFacts(release="6.12.0", version="6.12", architecture="aarch64", source="arm.deb")


def headline(policy: str, *checks: str) -> Headline:
    return ledger(policy, *checks).headline


def ledger(policy: str, *checks: str, kernel: KernelFacts | None = None) -> Ledger:
    known = catalogue()
    verifier = VerifierPolicy("v", frozenset(checks), Place("v.toml")) if checks else None
    subject = Subject(
        name="vm",
        technology=known.technologies["sev-snp"],
        use=known.uses["third-party-server"],
        today=datetime.date(2026, 11, 1),
        kernel=kernel,
        machine=qemu.read(LINE.format(policy).encode(), "vm"),
        verifier=verifier,
    )
    return assess(known, subject, CatalogueVerdicts())


def test_a_debug_guest_is_named_in_the_first_line_and_warned_of() -> None:
    found = headline("0xb0000", "POLICY")

    assert "debug ALLOWED (bit 19)" in found.confidential
    assert found.warnings[0].startswith("the launch policy allows debugging")


def test_a_debug_guest_is_not_told_that_a_host_may_launch_it_otherwise() -> None:
    assert [text for text in headline("0xb0000").warnings if "may launch with another" in text] == []


def test_a_kernel_of_another_architecture_cannot_be_such_a_guest_and_that_is_the_only_reason_given() -> None:
    found = ledger("0x30000", kernel=OF_ARM).headline

    assert found.confidential.startswith("this kernel CANNOT be a guest of AMD SEV-SNP; ")
    assert [text for text in found.warnings if "cannot be a guest" in text] == [
        "this kernel cannot be a guest of AMD SEV-SNP: it is built for aarch64, and these guests are x86_64"
    ]


def test_a_policy_that_the_firmware_refuses_is_warned_of() -> None:
    assert [text for text in headline("0x24", "POLICY").warnings if "bit 17 must be one" in text] != []


@pytest.mark.parametrize(("checks", "warned"), [((), True), (("LAUNCH_DIGEST",), True), (("POLICY",), False)])
def test_a_policy_that_nobody_checks_is_only_what_the_host_says(checks: tuple[str, ...], warned: bool) -> None:
    warnings = [text for text in headline("0x30000", *checks).warnings if "a host may launch with another" in text]

    assert bool(warnings) is warned


@pytest.mark.parametrize(("policy", "expected"), [("0x30000", Status.ATTESTED), ("0xb0000", Status.OPEN)])
def test_checking_a_policy_that_allows_debugging_closes_nothing(policy: str, expected: Status) -> None:
    rows = {row.id: row.status for row in ledger(policy, "POLICY").rows}

    assert rows["C09/debug-policy/T1"] is expected
