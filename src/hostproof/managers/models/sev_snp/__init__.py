"""AMD SEV-SNP: the reverse map table, the firmware's page commands, and the guest that validates pages.

One guest, any number of its addresses, any number of system pages; the other guests are the host's. A system page carries its
RMP entry and what the guest's key makes of its bytes: `GARBAGE`, `DATA` (what the guest once wrote, with the address it
was written at and whether it is the latest), `HOST` (what the host chose). The firmware's page states are those of the
entry: who owns the page (assigned and ASID), immutable, validated, and what firmware uses it for.

Sources, by key of the catalogue where it has one: APM (AMD64 Architecture Programmer's Manual volume 2, chapter 15.36, read as
the catalogue says), ASPFW (`amd/AMD-ASPFW` at 3ca6650dd35d, firmware 1.55.25 for Genoa: `sev_mcmd.c`, `sev_rmp.c`, facts
only), RMPS (`microsoft/verismo` `source/verismo/src/arch/rmp/entry_s.rs` at 28b3221d1a36, an independent reading of the same
instructions), SEVCORE (Linux `arch/x86/coco/sev`).

Not here: 2 MiB pages and PSMASH (`sev-snp-page-size`), VMPLs and RMPADJUST (`sev-snp-vmpl`), launch digests, GHCB, interrupts,
CPUID. They are models of their own.
"""

from __future__ import annotations

from hostproof.managers.engine import Model, ModelBuilder
from hostproof.managers.models.sev_snp.claims import claims
from hostproof.managers.models.sev_snp.commands import commands
from hostproof.managers.models.sev_snp.guest import guest
from hostproof.managers.models.sev_snp.host import host
from hostproof.managers.models.sev_snp.state import State

__all__ = ["model"]


def model() -> Model:
    """The memory core of SEV-SNP, with all duties and policies as switches."""
    m = ModelBuilder("sev-snp", "firmware 1.55", "AMD SEV-SNP, private memory")
    state = State(m)
    host(m, state)
    commands(m, state)
    guest(m, state)
    claims(m, state)
    return m.build()
