"""Which models speak about which technology.

A technology is described by several small models: its private memory, its registers, its events, its launch. Each is made by a
function of a module of `models`, imported only when somebody proves; what is stored of them is read without them
(`hostproof.managers.records`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostproof.managers.engine import Model

__all__ = ["TECHNOLOGIES", "Factory", "factories", "technologies_of"]


@dataclass(frozen=True, slots=True)
class Factory:
    """A function that gives a model: in `models/MODULE.py`, called with these words."""

    module: str
    words: tuple[str, ...] = ()
    function: str = "model"

    @property
    def exists(self) -> bool:
        """Whether the module is there."""
        return find_spec(f"hostproof.managers.models.{self.module}") is not None

    def __call__(self) -> Model:
        """The model. Raises ModelError where it is not well formed."""
        module = import_module(f"hostproof.managers.models.{self.module}")
        model: Model = getattr(module, self.function)(*self.words)
        return model


_AMD = ("amd_vcpu", "amd_events", "amd_launch")
_TABLE: dict[str, tuple[Factory, ...]] = {
    "kvm": (Factory("kvm"),),
    "sev": (Factory("sev"), *(Factory(module, ("sev",)) for module in _AMD)),
    "sev-es": (Factory("sev_es"), *(Factory(module, ("sev-es",)) for module in _AMD)),
    "sev-snp": (Factory("sev_snp"), *(Factory(module, ("sev-snp",)) for module in _AMD)),
    "tdx": (Factory("tdx_memory"), Factory("tdx_launch"), Factory("tdx_vcpu"), Factory("tdx_migration")),
    "pkvm-arm64": (Factory("pkvm_arm64"),),
    "pkvm-x86": (Factory("pkvm_x86"),),
    "cca": (Factory("cca"),),
}
"""Every model by technology, the memory core first. A module that is not there is not listed."""

TECHNOLOGIES = tuple(_TABLE)


@cache
def factories(technology: str) -> tuple[Factory, ...]:
    """The functions that give the models of a technology."""
    return tuple(factory for factory in _TABLE.get(technology, ()) if factory.exists)


def technologies_of(factory: Factory) -> Iterator[str]:
    """The technologies that a model speaks about."""
    for technology in TECHNOLOGIES:
        if factory in factories(technology):
            yield technology
