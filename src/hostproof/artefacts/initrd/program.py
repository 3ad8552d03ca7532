"""Programs of an initrd: scripts and ELF files, whether they need an interpreter, and which names they hold

SOURCE: ELF-64 and ELF-32 object file formats: `e_phoff` at 32 (28), `e_phentsize` and `e_phnum` at 54 (42); a program
header of type 3 (PT_INTERP) names the dynamic loader. finit_module(2), init_module(2): the system calls that load a module.

A name in a program is weak evidence: a program may carry one and never use it, and a system call by number needs none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["SWITCHES", "Program", "read_program"]

LOADS = (b"init_module", b"InitModule", b"FinitModule")
SWITCHES = ("switch_root", "run-init", "pivot_root")
APPLETS = ("modprobe", "insmod", "mdev", "switch_root")
MAX_SCRIPT = 1 << 20
PT_INTERP = 3


@dataclass(frozen=True, slots=True)
class Program:
    """`form` is `elf-static`, `elf-dynamic` or `script`. `loads_modules`: it names a system call that loads a module.
    `applets` are busybox's, of those that matter here; `switches` the words by which it may change the root.
    """

    form: str
    loads_modules: bool
    applets: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()


def read_program(data: memoryview) -> Program | None:
    """What these bytes are, or None where they are neither a script nor ELF."""
    head = bytes(data[:64])
    if head.startswith(b"#!"):
        text = bytes(data[:MAX_SCRIPT])
        code = b"\n".join(line for line in text.splitlines() if not line.lstrip().startswith(b"#"))
        return Program("script", False, (), tuple(word for word in SWITCHES if word.encode() in code))
    if not head.startswith(b"\x7fELF"):
        return None
    whole = bytes(data)
    applets: tuple[str, ...] = ()
    if b"BusyBox v" in whole:
        applets = tuple(name for name in APPLETS if f"\0{name}\0".encode() in whole)
    return Program(
        "elf-dynamic" if _interpreted(whole) else "elf-static",
        any(name in whole for name in LOADS),
        applets,
        tuple(word for word in SWITCHES if word.encode() in whole),
    )


def _interpreted(data: bytes) -> bool:
    """Whether a program header names an interpreter; a file too short for its own header names none."""
    if len(data) < 64 or data[4] not in (1, 2) or data[5] not in (1, 2):
        return False
    order = "<" if data[5] == 1 else ">"
    wide = data[4] == 2
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)
    size, number = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    for index in range(number if size else 0):
        at = table + index * size
        if at + 4 > len(data):
            break
        if struct.unpack_from(order + "I", data, at)[0] == PT_INTERP:
            return True
    return False
