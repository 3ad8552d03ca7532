"""ACPI tables as the guest is given them: binary, or as `iasl` disassembles them.

The tables are written by the host (or by its firmware image). What matters to a threat model is which tables there
are, whether the hardware-reduced profile leaves out the legacy ports, which devices AML names, and which memory or
ports AML may touch when the guest's kernel runs it: its operation regions.

SOURCE: ACPI Specification 6.5: 5.2.6 (table header), 5.2.9 (FADT; flag bit 20 is HW_REDUCED_ACPI), 19.6.100
(OperationRegion), 5.5.2.4 (region spaces). ACPICA `iasl -d` for the form of the text. Linux
`drivers/acpi/device_sysfs.c` for `acpi:PNP0A03:`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from itertools import islice

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["HARDWARE_REDUCED", "AcpiId", "Region", "Table", "Tables", "read"]

MAX_BYTES = 16 * 1024 * 1024
MAX_TABLES = 1024
MAX_DEFINITIONS = 16
"""Of AML tables in one disassembly; `iasl` writes one."""
MAX_ITEMS = 100_000
HEADER = struct.Struct("<4sIBB6s8sI4sI")
"""signature, length, revision, checksum, OEM id, OEM table id, OEM revision, compiler id, compiler revision"""
HARDWARE_REDUCED = 1 << 20
FADT_FLAGS = 112
"""Offset of the flags in the FADT."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table's header. `checksum_right` is None where the input does not hold all bytes of the table."""

    signature: str
    length: int
    revision: int
    oem_id: str
    oem_table_id: str
    place: Place
    oem_revision: int = 0
    compiler_id: str = ""
    checksum_right: bool | None = None
    fadt_flags: int | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """An operation region of AML. `offset` and `length` are None where an expression gives them; `text` is what stands
    there.
    """

    name: str
    space: str
    offset: int | None
    length: int | None
    scope: str
    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class AcpiId:
    """A `_HID` or `_CID` (`kind`) of the device `scope`."""

    kind: str
    value: str
    scope: str
    place: Place

    @property
    def alias(self) -> str:
        """The module alias of the id: `acpi:PNP0501:`."""
        return f"acpi:{self.value}:"


@dataclass(frozen=True, slots=True)
class Tables:
    """What an input says of ACPI. `hardware_reduced` is None where it holds no FADT."""

    tables: tuple[Table, ...]
    regions: tuple[Region, ...] = ()
    ids: tuple[AcpiId, ...] = ()
    hardware_reduced: bool | None = None
    notes: tuple[str, ...] = ()


def read(data: bytes, name: str) -> Tables:
    """The tables of `data`: one or more binary tables one behind the other, or one disassembly. Raises InputError."""
    if len(data) > MAX_BYTES:
        raise InputError("too many bytes of ACPI tables", place=Place(name), expected=f"at most {MAX_BYTES >> 20} MiB")
    if re.match(rb"[A-Z][A-Z0-9]{3}", data) and b"\0" in data:
        return _binary(data, name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("neither a table nor text", place=Place(name, offset=error.start), expected="ACPI") from None
    found = _Asl(text, name).read() if _DEFINITION.search(text) else _data_table(text, name)
    if not found.tables:
        raise InputError("no ACPI table", place=Place(name), expected="a table, or what `iasl -d` makes of it")
    return found


def _ascii(raw: bytes) -> str:
    return raw.rstrip(b"\0 ").decode("ascii", "backslashreplace")


def _binary(data: bytes, name: str) -> Tables:
    tables: list[Table] = []
    offset = 0
    while offset < len(data):
        table = _table(data, offset, Place(name, offset=offset))
        tables.append(table)
        if len(tables) > MAX_TABLES:
            raise InputError("too many tables", place=table.place, expected=f"at most {MAX_TABLES}")
        offset += table.length
    aml = [table.signature for table in tables if table.signature in ("DSDT", "SSDT", "PSDT")]
    notes = (f"the AML of {', '.join(aml[:5])} is not decompiled: give what `iasl -d` makes of it",) if aml else ()
    return Tables(tuple(tables), hardware_reduced=_reduced(tables), notes=notes)


def _table(data: bytes, offset: int, place: Place) -> Table:
    if offset + HEADER.size > len(data):
        raise InputError("a table header is cut off", place=place, expected=f"{HEADER.size} bytes")
    signature, length, revision, _, oem, oem_table, oem_revision, compiler, _ = HEADER.unpack_from(data, offset)
    if length < HEADER.size or offset + length > len(data):
        raise InputError(
            f"the table {_ascii(signature)} has a length of {length}",
            place=place,
            expected=f"{HEADER.size} to {len(data) - offset} bytes",
        )
    body = data[offset : offset + length]
    flags = None
    if signature == b"FACP" and length >= FADT_FLAGS + 4:
        flags = int.from_bytes(body[FADT_FLAGS : FADT_FLAGS + 4], "little")
    return Table(
        signature=_ascii(signature),
        length=length,
        revision=revision,
        oem_id=_ascii(oem),
        oem_table_id=_ascii(oem_table),
        place=place,
        oem_revision=oem_revision,
        compiler_id=_ascii(compiler),
        checksum_right=sum(body) & 0xFF == 0,
        fadt_flags=flags,
    )


def _reduced(tables: list[Table]) -> bool | None:
    flags = next((table.fadt_flags for table in tables if table.fadt_flags is not None), None)
    return None if flags is None else bool(flags & HARDWARE_REDUCED)


_FIELD = re.compile(r"^\[[0-9A-Fa-f]{3,5}h [0-9]{4,6} +[0-9]+\] +([A-Za-z][^:\n]{0,60}?) : (.{0,200})$", re.MULTILINE)
_RAW = re.compile(r"^    [0-9A-F]{4}: ((?:[0-9A-F]{2} ){1,16})", re.MULTILINE)
_QUOTED = re.compile(r'"([^"]{0,16})"')


def _data_table(text: str, name: str) -> Tables:
    """A table without AML, as `iasl -d` writes it: one line per field, and the bytes at the end."""
    fields: dict[str, tuple[str, int]] = {}
    for match in _FIELD.finditer(text):
        fields.setdefault(match[1].strip(), (match[2].strip(), match.start()))
        if len(fields) > MAX_ITEMS:
            raise InputError("too many fields", place=Place(name), expected=f"at most {MAX_ITEMS}")
    if "Signature" not in fields:
        return Tables(())
    place = Place(name, line=text.count("\n", 0, fields["Signature"][1]) + 1)

    def quoted(key: str) -> str:
        match = _QUOTED.search(fields.get(key, ("", 0))[0])
        return match[1].rstrip() if match else ""

    def number(key: str) -> int:
        match = re.match(r"[0-9A-Fa-f]{1,16}", fields.get(key, ("", 0))[0])
        return int(match[0], 16) if match else 0

    raw = bytes.fromhex("".join(match[1] for match in _RAW.finditer(text)))
    length = number("Table Length")
    flags = number("Flags (decoded below)") if quoted("Signature") == "FACP" else None
    table = Table(
        signature=quoted("Signature"),
        length=length,
        revision=number("Revision"),
        oem_id=quoted("Oem ID"),
        oem_table_id=quoted("Oem Table ID"),
        place=place,
        oem_revision=number("Oem Revision"),
        compiler_id=quoted("Asl Compiler ID"),
        checksum_right=sum(raw) & 0xFF == 0 if raw and len(raw) == length else None,
        fadt_flags=flags,
    )
    return Tables((table,), hardware_reduced=_reduced([table]))


_DEFINITION = re.compile(
    r'^[ \t]*DefinitionBlock[ \t]*\(\s*"[^"\n]*"\s*,\s*"(?P<signature>[A-Z0-9]{4})"\s*,\s*(?P<revision>\w+)\s*,'
    r'\s*"(?P<oem>[^"\n]{0,6})"\s*,\s*"(?P<table>[^"\n]{0,8})"\s*,\s*(?P<number>\w+)\s*\)',
    re.MULTILINE,
)
_LENGTH = re.compile(r"^ \*\s+Length\s+0x([0-9A-Fa-f]{1,8})", re.MULTILINE)
_NAME = r"[\\^A-Za-z0-9_.]{1,200}"
_ASL = re.compile(
    rf"""
    (?P<skip>/\*.*?(?:\*/|\Z)|//[^\n]*)
  | \b(?P<block>Device|Scope|Processor|ThermalZone|PowerResource|Method)\s*\(\s*(?P<label>{_NAME})
  | \bOperationRegion\s*\(\s*(?P<region>{_NAME})\s*,\s*(?P<space>\w{{1,40}})\s*,(?P<where>[^\n]{{1,300}})\)\s*$
  | \bName\s*\(\s*(?P<kind>_HID|_CID)\s*,\s*(?:EisaId\s*\(\s*)?"(?P<value>[^"\n]{{1,40}})"
  | (?P<text>"(?:\\.|[^"\\\n])*(?:"|$|\Z))
  | (?P<brace>[{{}}])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_CONSTANTS = {"Zero": 0, "One": 1, "Ones": 0xFFFFFFFFFFFFFFFF}


class _Asl:
    """Walks ASL text once and keeps track of the scope by its braces."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.line = 1
        self.counted = 0

    def _place(self, offset: int, path: str = "") -> Place:
        self.line += self.text.count("\n", self.counted, offset)
        self.counted = offset
        return Place(self.name, line=self.line, path=path or None)

    def read(self) -> Tables:
        tables = [self._definition(match) for match in islice(_DEFINITION.finditer(self.text), MAX_DEFINITIONS)]
        regions: list[Region] = []
        ids: list[AcpiId] = []
        scopes: list[str] = []
        pending = ""
        for match in _ASL.finditer(self.text):
            if match["brace"] == "{":
                scopes.append(pending)
                pending = ""
            elif match["brace"] == "}":
                if not scopes:
                    raise InputError(
                        "a brace closes nothing", place=self._place(match.start()), expected="balanced braces"
                    )
                scopes.pop()
            elif match["block"]:
                pending = match["label"]
            elif match["region"]:
                regions.append(self._region(match, _scope(scopes)))
            elif match["kind"]:
                scope = _scope(scopes)
                ids.append(AcpiId(match["kind"], match["value"], scope, self._place(match.start(), scope)))
            if len(regions) + len(ids) > MAX_ITEMS or len(scopes) > 256:
                raise InputError(
                    "too much AML", place=self._place(match.start()), expected=f"at most {MAX_ITEMS} names"
                )
        return Tables(tuple(tables), tuple(regions), tuple(ids))

    def _definition(self, match: re.Match[str]) -> Table:
        length = _LENGTH.search(self.text, max(0, match.start() - 4096), match.start())
        line = self.text.count("\n", 0, match.start("signature")) + 1
        return Table(
            signature=match["signature"],
            length=int(length[1], 16) if length else 0,
            revision=_constant(match["revision"]) or 0,
            oem_id=match["oem"].rstrip(),
            oem_table_id=match["table"].rstrip(),
            place=Place(self.name, line=line),
            oem_revision=_constant(match["number"]) or 0,
        )

    def _region(self, match: re.Match[str], scope: str) -> Region:
        offset, _, length = match["where"].rpartition(",")
        name = f"{scope}.{match['region']}" if scope else match["region"]
        return Region(
            name=match["region"],
            space=match["space"],
            offset=_constant(offset.strip()),
            length=_constant(length.strip()),
            scope=scope,
            text=match["where"].strip(),
            place=self._place(match.start("region"), name),
        )


def _scope(scopes: list[str]) -> str:
    """The full name; one that begins at the root starts anew."""
    path = ""
    for scope in scopes:
        if scope:
            path = scope if scope.startswith("\\") or not path else f"{path}.{scope}"
    return path


def _constant(text: str) -> int | None:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if re.fullmatch(r"0x[0-9A-Fa-f]{1,16}", text):
        return int(text, 16)
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else None
