"""AMD SEV without a reverse map table: memory, the firmware's commands, ASIDs. The same for SEV and SEV-ES.

One guest, any number of its addresses, any number of system pages. The key belongs to the ASID and the tweak to the system
address; nobody owns a page. The nested page table is the host's: at every access of the guest the host chooses the system
page, so the page is a parameter of the access and there is no operation "map".

A page holds what the guest's key makes of its bytes: `GARBAGE`, `DATA` (the guest's, with the address it was written at and
whether it is the latest there), `HOST` (what the host chose: input that the guest copied in, or DBG_ENCRYPT).

Sources: ASPFW (`amd/AMD-ASPFW` at 3ca6650dd35d, `sev_mcmd.c`, `sev_guest.c`; facts only), KVMSEV (Linux 7.3
`arch/x86/kvm/svm/sev.c`), APM (AMD64 Architecture Programmer's Manual volume 2, chapter 15.34, as the knowledge of this
project quotes it), DU17, EXTR, LI19, SEVERITY of the catalogue.

Not here: registers and translations (`amd_vcpu`), events (`amd_events`), what the launch digest binds (`amd_launch`).
"""

from __future__ import annotations

from hostproof.managers.engine import Model, ModelBuilder
from hostproof.managers.models.sev.asid import asid
from hostproof.managers.models.sev.claims import claims
from hostproof.managers.models.sev.commands import commands
from hostproof.managers.models.sev.guest import guest
from hostproof.managers.models.sev.host import host
from hostproof.managers.models.sev.state import State

__all__ = ["build", "model"]


def build(m: ModelBuilder) -> State:
    """Adds memory, commands and claims to a model that may get more."""
    state = State(m)
    guest(m, state)
    host(m, state)
    commands(m, state)
    asid(m, state)
    claims(m, state)
    return state


def model() -> Model:
    """Plain SEV: memory and the commands of firmware."""
    m = ModelBuilder("sev", "firmware 1.55", "AMD SEV, private memory and the firmware's commands")
    build(m)
    return m.build()
