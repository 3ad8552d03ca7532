"""Intel TDX: four small models that together make the technology.

| model | what it decides | size |
|---|---|---|
| `tdx` (`tdx_memory`) | private memory: PAMT, Secure EPT, TLB tracking, accepting, debug, DMA, teardown | any number of pages |
| `tdx-vcpu` | registers, events, CPUID, stepping | one virtual CPU |
| `tdx-launch` | MRTD, RTMRs, ATTRIBUTES, what a verifier has to look at | any number of pages |
| `tdx-migration` | the destination of a migration, with the race CVE-2025-30513 | one page |

They share no state: what one proves the others assume of it. Page sizes are not among them.
"""

from __future__ import annotations

from hostproof.managers.engine import Model
from hostproof.managers.models import tdx_launch, tdx_memory, tdx_migration, tdx_vcpu

__all__ = ["model", "models"]


def model() -> Model:
    """Private memory of a TD, the model named `tdx`."""
    return tdx_memory.model()


def models() -> tuple[Model, ...]:
    """All models of TDX; memory first."""
    return (tdx_memory.model(), tdx_vcpu.model(), tdx_launch.model(), tdx_migration.model())
