"""Command lines: split as the kernel splits them, with what the kernel does not see noted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.cmdline import CommandLine, parse
from hostproof.errors import InputError
from hostproof.place import Place

PLACE = Place("vm.args", line=3, column=10)


def line(text: str) -> CommandLine:
    return parse(text, PLACE)


def pairs(text: str) -> list[tuple[str, str | None]]:
    return [(parameter.written, parameter.value) for parameter in line(text).parameters]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \t\n ", []),
        ("quiet console=ttyS0,115200", [("quiet", None), ("console", "ttyS0,115200")]),
        ("a= b", [("a", ""), ("b", None)]),
        ("a=b=c", [("a", "b=c")]),
        ("=a", [("=a", None)]),
        ('a="x y" b', [("a", "x y"), ("b", None)]),
        ('"a=x y" b', [("a", "x y"), ("b", None)]),
        ('"a b"', [("a b", None)]),
        ('a="x"y"', [("a", 'x"y')]),
        ('a=x"y z"w', [("a", 'x"y z"w')]),
        ('dyndbg="file a.c +p; file b.c +p"', [("dyndbg", "file a.c +p; file b.c +p")]),
        ('a="', [("a", "")]),
        ('""', [("", None)]),
    ],
)
def test_parameters_are_split_as_next_arg_splits_them(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert pairs(text) == expected


def test_dashes_and_underscores_are_the_same_in_names_and_not_in_values() -> None:
    parsed = line("random.trust-cpu=off log-buf-len=1M init=/a-b")

    assert parsed.get("random.trust_cpu") == "off"
    assert parsed.get("log_buf_len") == parsed.get("log-buf-len") == "1M"
    assert parsed.get("init") == "/a-b"


def test_get_tells_unset_set_and_values_apart_and_joins_several() -> None:
    parsed = line("nosmt console=tty0 console=ttyS0 pci=nocrs,noearly")

    assert parsed.get("nosmt") == "set"
    assert parsed.get("mitigations") == "unset"
    assert parsed.get("console") == "tty0,ttyS0"
    assert parsed.get("pci").split(",") == ["nocrs", "noearly"]


def test_what_follows_two_dashes_is_for_init() -> None:
    parsed = line('quiet -- acpi=off "two words"')

    assert parsed.get("acpi") == "unset"
    assert parsed.init_arguments == ("acpi=off", "two words")


def test_two_dashes_with_a_value_end_nothing() -> None:
    assert line("--=x acpi=off").get("acpi") == "off"


def test_the_kernel_obeys_the_last_module_blacklist_and_compares_names_as_they_are() -> None:
    parsed = line(
        "module_blacklist=ahci module_blacklist=e1000e,i2c-i801,,e1000e,lpc_ich modprobe.blacklist=nouveau,snd-hda"
    )

    assert parsed.module_blacklist() == ("e1000e", "lpc_ich")
    assert parsed.modprobe_blacklist() == ("nouveau", "snd_hda")
    assert parsed.notes == (
        "module_blacklist= stands more than once; the kernel obeys the last one alone",
        "module_blacklist= names 'i2c-i801': modules have underscores, so this keeps nothing out",
    )
    assert line("quiet").module_blacklist() == ()
    assert line("module_blacklist").module_blacklist() == ()


def test_a_parameter_knows_its_column() -> None:
    parsed = line("quiet acpi=off")

    assert [parameter.column for parameter in parsed.parameters] == [1, 7]
    assert str(parsed.place_of("acpi")) == "vm.args:3:16"
    assert parsed.place_of("nothing") == PLACE


def test_what_the_kernel_cuts_off_is_not_seen_and_noted() -> None:
    text = "a=" + "x" * 2038 + " nosmt acpi=off"
    parsed = line(text)

    assert parsed.get("acpi") == "unset"
    assert parsed.notes == ("2055 bytes: x86_64 kernels cut the command line off after 2047",)
    assert parse(text, PLACE, "s390x").get("acpi") == "off"


def test_a_nul_ends_the_line() -> None:
    parsed = line("quiet\0acpi=off")

    assert parsed.get("acpi") == "unset"
    assert parsed.notes == ("a NUL at column 6 ends the command line",)


def test_an_unbalanced_quote_is_noted() -> None:
    assert line('quiet a="x acpi=off').notes == ("an unbalanced quote at column 7 runs to the end of the line",)


def test_an_absurd_line_is_refused() -> None:
    with pytest.raises(InputError, match="70000 characters"):
        line("x" * 70_000)


@given(st.text(max_size=300))
def test_any_text_is_split_and_every_parameter_stands_at_its_column(text: str) -> None:
    parsed = line(text)

    for parameter in parsed.parameters:
        rest = text[parameter.column - 1 :].removeprefix('"')
        assert rest.startswith(parameter.written)


@given(
    st.dictionaries(st.from_regex(r"[a-z_.]{1,10}", fullmatch=True), st.from_regex(r"[a-z ,/=]{0,10}", fullmatch=True))
)
def test_quoted_values_survive(values: dict[str, str]) -> None:
    parsed = line(" ".join(f'{name}="{value}"' for name, value in values.items()))

    assert {parameter.written: parameter.value for parameter in parsed.parameters} == values
