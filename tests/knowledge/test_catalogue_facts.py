"""The first half of the catalogue, asked what the people of the mailing-list thread said.

Each oracle is a statement of somebody in the review of 2023, of the kernel's document or of a vendor's table; the tests
read the TOML files and predicates alone, so that a fact can be wrong here without the engine.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import msgspec
import pytest

from hostproof.knowledge.predicate import Fact, Value, parse
from hostproof.knowledge.records import CatalogueFile, Channel, Rule, Technology, Use, UseFile
from hostproof.knowledge.terms import Checked, Objective, Threat

FOLDER = resources.files("hostproof.knowledge") / "catalogue"
HALF = (
    *("features", "technologies", "options", "objectives", "threats", "primitives"),
    *("channels-launch", "channels-platform", "channels-events", "channels-io", "channels-observation"),
)


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


FILES = {name: msgspec.convert(_table(f"{name}.toml"), CatalogueFile) for name in HALF}
USES: dict[str, Use] = {use.id: use for use in msgspec.convert(_table("uses.toml"), UseFile).use}
FEATURES = {feature.id: feature for feature in FILES["features"].feature}
TECHNOLOGIES: dict[str, Technology] = {item.id: item for item in FILES["technologies"].technology}
PRIMITIVES = {item.id: item for item in FILES["primitives"].primitive}
OPTIONS = {item.id: item for item in FILES["options"].option}
OBJECTIVES = {item.id: item for item in FILES["objectives"].objective}
THREATS = {item.id: item for item in FILES["threats"].threat}
CHANNELS: dict[str, Channel] = {item.id: item for name in HALF for item in FILES[name].channel}
CLAIMED: dict[str, bool | None] = {"yes": True, "no": False, "optional": None, "unknown": None}
NO_DEBUG: dict[str, Value] = {"feature.debug_allowed": False}
EL2_STATE: dict[str, Value] = {
    f"feature.{name}": True for name in ("register_confidentiality", "register_integrity", "exceptions_blocked")
}
HOST_STATE: dict[str, Value] = dict.fromkeys([*EL2_STATE, "feature.dma_blocked"], False)
"""pKVM as upstream had it in 7.3.4: the host holds the registers of protected vCPUs, and nothing fences DMA."""


@dataclass
class TableFacts:
    """Facts of one technology in one use. What a switch decides, or nobody said, is unknown unless `given`."""

    technology: str
    use: str = "third-party-server"
    given: dict[str, Value] = field(default_factory=dict)

    def fact(self, name: str) -> Fact:
        return Fact(name, self.given.get(name, self._value(name)))

    def _value(self, name: str) -> Value | None:
        technology = TECHNOLOGIES[self.technology]
        space, _, rest = name.partition(".")
        match space:
            case "architecture":
                return technology.architectures[0]
            case "feature":
                return CLAIMED[technology.features[rest].value]
            case "use":
                value: Value = getattr(USES[self.use], rest)
                return value
            case "option":
                return OPTIONS[rest].default
            case _:
                raise AssertionError(f"no fact for {name}")


def holds(rules: Iterable[Rule], facts: TableFacts) -> bool | None:
    """Whether one of the rules holds; None where it depends on what is not known."""
    answers = [parse(rule.when)(facts).value for rule in rules if rule.checked is not Checked.UNCHECKED]
    return True if True in answers else None if None in answers else False


def prevented(primitive: str, facts: TableFacts) -> bool | None:
    return holds(PRIMITIVES[primitive].prevented, facts)


def deciding(primitive: str, facts: TableFacts) -> Rule:
    return next(rule for rule in PRIMITIVES[primitive].prevented if parse(rule.when)(facts).value)


def meets(objective: Objective, facts: TableFacts) -> tuple[bool | None, set[str]]:
    """Whether the technology meets the objective, and the reasons that fail."""
    truths = [(rule, parse(rule.when)(facts).value) for rule in OBJECTIVES[objective].requires]
    failing = {rule.reason for rule, value in truths if value is False}
    return (False if failing else None if any(value is None for _, value in truths) else True), failing


def applies(threat: Threat, facts: TableFacts) -> bool:
    return holds(THREATS[threat].not_applicable, facts) is not True


def absent(channel: str, facts: TableFacts) -> bool | None:
    return holds(CHANNELS[channel].absent, facts)


# --- what people said -----------------------------------------------------------------------------------------------


def test_sev_does_not_meet_O1_as_christopherson_said_in_review_of_v1() -> None:
    met, reasons = meets(Objective.O1, TableFacts("sev"))

    assert met is False
    assert {
        "the host can read the saved registers",
        "the host can write the saved registers",
        "the host can corrupt, replay, alias or remap private pages unnoticed",
    } <= reasons


def test_sev_es_does_not_meet_O1_for_want_of_integrity_as_christopherson_said_in_review_of_v1() -> None:
    met, reasons = meets(Objective.O1, TableFacts("sev-es", given=NO_DEBUG))

    assert met is False
    assert "the host can corrupt, replay, alias or remap private pages unnoticed" in reasons
    assert not any("register" in reason for reason in reasons)


@pytest.mark.parametrize("technology", ["sev-snp", "tdx"])
def test_snp_and_tdx_meet_the_objectives_as_the_kernel_document_assumes(technology: str) -> None:
    facts = TableFacts(technology, given=NO_DEBUG)

    assert [meets(objective, facts)[0] for objective in Objective] == [True, True]


@pytest.mark.parametrize("technology", ["sev-snp", "tdx"])
def test_no_objective_is_called_met_while_nobody_said_whether_debugging_is_allowed(technology: str) -> None:
    assert meets(Objective.O1, TableFacts(technology)) == (None, set())
    assert meets(Objective.O1, TableFacts(technology, given={"feature.debug_allowed": True}))[0] is False


def test_plain_kvm_fails_every_requirement_of_the_first_objective() -> None:
    assert meets(Objective.O1, TableFacts("kvm"))[1] == {rule.reason for rule in OBJECTIVES[Objective.O1].requires}


def test_upstream_pkvm_fails_O1_by_its_registers_and_android_trees_meet_it() -> None:
    upstream = TableFacts("pkvm-arm64", given=HOST_STATE)
    android = TableFacts("pkvm-arm64", given={**EL2_STATE, "feature.dma_blocked": True})

    assert meets(Objective.O1, upstream)[1] == {
        "the host can read the saved registers",
        "the host can write the saved registers",
        "a device that the host programs can read or change private memory",
    }
    assert meets(Objective.O1, android) == (True, set())
    assert meets(Objective.O1, TableFacts("pkvm-arm64")) == (None, set())


def test_data_attacks_drop_out_where_the_host_is_only_an_endpoint_as_maluka_said() -> None:
    assert not applies(Threat.T2, TableFacts("pkvm-x86", "client-no-network"))
    assert not applies(Threat.T2, TableFacts("pkvm-x86", "client-exclusive-device"))
    assert applies(Threat.T2, TableFacts("tdx"))


def test_malformed_input_stays_where_the_host_asks_over_vsock_as_maluka_said() -> None:
    facts = TableFacts("pkvm-x86", "client-no-network")

    assert applies(Threat.T3, facts)
    assert {absent(channel, facts) for channel in ("C31", "C32", "C33", "C34")} == {False}


def test_virtio_is_irrelevant_without_io_beyond_the_device_as_christopherson_said() -> None:
    facts = TableFacts("pkvm-x86", "client-exclusive-device")

    assert {absent(channel, facts) for channel in ("C31", "C32", "C33", "C34")} == {True}
    assert {absent(channel, facts) for channel in ("C13", "C22", "C38")} == {False}


def test_msi_x_misconfiguration_applies_to_a_device_assigned_under_pkvm_as_maluka_said() -> None:
    facts = TableFacts("pkvm-x86", "client-exclusive-device")

    assert absent("C13", facts) is False
    assert prevented("lie-pci-config", facts) is False


def test_msi_x_misconfiguration_ends_where_the_hypervisor_owns_configuration_as_maluka_said() -> None:
    owned = TableFacts("pkvm-x86", "client-exclusive-device", {"use.pci_config_owner": "security-manager"})

    assert absent("C13", owned) is True
    assert prevented("lie-pci-config", owned) is True


def test_malicious_configuration_stays_on_pkvm_even_with_secure_boot_of_the_host_as_maluka_said() -> None:
    facts = TableFacts("pkvm-x86", "client-exclusive-device")

    assert USES["client-exclusive-device"].host_secure_boot
    assert applies(Threat.T1, facts)
    assert prevented("choose-launch-image", facts) is False


def test_pvmfw_that_refuses_unsigned_images_ends_malicious_images_as_maluka_said() -> None:
    facts = TableFacts("pkvm-arm64", "client-no-network", {"feature.manager_supplies_firmware": True})

    assert prevented("choose-launch-image", facts) is True


@pytest.mark.parametrize("technology", TECHNOLOGIES)
def test_nobody_prevents_the_host_from_withholding_resources_and_no_objective_asks_for_it(technology: str) -> None:
    assert prevented("withhold-resources", TableFacts(technology)) is False
    assert prevented("drop-page", TableFacts(technology)) is False
    assert [name for name, channel in CHANNELS.items() if "withhold-resources" in channel.primitives] == ["C27"]


def test_a_crash_of_the_guest_is_no_finding_by_default_as_bottomley_said() -> None:
    assert OPTIONS["crash_is_finding"].default == "no"


def test_a_hostile_network_brings_no_threat_that_the_device_did_not_bring_as_christopherson_said() -> None:
    network = CHANNELS["C43"]

    assert network.primitives == ["tamper-transit"]
    assert network.driver_buses == []


def test_defending_data_in_transit_is_pointless_without_confidential_memory_as_hansen_said() -> None:
    assert not applies(Threat.T2, TableFacts("kvm", "plain-vm"))


def test_tdx_refuses_an_injected_page_fault_as_the_guest_specification_says() -> None:
    assert prevented("inject-exception", TableFacts("tdx")) is True
    assert prevented("inject-interrupt", TableFacts("tdx")) is False


@pytest.mark.parametrize("switch", ["restricted_injection", "alternate_injection", "secure_avic"])
def test_snp_takes_vector_29_from_the_host_unless_a_switch_is_on_as_wesee_showed(switch: str) -> None:
    off: dict[str, Value] = dict.fromkeys(
        [f"feature.{name}" for name in ("restricted_injection", "alternate_injection", "secure_avic")], False
    )

    assert prevented("inject-exception", TableFacts("sev-snp", given=off)) is False
    assert prevented("inject-exception", TableFacts("sev-snp")) is None
    assert prevented("inject-exception", TableFacts("sev-snp", given={**off, f"feature.{switch}": True})) is True


def test_a_paravisor_keeps_heckler_away_as_the_authors_say_of_azure() -> None:
    assert prevented("inject-interrupt", TableFacts("sev-snp", "paravisor-guest")) is True
    assert prevented("inject-exception", TableFacts("sev-snp", "paravisor-guest")) is True
    assert prevented("inject-exception", TableFacts("sev", "paravisor-guest")) is False


@pytest.mark.parametrize("technology", ["sev", "sev-es", "sev-snp", "tdx", "pkvm-arm64", "cca"])
def test_an_interposer_after_boot_is_prevented_nowhere_as_its_authors_showed(technology: str) -> None:
    assert prevented("physical-bus", TableFacts(technology)) is False
    assert holds(CHANNELS["C53"].out_of_scope, TableFacts(technology)) is False


def test_side_channels_are_in_scope_by_default_as_the_kernel_document_says() -> None:
    observation = ["C46", "C47", "C48", "C49", "C50", "C51"]

    assert [holds(CHANNELS[name].out_of_scope, TableFacts("tdx")) for name in observation] == [False] * 6
    out = TableFacts("tdx", given={"option.side_channels": "out"})
    assert [holds(CHANNELS[name].out_of_scope, out) for name in observation] == [True] * 6


# --- vendors' tables ------------------------------------------------------------------------------------------------

AMD_TABLE_1 = {
    "memory_confidentiality": ("yes", "yes", "yes"),
    "register_confidentiality": ("no", "yes", "yes"),
    "memory_integrity": ("no", "no", "yes"),
    "tcb_versioned": ("no", "no", "yes"),
    "restricted_injection": ("no", "no", "optional"),
    "alternate_injection": ("no", "no", "optional"),
    "btb_isolation": ("no", "no", "optional"),
    "cpuid_page": ("no", "no", "optional"),
    "physical_claim": ("no", "no", "no"),
}


@pytest.mark.parametrize("feature", AMD_TABLE_1)
def test_amd_features_are_those_of_the_white_paper_table(feature: str) -> None:
    claims = tuple(TECHNOLOGIES[name].features[feature].value for name in ("sev", "sev-es", "sev-snp"))

    assert claims == AMD_TABLE_1[feature]


def test_debug_registers_differ_from_amds_table_only_where_kvm_swaps_them_for_sev_es() -> None:
    claims = [TECHNOLOGIES[name].features["debug_registers_protected"] for name in ("sev", "sev-es", "sev-snp")]

    assert [claim.value for claim in claims] == ["no", "optional", "optional"]
    assert any("sev_es_debug_swap_enabled" in source for source in claims[1].sources)


@pytest.mark.parametrize(
    ("technology", "claimed"), [("kvm", False), ("sev", True), ("sev-es", True), ("sev-snp", True)]
)
def test_cold_boot_is_prevented_where_amd_claims_offline_analysis_is(technology: str, claimed: bool) -> None:
    assert prevented("physical-offline", TableFacts(technology)) is claimed


POSSIBLE, PREVENTED, DEPENDS = False, True, None
COLUMNS = ("kvm", "sev", "sev-es", "sev-snp", "tdx", "pkvm 7.3.4", "pkvm EL2", "cca")
HOST_PRIMITIVES = {
    "read-private-memory": (POSSIBLE,) * 3 + (PREVENTED,) * 5,
    "read-ciphertext": (POSSIBLE,) * 3 + (DEPENDS,) + (PREVENTED,) * 4,
    "corrupt-private-memory": (POSSIBLE,) * 3 + (PREVENTED,) * 5,
    "replay-page": (POSSIBLE,) * 3 + (PREVENTED,) * 5,
    "remap-page": (POSSIBLE,) * 3 + (PREVENTED,) * 5,
    "replace-used-page": (POSSIBLE,) * 3 + (PREVENTED,) * 5,
    "drop-page": (POSSIBLE,) * 8,
    "choose-unused-page-content": (POSSIBLE,) * 3 + (PREVENTED,) * 2 + (POSSIBLE,) * 2 + (PREVENTED,),
    "read-registers": (POSSIBLE,) * 2 + (PREVENTED,) * 3 + (POSSIBLE,) + (PREVENTED,) * 2,
    "write-registers": (POSSIBLE,) * 2 + (PREVENTED,) * 3 + (POSSIBLE,) + (PREVENTED,) * 2,
    "inject-interrupt": (POSSIBLE,) * 3 + (DEPENDS,) + (POSSIBLE,) * 4,
    "inject-exception": (POSSIBLE,) * 3 + (DEPENDS, PREVENTED, POSSIBLE, PREVENTED, PREVENTED),
    "lie-cpuid": (POSSIBLE,) * 3 + (DEPENDS, POSSIBLE) + (PREVENTED,) * 3,
    "single-step": (POSSIBLE,) * 8,
    "dma-private": (POSSIBLE,) * 3 + (PREVENTED,) * 2 + (POSSIBLE, PREVENTED, PREVENTED),
    "launch-other-image": (POSSIBLE,) * 3 + (PREVENTED,) * 2 + (POSSIBLE,) * 2 + (PREVENTED,),
    "migrate-rogue": (POSSIBLE,) + (DEPENDS,) * 4 + (PREVENTED,) * 3,
}
"""Which host primitive exists where, as the security managers' models found it; `DEPENDS` names a switch or policy."""


def column(name: str) -> TableFacts:
    if not name.startswith("pkvm"):
        return TableFacts(name, given={} if name == "kvm" else NO_DEBUG)
    state = HOST_STATE if name == "pkvm 7.3.4" else {**EL2_STATE, "feature.dma_blocked": True}
    return TableFacts("pkvm-arm64", given=state)


@pytest.mark.parametrize("primitive", HOST_PRIMITIVES)
def test_rules_agree_with_the_models_about_each_host_primitive(primitive: str) -> None:
    verdicts = {name: prevented(primitive, column(name)) for name in COLUMNS}

    assert verdicts == dict(zip(COLUMNS, HOST_PRIMITIVES[primitive], strict=True))


@pytest.mark.parametrize(
    ("technology", "primitive", "duty"),
    [
        ("sev-snp", "remap-page", True),
        ("sev-snp", "replay-page", True),
        ("sev-snp", "replace-used-page", True),
        ("tdx", "remap-page", False),
        ("tdx", "replay-page", False),
        ("tdx", "replace-used-page", True),
        ("cca", "replay-page", False),
        ("cca", "replace-used-page", True),
        ("pkvm-arm64", "replace-used-page", False),
    ],
)
def test_a_prevention_that_rests_on_the_guest_says_so(technology: str, primitive: str, duty: bool) -> None:
    reason = deciding(primitive, TableFacts(technology)).reason

    assert reason.startswith("guest duty") is duty


def test_a_private_page_fault_reaches_a_td_only_without_sept_ve_disable() -> None:
    on: dict[str, Value] = {"feature.sept_ve_disable": True}
    off: dict[str, Value] = {"feature.sept_ve_disable": False, "feature.page_removal_fatal": False}

    assert prevented("fault-on-private-page", TableFacts("tdx", given=on)) is True
    assert prevented("fault-on-private-page", TableFacts("tdx", given=off)) is False
    assert prevented("fault-on-private-page", TableFacts("tdx")) is None


def test_a_trusted_counter_does_not_make_clocks_of_the_host_trusted() -> None:
    assert prevented("lie-counter", TableFacts("tdx")) is True
    assert prevented("lie-time", TableFacts("tdx")) is False


def test_arm_has_neither_ports_nor_registers_nor_ghcb_that_the_host_answers() -> None:
    arm = {(name, channel): absent(channel, TableFacts(name)) for name in ("pkvm-arm64", "cca")
           for channel in ("C11", "C14", "C15", "C17", "C18")}  # fmt: skip
    optional = {key for key, value in arm.items() if value is not True}

    assert optional == set()
