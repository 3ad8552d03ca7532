from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel.registrations import Budget, Call, Calls, callers_up, initcall_modules, read_calls
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from hostproof.errors import InputError
from tests.artefacts.kernel.driver_samples import TEXT, Sample, call, initcall, number, point, point_relative, raw

X86_RET, ARM64_RET = raw(b"\xc3"), raw(struct.pack("<I", 0xD65F03C0))


def sample(architecture: str = "x86_64") -> Sample:
    made = Sample(architecture)
    made.function("register", X86_RET if architecture == "x86_64" else ARM64_RET)
    made.function("other", X86_RET if architecture == "x86_64" else ARM64_RET)
    made.data("driver", b"driver")
    made.data("second", b"second")
    return made


def calls(made: Sample) -> tuple[Calls, list[Call]]:
    """All calls, and those of `register`."""
    kernel, symbols = made.build()
    found = read_calls(kernel, symbols, Budget("sample", 100_000))
    function = symbols.find("register")
    assert found is not None
    assert function is not None
    return found, list(found.of(function))


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_calls_and_tail_jumps_are_found_with_the_function_they_are_in(architecture: str) -> None:
    made = sample(architecture)
    made.function("first", call("other"), call("register"))
    made.function("last", call("register", jump=True))
    width = 5 if architecture == "x86_64" else 4

    assert [(found.caller.name, found.site - found.caller.address) for found in calls(made)[1]] == [
        ("first", width),
        ("last", 0),
    ]


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_arguments_are_the_constants_before_the_call(architecture: str) -> None:
    made = sample(architecture)
    made.function("init", point(1, "other"), point(0, "driver"), point(2, "second"), call("register"))
    found, sites = calls(made)

    assert [found.arguments(sites[0], index) for index in range(3)] == [
        (made.addresses["driver"],),
        (made.addresses["other"],),
        (made.addresses["second"],),
    ]


def test_an_address_relative_to_the_instruction_is_computed() -> None:
    made = sample()
    made.function("init", point_relative(0, "driver"), call("register"))
    found, sites = calls(made)

    assert found.arguments(sites[0], 0) == (made.addresses["driver"],)


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_what_a_call_in_between_may_clobber_is_no_argument(architecture: str) -> None:
    made = sample(architecture)
    made.function("init", point(0, "driver"), call("other"), call("register"))
    found, sites = calls(made)

    assert found.arguments(sites[0], 0) == ()


def test_on_x86_every_constant_of_the_caller_can_be_asked_for() -> None:
    made = sample()
    made.function("init", point(0, "second"), point(0, "driver"), call("other"), call("register"))
    found, sites = calls(made)

    assert found.constants(sites[0]) == (made.addresses["driver"], made.addresses["second"])


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_a_number_is_read(architecture: str) -> None:
    made = sample(architecture)
    made.function("init", point(0, "driver"), number(1, 7), call("register"))
    found, sites = calls(made)

    assert found.count(sites[0], 1) == 7


ARM64 = {
    "mov x0, x1": (0xAA0103E0, "driver"),
    "ldr x0, [x2]": (0xF9400040, None),
    "str x0, [x2]": (0xF9000040, "kept"),
    "cbz x0, .+8": (0xB4000040, "kept"),
    "mul x0, x1, x2": (0x9B027C20, None),
    "movz w0, #5": (0x528000A0, 5),
    "blr x3": (0xD63F0060, None),
    "nop": (0xD503201F, "kept"),
}


@pytest.mark.parametrize("name", ARM64)
def test_registers_of_arm64_are_followed(name: str) -> None:
    word, expected = ARM64[name]
    made = sample("aarch64")
    made.function("init", point(0, "second"), point(1, "driver"), raw(struct.pack("<I", word)), call("register"))
    found, sites = calls(made)
    values = {"kept": made.addresses["second"], "driver": made.addresses["driver"], 5: 5}

    assert found.arguments(sites[0], 0) == (() if expected is None else (values[expected],))


def test_registers_are_followed_along_forward_branches() -> None:
    made = sample("aarch64")
    restored = struct.pack("<III", 0xF9400BF3, 0xA8C27BFD, 0xD65F03C0)  # ldr x19, [sp, #16]; ldp x29, x30; ret
    add = struct.pack("<I", 0x91000260)  # add x0, x19, #0
    made.function(
        "init",
        raw(struct.pack("<I", 0xB4000102)),  # cbz x2, .+32: past the return, x19 unknown
        point(0, "driver"),
        raw(struct.pack("<II", 0xAA0003F3, 0xB4000081)),  # mov x19, x0; cbz x1, .+16: past the return
        raw(restored),
        raw(add),
        call("register"),
    )
    met = calls(made)
    made.functions["init"] = lambda s, at: b"".join(
        (point(0, "driver")(s, at), bytes.fromhex("f30300aa810000b4"), restored, add, call("register")(s, at + 32))
    )
    alone = calls(made)

    assert met[0].arguments(met[1][0], 0) == ()
    assert alone[0].arguments(alone[1][0], 0) == (made.addresses["driver"],)


def test_only_architectures_whose_calls_are_known_are_read() -> None:
    kernel, symbols = sample().build()

    assert read_calls(Vmlinux("x", "s390x", kernel.data, "", kernel.sections), symbols, Budget("x", 9)) is None


def test_the_module_of_a_helper_is_that_of_the_only_initcall_above_it() -> None:
    made = sample()
    made.function("helper", call("register"))
    made.function("init", call("helper"))
    made.function("unrelated", call("other"))
    initcall(made, "my-module", "init")
    found, sites = calls(made)
    kernel, symbols = made.build()
    known = initcall_modules(kernel, symbols)

    assert known == {made.addresses["init"]: "my_module"}
    assert callers_up(found, sites[0].caller, known) == "my_module"
    assert callers_up(found, sites[0].caller, {**known, made.addresses["unrelated"]: "x"}) == "my_module"
    assert callers_up(found, sites[0].caller, {}) == ""


def test_callers_in_a_circle_end() -> None:
    made = sample()
    made.functions["other"] = call("looped")
    made.function("looped", call("other"), call("register"))
    found, sites = calls(made)

    assert callers_up(found, sites[0].caller, {}) == ""


def test_a_budget_that_is_spent_is_an_error_of_the_image() -> None:
    budget = Budget("vmlinuz", 2)
    budget.spend(2)
    with pytest.raises(InputError) as caught:
        budget.spend()
    assert caught.value.place is not None
    assert caught.value.place.artefact == "vmlinuz"


@given(st.sampled_from(["x86_64", "aarch64"]), st.binary(max_size=400))
def test_any_code_is_read(architecture: str, code: bytes) -> None:
    kernel = Vmlinux("x", architecture, code, "", (ImageSection(".text", TEXT, 0, len(code), True),))
    symbols = Symbols([TEXT, TEXT + 64, TEXT + len(code) + 64], "ttt", ["a", "b", "_etext"], False)
    found = read_calls(kernel, symbols, Budget("x", 1_000_000))
    assert found is not None

    for index in range(3):
        for one in found.of(symbols.symbol(index)):
            assert TEXT <= one.site < TEXT + len(code)
            assert all(0 <= value < 1 << 64 for value in found.arguments(one, 0) + found.constants(one))
