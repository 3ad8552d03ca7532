"""Instructions that read what a host answers, found in code assembled by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel import instructions
from hostproof.artefacts.kernel.instructions import MNEMONICS, Piece, find_in_many, find_instructions, sweep
from hostproof.errors import InputError

X86 = sorted(MNEMONICS["x86_64"])
FORMS = {
    "in": ("e4 70", "e5 70", "ec", "ed", "66 ed"),
    "out": ("e6 70", "e7 70", "ee", "ef", "66 ef"),
    "ins": ("6c", "6d", "f3 6c", "f3 66 6d"),
    "outs": ("6e", "6f", "f3 66 6f"),
    "rdmsr": ("0f 32",),
    "wrmsr": ("0f 30",),
    "wrmsrns": ("0f 01 c6",),
    "rdmsrlist": ("f2 0f 01 c6",),
    "wrmsrlist": ("f3 0f 01 c6",),
    "cpuid": ("0f a2",),
    "rdtsc": ("0f 31",),
    "rdtscp": ("0f 01 f9",),
    "rdpmc": ("0f 33",),
    "rdrand": ("0f c7 f0", "48 0f c7 f1", "41 0f c7 f4"),
    "rdseed": ("0f c7 f8", "48 0f c7 f9"),
    "rdpid": ("f3 0f c7 f8",),
    "vmcall": ("0f 01 c1",),
    "vmmcall": ("0f 01 d9",),
    "vmgexit": ("f3 0f 01 d9", "f2 0f 01 d9"),
    "tdcall": ("66 0f 01 cc",),
    "seamcall": ("66 0f 01 cf",),
    "pvalidate": ("f2 0f 01 ff",),
    "psmash": ("f3 0f 01 ff",),
    "rmpupdate": ("f2 0f 01 fe",),
    "rmpadjust": ("f3 0f 01 fe",),
    "hlt": ("f4",),
    "ud2": ("0f 0b",),
    "sgdt": ("0f 01 04 24", "0f 01 05 01020304"),
    "sidt": ("0f 01 4c 24 08",),
    "smsw": ("0f 01 e0",),
    "sldt": ("0f 00 c0",),
    "str": ("0f 00 c8",),
    "xgetbv": ("0f 01 d0",),
    "xsetbv": ("0f 01 d1",),
    "invd": ("0f 08",),
    "wbinvd": ("0f 09",),
}
NEITHER = {
    "0f 01 ca": "clac",
    "0f 01 14 24": "lgdt",
    "0f c7 0f": "cmpxchg8b",
    "0f c7 37": "vmptrld, in memory as rdrand never is",
    "0f 01 cc": "tdcall without 66",
    "f3 0f 09": "wbnoinvd",
    "b8 0f32 0fa2": "mov eax, imm32 with the bytes of rdmsr and cpuid",
    "48 83 ec 20": "sub rsp, 0x20: ec is ModRM",
    "48 8b 44 24 6c": "mov rax, [rsp + 0x6c]",
    "e8 ec0f3200": "call rel32 with the bytes of in and rdmsr",
}


def test_every_instruction_has_an_example() -> None:
    assert sorted(FORMS) == X86


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, codes in FORMS.items() for code in codes])
def test_an_instruction_is_found_and_taken_for_no_other(name: str, code: str) -> None:
    function = bytes.fromhex("55") + bytes.fromhex(code) + bytes.fromhex("5d c3")
    expected = {each: [1] if each == name else [] for each in X86}

    actual = find_instructions(function, [0], "x86_64", X86)

    assert expected == actual


@pytest.mark.parametrize("code", NEITHER, ids=NEITHER.values())
def test_bytes_that_only_look_like_an_instruction_are_not_one(code: str) -> None:
    function = bytes.fromhex(code) + bytes.fromhex("c3")
    expected: dict[str, list[int]] = {each: [] for each in X86}

    actual = find_instructions(function, [0], "x86_64", X86)

    assert expected == actual


def test_offsets_rise_and_count_from_the_first_byte_of_the_code() -> None:
    code = bytes.fromhex("0f32 c3 cccc ec c3 cc 0fa2 0f32 c3")

    actual = find_instructions(code, [0, 5, 8], "x86_64", ["rdmsr", "in"])

    assert actual == {"in": [5], "rdmsr": [0, 10]}


def test_code_before_the_first_start_is_swept_too() -> None:
    code = bytes.fromhex("0f32 c3 0f32 c3")

    actual = find_instructions(code, [3], "x86_64", ["rdmsr"])

    assert actual == {"rdmsr": [0, 3]}


def test_starts_outside_the_code_do_not_count() -> None:
    code = bytes.fromhex("0f32 c3")

    actual = find_instructions(code, [-5, 0, 3, 1 << 40], "x86_64", ["rdmsr"])

    assert actual == {"rdmsr": [0]}


def test_an_instruction_that_is_cut_off_is_not_found() -> None:
    actual = find_instructions(bytes.fromhex("90 0f"), [0], "x86_64", ["rdmsr", "cpuid"])

    assert actual == {"rdmsr": [], "cpuid": []}


def test_a_memoryview_is_code_too() -> None:
    actual = find_instructions(memoryview(bytes.fromhex("90 0f32")), [], "x86_64", ["rdmsr"])

    assert actual == {"rdmsr": [1]}


def test_bytes_that_are_no_instruction_are_counted_in_functions_that_are_swept() -> None:
    swept = bytes.fromhex("06 06 0f32 c3")
    skipped = bytes.fromhex("06 06 06 c3")

    actual = sweep([(swept, [0]), (skipped, [0])], "x86_64", ["rdmsr"])

    assert [each.undecoded for each in actual] == [2, 0]
    assert [each.found["rdmsr"] for each in actual] == [[2], []]


def test_pieces_swept_together_give_what_they_give_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[Piece] = [
        (bytes.fromhex("b8 0f"), [0]),  # cut off: it must not reach into the next piece
        (bytes.fromhex("0f32 c3"), [0]),
        (b"", []),
        (bytes.fromhex("90 ec c3 0f32"), [0, 3]),
    ]
    expected = [find_instructions(code, starts, "x86_64", ["in", "rdmsr"]) for code, starts in pieces]

    assert expected == find_in_many(pieces, "x86_64", ["in", "rdmsr"])

    monkeypatch.setattr(instructions, "_GROUP", 2)

    assert expected == find_in_many(pieces, "x86_64", ["in", "rdmsr"])
    assert [each["rdmsr"] for each in expected] == [[], [0], [], [3]]


def test_instructions_of_aarch64_are_words() -> None:
    words = (0xD4000002, 0xD4000003, 0xD53BE040, 0xD5380000, 0xD53B2400, 0xD503207F, 0xD65F03C0)
    code = struct.pack(f"<{len(words)}I", *words)
    asked = ["hvc", "smc", "mrs", "mrs_cntvct_el0", "mrs_midr_el1", "mrs_id", "mrs_rndr", "wfi", "in"]

    actual = find_instructions(code, [0], "aarch64", asked)

    assert actual == {
        "hvc": [0],
        "smc": [4],
        "mrs": [8, 12, 16],
        "mrs_cntvct_el0": [8],
        "mrs_midr_el1": [12],
        "mrs_id": [12],
        "mrs_rndr": [16],
        "wfi": [20],
        "in": [],
    }


def test_instructions_of_another_architecture_are_found_nowhere() -> None:
    assert find_instructions(b"\x0f\x32", [0], "s390x", ["rdmsr"]) == {"rdmsr": []}
    assert find_instructions(b"\x0f\x32", [0], "x86_64", ["hvc"]) == {"hvc": []}


def test_an_instruction_that_no_architecture_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no such instruction: rdmrs"):
        find_instructions(b"", [], "x86_64", ["rdmrs"])


@given(st.lists(st.tuples(st.binary(max_size=120), st.lists(st.integers(-3, 130), max_size=5)), max_size=6))
def test_any_bytes_are_swept(pieces: list[tuple[bytes, list[int]]]) -> None:
    together = find_in_many(pieces, "x86_64", X86)

    assert [find_instructions(code, starts, "x86_64", X86) for code, starts in pieces] == together
    for (code, _), found in zip(pieces, together, strict=True):
        assert all(0 <= offset < len(code) for offsets in found.values() for offset in offsets)


@given(st.binary(max_size=200))
def test_any_bytes_of_aarch64_are_searched(code: bytes) -> None:
    actual = find_instructions(code, [], "aarch64", sorted(MNEMONICS["aarch64"]))

    assert all(offset % 4 == 0 and offset + 4 <= len(code) for found in actual.values() for offset in found)


def test_code_made_to_be_slow_takes_no_longer_than_its_size() -> None:
    """Nothing but prefixes before each candidate, and nothing but candidates."""
    prefixes = (b"\x66" * 14 + b"\xec") * 20_000

    assert len(find_instructions(prefixes, [], "x86_64", ["in"])["in"]) == 20_000
    assert not find_instructions(b"\x66" * 300_000 + b"\xec", [], "x86_64", ["out"])["out"]
    assert len(find_instructions(b"\xec" * 50_000, [], "x86_64", ["in"])["in"]) == 50_000


@pytest.mark.parametrize("code", ["e4", "0f", "0f 01", "0f c7", "66 0f 01", "0f 00"])
def test_an_instruction_does_not_reach_into_the_next_piece(code: str) -> None:
    pieces: list[Piece] = [(bytes.fromhex(code), []), (bytes.fromhex("cc cc"), []), (bytes.fromhex("f032c3"), [])]

    actual = find_in_many(pieces, "x86_64", X86)

    assert not any(offsets for found in actual for offsets in found.values())


def test_what_is_no_code_is_refused() -> None:
    with pytest.raises(InputError, match="300000 of which look like"):
        find_instructions(b"\xec" * 300_000, [], "x86_64", ["in"])
