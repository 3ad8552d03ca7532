"""Symbols by name, by what the source calls them, and by address."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel.symbols import Symbols, base_name

SYMBOLS = Symbols(
    addresses=[0x1000, 0x1000, 0x1040, 0x1080, 0x1080, 0x2000, 0x3000],
    types="DTttdtB",
    names=["start", "first", "probe.isra.0", "probe.cold", "table", "first", "bss"],
    complete=True,
)


def test_the_first_symbol_of_a_name_is_found() -> None:
    found = SYMBOLS.find("first")

    assert found is not None
    assert (found.address, found.size, found.is_function) == (0x1000, 0x40, True)
    assert SYMBOLS.find("probe") is None


def test_variants_are_what_compilers_made_of_one_function() -> None:
    assert [symbol.name for symbol in SYMBOLS.variants("probe")] == ["probe.isra.0", "probe.cold"]
    assert [symbol.address for symbol in SYMBOLS.variants("first")] == [0x1000]
    assert SYMBOLS.variants("absent") == []


def test_an_address_belongs_to_the_symbol_before_it_and_to_a_function_where_there_are_several() -> None:
    names = {address: (SYMBOLS.at(address) or SYMBOLS.symbol(0)).name for address in (0x1000, 0x103F, 0x1040, 0x10FF)}

    assert names == {0x1000: "first", 0x103F: "first", 0x1040: "probe.isra.0", 0x10FF: "probe.cold"}
    assert SYMBOLS.at(0xFFF) is None
    assert SYMBOLS.at(0x3001) is None  # the last symbol has no known end


@given(st.lists(st.sampled_from(["a", "b", "a.cold", "b.isra.0", "b.constprop.1.cold"]), max_size=30))
def test_every_name_is_found_at_its_first_place(names: list[str]) -> None:
    symbols = Symbols(range(0, 16 * len(names), 16), "t" * len(names), names, complete=False)
    for name in set(names):
        found = symbols.find(name)
        assert found is not None
        assert found.address == 16 * names.index(name)
        assert all(base_name(symbol.name) == base_name(name) for symbol in symbols.variants(base_name(name)))
    assert sum(len(symbols.variants(base)) >= 1 for base in {base_name(name) for name in names}) == len(
        {base_name(name) for name in names}
    )
