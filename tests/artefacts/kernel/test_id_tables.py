from __future__ import annotations

import io
from collections import defaultdict
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel.id_tables import MAX_ENTRIES, TABLES
from hostproof.artefacts.kernel.module import read_module
from tests.artefacts.kernel import packages
from tests.artefacts.kernel.driver_packages import STOCK_61, package
from tests.artefacts.kernel.id_table_layouts import LAYOUTS, aliases_in, packed

ANY = 0xFFFFFFFF
NVME = packed(
    "pci", vendor=ANY, device=ANY, subvendor=ANY, subdevice=ANY, **{"class": 0x010802, "class_mask": 0xFFFFFF}
)
KNOWN = [
    (
        "pci",
        packed("pci", vendor=0x1AF4, device=ANY, subvendor=ANY, subdevice=ANY),
        ("pci:v00001AF4d*sv*sd*bc*sc*i*",),
    ),
    ("pci", NVME, ("pci:v*d*sv*sd*bc01sc08i02*",)),
    (
        "pci",
        packed("pci", vendor=0x8086, device=0x2922, subvendor=0x1AF4, subdevice=0x1100, class_mask=0xFF0000),
        ("pci:v00008086d00002922sv00001AF4sd00001100bc00sc*i*",),
    ),
    (
        "pci",
        packed("pci", vendor=ANY, device=ANY, subvendor=ANY, subdevice=ANY, override_only=1),
        ("vfio_pci:v*d*sv*sd*bc*sc*i*",),
    ),
    ("pci", packed("pci", vendor=0x10DE, device=ANY, subvendor=ANY, subdevice=ANY, class_mask=0x0F0000), ()),
    ("virtio", packed("virtio", device=3, vendor=ANY), ("virtio:d00000003v*",)),
    ("acpi", packed("acpi", id="PNP0C0A"), ("acpi*:PNP0C0A:*",)),
    ("acpi", packed("acpi", id="VM_GEN_COUNTER"), ("acpi*:VM_GEN_COUNTER:*",)),
    ("acpi", packed("acpi", cls=0x0C0330, cls_msk=0xFFFFFF), ("acpi*:0c0330:*",)),
    ("acpi", packed("acpi", cls=0x010601, cls_msk=0xFFFF00), ("acpi*:0106??:*",)),
    ("platform", packed("platform", name="syscon"), ("platform:syscon",)),
    ("pnp", packed("pnp", id="PNP0b00"), ("pnp:dPNP0b00*", "acpi*:PNP0B00:*")),
    ("pnp", packed("pnp", id="@P@0001"), ("pnp:d@P@0001*", "acpi*:@P@0001:*")),
    (
        "pnp_card",
        packed("pnp_card", id="CTL0024", devs=b"CTL0031\0CTL0021\0"),
        ("pnp:dCTL0031*", "acpi*:CTL0031:*", "pnp:dCTL0021*", "acpi*:CTL0021:*"),
    ),
    ("of", packed("of", compatible="qemu,fw-cfg-mmio"), ("of:N*T*Cqemu,fw-cfg-mmio", "of:N*T*Cqemu,fw-cfg-mmioC*")),
    ("of", packed("of", type="cpu", compatible="a b"), ("of:N*Tcpu*Ca_b", "of:N*Tcpu*Ca_bC*")),
    ("of", packed("of", name="flash"), ("of:NflashT*", "of:NflashT*C*")),
    (
        "vmbus",
        packed("vmbus", guid=bytes.fromhex("1df6c444444400449d52802e27ede19f")),
        ("vmbus:1df6c444444400449d52802e27ede19f",),
    ),
    ("xen", packed("xen", devicetype="vbd"), ("xen:vbd",)),
    ("xen-backend", packed("xen-backend", devicetype="vif"), ("xen-backend:vif",)),
    ("hid", packed("hid", bus=3, vendor=0x46D, product=ANY), ("hid:b0003g*v0000046Dp*",)),
    ("hid", packed("hid", bus=0xFFFF, group=1, vendor=ANY, product=ANY), ("hid:b*g0001v*p*",)),
    ("i2c", packed("i2c", name="dummy"), ("i2c:dummy",)),
    ("spi", packed("spi", name="jg10309-01"), ("spi:jg10309-01",)),
    ("serio", packed("serio", type=1, proto=255, id=255, extra=255), ("serio:ty01pr*id*ex*",)),
    ("serio", packed("serio", type=2, proto=0x22, id=255, extra=1), ("serio:ty02pr22id*ex01*",)),
    ("amba", packed("amba", id=0x00041061, mask=0x000FFFFF), ("amba:d???41061",)),
    ("amba", packed("amba", id=0x4, mask=0xFFFFFFF6), ("amba:d0000000[45CD]",)),
]


@pytest.mark.parametrize(("kind", "body", "expected"), KNOWN)
def test_an_entry_gives_what_modpost_writes(kind: str, body: bytes, expected: tuple[str, ...]) -> None:
    assert expected == aliases_in(kind, body + packed(kind))


STORAGE = {"match_flags": 0xF, "idVendor": 0x781, "idProduct": 2}
USB = [
    ({"match_flags": 3, "idVendor": 0x1D6B, "idProduct": 2}, ["usb:v1D6Bp0002d*dc*dsc*dp*ic*isc*ip*in*"]),
    ({"match_flags": 0x10, "bDeviceClass": 9}, ["usb:v*p*d*dc09dsc*dp*ic*isc*ip*in*"]),
    (
        {"match_flags": 0x380, "bInterfaceClass": 3, "bInterfaceSubClass": 1, "bInterfaceProtocol": 2},
        ["usb:v*p*d*dc*dsc*dp*ic03isc01ip02in*"],
    ),
    (STORAGE | {"bcdDevice_lo": 9, "bcdDevice_hi": 9}, ["usb:v0781p0002d0009dc*dsc*dp*ic*isc*ip*in*"]),
    (STORAGE | {"bcdDevice_lo": 0, "bcdDevice_hi": 0x9999}, ["usb:v0781p0002d*dc*dsc*dp*ic*isc*ip*in*"]),
    (
        STORAGE | {"bcdDevice_lo": 0x98, "bcdDevice_hi": 0x101},
        ["usb:v0781p0002d009[8-9]dc*dsc*dp*ic*isc*ip*in*", "usb:v0781p0002d010[0-1]dc*dsc*dp*ic*isc*ip*in*"],
    ),
    ({"match_flags": 1, "driver_info": 1}, []),
]


@pytest.mark.parametrize(("values", "expected"), USB)
def test_a_usb_entry_gives_patterns_for_its_versions(values: dict[str, int], expected: list[str]) -> None:
    found = aliases_in("usb", packed("usb", **values) + packed("usb"))

    assert found is not None
    assert sorted(expected) == sorted(found)


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_the_patterns_of_a_decimal_range_hold_its_versions_and_no_other(first: int, last: int) -> None:
    low, high = (int(f"{number}", 16) for number in sorted((first, last)))
    values = STORAGE | {"bcdDevice_lo": low, "bcdDevice_hi": high}
    patterns = aliases_in("usb", packed("usb", **values) + packed("usb"))
    assert patterns is not None
    steps = {0, 9999, *(number + by for number in (first, last) for by in (-11, -10, -1, 0, 1, 10, 11, 100))}

    for number in steps:
        if 0 <= number <= 9999:
            device = f"usb:v0781p0002d{number:04d}dc00dsc00dp00ic00isc00ip00in00"
            assert (min(first, last) <= number <= max(first, last)) == any(
                fnmatchcase(device, pattern) for pattern in patterns
            )


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_the_patterns_of_a_hexadecimal_range_hold_its_versions_and_no_other(first: int, last: int) -> None:
    low, high = sorted((first, last))
    if not any(digit in f"{low:X}{min(high, 0x9999):X}" for digit in "ABCDEF"):
        low |= 0xA
        high = max(low, high)
    values = STORAGE | {"bcdDevice_lo": low, "bcdDevice_hi": high}
    patterns = aliases_in("usb", packed("usb", **values) + packed("usb"))
    assert patterns is not None

    for number in {0, 0xFFFF, *(edge + by for edge in (low, high) for by in (-17, -16, -1, 0, 1, 16, 17, 256))}:
        if 0 <= number <= 0xFFFF:
            device = f"usb:v0781p0002d{number:04X}dc00dsc00dp00ic00isc00ip00in00"
            assert (low <= number <= high) == any(fnmatchcase(device, pattern) for pattern in patterns)


def test_a_table_keeps_its_order_and_names_an_alias_once() -> None:
    one, two = packed("virtio", device=1, vendor=ANY), packed("virtio", device=26, vendor=ANY)

    assert aliases_in("virtio", two + one + two + packed("virtio")) == ("virtio:d0000001Av*", "virtio:d00000001v*")


def test_an_empty_table_has_no_aliases() -> None:
    assert aliases_in("pci", packed("pci")) == ()


NO_TABLE = {
    "without an end": ("virtio", packed("virtio", device=1, vendor=ANY)),
    "longer than any": ("virtio", packed("virtio", device=1, vendor=ANY) * (MAX_ENTRIES + 1)),
    "a vendor of 17 bits": ("pci", packed("pci", vendor=0x10000) + packed("pci")),
    "an unknown override": ("pci", packed("pci", vendor=1, override_only=2) + packed("pci")),
    "an id with a blank": ("acpi", packed("acpi", id="PNP 0C0A") + packed("acpi")),
    "an id that is no text": ("pnp", packed("pnp", id=b"\xff\xfe") + packed("pnp")),
    "a name that is no text": ("i2c", packed("i2c", name=b"a\x01") + packed("i2c")),
    "flags that are none": ("usb", packed("usb", match_flags=0x8000, idVendor=1) + packed("usb")),
    "an id outside of its mask": ("amba", packed("amba", id=3, mask=1) + packed("amba")),
}


@pytest.mark.parametrize("name", NO_TABLE)
def test_what_is_no_table_is_told(name: str) -> None:
    kind, body = NO_TABLE[name]

    assert aliases_in(kind, body) is None


@settings(max_examples=300)
@given(st.sampled_from(sorted(TABLES)), st.binary(max_size=600))
def test_any_bytes_are_a_table_or_none(kind: str, body: bytes) -> None:
    found = aliases_in(kind, body + packed(kind))

    assert found is None or all(alias.isascii() and ":" in alias for alias in found)


def test_every_kind_of_table_has_what_it_needs() -> None:
    for kind, table in TABLES.items():
        assert {*table.needs, *table.ends} <= LAYOUTS[kind][1].keys()


BY_HAND = {"platform:ntc-thermistor", "spi:ad_dpot", "spi:mtd_dataflash"}
"""Aliases of the modules below that their authors wrote with MODULE_ALIAS."""
PREFIXES = {"pci": ("pci:", "vfio_pci:"), "acpi": ("acpi*:",)}


@pytest.mark.slow
def test_the_tables_of_modules_give_the_aliases_that_modpost_wrote() -> None:
    elffile = pytest.importorskip("elftools.elf.elffile")
    compared = 0
    for path, raw in packages.modules(package(STOCK_61), 4):
        if b"_device_table" not in raw:
            continue
        elf = elffile.ELFFile(io.BytesIO(raw))
        ours: dict[str, set[str]] = defaultdict(set)
        for symbol in elf.get_section_by_name(".symtab").iter_symbols():
            kind = symbol.name[len("__mod_") :].partition("__")[0]
            if not symbol.name.startswith("__mod_") or kind not in LAYOUTS:
                continue
            section = elf.get_section(symbol["st_shndx"])
            start, size = symbol["st_value"], symbol["st_size"]
            found = aliases_in(
                kind, bytes(size) if section["sh_type"] == "SHT_NOBITS" else section.data()[start:][:size]
            )
            assert found is not None, (path, symbol.name)
            ours[kind].update(found)
        written = set(read_module(raw, path, path).module.aliases)
        everything = set().union(*ours.values())
        for kind, aliases in ours.items():
            theirs = {alias for alias in written if alias.startswith(PREFIXES.get(kind, (f"{kind}:",)))}
            assert aliases <= written, path
            assert theirs <= everything | BY_HAND, path
            compared += 1
    assert compared > 400
