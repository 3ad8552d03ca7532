"""Images of real distribution kernels against another tool: names and addresses of all symbols are equal.

The packages are found in the directory that HOSTPROOF_KERNELS names. The other tool is `kallsyms-finder` of
vmlinux-to-elf (GPL-3.0), run as a program where it is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from hostproof.artefacts.archive import ar, tar
from hostproof.artefacts.archive.decompress import chunks
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.artefacts.kernel.image import unpacked
from hostproof.artefacts.kernel.kallsyms import read_kallsyms
from hostproof.artefacts.kernel.vmlinux import Vmlinux, read_vmlinux

pytestmark = pytest.mark.slow

PERCPU = "base-relative with absolute per-CPU symbols"
KERNELS = {  # symbols, layout
    "linux-image-5.10.0-46-amd64_5.10.262-1_amd64": (105_158, f"{PERCPU}, before 6.4"),
    "linux-image-5.10.0-46-cloud-amd64_5.10.262-1_amd64": (97_254, f"{PERCPU}, before 6.4"),
    "linux-image-6.1.0-54-amd64-unsigned_6.1.190-1_amd64": (94_201, f"{PERCPU}, before 6.4"),
    "linux-image-6.1.0-54-cloud-amd64-unsigned_6.1.190-1_amd64": (87_280, f"{PERCPU}, before 6.4"),
    "linux-image-6.1.0-55-amd64-unsigned_6.1.192-1_amd64": (94_266, f"{PERCPU}, before 6.4"),
    "linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64": (87_347, f"{PERCPU}, before 6.4"),
    "linux-image-6.1.0-55-rt-amd64-unsigned_6.1.192-1_amd64": (94_076, f"{PERCPU}, before 6.4"),
    "linux-image-6.12.117+deb12-cloud-amd64-unsigned_6.12.117-1~deb12u1_amd64": (154_686, f"{PERCPU}, 6.4 and later"),
    "linux-image-6.12.117+deb12-cloud-arm64-unsigned_6.12.117-1~deb12u1_arm64": (
        115_539,
        "base-relative, 6.4 and later",
    ),
    "linux-image-6.12.117+deb13-amd64-unsigned_6.12.117-1_amd64": (166_932, f"{PERCPU}, 6.4 and later"),
    "linux-image-6.12.117+deb13-rt-amd64-unsigned_6.12.117-1_amd64": (166_491, f"{PERCPU}, 6.4 and later"),
    "linux-image-6.12.117+deb13-arm64-unsigned_6.12.117-1_arm64": (151_722, "base-relative, 6.4 and later"),
    "linux-image-6.12.117+deb13-cloud-amd64-unsigned_6.12.117-1_amd64": (157_881, f"{PERCPU}, 6.4 and later"),
    "linux-binary-unsigned-7.2.13+deb14-amd64_7.2.13-1_amd64": (199_097, "place-relative, 7.0 and later"),
    "linux-binary-unsigned-7.2.13+deb14-cloud-amd64_7.2.13-1_amd64": (186_798, "place-relative, 7.0 and later"),
    "linux-binary-unsigned-7.2.13+deb14-cloud-arm64_7.2.13-1_arm64": (159_196, "place-relative, 7.0 and later"),
}
LINKED = {"x86_64": 0xFFFFFFFF81000000, "aarch64": 0xFFFF800080000000}


def image_of(package: str) -> bytes:
    directory = os.environ.get("HOSTPROOF_KERNELS")
    path = Path(directory or ".") / f"{package}.deb"
    if not directory or not path.is_file():
        pytest.skip(f"no {path.name}: set HOSTPROOF_KERNELS to a directory that holds it")
    with path.open("rb") as file:
        region = Region.of_descriptor(file.fileno(), path.name)
        data = next(part for name, part in ar.members(region) if name.startswith("data.tar"))
        with closing(chunks(data)) as stream:
            for member in tar.members(ByteStream(stream, path.name)):
                if member.kind == "file" and member.name.rpartition("/")[2].startswith("vmlinuz"):
                    return bytes(member.read())
    pytest.fail(f"{path.name} holds no image")


def oracle(kernel: bytes, directory: Path) -> list[tuple[int, str]]:
    """What kallsyms-finder finds in an unpacked kernel."""
    program = shutil.which("kallsyms-finder", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("kallsyms-finder of vmlinux-to-elf is not installed")
    path = directory / "vmlinux"
    path.write_bytes(kernel)
    run = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=300, check=False)
    if run.returncode or not run.stdout:
        pytest.skip(f"kallsyms-finder cannot read this kernel: {run.stderr.strip().splitlines()[-1]}")
    rows = (line.split(" ", 2) for line in run.stdout.splitlines())
    return [(int(address, 16), name) for address, _, name in rows]


@pytest.mark.parametrize("package", KERNELS)
def test_symbols_are_those_that_another_tool_finds(package: str, tmp_path: Path) -> None:
    image = image_of(package)
    start = time.process_time()
    kernel = read_vmlinux(image, package)
    symbols = read_kallsyms(kernel)
    spent = time.process_time() - start
    count, layout = KERNELS[package]
    text = symbols.find("_text")

    assert (len(symbols), symbols.layout, symbols.complete) == (count, layout, True)
    assert text is not None
    assert text.address == LINKED[kernel.architecture]
    assert_consistent(kernel)
    assert spent < 2.5
    found = oracle(unpacked(image, package), tmp_path)
    assert list(symbols.names) == [name for _, name in found]
    moved = {ours - theirs for ours, (theirs, _) in zip(symbols.addresses, found, strict=True)}
    if kernel.flat and layout.startswith("place-relative"):
        assert len(moved) == 1  # the other tool does not tell where such a kernel is linked
    else:
        assert moved == {0}


def assert_consistent(kernel: Vmlinux) -> None:
    """What does not rest on kallsyms agrees with it: types lie where their symbol says, drivers name functions."""
    symbols = read_kallsyms(kernel)
    types = symbols.find("__start_BTF")
    assert types is not None
    assert kernel.read(types.address, 2) == b"\x9f\xeb"
    banner = symbols.find("linux_banner")
    assert banner is not None
    assert kernel.read(banner.address, 14) == b"Linux version "
    table = symbols.find("pcie_portdriver")
    assert table is not None
    words = kernel.read(table.address, 128)
    assert words is not None
    named = {symbols.at(int.from_bytes(words[at : at + 8], "little")) for at in range(0, 128, 8)}
    assert any(symbol is not None and symbol.name == "pcie_portdrv_probe" for symbol in named)
