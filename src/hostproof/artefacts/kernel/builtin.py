"""Drivers that are built into the kernel: `modules.builtin` and `modules.builtin.modinfo`.

SOURCE: `Documentation/kbuild/kbuild.rst` of Linux: the first lists paths of would-be modules, one per line; the second
holds NUL-terminated strings `NAME.TAG=VALUE`. Match tables (`alias=`) stand in it for device tables of built-in drivers
only in kernels since the series "Add generated modalias to modules.builtin.modinfo" (merged in September 2025);
before that the aliases are those which a source file wrote by hand (MODULE_ALIAS).
"""

from __future__ import annotations

from hostproof.artefacts.kernel.module import canonical, modinfo
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read_builtin_aliases", "read_module_list"]

MAX_BYTES = 4 << 20


def read_module_list(data: bytes, name: str) -> tuple[str, ...]:
    """Canonical names in the order of `modules.builtin` or `modules.order`.

    Raises InputError naming the line that is no module path.
    """
    _bounded(data, name)
    names = []
    for number, line in enumerate(data.decode("utf-8", "backslashreplace").splitlines(), 1):
        path = line.strip()
        if not path:
            continue
        if not path.endswith((".ko", ".o")):  # modules.order lists objects since Linux 6.3
            raise InputError(
                f"{path[:80]!r} is not the path of a module",
                place=Place(name, line=number),
                expected="a path that ends in .ko or .o, one per line",
            )
        names.append(canonical(path))
    return tuple(dict.fromkeys(names))


def read_builtin_aliases(data: bytes, name: str) -> dict[str, tuple[str, ...]]:
    """Aliases by canonical name, from `modules.builtin.modinfo`. Raises InputError where a string has no name."""
    _bounded(data, name)
    aliases: dict[str, list[str]] = {}
    for key, value in modinfo(data):
        owner, dot, tag = key.partition(".")
        if not dot:
            raise InputError(
                f"{key[:80]!r} names no module", place=Place(name), expected="strings `NAME.TAG=VALUE`, NUL-terminated"
            )
        if tag == "alias":
            aliases.setdefault(canonical(owner), []).append(value)
    return {owner: tuple(dict.fromkeys(values)) for owner, values in aliases.items()}


def _bounded(data: bytes, name: str) -> None:
    if len(data) > MAX_BYTES:
        raise InputError(f"a file larger than {MAX_BYTES >> 20} MiB", place=Place(name), expected="a list of modules")
