"""pKVM's VMs: how pages come to guests and go back, what protected guests call, and what the guest does with its memory.

Shared by `pkvm_arm64` and `pkvm_x86`; state and sources in `pkvm_pages`.
"""

from __future__ import annotations

from hostproof.managers.engine import (
    Caller,
    ModelBuilder,
    Name,
    OperationBuilder,
    Term,
    all_of,
    any_of,
    choose,
    exists,
    implies,
)
from hostproof.managers.models.pkvm_pages import (
    Content,
    GuestPage,
    GuestState,
    Kind,
    Page,
    PageState,
    Phase,
    State,
    Vm,
    Written,
    page,
)

__all__ = ["donations", "guest_calls", "guest_memory", "lives", "plain_shares", "reclaims"]

_PROTECT = "nvhe/mem_protect.c"
_STAGE2 = "arch/arm64/kvm/hyp/pgtable.c, the VM's stage 2"
_NO_GUEST = "pages of the host's own VMs only: no trace is found, though the invariants may need it"


def donations(m: ModelBuilder, x: State) -> None:
    """Adds the donation of a page to a protected VM."""
    where = f"{_PROTECT}, __pkvm_host_donate_guest"
    caller = "nvhe/hyp-main.c, handle___pkvm_host_donate_guest"
    with m.operation(
        "host_donate_guest", Caller.HOST, "The host gives a page to a protected VM, as it is.", where
    ) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        op.guard("donate_guest.protected", x.kind[x.vm[g]] != Kind.PLAIN, "EINVAL", caller, redundant=_NO_GUEST)
        op.guard(
            "donate_guest.live",
            x.phase[x.vm[g]] == Phase.LIVE,
            "EINVAL",
            "nvhe/pkvm.c, pkvm_load_hyp_vcpu: not of a dying VM",
            redundant="a VM that does not run uses no page: no trace is found, though the invariants need it",
        )
        op.guard("donate_guest.host", x.host[s] == PageState.OWNED, "EPERM", where)
        op.guard("donate_guest.guest", x.guest[g] == GuestState.NOPAGE, "EPERM", where)
        x.take_from_host(op, s)
        x.forget_donor(op, s)
        op.set(x.donor[s, g], True)
        op.set(x.guest[g], "OWNED")
        op.set(x.maps[g, s], True)


def plain_shares(m: ModelBuilder, x: State) -> None:
    """Adds the sharing of pages with VMs without protection."""
    where = f"{_PROTECT}, __pkvm_host_share_guest"
    caller = "nvhe/hyp-main.c, handle___pkvm_host_share_guest"
    with m.operation(
        "host_share_guest", Caller.HOST, "The host shares a page with a VM without protection.", where
    ) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        plain = x.kind[x.vm[g]] == Kind.PLAIN
        mine = any_of(x.host[s] == PageState.OWNED, all_of(x.host[s] == PageState.SHARED_OWNED, x.counted(s)))
        op.guard("share_guest.plain", plain, "EINVAL", caller)
        op.guard(
            "share_guest.live",
            x.phase[x.vm[g]] == Phase.LIVE,
            "EINVAL",
            "nvhe/pkvm.c, pkvm_load_hyp_vcpu",
            redundant=_NO_GUEST,
        )
        op.guard("share_guest.guest", x.guest[g] == GuestState.NOPAGE, "EPERM", where, redundant=_NO_GUEST)
        op.guard("share_guest.host", implies(x.ranges, mine), "EPERM", f"{where}; {_PROTECT}, pfn_range_is_valid")
        op.set(x.host[s], "SHARED_OWNED", when=mine)
        op.set(x.guest[g], "SHARED_BORROWED")
        op.set(x.maps[g, s], True)
    where = f"{_PROTECT}, __pkvm_host_unshare_guest, __check_host_shared_guest"
    with m.operation("host_unshare_guest", Caller.HOST, "The host takes a page back from a plain VM.", where) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        (h,) = GuestPage.names("h")
        plain = x.kind[x.vm[g]] == Kind.PLAIN
        op.guard(
            "unshare_guest.plain",
            plain,
            "EINVAL",
            "nvhe/pkvm.c, get_np_pkvm_hyp_vm",
            redundant="a protected VM borrows nothing",
        )
        op.guard("unshare_guest.maps", x.maps[g, s], "ENOENT", where)
        op.guard(
            "unshare_guest.guest",
            x.guest[g] == GuestState.SHARED_BORROWED,
            "EPERM",
            where,
            redundant="a plain VM owns nothing",
        )
        op.guard(
            "unshare_guest.host",
            x.host[s] == PageState.SHARED_OWNED,
            "EPERM",
            where,
            redundant="what a plain VM borrows is shared",
        )
        others = exists([h], all_of(h != g, x.maps[h, s], x.guest[h] == GuestState.SHARED_BORROWED))
        op.set(x.host[s], choose(any_of(x.leaked[s], others), PageState.SHARED_OWNED, PageState.OWNED))
        op.set(x.guest[g], "NOPAGE")
        x.unmap(op, g)
    where = f"{_PROTECT}, __pkvm_host_wrprotect_guest, __pkvm_host_test_clear_young_guest"
    with m.operation("host_wrprotect_guest", Caller.HOST, "The host follows a VM's accesses to a page.", where) as op:
        g = op.parameter("g", GuestPage)
        plain = x.kind[x.vm[g]] == Kind.PLAIN
        op.guard("wrprotect_guest.plain", plain, "EPERM", where)
        op.set(x.outcome, "FOLLOWED", when=all_of(x.kind[x.vm[g]] == Kind.GUEST, x.guest[g] == GuestState.OWNED))


def guest_calls(
    m: ModelBuilder,
    x: State,
    share: str = f"{_PROTECT}, __pkvm_guest_share_host",
    unshare: str = f"{_PROTECT}, __pkvm_guest_unshare_host",
    donors: bool = True,
) -> None:
    """Adds the hypercalls of protected guests; `donors`: the host's invalid entry names the guest's address."""
    where = share
    with m.operation("guest_share_host", Caller.GUEST, "A protected guest shares a page with the host.", where) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        _calls(op, x, s, g, "share_host")
        op.guard(
            "share_host.guest",
            x.guest[g] == GuestState.OWNED,
            "EPERM",
            where,
            redundant="what is shared already stays so",
        )
        op.guard(
            "share_host.host",
            x.host[s] == PageState.NOPAGE,
            "EPERM",
            where,
            redundant="what a guest owns is not the host's",
        )
        clean = any_of(x.written[g] == Written.NONE, x.kind[x.vm[g]] != Kind.GUEST)
        op.guard("share_host.scrubbed", implies(x.scrubs, clean), source="duty scrub_before_share")
        op.set(x.guest[g], "SHARED_OWNED")
        op.set(x.host[s], "SHARED_BORROWED")
        x.forget_donor(op, s)
        op.set(x.written[g], "NONE")
        op.set(x.content[s], "EXPOSED", when=x.secret(s))
    where = unshare
    with m.operation("guest_unshare_host", Caller.GUEST, "A protected guest ends the sharing.", where) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        _calls(op, x, s, g, "unshare_host")
        op.guard(
            "unshare_host.guest",
            x.guest[g] == GuestState.SHARED_OWNED,
            "EPERM",
            where,
            redundant="what is not shared stays so",
        )
        op.guard(
            "unshare_host.host",
            x.host[s] == PageState.SHARED_BORROWED,
            "EPERM",
            where,
            redundant="what a guest shares the host borrows",
        )
        x.take_from_host(op, s)
        if donors:
            x.forget_donor(op, s)
            op.set(x.donor[s, g], True)
        op.set(x.guest[g], "OWNED")


def _calls(op: OperationBuilder, x: State, s: Name, g: Name, name: str) -> None:
    protected = x.is_kind(g, Kind.GUEST, Kind.ACCOMPLICE)
    op.guard(
        f"{name}.runs",
        protected,
        "",
        "nvhe/pkvm.c, kvm_handle_pvm_hvc64",
        redundant="a plain VM owns nothing, and a VM that is gone does not call",
    )
    op.guard(f"{name}.maps", x.maps[g, s], "ENOENT or EHWPOISON", f"{_PROTECT}, get_valid_guest_pte")


def reclaims(m: ModelBuilder, x: State) -> None:
    """Adds the two ways a page of a protected VM comes back: by force, and from a dying VM."""
    where = f"{_PROTECT}, __pkvm_host_force_reclaim_page_guest"
    info = f"{_PROTECT}, host_stage2_get_guest_info, host_stage2_decode_gfn_meta"
    sentence = "The host takes a private page by force; it is zeroed, and the address is poisoned."
    with m.operation("force_reclaim_page_guest", Caller.HOST, sentence, where) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        op.guard(
            "force_reclaim.host",
            x.host[s] == PageState.NOPAGE,
            "EAGAIN",
            info,
            redundant="only a page that is gone names a guest",
        )
        op.guard("force_reclaim.donor", x.donor[s, g], "EPERM", info)
        op.guard(
            "force_reclaim.vm",
            x.phase[x.vm[g]] != Phase.GONE,
            "EAGAIN",
            info,
            redundant="a VM that is gone owns nothing",
        )
        op.guard(
            "force_reclaim.guest",
            x.guest[g] == GuestState.OWNED,
            "EPERM, ENOENT or EHWPOISON",
            where,
            redundant="a shared page names nobody, and the rest is scrubbed",
        )
        op.set(x.guest[g], "POISON")
        x.unmap(op, g)
        _give_back(op, x, s, x.scrub)
    where = f"{_PROTECT}, __pkvm_host_reclaim_page_guest"
    sentence = "The host takes a page of a dying VM; a page that the guest had shared is not zeroed."
    with m.operation("reclaim_dying_guest_page", Caller.HOST, sentence, where) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        state = x.guest[g]
        op.guard(
            "reclaim_dying.dying",
            x.phase[x.vm[g]] == Phase.DYING,
            "EINVAL",
            "nvhe/pkvm.c, __pkvm_reclaim_dying_guest_page",
        )
        op.guard("reclaim_dying.maps", x.maps[g, s], "ENOENT", f"{_PROTECT}, get_valid_guest_pte")
        op.guard("reclaim_dying.guest", state.is_in(GuestState.OWNED, GuestState.SHARED_OWNED), "EPERM", where)
        op.set(x.guest[g], "NOPAGE")
        x.unmap(op, g)
        _give_back(op, x, s, all_of(x.scrub, state == GuestState.OWNED))


def _give_back(op: OperationBuilder, x: State, s: Name, zeroed: Term) -> None:
    op.set(x.host[s], "OWNED")
    x.forget_donor(op, s)
    op.set(x.content[s], "ZERO", when=zeroed)


def lives(m: ModelBuilder, x: State) -> None:
    """Adds the life of VMs. The handle of a VM that is gone may name another one, of another kind."""
    where = "nvhe/pkvm.c, __pkvm_start_teardown_vm"
    with m.operation("start_teardown_vm", Caller.HOST, "The host ends a VM.", where) as op:
        v = op.parameter("v", Vm)
        op.guard("start_teardown.live", x.phase[v] == Phase.LIVE, "EINVAL", where, redundant="dying twice is dying")
        op.set(x.phase[v], "DYING")
    where = "nvhe/pkvm.c, __pkvm_finalize_teardown_vm"
    sentence = "The tables of a dying VM go; pages that the host did not reclaim before are lost to everybody."
    with m.operation("finalize_teardown_vm", Caller.HOST, sentence, where) as op:
        v = op.parameter("v", Vm)
        (g, h), (t,) = GuestPage.names("g", "h"), Page.names("t")
        op.guard(
            "finalize.dying", x.phase[v] == Phase.DYING, "EINVAL", where, redundant="the host may end a VM at any time"
        )
        borrowed = exists([h], all_of(x.vm[h] == v, x.maps[h, t], x.guest[h] == GuestState.SHARED_BORROWED))
        op.set(x.leaked[t], True, when=borrowed, each=[t])
        gone = x.vm[g] == v
        op.set(x.stale[g, t], True, when=all_of(gone, ~x.tlb, x.maps[g, t]), each=[g, t])
        op.set(x.maps[g, t], False, when=gone, each=[g, t])
        op.set(x.guest[g], "NOPAGE", when=gone, each=[g])
        op.set(x.written[g], "NONE", when=gone, each=[g])
        op.set(x.phase[v], "GONE")
    where = "nvhe/pkvm.c, __pkvm_init_vm, find_free_vm_table_entry"
    with m.operation("init_vm", Caller.HOST, "The host makes a VM of any kind under a free handle.", where) as op:
        v, kind = op.parameter("v", Vm), op.parameter("kind", Kind)
        op.guard("init_vm.free", x.phase[v] == Phase.GONE, "EINVAL", where)
        op.set(x.phase[v], "LIVE")
        op.set(x.kind[v], kind)


def guest_memory(m: ModelBuilder, x: State) -> None:
    """Adds what the guest itself does with memory."""
    with m.operation("guest_store", Caller.GUEST, "The guest writes a secret of its own.", _STAGE2) as op:
        s, g, first = page(op), op.parameter("g", GuestPage), op.parameter("value", Written)
        shared = x.guest[g] == GuestState.SHARED_OWNED
        _runs(op, x, s, g, "store")
        value = any_of(first == Written.NEW, all_of(first == Written.OLD, x.written[g] == Written.NONE))
        op.guard("store.value", value, "", "first OLD, then NEW", redundant="names values")
        op.guard("store.private", implies(x.keeps, ~shared), source="duty no_secret_in_shared")
        op.set(x.content[s], choose(first == Written.NEW, Content.NEW, Content.OLD))
        op.set(x.content[s], "EXPOSED", when=shared)
        op.set(x.written[g], first, when=~shared)
    with m.operation("guest_clear", Caller.GUEST, "The guest zeroes a page and forgets it.", _STAGE2) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        _runs(op, x, s, g, "clear")
        op.set(x.content[s], "ZERO")
        op.set(x.written[g], "NONE")
    with m.operation(
        "guest_load", Caller.GUEST, "The guest reads a private page and uses what it finds.", _STAGE2
    ) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        _runs(op, x, s, g, "load")
        op.guard("load.own", implies(x.initialise, x.written[g] != Written.NONE), source="duty initialise_first")
        chosen = all_of(x.content[s] == Content.HOST, x.guest[g] != GuestState.SHARED_OWNED)
        op.set(x.outcome, "TOOK", when=chosen)


def _runs(op: OperationBuilder, x: State, s: Name, g: Name, verb: str) -> None:
    op.guard(f"{verb}.runs", x.is_kind(g, Kind.GUEST), "", "the guest is itself", redundant="defines who the guest is")
    op.guard(f"{verb}.mapped", x.answers(s, g), "stage 2 fault", _STAGE2, redundant="defines what an access meets")
