"""Which models speak about which technology.

A technology is described by several small models: its private memory, its registers, its events, its launch. Each is made by a
function of a module of `models`, imported only when somebody proves; what is stored of them is read without them
(`hostproof.managers.records`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostproof.managers.engine import Model

__all__ = ["TECHNOLOGIES", "Factory", "every", "factories", "technologies_of"]


@dataclass(frozen=True, slots=True)
class Factory:
    """A function that gives a model: in `models/MODULE.py`, called with these words.

    `key` names the model's verdicts and begins with the technology's id. `version` is empty for the version that the ledger
    asks; the other versions of a technology are proved with their defaults only.
    """

    key: str
    module: str
    words: tuple[str, ...] = ()
    function: str = "model"
    version: str = ""
    instance: tuple[tuple[str, int], ...] = ()
    """Sizes at which traces are searched, where neither the engine's nor the module's own will do."""

    @property
    def exists(self) -> bool:
        """Whether the module is there."""
        return find_spec(f"hostproof.managers.models.{self.module.partition('.')[0]}") is not None and (
            "." not in self.module or find_spec(f"hostproof.managers.models.{self.module}") is not None
        )

    def __call__(self) -> Model:
        """The model. Raises ModelError where it is not well formed."""
        module = import_module(f"hostproof.managers.models.{self.module}")
        model: Model = getattr(module, self.function)(*self.words)
        return model

    def sizes(self, model: Model) -> Mapping[str, int] | None:
        """The sizes at which traces are searched; None for the engine's own."""
        module = import_module(f"hostproof.managers.models.{self.module}")
        wanted: Mapping[str, int] = dict(self.instance) or getattr(module, "SIZES", {})
        sorts = [sort.name for sort in model.sorts if sort.uninterpreted]
        return {name: wanted.get(name, 2) for name in sorts} if wanted else None


def _amd(technology: str, memory: str, *instance: tuple[str, int]) -> tuple[Factory, ...]:
    parts = ("vcpu", "events", "launch", "answers")
    more = tuple(Factory(f"{technology}-{part}", f"amd_{part}", (technology,)) for part in parts)
    return (Factory(technology, memory, instance=instance), *more)


def _pkvm(technology: str, module: str, versions: tuple[str, ...]) -> tuple[Factory, ...]:
    own = (Factory(technology, module), Factory(f"{technology}-vcpu", module, (), "vcpu"))
    older = tuple(
        Factory(f"{technology}{part}@{version}", module, (version,), function, version)
        for version in versions
        for part, function in (("", "model"), ("-vcpu", "vcpu"))
    )
    return own + older


_TABLE: dict[str, tuple[Factory, ...]] = {
    "kvm": (Factory("kvm", "kvm"),),
    "sev": _amd("sev", "sev"),
    "sev-es": (*_amd("sev-es", "sev_es"), Factory("sev-es-ghcb", "sev_es", (), "exchange")),
    "sev-snp": (
        *_amd("sev-snp", "sev_snp", ("MetadataEntry", 1)),
        Factory("sev-snp-vmpl", "snp_vmpl"),
        Factory("sev-snp-page-size", "snp_page_size"),
        Factory("sev-snp-ghcb", "sev_es", (), "exchange"),
        Factory("sev-snp-guest-requests", "amd_guest_requests"),
        Factory("sev-snp-vmpl", "snp_vmpl"),
        Factory("sev-snp-page-size", "snp_page_size"),
    ),
    "tdx": (
        Factory("tdx", "tdx_memory"),
        *(Factory(f"tdx-{part}", f"tdx_{part}") for part in ("vcpu", "launch", "migration")),
    ),
    "pkvm-arm64": _pkvm("pkvm-arm64", "pkvm_arm64", ("el2-state", "android", "before-range-check")),
    "pkvm-x86": _pkvm("pkvm-x86", "pkvm_x86", ("pci-config-in-core",)),
    "cca": (
        Factory("cca", "cca"),
        *(Factory(f"cca-{part}", f"cca.{part}", (), part) for part in ("execution", "launch", "tables")),
    ),
}
"""Every model by technology, the memory core first. A module that is not there is not listed."""

TECHNOLOGIES = tuple(_TABLE)


@cache
def factories(technology: str) -> tuple[Factory, ...]:
    """The functions that give the models of a technology."""
    return tuple(factory for factory in _TABLE.get(technology, ()) if factory.exists)


def every() -> dict[str, Factory]:
    """Every model that there is, by key."""
    return {factory.key: factory for technology in TECHNOLOGIES for factory in factories(technology)}


def technologies_of(factory: Factory) -> Iterator[str]:
    """The technologies that a model speaks about."""
    for technology in TECHNOLOGIES:
        if factory in factories(technology):
            yield technology
