"""QEMU command lines: a shell line, a list of arguments, `/proc/PID/cmdline` or a JSON array

The reader takes apart what QEMU would take apart: every option of its table, in each of its three syntaxes, with
everything that is short for something else, and adds what the board and QEMU's defaults add without being asked. It
expands no variable, opens no file and runs nothing. What it does not understand becomes `Unread`.

SOURCE: QEMU 7.2 softmmu/vl.c and qemu-options.hx; system/vl.c at 00cfbdcbe16d for later versions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from hostproof.artefacts.machine.model import Machine
from hostproof.artefacts.machine.qemu.backends import node_end, read_backend
from hostproof.artefacts.machine.qemu.board import add_board, resolve_board
from hostproof.artefacts.machine.qemu.command import binary_name, command_line, looks_like_qemu
from hostproof.artefacts.machine.qemu.confidential import GUESTS, confidential
from hostproof.artefacts.machine.qemu.draft import Draft, Entry
from hostproof.artefacts.machine.qemu.entries import entries
from hostproof.artefacts.machine.qemu.inputs import read_input, read_setting
from hostproof.artefacts.machine.qemu.options import OBJECTS, OPTIONS
from hostproof.artefacts.machine.qemu.sugar import read_device, read_sugar
from hostproof.artefacts.machine.qemu.tokens import MAX_ARGUMENTS, Word
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["is_qemu", "read", "read_argv"]

FORMAT = "qemu-argv"

_ARCHITECTURES = frozenset(
    "x86_64 i386 aarch64 arm s390x ppc64 ppc riscv64 riscv32 loongarch64 mips mipsel mips64 mips64el sparc sparc64 m68k".split()  # noqa: SIM905 - a row of names reads better than a list of literals
)
_TARGET = re.compile(r"qemu-system-([a-z0-9_]+)")
_NO_FILES: Mapping[str, bytes] = MappingProxyType({})


def is_qemu(data: bytes) -> bool:
    """Whether `data` looks like a QEMU command line in one of the forms that `read` takes. Never raises."""
    return looks_like_qemu(data)


def read(data: bytes, name: str, *, companions: Mapping[str, bytes] = _NO_FILES) -> Machine:
    """The VM that a QEMU command line starts.

    `data` is a shell line or script, a file of arguments, `/proc/PID/cmdline` or a JSON array of strings; `name` the artefact's
    name. `companions` holds the contents of files that `-readconfig` names, by the name written there. Raises InputError
    where no QEMU command line is found, where its quoting or a value is malformed, or beyond a limit.
    """
    words, others = command_line(data, name)
    draft = _draft(words, Place(name))
    for other in others:
        draft.cannot_read(other.text, "a further QEMU command of this file: only the first is read", other.place)
    return _machine(draft, words, FORMAT, companions)


def read_argv(argv: list[tuple[str, Place]], name: str, format: str) -> Machine:
    """The VM, or the part of one, that these arguments define; each comes with its place.

    The first may be the binary. Where there is neither binary nor `-machine` (arguments that another tool adds to its
    own), no board and no defaults are added. Raises InputError as `read` does.
    """
    if len(argv) > MAX_ARGUMENTS:
        raise InputError(f"{len(argv)} arguments", place=Place(name), expected=f"at most {MAX_ARGUMENTS}")
    words = tuple(Word(text, place) for text, place in argv)
    return _machine(_draft(words, Place(name)), words, format, _NO_FILES)


def _draft(words: tuple[Word, ...], place: Place) -> Draft:
    """An empty draft, with the architecture that the binary names."""
    binary = binary_name(words[0].text) if words else None
    target = _TARGET.match(binary) if binary else None
    draft = Draft(place, target[1] if target else None)
    if binary is not None and binary.startswith("kvm"):
        draft.architecture = "x86_64"
    elif target is not None and target[1] not in _ARCHITECTURES:
        draft.cannot_read(words[0].text, "the architecture of this binary is not known", words[0].place)
    return draft


def _machine(draft: Draft, words: tuple[Word, ...], format: str, config_files: Mapping[str, bytes]) -> Machine:
    whole = bool(words) and not words[0].text.startswith("-")
    found = entries(draft, words[1:] if whole else words, config_files)
    for readers in (_SETTINGS, _ENDS, _BACKENDS):
        for entry in found:
            _dispatch(draft, entry, readers)
    if whole or draft.board is not None:
        resolve_board(draft)
    for entry in found:
        _dispatch(draft, entry, _DEVICES)
    technology = confidential(draft)
    _machine_boot(draft)
    add_board(draft)
    if whole and draft.vcpus is None and not any(entry.option == "smp" for entry in found):
        draft.vcpus = 1
        draft.note("no -smp is written: QEMU gives the guest one vCPU")
    if draft.user_config and whole:
        draft.note("without -no-user-config QEMU also reads qemu.conf from its own directory, which was not given")
    if whole and draft.boot.firmware is None and draft.boot.igvm is None:
        draft.note("no firmware is named: QEMU loads the default of its board")
    return Machine(
        format=format,
        vmm="qemu",
        place=draft.place,
        name=draft.name,
        vmm_version=draft.version,
        architecture=draft.architecture,
        board=draft.board,
        vcpus=draft.vcpus,
        cpu_model=draft.cpu_model,
        memory_mib=draft.memory_mib,
        confidential=technology,
        declared=tuple(draft.declared),
        boot=draft.boot,
        devices=tuple(draft.devices),
        host_inputs=tuple(draft.host_inputs),
        unread=tuple(draft.unread),
        notes=tuple(draft.notes),
    )


Reader = Callable[[Draft, Entry], None]


def _dispatch(draft: Draft, entry: Entry, readers: Mapping[str, Reader]) -> None:
    reader = readers.get(OPTIONS[entry.option].reader)
    if reader is not None:
        reader(draft, entry)


def _read_object(draft: Draft, entry: Entry) -> None:
    """An object: a guest's confidentiality is read once the machine is known; the rest feeds the guest or it does not."""
    options = entry.options
    kind = options.get("qom-type") or ""
    if kind in OBJECTS or kind in GUESTS:
        return
    if kind == "igvm-cfg":
        used = draft.machine.get("igvm-cfg")
        if used is not None and used[0] == options.get("id"):
            draft.boots(igvm=options.get("file"), igvm_place=entry.place)
        else:
            why = "the machine does not name this object as igvm-cfg, so QEMU does not use it"
            draft.cannot_read(f"object {kind}", why, entry.place)
    elif kind in ("acpi-generic-initiator", "acpi-generic-port"):
        draft.add_input(kind, "proximity of a device in a firmware table", "C04", entry.place, entry.text)
    elif kind in ("input-linux", "input-barrier"):
        what = options.get("evdev", "server") or ""
        draft.add_input(kind, "key strokes and pointer of the host", "", entry.place, what)
    else:
        draft.cannot_read(f"object {kind}"[:200], "this type of object is not known", entry.place)


def _machine_boot(draft: Draft) -> None:
    """What the machine's own properties boot: flash, and the long forms of -kernel and its kin."""
    for key, field in (
        ("firmware", "firmware"),
        ("kernel", "kernel"),
        ("initrd", "initrd"),
        ("append", "command_line"),
    ):
        if key in draft.machine:
            value, entry = draft.machine[key]
            draft.boots(**{field: value})
            draft.boots(**{f"{field}_place": entry.place})
            if key == "append":
                draft.add_input("command line", "parameters of the guest's kernel", "C03", entry.place, value)
    for key, field in (("pflash0", "firmware"), ("pflash1", "firmware_variables")):
        if key not in draft.machine:
            continue
        node, entry = draft.machine[key]
        if node in draft.nodes:
            path = node_end(draft, draft.nodes[node]).removeprefix("file:")
        elif node in draft.drives:
            path = draft.drives[node].backend.removeprefix("file:")
        else:
            draft.cannot_read(f"-machine {key}={node}", "no -blockdev or -drive has this name", entry.place)
            continue
        draft.boots(**{field: path})
        if field == "firmware":
            draft.boots(firmware_place=entry.place)
    for key in ("oem-id", "oem-table-id", "x-oem-id", "x-oem-table-id"):
        if key in draft.machine:
            value, entry = draft.machine[key]
            draft.add_input(key, "text in the headers of all ACPI tables", "C04", entry.place, value)
    if "dtb" in draft.machine:
        value, entry = draft.machine["dtb"]
        draft.add_input("device tree", "description of the hardware for the guest's kernel", "", entry.place, value)


def _readers(names: str, reader: Reader) -> dict[str, Reader]:
    return dict.fromkeys(names.split(), reader)


_SETTINGS = _readers(
    "machine usb usbdevice nographic no-acpi no-hpet accel nodefaults no-user-config global vga nic net serial parallel "
    "name smp memory cpu",
    read_setting,
)
_ENDS = _readers("chardev blockdev", read_backend)
"""Back ends that other back ends stand on, wherever they are written."""
_BACKENDS = _readers("netdev fsdev virtfs tpmdev audiodev audio drive disk object", read_backend)
_DEVICES: Mapping[str, Reader] = {
    "device": read_device,
    "object": _read_object,
    **_readers("vga soundhw audio usbdevice virtfs watchdog balloon debugcon semihosting", read_sugar),
    **_readers(
        "boot-image firmware fw_cfg smbios uuid acpitable boot dtb option-rom shim rtc state seed prom-env gdb numa exits "
        "removed",
        read_input,
    ),
}
READERS = frozenset(_SETTINGS) | frozenset(_ENDS) | frozenset(_BACKENDS) | frozenset(_DEVICES) | {"set", "readconfig"}
"""Every name that the option table may give as a reader."""
