"""Flattened device trees (DTB), version 17.

SOURCE: Devicetree Specification v0.4, 5.2 (header), 5.4 (structure block), 5.5 (strings block). All numbers are
big-endian.
"""

from __future__ import annotations

import struct

from hostproof.artefacts.machine.device_tree.tree import Property, TreeNode
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["nodes"]

MAX_BYTES = 2 * 1024 * 1024
"""`FDT_MAX_SIZE` of Linux on arm64."""
MAX_NODES = 20_000
MAX_PROPERTIES = 100_000
MAX_DEPTH = 64
MAX_NAME = 256

HEADER = struct.Struct(">10I")
"""magic, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap, version, last_comp_version, boot_cpuid_phys,
size_dt_strings, size_dt_struct"""
BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9


def nodes(data: bytes, name: str) -> tuple[TreeNode, ...]:
    """The nodes of the tree in order. Raises InputError with the offset of what is wrong."""
    return _Blob(data, name).nodes()


class _Blob:
    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.place = Place(name)
        if len(data) < HEADER.size:
            raise self._error("the header is cut off", 0, f"{HEADER.size} bytes")
        (_, total, self.structure, self.strings, _, version, compatible, _, strings_size, structure_size) = (
            HEADER.unpack_from(data)
        )
        if total > len(data) or total > MAX_BYTES:
            raise self._error(
                f"a total size of {total}", 4, f"at most the {min(len(data), MAX_BYTES)} bytes that are there"
            )
        if compatible > 17 or version < 17:
            raise self._error(f"version {version}, compatible to {compatible}", 20, "version 17")
        self.structure_end = self.structure + structure_size
        self.strings_end = self.strings + strings_size
        if self.structure % 4 or self.structure_end > total or self.strings_end > total:
            raise self._error("a block lies outside of the tree", 8, f"blocks within {total} bytes")

    def _error(self, message: str, offset: int, expected: str) -> InputError:
        return InputError(f"device tree: {message}", place=self.place.at(offset=offset), expected=expected)

    def _word(self, offset: int) -> int:
        if offset + 4 > self.structure_end:
            raise self._error("the structure block is cut off", offset, "an END token")
        return int.from_bytes(self.data[offset : offset + 4], "big")

    def _text(self, offset: int, end: int) -> str:
        stop = self.data.find(b"\0", offset, min(end, offset + MAX_NAME))
        if offset >= end or stop < 0:
            raise self._error("a name does not end", offset, f"at most {MAX_NAME} bytes and a zero")
        return self.data[offset:stop].decode("ascii", "backslashreplace")

    def nodes(self) -> tuple[TreeNode, ...]:
        found: list[TreeNode] = []
        open_nodes: list[tuple[str, int, list[Property], int]] = []
        offset, properties = self.structure, 0
        while True:
            token = self._word(offset)
            if token == BEGIN_NODE:
                text = self._text(offset + 4, self.structure_end)
                if len(open_nodes) >= MAX_DEPTH or len(found) >= MAX_NODES or (not open_nodes and found):
                    raise self._error(
                        "too many or too deep nodes", offset, f"one root, {MAX_NODES} nodes, depth {MAX_DEPTH}"
                    )
                parent = open_nodes[-1][0] if open_nodes else ""
                path = "/" if not open_nodes else f"{parent.rstrip('/')}/{text}"
                open_nodes.append((path, offset, [], len(found)))
                found.append(TreeNode(path, self.place.at(offset=offset, path=path)))
                offset += 4 + (len(text) + 4) // 4 * 4
            elif token == END_NODE:
                if not open_nodes:
                    raise self._error("a node ends that did not begin", offset, "balanced nodes")
                path, start, held, index = open_nodes.pop()
                found[index] = TreeNode(path, self.place.at(offset=start, path=path), tuple(held))
                offset += 4
            elif token == PROP:
                properties += 1
                if not open_nodes or properties > MAX_PROPERTIES:
                    raise self._error("a property outside of a node, or too many", offset, f"at most {MAX_PROPERTIES}")
                item, offset = self._property(offset, open_nodes[-1][0])
                open_nodes[-1][2].append(item)
            elif token == NOP:
                offset += 4
            elif token == END and not open_nodes and found:
                return tuple(found)
            else:
                raise self._error(
                    f"token {token:#x}", offset, "a token of the structure block, nodes closed before END"
                )

    def _property(self, offset: int, path: str) -> tuple[Property, int]:
        length, name_offset = self._word(offset + 4), self._word(offset + 8)
        start = offset + 12
        if start + length > self.structure_end:
            raise self._error("a property is cut off", offset, f"at most {self.structure_end - start} bytes")
        raw = self.data[start : start + length]
        name = self._text(self.strings + name_offset, self.strings_end)
        place = self.place.at(offset=offset, path=f"{path.rstrip('/')}/{name}")
        cells = struct.unpack(f">{length // 4}I", raw) if length % 4 == 0 else ()
        return Property(name, place, _strings(raw), cells, raw), start + (length + 3) // 4 * 4


def _strings(raw: bytes) -> tuple[str, ...]:
    """The texts of a value that is a list of printable texts, each with a zero behind it."""
    if not raw.endswith(b"\0") or len(raw) > 4096:
        return ()
    parts = raw[:-1].split(b"\0")
    if all(part and all(32 <= byte < 127 for byte in part) for part in parts):
        return tuple(part.decode("ascii") for part in parts)
    return ()
