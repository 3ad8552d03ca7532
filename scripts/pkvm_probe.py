#!/usr/bin/env python3
"""Asks a real pKVM: builds the probe, boots an arm64 kernel under emulation as a protected host, prints the console.

    scripts/pkvm_probe.py IMAGE > console.txt

IMAGE is an uncompressed arm64 kernel image (`vmlinuz` of a Debian arm64 kernel 7.3 or later; the package has no
dependencies that matter here). Needs `aarch64-linux-gnu-gcc` with a static libc and `qemu-system-aarch64`; on Debian
`gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm`. Takes about ten seconds on two cores.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "tests/managers/probe/pkvm_probe.c"
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-system-aarch64"
COMMAND_LINE = "kvm-arm.mode=protected console=ttyAMA0 panic=-1 quiet loglevel=3"


def missing() -> list[str]:
    """The programs that are not here."""
    return [name for name in (COMPILER, EMULATOR) if shutil.which(name) is None]


def initramfs(program: bytes) -> bytes:
    """A cpio archive (newc) with the program as init, and the directory that devices are mounted at."""
    return b"".join((_entry("dev", 0o40755, b""), _entry("init", 0o100755, program), _entry("TRAILER!!!", 0, b"")))


def _entry(name: str, mode: int, data: bytes) -> bytes:
    fields = (1 if data else 0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return header.ljust(-(-len(header) // 4) * 4, b"\0") + data.ljust(-(-len(data) // 4) * 4, b"\0")


def console(image: Path, seconds: float = 120.0) -> str:
    """What the machine writes to its console. Raises subprocess.SubprocessError where a program fails or hangs."""
    with tempfile.TemporaryDirectory() as place:
        program, archive = Path(place, "init"), Path(place, "initramfs")
        build = [COMPILER, "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(SOURCE)]
        subprocess.run(build, check=True, timeout=seconds)
        archive.write_bytes(initramfs(program.read_bytes()))
        machine = ["-M", "virt,virtualization=on,gic-version=3", "-cpu", "max", "-smp", "2", "-m", "1G", "-nodefaults"]
        screen = ["-display", "none", "-serial", "stdio", "-no-reboot"]
        kernel = ["-kernel", str(image), "-initrd", str(archive), "-append", COMMAND_LINE]
        ran = subprocess.run(
            [EMULATOR, *machine, *screen, *kernel],
            check=True, timeout=seconds, stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
    return ran.stdout.decode("utf-8", "replace")


def main() -> int:
    """The script."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        print(__doc__, file=sys.stderr)
        return 2
    if absent := missing():
        print(f"not installed: {', '.join(absent)}", file=sys.stderr)
        return 2
    print(console(Path(sys.argv[1])), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
