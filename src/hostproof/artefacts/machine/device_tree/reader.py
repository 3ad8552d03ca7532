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

from hostproof.artefacts.machine.device_tree import blob, source
from hostproof.artefacts.machine.device_tree.tree import TreeNode
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["AcceptedNode", "DeviceTree", "accepted_devices", "read"]

DTB_MAGIC = b"\xd0\x0d\xfe\xed"


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
        return DeviceTree("dtb", Place(name), blob.nodes(data, name))
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
