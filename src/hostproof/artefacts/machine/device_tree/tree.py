"""The nodes of a device tree, whether source or flattened.

SOURCE: Devicetree Specification v0.4, 2.2 (names and paths) and 2.3.1 (`compatible`).
"""

from __future__ import annotations

from dataclasses import dataclass

from hostproof.place import Place

__all__ = ["Property", "TreeNode"]


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
