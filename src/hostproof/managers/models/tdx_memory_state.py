"""What the state of TDX private memory is made of: sorts, variables, duties and policies."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Name, OperationBuilder, Sort, Term, all_of, any_of, choose

__all__ = ["Content", "Epoch", "GuestPage", "Pamt", "Phase", "Sept", "State", "SystemPage", "not_assigned", "operands"]

SystemPage = Sort("SystemPage", prefix="s")
GuestPage = Sort("GuestPage", prefix="g")
Pamt = Sort("Pamt", ("NDA", "REG", "EPT"))
Sept = Sort("Sept", ("FREE", "MAPPED", "BLOCKED", "PENDING", "PENDING_BLOCKED"))
Epoch = Sort("Epoch", ("OLDER", "PREVIOUS", "CURRENT"))
Content = Sort("Content", ("GARBAGE", "ZERO", "DATA", "HOST"))
Phase = Sort("Phase", ("INITIALIZED", "RUNNABLE", "BLOCKED", "TEARDOWN"))


class State:
    """The variables of the model and the terms that several operations share."""

    def __init__(self, m: ModelBuilder) -> None:
        (s,) = SystemPage.names("s")
        self.phase = m.scalar("phase", Phase, "INITIALIZED", "op state while keys are there, then lifecycle state")
        self.pamt = m.function("pamt", [SystemPage], Pamt, "NDA", "type in the page's PAMT entry")
        self.foreign = m.function("foreign", [SystemPage], meaning="its owner is another TD")
        self.bepoch = m.function("bepoch", [SystemPage], Epoch, "OLDER", "epoch of its blocking, as seen from now")
        self.content = m.function("content", [SystemPage], Content, "GARBAGE", "what the TD's key makes of it")
        self.origin = m.function("origin", [SystemPage], GuestPage, meaning="the address its data was written at")
        self.fresh = m.function("fresh", [SystemPage], meaning="its data is the latest of that address")
        self.owned = m.function("owned", [SystemPage], meaning="the TD-owner bit of all its lines")
        self.sept = m.function("sept", [GuestPage], Sept, "FREE", "state of the Secure EPT leaf")
        self.leaf = m.function("leaf", [SystemPage, GuestPage], meaning="the leaf of g leads to s")
        self.cached = m.function("cached", [SystemPage, GuestPage], meaning="a CPU of this epoch may translate g to s")
        self.stale = m.function("stale", [SystemPage, GuestPage], meaning="a CPU running since the last epoch may")
        self.busy = m.scalar("busy", meaning="a virtual CPU runs that entered in this epoch")
        self.busy_before = m.scalar("busy_before", meaning="one runs that entered in the epoch before")
        self.accepted = m.function("accepted", [GuestPage], meaning="the guest holds the address for accepted")
        self.used = m.function("used", [GuestPage], meaning="the guest keeps data there")
        self.disclosed = m.scalar("disclosed", meaning="the host read plaintext")
        self.observed = m.scalar("observed", meaning="the host read ciphertext")
        self.dma_hit = m.scalar("dma_hit", meaning="a device got through with a private key")
        self.interrupted = m.scalar("interrupted", meaning="a #VE for private memory hit the guest in use")
        data = self.content[s] == Content.DATA
        m.alive(self.origin, [s], data)
        m.alive(self.fresh, [s], data)
        self._constants(m)

    def _constants(self, m: ModelBuilder) -> None:
        source = "TDXC: tdx_enc_status_changed, tdx_accept_memory"
        self.accept_once = m.duty("accept_once", "the guest accepts an address that it uses no second time", source)
        self.ve_fatal = m.duty(
            "ve_fatal", "the guest panics on a #VE for private memory", "TDXC: virt_exception_kernel"
        )
        sentence = "the guest does not run where #VE for pending pages is on"
        self.refuse_sept_ve = m.duty("refuse_sept_ve", sentence, "TDXC: disable_sept_ve")
        self.debug = m.policy("debug", "ATTRIBUTES.DEBUG", False, "TDXC: ATTR_DEBUG")
        sentence = "ATTRIBUTES.SEPT_VE_DISABLE, or TD_CTLS.PENDING_VE_DISABLE where the guest may set it"
        self.sept_ve_disable = m.policy("sept_ve_disable", sentence, True, "TDXMOD1501: tdh_mng_init")
        sentence = "a read of a line that lost its TD-owner bit is a machine check"
        self.owner_bit = m.policy("owner_bit", sentence, True, "TDXRST: integrity")
        self.iommu_checks = m.policy("iommu_checks", "hardware aborts DMA with a private KeyID", True, "TDXRST: DMA")

    @property
    def running(self) -> Term:
        """Whether a virtual CPU of the TD runs."""
        return self.busy | self.busy_before

    def tracked(self, s: Term) -> Term:
        """`is_tlb_tracked`: no CPU that runs entered before the page was blocked."""
        previous = all_of(self.bepoch[s] == Epoch.PREVIOUS, ~self.busy_before)
        return any_of(self.bepoch[s] == Epoch.OLDER, previous)

    def unblocked(self, g: Term) -> Term:
        """The state of an entry without its block."""
        pending = choose(self.sept[g] == Sept.PENDING_BLOCKED, Sept.PENDING, self.sept[g])
        return choose(self.sept[g] == Sept.BLOCKED, Sept.MAPPED, pending)

    def reachable(self, s: Term, g: Term) -> Term:
        """Whether an access of the guest to g may go to s: by a walk or by a translation that a CPU still has."""
        walk = all_of(self.phase == Phase.RUNNABLE, self.sept[g] == Sept.MAPPED, self.leaf[s, g])
        return any_of(walk, all_of(self.cached[s, g], self.busy), all_of(self.stale[s, g], self.busy_before))

    def reads(self, s: Term, g: Term) -> Term:
        """Whether the guest, which keeps data at g, may read s there without a machine check."""
        return all_of(self.reachable(s, g), self.used[g], self.owned[s] | ~self.owner_bit)


def operands(op: OperationBuilder) -> tuple[Name, Name]:
    """The page and the address that most calls take."""
    return op.parameter("s", SystemPage), op.parameter("g", GuestPage)


def not_assigned(op: OperationBuilder, x: State, s: Name, id: str) -> None:
    """The guard that a page is given to nobody (PT_NDA)."""
    op.guard(id, x.pamt[s] == Pamt.NDA, "TDX_PAGE_METADATA_INCORRECT", "TDXMOD1501: PT_NDA is expected of the page")
