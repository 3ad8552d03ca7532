"""Located XML: the elements of a libvirt document with the line on which each begins.

libvirt documents come from the host or from whoever may define VMs there, so they are read with expat under the bans of
defusedxml: no document type, no entity, no external reference. Size, depth and number of elements are bounded.

`path` is the position of an element as `libvirt` itself would name it in XPath, without the predicates of first
siblings: `domain/devices/interface[2]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "MAX_NAME",
    "QEMU_NAMESPACE",
    "Element",
    "parse",
    "root_tag",
]

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 100
MAX_ELEMENTS = 20_000
"""Several times what the largest document among the tests of libvirt has."""
MAX_ATTRIBUTES = 256
MAX_NAME = 512
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
"""The namespace of `qemu:commandline`. SOURCE: libvirt docs/drvqemu.rst, "Pass-through of arbitrary qemu commands"."""

_PROLOGUE = 64 * 1024
_WHAT = "a libvirt XML document, well-formed, without a document type"


@dataclass(slots=True)
class Element:
    """One element: `tag` without its namespace, attributes as written, `text` directly inside it, `line` from 1."""

    tag: str
    namespace: str
    attributes: dict[str, str]
    artefact: str
    line: int
    column: int
    step: str
    parent: Element | None = field(default=None, repr=False)
    text: str = ""
    children: list[Element] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The steps from the root, put together when asked for: a hostile document has many and long ones."""
        steps = []
        here: Element | None = self
        while here is not None:
            steps.append(here.step)
            here = here.parent
        return "/".join(reversed(steps))

    @property
    def place(self) -> Place:
        return Place(self.artefact, line=self.line, column=self.column, path=self.path)

    def place_of(self, attribute: str) -> Place:
        """The place of one attribute (that of its element, since expat tells no more)."""
        return self.place.at(path=f"{self.path}/@{attribute}")

    def get(self, attribute: str, default: str = "") -> str:
        """The value of an attribute without surrounding blanks; an absent and an empty one are alike to libvirt."""
        return self.attributes.get(attribute, "").strip() or default

    def first(self, *tags: str) -> Element | None:
        """The first element reached by going down `tags` one by one, or None."""
        here: Element | None = self
        for tag in tags:
            if here is None:
                return None
            here = next((child for child in here.children if child.tag == tag), None)
        return here

    def all(self, tag: str) -> tuple[Element, ...]:
        return tuple(child for child in self.children if child.tag == tag)

    def value(self, *tags: str) -> str:
        """The text of the element that `tags` lead to, without surrounding blanks; "" where there is none."""
        found = self.first(*tags)
        return found.text.strip() if found is not None else ""

    def attribute(self, *steps: str) -> str:
        """The attribute named by the last step, of the element that the steps before it lead to; "" where absent."""
        found = self.first(*steps[:-1])
        return found.get(steps[-1]) if found is not None else ""

    def walk(self) -> Iterator[Element]:
        """The element itself and all below it, in document order."""
        stack = [self]
        while stack:
            here = stack.pop()
            yield here
            stack.extend(reversed(here.children))


class _Builder:
    """The target of the parser: builds `Element`s and keeps the bounds."""

    def __init__(self, artefact: str) -> None:
        self.artefact = artefact
        self.parser: Any = None
        self.root: Element | None = None
        self.open: list[Element] = []
        self.seen: list[dict[str, int]] = [{}]
        self.texts: list[list[str]] = []
        self.count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, tag = name[1:].rpartition("}") if name.startswith("{") else ("", "", name)
        line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
        self.count += 1
        place = Place(self.artefact, line=line, column=column)
        if self.count > MAX_ELEMENTS:
            raise InputError(f"more than {MAX_ELEMENTS} elements", place=place, expected=_WHAT)
        if len(name) > MAX_NAME or len(attributes) > MAX_ATTRIBUTES:
            size = f"a name of {len(name)} characters" if len(name) > MAX_NAME else f"{len(attributes)} attributes"
            raise InputError(f"{size} in one element", place=place, expected=_WHAT)
        if len(self.open) >= MAX_DEPTH:
            raise InputError(f"elements are nested deeper than {MAX_DEPTH}", place=place, expected=_WHAT)
        number = self.seen[-1].get(name, 0) + 1
        self.seen[-1][name] = number
        step = tag if number == 1 else f"{tag}[{number}]"
        if namespace == QEMU_NAMESPACE:
            step = f"qemu:{step}"
        parent = self.open[-1] if self.open else None
        plain = {key.rpartition("}")[2]: value for key, value in attributes.items()}
        element = Element(tag, namespace, plain, self.artefact, line, column, step, parent)
        if parent is not None:
            parent.children.append(element)
        elif self.root is None:
            self.root = element
        self.open.append(element)
        self.seen.append({})
        self.texts.append([])

    def end(self, _name: str) -> None:
        self.open.pop().text = "".join(self.texts.pop())
        self.seen.pop()

    def data(self, text: str) -> None:
        if self.texts:
            self.texts[-1].append(text)

    def close(self) -> None:
        """Nothing is left to do: the tree stands in `root`."""


def parse(data: bytes, name: str) -> Element:
    """The document's root element. Raises InputError with the line where it is malformed or beyond a limit."""
    if len(data) > MAX_BYTES:
        raise InputError(f"the file is larger than {MAX_BYTES >> 20} MiB", place=Place(name), expected=_WHAT)
    builder = _Builder(name)
    parser = DefusedXMLParser(target=builder, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    builder.parser = parser.parser
    try:
        parser.feed(data)
        parser.close()
    except DefusedXmlException as error:
        line = builder.parser.CurrentLineNumber
        raise InputError(
            f"a {type(error).__name__.removesuffix('Forbidden')} declaration or reference",
            place=Place(name, line=line),
            expected=_WHAT,
            hint="remove the document type: libvirt does not need it",
        ) from None
    except ParseError as error:
        line, column = error.position
        message = str(error).partition(": line")[0]
        raise InputError(message, place=Place(name, line=line, column=column + 1), expected=_WHAT) from None
    except (LookupError, ValueError, UnicodeError) as error:
        raise InputError(f"the encoding cannot be read ({error})", place=Place(name, line=1), expected=_WHAT) from None
    if builder.root is None:
        raise InputError("no element", place=Place(name, line=1), expected=_WHAT)
    return builder.root


def root_tag(data: bytes) -> str:
    """The name of the root element, found without parsing the whole; "" where the beginning is not that of XML."""
    head = data[:_PROLOGUE]
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8")):
        if head.startswith(mark):
            text = head[len(mark) :].decode(encoding, "replace")
            break
    else:
        text = head.decode("latin-1")
    at = 0
    while True:
        before, at = at, text.find("<", at)
        if at < 0 or text[before:at].strip():
            return ""
        for opening, closing in (("<!--", "-->"), ("<?", "?>")):
            if text.startswith(opening, at):
                end = text.find(closing, at + len(opening))
                if end < 0:
                    return ""
                at = end + len(closing)
                break
        else:
            word = text[at + 1 : at + 80]
            length = next((i for i, letter in enumerate(word) if letter in " \t\r\n/>"), len(word))
            return word[:length].rpartition(":")[2]
