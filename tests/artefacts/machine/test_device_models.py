"""Bus and aliases of device models."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.machine import device_models
from hostproof.artefacts.machine.device_models import canonical, device, is_known
from hostproof.artefacts.machine.model import Origin
from hostproof.place import Place

PLACE = Place("vm.args", path="-device #1")
COMMON = (
    "virtio-balloon-pci",
    "virtio-scsi-pci",
    "virtio-serial-pci",
    "virtio-gpu-pci",
    "virtio-vga",
    "virtio-9p-pci",
    "virtio-mem-pci",
    "virtio-iommu-pci",
    "virtio-crypto-pci",
    "vhost-user-blk-pci",
    "vhost-user-net",
    "VGA",
    "qxl-vga",
    "bochs-display",
    "ramfb",
    "cirrus-vga",
    "intel-hda",
    "hda-duplex",
    "ich9-intel-hda",
    "usb-storage",
    "usb-redir",
    "usb-ehci",
    "ich9-usb-uhci1",
    "piix3-usb-uhci",
    "isa-fdc",
    "tpm-tis",
    "vmcoreinfo",
    "edu",
    "ivshmem-plain",
    "nvdimm",
    "pc-dimm",
    "intel-iommu",
    "amd-iommu",
    "megasas",
    "mptsas1068",
    "rtl8139",
    "igb",
    "vmxnet3",
    "sdhci-pci",
    "pxb-pcie",
    "pcie-pci-bridge",
    "pci-bridge",
    "virtserialport",
    "virtconsole",
    "virtio-sound-pci",
)
SPELLINGS = (
    r"pci:v[0-9A-F]{8}d[0-9A-F]{8}sv[0-9A-F]{8}sd[0-9A-F]{8}bc[0-9A-F]{2}sc[0-9A-F]{2}i[0-9A-F]{2}",
    r"virtio:d[0-9A-F]{8}v[0-9A-F]{8}",
    r"usb:v[0-9A-F]{4}p[0-9A-F]{4}d[0-9A-F]{4}dc[0-9A-F]{2}dsc[0-9A-F]{2}dp[0-9A-F]{2}"
    r"ic[0-9A-F]{2}isc[0-9A-F]{2}ip[0-9A-F]{2}in[0-9A-F]{2}",
    r"acpi:([A-Z0-9_]+:)+",
    r"amba:d[0-9a-f]{8}",
    r"ccw:t[0-9A-F]{4}m[0-9A-F]{2}dtdm",
    r"of:N[a-z0-9_-]+T(\(null\)|[a-z]+)(C[a-z0-9,-]+)+",
    r"scsi:t-0x[0-9a-f]{2}",
    r"serio:ty[0-9A-F]{2}pr[0-9A-F]{2}id[0-9A-F]{2}ex[0-9A-F]{2}",
    r"hdaudio:v[0-9A-F]{8}r[0-9A-F]{8}a[0-9A-F]{2}",
    r"vmbus:[0-9a-f]{32}",
    r"platform:[a-z0-9-]+",
)


@pytest.mark.parametrize(
    ("model", "bus", "alias"),
    [
        ("e1000", "pci", "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00"),
        ("virtio-net-pci", "pci", "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00"),
        ("virtio-net-pci", "pci", "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00"),
        ("virtio-net-pci", "pci", "virtio:d00000001v00001AF4"),
        ("virtio-blk-pci", "pci", "virtio:d00000002v00001AF4"),
        ("virtio-rng-pci", "pci", "virtio:d00000004v00001AF4"),
        ("vhost-vsock-pci", "pci", "virtio:d00000013v00001AF4"),
        ("vhost-user-fs-pci", "pci", "pci:v00001AF4d0000105Asv00001AF4sd00001100bc01sc80i00"),
        ("virtio-blk-ccw", "ccw", "ccw:t3832m02dtdm"),
        ("virtio-blk-device", "virtio", "virtio:d00000002v554D4551"),
        ("nvme", "pci", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"),
        ("qemu-xhci", "pci", "pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30"),
        ("pcie-root-port", "pci", "pci:v00001B36d0000000Csv00001B36sd00000000bc06sc04i00"),
        ("i6300esb", "pci", "pci:v00008086d000025ABsv00001AF4sd00001100bc08sc80i00"),
        ("usb-tablet", "usb", "usb:v0627p0001d0000dc00dsc00dp00ic03isc00ip00in00"),
        ("usb-kbd", "usb", "usb:v0627p0001d0000dc00dsc00dp00ic03isc01ip01in00"),
        ("isa-serial", "isa", "acpi:PNP0501:"),
        ("pvpanic", "isa", "acpi:QEMU0001:"),
        ("vmgenid", "sysbus", "acpi:QEMUVGID:VM_GEN_COUNTER:"),
        ("tpm-crb", "sysbus", "acpi:MSFT0101:"),
        ("scsi-hd", "scsi", "scsi:t-0x00"),
    ],
)
def test_a_device_has_the_bus_and_the_alias_that_the_kernel_computes(model: str, bus: str, alias: str) -> None:
    found = device(model, origin=Origin.DEFINITION, place=PLACE)

    assert (model, bus) == (found.model, found.bus)
    assert alias in found.aliases


def test_a_model_named_for_one_virtio_generation_has_the_id_of_that_alone() -> None:
    modern = device("virtio-net-pci-non-transitional", origin=Origin.DEFINITION, place=PLACE)
    legacy = device("virtio-net-pci-transitional", origin=Origin.DEFINITION, place=PLACE)
    expected = ["1041"]

    assert expected == re.findall(r"d0000(10\w\w)sv", " ".join(modern.aliases))

    expected = ["1000"]

    assert expected == re.findall(r"d0000(10\w\w)sv", " ".join(legacy.aliases))


def test_id_backend_and_properties_stay_as_they_were_given() -> None:
    found = device(
        "virtio-net-pci", origin=Origin.DEFAULT, place=PLACE, id="n0", backend="user", properties=(("mac", "x"),)
    )
    expected = ("n0", "user", (("mac", "x"),), Origin.DEFAULT, PLACE)

    assert expected == (
        found.id,
        found.backend,
        found.properties,
        found.origin,
        found.place,
    )


def test_an_unknown_model_has_an_unknown_bus_and_no_aliases() -> None:
    found = device("frobnicator", origin=Origin.DEFINITION, place=PLACE)
    expected = ("frobnicator", "unknown", ())

    assert expected == (found.model, found.bus, found.aliases)
    assert not is_known("frobnicator")


@pytest.mark.parametrize("model", ["vfio-pci", "usb-host"])
def test_a_passed_through_device_has_a_bus_but_no_aliases(model: str) -> None:
    found = device(model, origin=Origin.DEFINITION, place=PLACE)

    assert (model.replace("vfio-", "").replace("-host", ""), ()) == (found.bus, found.aliases)


@pytest.mark.parametrize(
    ("alias", "architecture", "model"),
    [
        ("virtio-blk", "x86_64", "virtio-blk-pci"),
        ("virtio-blk", "aarch64", "virtio-blk-pci"),
        ("virtio-blk", "s390x", "virtio-blk-ccw"),
        ("virtio-net", "s390x", "virtio-net-ccw"),
        ("e1000-82540em", "x86_64", "e1000"),
        ("lsi", "x86_64", "lsi53c895a"),
        ("ahci", "x86_64", "ich9-ahci"),
        ("ac97", "x86_64", "AC97"),
        ("virtio-blk-pci", "s390x", "virtio-blk-pci"),
        ("frobnicator", "x86_64", "frobnicator"),
    ],
)
def test_aliases_mean_what_qemu_means_by_them_on_that_architecture(alias: str, architecture: str, model: str) -> None:
    assert model == canonical(alias, architecture)


def test_an_alias_is_a_known_model() -> None:
    assert is_known("virtio-blk")
    assert device("virtio-blk", origin=Origin.DEFINITION, place=PLACE).model == "virtio-blk-pci"


def test_every_alias_of_the_table_is_spelled_as_the_kernel_spells_it() -> None:
    spelling = re.compile("|".join(SPELLINGS))
    wrong = [
        (model.model, alias)
        for model in device_models._models().values()
        for alias in model.aliases
        if not spelling.fullmatch(alias)
    ]
    expected = []

    assert expected == wrong


def test_the_table_holds_the_devices_that_definitions_use() -> None:
    unknown = [model for model in COMMON if not is_known(model)]
    expected = ["vhost-user-net"]

    assert expected == unknown


@given(st.text(max_size=40), st.text(max_size=10))
def test_any_name_gives_an_answer(name: str, architecture: str) -> None:
    assert canonical(name, architecture)[:0] == ""
    assert device(name, origin=Origin.DEFINITION, place=PLACE).place == PLACE
