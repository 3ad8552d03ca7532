"""Small kernel packages for the tests of the command line: an image with symbols and three modules."""

from __future__ import annotations

from pathlib import Path

from tests.artefacts.kernel import kallsyms_samples, samples

CALL = bytes.fromhex("ed c3")  # in eax, dx; ret


def package(path: Path, *, more: dict[str, bytes] | None = None) -> Path:
    """A Debian package at `path`; `more` are modules by their path below drivers/."""
    files = samples.tree()
    image = samples.payload(kallsyms_samples.vmlinux())
    files[f"./boot/vmlinuz-{samples.RELEASE}"] = samples.bzimage(payload=image)
    for name, data in (more or {}).items():
        files[f"./lib/modules/{samples.RELEASE}/kernel/drivers/{name}"] = data
    path.write_bytes(samples.deb(files, "gzip"))
    return path


def card() -> bytes:
    """A module with a match key of its own."""
    return samples.module("card", ["pci:v00000009d*sv*sd*bc*sc*i*"], text=CALL * 20)
