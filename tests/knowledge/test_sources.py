"""What the catalogue rests on: every source can be found, and what decides a row was read where it stands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec
import pytest

from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import Fact, Value, parse
from hostproof.knowledge.records import Rule, Source, Sourced
from hostproof.knowledge.terms import Checked, Coverage

BACKGROUND = {
    "the review of the threat model that no rule quotes": {"J0", "J-D1", "J-G1", "V1-PG", "V1-S4", "V2-D4", "V2-E1", "V3-G"},
    "versions of the threat model that the merged text replaced": {"MNT", "V1", "V3"},
    "models of neighbours: other architectures, accelerators, the consortium": {
        *("CCC71", "CCCSCOPE", "CCCTA", "COVE", "NVTM"),
    },
    "tools and guidance of Intel's hardening work that audits were found through": {
        *("CCCREPO", "HARN", "SMATCH", "TDXASSUR", "TDXGUIDE"),
    },
}  # fmt: skip
"""Sources that were read and that no fact rests on, by the reason why they are kept."""

REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+( |$)")

NOT_PRIMARY_PINS = {
    "cca-rim-direct-boot": "what a VMM populates is the VMM's choice; only the rule that it is measured was read",
    "vtpm-boot": "firmware and paravisors of clouds are not public; documents of two of them were read",
}
"""Pins that can close a row without the primary having been read, and why that is all there is."""

SECONDARY_ATTACKS = 24
SECONDARY_CLAIMS = {
    ("sev-es", "register_integrity"): "the manual was read in a translation",
    ("sev-snp", "unused_pages_clean"): "the manual was read in a translation",
    ("tdx", "ciphertext_readable"): "the base specification was not opened",
    ("tdx", "physical_claim"): "the vendor's statement was read in reports",
    ("pkvm-x86", "double_validation_prevented"): "a header of a tree that is not merged",
}
ABSTRACT_OR_BETTER = {Checked.PRIMARY, Checked.ABSTRACT}


def _sourced(value: object) -> Iterator[Sourced]:
    """Every record, rule and claim inside a value."""
    if isinstance(value, Sourced):
        yield value
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _sourced(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _sourced(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _sourced(item)


def _everything() -> list[Sourced]:
    whole = catalogue()
    groups = (
        whole.features, whole.technologies, whole.options, whole.primitives, whole.objectives, whole.threats,
        whole.channels, whole.mitigations, whole.pins, whole.attacks, whole.builtin_drivers, whole.audits,
        whole.mechanisms, whole.interfaces, whole.legacy_code,
    )  # fmt: skip
    records: list[object] = [record for group in groups for record in group.values()]
    return list(_sourced([*records, *whole.instances, *whole.command_line_options]))


def _keys(citations: list[str]) -> set[str]:
    return {citation.split(":")[0].strip() for citation in citations}


def test_every_source_is_cited_or_kept_for_a_reason() -> None:
    cited = {key for record in _everything() for key in _keys(record.sources)}
    cited |= {key for use in catalogue().uses.values() for key in _keys(use.sources)}

    assert set().union(*BACKGROUND.values()) == set(catalogue().sources) - cited


@pytest.mark.parametrize("source", catalogue().sources.values(), ids=lambda source: source.key)
def test_a_source_has_an_address_or_says_where_it_was_read(source: Source) -> None:
    assert source.address or source.note


@pytest.mark.parametrize("source", catalogue().sources.values(), ids=lambda source: source.key)
def test_an_address_is_a_url_or_a_place_in_a_repository(source: Source) -> None:
    for address in source.address:
        if "://" in address:
            parts = urlsplit(address)

            assert parts.scheme in ("https", "http")
            assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]{2,}", parts.netloc)
            assert not re.search(r"[\s<>\"]", address)
        else:
            assert REPOSITORY.match(address), address


def test_no_address_stands_under_two_keys_with_one_title() -> None:
    titles = Counter(source.title for source in catalogue().sources.values())

    assert [title for title, count in titles.items() if count > 1] == []


def test_no_rule_is_unchecked() -> None:
    assert [
        record for record in _everything() if isinstance(record, Rule) and record.checked is Checked.UNCHECKED
    ] == []


def test_only_a_claim_that_says_unknown_is_unchecked() -> None:
    unchecked = [record for record in _everything() if record.checked is Checked.UNCHECKED]

    assert {getattr(record, "value", "a record") for record in unchecked} == {"unknown"}


def test_every_pin_that_can_close_a_row_was_read_in_the_primary() -> None:
    closing = [pin for pin in catalogue().pins.values() if pin.coverage in (Coverage.CONTENT, Coverage.REPORT)]

    assert {pin.id for pin in closing if pin.checked is not Checked.PRIMARY} == set(NOT_PRIMARY_PINS)
    assert {pin.checked for pin in closing} == ABSTRACT_OR_BETTER


def test_every_pin_that_keeps_a_row_open_was_read_in_the_primary() -> None:
    opening = [pin for pin in catalogue().pins.values() if pin.coverage in (Coverage.NONE, Coverage.PRESENCE)]

    assert [pin.id for pin in opening if pin.checked is not Checked.PRIMARY] == []


def test_the_claims_that_decide_and_rest_on_a_second_hand_are_these() -> None:
    second_hand = {
        (technology.id, name)
        for technology in catalogue().technologies.values()
        for name, claim in technology.features.items()
        if claim.checked is Checked.SECONDARY
    }

    assert second_hand == set(SECONDARY_CLAIMS)


def test_no_mitigation_rests_on_a_second_hand() -> None:
    assert {mitigation.checked for mitigation in catalogue().mitigations.values()} <= ABSTRACT_OR_BETTER


def test_no_more_attacks_than_before_rest_on_a_second_hand() -> None:
    second_hand = [attack.id for attack in catalogue().attacks.values() if attack.checked is Checked.SECONDARY]

    assert len(second_hand) <= SECONDARY_ATTACKS


def test_a_source_of_a_measurement_names_the_file_that_was_read() -> None:
    """A tree is no citation: QEMU, edk2, the TDX module and pvmfw are cited with a file or a section."""
    trees = {"QEMU102", "EDK2", "TDXMOD1501", "PVMFW", "GRUB212", "LINUX718", "LINUX61176", "CVELIST", "OPENVMM"}
    bare = [citation for record in _everything() for citation in record.sources if citation in trees]

    assert bare == []


class Given:
    """Facts by name; what is not given is not known."""

    def __init__(self, facts: dict[str, Value]) -> None:
        self.facts = facts

    def fact(self, name: str) -> Fact:
        if name.startswith("mechanism.") and name not in self.facts:
            package = catalogue().mechanisms_by_fact[name.removeprefix("mechanism.")].package
            return Fact(name, parse(package)(self).value)
        return Fact(name, self.facts.get(name))


TD: dict[str, Value] = {
    "architecture": "x86_64",
    "feature.exceptions_blocked": True,
    "feature.runtime_measurement": True,
    "feature.ghcb": False,
    "feature.memory_integrity": True,
}
SNP: dict[str, Value] = {"technology": "sev-snp", "architecture": "x86_64", "use.paravisor": False}
PVM: dict[str, Value] = {"architecture": "aarch64", "feature.manager_supplies_firmware": True, "feature.ghcb": False}


def _covering(row: str, facts: dict[str, Value]) -> dict[str, bool | None]:
    """Pins that could close this row, with whether they hold; those that certainly do not are left out."""
    closing = (Coverage.CONTENT, Coverage.REPORT)
    pins = [pin for pin in catalogue().pins.values() if pin.coverage in closing and row in pin.rows]
    answers = {pin.id: parse(pin.when)(Given(facts)).value for pin in pins}
    return {name: value for name, value in answers.items() if value is not False}


@pytest.mark.parametrize(("version", "held"), [("6.1.176", {}), ("6.9", {"tdx-rtmr2-boot": True})])
def test_the_stub_measures_a_command_line_of_a_td_since_linux_6_9(version: str, held: dict[str, bool]) -> None:
    """efi_measure_tagged_event of 6.1.176 asks for the TCG protocol alone, that of 6.12.107 for the CC protocol too."""
    facts = {**TD, "definition.direct_boot": True, "kernel.version": version, "use.paravisor": False}

    assert held == _covering("C03/command-line/T1", facts)


def test_a_boot_loader_closes_nothing_on_a_td_unless_it_measures() -> None:
    facts = {**TD, "definition.direct_boot": False, "kernel.version": "6.12", "use.paravisor": False}

    assert _covering("C02/initrd/T1", facts) == {"tdx-rtmr2-loader": None}


def test_smbios_is_closed_by_no_register_since_edk2_blanks_oem_strings_before_it_measures() -> None:
    assert _covering("C05/smbios/T1", {**TD, "platform.firmware_measures_smbios": True}) == {}


def test_no_digest_holds_the_topology_of_processors() -> None:
    assert _covering("C09/vcpu-type/T1", {}) == {}


def test_a_protected_guest_of_pkvm_has_its_command_line_filtered_and_not_measured() -> None:
    facts: dict[str, Value] = {**PVM, "use.paravisor": False, "feature.runtime_measurement": False}

    assert _covering("C03/command-line/T1", facts) == {"pkvm-dice-command-line": None}
    assert _covering("C02/kernel/T1", facts) == {"pkvm-dice-image": True}


@pytest.mark.parametrize(
    ("attack", "reached", "spared"),
    [("cachewarp", "milan", "genoa"), ("badram", "genoa", "turin"), ("staleus", "turin", "milan")],
)
def test_an_attack_reaches_the_processors_that_the_vendor_names(attack: str, reached: str, spared: str) -> None:
    affected = parse(catalogue().attacks[attack].affected)

    assert affected(Given({**SNP, "platform.cpu": reached})).value is True
    assert affected(Given({**SNP, "platform.cpu": spared})).value is False


def test_heckler_and_tdxdown_stop_at_the_versions_that_the_records_name() -> None:
    heckler = parse(catalogue().attacks["heckler"].fixed)
    tdxdown = parse(catalogue().attacks["tdxdown"].fixed)
    injected: dict[str, Value] = {f"feature.{name}": False for name in ("restricted_injection", "alternate_injection")}
    td: dict[str, Value] = {**injected, "feature.secure_avic": False, "technology": "tdx", "config.IA32_EMULATION": "y"}
    td["changelog.int80_external_check"] = False

    assert [heckler(Given({**td, "kernel.version": at})).value for at in ("6.6.6", "6.6.7")] == [False, True]
    assert [tdxdown(Given({"platform.tdx_module": at})).value for at in ("1.5.05", "1.5.06")] == [False, True]
