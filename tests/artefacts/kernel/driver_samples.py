"""Small kernels with drivers in them, assembled here: code that registers structures, the structures, and their types."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hostproof.artefacts.kernel.btf import Btf, read_btf
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from tests.artefacts.kernel.btf_samples import BtfBuilder
from tests.artefacts.kernel.id_table_layouts import LAYOUTS

TEXT = 0xFFFFFFFF81000000
DATA = 0xFFFFFFFF82000000
SLOT = 128
"""Bytes of one function, or of one object; longer objects take several."""

DRIVER = {"name": 0, "bus": 8, "owner": 16, "mod_name": 24, "of_match_table": 40, "acpi_match_table": 48, "p": 56}
DRIVER_SIZE = 64
STRUCTS: dict[str, tuple[int, dict[str, int]]] = {
    "pci_driver": (96, {"name": 0, "id_table": 8, "probe": 16, "driver": 32}),
    "virtio_driver": (96, {"driver": 0, "id_table": 64, "probe": 80}),
    "platform_driver": (96, {"probe": 0, "driver": 16, "id_table": 80}),
    "acpi_scan_handler": (40, {"ids": 0, "attach": 32}),
    "xenbus_driver": (96, {"name": 0, "ids": 8, "probe": 24, "driver": 32}),
    "pnp_driver": (96, {"name": 0, "id_table": 8, "probe": 16, "driver": 32}),
}
"""Size of a structure and where its members lie."""


def types(without: Sequence[str] = ()) -> Btf:
    """The types of the sample kernels."""
    builder = BtfBuilder()
    char, pointer = builder.integer("char", 1), builder.pointer()
    inner = builder.struct("device_driver", DRIVER_SIZE, [(name, pointer, offset) for name, offset in DRIVER.items()])
    for name, (size, members) in STRUCTS.items():
        if name not in without:
            fields = [(member, inner if member == "driver" else pointer, at) for member, at in members.items()]
            builder.struct(name, size, fields)
    names = {"pci": "pci_device_id", "virtio": "virtio_device_id", "acpi": "acpi_device_id", "of": "of_device_id"}
    names |= {"platform": "platform_device_id", "xen": "xenbus_device_id", "pnp": "pnp_device_id"}
    sizes = {size: builder.integer(f"u{8 * size}", size) for size in (1, 2, 4, 8)}
    for kind, name in names.items():
        size, layout = LAYOUTS[kind]
        builder.struct(
            name,
            size,
            [(member, sizes.get(width) or builder.array(char, width), at) for member, (at, width) in layout.items()],
        )
    return read_btf(builder.build(), "sample!BTF")


@dataclass
class Sample:
    """A kernel under construction: functions as code over addresses, objects as bytes or words over addresses."""

    architecture: str = "x86_64"
    functions: dict[str, Callable[[Sample, int], bytes]] = field(default_factory=dict)
    objects: dict[str, Callable[[Sample], bytes]] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)

    def function(self, name: str, *steps: Callable[[Sample, int], bytes]) -> None:
        """A function that takes these steps."""

        def code(sample: Sample, at: int) -> bytes:
            body = b""
            for step in steps:
                body += step(sample, at + len(body))
            return body

        self.addresses[name] = TEXT + SLOT * len(self.functions)
        self.functions[name] = code

    def data(self, name: str, body: bytes | Callable[[Sample], bytes], size: int = SLOT) -> None:
        """An object of at most `size` bytes."""
        slots = -(-size // SLOT)
        self.addresses[name] = DATA + SLOT * len(self.objects)
        self.objects[name] = body if callable(body) else lambda _: body
        for more in range(1, slots):
            self.objects[f"{name}+{more}"] = lambda _: b""

    def structure(self, kind: str, symbol: str, /, **members: str | int) -> None:
        """A registration structure; members are names of functions and objects, `driver__name` one of its driver."""
        size, layout = STRUCTS[kind]

        def body(sample: Sample) -> bytes:
            raw = bytearray(size)
            for path, value in members.items():
                first, _, rest = path.partition("__")
                at = layout[first] + (DRIVER[rest] if rest else 0)
                raw[at : at + 8] = struct.pack("<Q", value if isinstance(value, int) else sample.addresses[value])
            return bytes(raw)

        self.data(symbol, body)

    def build(self, *, complete: bool = True) -> tuple[Vmlinux, Symbols]:
        """The kernel, with symbols of data or without."""
        text = b"".join(
            code(self, TEXT + SLOT * number).ljust(SLOT, b"\xcc" if self.architecture == "x86_64" else b"\0")
            for number, code in enumerate(self.functions.values())
        )
        pieces: list[bytes] = []
        for number, make in enumerate(self.objects.values()):
            body = make(self)
            while len(pieces) <= number + (len(body) - 1) // SLOT:
                pieces.append(bytes(SLOT))
            for at in range(0, len(body), SLOT):
                pieces[number + at // SLOT] = body[at : at + SLOT].ljust(SLOT, b"\0")
        data = b"".join(pieces)
        sections = (
            ImageSection(".text", TEXT, 0, len(text), True),
            ImageSection(".data", DATA, len(text), len(data), False),
        )
        kernel = Vmlinux("sample", self.architecture, text + data, "0" * 64, sections)
        named = [(address, "t" if address < DATA else "d", name) for name, address in self.addresses.items()]
        named = sorted(item for item in named if complete or item[1] == "t")
        named.append((DATA + len(data), "b" if complete else "t", "_end"))
        symbols = Symbols(
            [address for address, _, _ in named],
            "".join(letter for _, letter, _ in named),
            [name for _, _, name in named],
            complete,
        )
        return kernel, symbols


def point(register: int, name: str) -> Callable[[Sample, int], bytes]:
    """Puts an address into argument `register`: `mov rdi, imm32`, or `adrp` and `add`."""

    def code(sample: Sample, at: int) -> bytes:
        target = sample.addresses[name]
        if sample.architecture == "x86_64":
            return bytes([0x48, 0xC7, (0xC7, 0xC6, 0xC2)[register]]) + struct.pack("<I", target & 0xFFFFFFFF)
        pages = (target >> 12) - (at >> 12) & 0x1FFFFF
        adrp = 0x90000000 | (pages & 3) << 29 | pages >> 2 << 5 | register
        return struct.pack("<II", adrp, 0x91000000 | (target & 0xFFF) << 10 | register << 5 | register)

    return code


def point_relative(register: int, name: str) -> Callable[[Sample, int], bytes]:
    """`lea rdi, [rip + disp32]`."""

    def code(sample: Sample, at: int) -> bytes:
        distance = sample.addresses[name] - at - 7
        return bytes([0x48, 0x8D, (0x3D, 0x35, 0x15)[register]]) + struct.pack("<i", distance)

    return code


def number(register: int, value: int) -> Callable[[Sample, int], bytes]:
    """Puts a number into argument `register`."""

    def code(sample: Sample, at: int) -> bytes:
        if sample.architecture == "x86_64":
            return bytes([(0xBF, 0xBE, 0xBA)[register]]) + struct.pack("<I", value)
        return struct.pack("<I", 0x52800000 | value << 5 | register)

    return code


def call(name: str, *, jump: bool = False) -> Callable[[Sample, int], bytes]:
    """A direct call, or a jump in its place."""

    def code(sample: Sample, at: int) -> bytes:
        distance = sample.addresses[name] - at
        if sample.architecture == "x86_64":
            return (b"\xe9" if jump else b"\xe8") + struct.pack("<i", distance - 5)
        return struct.pack("<I", (0x14000000 if jump else 0x94000000) | distance // 4 & 0x3FFFFFF)

    return code


def raw(code: bytes) -> Callable[[Sample, int], bytes]:
    return lambda _sample, _at: code


def initcall(sample: Sample, module: str, function: str) -> None:
    """An entry of the table of initcalls, named as kernels since 5.12 name it."""
    name = f"__initcall__kmod_{module}__123_45_{function}6"
    sample.data(name, lambda made: struct.pack("<i", made.addresses[function] - made.addresses[name]))
