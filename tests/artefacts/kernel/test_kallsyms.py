"""Symbols: every layout of kallsyms gives the names, letters and addresses that were put in."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel.kallsyms import find_kallsyms, read_kallsyms
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from hostproof.errors import HostproofError, InputError
from tests.artefacts.kernel import kallsyms_samples as samples

LAYOUTS = {layout.name: layout for layout in samples.LAYOUTS}
layouts = pytest.mark.parametrize("layout", samples.LAYOUTS, ids=list(LAYOUTS))
NAMED = {
    "base-relative": "base-relative",
    "absolute per-CPU": "base-relative with absolute per-CPU symbols",
    "absolute": "absolute",
    "place-relative": "place-relative",
}


def listed(symbols: Symbols) -> list[samples.Entry]:
    return list(zip(symbols.addresses, symbols.types, symbols.names, strict=True))


def expected(entries: list[samples.Entry]) -> list[samples.Entry]:
    return [(address, letter, name) for address, letter, name in entries]


@layouts
@pytest.mark.parametrize("count", [300, 511, 512, 1500])
def test_every_layout_gives_what_was_put_in(layout: samples.Layout, count: int) -> None:
    entries = samples.entries(count, percpu=layout.addresses == "absolute per-CPU")
    symbols = read_kallsyms(samples.kernel(layout, entries))

    assert expected(entries) == listed(symbols)
    assert symbols.layout.partition(",")[0] == NAMED[layout.addresses]
    assert symbols.complete


@pytest.mark.parametrize(
    ("architecture", "word", "order", "base"),
    [
        ("i686", 4, "little", 0xC1000000),
        ("arm", 4, "little", 0xC0008000),
        ("s390x", 8, "big", 0x100000),
        ("aarch64", 8, "little", 0xFFFF800008000000),
        ("riscv64", 8, "little", 0xFFFFFFFF80000000),
    ],
)
@pytest.mark.parametrize("name", ["4.19", "5.10", "5.10 absolute", "6.3 x86", "6.4", "6.4 absolute", "7.0"])
def test_both_word_sizes_and_byte_orders_are_read(
    architecture: str, word: int, order: str, base: int, name: str
) -> None:
    layout = LAYOUTS[name]
    entries = samples.entries(900, base, percpu=layout.addresses == "absolute per-CPU")
    kernel = samples.kernel(layout, entries, word=word, order=order, architecture=architecture, base=base)

    assert expected(entries) == listed(read_kallsyms(kernel))


@layouts
def test_a_kernel_without_kallsyms_all_has_functions_alone(layout: samples.Layout) -> None:
    entries = samples.entries(data=False)
    symbols = read_kallsyms(samples.kernel(layout, entries))

    assert expected(entries) == listed(symbols)
    assert not symbols.complete


@layouts
@pytest.mark.parametrize("length", [126, 127, 128, 200])
def test_long_names_are_read_in_one_length_byte_and_in_two(layout: samples.Layout, length: int) -> None:
    entries = samples.entries(long=length)

    assert expected(entries) == listed(read_kallsyms(samples.kernel(layout, entries)))


def test_the_longest_name_of_a_kernel_is_read() -> None:
    entries = samples.entries(long=511)

    assert expected(entries) == listed(read_kallsyms(samples.kernel(LAYOUTS["7.0"], entries)))


def test_text_letters_in_a_section_without_text_are_data() -> None:
    entries = samples.entries()
    kernel = samples.kernel(LAYOUTS["6.4"], entries)
    data = ImageSection(".data", samples.TEXT + 0x400, 0x400, 0x800, False)
    text = ImageSection(".text", samples.TEXT, 0, 0x400, True)
    rest = ImageSection(".init.text", samples.TEXT + 0xC00, 0xC00, 0x1F400, True)
    symbols = read_kallsyms(replace(kernel, sections=(text, data, rest, kernel.sections[1])))
    inside = [index for index, address in enumerate(symbols.addresses) if 0x400 <= address - samples.TEXT < 0xC00]

    assert {symbols.types[index] for index in inside} <= set("dDbrW")
    assert [entries[index][1].lower().replace("t", "d") for index in inside] == [
        symbols.types[index].lower() for index in inside
    ]


def test_a_kernel_without_a_token_table_has_no_symbols() -> None:
    kernel = Vmlinux("vmlinux", "x86_64", bytes(1 << 16), "", (ImageSection(".text", 0, 0, 1 << 16, True),))

    assert find_kallsyms(kernel) is None
    with pytest.raises(InputError, match="without kallsyms"):
        read_kallsyms(kernel)


def test_runs_of_digits_that_are_no_token_table_are_passed() -> None:
    entries = samples.entries()
    kernel = samples.kernel(LAYOUTS["6.4"], entries)
    digits = b"".join(b"%d\0" % number for number in range(10))
    data = bytearray(kernel.data)
    for position in range(0, 0x4000, 0x200):
        data[position : position + len(digits)] = digits

    assert expected(entries) == listed(read_kallsyms(replace(kernel, data=bytes(data))))


def test_an_architecture_without_a_reader_is_named() -> None:
    kernel = Vmlinux("vmlinux", "ppc64", bytes(64), "", ())

    with pytest.raises(InputError, match="no reader for the symbols of ppc64"):
        find_kallsyms(kernel)


def damaged(what: str) -> Vmlinux:
    layout = LAYOUTS["6.4"]
    entries = samples.entries()
    kernel = samples.kernel(layout, entries)
    data = bytearray(kernel.data)
    count = 0x20000
    if what == "another count":
        data[count : count + 4] = (len(entries) + 300).to_bytes(4, "little")
    elif what == "a name that runs over its marker":
        data[count + 8] += 1
    elif what == "an empty name":
        data[count + 8] = 0
    elif what == "offsets that fall":
        at = data.find(bytes(8) + b"\x20\0\0\0")
        data[at + 80 : at + 84] = b"\xff\xff\xff\x7f"
    elif what == "addresses outside of all sections":
        return replace(kernel, sections=(ImageSection(".text", 0x1000, 0, 0x20000, True),))
    elif what == "an index of other tokens":
        data[data.find(b"read_config\0", count) + 4] = 0
        data[:10] = b"\0kallsyms\0"
    elif what == "a token of two lines":
        at = data.find(b"read_config\0", count)
        data[at + 4] = ord("\n")
    return replace(kernel, data=bytes(data))


@pytest.mark.parametrize(
    "what",
    [
        "another count",
        "a name that runs over its marker",
        "an empty name",
        "offsets that fall",
        "addresses outside of all sections",
        "a token of two lines",
        "an index of other tokens",
    ],
)
def test_damaged_tables_are_refused_with_their_place(what: str) -> None:
    with pytest.raises(InputError) as caught:
        find_kallsyms(damaged(what))

    assert caught.value.place is not None
    assert caught.value.place.offset is not None
    assert caught.value.expected


@settings(max_examples=150)
@given(st.data())
def test_a_changed_kernel_gives_symbols_or_an_error(data: st.DataObject) -> None:
    kernel = SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))]
    raw = bytearray(kernel.data)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0x20000, len(raw) - 1))
        raw[position] = data.draw(st.integers(0, 255))
    try:
        symbols = find_kallsyms(replace(kernel, data=bytes(raw)))
    except HostproofError as error:
        assert error.place is not None
    else:
        assert symbols is None or len(symbols) == len(symbols.names) == len(symbols.types)


SAMPLES = {name: samples.kernel(layout, samples.entries(300)) for name, layout in LAYOUTS.items()}


@given(st.binary(max_size=4000), st.sampled_from(["x86_64", "i686", "s390x", "aarch64"]))
def test_arbitrary_bytes_around_digits_give_nothing_or_an_error(raw: bytes, architecture: str) -> None:
    digits = b"".join(b"%d\0" % number for number in range(10))
    kernel = Vmlinux("x", architecture, raw + digits + raw, "", (ImageSection("", 0, 0, 2 * len(raw) + 20, True),))
    try:
        assert find_kallsyms(kernel) is None
    except HostproofError as error:
        assert error.place is not None


@pytest.mark.parametrize(
    "unit",
    [
        b"".join(b"%d\0" % number for number in range(10)),
        b"".join(b"%d\0" % number for number in range(10)) + b"\0" * 492,
        bytes(4) + b"\0\x04\0\0",
        b"\xff",
    ],
    ids=["digits", "digits and an index of zeros", "runs of markers", "ones"],
)
def test_a_hostile_image_takes_no_long_time(unit: bytes) -> None:
    real = samples.kernel(LAYOUTS["6.4"], samples.entries())
    body = unit * ((16 << 20) // len(unit))
    sample = real.data[: real.data.find(b'!\0"\0#\0') - 40]
    data = body + sample[:0x1000] + real.data[0x20000:] + body
    kernel = replace(real, data=data, sections=(ImageSection(".text", samples.TEXT, 0, len(data), True),))
    start = time.process_time()
    try:
        find_kallsyms(kernel)
    except HostproofError as error:
        assert error.place is not None

    assert time.process_time() - start < 5


def test_thousands_of_counts_before_the_markers_take_no_long_time() -> None:
    real = samples.kernel(LAYOUTS["6.4"], samples.entries(40_000))
    count = (40_001).to_bytes(4, "little")
    data = bytearray(real.data)
    at = data.find(count)
    data[at + 8] = 0  # the first name is empty: no walk can end
    data[at - 0x18000 : at] = count * (0x18000 // 4)
    start = time.process_time()

    with pytest.raises(InputError, match="without names"):
        find_kallsyms(replace(real, data=bytes(data)))
    assert time.process_time() - start < 5
