"""Mechanisms of boot, virtio, ACPI and legacy code: which of image and package answers, and where the two disagree."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import hostproof.knowledge
from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import Fact, Value, parse
from hostproof.knowledge.records import Mechanism

FOLDER = Path(hostproof.knowledge.__file__).parent / "catalogue"
FILES = ("boot", "virtio-acpi", "code-acpi", "code-io", "code-platform", "code-platform-2", "legacy")
OURS = [
    catalogue().mechanisms[record["id"]]
    for name in FILES
    for record in tomllib.loads((FOLDER / f"mechanisms-{name}.toml").read_text(encoding="utf-8"))["mechanism"]
]


class Kernel:
    """Facts by name; what is not given is not known."""

    def __init__(self, facts: dict[str, Value]) -> None:
        self.facts = facts

    def fact(self, name: str) -> Fact:
        space, _, rest = name.partition(".")
        if space == "mechanism" and name not in self.facts:
            return Fact(name, told(catalogue().mechanisms_by_fact[rest], self.facts)[1])
        return Fact(name, self.facts.get(name))


def told(mechanism: Mechanism, facts: dict[str, Value]) -> tuple[str, bool | None]:
    """Which of image and package tells, and what."""
    for name in ("image", "package"):
        text = getattr(mechanism, name)
        value = parse(text)(Kernel(facts)).value if text else None
        if value is not None:
            return name, value
    return "nobody", None


X86: dict[str, Value] = {"architecture": "x86_64"}
ARM: dict[str, Value] = {"architecture": "aarch64"}


@pytest.mark.parametrize(
    ("identifier", "facts", "expected"),
    [
        # 5.10.262: the free list of the split ring, and copies of packets, came later
        (
            "virtio-split-ring-extra",
            {
                "symbol.virtio_ring.vring_alloc_desc_extra": False,
                "symbol.virtio_ring.vring_alloc_state_extra_split": False,
                "kernel.version": "6.1.192",  # whatever the version says
            },
            ("image", False),
        ),
        ("virtio-split-ring-extra", {"symbol.virtio_ring.vring_alloc_desc_extra": True}, ("image", True)),
        ("virtio-split-ring-extra", {"kernel.version": "6.1.192"}, ("package", True)),
        (
            "virtio-split-ring-extra",
            {"kernel.version": "5.10.262", "changelog.virtio_split_ring_extra": False},
            ("package", False),
        ),
        (
            "virtio-split-ring-extra",
            {"kernel.version": "5.10.262", "changelog.virtio_split_ring_extra": True},
            ("package", True),
        ),
        ("vmbus-packet-copy", {"calls.hv_vmbus.hv_pkt_iter_first": ("__fentry__",)}, ("image", False)),
        ("vmbus-packet-copy", {"calls.hv_vmbus.hv_pkt_iter_first": ("__fentry__", "memcpy")}, ("image", True)),
        ("vmbus-packet-copy", {"config.HYPERV": "n"}, ("package", False)),
        (
            "vmbus-isolated-offers",
            {"calls.hv_vmbus.vmbus_onoffer": ("hv_is_isolation_supported", "kmalloc_trace")},
            ("image", True),
        ),
        # 6.1 sets the check for SEV alone, 6.12 for TDX as well
        (
            "virtio-restricted-memory",
            {**X86, "symbol.virtio_require_restricted_mem_acc": True, "symbol.mem_encrypt_setup_arch": False},
            ("image", False),
        ),
        (
            "virtio-restricted-memory-sev",
            {
                **X86, "symbol.virtio_require_restricted_mem_acc": True, "symbol.mem_encrypt_setup_arch": False,
                "symbol.sev_setup_arch": True,
            },
            ("image", True),
        ),
        ("virtio-restricted-memory", {**ARM, "symbol.virtio_require_restricted_mem_acc": True}, ("image", False)),
        # what the configuration says and the image denies
        ("acpi-oem0", {"symbol.ms_hyperv_late_init": False, "config.ACPI": "y", "config.HYPERV": "m"}, ("image", False)),
        ("cc-blob", {"symbol.snp_init": False, "config.AMD_MEM_ENCRYPT": "y"}, ("image", False)),
        ("aml-cmos", {"symbol.acpi_cmos_rtc_space_handler": False, "config.ACPI": "y"}, ("image", False)),
        ("acpi-gpe", {**ARM, "config.ACPI": "y", "config.ACPI_REDUCED_HARDWARE_ONLY": "y"}, ("package", False)),
        (
            "pvpanic",  # 5.10, whose driver stands under another symbol
            {
                "config.PVPANIC": "m", "config.PVPANIC_MMIO": "n", "config.PVPANIC_PCI": "n",
                "kernel.version": "5.10.262",
            },
            ("package", True),
        ),
        ("acpi-hest", {"symbol.acpi_hest_init": True}, ("image", True)),
        ("acpi-hest", {"config.ACPI": "y", "config.ACPI_APEI": "y"}, ("package", True)),
        ("acpi-hest", {}, ("nobody", None)),
        ("heap-zeroing-option", {"parameter.init_on_alloc": True}, ("image", True)),
        ("acpi-no-kernel-memory", {**X86, "symbol.acpi_os_ioremap": True}, ("image", False)),  # x86 maps anything
        # a module that is not in the package: nobody answers for its symbols, and the configuration decides
        ("ipmi-si", {"config.IPMI_SI": "n"}, ("package", False)),
    ],
)  # fmt: skip
def test_the_image_is_believed_first_and_the_package_where_it_is_silent(
    identifier: str, facts: dict[str, Value], expected: tuple[str, bool | None]
) -> None:
    assert expected == told(catalogue().mechanisms[identifier], facts)


@pytest.mark.parametrize(
    ("mitigation", "facts", "expected"),
    [
        ("virtio-private-free-list", {"symbol.virtio_ring.vring_alloc_desc_extra": True}, True),
        (
            "virtio-restricted-memory",  # an SEV guest of 6.1
            {
                **X86, "feature.ghcb": True, "symbol.virtio_require_restricted_mem_acc": True,
                "symbol.mem_encrypt_setup_arch": False, "symbol.sev_setup_arch": True,
            },
            True,
        ),
        (
            "virtio-restricted-memory",  # a TDX guest of 6.1
            {
                **X86, "feature.ghcb": False, "symbol.virtio_require_restricted_mem_acc": True,
                "symbol.mem_encrypt_setup_arch": False, "symbol.sev_setup_arch": True,
            },
            False,
        ),
        ("virtio-no-mmio", {"symbol.virtio_mmio.virtio_mmio_probe": True, "config.VIRTIO_MMIO": "n"}, False),
        ("virtio-no-mmio", {"config.VIRTIO_MMIO": "n"}, True),
        ("virtio-no-legacy", {"symbol.virtio_pci.virtio_pci_legacy_probe": False}, True),
        ("lockdown", {"symbol.lockdown_is_locked_down": True, "config.LOCK_DOWN_KERNEL_FORCE_INTEGRITY": "n",
                      "config.LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY": "n", "cmdline.lockdown": "integrity"}, True),
        ("lockdown", {"symbol.lockdown_is_locked_down": False, "config.LOCK_DOWN_KERNEL_FORCE_INTEGRITY": "n",
                      "config.LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY": "n", "cmdline.lockdown": "integrity"}, False),
        ("acpi-no-memhotplug", {"parameter.acpi_no_memhotplug": False, "cmdline.acpi_no_memhotplug": "set"}, False),
        ("no-bootconfig", {"symbol.xbc_init": False}, True),
        ("nomodule", {"symbol.__request_module": False}, True),
        ("module-signatures", {"symbol.mod_verify_sig": False, "cmdline.module.sig_enforce": "1"}, False),
    ],
)  # fmt: skip
def test_a_mitigation_holds_by_what_the_image_has(
    mitigation: str, facts: dict[str, Value], expected: bool | None
) -> None:
    assert expected is parse(catalogue().mitigations[mitigation].holds)(Kernel(facts)).value


@pytest.mark.parametrize("mechanism", OURS, ids=lambda mechanism: mechanism.id)
def test_a_mechanism_that_no_image_shows_says_why(mechanism: Mechanism) -> None:
    assert mechanism.image or mechanism.note


@pytest.mark.parametrize("mechanism", OURS, ids=lambda mechanism: mechanism.id)
def test_the_package_decides_where_there_is_no_image(mechanism: Mechanism) -> None:
    assert mechanism.package


@pytest.mark.parametrize("mechanism", [one for one in OURS if one.titles], ids=lambda mechanism: mechanism.id)
def test_a_mechanism_known_by_its_commit_asks_the_changelog(mechanism: Mechanism) -> None:
    assert f"changelog.{mechanism.id.replace('-', '_')}" in parse(mechanism.package).names
    assert len(mechanism.commits) == len(mechanism.titles)


def test_no_row_of_ours_rests_on_a_version_alone() -> None:
    whole = catalogue()
    alone = [
        record.id
        for record in (*whole.instances, *whole.mitigations.values())
        for text in (getattr(record, "consumed", ""), getattr(record, "holds", ""))
        if text and {"kernel.version"} == {name for name in parse(text).names if not name.startswith("cmdline.")}
    ]

    assert alone == []
