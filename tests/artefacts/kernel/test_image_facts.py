"""What small images say of themselves, alone and in packages of both kinds; and images of which nothing can be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel import image_facts, tree
from hostproof.artefacts.kernel.facts import Answer, KernelFacts
from hostproof.artefacts.kernel.image_facts import read_image_facts
from hostproof.artefacts.kernel.questions import Interface, Questions
from hostproof.artefacts.kernel.read import read_kernel
from hostproof.artefacts.kernel.unpack import open_image
from hostproof.errors import HostproofError, InputError
from tests.artefacts.kernel import kallsyms_samples, samples
from tests.artefacts.kernel.btf_samples import BtfBuilder

ASKED = Questions(
    (Interface("port", instructions=("in",)),),
    frozenset({"symbol.virtio_to_dev_1", "symbol.absent", "symbol.virtio.thing"}),
)
SOURCES = b"drivers/pci/probe.c\0./mm/slub.c\0/build/linux-6.1.7/fs/ext4/inode.c\0include/linux/x.c\0word.c\0"


def vmlinux(rodata: bytes = b"", text: bytes = b"", btf: bytes = b"") -> bytes:
    """A kernel with symbols; `rodata` stands behind their tables, `btf` is its section of types."""
    symbols = kallsyms_samples.entries(percpu=True)
    at = kallsyms_samples.TEXT + 0x20000
    tables = kallsyms_samples.tables(kallsyms_samples.LAYOUTS[-2], symbols, at)
    code = (kallsyms_samples.BANNER + text).ljust(0x20000, b"\xcc")
    sections = [(".text", 6, kallsyms_samples.TEXT, code), (".rodata", 2, at, tables + bytes(8) + rodata)]
    return kallsyms_samples.elf([*sections, (".BTF", 2, at + 0x100000, btf)] if btf else sections)


def of_newer_symbols() -> bytes:
    """A kernel whose names of symbols are laid out in no way that is known: the token table stands alone."""
    data = vmlinux()
    at = data.index(b"0\x001\x002\x003\x00") - 4096
    return data[: at - 8192] + b"\xff" * 8192 + data[at:]


def bzimage(**parts: bytes) -> bytes:
    return samples.bzimage(payload=samples.payload(vmlinux(**parts)))


def read(path: Path, data: bytes, questions: Questions | None = ASKED) -> KernelFacts:
    path.write_bytes(data)
    return read_kernel(path, questions=questions)


def test_an_image_says_its_digests_symbols_and_text() -> None:
    opened = open_image(bzimage(), "vmlinuz")
    facts = read_image_facts(opened, ASKED, None).facts

    assert facts.sha256 != facts.unpacked_sha256 == opened.kernel.sha256
    assert facts.symbols == len(kallsyms_samples.entries(percpu=True))
    assert (facts.text_bytes, facts.types, facts.data_symbols) == (0x20000, 0, True)
    assert facts.notes == ("vmlinuz has no BTF (CONFIG_DEBUG_INFO_BTF): match tables of built-in drivers are not told",)


def test_source_files_that_an_image_names_are_listed() -> None:
    facts = read_image_facts(open_image(bzimage(rodata=b"\0" + SOURCES), "vmlinuz"), ASKED, None).facts

    assert facts.sources == ("drivers/pci/probe.c", "fs/ext4/inode.c", "mm/slub.c")


def test_source_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    many = b"".join(b"drivers/a%d.c\0" % number for number in range(50))
    opened = open_image(vmlinux(rodata=b"\0" + many), "vmlinux")
    monkeypatch.setattr(image_facts, "MAX_SOURCES", 10)

    assert len(read_image_facts(opened, ASKED, None).facts.sources) == 10


def test_an_image_without_symbols_keeps_its_digests_and_says_so() -> None:
    bare = kallsyms_samples.elf([(".text", 6, kallsyms_samples.TEXT, kallsyms_samples.BANNER.ljust(4096, b"\xcc"))])
    reading = read_image_facts(open_image(bare, "vmlinux"), ASKED, None)

    assert reading.facts.notes == ("vmlinux holds no kallsyms: nothing is told of its code",)
    assert (reading.facts.symbols, reading.facts.text_bytes, reading.answers) == (0, 4096, {})
    assert reading.facts.sites == {}


def test_an_image_alone_answers_what_is_asked(tmp_path: Path) -> None:
    facts = read(tmp_path / "vmlinuz", bzimage())

    assert facts.image is not None
    assert facts.answers["symbol.virtio_to_dev_1"].value is True
    assert facts.answers["symbol.absent"].value is False
    assert facts.sites_counted == ("port",)


def test_without_questions_the_code_is_not_looked_at(tmp_path: Path) -> None:
    facts = read(tmp_path / "vmlinuz", samples.bzimage(), None)

    assert (facts.image, facts.answers, facts.sites_counted) == (None, {}, ())
    assert facts.release == samples.RELEASE


@pytest.mark.parametrize(
    "image",
    [
        samples.bzimage(),
        samples.bzimage(payload=samples.payload(b"\x7fELF" + bytes(100))),
        samples.bzimage(payload=b"no"),
    ],
    ids=["zeros", "no sections", "no payload"],
)
def test_an_image_without_a_kernel_in_it_is_refused_where_its_code_is_asked_about(image: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path / "vmlinuz", image)

    assert "vmlinuz" in str(error.value.place)
    assert error.value.expected


def test_a_package_is_refused_so_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no kernel that can be read in this image"):
        read(tmp_path / "k.deb", samples.deb(samples.tree()))


def packed(path: Path, image: bytes) -> KernelFacts:
    """The facts of a package with this image."""
    return read(path / "k.deb", samples.deb(samples.tree() | {f"./boot/vmlinuz-{samples.RELEASE}": image}))


def test_symbols_that_are_newer_than_their_reader_cost_a_package_nothing_else(tmp_path: Path) -> None:
    facts = packed(tmp_path, of_newer_symbols())

    assert len(facts.modules or ()) == 3
    assert (facts.image, facts.answers.get("symbol.absent")) == (None, None)
    assert [
        note
        for note in facts.notes
        if f"vmlinuz-{samples.RELEASE}+0x" in note and "nothing is told of its code" in note
    ]


def test_an_image_alone_of_such_symbols_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a token table of kallsyms without names") as error:
        read(tmp_path / "vmlinux", of_newer_symbols())

    assert error.value.place is not None
    assert error.value.place.offset is not None


def test_symbols_of_an_architecture_that_are_not_read_cost_nothing_else(tmp_path: Path) -> None:
    ppc64 = kallsyms_samples.elf([(".text", 6, 0, kallsyms_samples.BANNER.ljust(64, b"\0"))], machine=21)

    for facts in (read(tmp_path / "vmlinux", ppc64), packed(tmp_path, ppc64)):
        assert facts.release.startswith("6.")
        assert facts.image is None
        assert any("no reader for the symbols of ppc64" in note for note in facts.notes)


def newer_types() -> bytes:
    """Types of which one is of a kind that nobody knows yet."""
    types = BtfBuilder()
    types.add("novel", 99, 0)
    return types.build()


@pytest.mark.parametrize("types", [b"no types", newer_types()], ids=["damaged", "newer"])
def test_types_that_cannot_be_read_cost_built_in_drivers_and_nothing_else(types: bytes) -> None:
    reading = read_image_facts(open_image(vmlinux(btf=types), "vmlinux"), ASKED, None)

    assert reading.answers["symbol.virtio_to_dev_1"].value is True
    assert reading.facts.notes[0].startswith("vmlinux!BTF+0x")
    assert reading.facts.notes[0].endswith("match tables of built-in drivers are not told")
    assert all("cannot be read" in reason for reason in reading.facts.driver_buses.values())


def test_a_flat_image_without_symbols_keeps_what_is_known_besides(tmp_path: Path) -> None:
    facts = read(tmp_path / "Image", samples.arm64_image())
    files = samples.tree()
    files[f"./boot/vmlinuz-{samples.RELEASE}"] = samples.arm64_image()
    together = read(tmp_path / "k.deb", samples.deb(files))

    for found in (facts, together):
        assert found.release == samples.RELEASE
        assert found.image is None
        assert any("a flat kernel without kallsyms" in note and "nothing is told" in note for note in found.notes)
    assert len(together.modules or ()) == 3


def test_an_rpm_gives_the_facts_that_a_deb_gives(tmp_path: Path) -> None:
    files = samples.tree()
    files[f"./boot/vmlinuz-{samples.RELEASE}"] = bzimage(rodata=b"\0" + SOURCES)
    card = samples.module("card", ["pci:v00000009d*"], text=bytes.fromhex("edc3") * 9)
    files[f"./lib/modules/{samples.RELEASE}/kernel/drivers/card.ko"] = card
    both = [
        replace(read(tmp_path / name, pack(files)), source="", package="", notes=())
        for name, pack in (("k.deb", samples.deb), ("k.rpm", samples.rpm))
    ]
    found = {module.name: module for module in both[1].modules or ()}

    assert both[1].image is not None
    assert both[1].image.sources == ("drivers/pci/probe.c", "fs/ext4/inode.c", "mm/slub.c")
    assert found["card"].sites["port"].count == 9
    assert len(found["card"].code_sha256) == 64
    assert replace(both[0], image=None) == replace(both[1], image=None)
    assert [replace(one.image, notes=()) for one in both if one.image] == [replace(both[1].image, notes=())] * 2


def test_a_module_that_is_a_hard_link_answers_with_its_own_path() -> None:
    names = (f"lib/modules/6/kernel/{name}/virtio.ko" for name in ("a", "b"))
    original, link = names
    with tree.open_tree("k.deb", tree.Reading(ASKED)) as found:
        found.add(original, samples.module("virtio"))
        found.link(link, original, hard=True)
        modules = found.finish()["6"].modules

    assert [(file.module.path, file.answers["symbol.virtio.thing"].module) for file in modules.values()] == [
        ("kernel/a/virtio.ko", "kernel/a/virtio.ko"),
        ("kernel/b/virtio.ko", "kernel/b/virtio.ko"),
    ]


def test_hard_links_count_towards_what_a_package_may_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_ALIASES", 100)

    with tree.open_tree("k.deb", tree.Reading()) as found:
        found.add("lib/modules/6/a.ko", samples.module("a", ["pci:" + "x" * 30]))
        with pytest.raises(InputError, match="aliases and dependencies of more than"):
            for number in range(9):
                found.link(f"lib/modules/6/{number}.ko", "lib/modules/6/a.ko", hard=True)


def test_names_of_functions_and_sources_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tree, "MAX_NAMES", 3)
    monkeypatch.setattr(tree, "_length", lambda answer: 2 if isinstance(answer, Answer) else 0)
    asked = Questions(facts=frozenset({"symbol.virtio.one", "symbol.virtio.two"}))

    with pytest.raises(InputError, match="names of functions and source files of more than"):
        read(tmp_path / "k.deb", samples.deb(samples.tree() | {f"./boot/vmlinuz-{samples.RELEASE}": bzimage()}), asked)


IMAGE = vmlinux(rodata=b"\0" + SOURCES)


@settings(max_examples=60)
@given(st.integers(0, len(IMAGE) - 1), st.binary(min_size=1, max_size=16))
def test_a_damaged_image_gives_facts_or_an_error_with_its_place(at: int, damage: bytes) -> None:
    data = IMAGE[:at] + damage + IMAGE[at + len(damage) :]
    try:
        reading = read_image_facts(open_image(data, "vmlinux"), ASKED, None)
    except HostproofError as error:
        assert error.place is not None
    else:
        assert len(reading.facts.sha256) == 64
