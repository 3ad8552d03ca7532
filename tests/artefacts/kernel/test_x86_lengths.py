"""Lengths of x86-64 instructions: one example of each form, assembled by hand from the manuals' opcode maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel import x86_lengths
from hostproof.artefacts.kernel.x86_lengths import LIMIT, REACH, follow, lengths

INSTRUCTIONS = {
    # one byte
    "90": "nop",
    "c3": "ret",
    "55": "push rbp",
    "f4": "hlt",
    "cc": "int3",
    "9b": "fwait",
    "6c": "insb",
    "ec": "in al, dx",
    # immediates
    "e5 10": "in eax, 0x10",
    "cd 80": "int 0x80",
    "6a 01": "push 1",
    "68 01020304": "push imm32",
    "c2 0800": "ret 8",
    "c8 100000": "enter",
    "04 01": "add al, 1",
    "05 01020304": "add eax, imm32",
    "a8 01": "test al, 1",
    "a9 01020304": "test eax, imm32",
    "b0 01": "mov al, 1",
    "b8 01020304": "mov eax, imm32",
    "eb fe": "jmp rel8",
    "74 05": "je rel8",
    "e3 05": "jrcxz",
    "e8 01020304": "call rel32",
    "e9 01020304": "jmp rel32",
    "a0 0102030405060708": "mov al, [moffs64]",
    # ModRM, SIB and displacement
    "89 c3": "mov ebx, eax",
    "8b 03": "mov eax, [rbx]",
    "8b 05 01020304": "mov eax, [rip + disp32]",
    "8b 43 08": "mov eax, [rbx + 8]",
    "8b 83 01020304": "mov eax, [rbx + disp32]",
    "8b 04 24": "mov eax, [rsp]",
    "8b 44 24 08": "mov eax, [rsp + 8]",
    "8b 84 24 01020304": "mov eax, [rsp + disp32]",
    "8b 04 25 01020304": "mov eax, [disp32]",
    "8b 04 85 01020304": "mov eax, [rax*4 + disp32]",
    "8b 44 85 08": "mov eax, [rbp + rax*4 + 8]",
    "83 c0 01": "add eax, 1",
    "81 c0 01020304": "add eax, imm32",
    "81 84 24 01020304 05060708": "add dword [rsp + disp32], imm32",
    "80 3d 01020304 05": "cmp byte [rip + disp32], 5",
    "69 c0 01020304": "imul eax, eax, imm32",
    "6b c0 05": "imul eax, eax, 5",
    "c1 e0 04": "shl eax, 4",
    "d1 e0": "shl eax, 1",
    "c6 00 01": "mov byte [rax], 1",
    "c7 00 01020304": "mov dword [rax], imm32",
    "c7 04 25 01020304 05060708": "mov dword [disp32], imm32",
    "f6 c0 01": "test al, 1",
    "f6 d0": "not al",
    "f7 c0 01020304": "test eax, imm32",
    "f7 d8": "neg eax",
    "f7 44 24 08 01020304": "test dword [rsp + 8], imm32",
    "fe c0": "inc al",
    "ff d0": "call rax",
    "ff 15 01020304": "call [rip + disp32]",
    "ff 24 c5 01020304": "jmp [rax*8 + disp32]",
    "8f 00": "pop [rax]",
    "d8 c1": "fadd st, st1",
    "dd 45 08": "fld qword [rbp + 8]",
    # REX
    "48 89 e5": "mov rbp, rsp",
    "41 57": "push r15",
    "48 b8 0102030405060708": "movabs rax, imm64",
    "41 b8 01020304": "mov r8d, imm32",
    "48 c7 c0 01020304": "mov rax, imm32",
    "48 81 ec 01020304": "sub rsp, imm32",
    "4c 8b 64 24 08": "mov r12, [rsp + 8]",
    "49 8b 04 24": "mov rax, [r12]",
    "41 ff e3": "jmp r11",
    "40 48 89 d8": "mov rax, rbx after a REX that does not count",
    # legacy prefixes
    "66 90": "xchg ax, ax",
    "66 b8 0102": "mov ax, imm16",
    "66 81 c0 0102": "add ax, imm16",
    "66 c7 00 0102": "mov word [rax], imm16",
    "66 f7 c0 0102": "test ax, imm16",
    "66 f7 d8": "neg ax",
    "66 69 c0 0102": "imul ax, ax, imm16",
    "66 a9 0102": "test ax, imm16",
    "66 68 0102": "push imm16",
    "66 48 c7 c0 01020304": "mov rax, imm32: REX.W wins over 66",
    "66 e9 01020304": "jmp rel32: 66 changes no near branch on Intel's processors",
    "67 a1 01020304": "mov eax, [moffs32]",
    "67 8b 45 00": "mov eax, [ebp]",
    "65 48 8b 04 25 01020304": "mov rax, gs:[disp32]",
    "f0 48 0f b1 0a": "lock cmpxchg [rdx], rcx",
    "f3 a4": "rep movsb",
    "f3 66 6d": "rep insw",
    "f3 48 a5": "rep movsq",
    "66 66 2e 0f 1f 84 00 00000000": "nop of 11 bytes",
    "66 66 66 66 66 66 2e 0f 1f 84 00 00000000": "nop of 15 bytes",
    "40 66 b8 0102": "mov ax, imm16 after a REX that does not count",
    "f2 ff 25 01020304": "bnd jmp [rip + disp32]",
    # 0f
    "0f 05": "syscall",
    "0f 0b": "ud2",
    "0f 30": "wrmsr",
    "0f 31": "rdtsc",
    "0f 32": "rdmsr",
    "0f a2": "cpuid",
    "0f 77": "emms",
    "0f c8": "bswap eax",
    "0f 01 c1": "vmcall",
    "0f 01 f9": "rdtscp",
    "66 0f 01 cc": "tdcall",
    "f3 0f 01 d9": "vmgexit",
    "f2 0f 01 ff": "pvalidate",
    "0f 01 14 24": "lgdt [rsp]",
    "0f 20 c0": "mov rax, cr0",
    "0f 22 d8": "mov cr3, rax",
    "0f 20 04": "mov rsp, cr0: ModRM names registers whatever its mod",
    "0f 1f 44 00 00": "nop [rax + rax]",
    "0f 84 01020304": "je rel32",
    "0f 94 c0": "sete al",
    "0f ae f0": "mfence",
    "0f b6 c0": "movzx eax, al",
    "0f b9 cc": "ud1 ecx, esp",
    "67 0f b9 40 f6": "ud1 eax, [eax - 10]: a trap of the undefined behaviour sanitiser",
    "0f ba e0 05": "bt eax, 5",
    "0f a4 c2 05": "shld edx, eax, 5",
    "0f c7 f0": "rdrand eax",
    "0f c7 0f": "cmpxchg8b [rdi]",
    "f3 0f 1e fa": "endbr64",
    "f3 48 0f b8 c0": "popcnt rax, rax",
    "66 0f 70 c0 1b": "pshufd",
    "66 0f 71 d0 08": "psrlw xmm0, 8",
    "0f c6 c0 00": "shufps",
    "0f 0f c1 9e": "pfadd (3DNow!)",
    "48 0f a7 c0": "xstore (PadLock)",
    # 0f 38, 0f 3a
    "66 0f 38 00 c1": "pshufb xmm0, xmm1",
    "f2 48 0f 38 f1 06": "crc32 rax, [rsi]",
    "0f 38 f0 44 24 08": "movbe eax, [rsp + 8]",
    "66 0f 3a 0f c1 08": "palignr xmm0, xmm1, 8",
    "66 0f 3a 44 44 24 08 11": "pclmulqdq xmm0, [rsp + 8], 17",
    # VEX, EVEX, XOP
    "c5 f8 77": "vzeroupper",
    "c5 f9 6f 06": "vmovdqa xmm0, [rsi]",
    "c5 f9 6f 44 24 10": "vmovdqa xmm0, [rsp + 16]",
    "c5 f9 70 c0 1b": "vpshufd",
    "c4 e2 79 00 c1": "vpshufb",
    "c4 e2 78 49 c0": "tilerelease",
    "c4 e3 79 0f c1 08": "vpalignr",
    "c4 e1 f9 6e c0": "vmovq xmm0, rax",
    "c4 e1 79 c4 c0 03": "vpinsrw",
    "c4 e7 7b f6 c0 10000000": "rdmsr eax, imm32",
    "62 f1 7d 48 6f 06": "vmovdqa32 zmm0, [rsi]",
    "62 f1 7d 48 6f 46 01": "vmovdqa32 zmm0, [rsi + 64]",
    "62 f1 7d 48 72 d0 08": "vpsrld zmm0, zmm0, 8",
    "62 f2 7d 48 00 c1": "vpshufb zmm0, zmm0, zmm1",
    "62 f3 7d 48 0f c1 08": "vpalignr zmm0, zmm0, zmm1, 8",
    "8f e8 78 c0 c1 05": "vprotb xmm0, xmm1, 5",
    "8f e9 78 81 c1": "vfrczpd xmm0, xmm1",
    "8f ea 78 10 c1 01020304": "bextr eax, ecx, imm32",
}

NONE = {
    "06": "push es",
    "60": "pusha",
    "82 c0 01": "add of 82",
    "9a": "far call",
    "ea": "far jmp",
    "d4 0a": "aam",
    "ff f8": "ff /7",
    "ff d8": "far call in a register",
    "fe d0": "fe /2",
    "c6 c8 01": "c6 /1",
    "8f d0 00": "8f with a map that is none",
    "8d c0": "lea of a register",
    "0f 04": "0f 04",
    "0f 3b": "0f 3b",
    "0f 24 c0": "mov of a test register",
    "c4 e0 79 00 c1": "VEX of map 0",
    "62 f4 7d 48 00 c1": "EVEX of map 4",
    "66" * 15 + "90": "more than 15 bytes",
}


@pytest.mark.parametrize("code", INSTRUCTIONS, ids=INSTRUCTIONS.values())
@pytest.mark.parametrize("behind", ["00", "ff", "25"])
def test_an_instruction_has_its_length_whatever_stands_behind_it(code: str, behind: str) -> None:
    instruction = bytes.fromhex(code)

    actual = lengths(instruction + bytes.fromhex(behind) * REACH)

    assert len(instruction) == actual[0]


@pytest.mark.parametrize("code", NONE, ids=NONE.values())
def test_what_is_no_instruction_has_no_length(code: str) -> None:
    actual = lengths(bytes.fromhex(code) + bytes(REACH))

    assert actual[0] == 0


def test_an_instruction_may_cross_the_border_of_two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    code = b"".join(map(bytes.fromhex, INSTRUCTIONS)) * 3
    whole = lengths(code)
    monkeypatch.setattr(x86_lengths, "_BLOCK", 7)

    actual = lengths(code)

    assert whole.tolist() == actual.tolist()


@given(st.binary(max_size=400))
def test_any_bytes_have_lengths_of_at_most_15(code: bytes) -> None:
    actual = lengths(code)

    assert len(code) == actual.size
    assert actual.max(initial=0) <= LIMIT


@given(st.binary(min_size=REACH, max_size=200), st.integers(0, 168))
def test_a_length_depends_only_on_the_bytes_from_there_on(code: bytes, start: int) -> None:
    start = min(start, len(code) - REACH)

    expected = lengths(code[start:])

    assert expected[0] == lengths(code)[start]


def test_a_sweep_follows_instructions_and_not_the_bytes_inside_them() -> None:
    hidden = bytes.fromhex("b8 0f320000  0f32  c3")  # mov eax, 0x320f; rdmsr; ret

    reached, lost = follow(hidden + bytes(REACH), np.array([0]), np.array([1, 5]))

    assert reached == [(5, 5)]
    assert not lost


def test_a_sweep_gives_the_start_of_an_instruction_with_prefixes() -> None:
    code = bytes.fromhex("90 f366 6d c3")  # nop; rep insw; ret

    reached, _ = follow(code + bytes(REACH), np.array([0]), np.array([3]))

    assert reached == [(1, 3)]


def test_a_sweep_starts_afresh_at_every_function() -> None:
    first = bytes.fromhex("b8 00")  # cut off: it would swallow the next function's first bytes
    code = first + bytes.fromhex("0f32 c3")

    alone, _ = follow(code + bytes(REACH), np.array([0]), np.array([2]))
    both, _ = follow(code + bytes(REACH), np.array([0, 2]), np.array([2]))

    assert not alone
    assert both == [(2, 2)]


def test_a_sweep_goes_on_behind_a_byte_that_is_no_instruction_and_tells_where_it_was() -> None:
    code = bytes.fromhex("06 0f32 c3")

    reached, lost = follow(code + bytes(REACH), np.array([0]), np.array([1]))

    assert reached == [(1, 1)]
    assert lost == [0]


@given(st.binary(min_size=1, max_size=300), st.sets(st.integers(0, 299)), st.sets(st.integers(0, 299)))
def test_a_sweep_reaches_what_stepping_by_hand_reaches(code: bytes, starts: set[int], opcodes: set[int]) -> None:
    begins = sorted({0, *(start for start in starts if start < len(code))})
    wanted = sorted(opcode for opcode in opcodes if opcode < len(code))
    steps = lengths(code + bytes(REACH))
    expected = set()
    for begin, end in zip(begins, [*begins[1:], len(code)], strict=True):
        position = begin
        while position < end:
            if position in wanted and steps[position]:
                expected.add(position)
            position += int(steps[position]) or 1

    reached, _ = follow(code + bytes(REACH), np.array(begins, np.intp), np.array(wanted, np.intp))

    assert expected == {start for start, opcode in reached if start == opcode}
