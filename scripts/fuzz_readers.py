"""Feeds every reader with mutated bytes, guided by coverage: only a result or a HostproofError may come out.

    pip install atheris
    python scripts/fuzz_readers.py CORPUS -max_total_time=3600 -timeout=20 -rss_limit_mb=2048

CORPUS is a directory that the fuzzer grows; `--seed DIR ...` before it copies files there first, each under the selector of
every reader that may take it. The first byte of an input selects the reader, the rest is what it reads.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris  # not a dependency: `pip install atheris` where a campaign is run

with atheris.instrument_imports(include=["hostproof"]):
    from hostproof.artefacts import acpi, cmdline
    from hostproof.artefacts.initrd.read import read_initrd
    from hostproof.artefacts.kernel import btf, changelog, facts_file, image_facts, kallsyms, module
    from hostproof.artefacts.kernel.questions import Interface, Questions
    from hostproof.artefacts.kernel.read import read_kernel
    from hostproof.artefacts.kernel.unpack import open_image
    from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
    from hostproof.artefacts.machine import device_tree, libvirt, proxmox, qemu
    from hostproof.artefacts.machine import read as machine
    from hostproof.artefacts.machine.libvirt import capabilities
    from hostproof.attestation import verifier
    from hostproof.errors import HostproofError
    from hostproof.knowledge.load import use_from_toml
    from hostproof.knowledge.predicate import parse
    from hostproof.ledger import codec, waivers
    from hostproof.place import Place

SCRATCH = Path(tempfile.mkdtemp()) / "kernel"


QUESTIONS = Questions(
    interfaces=(
        Interface("pci-config", ("pci_read_config_*",)),
        Interface("port-read", (), ("in", "ins")),
        Interface("msr", (), ("rdmsr", "cpuid", "tdcall")),
    ),
    facts=frozenset(
        ("symbol.init", "symbol.a.init_module", "calls.start_kernel", "calls.a.init_module", "instruction.rdmsr")
        + ("parameter.quiet", "initcall.init", "section.text", "changelog.fix")
    ),
    titles={"fix": ("x86/tdx: Fix it",)},
)


def _image(data: bytes) -> object:
    return image_facts.read_image_facts(open_image(data, "image"), QUESTIONS, None)


def _flat(data: bytes) -> object:
    """The tables of an image that is already unpacked: half of it text, half data."""
    half = len(data) // 2
    parts = (
        ImageSection(".text", 1 << 40, 0, half, True),
        ImageSection(".data", 2 << 40, half, len(data) - half, False),
    )
    return kallsyms.find_kallsyms(Vmlinux("image", "x86_64", data, "0" * 64, parts))


def _kernel(data: bytes) -> object:
    SCRATCH.write_bytes(data)
    return read_kernel(SCRATCH)


READERS: tuple[Callable[[bytes], object], ...] = (
    lambda data: machine.read(data, "vm"),
    lambda data: qemu.read(data, "vm"),
    lambda data: libvirt.read(data, "vm"),
    lambda data: capabilities.read(data, "vm"),
    lambda data: proxmox.read(data, "vm"),
    lambda data: device_tree.read(data, "vm"),
    lambda data: acpi.read(data, "vm"),
    _kernel,
    lambda data: module.read_module(data, "a.ko", "a.ko"),
    lambda data: facts_file.decode(data, "facts"),
    lambda data: cmdline.parse(data.decode("latin-1"), Place("c")),
    lambda data: codec.decode(data, "ledger"),
    lambda data: waivers.read(data, "waivers"),
    lambda data: verifier.read(data, "verifier"),
    lambda data: use_from_toml(data, "use"),
    lambda data: parse(data.decode("latin-1")),
    _image,
    _flat,
    lambda data: btf.read_btf(data, "btf").struct("pci_driver"),
    lambda data: module.read_module(data, "a.ko", "a.ko", questions=QUESTIONS),
    lambda data: read_initrd(data, "initrd"),
    lambda data: changelog.read_changelog(data, "changelog").answers(QUESTIONS.titles),
)
MAX_SEED = 256 * 1024


def one(data: bytes) -> None:
    """One input: its first byte selects the reader."""
    if not data:
        return
    try:
        READERS[data[0] % len(READERS)](data[1:])
    except HostproofError as error:
        error.diagnosis()


def seed(corpus: Path, folders: list[Path]) -> int:
    """Copy every file of `folders` into the corpus, once for each reader."""
    count = 0
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or path.stat().st_size > MAX_SEED:
                continue
            for selector in range(len(READERS)):
                data = bytes([selector]) + path.read_bytes()
                (corpus / hashlib.sha256(data).hexdigest()[:20]).write_bytes(data)
                count += 1
    return count


def main() -> None:
    """Seed where asked, then fuzz until the options of libFuzzer say stop."""
    words = sys.argv[1:]
    if words and words[0] == "--seed":
        *folders, corpus = [Path(word) for word in words[1:] if not word.startswith("-")]
        corpus.mkdir(parents=True, exist_ok=True)
        print(f"{seed(corpus, folders)} seeds")
        sys.argv[1:] = [str(corpus), *(word for word in words if word.startswith("-") and word != "--seed")]
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
