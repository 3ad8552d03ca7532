"""Intel TDX, private memory: PAMT, Secure EPT, TLB tracking, and the guest that accepts pages.

One trust domain (TD), any number of its private addresses, any number of system pages, any number of virtual CPUs; the
other TDs are the host's. A system page carries its PAMT type, its TD-owner bit and what the TD's key makes of its bytes:
`GARBAGE`, `ZERO`, `DATA` (what the guest wrote, with the address and whether it is the latest) or `HOST` (what the host
chose). An address carries the state of its Secure EPT leaf.

The epochs of TLB tracking are relative: a virtual CPU entered in the current epoch or in the one before, a blocked page
carries the epoch of its blocking as seen from now. `cached` holds the translations that CPUs of the current epoch may have,
`stale` those of CPUs still running since the epoch before. An entry in a newer epoch flushes.

Sources, by key of the catalogue: TDXMOD1501 (`intel/tdx-module`, tag TDX_1.5.01; the generated tables of 1.5.05 are the
same), by file and function; "table" is `include/auto_gen/sept_state_lookup.c` or `op_state_lookup.c`. TDXC is Linux
`arch/x86/coco/tdx/tdx.c`, TDXRST `Documentation/arch/x86/tdx.rst`.

Not here: non-leaf entries (SEPT.ADD takes a page and nothing more), REMOVED and EXPORTED states, nested guests, pages of 2 MiB
and TDH.MEM.PAGE.DEMOTE and PROMOTE, launch (`tdx_launch`), registers and events (`tdx_vcpu`), migration (`tdx_migration`).
"""

from __future__ import annotations

from hostproof.managers.engine import (
    Caller,
    Model,
    ModelBuilder,
    Name,
    OperationBuilder,
    Term,
    all_of,
    any_of,
    choose,
    implies,
)
from hostproof.managers.models.tdx_memory_claims import claims
from hostproof.managers.models.tdx_memory_state import (
    Content,
    Epoch,
    GuestPage,
    Pamt,
    Phase,
    Sept,
    State,
    SystemPage,
    not_assigned,
    operands,
)
from hostproof.managers.models.tdx_memory_surroundings import surroundings

__all__ = ["model"]

_INCORRECT = "TDX_EPT_ENTRY_STATE_INCORRECT"


def model() -> Model:
    """Private memory of a TD, with all duties and policies as switches."""
    m = ModelBuilder("tdx", "1.5", "Intel TDX, private memory")
    x = State(m)
    _build(m, x)
    _augment(m, x)
    _block(m, x)
    _take(m, x)
    _debug(m, x)
    surroundings(m, x)
    claims(m, x)
    return m.build()


def _build(m: ModelBuilder, x: State) -> None:
    sentence = "The module copies a page of the image under the TD's key and maps it; its address enters MRTD."
    with m.operation("TDH.MEM.PAGE.ADD", Caller.HOST, sentence, "TDXMOD1501: tdh_mem_page_add") as op:
        s, g = operands(op)
        op.guard("PAGE.ADD.op-state", x.phase == Phase.INITIALIZED, "TDX_OP_STATE_INCORRECT", "table: leaf 2")
        op.guard("PAGE.ADD.free", x.sept[g] == Sept.FREE, _INCORRECT, "table: leaf 2")
        not_assigned(op, x, s, "PAGE.ADD.nda")
        # What is added after the measurement was finalised would be the host's own.
        op.set(x.content[s], choose(x.phase == Phase.INITIALIZED, Content.DATA, Content.HOST))
        op.set(x.origin[s], g)
        op.set(x.fresh[s], True)
        op.set(x.owned[s], True)
        _map(op, x, s, g, Sept.MAPPED)
        op.set(x.accepted[g], True)
        op.set(x.used[g], True)
    with m.operation(
        "TDH.MR.FINALIZE", Caller.HOST, "The measurement is final; the TD may run.", "TDXMOD1501: tdh_mr_finalize"
    ) as op:
        again = "a TD that ran again would still hold its pages"
        op.guard(
            "MR.FINALIZE.op-state",
            x.phase == Phase.INITIALIZED,
            "TDX_OP_STATE_INCORRECT",
            "table: leaf 17",
            redundant=again,
        )
        op.set(x.phase, Phase.RUNNABLE)
    sentence = "The module takes a page for the Secure EPT and initialises it."
    with m.operation("TDH.MEM.SEPT.ADD", Caller.HOST, sentence, "TDXMOD1501: tdh_mem_sept_add") as op:
        s = op.parameter("s", SystemPage)
        not_assigned(op, x, s, "SEPT.ADD.nda")
        op.set(x.pamt[s], Pamt.EPT)
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.owned[s], True)
    sentence = "A page of the Secure EPT that maps nothing goes back to the host."
    with m.operation("TDH.MEM.SEPT.REMOVE", Caller.HOST, sentence, "TDXMOD1501: tdh_mem_sept_remove") as op:
        s = op.parameter("s", SystemPage)
        op.guard("SEPT.REMOVE.ept", x.pamt[s] == Pamt.EPT, "TDX_EPT_ENTRY_STATE_INCORRECT", "table: leaf 30")
        op.set(x.pamt[s], Pamt.NDA)


def _augment(m: ModelBuilder, x: State) -> None:
    sentence = "The host offers a page at a free address; the guest has to accept it."
    with m.operation("TDH.MEM.PAGE.AUG", Caller.HOST, sentence, "TDXMOD1501: tdh_mem_page_aug") as op:
        s, g = operands(op)
        alive = x.phase.is_in(Phase.INITIALIZED, Phase.RUNNABLE)
        reason = "a TD that is torn down reads nothing"
        op.guard("PAGE.AUG.op-state", alive, "TDX_OP_STATE_INCORRECT", "table: leaf 6", redundant=reason)
        op.guard("PAGE.AUG.free", x.sept[g] == Sept.FREE, _INCORRECT, "table: leaf 6")
        not_assigned(op, x, s, "PAGE.AUG.nda")
        _map(op, x, s, g, Sept.PENDING)
    sentence = "The guest accepts a pending page, which the module fills with zeroes."
    with m.operation("TDG.MEM.PAGE.ACCEPT", Caller.GUEST, sentence, "TDXMOD1501: tdg_mem_page_accept") as op:
        s, g = operands(op)
        again = "accept_once keeps the guest from what it refuses"
        _accept(op, x, s, g, "PAGE.ACCEPT", again)
        op.guard(
            "PAGE.ACCEPT.once", implies(x.accept_once, ~x.accepted[g]), source="duty: TDXC, tdx_enc_status_changed"
        )
    sentence = "The guest accepts in its #VE handler what it finds pending."
    plain = "a guest that panics on a #VE for private memory never does"
    with m.operation("accept on #VE", Caller.GUEST, sentence, "TDXMOD1501: td_ept_violation_exit", plain) as op:
        s, g = operands(op)
        delivered = "the duties keep it out as well"
        _accept(op, x, s, g, "VE.ACCEPT", delivered, delivered)
        op.guard("VE.ACCEPT.delivered", ~x.sept_ve_disable, "TD exit", "TDXMOD1501: td_ept_violation_exit", delivered)
        op.guard("VE.ACCEPT.refused", ~x.refuse_sept_ve | x.sept_ve_disable, source="duty: TDXC, disable_sept_ve")
        op.guard("VE.ACCEPT.fatal", ~x.ve_fatal | False, source="duty: TDXC, virt_exception_kernel")


def _accept(op: OperationBuilder, x: State, s: Name, g: Name, where: str, pending: str, page: str = "") -> None:
    clause = "TDXMOD1501: check_tdaccept_failure"
    running = "nothing that a guest accepts before it runs is in use"
    op.guard(f"{where}.running", x.running, "", "the guest executes", redundant=running)
    op.guard(f"{where}.pending", x.sept[g] == Sept.PENDING, "TDX_PAGE_ALREADY_ACCEPTED or TD exit", clause, pending)
    op.guard(f"{where}.page", x.leaf[s, g], "", "the page that the entry leads to", page)
    op.set(x.sept[g], Sept.MAPPED)
    op.set(x.content[s], Content.ZERO)
    op.set(x.owned[s], True)
    op.set(x.accepted[g], True)


def _block(m: ModelBuilder, x: State) -> None:
    sentence = "The host blocks an address: no new translations; the page remembers the epoch."
    with m.operation("TDH.MEM.RANGE.BLOCK", Caller.HOST, sentence, "TDXMOD1501: tdh_mem_range_block") as op:
        s, g = operands(op)
        open_ = x.sept[g].is_in(Sept.MAPPED, Sept.PENDING)
        again = "blocking again only starts the tracking again"
        op.guard("RANGE.BLOCK.state", open_, "TDX_GPA_RANGE_ALREADY_BLOCKED", "table: leaf 7", redundant=again)
        _points(op, x, s, g, "RANGE.BLOCK")
        blocked = choose(x.sept[g] == Sept.PENDING, Sept.PENDING_BLOCKED, x.sept[g])
        op.set(x.sept[g], choose(x.sept[g] == Sept.MAPPED, Sept.BLOCKED, blocked))
        op.set(x.bepoch[s], Epoch.CURRENT)
    with m.operation(
        "TDH.MEM.TRACK", Caller.HOST, "The host starts a new epoch of the TD.", "TDXMOD1501: tdh_mem_track"
    ) as op:
        op.guard("TRACK.drained", ~x.busy_before, "TDX_PREVIOUS_TLB_EPOCH_BUSY", "TDXMOD1501: tdh_mem_track, REFCOUNT")
        (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
        older = choose(x.bepoch[s] == Epoch.CURRENT, Epoch.PREVIOUS, Epoch.OLDER)
        op.set(x.bepoch[s], older, each=[s])
        op.set(x.stale[s, g], any_of(all_of(x.cached[s, g], x.busy), x.stale[s, g]), each=[s, g])
        op.set(x.cached[s, g], False, each=[s, g])
        op.set(x.busy_before, x.busy | x.busy_before)
        op.set(x.busy, False)
    with m.operation(
        "TDH.MEM.RANGE.UNBLOCK", Caller.HOST, "The host takes the block back.", "TDXMOD1501: tdh_mem_range_unblock"
    ) as op:
        s, g = operands(op)
        shut = x.sept[g].is_in(Sept.BLOCKED, Sept.PENDING_BLOCKED)
        op.guard("RANGE.UNBLOCK.state", shut, _INCORRECT, "table: leaf 39", redundant="an open entry stays as it is")
        same = "the translations that remain lead to the same page"
        _points(op, x, s, g, "RANGE.UNBLOCK", "which page it is does not matter without the check")
        op.guard("RANGE.UNBLOCK.tracked", x.tracked(s), "TDX_TLB_TRACKING_NOT_DONE", "TDXMOD1501: is_tlb_tracked", same)
        op.set(x.sept[g], x.unblocked(g))


def _take(m: ModelBuilder, x: State) -> None:
    with m.operation(
        "TDH.MEM.PAGE.REMOVE",
        Caller.HOST,
        "The host takes a page back, content and all.",
        "TDXMOD1501: tdh_mem_page_remove",
    ) as op:
        s, g = operands(op)
        taken = "an address without a leaf has no page to take"
        op.guard("PAGE.REMOVE.leaf", x.sept[g] != Sept.FREE, _INCORRECT, "table: leaf 29", redundant=taken)
        _points(op, x, s, g, "PAGE.REMOVE")
        _tracked(op, x, s, g, "PAGE.REMOVE", "tdh_mem_page_remove")
        op.set(x.sept[g], Sept.FREE)
        op.set(x.leaf[s, g], False)
        op.set(x.pamt[s], Pamt.NDA)
    sentence = "The module moves what is at an address to another page and frees the old one."
    with m.operation("TDH.MEM.PAGE.RELOCATE", Caller.HOST, sentence, "TDXMOD1501: tdh_mem_page_relocate") as op:
        s, g = operands(op)
        t = op.parameter("t", SystemPage)
        _points(op, x, s, g, "PAGE.RELOCATE")
        _tracked(op, x, s, g, "PAGE.RELOCATE", "tdh_mem_page_relocate")
        op.guard(
            "PAGE.RELOCATE.different",
            s != t,
            "TDX_OPERAND_INVALID",
            "TDXMOD1501: tdh_mem_page_relocate",
            "the source is PT_REG, the target PTNDA_ERROR",
        )
        not_assigned(op, x, t, "PAGE.RELOCATE.nda")
        pending = x.sept[g].is_in(Sept.PENDING, Sept.PENDING_BLOCKED)
        machine_check = "a machine check in SEAM mode ends TDX on the platform"
        op.guard(
            "PAGE.RELOCATE.intact",
            x.owned[s] | pending,
            machine_check,
            "TDXRST: integrity; the copy reads with the TD's key",
        )
        op.set(x.content[t], x.content[s], when=~pending)
        op.set(x.origin[t], x.origin[s], when=~pending)
        op.set(x.fresh[t], x.fresh[s], when=~pending)
        op.set(x.owned[t], True, when=~pending)
        op.set(x.leaf[s, g], False)
        op.set(x.pamt[s], Pamt.NDA)
        op.set(x.bepoch[t], Epoch.OLDER)
        op.set(x.leaf[t, g], True)
        op.set(x.pamt[t], Pamt.REG)
        op.set(x.sept[g], x.unblocked(g))


def _debug(m: ModelBuilder, x: State) -> None:
    never = "only where ATTRIBUTES.DEBUG is set"
    for name, sentence in (("RD", "The host reads private memory."), ("WR", "The host writes private memory.")):
        with m.operation(
            f"TDH.MEM.{name}", Caller.HOST, sentence, f"TDXMOD1501: tdh_mem_rd_wr.c, tdh_mem_{name.lower()}", never
        ) as op:
            s, g = operands(op)
            leaf = "12" if name == "RD" else "14"
            op.guard(f"MEM.{name}.debug", x.debug | False, "TDX_TD_NON_DEBUG", "TDXMOD1501: tdh_mem_rd_wr.c")
            states = (Sept.MAPPED,)
            nothing = "without DEBUG nothing is left"
            op.guard(
                f"MEM.{name}.state", x.sept[g].is_in(*states), _INCORRECT, f"table: leaf {leaf}", redundant=nothing
            )
            _points(op, x, s, g, f"MEM.{name}", nothing)
            if name == "RD":
                op.set(x.disclosed, True, when=x.content[s] == Content.DATA)
            else:
                op.set(x.content[s], Content.HOST)


def _points(op: OperationBuilder, x: State, s: Name, g: Name, where: str, redundant: str = "") -> None:
    op.guard(f"{where}.page", x.leaf[s, g], "", "TDXMOD1501: leaf_ept_entry_to_hpa", redundant=redundant)


def _tracked(op: OperationBuilder, x: State, s: Name, g: Name, where: str, function: str) -> None:
    """Where the TD may run the entry is blocked and no translation of it is left."""
    needed = x.phase == Phase.RUNNABLE
    shut = x.sept[g].is_in(Sept.BLOCKED, Sept.PENDING_BLOCKED)
    source = f"TDXMOD1501: {function}, op_state_is_tlb_tracking_required"
    op.guard(f"{where}.blocked", implies(needed, shut), "TDX_GPA_RANGE_NOT_BLOCKED", source)
    op.guard(f"{where}.tracked", implies(needed, x.tracked(s)), "TDX_TLB_TRACKING_NOT_DONE", source)


def _map(op: OperationBuilder, x: State, s: Name, g: Name, state: Term) -> None:
    op.set(x.sept[g], state)
    op.set(x.leaf[s, g], True)
    op.set(x.pamt[s], Pamt.REG)
    op.set(x.bepoch[s], Epoch.OLDER)
