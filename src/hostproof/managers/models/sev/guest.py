"""What the guest does with private memory. The host chooses which system page backs the address."""

from __future__ import annotations

from hostproof.managers.engine import (
    BOOL,
    Caller,
    ModelBuilder,
    Name,
    OperationBuilder,
    Term,
    Variable,
    all_of,
    implies,
)
from hostproof.managers.models.sev.state import Content, GuestPage, Package, State, SystemPage

__all__ = ["guest", "put"]

_NPT = "APM: 15.34; the nested page table is the hypervisor's"


def guest(m: ModelBuilder, x: State) -> None:
    """Adds the operations of the guest."""
    with m.operation("write private", Caller.GUEST, "The guest writes its data at an address.", _NPT) as op:
        s, g = _access(op, x)
        put(op, x, s, g, Content.DATA)
        op.set(x.used[g], True)
        op.set(x.wrote[s], True)
        op.set(x.package, Package.STALE, when=x.package == Package.CURRENT)
    sentence = "The guest copies input of the host from shared memory into its private buffer."
    with m.operation("copy in", Caller.GUEST, sentence, "SEVERITY; LI19") as op:
        s, g = _access(op, x, "what is copied in is no secret")
        op.guard(
            "copy.buffer",
            g == x.io,
            source="a driver fills its own buffer",
            redundant="M7 is lost by a remap of the buffer already",
        )
        put(op, x, s, g, Content.HOST)
        op.set(x.wrote[s], False)
    sentence = "The guest copies its buffer out to shared memory: what it serves, sends or writes to a disk."
    with m.operation("copy out", Caller.GUEST, sentence, "EXTR; LI19") as op:
        s, g = _access(op, x, "M1 is lost while it runs already")
        op.guard(
            "copy.buffer",
            g == x.io,
            source="a service sends what stands in its own buffer",
            redundant="M1 is lost through the buffer already",
        )
        op.set(x.leak, "SERVICE", when=all_of(x.content[s] == Content.DATA, x.origin[s] != x.io))
    _answers(m, x)


def _answers(m: ModelBuilder, x: State) -> None:
    sentence = "The guest asks CPUID for a feature; the host answers as it likes."
    with m.operation("CPUID", Caller.GUEST, sentence, "KVMSEV: CPUID is intercepted; no page of firmware exists") as op:
        honest = op.parameter("honest", BOOL)
        op.guard("CPUID.running", x.runs(), source="the guest runs", redundant="nothing else is asked of it")
        op.set(x.lied, True, when=~honest)
    sentence = "The guest asks CPUID 0x8000001F where the C-bit is, and writes private data with it."
    with m.operation(
        "CPUID C-bit",
        Caller.GUEST,
        sentence,
        "Linux 7.3: arch/x86/boot/compressed/mem_encrypt.S, get_sev_encryption_bit",
    ) as op:
        honest = op.parameter("honest", BOOL)
        op.guard(
            "C-bit.running", x.runs(), source="the guest runs", redundant="objectives ask for the guest's own belief"
        )
        op.guard("C-bit.verified", implies(x.verify_cbit, honest), "the guest stops", "duty")
        op.set(x.confused, True, when=~honest)


def _access(op: OperationBuilder, x: State, redundant: str = "") -> tuple[Name, Name]:
    s, g = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
    op.guard("access.running", x.runs(), "#VMEXIT", "ASPFW: sev_guest_activate; it runs under its key", redundant)
    return s, g


def put(op: OperationBuilder, x: State, s: Term, g: Term, content: Term) -> None:
    """New plaintext at an address: every other copy of what was there is old from now on."""
    (t,) = SystemPage.names("t")
    _age(op, x, t, g)
    op.set(x.content[s], content)
    op.set(x.origin[s], g)
    op.set(x.fresh[s], True)
    op.set(x.moved[s], False)
    op.set(x.cached[s], content == Content.DATA)


def _age(op: OperationBuilder, x: State, t: Name, g: Term) -> None:
    pairs: tuple[tuple[Variable, Variable], ...] = ((x.fresh, x.origin), (x.saved_fresh, x.saved_origin))
    for fresh, origin in pairs:
        op.set(fresh[t], False, when=origin[t] == g, each=[t])
