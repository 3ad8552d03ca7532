"""Arm CCA, RMM 1.0: the Realm Management Monitor, granule protection, and the realm that asks for its memory.

Four models. `model`: memory. One realm, any number of its protected addresses, any number of granules; other realms
are the host's. `execution`: vCPUs (RECs), their exits, what the host gives and learns at each, interrupts. `launch`:
measurements, activation, the token and its verifier. `tables`: one entry of a translation table and the table below it.

Sources, by key of the catalogue where it has one: RMMSPEC (DEN0137 1.0-rel0, in the rendering `wuyongzheng/arm-md-specs` at
a5969bfa023f); RMM (threat model of TF-RMM); RSIC (Linux `arch/arm64/kernel/rsi.c` at 165160265e4b and
`arch/arm64/include/asm/rsi.h` at 371589437616). A guard that is a failure condition of the specification has its id and
error; `cca.conformance` compares them with the rendering.

Alignment and bounds of addresses are the sorts: a `Granule` is an aligned delegable address, an `Ipa` an aligned
protected one. A RIPAS change of a range is asked and applied page by page, in any order: more than the RMM allows. REC ids
are not paired with their auxiliary granules, nor tables with the addresses below them: the host may destroy any of them.

Not here: planes, devices and memory encryption contexts (RMM 1.1 and later), other realms' RECs as memory, the GIC's
state beyond the injected interrupt, PMU and timers beyond the exit they cause.
"""

from __future__ import annotations

from hostproof.managers.engine import Model, ModelBuilder
from hostproof.managers.models.cca.claims import claims
from hostproof.managers.models.cca.data import data
from hostproof.managers.models.cca.execution import execution
from hostproof.managers.models.cca.granules import granules
from hostproof.managers.models.cca.launch import launch
from hostproof.managers.models.cca.realm import realm
from hostproof.managers.models.cca.state import State
from hostproof.managers.models.cca.tables import tables

__all__ = ["execution", "launch", "model", "models", "tables"]


def model() -> Model:
    """A realm's memory, with all duties and policies as switches."""
    m = ModelBuilder("cca", "RMM 1.0", "Arm CCA, memory of a realm")
    state = State(m)
    granules(m, state)
    realm(m, state)
    data(m, state)
    claims(m, state)
    return m.build()


def models() -> tuple[Model, ...]:
    """All four, memory first."""
    return model(), execution(), launch(), tables()
