"""What the review of the kernel's threat model established, asked of whole ledgers.

Each test names the mail or document that it comes from; the keys are those of the catalogue's sources. T1 to T18 are
the oracles of the research on the thread.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest
from msgspec import structs

from hostproof.artefacts.kernel.facts import ConfigValue, KernelFacts
from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import Value
from hostproof.knowledge.records import Use
from hostproof.knowledge.terms import Objective, Status, Threat
from hostproof.ledger.assess import Subject, assess
from hostproof.ledger.model import Ledger, Row
from hostproof.managers.verdicts import CatalogueVerdicts

ALL = list(catalogue().technologies)


def ledger(
    technology: str,
    use: str | Use = "third-party-server",
    *,
    facts: dict[str, Value] | None = None,
    options: dict[str, str] | None = None,
    kernel: KernelFacts | None = None,
    **axes: Any,
) -> Ledger:
    """The ledger of a VM of which only technology, use and these facts are known."""
    known = catalogue()
    base = known.uses[use] if isinstance(use, str) else use
    subject = Subject(
        name="oracle",
        technology=known.technologies[technology],
        use=structs.replace(base, **axes),
        today=datetime.date(2026, 11, 1),
        asked=True,
        stated=facts or {},
        chosen=options or {},
        kernel=kernel,
    )
    return assess(known, subject, CatalogueVerdicts())


def kernel(version: str = "6.12.117", **config: str) -> KernelFacts:
    return KernelFacts(
        release=version, version=version, architecture="x86_64", source="k", builtin=(), modules=(),
        config={name: ConfigValue(value, 1) for name, value in config.items()},
    )  # fmt: skip


def objective(value: Ledger, name: Objective) -> bool | None:
    return next(item.met for item in value.objectives if item.id is name)


def applies(value: Ledger, threat: Threat) -> bool:
    return next(item.applies for item in value.threats if item.id is threat)


def row(value: Ledger, row_id: str) -> Row:
    return next(item for item in value.rows if item.id == row_id)


def attack(value: Ledger, name: str) -> str:
    return next(item.state for item in value.attacks if item.id == name)


@pytest.mark.parametrize("technology", ["sev", "sev-es"])
def test_t1_t2_sev_and_sev_es_do_not_meet_o1_and_the_first_line_says_so(technology: str) -> None:
    """Christopherson in review of v1 [V1-S1]: no integrity, and with plain SEV no protected registers."""
    value = ledger(technology, facts={"feature.debug_allowed": False})

    assert objective(value, Objective.O1) is False
    assert "does NOT meet objective O1" in value.headline.confidential


@pytest.mark.parametrize("technology", ["sev-snp", "tdx"])
def test_t3_snp_and_tdx_meet_o1_while_debugging_is_not_allowed(technology: str) -> None:
    """The merged document [DOC], under its assumption that the platform's features are intact."""
    states = {
        allowed: objective(ledger(technology, facts={"feature.debug_allowed": allowed}), Objective.O1)
        for allowed in (False, True)
    }

    assert states == {False: True, True: False}


def test_t4_data_in_transit_drops_out_where_the_host_is_only_an_endpoint() -> None:
    """Maluka [V2-D2]: no data path on which the host is a middleman."""
    value = ledger("pkvm-arm64", "client-no-network")

    assert applies(value, Threat.T2) is False
    assert {item.status for item in value.rows if item.threat is Threat.T2} == {Status.ABSENT}


def test_t2_stays_where_the_host_is_an_intermediary() -> None:
    """Maluka [V2-D2], the other half."""
    value = ledger("pkvm-arm64", "client-no-network", io_role="intermediary", network="host")

    assert applies(value, Threat.T2) is True


def test_t5_malformed_input_stays_over_vsock_to_the_host() -> None:
    """Maluka [V2-D2]: requests and replies over vsock are host input all the same."""
    value = ledger("pkvm-arm64", "client-no-network", vsock=True)

    assert applies(value, Threat.T3) is True
    assert next(item for item in value.channels if item.id == "C32").exists is True


@pytest.mark.parametrize("technology", ["pkvm-arm64", "pkvm-x86"])
def test_t6_msi_x_of_an_exclusive_device_can_be_misconfigured_by_the_host(technology: str) -> None:
    """Maluka [V2-D3]: the host emulates configuration space, so MSI-X attacks apply to pKVM."""
    value = ledger(technology, "client-exclusive-device", pci_config_owner="host")

    assert row(value, "C13/msi-x/T3").status not in (Status.ABSENT, Status.PREVENTED, Status.OUT_OF_SCOPE)


def test_a_guest_with_nothing_but_an_exclusive_device_has_no_virtio_rows() -> None:
    """Christopherson [V2-S2]: virtio hardening may be irrelevant there; PCI configuration space stays [V2-D3]."""
    value = ledger("pkvm-arm64", "client-exclusive-device", vsock=False)

    exists = {item.id: item.exists for item in value.channels}
    assert [exists[name] for name in ("C32", "C33", "C34", "C13", "C38")] == [False, False, False, True, True]


def test_t7_and_not_where_the_hypervisor_owns_the_physical_configuration() -> None:
    """Maluka [V2-D3]: moving configuration space into the trusted hypervisor closes it."""
    value = ledger("pkvm-x86", "client-exclusive-device", pci_config_owner="security-manager")

    statuses = {item.status for item in value.rows if item.id in ("C13/msi-x/T3", "C13/all/T3")}
    assert statuses <= {Status.ABSENT, Status.PREVENTED}
    assert statuses


def test_t8_secure_boot_of_the_host_does_not_check_the_guest_image() -> None:
    """Maluka [V2-D1]: the host starts the guest later and could load a wrong image."""
    value = ledger("pkvm-arm64", "client-no-network", image_check="none", host_secure_boot=True)

    assert applies(value, Threat.T1) is True
    assert row(value, "C02/kernel/T1").status is Status.OPEN


@pytest.mark.parametrize("technology", ALL)
def test_t9_a_host_that_stops_scheduling_is_out_of_scope_everywhere(technology: str) -> None:
    """The merged document [DOC] and Christopherson [V2-S4]: denial of service by the host, always."""
    value = ledger(technology)

    withheld = [item for item in value.rows if item.channel == "C27" and "withh" in item.instance]
    assert withheld
    assert {item.status for item in withheld} == {Status.OUT_OF_SCOPE}


def test_t10_a_crash_by_msi_x_is_no_finding_unless_one_takes_that_position() -> None:
    """Bottomley [J-B] and Gilbert [J-D2]: a crash counts only where it discloses or corrupts."""
    states = [
        attack(ledger("tdx", options={"crash_is_finding": position}), "msi-x-table-size") for position in ("no", "yes")
    ]

    assert states[0] == "out-of-scope"
    assert states[1] in ("works", "unknown", "fixed")


@pytest.mark.parametrize("technology", ALL)
def test_t11_a_hostile_network_behind_a_trusted_device_adds_nothing(technology: str) -> None:
    """Christopherson [V2-S3]: the network being hostile is old; it is a negative control here."""
    controls = [item for item in ledger(technology).attacks if item.id == "n5-network-service"]

    assert [item.state for item in controls] == ["not-affected"]


def test_t12_without_confidential_memory_protecting_data_in_transit_gains_nothing() -> None:
    """Dave Hansen, quoted in [V1-S3]."""
    value = ledger("kvm")

    assert applies(value, Threat.T2) is False


def test_t13_a_host_cannot_inject_a_page_fault_into_a_td() -> None:
    """Intel's specification of the hardened guest [SPEC]: the module blocks vectors 0 to 30."""
    assert row(ledger("tdx"), "C23/page-fault/T3").status is Status.PREVENTED


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            {"feature.restricted_injection": False, "feature.alternate_injection": False, "feature.secure_avic": False},
            True,
        ),
        ({"feature.restricted_injection": True}, False),
    ],
)
def test_t14_vector_29_can_be_injected_into_snp_without_restricted_injection(
    facts: dict[str, Value], expected: bool
) -> None:
    """WeSee [WESEE]: #VC with an exit code of the host's choice."""
    value = ledger("sev-snp", facts=facts)

    assert (row(value, "C23/vc/T3").status is Status.PREVENTED) is not expected


def test_t14_nothing_is_claimed_while_the_feature_bit_is_not_known() -> None:
    """Four rows of AMD's own table are "optional" [PROT]: a rule reads the bit, not the name."""
    assert row(ledger("sev-snp"), "C23/vc/T3").status is Status.UNKNOWN


def test_t15_heckler_does_not_reach_a_guest_behind_a_paravisor() -> None:
    """The authors [HECK]: Azure's paravisor uses restricted and alternate injection."""
    known = {"feature.restricted_injection": False, "feature.alternate_injection": False, "feature.secure_avic": False}

    behind = attack(ledger("sev-snp", "paravisor-guest"), "heckler")
    bare = attack(ledger("sev-snp", facts=dict(known), kernel=kernel("6.1.0", IA32_EMULATION="y")), "heckler")

    assert behind in ("not-affected", "fixed")
    assert bare == "works"


def test_t16_an_alias_check_at_boot_does_not_stop_an_interposer_that_wakes_later() -> None:
    """libsnpverify [SNPV]: Battering RAM passes the check after POST."""
    facts: dict[str, Value] = {"platform.alias_check": True, "platform.cpu": "milan", "platform.memory": "ddr4"}

    value = ledger("sev-snp", facts=facts, options={"physical_interposer": "in"})

    assert attack(value, "battering-ram") == "works"
    assert attack(ledger("sev-snp", facts=facts), "battering-ram") == "out-of-scope"


@pytest.mark.parametrize(
    ("module", "migratable", "expected"),
    [
        ("1.5.16", True, "works"),
        ("1.5.25", True, "fixed"),
        ("2.0.14", True, "fixed"),
        ("1.5.16", False, "not-affected"),
    ],
)
def test_t17_a_migratable_td_needs_a_module_that_is_new_enough(module: str, migratable: bool, expected: str) -> None:
    """CVE-2025-30513 [TDX15], fixed by [TDX15F]: modules 1.5.24 or 1.5.25 by platform, and 2.0.14."""
    facts: dict[str, Value] = {"platform.tdx_module": module, "feature.migration_allowed": migratable}

    assert attack(ledger("tdx", facts=facts), "migratable-td-debug") == expected


def test_t18_virtio_harden_notification_closes_nothing_because_it_cannot_be_enabled() -> None:
    """drivers/virtio/Kconfig [VKC]: the symbol depends on BROKEN."""
    mitigation = catalogue().mitigations["virtio-harden-notification"]

    with_virtio = dataclasses.replace(
        kernel(VIRTIO_HARDEN_NOTIFICATION="y"), builtin_aliases={"virtio_net": ("virtio:d00000001v*",)}
    )

    value = ledger("tdx", kernel=with_virtio)

    proofs = [
        proof for item in value.rows for proof in item.evidence if proof.rule == "mitigation:virtio-harden-notification"
    ]
    assert "BROKEN" in mitigation.impossible
    assert {proof.decides for proof in proofs} == {False}
    assert {proof.why_not for proof in proofs} == {f"it cannot be enabled: {mitigation.impossible}"}


@pytest.mark.parametrize("position", ["in", "out"])
def test_side_channels_are_a_named_option_and_the_report_says_which_was_used(position: str) -> None:
    """Tsirkin [J-C] and the merged document: in; de Dinechin's first draft and AMD: out."""
    value = ledger("sev-snp", options={"side_channels": position})

    used = next(item for item in value.options if item.id == "side_channels")
    assert (used.value, used.default) == (position, False)
    assert (row(value, "C47/page-faults/T4").status is Status.OUT_OF_SCOPE) is (position == "out")


@pytest.mark.parametrize("technology", ALL)
def test_how_much_the_host_controls_is_a_number_of_channels_that_exist(technology: str) -> None:
    """The merged document says "most"."""
    value = ledger(technology)

    assert value.control.controlled == sum(item.controlled for item in value.channels)
    assert value.control.existing == sum(item.exists for item in value.channels)
    assert 0 < value.control.controlled <= value.control.existing <= value.control.known == 53


def test_no_row_rests_on_a_fact_that_nobody_checked() -> None:
    """A fact tagged unchecked never decides a row."""
    for technology in ALL:
        decided = [item.evidence[0] for item in ledger(technology).rows if item.evidence and item.evidence[0].decides]
        assert not [proof.rule for proof in decided if proof.checked == "unchecked"]


@pytest.mark.parametrize(("position", "said"), [("no", True), ("yes", False)])
def test_whether_plain_sev_is_confidential_computing_is_a_position(position: str, said: bool) -> None:
    """Christopherson [V1-S1] against the kernel's document on injected secrets [V1-S2]; O1 is not met either way."""
    value = ledger("sev", facts={"feature.debug_allowed": False}, options={"sev_is_confidential": position})

    assert ("no confidential VM" in value.headline.confidential) is said
    assert "does NOT meet objective O1" in value.headline.confidential


@pytest.mark.parametrize(("position", "expected"), [("kernel", False), ("specification", True)])
def test_the_cpuid_range_that_a_td_leaves_to_its_host_is_a_position(position: str, expected: bool) -> None:
    """The specification [SPEC] names 256 leaves, handle_cpuid() [TDXC] forwards 2^28."""
    value = ledger("tdx", options={"cpuid_hypervisor_range": position})

    assert (row(value, "C15/hypervisor-range-rest/T3").status is Status.ABSENT) is expected
    assert row(value, "C15/hypervisor-range/T3").status is not Status.ABSENT


@pytest.mark.parametrize(("technology", "warned"), [("pkvm-arm64", True), ("sev-snp", False)])
def test_a_server_asks_for_encrypted_memory_and_not_every_technology_has_it(technology: str, warned: bool) -> None:
    """Christopherson [V2-S2]: pKVM is a portable client's, likely without encryption."""
    found = ledger(technology, "third-party-server").headline.warnings

    assert any("asks for encrypted memory" in text for text in found) is warned


@pytest.mark.parametrize(("origin", "warned"), [("sensor", True), ("provisioned", False)])
def test_a_secret_from_a_sensor_makes_device_attestation_mandatory(origin: str, warned: bool) -> None:
    """Maluka [V2-D2]: a fingerprint does not come from a broker."""
    found = ledger("pkvm-arm64", "client-exclusive-device", secret_origin=origin).headline.warnings

    assert any("comes from a device" in text for text in found) is warned
