"""Who else touches a TD's memory: its CPUs and its guest, the host with its own keys, devices, other TDs, teardown."""

from __future__ import annotations

from hostproof.managers.engine import Caller, ModelBuilder, all_of, any_of
from hostproof.managers.models.tdx_memory_state import (
    Content,
    GuestPage,
    Pamt,
    Phase,
    Sept,
    State,
    SystemPage,
    not_assigned,
    operands,
)

__all__ = ["surroundings"]


def surroundings(m: ModelBuilder, x: State) -> None:
    """Adds them."""
    _processors(m, x)
    _guest(m, x)
    _others(m, x)
    _teardown(m, x)


def _processors(m: ModelBuilder, x: State) -> None:
    sentence = "A virtual CPU enters, in the current epoch; one that ran in an older epoch flushes first."
    with m.operation(
        "TDH.VP.ENTER", Caller.HOST, sentence, "TDXMOD1501: tdh_vp_enter, adjust_tlb_tracking_state"
    ) as op:
        op.guard("VP.ENTER.op-state", x.phase == Phase.RUNNABLE, "TDX_OP_STATE_INCORRECT", "table: leaf 0")
        op.set(x.busy, True)
    source = "TDXMOD1501: td_exit.c, REFCOUNT"
    with m.operation("TD exit", Caller.HOST, "The last virtual CPU of the current epoch exits.", source) as op:
        # Its translations stay: it may come back in the same epoch without a flush.
        op.set(x.busy, False)
    with m.operation(
        "TD exit, epoch before", Caller.HOST, "The last virtual CPU of the epoch before exits.", source
    ) as op:
        (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
        op.set(x.busy_before, False)
        op.set(x.stale[s, g], False, each=[s, g])


def _guest(m: ModelBuilder, x: State) -> None:
    source = "TDXRST: TD-private memory"
    with m.operation("write", Caller.GUEST, "The guest writes to an address that it accepted.", source) as op:
        s, g = operands(op)
        walked = all_of(x.sept[g] == Sept.MAPPED, x.leaf[s, g], x.running)
        held = any_of(all_of(x.cached[s, g], x.busy), all_of(x.stale[s, g], x.busy_before))
        op.guard("write.translation", walked | held, "EPT violation", "TDXMOD1501: td_ept_violation_exit")
        op.guard("write.private", x.accepted[g], "", "the guest's own page tables")
        op.guard(
            "write.intact",
            x.owned[s],
            "#MC",
            "TDXRST: integrity; the owner bit is checked",
            redundant="a page written whole is the guest's again",
        )
        (t,) = SystemPage.names("t")
        op.set(x.fresh[t], False, when=all_of(x.origin[t] == g, x.content[t] == Content.DATA), each=[t])
        op.set(x.content[s], Content.DATA)
        op.set(x.origin[s], g)
        op.set(x.fresh[s], True)
        op.set(x.owned[s], True)
        op.set(x.used[g], True)
        # Whichever CPU walks, the other ones may have walked too.
        op.set(x.cached[s, g], True, when=walked & x.busy)
        op.set(x.stale[s, g], True, when=walked & x.busy_before)
    with m.operation(
        "release", Caller.GUEST, "The guest gives an address up (MapGPA to shared).", "TDXC: tdx_enc_status_changed"
    ) as op:
        g = op.parameter("g", GuestPage)
        op.guard("release.running", x.running, "", "the guest executes", redundant="the order of its own steps")
        op.set(x.used[g], False)
        op.set(x.accepted[g], False)
    never = "only where SEPT_VE_DISABLE is clear and the guest runs nevertheless"
    with m.operation(
        "#VE",
        Caller.CPU,
        "An access to a pending page that was in use raises #VE.",
        "TDXMOD1501: td_ept_violation_exit",
        never,
    ) as op:
        g = op.parameter("g", GuestPage)
        op.guard(
            "VE.pending",
            x.sept[g] == Sept.PENDING,
            "",
            "table: any_pending_and_guest_acceptable",
            redundant="VE.disabled alone keeps it out",
        )
        op.guard("VE.running", x.running, "", "the guest executes", redundant="VE.disabled alone keeps it out")
        op.guard("VE.used", x.used[g], "", "an access the guest makes", redundant="VE.disabled alone keeps it out")
        op.guard("VE.disabled", ~x.sept_ve_disable, "TD exit", "TDXMOD1501: td_ept_violation_exit, PENDING_VE_DISABLE")
        op.guard("VE.refused", ~x.refuse_sept_ve | x.sept_ve_disable, source="duty: TDXC, disable_sept_ve")
        op.set(x.interrupted, True)


def _others(m: ModelBuilder, x: State) -> None:
    with m.operation(
        "host write", Caller.HOST, "The host writes a page with a key of its own.", "TDXRST: integrity"
    ) as op:
        s = op.parameter("s", SystemPage)
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.owned[s], False)
    with m.operation("DMA write", Caller.DMA, "A device writes a page with a shared key.", "TDXRST: integrity") as op:
        s = op.parameter("s", SystemPage)
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.owned[s], False)
    with m.operation(
        "DMA, private key", Caller.DMA, "A device uses a private KeyID.", "TDXRST: DMA", "the hardware aborts it"
    ) as op:
        s = op.parameter("s", SystemPage)
        op.guard("DMA.private", ~x.iommu_checks, "abort", "TDX CPU architecture: private KeyIDs in SEAM only")
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.dma_hit, True)
    with m.operation(
        "host read", Caller.HOST, "The host reads the ciphertext of a page.", "TDXRST: confidentiality"
    ) as op:
        s = op.parameter("s", SystemPage)
        op.guard("read.owner", ~x.owned[s], "a fixed pattern", "TDX CPU architecture: TD-owner bit")
        op.set(x.observed, True, when=x.content[s] == Content.DATA)
    with m.operation(
        "other TD adds", Caller.HOST, "The host gives a page to another TD.", "TDXMOD1501: tdh_mem_page_add"
    ) as op:
        s = op.parameter("s", SystemPage)
        not_assigned(op, x, s, "other.nda")
        op.set(x.pamt[s], Pamt.REG)
        op.set(x.foreign[s], True)
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.owned[s], True)
    with m.operation(
        "other TD writes", Caller.HOST, "Another TD writes a page it maps, with its own key.", "TDX CPU architecture"
    ) as op:
        s = op.parameter("s", SystemPage)
        op.guard("other.maps", x.foreign[s], "EPT violation", "TDXMOD1501: tdh_mem_page_add")
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.owned[s], True)
    with m.operation(
        "other TD removes", Caller.HOST, "The host takes a page from another TD.", "TDXMOD1501: tdh_mem_page_remove"
    ) as op:
        s = op.parameter("s", SystemPage)
        op.guard("other.owns", x.foreign[s], "TDX_EPT_ENTRY_STATE_INCORRECT", "TDXMOD1501: tdh_mem_page_remove")
        op.set(x.pamt[s], Pamt.NDA)
        op.set(x.foreign[s], False)


def _teardown(m: ModelBuilder, x: State) -> None:
    with m.operation(
        "TDH.MNG.VPFLUSHDONE",
        Caller.HOST,
        "No virtual CPU is left on a processor; the TD is blocked.",
        "TDXMOD1501: tdh_mng_vpflushdone",
    ) as op:
        (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
        op.guard("VPFLUSHDONE.flushed", ~x.running, "TDX_FLUSHVP_NOT_DONE", "TDXMOD1501: tdh_mng_vpflushdone")
        op.set(x.phase, Phase.BLOCKED)
        op.set(x.cached[s, g], False, each=[s, g])
        op.set(x.stale[s, g], False, each=[s, g])
    with m.operation(
        "TDH.MNG.KEY.FREEID", Caller.HOST, "The key of a blocked TD is gone.", "TDXMOD1501: tdh_mng_key_freeid"
    ) as op:
        op.guard(
            "KEY.FREEID.blocked",
            x.phase == Phase.BLOCKED,
            "TDX_LIFECYCLE_STATE_INCORRECT",
            "TDXMOD1501: tdh_mng_key_freeid",
        )
        op.set(x.phase, Phase.TEARDOWN)
    with m.operation(
        "TDH.PHYMEM.PAGE.RECLAIM",
        Caller.HOST,
        "The host takes a page of a TD without a key.",
        "TDXMOD1501: tdh_phymem_page_reclaim",
    ) as op:
        s = op.parameter("s", SystemPage)
        (h,) = GuestPage.names("h")
        op.guard(
            "RECLAIM.used",
            x.pamt[s] != Pamt.NDA,
            "TDX_PAGE_METADATA_INCORRECT",
            "TDXMOD1501: tdh_phymem_page_reclaim",
            redundant="the page is the host's already",
        )
        op.guard(
            "RECLAIM.teardown",
            x.phase == Phase.TEARDOWN,
            "TDX_LIFECYCLE_STATE_INCORRECT",
            "TDXMOD1501: tdh_phymem_page_reclaim",
        )
        mine = "the other TD's pages come back by the other TD's teardown"
        op.guard("RECLAIM.owner", ~x.foreign[s], "", "TDXMOD1501: the owner in the PAMT entry", redundant=mine)
        op.set(x.pamt[s], Pamt.NDA)
        op.set(x.foreign[s], False)
        op.set(x.leaf[s, h], False, each=[h], when=x.phase == Phase.TEARDOWN)
