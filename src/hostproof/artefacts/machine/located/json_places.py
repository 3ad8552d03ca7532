"""JSON with the line and column of every value.

A small reader of RFC 8259: the standard library's does not say where a value stood. Texts and numbers are still its
job; the walk is here, bounded in depth and count. A field that is given twice is refused, because programs differ in
which of the two they take.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right

from hostproof.artefacts.machine.located.node import Node, Scalar, decode_text
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read"]

MAX_DEPTH = 64
MAX_VALUES = 200_000
MAX_NUMBER = 64

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECODER = json.JSONDecoder()


def read(data: bytes, name: str) -> Node:
    """The value that `data` holds. Raises InputError with line and column where it is not JSON or goes beyond a
    limit.
    """
    return _Reader(decode_text(data, name), name).document()


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.position = 0
        self.values = 0
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Node:
        self._space()
        node = self._value("", 0)
        self._space()
        if self.position != len(self.text):
            raise self._error("something follows the value", "the end of the file")
        return node

    def _place(self, path: str) -> Place:
        line = bisect_right(self.lines, self.position)
        return Place(self.name, line=line, column=self.position - self.lines[line - 1] + 1, path=path or None)

    def _error(self, message: str, expected: str) -> InputError:
        return InputError(message, place=self._place(""), expected=expected)

    def _space(self) -> None:
        match = _SPACE.match(self.text, self.position)
        if match:
            self.position = match.end()

    def _take(self, character: str) -> bool:
        if self.text.startswith(character, self.position):
            self.position += 1
            self._space()
            return True
        return False

    def _value(self, path: str, depth: int) -> Node:
        self.values += 1
        if self.values > MAX_VALUES or depth > MAX_DEPTH:
            raise self._error(
                "the JSON is too large or too deep", f"at most {MAX_VALUES} values, nested at most {MAX_DEPTH} deep"
            )
        place = self._place(path)
        if self._take("{"):
            return Node(self._fields(path, depth), place)
        if self._take("["):
            return Node(self._elements(path, depth), place)
        return Node(self._scalar(), place)

    def _fields(self, path: str, depth: int) -> dict[str, Node]:
        fields: dict[str, Node] = {}
        if self._take("}"):
            return fields
        while True:
            if not self.text.startswith('"', self.position):
                raise self._error("a field has no name", "a name in double quotes")
            start = self.position
            key = self._string()
            if key in fields:
                self.position = start
                raise self._error(f"the field {key[:80]!r} is given twice", "every field once")
            self._space()
            if not self._take(":"):
                raise self._error("a field has no value", "a colon")
            fields[key] = self._value(f"{path}.{key}" if path else key, depth + 1)
            self._space()
            if self._take("}"):
                return fields
            if not self._take(","):
                raise self._error("the fields are not separated", "a comma or a closing brace")

    def _elements(self, path: str, depth: int) -> list[Node]:
        elements: list[Node] = []
        if self._take("]"):
            return elements
        while True:
            elements.append(self._value(f"{path}[{len(elements)}]", depth + 1))
            self._space()
            if self._take("]"):
                return elements
            if not self._take(","):
                raise self._error("the elements are not separated", "a comma or a closing bracket")

    def _string(self) -> str:
        try:
            value, end = _DECODER.raw_decode(self.text, self.position)
        except json.JSONDecodeError as error:
            self.position = min(error.pos, len(self.text))
            raise self._error(f"a text is not JSON: {error.msg}", "a text in double quotes") from None
        if not isinstance(value, str) or _SURROGATE.search(value):
            raise self._error("a text holds half a character", "pairs of surrogates")
        self.position = end
        return value

    def _scalar(self) -> Scalar:
        if self.text.startswith('"', self.position):
            return self._string()
        for word, value in _WORDS.items():
            if self.text.startswith(word, self.position):
                self.position += len(word)
                return value
        match = _NUMBER.match(self.text, self.position)
        if not match or match.end() - match.start() > MAX_NUMBER:
            seen = repr(self.text[self.position : self.position + 20]) if self.position < len(self.text) else "the end"
            raise self._error(f"{seen} is no JSON value", "an object, list, text, number, true, false or null")
        self.position = match.end()
        return float(match[0]) if match[1] or match[2] else int(match[0])
