"""YAML with the line of every value, bounded.

Composed with PyYAML's safe loader, never constructed: no tag makes an object. An alias is followed where it stands,
and the number of values that result is bounded (a few lines of aliases can stand for a billion values). Lines that
hold only a template directive (`{{- if .. }}`) are left out, `{{ .. }}` as a value stays a text.
"""

from __future__ import annotations

import re

import yaml

from hostproof.artefacts.machine.located.node import Node, Scalar, decode_text
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["documents"]

MAX_BYTES = 512 * 1024
MAX_VALUES = 50_000
MAX_DEPTH = 48
MAX_DOCUMENTS = 64

_DIRECTIVE = re.compile(r"^[ \t]*\{\{-?[^{}\n]*\}\}[ \t]*$", re.MULTILINE)
_HOLE = re.compile(r"^([^#\n\"'{]{1,200}[:\-][ \t]+)(\{\{[^{}\n\"']{1,200}\}\}[^\n\"'#]{0,200})$", re.MULTILINE)
_INT = re.compile(r"[-+]?(?:0x[0-9a-fA-F_]{1,16}|0o?[0-7]{1,20}|[1-9][0-9_]{0,18}|0)")
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "on", "On", "y", "Y"})


def documents(data: bytes, name: str) -> tuple[Node, ...]:
    """The documents of a YAML stream, empty ones left out. Raises InputError with line and column."""
    if len(data) > MAX_BYTES:
        raise InputError("the YAML file is too large", place=Place(name), expected=f"at most {MAX_BYTES >> 10} KiB")
    text = _HOLE.sub(r'\1"\2"', _DIRECTIVE.sub("", decode_text(data, name)))
    found: list[Node] = []
    tree = _Tree(name)
    try:
        loader = yaml.SafeLoader(text)
        while loader.check_node():
            if len(found) == MAX_DOCUMENTS:
                raise InputError("too many YAML documents", place=Place(name), expected=f"at most {MAX_DOCUMENTS}")
            node = loader.get_node()
            if node is not None:
                found.append(tree.node(node, "", 0))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, line=mark.line + 1, column=mark.column + 1) if mark else Place(name)
        raise InputError(f"not YAML: {error.problem or error.context}", place=place, expected="YAML 1.1") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"not YAML: {str(error)[:200]}", place=Place(name), expected="YAML 1.1") from None
    return tuple(node for node in found if node.value is not None)


class _Tree:
    def __init__(self, name: str) -> None:
        self.name = name
        self.values = 0

    def node(self, node: yaml.Node, path: str, depth: int) -> Node:
        self.values += 1
        mark = node.start_mark
        place = Place(self.name, line=mark.line + 1, column=mark.column + 1, path=path or None)
        if self.values > MAX_VALUES or depth > MAX_DEPTH:
            raise InputError(
                "the YAML is too large or too deep once its aliases are followed",
                place=place,
                expected=f"at most {MAX_VALUES} values, nested at most {MAX_DEPTH} deep",
            )
        if isinstance(node, yaml.MappingNode):
            return Node(self._fields(node, path, depth), place)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.node(n, f"{path}[{i}]", depth + 1) for i, n in enumerate(node.value)], place)
        return Node(_scalar(node), place)

    def _fields(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Node]:
        fields: dict[str, Node] = {}
        merged: list[Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                mark = key.start_mark
                place = Place(self.name, line=mark.line + 1, column=mark.column + 1, path=path or None)
                raise InputError("the name of a field is no text", place=place, expected="a text before the colon")
            below = self.node(value, f"{path}.{key.value}" if path else key.value, depth + 1)
            if key.value == "<<":
                merged.extend(below.items() if isinstance(below.value, list) else [below])
            elif key.value in fields:
                raise InputError(f"the field {key.value[:80]!r} is given twice", place=below.place, expected="once")
            else:
                fields[key.value] = below
        for source in merged:
            for name, value in source.mapping().items():
                fields.setdefault(name, value)
        return fields


def _scalar(node: yaml.Node) -> Scalar:
    text = str(node.value)
    if node.tag == "tag:yaml.org,2002:null":
        return None
    if node.tag == "tag:yaml.org,2002:bool":
        return text in _TRUE or text.lower() in ("true", "yes", "on")
    if node.tag == "tag:yaml.org,2002:int" and _INT.fullmatch(text):
        digits = text.replace("_", "")
        return int(digits, 8) if re.fullmatch(r"[-+]?0[0-7]+", digits) else int(digits, 0)
    return text
