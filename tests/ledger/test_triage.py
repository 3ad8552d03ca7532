"""Every answer of the triage, in small worlds and on real kernels with real records' facts."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hostproof.artefacts.cve import Cve, CveRecords, VersionRange, read_directory
from hostproof.artefacts.kernel.facts import KernelFacts, Module
from hostproof.errors import InputError
from hostproof.knowledge.load import catalogue as real_catalogue
from hostproof.knowledge.terms import Status
from hostproof.ledger.audits import read as read_audits
from hostproof.ledger.triage import triage
from hostproof.ledger.triage_files import Sources, Where
from hostproof.ledger.triage_model import Decision, Justification, Triage, VexStatus, encode
from hostproof.ledger.waivers import read as read_waivers
from hostproof.place import Place
from tests.ledger.worlds import catalogue, channel, kernel, ledger, machine, mitigation, module

ROOT = Path(__file__).resolve().parents[2]
RECORDS = read_directory(ROOT / "tests/corpus/cve")
CODE = "ab" * 32
THERE = (VersionRange("affected", "5.0"), VersionRange("unaffected", "9.0", through="*"))


def cve(*files: str, ranges: tuple[VersionRange, ...] = THERE) -> Cve:
    return Cve("CVE-2026-0001", "a flaw", files, ranges, (), ("a",), (), Place("c.json"))


def at(path: str, *aliases: str, depends: tuple[str, ...] = (), sources: tuple[str, ...] = ()) -> Module:
    """The module that lies at `kernel/PATH.ko`."""
    name = path.rpartition("/")[2].replace("-", "_")
    plain = module(name, *aliases, depends=depends)
    return dataclasses.replace(plain, path=f"kernel/{path}.ko", sources=sources, code_sha256=CODE)


PCI = "pci:v00001AF4d00001000sv*sd*bc*sc*i*"
NIC = at("drivers/net/ethernet/acme/anvil/anvil", PCI, depends=("anvil_lib",))
LIB = at("drivers/net/ethernet/acme/lib/anvil_lib")
WORLD_MODULES = (
    NIC, LIB,
    at("drivers/gpu/drm/acme/acmedrm", "of:N*T*Cacme,drm"),
    at("drivers/misc/keyless"),
    at("drivers/md/dm-acme"),
    at("fs/xfs/xfs"),
)  # fmt: skip


def decided(one: Cve, *, modules: tuple[Module, ...] = WORLD_MODULES, config: dict[str, str] | None = None,
            more: dict[str, Any] | None = None, world: dict[str, Any] | None = None, **parts: Any) -> Decision:  # fmt: skip
    """The decision on one record in a world in which PCI drivers have a row in C13."""
    known = catalogue(channel=[channel("C13", driver_buses=["pci"], primitives=["free"])], **(world or {}))
    facts = dataclasses.replace(kernel(config, modules), **(more or {}))
    value = ledger(known, kernel=facts, **parts)
    found = triage(known, facts, known.technologies["t"], parts.get("machine"), value, CveRecords((one,)))
    return found.decisions[0]


def said(decision: Decision) -> tuple[VexStatus, Justification | None]:
    return decision.status, decision.justification


def test_a_flaw_that_came_later_is_not_present() -> None:
    came = VersionRange("unaffected", "0", before="6.6", kind="semver")
    decision = decided(cve("drivers/net/ethernet/acme/anvil/anvil.c", ranges=(came, *THERE[1:])))

    assert said(decision) == (VexStatus.NOT_AFFECTED, Justification.NOT_PRESENT)
    assert decision.summary == "it came with 6.6, and this is 6.1.192"


@pytest.mark.parametrize(
    ("file", "config"),
    [
        ("arch/arm64/kernel/traps.c", {}),
        ("tools/perf/util/map.c", {}),
        ("drivers/net/ethernet/acme/hammer.c", {"HAMMER": "n"}),
        ("drivers/gpu/drm/none/disp/core.c", {"DRM": "m"}),
        ("drivers/gpu/drm/acme/other.c", {"DRM": "n"}),
        ("fs/jfs/jfs_dmap.c", {"JFS_FS": "n"}),
    ],
)
def test_code_that_was_not_built_is_not_present(file: str, config: dict[str, str]) -> None:
    assert said(decided(cve(file), config=config)) == (VexStatus.NOT_AFFECTED, Justification.NOT_PRESENT)


@pytest.mark.parametrize("config", [{}, {"DRM": "y"}, {"JFS_FS": "y"}])
@pytest.mark.parametrize("file", ["drivers/gpu/drm/none/disp/core.c", "fs/jfs/jfs_dmap.c", "drivers/net/hammer.c"])
def test_without_an_option_that_is_off_missing_modules_prove_nothing(file: str, config: dict[str, str]) -> None:
    assert decided(cve(file), config=config).status is VexStatus.UNDER_INVESTIGATION


def test_a_fragment_of_a_configuration_switches_nothing_off() -> None:
    decision = decided(cve("drivers/gpu/drm/none/a.c"), config={"DRM": "n"}, more={"config_complete": False})

    assert decision.status is VexStatus.UNDER_INVESTIGATION


def test_a_version_with_the_fix_is_fixed() -> None:
    fix = VersionRange("unaffected", "6.1.100", through="6.1.*", kind="semver")
    decision = decided(cve("drivers/net/ethernet/acme/anvil/anvil.c", ranges=(*THERE, fix)))

    assert decision.status is VexStatus.FIXED
    assert decision.summary == "the 6.1 series has the fix since 6.1.100, and this is 6.1.192"


def test_a_changelog_that_names_the_cve_says_fixed() -> None:
    decision = decided(cve("drivers/net/ethernet/acme/anvil/anvil.c"), more={"changelog_cves": ("CVE-2026-0001",)})

    assert decision.status is VexStatus.FIXED
    assert "changelog" in decision.summary


def test_a_driver_that_the_host_may_present_is_affected_with_its_rows_and_what_to_do() -> None:
    world = {"mitigation": [mitigation("lock", ["C13/anvil/T3"], 'config.LOCK == "y"')]}
    decision = decided(cve("drivers/net/ethernet/acme/anvil/anvil.c"), config={}, world=world)

    assert decision.status is VexStatus.AFFECTED
    assert decision.rows == ["C13/anvil/T3"]
    assert decision.drivers == ["anvil"]
    assert decision.action == "take a kernel with the fix, or close the rows: have lock"


@pytest.mark.parametrize(
    "file",
    [
        "drivers/net/ethernet/acme/anvil/anvil_main.c",  # the only module of its directory
        "drivers/net/ethernet/acme/anvil/hw/phy.c",  # the nearest directory above that has one
        "drivers/net/ethernet/acme/lib/anvil_lib.c",  # a library that the driver needs
    ],
)
def test_code_of_a_composite_driver_and_of_what_it_needs_is_affected(file: str) -> None:
    decision = decided(cve(file))

    assert decision.status is VexStatus.AFFECTED
    assert decision.rows == ["C13/anvil/T3"]


def test_a_text_that_names_the_file_says_which_module_it_is_in() -> None:
    far = at("drivers/misc/far", PCI, sources=("drivers/odd/place/core.c",))
    decision = decided(cve("drivers/odd/place/core.c"), modules=(far,))

    assert decision.status is VexStatus.AFFECTED
    assert "texts of far name drivers/odd/place/core.c" in decision.because


def test_a_row_that_the_ledger_closes_cannot_be_controlled() -> None:
    world = {"mitigation": [mitigation("lock", ["C13/anvil/T3"], 'config.LOCK == "y"')]}
    decision = decided(cve("drivers/net/ethernet/acme/anvil/anvil.c"), config={"LOCK": "y"}, world=world)

    assert said(decision) == (VexStatus.NOT_AFFECTED, Justification.NOT_CONTROLLED)
    assert decision.summary.startswith("C13/anvil/T3 is refused: mitigation lock")
    assert decision.rows == ["C13/anvil/T3"]


def test_a_module_that_can_never_be_loaded_is_not_in_an_execute_path() -> None:
    from tests.ledger.worlds import verifier

    decision = decided(
        cve("drivers/net/ethernet/acme/anvil/anvil.c"),
        command_line="module_blacklist=anvil",
        verifier=verifier("RTMR2"),
    )

    assert said(decision) == (VexStatus.NOT_AFFECTED, Justification.NOT_EXECUTED)


def test_a_closed_row_is_no_answer_where_other_drivers_may_make_the_device() -> None:
    world = {"mitigation": [mitigation("lock", ["C13/anvil/T3"], 'config.LOCK == "y"')]}
    both = dataclasses.replace(NIC, aliases=(PCI, "platform:anvil"), depends=())
    decision = decided(
        cve("drivers/net/ethernet/acme/anvil/anvil.c"), modules=(both,), config={"LOCK": "y"}, world=world
    )

    assert decision.status is VexStatus.UNDER_INVESTIGATION
    assert "may make devices of platform" in decision.summary


def test_a_library_of_a_driver_that_is_never_loaded_may_run_for_others() -> None:
    from tests.ledger.worlds import verifier

    decision = decided(
        cve("drivers/net/ethernet/acme/lib/anvil_lib.c"),
        command_line="module_blacklist=anvil",
        verifier=verifier("RTMR2"),
    )

    assert said(decision) == (VexStatus.NOT_AFFECTED, Justification.NOT_CONTROLLED)


def test_a_blacklist_that_the_host_may_edit_is_no_answer() -> None:
    decision = decided(cve("drivers/net/ethernet/acme/anvil/anvil.c"), command_line="module_blacklist=anvil")

    assert decision.status is VexStatus.UNDER_INVESTIGATION
    assert "--verifier" in decision.summary


def test_an_audit_and_a_waiver_do_not_answer_a_flaw_that_somebody_found() -> None:
    audit = (
        f'[[audit]]\ndriver = "anvil"\ninterface = "*"\ncode_sha256 = "{CODE}"\nkernel = "k"\nby = "Jo"\n'
        'date = 2026-10-01\nmethod = "read"\nverdict = "nothing found"\n'
    )
    waiver = '[[waiver]]\nrows = "C13/*/*"\nreason = "r"\nowner = "o"\nexpires = 2030-01-01\n'
    file = cve("drivers/net/ethernet/acme/anvil/anvil.c")

    assert decided(file, audits=read_audits(audit.encode(), "a", ())).status is VexStatus.AFFECTED
    assert decided(file, waivers=read_waivers(waiver.encode(), "w")).status is VexStatus.AFFECTED


def test_a_driver_on_a_bus_that_this_host_does_not_present_cannot_be_controlled() -> None:
    decision = decided(cve("drivers/gpu/drm/acme/acmedrm.c"))

    assert said(decision) == (VexStatus.NOT_AFFECTED, Justification.NOT_CONTROLLED)
    assert decision.summary == (
        "not reachable by the host through devices: acmedrm binds devices of of alone, and a host of t presents pci, virtio; "
        "the guest itself may load it for other reasons"
    )


def test_a_device_tree_driver_is_not_out_of_reach_of_a_host_that_writes_acpi_tables() -> None:
    known, technology = catalogue(), catalogue().technologies["t"]
    facts = kernel({}, WORLD_MODULES)
    technology = msgspec.structs.replace(technology, presentable_buses=["pci", "acpi"])
    one = cve("drivers/gpu/drm/acme/acmedrm.c")

    (decision,) = triage(known, facts, technology, None, ledger(known, kernel=facts), CveRecords((one,))).decisions
    assert decision.status is VexStatus.UNDER_INVESTIGATION


@pytest.mark.parametrize(
    ("path", "alias", "word"),
    [
        ("fs/xfs/xfs", "fs-xfs", "may be the host's"),
        ("drivers/md/dm-acme", "", "may be the host's"),
        ("net/acme/acme", "net-pf-44", "may be the host's"),
        ("drivers/net/tun", "devname:net/tun", "may be the host's"),
        ("drivers/misc/keyless", "", "may load it by its name"),
        ("drivers/infiniband/hw/anvil/anvil_ib", "auxiliary:anvil.rdma", "may make devices of auxiliary"),
        ("drivers/hwmon/sensor", "platform:sensor", "may make devices of platform"),
    ],
)
def test_what_no_key_of_the_hosts_buses_binds_stays_under_investigation(path: str, alias: str, word: str) -> None:
    decision = decided(cve(f"{path}.c"), modules=(NIC, LIB, at(path, *([alias] if alias else []))))

    assert decision.status is VexStatus.UNDER_INVESTIGATION
    assert "not reachable by the host through devices" in decision.summary
    assert word in decision.summary


@pytest.mark.parametrize(
    ("files", "word"),
    [
        (("mm/memory.c",), "it may be the image"),
        (("net/core/dev.c",), "it may be the image"),
        (("include/linux/skbuff.h",), "a header"),
        (("fs/ext4/ext4.c",), "built in"),
        ((), "names no file"),
        (("drivers/net/Kconfig",), "no source file"),
    ],
)
def test_core_code_headers_and_records_without_files_stay_under_investigation(
    files: tuple[str, ...], word: str
) -> None:
    decision = decided(cve(*files))

    assert decision.status is VexStatus.UNDER_INVESTIGATION
    assert word in decision.summary


def test_a_shared_header_keeps_code_that_is_not_reached_under_investigation() -> None:
    private = decided(cve("drivers/gpu/drm/acme/acmedrm.c", "drivers/gpu/drm/acme/acme.h"))
    shared = decided(cve("drivers/gpu/drm/acme/acmedrm.c", "include/drm/drm_x.h"))
    reached = decided(cve("drivers/net/ethernet/acme/anvil/anvil.c", "include/linux/x.h"))

    assert private.status is VexStatus.NOT_AFFECTED
    assert shared.status is VexStatus.UNDER_INVESTIGATION
    assert reached.status is VexStatus.AFFECTED


def test_the_worst_file_decides() -> None:
    one, two = "drivers/gpu/drm/acme/acmedrm.c", "drivers/net/ethernet/acme/anvil/anvil.c"

    assert decided(cve(one, two)).status is VexStatus.AFFECTED
    assert decided(cve(one, "arch/arm64/kernel/traps.c")).status is VexStatus.NOT_AFFECTED
    assert decided(cve(one, "mm/memory.c")).status is VexStatus.UNDER_INVESTIGATION


def test_candidates_that_differ_decide_nothing() -> None:
    tame = at("drivers/net/ethernet/acme/anvil/tame", "of:N*T*Cacme,tame")
    decision = decided(cve("drivers/net/ethernet/acme/anvil/common.c"), modules=(NIC, LIB, tame))

    assert decision.status is VexStatus.UNDER_INVESTIGATION
    assert "anvil, tame" in decision.summary


def test_a_built_in_module_of_the_same_family_spoils_candidates() -> None:
    decision = decided(cve("drivers/net/ethernet/acme/anvil/common.c"), more={"builtin": ("anvil_core",)})

    assert decision.status is VexStatus.UNDER_INVESTIGATION


def test_a_built_in_driver_is_decided_by_its_rows() -> None:
    more = {"builtin": ("anvil",), "builtin_aliases": {"anvil": (PCI,)}}
    decision = decided(cve("drivers/net/anvil.c"), modules=(), more=more)

    assert decision.status is VexStatus.AFFECTED
    assert decision.rows == ["C13/anvil/T3"]


def test_a_configured_device_is_said_to_be_presented() -> None:
    from tests.ledger.worlds import device

    vm = machine(device("anvil-pci", "pci:v00001AF4d00001000sv00000000sd00000000bc02sc00i00"))
    decision = decided(cve("drivers/net/ethernet/acme/anvil/anvil.c"), machine=vm)

    assert decision.summary.startswith("the host presents a device that this guest binds to anvil")


def test_without_a_kernel_nothing_can_be_said() -> None:
    known = catalogue()
    with pytest.raises(InputError, match="no kernel was given"):
        triage(known, None, known.technologies["t"], None, ledger(known), CveRecords(()))


def test_a_kernel_without_modules_leaves_files_unknown() -> None:
    facts = dataclasses.replace(kernel(), modules=None)

    assert Sources(facts).locate("drivers/net/tun.c").where is Where.UNKNOWN


def test_the_same_inputs_give_the_same_bytes_and_they_decode() -> None:
    known = catalogue(channel=[channel("C13", driver_buses=["pci"], primitives=["free"])])
    facts = kernel({}, WORLD_MODULES)
    values = [
        encode(triage(known, facts, known.technologies["t"], None, ledger(known, kernel=facts), RECORDS))
        for _ in range(2)
    ]

    assert values[0] == values[1]
    assert len(msgspec.json.decode(values[0], type=Triage).decisions) == len(RECORDS.cves)


def _package(name: str) -> KernelFacts:
    from hostproof.cli import kernels

    directory = os.environ.get("HOSTPROOF_KERNELS")
    if directory is None:
        pytest.skip("HOSTPROOF_KERNELS names no directory of kernel packages")
    path = next(iter(Path(directory).glob(name)), None)
    if path is None:
        pytest.skip(f"no {name} in {directory}")
    return kernels.read(str(path), real_catalogue())


def real(name: str) -> dict[str, Decision]:
    """Decisions on the corpus for a package of Debian, under a host of SEV-SNP without a definition."""
    from hostproof.ledger.assess import Subject, assess
    from hostproof.managers.verdicts import CatalogueVerdicts
    from tests.ledger.worlds import TODAY

    known, facts = real_catalogue(), _package(name)
    technology = known.technologies["sev-snp"]
    subject = Subject("vm", technology, known.uses["third-party-server"], TODAY, kernel=facts)
    value = assess(known, subject, CatalogueVerdicts())
    assert any(row.status is Status.OPEN for row in value.rows)
    return {item.cve: item for item in triage(known, facts, technology, None, value, RECORDS).decisions}


# What upstream's records say of 6.1.192: fixed in 6.1.84, .93, .101, .117 (twice), .129, .144, .159; came with 6.6. Of
# CVE-2024-26656 and CVE-2024-41013 they name no fix for 6.1 (as stored in 2024), and Debian's changelog names both.
FIXED = (
    "CVE-2024-38556", "CVE-2024-41073", "CVE-2024-50264", "CVE-2024-53082", "CVE-2025-21700", "CVE-2025-38375",
    "CVE-2025-40292", "CVE-2024-26656", "CVE-2024-41013",
)  # fmt: skip


@pytest.mark.slow
def test_the_records_on_debians_stock_kernel() -> None:
    found = real("linux-image-6.1.0-55-amd64-unsigned_6.1.192-1_amd64.deb")

    assert dict.fromkeys((*FIXED, "CVE-2024-26943"), VexStatus.FIXED) == {
        name: item.status for name, item in found.items() if item.status is VexStatus.FIXED
    }
    assert said(found["CVE-2024-57843"]) == (VexStatus.NOT_AFFECTED, Justification.NOT_PRESENT)
    assert said(found["CVE-2023-52586"]) == (VexStatus.NOT_AFFECTED, Justification.NOT_PRESENT), "no msm on x86"
    assert found["CVE-2024-26719"].status is VexStatus.AFFECTED
    assert found["CVE-2024-26719"].rows == ["C13/nouveau/T3"]
    assert found["CVE-2023-52624"].rows == ["C13/amdgpu/T3"], "its files lie beside the directory of the module"
    assert found["CVE-2024-57809"].status is VexStatus.UNDER_INVESTIGATION, "PCI controllers may be built in"


@pytest.mark.slow
def test_the_records_on_debians_cloud_kernel_which_has_no_graphics() -> None:
    found = real("linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64.deb")

    graphics = ("CVE-2023-52586", "CVE-2023-52624", "CVE-2024-26656", "CVE-2024-26719", "CVE-2024-26943")
    assert {said(found[name]) for name in graphics} == {(VexStatus.NOT_AFFECTED, Justification.NOT_PRESENT)}
    assert not [name for name, item in found.items() if item.status is VexStatus.AFFECTED]


@pytest.mark.slow
def test_the_records_on_an_older_series() -> None:
    """5.10.262: mlx5 took the flaw with 5.10.94, and no fix for the series is listed."""
    found = real("linux-image-5.10.0-46-amd64_5.10.262-1_amd64.deb")

    assert found["CVE-2024-38556"].status is VexStatus.AFFECTED
    assert found["CVE-2024-38556"].rows == ["C13/mlx5_core/T3"]
    assert found["CVE-2024-53082"].summary == "it came with 5.18, and this is 5.10.262"
    assert found["CVE-2024-41013"].status is VexStatus.UNDER_INVESTIGATION
    assert "not reachable by the host through devices" in found["CVE-2024-41013"].summary
