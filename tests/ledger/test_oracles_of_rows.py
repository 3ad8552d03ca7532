"""Which rows a technology, a use and an architecture have at all, and that rows which belong together agree.

A ledger that lists the GHCB of a TD, or calls a table attested under one threat and open under the next, is not
believed in its other lines. Each test says which rule of the manager, the kernel or the review it holds the rows to.
"""

from __future__ import annotations

import dataclasses

import pytest

from hostproof.knowledge.terms import Presence, Status, Threat
from tests.ledger.test_oracles import ALL, kernel, ledger, row


@pytest.mark.parametrize(
    ("row_id", "own"),
    [
        ("C16/tdvmcall/T3", {"tdx"}),
        ("C16/rsi-host-call/T3", {"cca"}),
        ("C18/guest-request/T3", {"sev-snp"}),
        ("C18/get-quote/T3", {"tdx"}),
        ("C23/ve/T3", {"tdx"}),
        ("C52/stale-ghcb/T4", {"sev-es", "sev-snp"}),
        ("C52/panic-message/T4", {"tdx"}),
        ("C09/smt-policy/T1", {"sev-snp"}),
        ("C09/page-swap-policy/T1", {"sev-snp"}),
    ],
)
def test_an_interface_of_one_technology_has_no_row_in_the_others(row_id: str, own: set[str]) -> None:
    """A TD has no GHCB and an SNP guest asks for no quote: a row that says `open` there accuses the wrong guest."""
    there = {
        name for name in ALL
        if any(item.id == row_id and item.status is not Status.ABSENT for item in ledger(name).rows)
    }  # fmt: skip

    assert own == there


def test_system_management_mode_is_absent_where_the_host_cannot_write_registers() -> None:
    """KVM has no SMM for guests whose registers are protected (svm_has_emulated_msr)."""
    absent = {name for name in ALL if row(ledger(name), "C24/smi/T4").status is Status.ABSENT}

    assert absent == set(ALL) - {"kvm", "sev"}


def test_a_td_is_sent_no_init_and_no_start_up_interrupt() -> None:
    """The TDX module gives its host no call for either [KVMTDX-INIT]."""
    assert Status.ABSENT is row(ledger("tdx"), "C24/init-sipi/T4").status
    assert Status.ABSENT is not row(ledger("kvm"), "C24/init-sipi/T4").status


@pytest.mark.parametrize("technology", ["pkvm-arm64", "cca"])
def test_a_manager_without_debug_and_migration_has_no_policy_about_them(technology: str) -> None:
    """The first line says that debugging is not allowed; a row must not say that the host may allow it."""
    value = ledger(technology)

    names = ("C09/debug-policy/T1", "C09/migration-policy/T1")
    assert [row(value, name).status for name in names] == [Status.ABSENT, Status.ABSENT]


def test_the_link_of_a_device_is_no_row_where_the_guest_has_no_device_of_its_own() -> None:
    """C38 is absent in that use, so its link is too."""
    emulated, exclusive = (
        row(ledger("sev-snp", device_mode=mode), "C53/device-link/T4").status for mode in ("emulated", "exclusive")
    )

    assert (emulated, exclusive) == (Status.ABSENT, Status.OPEN)


def test_where_nothing_is_encrypted_there_is_no_ciphertext_to_read() -> None:
    """A plain guest is read as it is; plain SEV leaves its saved registers in the clear [V1-S1]."""
    assert [item.status for item in ledger("kvm").rows if item.channel == "C46"] == [Status.ABSENT]
    assert Status.ABSENT is row(ledger("sev"), "C46/saved-registers/T4").status


def test_hypervisor_leaves_of_an_snp_guest_are_the_hosts_even_in_the_cpuid_page() -> None:
    """The page holds what the host wrote for them: firmware compares feature leaves with the processor, not these."""
    value = ledger("sev-snp", facts={"feature.cpuid_page": True}, kernel=kernel(AMD_MEM_ENCRYPT="y"))

    states = {name: row(value, f"C15/{name}/T4").status for name in ("features", "hypervisor-range")}
    assert states == {"features": Status.PREVENTED, "hypervisor-range": Status.OPEN}


def test_a_td_answers_cpuid_of_user_space_as_it_answers_its_own() -> None:
    """virt_exception_user() calls the same handle_cpuid(); probe_roms() reads private memory, which nobody answers."""
    value = ledger("tdx", kernel=kernel(INTEL_TDX_GUEST="y"))

    names = ("C15/user-space/T3", "C12/rom-scan/T3")
    assert [row(value, name).status for name in names] == [Status.REFUSED, Status.REFUSED]


def test_a_table_that_is_read_once_has_no_row_for_what_it_says_at_run_time() -> None:
    """A measured SRAT that is `attested` under T1 and `open` under T3 contradicts itself: T3 is for AML and records."""
    threats: dict[str, set[Threat]] = {}
    for item in ledger("tdx").rows:
        if item.channel == "C04":
            threats.setdefault(item.instance, set()).add(item.threat)

    assert all(threats[name] == {Threat.T1} for name in ("srat", "dsdt", "apic", "dmar", "root-tables"))
    assert all(Threat.T3 in threats[name] for name in ("aml-port-io", "aml-memory", "hest", "erst", "pcct"))


def test_pvmfw_starts_a_guest_without_acpi_and_efi() -> None:
    """It hands over a device tree [AVF]; arm64 finds the root pointer of ACPI through EFI alone."""

    def acpi_and_efi(given: bool) -> set[Status]:
        rows = ledger("pkvm-arm64", facts={"feature.manager_supplies_firmware": given}).rows
        return {item.status for item in rows if item.id in ("C04/dsdt/T1", "C04/all/T1", "C07/all/T1")}

    assert {Status.ABSENT} == acpi_and_efi(given=True)
    assert Status.ABSENT not in acpi_and_efi(given=False)


@pytest.mark.parametrize("use", ["third-party-server", "client-no-network"])
def test_what_the_host_types_and_what_the_guest_prints_stand_under_t4_in_every_use(use: str) -> None:
    """A magic SysRq is well formed. A log that the host reads is observed, and leaks also to a peer, so it is not T2."""
    rows = [item for item in ledger("sev-snp", use).rows if item.id.startswith(("C40/sysrq/", "C40/kernel-log/"))]

    assert {item.threat for item in rows} == {Threat.T4}
    assert Status.ABSENT not in {item.status for item in rows}


def test_arm64_has_no_model_specific_registers_even_without_a_security_manager() -> None:
    """RDMSR is an instruction of x86: the baseline `kvm` answers registers, but not on arm64."""
    value = ledger("kvm", kernel=dataclasses.replace(kernel(), architecture="aarch64"))

    assert {item.status for item in value.rows if item.channel == "C14"} == {Status.ABSENT}


@pytest.mark.parametrize("instance", ["C37/hyperv/T3", "C35/synic-pages/T3", "C37/xen/T3", "C04/einj/T1"])
def test_what_no_definition_names_is_presentable_and_not_configured(instance: str) -> None:
    """QEMU gives no Hyper-V, Xen or EINJ unasked; the host may, and this kernel has the code."""
    value = ledger(
        "sev-snp", kernel=kernel(HYPERVISOR_GUEST="y", HYPERV="y", XEN="y", XEN_PVHVM="y", ACPI="y", ACPI_APEI_EINJ="m")
    )

    assert Presence.PRESENTABLE is row(value, instance).presence


def test_s390_has_no_efi_acpi_smbios_fw_cfg_hyper_v_and_xen_rows() -> None:
    """Rows of hardware that the architecture does not have are absent, whatever the configuration would say."""
    prefixes = (
        "C04/",
        "C06/",
        "C07/",
        "C05/efi-",
        "C05/smbios",
        "C29/acpi-",
        "C20/efi-time",
        "C20/ptp-kvm",
        "C40/serial-",
    )
    found = {
        item.status for item in ledger("s390-pv").rows
        if item.id.startswith(prefixes) or "hyperv" in item.instance or item.instance.startswith("xen")
    }  # fmt: skip

    assert {Status.ABSENT} == found


def test_a_realm_reaches_no_hypervisor_service_but_what_the_rmm_passes_on() -> None:
    """Its HVC is undefined and an unknown SMC is not supported [RMMEXIT]: no TRNG, PTP, stolen time, SDEI, Xen, Hyper-V."""
    names = ("C21/smccc-trng/T4", "C20/ptp-kvm/T4", "C36/arm-stolen-time/T3", "C24/sdei/T4", "C16/xen-hypercalls/T3")
    realm, protected = (
        {row(ledger(technology), name).status for name in names} for technology in ("cca", "pkvm-arm64")
    )

    assert realm == {Status.ABSENT}
    assert Status.ABSENT not in protected


def test_the_td_hob_is_handed_to_tds_alone() -> None:
    """Realms have runtime measurements too, and no TDX firmware."""
    assert {name for name in ALL if row(ledger(name), "C05/td-hob/T1").status is not Status.ABSENT} == {"tdx"}
