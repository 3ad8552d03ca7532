"""The digest of code: what leaves it as it is, and what changes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel.code_digest import code_digest, source_name
from hostproof.artefacts.kernel.elf import read_elf
from hostproof.artefacts.kernel.module import read_module
from hostproof.artefacts.kernel.module_code import read_code
from tests.artefacts.kernel import module_samples as make
from tests.artefacts.kernel.module_samples import ABS32, PC32, Item, Reloc, build, function, text, thing

CALL = b"\xe8\0\0\0\0"
MOV = b"\x48\xc7\xc7\0\0\0\0"  # mov $address, %rdi
LOAD = b"\x8b\x05\0\0\0\0"  # mov object(%rip), %eax
COMPARE = b"\x83\x3d\0\0\0\0\x01"  # cmpl $1, object(%rip)
STORE = b"\xc7\x05\0\0\0\0\x01\0\0\0"  # movl $1, object(%rip)
STORE_WORD = b"\x66\xc7\x05\0\0\0\0\x01\0"  # movw $1, object(%rip)


def digest(*items: Item, **layout: object) -> str:
    return code_digest(read_code(read_elf(build(items, **layout), "sample.ko")))  # type: ignore[arg-type]


def driver(
    *,
    shift: bytes = b"",
    extra: bytes = b"",
    serial: int = 1,
    callee: str = "kfree",
    target: str = "key",
    inside: int = 0,
    jump: int = 1,
    anonymous: bool = True,
    body: bytes = b"\x90" * 8,
) -> tuple[Item, ...]:
    """A driver whose function uses an import, a string, named objects and a part in another section. `shift` moves the
    data, `extra` changes a table that code uses, `serial` is what the compiler counts up.
    """
    names = {"key": f"__key.{serial}", "debug": f"__UNIQUE_ID_ddebug{serial}.{serial + 3}", "table": "table"}

    def at(position: int, name: str, kind: int = PC32, addend: int = -4) -> Reloc:
        return Reloc(position, names[name], kind, addend, anonymous)

    code = CALL + MOV + LOAD + COMPARE + STORE + STORE_WORD + CALL + body
    relocs = (
        Reloc(1, callee),
        Reloc(8, ".rodata.str1.1", ABS32, len(shift)),
        at(14, target, PC32, inside - 4),
        at(20, "debug", PC32, -5),
        at(27, "table", PC32, -8),
        at(38, "table", PC32, -6),
        Reloc(44, "probe.cold", make.PLT32, jump - 4, anonymous),
    )
    return (
        function("probe", code, *relocs),
        function("probe.cold", CALL + b"\x90" * 4, Reloc(1, "probe", anonymous=True), section=".text.unlikely"),
        thing("unrelated", b"\0" * 4 + shift),
        thing(names["key"], bytes(8)),
        thing(names["debug"], bytes(16), section="__dyndbg"),
        thing("table", bytes(8) + extra, section=".rodata", gap=shift),
        text(shift + b"hello\0"),
    )


SAME: dict[str, Callable[[], str]] = {
    "data that moved": lambda: digest(*driver(shift=b"\x11" * 24)),
    "a table with more entries": lambda: digest(*driver(extra=b"another entry")),
    "other serial numbers": lambda: digest(*driver(serial=77)),
    "targets written as symbols": lambda: digest(*driver(anonymous=False)),
    "other imports before": lambda: digest(*driver(), symbols_first=["a", "b", "c"]),
    "code for initialisation": lambda: digest(*driver(), function("init_module", CALL, section=".init.text")),
    "another name": lambda: digest(*driver(), name="another"),
}
OTHER: dict[str, Callable[[], str]] = {
    "another callee": lambda: digest(*driver(callee="kvfree")),
    "another object": lambda: digest(*driver(target="table")),
    "another field of an object": lambda: digest(*driver(inside=4)),
    "a jump to another place": lambda: digest(*driver(jump=3)),
    "a changed byte": lambda: digest(*driver(body=b"\x90" * 7 + b"\xcc")),
    "a byte more": lambda: digest(*driver(body=b"\x90" * 9)),
    "code in a further section": lambda: digest(*driver(), function("f", CALL, section=".text.more")),
}


@pytest.mark.parametrize("change", SAME)
def test_a_rebuild_that_changed_nothing_relevant_keeps_the_digest(change: str) -> None:
    assert SAME[change]() == digest(*driver())


@pytest.mark.parametrize("change", OTHER)
def test_changed_code_changes_the_digest(change: str) -> None:
    assert OTHER[change]() != digest(*driver())


@settings(max_examples=50)
@given(
    shift=st.binary(max_size=64), extra=st.binary(max_size=40), serial=st.integers(0, 10**6), anonymous=st.booleans()
)
def test_the_digest_survives_every_layout_of_data_and_every_serial_number(
    shift: bytes, extra: bytes, serial: int, anonymous: bool
) -> None:
    assert digest(*driver(shift=shift, extra=extra, serial=serial, anonymous=anonymous)) == digest(*driver())


@settings(max_examples=200)
@given(st.data())
def test_every_flipped_bit_of_code_changes_the_digest(data: st.DataObject) -> None:
    plain = build(driver())
    elf = read_elf(plain, "x")
    code = [section for section in elf.text() if section.size]
    section = data.draw(st.sampled_from(code))
    raw = bytearray(plain)
    raw[section.offset + data.draw(st.integers(0, section.size - 1))] ^= 1 << data.draw(st.integers(0, 7))

    assert code_digest(read_code(read_elf(bytes(raw), "x"))) != digest(*driver())


@settings(max_examples=100)
@given(st.data())
def test_every_changed_place_type_or_symbol_of_a_relocation_changes_the_digest(data: st.DataObject) -> None:
    plain = build(driver(anonymous=False))
    elf = read_elf(plain, "x")
    section = next(
        section for section in elf.sections if section.type == 4 and elf.section_name(section) == b".rela.text"
    )
    row = section.offset + 24 * data.draw(st.integers(0, section.size // 24 - 1))
    raw = bytearray(plain)
    if data.draw(st.booleans()):
        raw[row + data.draw(st.sampled_from([0, 8]))] ^= data.draw(st.sampled_from([1, 2]))
    else:
        code = read_code(elf)
        named = [index for index, name in enumerate(code.names(range(len(code.position)))) if name]
        other = data.draw(st.sampled_from([index for index in named if index != raw[row + 12]]))
        raw[row + 12] = other

    assert code_digest(read_code(read_elf(bytes(raw), "x"))) != code_digest(read_code(elf))


def test_the_digest_is_the_same_in_either_order_of_relocations() -> None:
    probe, *rest = driver()
    backwards = Item(probe.name, probe.data, tuple(reversed(probe.relocs)))

    assert digest(backwards, *rest) == digest(*driver())


@pytest.mark.parametrize(
    ("layout", "kind", "addend"),
    [
        ({"machine": 183}, 275, 0),  # R_AARCH64_ADR_PREL_PG_HI21
        ({"machine": 22, "order": "big"}, 19, 2),  # R_390_PC32DBL
    ],
)
def test_other_architectures_keep_the_digest_when_data_moves(layout: dict[str, object], kind: int, addend: int) -> None:
    def made(shift: bytes, target: str = "__key.1") -> str:
        code = function("f", bytes(8), Reloc(2, target, kind, addend, anonymous=True))
        return digest(code, thing("other", bytes(8) + shift), thing("__key.1", bytes(8)), **layout)

    assert made(bytes(24)) == made(b"")
    assert made(b"", "other") != made(b"")


def test_addends_in_the_code_of_i386_are_read_and_left_out() -> None:
    """REL: the offset of the object stands in the instruction."""

    def made(shift: int, inside: int = 0) -> str:
        address = (4 + shift + inside).to_bytes(4, "little")
        code = function("f", b"\xa1" + address + b"\xc3", Reloc(1, ".data", 1))  # mov object, %eax; ret
        items = [code, thing("other", bytes(4 + shift)), thing("__key.1", bytes(8))]
        return digest(*items, bits=32, machine=3, rela=False)

    assert made(40) == made(0)
    assert made(0, 4) != made(0)


def test_names_lose_what_compilers_count_up() -> None:
    names = {
        b"__key.45": b"__key",
        b"foo.isra.0.cold": b"foo.isra.cold",
        b"__UNIQUE_ID_ddebug925.10": b"__UNIQUE_ID_ddebug",
        b"__UNIQUE_ID___addressable_probe_12": b"__UNIQUE_ID___addressable_probe",
        b"bar_2": b"bar_2",
        b"crc32": b"crc32",
    }

    assert {name: source_name(name) for name in names} == names


SERIES = ("6.1.190", "6.1.192")
CHANGED_BY_TARGET_ALONE = {
    "adis16136",  # iio: gyro: adis16136: fix unprotected debugfs reads
    "adis16480",  # iio: imu: adis16480: fix unprotected debugfs reads
    "cpu5wdt",  # watchdog: cpu5wdt.c: Fix use-after-free bug caused by cpu5wdt_trigger
    "snd_soc_hdac_hda",  # ASoC: hdac_hda: Fix hlink refcount leak on component registration failure
}


PACKAGE = "linux-image-6.1.0-[0-9][0-9]-{flavour}amd64-unsigned_{version}-1_amd64.deb"


@pytest.fixture(scope="module")
def kernels() -> Path:
    name = os.environ.get("HOSTPROOF_KERNELS")
    if not name or any(
        not list(Path(name).glob(f"linux-image-6.1.0-*-unsigned_{each}-1_amd64.deb")) for each in SERIES
    ):
        pytest.skip("no kernel packages 6.1.190 and 6.1.192: set HOSTPROOF_KERNELS")
    return Path(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flavour", "count", "same_text", "same_code"), [("cloud-", 1121, 774, 774), ("", 4023, 3055, 3051)]
)
def test_digests_survive_a_point_release_wherever_the_code_did(
    kernels: Path, flavour: str, count: int, same_text: int, same_code: int
) -> None:
    """Where text is the same to the byte, code is too, but in four drivers whose changelog names the change. Wherever text
    differs it is other machine code: in half of these modules by offsets of fields alone, as headers changed structures.
    """
    for version in SERIES:
        if not list(kernels.glob(PACKAGE.format(flavour=flavour, version=version))):
            pytest.skip(f"no package of {flavour or 'stock'} {version}: set HOSTPROOF_KERNELS")
    old, new = (
        {path: (data, read_module(data, path, path).module) for path, data in modules_of(kernels, flavour, version)}
        for version in SERIES
    )
    text = {path for path in old if old[path][1].text_sha256 == new[path][1].text_sha256}
    code = {
        path for path in old if len({code_digest(read_code(read_elf(each[path][0], path))) for each in (old, new)}) == 1
    }

    assert old.keys() == new.keys()
    assert (len(old), len(text), len(code)) == (count, same_text, same_code)
    assert code <= text
    assert {old[path][1].name for path in text - code} == (set() if flavour else CHANGED_BY_TARGET_ALONE)


def modules_of(kernels: Path, flavour: str, version: str) -> list[tuple[str, bytes]]:
    from tests.artefacts.kernel.packages import modules

    package = next(kernels.glob(PACKAGE.format(flavour=flavour, version=version)))
    return list(modules(package))
