"""What a module answers: its symbols, what its functions call, which source files it names."""

from __future__ import annotations

import pytest

from hostproof.artefacts.kernel.elf import read_elf
from hostproof.artefacts.kernel.facts import Answer
from hostproof.artefacts.kernel.module import read_module
from hostproof.artefacts.kernel.module_answers import MAX_SOURCES, source_files
from hostproof.artefacts.kernel.questions import Questions
from tests.artefacts.kernel import module_samples as make
from tests.artefacts.kernel.module_samples import Item, Reloc, build, function, text, thing

PATH = "drivers/a/sample.ko"
CALL = b"\xe8\0\0\0\0"
DRIVER = (
    # f: call kfree; call g (in this section, no relocation); cmp eax, pointer to printk; jne f.cold; call *%rax; jmp f
    function(
        "f",
        CALL + b"\xe8\x12\0\0\0" + b"\x48\x3d\0\0\0\0" + b"\x0f\x85\0\0\0\0" + b"\xff\xd0" + b"\xeb\xe6" + b"\xc3\xcc",
        Reloc(1, "kfree"),
        Reloc(12, "printk", make.ABS32, 0),
        Reloc(18, "f.cold", anonymous=True),
    ),
    function("g.isra.0", b"\xc3"),
    function("f.cold", CALL * 2, Reloc(1, "__warn"), Reloc(6, "g.isra.0", anonymous=True), section=".text.unlikely"),
    thing("ops", bytes(8)),
)


def answers(*facts: str, items: tuple[Item, ...] = DRIVER, **layout: object) -> dict[str, Answer]:
    data = build(items, **layout)  # type: ignore[arg-type]
    return read_module(data, PATH, "k.deb!sample.ko", questions=Questions(facts=frozenset(facts))).answers


def test_a_symbol_is_found_under_its_name_in_the_source_with_its_place_in_the_file() -> None:
    data = build(DRIVER)
    text_at = next(section.offset for section in read_elf(data, "x").text())
    found = answers("symbol.sample.g", "symbol.sample.ops", "symbol.sample.h", "symbol.sample.kfree")

    assert found["symbol.sample.g"] == Answer(True, "g.isra.0", text_at + 28, PATH)
    assert found["symbol.sample.ops"].value is True
    assert found["symbol.sample.h"] == Answer(False, module=PATH)
    assert found["symbol.sample.kfree"] == Answer(False, module=PATH)  # imported, not its own


def test_questions_about_the_image_and_other_modules_are_not_answered() -> None:
    assert answers("symbol.f", "calls.f", "symbol.other.f", "instruction.in", "parameter.sample.f") == {}


def test_calls_are_relocations_and_branches_inside_the_module_with_the_parts_split_off() -> None:
    found = answers("calls.sample.f")["calls.sample.f"]

    assert (found.value, found.symbol, found.module) == (("__warn", "g", "kfree"), "f", PATH)


def test_calls_on_aarch64() -> None:
    code = b"\x00\x00\x00\x94" + b"\x02\x00\x00\x94" + b"\xc0\x03\x5f\xd6"  # bl kfree; bl g; ret
    items = (function("f", code, Reloc(0, "kfree", make.CALL26, 0)), function("g", b"\xc0\x03\x5f\xd6"))
    found = answers("calls.sample.f", items=items, machine=183)["calls.sample.f"]

    assert found.value == ("g", "kfree")


@pytest.mark.parametrize(
    ("fact", "layout", "note"),
    [
        ("calls.sample.h", {}, "may be inlined"),
        ("calls.sample.ops", {}, "may be inlined"),
        ("calls.sample.f", {"machine": 22, "order": "big"}, "s390x code are not decoded"),
    ],
)
def test_what_cannot_be_told_is_unknown_and_says_why(fact: str, layout: dict[str, object], note: str) -> None:
    found = answers(fact, **layout)[fact]

    assert found.value is None
    assert note in found.note


def test_a_function_of_megabytes_is_not_decoded() -> None:
    found = answers("calls.sample.f", items=(function("f", bytes(2 << 20)),))["calls.sample.f"]

    assert (found.value, "2097152 bytes" in found.note) == (None, True)


def sources(*texts: bytes, section: str = ".rodata.str1.1") -> tuple[str, ...]:
    items = [function("f", CALL), *(text(each + b"\0", section) for each in texts)]
    return source_files(read_elf(build(items), "sample.ko"))


def test_source_files_are_paths_of_the_kernel_tree() -> None:
    named = sources(
        b"include/linux/skbuff.c",
        b"drivers/net/virtio_net.c",
        b"/build/reproducible-path/linux-7.2.13/drivers/net/tun.c",
        b"./arch/x86/kvm/svm/sev.c",
        b"net/core/dev.c",
    )

    assert named == ("arch/x86/kvm/svm/sev.c", "drivers/net/tun.c", "drivers/net/virtio_net.c", "net/core/dev.c")


@pytest.mark.parametrize(
    "other",
    [
        b"virtio_net.c",
        b"drivers/net/virtio_net.h",
        b"see drivers/net/tun.c",
        b"/etc/drivers/a.c",
        b"tools/a.c",
        b"arch/x86/include/asm/a.c",
    ],
)
def test_other_texts_are_no_source_files(other: bytes) -> None:
    assert sources(other) == ()


def test_code_and_data_are_not_searched_for_source_files() -> None:
    assert sources(b"drivers/net/tun.c", section=".data") == ()


def test_source_files_are_bounded() -> None:
    assert len(sources(*(b"drivers/a/%d.c" % number for number in range(100)))) == MAX_SOURCES


def test_texts_without_end_do_not_take_long() -> None:
    assert sources(b"drivers/" + b"a" * 1_000_000 + b".c", b".c\0" * 100_000) == ()
