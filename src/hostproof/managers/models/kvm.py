"""Plain KVM: the baseline, in which the host may do everything.

The host maps all memory and holds the registers; nothing checks anything. Every primitive of the catalogue is one operation,
and every objective must come out broken: a prover that finds something to prove here proves nothing elsewhere.

Sources, by kernel file: `Documentation/virt/kvm/api.rst` (Linux 7.3), by the name of the ioctl.
"""

from __future__ import annotations

from hostproof.managers.engine import Caller, Model, ModelBuilder, Sort, all_of, exists

__all__ = ["Content", "GuestPage", "Memory", "SystemPage", "model"]

SystemPage = Sort("SystemPage", prefix="s")
GuestPage = Sort("GuestPage", prefix="g")
Content = Sort("Content", ("ZERO", "DATA", "HOST"))
_API = "Documentation/virt/kvm/api.rst"


class Memory:
    """Guest addresses backed by memory slots that the host fills as it likes."""

    def __init__(self, m: ModelBuilder) -> None:
        page, address = [SystemPage], [GuestPage]
        self.backing = m.function("backing", [GuestPage, SystemPage], meaning="the memory slot puts page s at g")
        self.content = m.function("content", page, Content, "ZERO")
        self.origin = m.function("origin", page, GuestPage, meaning="the address that DATA was written at")
        self.fresh = m.function("fresh", page, meaning="DATA is what the guest wrote last at that address")
        self.wrote = m.function("wrote", page, meaning="the guest wrote this page itself")
        self.saved = m.function("saved", page, Content, "ZERO", "the host's copy of a page")
        self.saved_origin = m.function("saved_origin", page, GuestPage)
        self.used = m.function("used", address, meaning="the guest has data at the address")
        (p,) = SystemPage.names("p")
        m.alive(self.origin, [p], self.content[p] == Content.DATA)
        m.alive(self.fresh, [p], self.content[p] == Content.DATA)
        m.alive(self.saved_origin, [p], self.saved[p] == Content.DATA)


_EVENTS = (
    ("D1", "device write", Caller.DMA, "A device writes a page of the guest.", "no IOMMU rule protects guests", "dma-private"),
    ("R1", "read registers", Caller.HOST, "The host reads the registers.", "KVM_GET_REGS", "read-registers"),
    ("R2", "write registers", Caller.HOST, "The host writes the registers.", "KVM_SET_REGS", "write-registers"),
    ("X1", "inject", Caller.HOST, "The host injects an event of its choice.", "KVM_SET_VCPU_EVENTS", "inject-exception"),
    ("X2", "answer CPUID", Caller.HOST, "The host answers CPUID as it likes.", "KVM_SET_CPUID2", "lie-cpuid"),
    ("X3", "step", Caller.HOST, "The host stops the guest after each instruction.", "KVM_SET_GUEST_DEBUG", "single-step"),
    ("G1", "debug", Caller.HOST, "The host debugs the guest, and no report says so.", "KVM_SET_GUEST_DEBUG", "debug-decrypt"),
    ("L1", "launch another image", Caller.HOST, "The host starts what it likes.", "KVM_RUN", "launch-other-image"),
    ("S1", "resume an old state", Caller.HOST, "The host resumes a saved guest.", "KVM_SET_XSAVE", "migrate-rogue"),
    ("A1", "stop", Caller.HOST, "The host never runs the guest again.", "KVM_RUN", "withhold-resources"),
)  # fmt: skip
_SENTENCES = {
    "D1": "no device writes a page in use",
    "R1": "the host never learns the registers",
    "R2": "the host never changes the registers",
    "X1": "only events that the guest agreed to are injected",
    "X2": "CPUID answers are authentic",
    "X3": "the host cannot stop the guest at an instruction of its choice",
    "G1": "a guest is debugged only where its report says so",
    "L1": "the image that runs is the one attested",
    "S1": "a saved state is fresh and bound to its guest",
    "A1": "the guest always runs",
}


def model() -> Model:
    """The baseline."""
    m = ModelBuilder("kvm", "Linux 7.3", "KVM without a security manager")
    x = Memory(m)
    disclosed = m.scalar("disclosed", meaning="the host read data of the guest in plaintext")
    with m.operation("load", Caller.HOST, "The host reads a page.", f"{_API}: KVM_SET_USER_MEMORY_REGION") as op:
        s = op.parameter("s", SystemPage)
        op.set(disclosed, True, when=x.content[s] == Content.DATA)
    m.objective("M1", disclosed, "the host never learns private plaintext", (), ["read-private-memory"])
    _host_memory(m, x)
    _guest_memory(m, x)
    _memory_objectives(m, x)
    for objective, name, caller, sentence, source, primitive in _EVENTS:
        flag = m.scalar(f"done {name}")
        with m.operation(name, caller, sentence, f"{_API}: {source}") as op:
            op.set(flag, True)
        m.objective(objective, flag, _SENTENCES[objective], (), [primitive])
    return m.build()


def _host_memory(m: ModelBuilder, x: Memory) -> None:
    slot = f"{_API}: KVM_SET_USER_MEMORY_REGION"
    with m.operation("set slot", Caller.HOST, "The host backs an address with a page of its choice.", slot) as op:
        s, g = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
        (t,) = SystemPage.names("t")
        op.set(x.backing[g, t], False, each=[t])
        op.set(x.backing[g, s], True)
    with m.operation("store", Caller.HOST, "The host writes a page.", slot) as op:
        s = op.parameter("s", SystemPage)
        op.set(x.content[s], Content.HOST)
    with m.operation("save", Caller.HOST, "The host copies a page.", slot) as op:
        s = op.parameter("s", SystemPage)
        op.set(x.saved[s], x.content[s])
        op.set(x.saved_origin[s], x.origin[s])
    with m.operation(
        "restore", Caller.HOST, "The host puts a copy back; the guest may have written since.", slot
    ) as op:
        s = op.parameter("s", SystemPage)
        op.set(x.content[s], x.saved[s])
        op.set(x.origin[s], x.saved_origin[s])
        op.set(x.fresh[s], False)


def _guest_memory(m: ModelBuilder, x: Memory) -> None:
    with m.operation("write", Caller.GUEST, "The guest writes its data at an address.", f"{_API}: KVM_RUN") as op:
        s, g = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
        (t,) = SystemPage.names("t")
        op.guard("write.backed", x.backing[g, s], "EPT violation", f"{_API}: KVM_EXIT_MMIO", redundant="nothing holds")
        op.set(x.fresh[t], False, when=x.origin[t] == g, each=[t])
        op.set(x.content[s], Content.DATA)
        op.set(x.origin[s], g)
        op.set(x.fresh[s], True)
        op.set(x.wrote[s], True)
        op.set(x.used[g], True)


def _memory_objectives(m: ModelBuilder, x: Memory) -> None:
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    reads, data = x.backing[g, s], x.content[s] == Content.DATA
    corrupt = exists([s, g], all_of(reads, x.used[g], ~data, x.wrote[s]))
    m.objective("M3", corrupt, "no page in use is changed in place", (), ["corrupt-private-memory"])
    stale = exists([s, g], all_of(reads, x.used[g], data, x.origin[s] == g, ~x.fresh[s]))
    m.objective("M4", stale, "the guest never reads an old value of its own", (), ["replay-page"])
    alias = exists([s, g], all_of(reads, x.used[g], data, x.origin[s] != g))
    m.objective("M5", alias, "the guest never reads another address's page", (), ["remap-page"])
    reset = exists([s, g], all_of(reads, x.used[g], ~data, ~x.wrote[s]))
    m.objective("M6", reset, "no used page is silently replaced", (), ["replace-used-page"])
    chosen = exists([s, g], all_of(reads, ~x.used[g], x.content[s] == Content.HOST))
    m.objective("M7", chosen, "no page holds what the host chose", (), ["choose-unused-page-content"])
    back = all_of(reads, x.used[g], data, x.origin[s] == g, x.fresh[s])
    m.witness("the guest reads back what it wrote", exists([s, g], back))
