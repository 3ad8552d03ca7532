"""The table of interfaces: what a call or an instruction of a binary says that code reads of the host."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from hostproof.artefacts.kernel.instructions import MNEMONICS
from hostproof.knowledge.load import catalogue
from hostproof.knowledge.records import Interface
from hostproof.knowledge.terms import Checked

INSTRUCTIONS = frozenset().union(*MNEMONICS.values())
"""Mnemonics that the readers of binaries look for."""


def of(function: str) -> list[str]:
    """The interfaces that a call of this function counts under."""
    return [
        one.id for one in catalogue().interfaces.values() if any(_matches(function, name) for name in one.functions)
    ]


def _matches(function: str, pattern: str) -> bool:
    return function.startswith(pattern[:-1]) if pattern.endswith("*") else function == pattern


@pytest.mark.parametrize(
    ("function", "interface"),
    [
        ("pci_read_config_dword", "pci-config"),
        ("pcie_capability_clear_and_set_word_locked", "pci-config"),  # 6.1; without the suffix in 5.10
        ("ioread32be", "mmio-read"),
        ("__memcpy_fromio", "mmio-read"),  # arm64 up to 6.12
        ("pcim_iomap_region", "mmio-map"),
        ("__ioremap_prot", "mmio-map"),  # arm64
        ("__request_region", "port-region"),
        ("virtqueue_get_buf", "virtqueue"),
        ("virtqueue_add_inbuf_cache_clean", "virtqueue-expose"),  # 7.x
        ("register_virtio_driver", "virtio-config"),
        ("__register_virtio_driver", "virtio-config"),
        ("dma_alloc_attrs", "dma-shared"),
        ("__dma_sync_single_for_cpu", "dma-shared"),  # 7.x
        ("dma_map_phys", "dma-streaming"),  # 7.x
        ("request_threaded_irq", "interrupt-handler"),
        ("acpi_evaluate_integer", "acpi-evaluate"),
        ("acpi_get_table", "acpi-tables"),
        ("of_property_read_variable_u32_array", "firmware-properties"),
        ("rdmsrl_safe_on_cpu", "msr-read"),
        ("rdmsrq_on_cpu", "msr-read"),  # 7.x
        ("__arm_smccc_smc", "smccc"),
        ("snp_issue_guest_request", "ghcb"),
        ("snp_send_guest_request", "ghcb"),  # 7.x
        ("hv_do_hypercall", "hypercall"),
        ("vmbus_recvpacket_raw", "vmbus"),
        ("xenbus_scanf", "xenbus"),
        ("efivar_get_variable", "efi"),
        ("dmi_first_match", "smbios"),
        ("request_firmware_nowait", "firmware-load"),
        ("usb_control_msg_recv", "usb-control"),
        ("usb_submit_urb", "usb-transfer"),
        ("hid_open_report", "hid-report"),
        ("i2c_smbus_read_byte_data", "i2c"),
        ("spi_sync", "spi"),
        ("regmap_read", "regmap"),
    ],
)
def test_a_name_that_modules_import_counts_under_one_interface(function: str, interface: str) -> None:
    assert [interface] == of(function)


@pytest.mark.parametrize(
    "function",
    [
        "pci_write_config_dword",  # tells the host, reads nothing
        "iounmap",
        "iowrite32",
        "pcim_iomap_table",  # gives back a mapping that was counted when it was made
        "dma_free_attrs",
        "dma_pool_free",
        "memcpy_toio",
        "virtqueue_kick",
        "acpi_bus_register_driver",
        "release_firmware",
        "usb_kill_urb",
        "hid_hw_stop",
        "i2c_smbus_write_byte_data",
        "vmbus_sendpacket",
        "iomap_dio_rw",  # a file-system library, no mapping of device memory
        "kvm_emulate_rdmsr",  # a hypervisor's own work for its guests
    ],
)
def test_what_reads_nothing_of_the_host_counts_nowhere(function: str) -> None:
    assert of(function) == []


def test_no_name_counts_twice() -> None:
    names = [(one.id, name) for one in catalogue().interfaces.values() for name in one.functions]
    twice = [
        (first, second)
        for first, second in combinations(names, 2)
        if _matches(first[1].rstrip("*"), second[1]) or _matches(second[1].rstrip("*"), first[1])
    ]

    assert twice == []


def test_every_instruction_is_one_that_readers_look_for_and_stands_under_one_interface() -> None:
    mnemonics = [mnemonic for one in catalogue().interfaces.values() for mnemonic in one.instructions]

    assert set(mnemonics) <= INSTRUCTIONS
    assert sorted(set(mnemonics)) == sorted(mnemonics)


@pytest.mark.parametrize("interface", catalogue().interfaces.values(), ids=lambda one: one.id)
def test_an_interface_can_be_seen_and_says_what_cannot(interface: Interface) -> None:
    assert interface.functions or interface.instructions
    assert interface.blind.endswith(".")
    assert interface.checked is Checked.PRIMARY
    assert [name for name in interface.functions if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{3,}\*?", name)] == []


def test_a_preparation_weighs_nothing_and_a_value_that_the_host_chooses_weighs_most() -> None:
    weights = {one.id: one.weight for one in catalogue().interfaces.values()}

    assert (weights["port-region"], weights["interrupt-handler"], weights["mmio-map"], weights["port-read"]) == (
        0,
        1,
        2,
        3,
    )


def test_the_ways_in_that_the_threat_model_names_are_there() -> None:
    """The channels of the kernel's own list of host inputs, each with an interface that shows it in a binary."""
    seen = {channel for one in catalogue().interfaces.values() for channel in one.channels}

    assert {"C04", "C05", "C06", "C07", "C11", "C12", "C13", "C14", "C15", "C16", "C17", "C19", "C22", "C31"} <= seen
    assert {"C32", "C33", "C34", "C35", "C37", "C39"} <= seen
