"""Device tree source (DTS), as far as a template needs it.

Nodes, properties, labels, comments and multi-line values are read; preprocessor lines are skipped, and a macro of the
file that stands where a property would is left out with a note. References (`&label { .. }`) become nodes of that
name; nothing is included.

SOURCE: Devicetree Specification v0.4, 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hostproof.artefacts.machine.device_tree.tree import Property, TreeNode
from hostproof.artefacts.machine.located.node import decode_text
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["nodes"]

MAX_BYTES = 1024 * 1024
MAX_TOKENS = 300_000
MAX_DEPTH = 64

_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|/\*.*?(?:\*/|\Z)|//[^\n]*)
  | (?P<macro>^[ \t]*\#[ \t]*(?:include|define|undef|ifdef|ifndef|if|elif|else|endif|pragma|error)\b(?:\\\n|[^\n])*)
  | (?P<text>"(?:\\.|[^"\\\n])*")
  | (?P<directive>/[a-z][a-z0-9-]*/)
  | (?P<word>[A-Za-z0-9_\#,.+?@&-][A-Za-z0-9_\#,.+?@&-]*)
  | (?P<sign>[{}();:=<>\[\]/*|^~!%'\\])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_DEFINED = re.compile(r"#[ \t]*define[ \t]+(\w+)")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")


@dataclass(slots=True)
class _Open:
    path: str
    place: Place
    labels: tuple[str, ...]
    index: int
    properties: list[Property] = field(default_factory=list)


Token = tuple[str, str, int]
"""Kind, text, line."""


def nodes(data: bytes, name: str) -> tuple[tuple[TreeNode, ...], tuple[str, ...]]:
    """The nodes in order, and notes. Raises InputError with the line of what is wrong."""
    if len(data) > MAX_BYTES:
        raise InputError("the source is too large", place=Place(name), expected=f"at most {MAX_BYTES >> 10} KiB")
    return _Source(decode_text(data, name), name).read()


class _Source:
    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.macros: set[str] = set()
        self.tokens = self._tokens(text)
        self.position = 0
        self.found: list[TreeNode] = []
        self.open: list[_Open] = []
        self.left_out: dict[str, int] = {}

    def _error(self, message: str, line: int, expected: str) -> InputError:
        return InputError(f"device tree: {message}", place=Place(self.name, line=line), expected=expected)

    def _tokens(self, text: str) -> list[Token]:
        tokens: list[Token] = []
        position, line = 0, 1
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or len(tokens) > MAX_TOKENS:
                raise self._error(
                    f"{text[position : position + 20]!r}", line, f"source text of at most {MAX_TOKENS} words"
                )
            kind, token = match.lastgroup or "skip", match[0]
            if kind == "macro":
                self.macros.update(_DEFINED.findall(token))
            elif kind != "skip":
                tokens.append((kind, token, line))
            line += token.count("\n")
            position = match.end()
        return tokens

    def _next(self) -> Token:
        if self.position >= len(self.tokens):
            line = self.tokens[-1][2] if self.tokens else 1
            raise self._error("the source ends too early", line, "closed nodes and properties")
        self.position += 1
        return self.tokens[self.position - 1]

    def _peek(self) -> str:
        return self.tokens[self.position][1] if self.position < len(self.tokens) else ""

    def read(self) -> tuple[tuple[TreeNode, ...], tuple[str, ...]]:
        labels: list[str] = []
        while self.position < len(self.tokens):
            kind, token, line = self._next()
            if kind == "directive":
                self._until(";", line)
            elif token == "}":
                self._close(line)
            elif token == ";":
                continue
            elif self._peek() == ":" and kind == "word":
                self._next()
                labels.append(token)
            elif self._peek() == "{":
                self._next()
                self._begin(token, tuple(labels), line)
                labels = []
            elif kind == "word":
                self._item(token, line)
                labels = []
            else:
                raise self._error(f"{token!r} cannot stand here", line, "a node, a property or a closing brace")
        if self.open:
            raise self._error(f"the node {self.open[-1].path} is not closed", self.tokens[-1][2], "a closing brace")
        notes = (
            f"{sum(self.left_out.values())} uses of macros are left out ({', '.join(sorted(self.left_out)[:5])})"
            if self.left_out
            else ""
        )
        return tuple(self.found), (notes,) if notes else ()

    def _begin(self, token: str, labels: tuple[str, ...], line: int) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise self._error("nodes are nested too deep", line, f"at most {MAX_DEPTH}")
        parent = self.open[-1].path.rstrip("/") if self.open else ""
        path = token if not self.open else f"{parent}/{token}"
        place = Place(self.name, line=line, path=path)
        self.open.append(_Open(path, place, labels, len(self.found)))
        self.found.append(TreeNode(path, place, labels=labels))

    def _close(self, line: int) -> None:
        if not self.open:
            raise self._error("a brace closes nothing", line, "balanced braces")
        node = self.open.pop()
        self.found[node.index] = TreeNode(node.path, node.place, tuple(node.properties), node.labels)

    def _item(self, token: str, line: int) -> None:
        if token in self.macros and self._peek() not in ("=", ";"):
            self.left_out[token] = self.left_out.get(token, 0) + 1
            if self._peek() == "(":
                self._until(")", line)
            return
        if not self.open:
            raise self._error(f"{token!r} outside of a node", line, "a node")
        node = self.open[-1]
        place = Place(self.name, line=line, path=f"{node.path.rstrip('/')}/{token}")
        sign = self._next()[1]
        if sign == ";":
            node.properties.append(Property(token, place))
        elif sign == "=":
            node.properties.append(self._value(token, place, line))
        else:
            raise self._error(f"{sign!r} after {token!r}", line, "`=`, `;` or `{`")

    def _value(self, name: str, place: Place, line: int) -> Property:
        strings: list[str] = []
        cells: list[int] = []
        plain = True
        for kind, token, _ in self._until(";", line):
            if kind == "text":
                strings.append(token[1:-1])
            elif kind == "word" and _NUMBER.fullmatch(token):
                cells.append(int(token, 16) if token[:2].lower() == "0x" else int(token, 10))
            elif token not in "<>,":
                plain = False
        return Property(name, place, tuple(strings), tuple(cells) if plain else ())

    def _until(self, sign: str, line: int) -> list[Token]:
        """The tokens up to `sign`, which is taken too."""
        start = self.position
        while self.position < len(self.tokens):
            token = self._next()
            if token[1] == sign:
                return self.tokens[start : self.position - 1]
            if token[1] in "{}":
                raise self._error(f"a brace before the closing {sign!r}", token[2], f"{sign!r}")
        raise self._error(f"{sign!r} is missing", line, f"{sign!r}")
