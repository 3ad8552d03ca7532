"""Nodes: values of a structured definition together with their places.

JSON, TOML and YAML are read into one tree, so that a reader says what it wants of a field and every complaint and
every fact carries the line where the field stands. A `null` counts as a field that is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostproof.artefacts.machine.located.placeholders import whole
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["MAX_TEXT_BYTES", "Node", "Scalar", "decode_text"]

MAX_TEXT_BYTES = 4 * 1024 * 1024
"""No VM definition that people write is larger; the largest real one seen is below 300 KiB."""

Scalar = str | int | float | bool | None

_TRUE = frozenset({"true", "on", "yes", "1"})
_FALSE = frozenset({"false", "off", "no", "0"})


@dataclass(frozen=True, slots=True)
class Node:
    """A value: a scalar, a list of nodes or a mapping of nodes, and where it was read."""

    value: Scalar | list[Node] | dict[str, Node]
    place: Place

    def get(self, *path: str | int) -> Node | None:
        """The node at `path` below this one, None where a step is missing. Raises InputError where a step is a
        scalar although something must lie below it.
        """
        node = self
        for step in path:
            below: Node | None = None
            if isinstance(step, str):
                below = node.mapping().get(step)
            else:
                items = node.items()
                below = items[step] if -len(items) <= step < len(items) else None
            if below is None or below.value is None:
                return None
            node = below
        return node

    def mapping(self) -> dict[str, Node]:
        """The fields. Raises InputError where this is not a mapping."""
        if isinstance(self.value, dict):
            return self.value
        raise self.unexpected("a mapping of fields")

    def items(self) -> list[Node]:
        """The elements. Raises InputError where this is not a list."""
        if isinstance(self.value, list):
            return self.value
        raise self.unexpected("a list")

    def elements(self, key: str, at_most: int) -> list[Node]:
        """The elements of the list `key`, none where it is missing. Raises InputError where this is no mapping, `key`
        no list, or the list longer than `at_most`.
        """
        node = self.get(key)
        if node is None:
            return []
        if len(node.items()) > at_most:
            raise InputError(f"{len(node.items())} elements", place=node.place, expected=f"at most {at_most}")
        return node.items()

    def text(self) -> str:
        """The text of a scalar; numbers and booleans as their own language writes them."""
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, int | float):
            return str(self.value)
        raise self.unexpected("a text")

    def number(self) -> int:
        """An integer, also one written as text in decimal or with 0x. Raises InputError for anything else."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return self.value
        if isinstance(self.value, float) and self.value.is_integer():
            return int(self.value)
        if isinstance(self.value, str) and len(self.value) <= 40:
            try:
                return int(self.value.replace("_", ""), 0)
            except ValueError:
                raise self.unexpected("a whole number") from None
        raise self.unexpected("a whole number")

    def flag(self) -> bool:
        """A boolean, also one written as `on`, `yes`, `"true"` or 1. Raises InputError for anything else."""
        if isinstance(self.value, bool):
            return self.value
        if isinstance(self.value, str | int):
            word = str(self.value).lower()
            if word in _TRUE:
                return True
            if word in _FALSE:
                return False
        raise self.unexpected("true or false")

    @property
    def placeholder(self) -> str | None:
        """The placeholder that is the whole value (`@KERNELPATH@`), else None."""
        return whole(self.value) if isinstance(self.value, str) else None

    def walk(self) -> Iterator[Node]:
        """The node itself and every one below it, in the order of the input."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            if isinstance(node.value, dict):
                stack.extend(reversed(node.value.values()))
            elif isinstance(node.value, list):
                stack.extend(reversed(node.value))

    def unexpected(self, expected: str) -> InputError:
        """The error that says that this value is of the wrong kind."""
        if isinstance(self.value, dict):
            seen = "a mapping"
        elif isinstance(self.value, list):
            seen = "a list"
        else:
            seen = repr(self.value)[:80]
        return InputError(f"{seen} cannot be used here", place=self.place, expected=expected)


def decode_text(data: bytes, name: str) -> str:
    """`data` as text: UTF-8 with or without a byte-order mark. Raises InputError with the offset of a byte that is
    not.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise InputError(
            f"{len(data)} bytes are too many for a VM definition",
            place=Place(name),
            expected=f"at most {MAX_TEXT_BYTES >> 20} MiB of text",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text", place=Place(name, offset=error.start), expected="UTF-8") from None
