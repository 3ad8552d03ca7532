"""What an image answers, on small linked kernels."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from hostproof.artefacts.kernel.facts import Answer
from hostproof.artefacts.kernel.image_answers import image_answers
from hostproof.artefacts.kernel.questions import Questions
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import Vmlinux
from tests.artefacts.kernel.linked_image import DATA, Function, addresses_of, link, words, x86

RET = x86("c3")
FUNCTIONS = [
    Function("cc_platform_has", [RET], letter="T"),
    Function("tdx_early_init", [("call", "cc_platform_has"), x86("0f32"), RET], init=True),
    Function("__tdcall", [x86("90 660f01cc"), RET]),
    Function("twin", [("call", "cc_platform_has"), RET]),
    Function("i8042_init.isra.0", [RET], init=True),
    Function("__pi_snp_init", [RET], init=True),
]
AT = addresses_of(FUNCTIONS)
INITCALLS = struct.pack("<i", AT["i8042_init.isra.0"] - DATA)
TEXTS = b"pci\0random.trust_cpu=\0i8042.nopnp\0sev_debug\0"
SETUP = struct.pack("<QQi4xQQi4x", DATA + 0x1000, AT["tdx_early_init"], 0, DATA + 0x1004, AT["tdx_early_init"], 1)
PARAM = struct.pack("<QQQQQ", DATA + 0x1000 + TEXTS.index(b"i8042"), 0, 0, 0, 0)


def kernel_of(**how: object) -> tuple[Vmlinux, Symbols]:
    return link(
        FUNCTIONS,
        data=[
            (".init.data", "__initcall_start,__initcall_end", INITCALLS),
            (".rodata", "", TEXTS),
            (".init.setup", "__setup_start,__setup_end", SETUP),
            ("__param", "", PARAM),
            (".data", "cc_vendor", bytes(8)),
        ],
        executable=[(".altinstr_replacement", x86("0f01d9"))],
        **how,  # type: ignore[arg-type]
    )


def ask(name: str, kernel: Vmlinux, symbols: Symbols, builtin: list[str] | None = None) -> Answer | None:
    return image_answers(kernel, symbols, Questions(facts=frozenset({name})), builtin).get(name)


@pytest.mark.parametrize(
    ("name", "value", "symbol"),
    [
        ("symbol.tdx_early_init", True, "tdx_early_init"),
        ("symbol.cc_vendor", True, "cc_vendor"),
        ("symbol.i8042_init", True, "i8042_init.isra.0"),
        ("symbol.snp_init", True, "__pi_snp_init"),
        ("symbol.nothing", False, ""),
        ("calls.tdx_early_init", ("cc_platform_has",), "tdx_early_init"),
        ("calls.cc_platform_has", (), "cc_platform_has"),
        ("calls.nothing", None, ""),
        ("instruction.tdcall", True, "__tdcall"),
        ("instruction.rdmsr", True, "tdx_early_init"),
        ("instruction.cpuid", False, ""),
        ("instruction.hvc", False, ""),
        ("instruction.vmmcall", True, ".altinstr_replacement"),
        ("instruction.nothing", None, ""),
        ("parameter.pci", True, "tdx_early_init"),
        ("parameter.random.trust_cpu", True, "tdx_early_init"),
        ("parameter.random.trust-cpu", True, "tdx_early_init"),
        ("parameter.i8042.nopnp", True, "i8042.nopnp"),
        ("parameter.nopnp", False, ""),
        ("parameter.sev_debug", None, "sev_debug"),
        ("parameter.nokaslr", None, ""),
        ("initcall.i8042_init", True, "i8042_init.isra.0"),
        ("initcall.tdx_early_init", False, ""),
        ("section.init.data", True, ".init.data"),
        ("section.__param", True, "__param"),
        ("section.nothing", False, ""),
    ],
)
def test_an_answer_says_what_it_rests_on(name: str, value: object, symbol: str) -> None:
    answer = ask(name, *kernel_of())

    assert answer
    assert (value, symbol) == (answer.value, answer.symbol)
    assert (answer.value is not None) or answer.note


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("symbol.tdx_early_init", b"\xe8"),
        ("calls.tdx_early_init", b"\xe8"),
        ("instruction.tdcall", x86("660f01cc")),
        ("instruction.rdmsr", x86("0f32")),
        ("instruction.vmmcall", x86("0f01d9")),
        ("parameter.pci", SETUP[:16]),
        ("parameter.i8042.nopnp", PARAM),
        ("parameter.sev_debug", b"sev_debug\0"),
        ("initcall.i8042_init", INITCALLS),
        ("section.init.data", INITCALLS),
    ],
)
def test_an_answer_says_where_that_lies_in_the_unpacked_image(name: str, at: bytes) -> None:
    kernel, symbols = kernel_of()

    answer = ask(name, kernel, symbols)

    assert answer
    assert answer.offset is not None
    assert kernel.data.startswith(at, answer.offset)


@pytest.mark.parametrize(
    ("name", "builtin", "value"),
    [
        ("symbol.i8042.i8042_init", ["i8042"], True),
        ("symbol.i8042.nothing", ["i8042"], False),
        ("symbol.i2c_i801.i8042_init", ["i2c-i801"], True),
        ("calls.i8042.twin", ["i8042"], ("cc_platform_has",)),
    ],
)
def test_what_is_asked_of_a_built_in_module_is_asked_of_the_image(name: str, builtin: list[str], value: object) -> None:
    answer = ask(name, *kernel_of(), builtin=builtin)

    assert answer
    assert value == answer.value


@pytest.mark.parametrize("name", ["symbol.nvme.nvme_init", "calls.nvme.nvme_init"])
@pytest.mark.parametrize("builtin", [None, ["i8042"]])
def test_what_is_asked_of_another_module_is_not_answered_here(name: str, builtin: list[str] | None) -> None:
    assert ask(name, *kernel_of(), builtin=builtin) is None


def test_changelog_and_titles_are_not_answered_here() -> None:
    assert ask("changelog.retpoline", *kernel_of()) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("symbol.tdx_early_init", True),
        ("symbol.cc_vendor", None),
        ("parameter.pci", None),
        ("parameter.i8042.nopnp", True),
        ("initcall.i8042_init", None),
    ],
)
def test_without_symbols_of_data_what_they_would_tell_is_unknown(name: str, value: bool | None) -> None:
    answer = ask(name, *kernel_of(complete=False))

    assert answer
    assert value == answer.value
    assert value is not None or answer.note


@pytest.mark.parametrize(
    ("built", "value"),
    [("apply.llvm.4711", None), ("apply.lto_priv.0", None), ("apply.isra.0", False), ("_RNv.llvm.1", False)],
)
def test_a_function_that_may_be_inlined_into_other_files_is_unknown_where_it_is_absent(
    built: str, value: bool | None
) -> None:
    kernel, symbols = kernel_of()
    symbols = replace(symbols, names=[built if name == "twin" else name for name in symbols.names])
    absent, there = (ask(name, kernel, symbols) for name in ("symbol.nothing", "symbol.cc_platform_has"))

    assert absent is not None
    assert there is not None
    assert (absent.value, there.value) == (value, True)


def test_several_functions_of_one_name_are_asked_together_and_the_answer_says_so() -> None:
    kernel, symbols = kernel_of()
    names = ["tdx_early_init" if name == "__tdcall" else name for name in symbols.names]
    again = Symbols(symbols.addresses, symbols.types, names, symbols.complete)

    answer = ask("calls.tdx_early_init", kernel, again)

    assert answer
    assert answer.value == ("cc_platform_has",)
    assert answer.note == "2 symbols have this name"


def test_a_flat_image_has_no_sections_to_ask_for() -> None:
    kernel, symbols = kernel_of()

    answer = ask("section.nothing", replace(kernel, flat=True), symbols)

    assert answer
    assert answer.value is None


def test_an_instruction_of_aarch64_is_answered_with_its_function() -> None:
    ret, smc = words(0xD65F03C0), words(0xD4000003)
    kernel, symbols = link(
        [Function("nothing", [ret]), Function("__arm_smccc_smc", [smc, ret])], architecture="aarch64"
    )

    answer = ask("instruction.smc", kernel, symbols)

    assert answer
    assert (answer.value, answer.symbol) == (True, "__arm_smccc_smc")


def test_the_text_of_another_architecture_is_unknown_not_empty() -> None:
    kernel, symbols = kernel_of()
    other = replace(kernel, architecture="s390x")

    for name in ("calls.tdx_early_init", "instruction.rdmsr"):
        answer = ask(name, other, symbols)
        assert answer
        assert answer.value is None
        assert "s390x" in answer.note
