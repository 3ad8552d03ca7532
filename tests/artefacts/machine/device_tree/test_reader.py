"""Device trees, source and flattened: the same tree reads the same from both."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.machine import device_tree
from hostproof.artefacts.machine.device_tree import accepted_devices
from hostproof.errors import HostproofError, InputError

TEMPLATE = (Path(__file__).resolve().parents[3] / "corpus" / "dts" / "template.dts").read_bytes()


def flatten(node: dict[str, object], *, version: int = 17) -> bytes:
    """A DTB of nested dictionaries: bytes are properties, dictionaries are nodes. Header as in the specification, 5.2."""
    strings = bytearray()

    def write(name: str, body: dict[str, object]) -> bytes:
        text = name.encode() + b"\0"
        out = struct.pack(">I", 1) + text + b"\0" * (-len(text) % 4)
        for key, value in body.items():
            if isinstance(value, bytes):
                offset = len(strings)
                strings.extend(key.encode() + b"\0")
                out += struct.pack(">III", 3, len(value), offset) + value + b"\0" * (-len(value) % 4)
        for key, value in body.items():
            if isinstance(value, dict):
                out += write(key, value)
        return out + struct.pack(">I", 2)

    structure = write("", node) + struct.pack(">I", 9)
    start = 40 + 16
    total = start + len(structure) + len(strings)
    header = struct.pack(
        ">10I", 0xD00DFEED, total, start, start + len(structure), 40, version, 16, 0, len(strings), len(structure)
    )
    return header + b"\0" * 16 + structure + bytes(strings)


TREE: dict[str, object] = {
    "compatible": b"linux,dummy-virt\0",
    "uart@3f8": {"compatible": b"vendor,uart\0ns16550a\0", "reg": struct.pack(">4I", 0, 0x3F8, 0, 8)},
    "pci": {"device_type": b"pci\0", "compatible": b"pci-host-cam-generic\0"},
}


def test_a_source_gives_nodes_properties_and_lines() -> None:
    tree = device_tree.read(TEMPLATE, "template.dts")
    uart = next(node for node in tree.nodes if node.path == "/uart@3f8")
    reg = uart.get("reg")

    assert [node.path for node in tree.nodes] == ["/", "/chosen", "/uart@3f8", "/pci", "/rtc@2000", "/rtc@2000/child"]
    assert (uart.compatible, uart.labels, uart.place.line) == (("vendor,uart", "ns16550a"), ("port0",), 19)
    assert reg is not None
    assert reg.cells == (0, 0x3F8, 0, 8)
    assert len(tree.notes) == 1


def test_cells_with_names_in_them_are_not_taken_for_numbers() -> None:
    tree = device_tree.read(TEMPLATE, "template.dts")
    interrupts = next(node for node in tree.nodes if node.path == "/uart@3f8").get("interrupts")

    assert interrupts is not None
    assert interrupts.cells == ()


def test_a_flattened_tree_accepts_what_its_source_accepts() -> None:
    source = accepted_devices(device_tree.read(TEMPLATE, "template.dts"))
    blob = accepted_devices(device_tree.read(flatten(TREE), "template.dtb"))

    assert [(node.path, node.compatible, node.aliases) for node in source[:2]] == [
        (node.path, node.compatible, node.aliases) for node in blob
    ]


def test_the_template_of_pvmfw_accepts_serial_ports_pci_clock_and_watchdog(shared: Path) -> None:
    name = "snvd-io__platform_packages_modules_Virtualization__platform.dts"
    tree = device_tree.read((shared / "vm-definitions" / name).read_bytes(), name)
    accepted = {node.path: (node.compatible, node.line) for node in accepted_devices(tree)}

    assert accepted["/uart@3f8"] == (("ns16550a",), 311)
    assert accepted["/pci"] == (("pci-host-cam-generic",), 344)
    assert accepted["/vmwdt@3000"] == (("qemu,vcpu-stall-detector",), 409)
    assert accepted["/reserved-memory/dice"] == (("google,open-dice",), 81)
    assert sum(path.startswith("/pviommu") for path in accepted) == 10
    assert sum(compatible == ("arm,armv8",) for compatible, _ in accepted.values()) == 16
    assert not any("virtio" in text for compatible, _ in accepted.values() for text in compatible)


@pytest.mark.parametrize(
    "text",
    [
        "/dts-v1/;",
        "/dts-v1/; / {",
        "/dts-v1/; / { a = <1> };",
        "/dts-v1/; / { a = <1>",
        "/dts-v1/; };",
        "/dts-v1/; / { a ! };",
        "/dts-v1/; a;",
        '/dts-v1/; / { a = "open',
        "/dts-v1/; / {" + "a {" * 200,
        "/dts-v1/; / { ` };",
    ],
)
def test_malformed_sources_are_refused_with_a_place(text: str) -> None:
    with pytest.raises(InputError) as caught:
        device_tree.read(text.encode(), "a.dts")

    assert caught.value.place is not None


@pytest.mark.parametrize(
    ("offset", "value"),
    [(4, 0xFFFFFFF0), (8, 3), (8, 0xFFFFFF00), (12, 0xFFFFFF00), (20, 1), (32, 0xFFFFFF00), (36, 8), (56, 7), (56, 2)],
)
def test_a_blob_with_a_wrong_number_is_refused_with_an_offset(offset: int, value: int) -> None:
    blob = bytearray(flatten(TREE))
    blob[offset : offset + 4] = value.to_bytes(4, "big")

    with pytest.raises(InputError) as caught:
        device_tree.read(bytes(blob), "a.dtb")

    assert caught.value.place is not None
    assert caught.value.place.offset is not None


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_mutated_trees_give_a_tree_or_an_error_of_the_project(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([TEMPLATE, flatten(TREE)]))
    start = data.draw(st.integers(4, len(whole)))
    put = data.draw(st.binary(max_size=5))
    mutated = whole[:start] + put + whole[start + data.draw(st.integers(0, 8)) :]
    try:
        device_tree.read(mutated, "tree")
    except HostproofError as error:
        assert error.place is not None
