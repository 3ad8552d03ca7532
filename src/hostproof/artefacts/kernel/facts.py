"""What is known of a guest kernel: its configuration, its modules, and what its image says of itself.

For these facts as a file see `hostproof.artefacts.kernel.facts_file`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from hostproof.place import Place

__all__ = [
    "FORMAT",
    "Answer",
    "ConfigValue",
    "ImageDriver",
    "ImageFacts",
    "KernelFacts",
    "Module",
    "Sites",
]

FORMAT = "hostproof-kernel-facts/2"
Hex256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """The value of a Kconfig symbol: `y`, `m`, `n` where a line says that it is not set, or a string or number as written
    without quotes; `line` from 1.
    """

    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Sites:
    """Where one piece of code uses one interface: the number of sites, and the functions they are in, sorted.

    A site in code that belongs to no named function is counted and has no function.
    """

    count: Annotated[int, Meta(ge=0)]
    functions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the image answers to one question (`hostproof.artefacts.kernel.questions`).

    `value` is None where it cannot tell, and `note` then says why. `symbol` is what the answer rests on, and `offset`
    where that lies: in the unpacked image, or in the file of `module` where one is named.
    """

    value: bool | tuple[str, ...] | None
    symbol: str = ""
    offset: int | None = None
    module: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ImageDriver:
    """A driver that is built into the image, as its registration structure says.

    `aliases` are what modpost would have written for its match table. `structure` is the symbol of the structure
    (`virtio_blk`), `offset` where it lies in the unpacked image, `probe` the function that its probe pointer names.
    `module` is the canonical name of the would-be module, empty where nothing tells it.
    """

    bus: str
    name: str
    module: str
    structure: str
    offset: int
    probe: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the image itself says.

    `sha256` is the digest of the image file, `unpacked_sha256` that of the kernel in it; offsets are into the latter.
    `symbols` counts kallsyms, `data_symbols` says whether data is among them (CONFIG_KALLSYMS_ALL), `types` counts BTF
    types; zero where the image has none. `driver_buses` says per bus how the search for built-in drivers went: empty
    where it saw every structure of that kind, else what limits it. `sites` are those of the image's own text, by
    interface. `sources` are source files that the image names in its texts.
    """

    sha256: str
    unpacked_sha256: str
    symbols: int = 0
    data_symbols: bool = False
    types: int = 0
    text_bytes: int = 0
    drivers: tuple[ImageDriver, ...] = ()
    driver_buses: dict[str, str] = field(default_factory=dict)
    sites: dict[str, Sites] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Module:
    """A loadable module.

    `name` is its canonical name (underscores), `path` its file below the modules directory, `text_bytes` the size of
    its executable sections (SHF_EXECINSTR) without `.init*` and `.exit*`, `text_sha256` the digest of these sections in
    file order, `aliases` as `.modinfo` holds them without the `alias=` prefix, `depends` canonical names of the modules
    it needs.

    `code_sha256` is the digest of the same code with relocations and addresses left out, so that it survives a rebuild
    (`hostproof.artefacts.kernel.code_digest`). `sites` are its sites by interface, `sources` the source files that its
    texts name. The three are empty where nothing asked for them.
    """

    name: str
    path: str
    text_bytes: Annotated[int, Meta(ge=0)]
    text_sha256: Hex256
    aliases: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    code_sha256: str = ""
    sites: dict[str, Sites] = field(default_factory=dict)
    sources: tuple[str, ...] = ()


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
    config_complete: bool = True
    """Whether a symbol that the configuration does not name is `n`; in a fragment it is unknown."""
    builtin: tuple[str, ...] | None = None
    builtin_aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    modules: tuple[Module, ...] | None = None
    notes: tuple[str, ...] = ()
    image: ImageFacts | None = None
    """What the image itself says; None where it was not read, or could not be."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """Answers of image, modules and changelog by the name of the fact; what is not here was not asked."""
    changelog_cves: tuple[str, ...] | None = None
    """CVE ids that the package's changelog names, sorted; None where no changelog was read."""
    sites_counted: tuple[str, ...] = ()
    """The interfaces whose sites were counted; one that is here and not in a module's `sites` has none there."""

    def config_place(self, symbol: str) -> Place:
        """Where the configuration sets `symbol`, or the configuration as a whole where it does not."""
        value = (self.config or {}).get(symbol)
        artefact = f"{self.source}!{self.config_name}" if self.config_name else self.source
        return Place(artefact, line=value.line if value else None, path=f"CONFIG_{symbol}")
