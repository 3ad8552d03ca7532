"""Terraform's own language, as far as resources with literal values need it.

Blocks, attributes with texts, numbers, booleans, lists and objects are read; any other expression (a reference, a
function, a condition) is kept as the text that stands there, in `${..}` as Terraform's JSON writes it.

SOURCE: HashiCorp HCL native syntax specification, `hclsyntax/spec.md`.
"""

from __future__ import annotations

import re

from hostproof.artefacts.machine.located.node import Node, decode_text
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["resources"]

MAX_BYTES = 1024 * 1024
MAX_TOKENS = 200_000
MAX_DEPTH = 48

_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r]+|\#[^\n]*|//[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<newline>\n)
  | (?P<heredoc><<-?(?P<mark>[A-Za-z_][\w-]{0,60})\n)
  | (?P<text>"(?:\\.|[^"\\\n])*")
  | (?P<word>[A-Za-z_][\w-]*(?:\.[\w-]+)*)
  | (?P<number>-?[0-9]+(?:\.[0-9]+)?)
  | (?P<sign>[{}\[\]()=,:]|[^\s\w"])
    """,
    re.VERBOSE | re.DOTALL,
)
Token = tuple[str, str, int]
"""Kind, text, line."""


def resources(data: bytes, name: str) -> list[tuple[str, str, Node]]:
    """Type, name and body of every `resource` block. Raises InputError with the line of what is wrong."""
    if len(data) > MAX_BYTES:
        raise InputError(
            "the Terraform file is too large", place=Place(name), expected=f"at most {MAX_BYTES >> 10} KiB"
        )
    reader = _Hcl(decode_text(data, name), name)
    return [
        (labels[0], labels[1], body)
        for kind, labels, body in reader.blocks()
        if kind == "resource" and len(labels) == 2
    ]


class _Hcl:
    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.tokens = self._tokens(text)
        self.position = 0

    def _error(self, message: str, line: int, expected: str) -> InputError:
        return InputError(f"Terraform: {message}", place=Place(self.name, line=line), expected=expected)

    def _tokens(self, text: str) -> list[Token]:
        tokens: list[Token] = []
        position, line = 0, 1
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or len(tokens) > MAX_TOKENS:
                raise self._error(f"{text[position : position + 20]!r}", line, f"HCL of at most {MAX_TOKENS} words")
            kind, token, end = match.lastgroup or "skip", match[0], match.end()
            if match["heredoc"]:
                stop = re.compile(rf"^[ \t]*{re.escape(match['mark'])}[ \t]*$", re.MULTILINE).search(text, end)
                if stop is None:
                    raise self._error(f"the text {match['mark']} does not end", line, f"a line {match['mark']}")
                kind, token, end = "text", '"' + text[end : stop.start()] + '"', stop.end()
            if kind != "skip":
                tokens.append((kind, token, line))
            line += text.count("\n", position, end)
            position = end
        return tokens

    def _peek(self) -> Token:
        if self.position < len(self.tokens):
            return self.tokens[self.position]
        return ("end", "", self.tokens[-1][2] if self.tokens else 1)

    def _next(self) -> Token:
        token = self._peek()
        self.position += 1
        return token

    def _lines(self) -> None:
        while self._peek()[0] == "newline":
            self.position += 1

    def blocks(self) -> list[tuple[str, list[str], Node]]:
        found: list[tuple[str, list[str], Node]] = []
        self._lines()
        while self._peek()[0] != "end":
            kind, labels, body = self._entry(0, "")
            if labels is not None:
                found.append((kind, labels, body))
            self._lines()
        return found

    def _entry(self, depth: int, path: str) -> tuple[str, list[str] | None, Node]:
        """An attribute (labels None) or a block."""
        kind, word, line = self._next()
        if kind not in ("word", "text"):
            raise self._error(f"{word!r} cannot stand here", line, "a name")
        word = word.strip('"')
        inner = f"{path}.{word}" if path else word
        if self._peek()[1] in ("=", ":"):
            self._next()
            return word, None, self._value(depth + 1, inner)
        labels: list[str] = []
        while self._peek()[0] in ("text", "word"):
            labels.append(self._next()[1].strip('"'))
        if self._next()[1] != "{":
            raise self._error(f"{word!r} is neither attribute nor block", line, "`=` or `{`")
        return word, labels, self._body(depth + 1, ".".join([inner, *labels]), line)

    def _body(self, depth: int, path: str, line: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error("blocks are nested too deep", line, f"at most {MAX_DEPTH}")
        fields: dict[str, Node] = {}
        while True:
            self._lines()
            if self._peek()[1] == "," and self._peek()[0] == "sign":
                self._next()
                continue
            if self._peek()[1] == "}" and self._peek()[0] == "sign":
                self._next()
                return Node(fields, Place(self.name, line=line, path=path))
            if self._peek()[0] == "end":
                raise self._error("a block is not closed", line, "a closing brace")
            key, labels, node = self._entry(depth, path)
            held = fields.get(key)
            if labels is None or held is None:
                fields[key] = node
            else:
                items = held.items() if isinstance(held.value, list) else [held]
                fields[key] = Node([*items, node], items[0].place) if len(items) < 256 else held

    def _value(self, depth: int, path: str) -> Node:
        if depth > MAX_DEPTH:
            raise self._error("values are nested too deep", self._peek()[2], f"at most {MAX_DEPTH}")
        kind, token, line = self._peek()
        place = Place(self.name, line=line, path=path)
        if token == "{" and kind == "sign":
            self._next()
            return self._body(depth, path, line)
        start = self.position
        words = self._expression(line)
        if len(words) == 1:
            kind, token, _ = words[0]
            if kind == "text":
                return Node(token[1:-1], place)
            if kind == "number":
                return Node(float(token) if "." in token else int(token[:40]), place)
            if token in ("true", "false"):
                return Node(token == "true", place)
        if not words:
            raise self._error("an attribute without value", line, "a value")
        texts = [item for item in words if item[0] == "text"]
        if words[0][1] == "[" and all(item[0] == "text" or item[1] in "[]," for item in words):
            return Node([Node(item[1][1:-1], place) for item in texts], place)
        shown = " ".join(item[1] for item in self.tokens[start : self.position] if item[0] != "newline")
        return Node("${" + shown[:2000] + "}", place)

    def _expression(self, line: int) -> list[Token]:
        """The tokens up to the end of the line or the closing sign of what surrounds it, brackets balanced."""
        words: list[Token] = []
        depth = 0
        while True:
            kind, token, _ = self._peek()
            if kind == "end" or (depth == 0 and (kind == "newline" or (kind == "sign" and token in "},"))):
                if depth:
                    raise self._error("a bracket is not closed", line, "balanced brackets")
                return words
            if kind == "sign" and token in "([{":
                depth += 1
            elif kind == "sign" and token in ")]}":
                depth -= 1
                if depth < 0:
                    return words
            if kind != "newline":
                words.append(self._peek())
            self._next()
