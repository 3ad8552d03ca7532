"""What is known of a guest kernel, as a small JSON file that needs no kernel binary.

`hostproof kernel-facts` writes it and `assess --kernel` takes it, so that examples and CI jobs need no package.
The encoding is canonical: the same kernel gives the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["FORMAT", "ConfigValue", "KernelFacts", "Module", "decode", "encode"]

FORMAT = "hostproof-kernel-facts/1"
MAX_BYTES = 64 * 1024 * 1024

Hex256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """The value of a Kconfig symbol: `y`, `m`, `n` where a line says that it is not set, or a string or number as written
    without quotes; `line` from 1.
    """

    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Module:
    """A loadable module.

    `name` is its canonical name (underscores), `path` its file below the modules directory, `text_bytes` the size of
    its executable sections (SHF_EXECINSTR) without `.init*` and `.exit*`, `text_sha256` the digest of these sections in
    file order, `aliases` as `.modinfo` holds them without the `alias=` prefix, `depends` canonical names of the modules
    it needs.
    """

    name: str
    path: str
    text_bytes: Annotated[int, Meta(ge=0)]
    text_sha256: Hex256
    aliases: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """A guest kernel as read from its package, directory or files.

    `config` is None where no configuration was found (then every `config.*` fact is unknown); a symbol that the
    configuration does not set is `n`. `modules` is None where no modules directory was given, and empty where one was
    given that holds none. `builtin` are canonical names from `modules.builtin`, None where that file is missing;
    `builtin_aliases` come from `modules.builtin.modinfo` of kernels that write them there.
    """

    release: str
    """As `uname -r` gives it: `6.1.0-55-amd64`."""
    version: str
    """The upstream version: `6.1.192`."""
    architecture: str
    """The kernel's word: `x86_64`, `aarch64`, `s390x`."""
    source: str
    """The input as the user named it."""
    format: str = FORMAT
    package: str = ""
    """Name and version of the distribution package, `linux-image-6.1.0-55-amd64-unsigned 6.1.192-1`."""
    image_sha256: str = ""
    image_name: str = ""
    config_name: str = ""
    config: dict[str, ConfigValue] | None = None
    builtin: tuple[str, ...] | None = None
    builtin_aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    modules: tuple[Module, ...] | None = None
    notes: tuple[str, ...] = ()

    def config_place(self, symbol: str) -> Place:
        """Where the configuration sets `symbol`, or the configuration as a whole where it does not."""
        value = (self.config or {}).get(symbol)
        artefact = f"{self.source}!{self.config_name}" if self.config_name else self.source
        return Place(artefact, line=value.line if value else None, path=f"CONFIG_{symbol}")


def encode(facts: KernelFacts) -> bytes:
    """Canonical JSON of `facts`, one module per line, with a trailing newline."""
    text = msgspec.json.encode(facts, order="sorted").decode()
    return (re.sub(r'(\{"aliases":)', r"\n\1", text) + "\n").encode()


def decode(data: bytes, name: str) -> KernelFacts:
    """The facts that `data` holds. Raises InputError where it is not such a file, naming the field."""
    if len(data) > MAX_BYTES:
        raise InputError(f"kernel facts are larger than {MAX_BYTES >> 20} MiB", place=Place(name))
    try:
        facts = msgspec.json.decode(data, type=KernelFacts)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"not a kernel-facts file: {error}",
            place=Place(name),
            expected=f"the JSON that `hostproof kernel-facts` writes ({FORMAT})",
        ) from None
    if facts.format != FORMAT:
        raise InputError(
            f"kernel facts of format {facts.format!r}",
            place=Place(name),
            expected=FORMAT,
            hint="write them again with `hostproof kernel-facts`",
        )
    return facts
