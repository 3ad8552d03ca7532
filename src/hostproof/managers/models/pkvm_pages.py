"""pKVM's page ownership: what the state of a page is, and what the host, EL2 and devices do to pages.

Shared by `pkvm_arm64` and `pkvm_x86`. Any number of pages, guest addresses and VMs. A VM is a protected guest that nobody but
itself controls (`GUEST`), a protected guest of the host's own (`ACCOMPLICE`), or a VM without protection (`PLAIN`).

A page has a state in the host's stage 2 and one at EL2; an address of a guest has a state in the guest's stage 2 (`POISON`
where a page was taken by force). `donor` is the owner that the invalid host entry of a donated page names, which is all
that EL2 remembers of it. Counters are relations: `pins` is the reference count at EL2, and the share count of a page is the
number of plain guests' addresses that map it (`leaked` where a VM went away without giving the page back).

Stale translations: only an entry that outlives its mapping matters, so `stale` holds exactly those, and stays empty while the
policy `tlb_invalidate` (maintenance comes before the owner changes) is on.

Source: `nvhe/` is Linux 7.3.4 arch/arm64/kvm/hyp/nvhe (PKVM734 of the catalogue), read as Debian's linux-source-7.3.
Not here: block mappings (one page stands for a block), memcaches (ENOMEM), tracing buffers, the overflow of the share count.
"""

from __future__ import annotations

from hostproof.managers.engine import (
    Caller,
    ModelBuilder,
    Name,
    OperationBuilder,
    Sort,
    Term,
    all_of,
    any_of,
    exists,
    implies,
)

__all__ = [
    "Content",
    "GuestPage",
    "GuestState",
    "Kind",
    "Outcome",
    "Page",
    "PageState",
    "Phase",
    "Pin",
    "State",
    "Vm",
    "Written",
    "host_and_el2",
    "observers",
]

Page = Sort("Page", prefix="s")
GuestPage = Sort("GuestPage", prefix="g")
Vm = Sort("Vm", prefix="v")
Pin = Sort("Pin", prefix="p")
PageState = Sort("PageState", ("OWNED", "SHARED_OWNED", "SHARED_BORROWED", "NOPAGE"))
GuestState = Sort("GuestState", ("NOPAGE", "OWNED", "SHARED_OWNED", "SHARED_BORROWED", "POISON"))
Kind = Sort("Kind", ("GUEST", "ACCOMPLICE", "PLAIN"))
Phase = Sort("Phase", ("LIVE", "DYING", "GONE"))
Content = Sort("Content", ("ZERO", "HOST", "OLD", "NEW", "EXPOSED", "MANAGER"))
"""OLD and NEW: what the guest wrote first and last at an address; EXPOSED: secrets that the guest itself shared."""
Written = Sort("Written", ("NONE", "OLD", "NEW"))
Outcome = Sort("Outcome", ("NOTHING", "LEARNT", "EXPOSED", "MANAGER", "DMA", "DMA_MANAGER", "BUS", "FOLLOWED", "TOOK"))
"""What the last observation gave. Observations change nothing else, so that one variable serves all of them."""

_PROTECT = "nvhe/mem_protect.c"


class State:
    """Variables, policies and duties, and the conditions that several operations share."""

    def __init__(self, m: ModelBuilder, iommu: bool, source: str, ranges: bool = True) -> None:
        self.host = m.function("host", [Page], PageState, "OWNED", "the host's state of the page")
        self.hyp = m.function("hyp", [Page], PageState, "NOPAGE", "the hypervisor's state of the page")
        self.pins = m.function("pins", [Pin, Page], meaning="a reference of the hypervisor to a page shared with it")
        self.lent = m.function("lent", [Page], meaning="the secure world has the page by FF-A")
        self.donor = m.function(
            "donor", [Page, GuestPage], meaning="the invalid host entry of the page names this address"
        )
        self.leaked = m.function("leaked", [Page], meaning="the share count is stuck: a plain VM died holding the page")
        self.content = m.function("content", [Page], Content, "HOST", "what the page holds")
        self.vm = m.function("vm", [GuestPage], Vm, meaning="whose address it is")
        self.guest = m.function(
            "guest", [GuestPage], GuestState, "NOPAGE", "the state of the address in its guest's stage 2"
        )
        self.maps = m.function("maps", [GuestPage, Page], meaning="the guest's stage 2 maps the page at the address")
        self.written = m.function(
            "written", [GuestPage], Written, "NONE", "what the guest wrote last at a private address"
        )
        self.kind = m.function("kind", [Vm], Kind, meaning="who controls the VM and whether it is protected")
        self.phase = m.function("phase", [Vm], Phase, "LIVE", "the life of the VM")
        self.stale_host = m.function("stale_host", [Page], meaning="a CPU still has the host's translation of the page")
        self.stale = m.function("stale", [GuestPage, Page], meaning="a CPU still has the guest's translation")
        self.outcome = m.scalar("outcome", Outcome, "NOTHING", "what the last observation gave")
        self._alive(m)
        self.tlb = m.policy("tlb_invalidate", "translations are gone before the owner of a page changes", True, source)
        self.scrub = m.policy("scrub", "a private page is zeroed before it returns to the host", True, source)
        self.ranges = m.policy(
            "pfn_range_is_valid",
            "a range that wraps is refused (CVE-2026-0028 where it is not)",
            ranges,
            f"{_PROTECT}, pfn_range_is_valid",
        )
        self.iommu = m.policy("iommu", "devices reach only what the host owns or shares", iommu, source)
        self.initialise = m.duty(
            "initialise_first", "the guest reads no private page before it wrote it (Linux does not keep this)"
        )
        self.scrubs = m.duty("scrub_before_share", "the guest clears a page before it shares it")
        self.keeps = m.duty("no_secret_in_shared", "the guest writes no secret to a page that it shares")

    def _alive(self, m: ModelBuilder) -> None:
        (v,), (p,) = Vm.names("v"), Page.names("p")
        m.alive(self.kind, [v], self.phase[v] != Phase.GONE)
        m.alive(self.leaked, [p], self.host[p] == PageState.SHARED_OWNED)

    def host_reaches(self, s: Term) -> Term:
        """The host's stage 2 lets it through, or a stale translation does."""
        return any_of(self.host[s] != PageState.NOPAGE, self.stale_host[s])

    def answers(self, s: Term, g: Term) -> Term:
        """An access of the guest at address g meets page s."""
        return any_of(self.maps[g, s], self.stale[g, s])

    def is_kind(self, g: Term, *kinds: Term) -> Term:
        """The VM of the address is live and of one of these kinds."""
        return all_of(self.phase[self.vm[g]] == Phase.LIVE, self.kind[self.vm[g]].is_in(*kinds))

    def reads(self, s: Term, g: Term) -> Term:
        """The honest guest runs, and an access of it at g meets page s."""
        return all_of(self.is_kind(g, Kind.GUEST), self.answers(s, g))

    def secret(self, s: Term) -> Term:
        """The page holds what a guest keeps private."""
        return self.content[s].is_in(Content.OLD, Content.NEW)

    def counted(self, s: Term) -> Term:
        """host_share_guest_count of the page is not 0."""
        (h,) = GuestPage.names("h")
        borrowed = all_of(self.maps[h, s], self.guest[h] == GuestState.SHARED_BORROWED)
        return any_of(self.leaked[s], exists([h], borrowed))

    def take_from_host(self, op: OperationBuilder, s: Term) -> None:
        """The host's entry of the page becomes invalid."""
        op.set(self.host[s], "NOPAGE")
        op.set(self.stale_host[s], True, when=~self.tlb)

    def unmap(self, op: OperationBuilder, g: Term) -> None:
        """The guest's entry of the address becomes invalid."""
        (t,) = Page.names("t")
        op.set(self.stale[g, t], True, when=all_of(~self.tlb, self.maps[g, t]), each=[t])
        op.set(self.maps[g, t], False, each=[t])

    def forget_donor(self, op: OperationBuilder, s: Term) -> None:
        """The host's entry of the page is valid again, or names somebody else."""
        (h,) = GuestPage.names("h")
        op.set(self.donor[s, h], False, each=[h])


def page(op: OperationBuilder) -> Name:
    """The page that the operation is about."""
    return op.parameter("s", Page)


def host_and_el2(m: ModelBuilder, x: State) -> None:
    """Adds the operations between host and hypervisor."""
    _share_hyp(m, x)
    _pin(m, x)
    _donate_hyp(m, x)
    _ffa(m, x)


def _share_hyp(m: ModelBuilder, x: State) -> None:
    where = f"{_PROTECT}, __pkvm_host_share_hyp"
    with m.operation("host_share_hyp", Caller.HOST, "The host shares a page with the hypervisor.", where) as op:
        s = page(op)
        op.guard("share_hyp.host", x.host[s] == PageState.OWNED, "EPERM", where)
        op.guard(
            "share_hyp.hyp",
            x.hyp[s] == PageState.NOPAGE,
            "EPERM",
            where,
            redundant="a page that the host owns is not the hypervisor's",
        )
        op.set(x.hyp[s], "SHARED_BORROWED")
        op.set(x.host[s], "SHARED_OWNED")
    where = f"{_PROTECT}, __pkvm_host_unshare_hyp"
    with m.operation("host_unshare_hyp", Caller.HOST, "The host ends the sharing with the hypervisor.", where) as op:
        s, (p,) = page(op), Pin.names("p")
        op.guard(
            "unshare_hyp.host",
            x.host[s] == PageState.SHARED_OWNED,
            "EPERM",
            where,
            redundant="the hypervisor borrows only what the host shares",
        )
        op.guard("unshare_hyp.hyp", x.hyp[s] == PageState.SHARED_BORROWED, "EPERM", where)
        op.guard("unshare_hyp.pinned", ~exists([p], x.pins[p, s]), "EBUSY", where)
        op.set(x.hyp[s], "NOPAGE")
        op.set(x.host[s], "OWNED")


def _pin(m: ModelBuilder, x: State) -> None:
    where = f"{_PROTECT}, hyp_pin_shared_mem"
    with m.operation(
        "hyp_pin_shared_mem", Caller.MANAGER, "A vCPU of the host's is set up on a shared page.", where
    ) as op:
        s, p = page(op), op.parameter("p", Pin)
        op.guard(
            "pin.free",
            ~exists([page_ := Page.names("t")[0]], x.pins[p, page_]),
            "",
            "one reference, one page",
            redundant="names references",
        )
        op.guard(
            "pin.host",
            x.host[s] == PageState.SHARED_OWNED,
            "EPERM",
            where,
            redundant="the hypervisor borrows only what the host shares",
        )
        op.guard("pin.hyp", x.hyp[s] == PageState.SHARED_BORROWED, "EPERM", where)
        op.set(x.pins[p, s], True)
    where = f"{_PROTECT}, hyp_unpin_shared_mem"
    with m.operation("hyp_unpin_shared_mem", Caller.MANAGER, "The hypervisor drops a reference.", where) as op:
        s, p = page(op), op.parameter("p", Pin)
        op.guard("unpin.pinned", x.pins[p, s], "", where, redundant="without a reference nothing changes")
        op.set(x.pins[p, s], False)
    where = "nvhe/hyp-main.c, sync_hyp_vcpu"
    with m.operation(
        "sync_vcpu", Caller.MANAGER, "The hypervisor writes a vCPU's state to its shared page.", where
    ) as op:
        s, (p,) = page(op), Pin.names("p")
        op.guard("sync_vcpu.pinned", exists([p], x.pins[p, s]), "", where)
        op.set(x.content[s], "HOST")


def _donate_hyp(m: ModelBuilder, x: State) -> None:
    where = f"{_PROTECT}, __pkvm_host_donate_hyp"
    with m.operation("host_donate_hyp", Caller.HOST, "The host gives a page for tables or state of a VM.", where) as op:
        s = page(op)
        op.guard("donate_hyp.host", x.host[s] == PageState.OWNED, "EPERM", where)
        op.guard(
            "donate_hyp.hyp",
            x.hyp[s] == PageState.NOPAGE,
            "EPERM",
            where,
            redundant="a page that the host owns is not the hypervisor's",
        )
        op.set(x.hyp[s], "OWNED")
        x.take_from_host(op, s)
    with m.operation(
        "fill", Caller.MANAGER, "The hypervisor keeps its state in its page.", "nvhe/pkvm.c, __pkvm_init_vm"
    ) as op:
        s = page(op)
        op.guard("fill.owned", x.hyp[s] == PageState.OWNED, "", "the hypervisor's own tables")
        op.set(x.content[s], "MANAGER")
    where = f"{_PROTECT}, __pkvm_hyp_donate_host; nvhe/pkvm.c, teardown_donated_memory"
    with m.operation("hyp_donate_host", Caller.MANAGER, "The hypervisor gives a page back, zeroed.", where) as op:
        s, (p,) = page(op), Pin.names("p")
        op.guard("hyp_donate.hyp", x.hyp[s] == PageState.OWNED, "EPERM", where)
        op.guard(
            "hyp_donate.host",
            x.host[s] == PageState.NOPAGE,
            "EPERM",
            where,
            redundant="what the hypervisor owns is not the host's",
        )
        op.guard(
            "hyp_donate.pinned", ~exists([p], x.pins[p, s]), "EBUSY", where, redundant="only shared pages are pinned"
        )
        op.set(x.hyp[s], "NOPAGE")
        op.set(x.host[s], "OWNED")
        op.set(x.content[s], "ZERO", when=x.scrub)


def _ffa(m: ModelBuilder, x: State) -> None:
    where = f"{_PROTECT}, __pkvm_host_share_ffa"
    with m.operation("host_share_ffa", Caller.HOST, "The host shares a page with the secure world.", where) as op:
        s = page(op)
        op.guard("share_ffa.host", x.host[s] == PageState.OWNED, "EPERM", where)
        op.set(x.host[s], "SHARED_OWNED")
        op.set(x.lent[s], True)
    where = f"{_PROTECT}, __pkvm_host_unshare_ffa; nvhe/ffa.c, do_ffa_mem_reclaim"
    with m.operation("host_unshare_ffa", Caller.HOST, "The secure world gives a page back.", where) as op:
        s = page(op)
        op.guard(
            "unshare_ffa.host", x.host[s] == PageState.SHARED_OWNED, "EPERM", where, redundant="what was lent is shared"
        )
        op.guard(
            "unshare_ffa.lent", x.lent[s], "", "nvhe/ffa.c, do_ffa_mem_reclaim: the descriptor of the secure world"
        )
        op.set(x.host[s], "OWNED")
        op.set(x.lent[s], False)


def observers(m: ModelBuilder, x: State, secure_world: bool) -> None:
    """Adds who reads and writes pages without owning them: host, its guests, secure world, devices, the bus."""
    abort = f"{_PROTECT}, handle_host_mem_abort, host_stage2_adjust_range"
    with m.operation("host_store", Caller.HOST, "The host writes a page.", abort) as op:
        s = page(op)
        op.guard("host_store.mapped", x.host_reaches(s), "abort, SIGSEGV or EFAULT", abort)
        op.set(x.content[s], "HOST")
    with m.operation("host_load", Caller.HOST, "The host reads a page.", abort) as op:
        s = page(op)
        op.guard("host_load.mapped", x.host_reaches(s), "abort, SIGSEGV or EFAULT", abort)
        _learn(op, x, s)
    stage2 = "arch/arm64/kvm/hyp/pgtable.c, the VM's stage 2"
    with m.operation("accomplice_store", Caller.HOST, "A VM of the host's own writes a page.", stage2) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        _accomplice(op, x, s, g, "store")
        op.set(x.content[s], "HOST")
    with m.operation("accomplice_load", Caller.HOST, "A VM of the host's own reads a page.", stage2) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        _accomplice(op, x, s, g, "load")
        _learn(op, x, s)
    if secure_world:
        _secure_world(m, x)
    _devices(m, x)
    _eviction(m, x)


def _secure_world(m: ModelBuilder, x: State) -> None:
    with m.operation(
        "secure_world_load", Caller.HOST, "The secure world reads a page for the host.", "nvhe/ffa.c"
    ) as op:
        s = page(op)
        op.guard(
            "secure_world.lent",
            x.lent[s],
            "",
            "the secure world maps what was lent to it",
            redundant="with it gone the secure world is an adversary: the assumption secure-world",
        )
        _learn(op, x, s)


def _devices(m: ModelBuilder, x: State) -> None:
    where = "Documentation/virt/kvm/arm/pkvm.rst, DMA isolation using an IOMMU"
    for name, sentence in (("load", "A device reads a page."), ("store", "A device writes a page.")):
        with m.operation(f"device_{name}", Caller.DMA, sentence, where) as op:
            s = page(op)
            allowed = implies(x.iommu, x.host[s] != PageState.NOPAGE)
            op.guard(
                f"device_{name}.iommu",
                allowed,
                "IOMMU fault",
                where,
                redundant="D1 is broken without the policy; with it, the guard is what keeps it",
            )
            op.set(x.outcome, "DMA", when=x.secret(s))
            op.set(x.outcome, "DMA_MANAGER", when=x.hyp[s] == PageState.OWNED)
            if name == "store":
                # What a device does to a private page is D1's; the other objectives assume D1.
                op.set(x.content[s], "HOST", when=x.host[s] != PageState.NOPAGE)
    with m.operation(
        "probe_bus", Caller.HOST, "Somebody reads DRAM on the bus: it is not encrypted.", "PKVM: overview"
    ) as op:
        s = page(op)
        op.set(x.outcome, "BUS", when=x.secret(s))


def _eviction(m: ModelBuilder, x: State) -> None:
    where = "TLB entries go at any time"
    never = "nothing outlives its mapping while tlb_invalidate is on"
    with m.operation("evict", Caller.CPU, "A CPU drops a stale translation of a guest.", where, never) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        op.guard("evict.stale", x.stale[g, s], "", where, redundant="without an entry nothing changes")
        op.set(x.stale[g, s], False)


def _accomplice(op: OperationBuilder, x: State, s: Name, g: Name, verb: str) -> None:
    op.guard(
        f"accomplice_{verb}.own",
        x.is_kind(g, Kind.ACCOMPLICE, Kind.PLAIN),
        "",
        "the host's own VM",
        redundant="with it gone every guest is the host's: the assumption of an honest guest",
    )
    op.guard(f"accomplice_{verb}.mapped", x.answers(s, g), "stage 2 fault", "the VM's stage 2")


def _learn(op: OperationBuilder, x: State, s: Name) -> None:
    op.set(x.outcome, "LEARNT", when=x.secret(s))
    op.set(x.outcome, "EXPOSED", when=x.content[s] == Content.EXPOSED)
    op.set(x.outcome, "MANAGER", when=x.content[s] == Content.MANAGER)
