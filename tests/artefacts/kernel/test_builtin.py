"""Built-in drivers: names, aliases where the kernel writes them, and malformed lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel.builtin import read_builtin_aliases, read_module_list
from hostproof.errors import InputError


def test_names_are_canonical_and_in_order() -> None:
    data = b"kernel/drivers/i2c/i2c-core.ko\nkernel/fs/ext4/ext4.ko\n\nkernel/fs/ext4/ext4.ko\n"

    assert read_module_list(data, "modules.builtin") == ("i2c_core", "ext4")


def test_the_order_of_modules_lists_objects_in_newer_kernels() -> None:
    assert read_module_list(b"kernel/fs/fat/fat.o\nkernel/a-b.ko\n", "modules.order") == ("fat", "a_b")


def test_a_line_that_is_no_module_is_refused_by_its_number() -> None:
    with pytest.raises(InputError) as caught:
        read_module_list(b"kernel/a.ko\nrm -rf /\n", "modules.builtin")
    assert str(caught.value).startswith("modules.builtin:2: 'rm -rf /' is not the path of a module")


def test_aliases_are_gathered_by_driver() -> None:
    data = b"ext4.license=GPL\0ext4.alias=fs-ext4\0serial-8250.alias=pnp:dPNP0501*\0ext4.alias=ext3\0ext4.alias=ext3\0"

    assert read_builtin_aliases(data, "m") == {"ext4": ("fs-ext4", "ext3"), "serial_8250": ("pnp:dPNP0501*",)}


def test_a_string_that_names_no_module_is_refused() -> None:
    with pytest.raises(InputError, match="names no module"):
        read_builtin_aliases(b"license=GPL\0", "m")


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_names_or_an_error(data: bytes) -> None:
    for read in (read_module_list, read_builtin_aliases):
        try:
            read(data, "m")
        except InputError as error:
            assert error.place is not None
