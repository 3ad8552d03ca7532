"""The three syntaxes of QEMU's option values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.machine.qemu.values import Options, boolean, integer, json_value, mebibytes, options
from hostproof.errors import InputError
from hostproof.place import Place

PLACE = Place("sample")
KEYS = st.text("abcdefghijklmnopqrstuvwxyz-_.", min_size=1, max_size=8)


def pairs(text: str, implied: str | None = None) -> tuple[tuple[str, str], ...]:
    return options(text, implied, PLACE).pairs


@pytest.mark.parametrize(
    ("text", "implied", "expected"),
    [
        ("", "driver", ()),
        ("edu", "driver", (("driver", "edu"),)),
        ("a,,b,c=d,,e", "x", (("x", "a,b"), ("c", "d,e"))),
        ("server,nowait", None, (("server", "on"), ("wait", "off"))),
        ("q35,smm=off", "type", (("type", "q35"), ("smm", "off"))),
        ("type=q35,smm", "type", (("type", "q35"), ("smm", "on"))),
        ("romfile=,id=a", None, (("romfile", ""), ("id", "a"))),
        ("file=a=b", None, (("file", "a=b"),)),
        ("a=1,", None, (("a", "1"),)),
        ("no=1,no", None, (("no", "1"), ("no", "on"))),
        (
            '{"driver":"raw","file":{"filename":"x","cache":{"direct":true}},"l":[1,null]}',
            "driver",
            (("driver", "raw"), ("file.filename", "x"), ("file.cache.direct", "on"), ("l.0", "1"), ("l.1", "")),
        ),
    ],
)
def test_values_are_taken_apart_as_qemu_does(
    text: str, implied: str | None, expected: tuple[tuple[str, str], ...]
) -> None:
    assert pairs(text, implied) == expected


@given(st.lists(st.tuples(KEYS, st.text(max_size=20)), max_size=8))
def test_what_is_written_with_doubled_commas_is_read_back(written: list[tuple[str, str]]) -> None:
    text = ",".join(f"{key}={value.replace(',', ',,')}" for key, value in written)

    assert pairs(text) == tuple(written)


@given(st.text(max_size=200))
def test_arbitrary_text_gives_pairs_or_our_error(text: str) -> None:
    try:
        options(text, "driver", PLACE)
    except InputError as error:
        assert text.startswith("{")
        assert error.place == PLACE


@given(
    st.recursive(
        st.text(max_size=5) | st.booleans() | st.integers(), lambda inner: st.dictionaries(KEYS, inner), max_leaves=10
    )
)
def test_json_is_flattened_without_loss_of_leaves(value: object) -> None:
    text = json.dumps({"v": value})

    assert len(pairs(text)) == _leaves(value)


def _leaves(value: object) -> int:
    return sum(_leaves(inner) for inner in value.values()) if isinstance(value, dict) else 1


def test_braces_in_strings_do_not_count_as_depth() -> None:
    assert json_value(json.dumps({"a": "{" * 500 + '\\"['}), PLACE) == {"a": "{" * 500 + '\\"['}


@pytest.mark.parametrize(
    "text", ["{", '{"a":' * 65 + "1" + "}" * 65, "[" * 1_000_000, "{]", '{"a" 1}', '{"a": 1' + "0" * 5000 + "}"]
)
def test_malformed_json_gives_a_located_error(text: str) -> None:
    with pytest.raises(InputError) as caught:
        json_value(text, PLACE)

    assert caught.value.place == PLACE


def test_the_last_value_of_a_key_wins() -> None:
    found = Options((("a", "1"), ("b", "2"), ("a", "3")))

    assert found.get("a") == "3"
    assert found.get("c") is None
    assert found.without("a") == (("b", "2"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0x30000", 0x30000),
        ("196608", 196608),
        ("-1", -1),
        ("", None),
        ("0b1", None),
        ("1_0", None),
        ("٣", None),
        ("9" * 99, None),
    ],
)
def test_numbers(text: str, expected: int | None) -> None:
    assert integer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("on", True), ("yes", True), ("off", False), ("N", False), ("1", None), ("", None)]
)
def test_booleans(text: str, expected: bool | None) -> None:
    assert boolean(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", 512),
        ("4G", 4096),
        ("1.5G", 1536),
        ("2048k", 2),
        ("1t", 1 << 20),
        ("0x200", 512),
        ("x", None),
        ("-1", None),
        ("", None),
    ],
)
def test_sizes_count_mebibytes(text: str, expected: int | None) -> None:
    assert mebibytes(text) == expected
