"""The reader against QEMU itself: the device models that it gives are those of `info qtree`.

The board's own devices are taken from QEMU too, so that what is compared here are the reader's rules: which default
a line switches off, and what is short for which device.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from functools import cache, lru_cache

import pytest

from hostproof.artefacts.machine.board import BoardDevices
from hostproof.artefacts.machine.model import Device, Origin
from hostproof.artefacts.machine.qemu import board, read_argv
from hostproof.artefacts.machine.qemu.options import OPTIONS
from hostproof.place import Place

QEMU = "qemu-system-x86_64"
needs_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed: nothing to compare with")


@cache
def installed_version() -> str:
    text = subprocess.run([QEMU, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    match = re.search(r"version (\d+\.\d+)", text)
    return match[1] if match else ""


_DEVICE = re.compile(r"dev: (\S+), id")
_VIRTIO_PART = re.compile(r"(virtio|vhost)-.*-device")
"""What QEMU shows behind a virtio PCI function: one device for the guest."""


@lru_cache(maxsize=256)
def device_tree(*argv: str) -> tuple[str, ...]:
    """The models of QEMU's device tree for these arguments."""
    command = [QEMU, *argv, "-S", "-display", "none", "-monitor", "stdio", "-accel", "tcg"]
    done = subprocess.run(command, input="info qtree\nquit\n", capture_output=True, text=True, timeout=60, check=False)
    models = _DEVICE.findall(done.stdout)
    assert models, f"{' '.join(command)}: {done.stderr}"
    return tuple(model for model in models if not _VIRTIO_PART.fullmatch(model))


def board_of_qemu(
    machine: str,
    *,
    architecture: str,
    vmm_version: str | None = None,
    defaults: bool,
    switches: Mapping[str, str],
    place: Place,
) -> BoardDevices:
    """The inventory of a board from QEMU: what the reader otherwise asks `board_devices` for."""
    properties = "".join(f",{key}={value}" for key, value in switches.items() if key in SWITCHES)
    argv = ["-machine", machine + properties, *([] if defaults else ["-nodefaults"])]
    own = Counter(device_tree("-machine", machine + properties, "-nodefaults"))
    devices = []
    for model in device_tree(*argv):
        devices.append(Device(model, "unknown", Origin.BOARD if own[model] > 0 else Origin.DEFAULT, place))
        own[model] -= 1
    return BoardDevices(machine, "live", tuple(devices), ())


SWITCHES = frozenset({"usb", "hpet", "vmport", "i8042", "smbus", "sata", "acpi"})


def models_read(argv: list[str]) -> Counter[str]:
    """The models that the reader gives for these arguments."""
    machine = read_argv([(text, Place("argv")) for text in [QEMU, *argv]], "argv", "qemu-argv")
    return Counter(device.model for device in machine.devices)


DISK = "null-co://"
LINES = {
    "nothing": "",
    "-nodefaults": "-nodefaults",
    "-vga none": "-vga none",
    "-vga virtio": "-vga virtio",
    "-vga std without defaults": "-nodefaults -vga std",
    "a display adapter": "-device VGA",
    "a display adapter that is not in the list": "-device virtio-gpu-pci",
    "a global of the display adapter": "-global VGA.vgamem_mb=32",
    "one serial port": "-serial null",
    "no serial port": "-serial none",
    "two serial ports": "-serial null -serial null",
    "second serial port only": "-serial none -serial null",
    "serial port without defaults": "-nodefaults -serial null",
    "isa-serial": "-chardev null,id=c -device isa-serial,chardev=c",
    "no parallel port": "-parallel none",
    "parallel port": "-parallel null",
    "-nic none": "-nic none",
    "-nic user": "-nic user",
    "-nic without defaults": "-nodefaults -nic user",
    "-nic with a model": "-nic user,model=virtio-net-pci",
    "-nic virtio": "-nic user,model=virtio",
    "-net none": "-net none",
    "-net nic": "-net nic,model=e1000 -net user",
    "-netdev alone": "-netdev user,id=n",
    "a card without -netdev": "-device virtio-net-pci",
    "a card with its -netdev": "-device rtl8139,netdev=n -netdev user,id=n",
    "-fda": "-fda /dev/null",
    "-fda without defaults": "-nodefaults -fda /dev/null",
    "-cdrom": f"-cdrom {DISK}",
    "-hda": f"-hda {DISK}",
    "-hdc": f"-hdc {DISK}",
    "three disks": " ".join([f"-drive file={DISK},format=raw"] * 3),
    "a disk of -drive and -hda": f"-hda {DISK} -drive file={DISK},format=raw -drive file={DISK},format=raw",
    "if=virtio": f"-drive file={DISK},format=raw,if=virtio",
    "if=none": f"-drive file={DISK},format=raw,if=none,id=d -device virtio-blk-pci,drive=d",
    "a blockdev": "-blockdev null-co,node-name=d -device ide-hd,drive=d",
    "disk image": f"{DISK}",
    "-usb": "-usb",
    "-usbdevice": "-usbdevice tablet",
    "usb=on": "-machine usb=on",
    "-no-hpet": "-no-hpet",
    "-debugcon": "-debugcon null",
    "-virtfs": "-virtfs local,path=/tmp,mount_tag=x,security_model=none",
    "-audio": "-audio none,model=hda",
    "JSON": '-device {"driver":"virtio-rng-pci","id":"r"}',
    "disk behind USB": f"-device usb-ehci -drive if=none,id=a,file={DISK},format=raw -device usb-storage,drive=a",
    "disk behind SCSI": f"-device virtio-scsi-pci -drive if=none,id=a,file={DISK},format=raw -device scsi-hd,drive=a",
    "bytes in memory": "-device loader,file=/dev/null,addr=0x1000",
    "a card behind a bridge": "-device pci-bridge,id=b,chassis_nr=1 -device e1000,bus=b",
    "switches of the board": "-machine hpet=off,vmport=off,i8042=off",
    "other switches of the board": "-machine smbus=off,sata=off",
    "a second parallel port": "-parallel null -parallel null",
    "second floppy": "-fdb /dev/null",
    "no ACPI": "-no-acpi",
    "watchdog and pvpanic": "-device i6300esb -device pvpanic -device edu",
}


@pytest.mark.slow
@needs_qemu
@pytest.mark.parametrize("machine", ["pc", "q35", "pc-q35-7.2"])
@pytest.mark.parametrize("line", LINES)
def test_the_rules_for_defaults_are_those_of_qemu(machine: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "board_devices", board_of_qemu)
    argv = ["-machine", machine, *LINES[line].split()]

    assert Counter(device_tree(*argv)) == models_read(argv)


SMALL_BOARDS = [
    "",
    "-nodefaults",
    "-serial null",
    "-nodefaults -serial null",
    "-nic user",
    "-vga std",
    "-parallel null",
    "-no-acpi",
]


@pytest.mark.slow
@needs_qemu
@pytest.mark.parametrize("machine", ["microvm", "isapc"])
@pytest.mark.parametrize("line", SMALL_BOARDS)
def test_boards_without_pci_follow_the_rules_of_qemu(machine: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "board_devices", board_of_qemu)
    argv = ["-machine", machine, *line.split()]

    assert Counter(device_tree(*argv)) == models_read(argv)


@pytest.mark.slow
@needs_qemu
@pytest.mark.parametrize("machine", ["pc-i440fx-7.2", "pc-q35-7.2"])
@pytest.mark.parametrize("line", LINES)
def test_the_devices_are_those_of_qemu(machine: str, line: str) -> None:
    if installed_version() != "7.2":
        pytest.skip(f"the inventory of these boards is that of QEMU 7.2, and {installed_version()} is installed")
    argv = ["-machine", machine, *LINES[line].split()]

    assert Counter(device_tree(*argv)) == models_read(argv)


@needs_qemu
def test_every_option_of_the_installed_qemu_is_in_the_table() -> None:
    text = subprocess.run([QEMU, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    shown = {}
    for line in text.splitlines():
        if match := re.match(r"--?([A-Za-z][\w-]*)(?:/-(\w+))?( \S+)?", line):
            names = [match[1]] if match[2] is None else [match[1], match[2]]
            shown.update(dict.fromkeys(names, match[3] is not None))
    shown["h"] = False  # `-h or -help`
    shown |= {"dtb": True, "async-teardown": False}  # the help text sets these two apart from the rest

    wrong = {name for name, argument in shown.items() if name not in OPTIONS or OPTIONS[name].argument != argument}
    assert wrong == set()
    assert len(shown) > 110
