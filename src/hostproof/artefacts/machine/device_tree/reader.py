"""Device trees: what a guest without ACPI is told of its hardware, as source (DTS) or flattened (DTB).

Protected VM firmware (pvmfw) does not pass on the tree that the host wrote: it copies checked values into a template
of its own. The template is thus an allow-list: a device whose node is not in it does not reach the guest through the
tree. `accepted_devices` lists it.

SOURCE: Devicetree Specification v0.4 (5: flattened format, 6: source format); Android Virtualization
`guest/pvmfw/platform.dts` and `guest/pvmfw/src/fdt.rs` (parse_device_tree, patch_device_tree), commit 13fb14bf9546;
Linux `drivers/of/module.c` (of_modalias), `drivers/amba/bus.c` (the id of a PrimeCell).
"""

from __future__ import annotations

from dataclasses import dataclass

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["AcceptedNode", "DeviceTree", "Property", "TreeNode", "accepted_devices", "read"]

DTB_MAGIC = b"\xd0\x0d\xfe\xed"


@dataclass(frozen=True, slots=True)
class Property:
    """A property: the texts it holds, its cells where they are plain numbers, and in a DTB its raw bytes."""

    name: str
    place: Place
    strings: tuple[str, ...] = ()
    cells: tuple[int, ...] = ()
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A node with its full path (`/reserved-memory/dice`), in the order of the input."""

    path: str
    place: Place
    properties: tuple[Property, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The node's name without its unit address."""
        return self.path.rsplit("/", 1)[-1].split("@", 1)[0]

    def get(self, name: str) -> Property | None:
        """The property `name`; where it is given twice the last one, as the specification has it."""
        return next((found for found in reversed(self.properties) if found.name == name), None)

    @property
    def compatible(self) -> tuple[str, ...]:
        """The `compatible` strings, most specific first."""
        found = self.get("compatible")
        return found.strings if found else ()


@dataclass(frozen=True, slots=True)
class DeviceTree:
    """A device tree: `form` is `dts` or `dtb`; `notes` say what a reader left out (macros of a source)."""

    form: str
    place: Place
    nodes: tuple[TreeNode, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AcceptedNode:
    """A node with a `compatible`, to which a driver can bind. `aliases` are the guest kernel's `MODALIAS` strings."""

    compatible: tuple[str, ...]
    path: str
    place: Place
    aliases: tuple[str, ...]

    @property
    def line(self) -> int | None:
        """The line of the node in a source, None in a DTB."""
        return self.place.line


def read(data: bytes, name: str) -> DeviceTree:
    """The tree in `data`, source or flattened. Raises InputError with line or offset where it is neither or
    malformed.
    """
    if data[:4] == DTB_MAGIC:
        from hostproof.artefacts.machine.device_tree import blob

        return DeviceTree("dtb", Place(name), blob.nodes(data, name))
    from hostproof.artefacts.machine.device_tree import source

    found, notes = source.nodes(data, name)
    if not found:
        raise InputError("the device tree holds no node", place=Place(name), expected="a root node `/ { .. };`")
    return DeviceTree("dts", Place(name), found, notes)


def accepted_devices(tree: DeviceTree) -> tuple[AcceptedNode, ...]:
    """Every node of `tree`, the root aside, that has a `compatible`."""
    return tuple(
        AcceptedNode(node.compatible, node.path, node.place, _aliases(node))
        for node in tree.nodes
        if node.compatible and node.path != "/"
    )


def _aliases(node: TreeNode) -> tuple[str, ...]:
    """`of:NuartT(null)Cns16550a` as `of_modalias` prints it; a PrimeCell sits on the AMBA bus and is known by its
    number.
    """
    if "arm,primecell" in node.compatible:
        number = node.get("arm,primecell-periphid")
        return (f"amba:d{number.cells[0]:08X}",) if number and number.cells else ()
    kind = node.get("device_type")
    word = kind.strings[0] if kind and kind.strings else "(null)"
    return (f"of:N{node.name}T{word}" + "".join(f"C{text}" for text in node.compatible),)
