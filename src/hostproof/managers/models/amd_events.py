"""Events on AMD: what reaches a guest's handlers, who sent it, and what handlers then do. SEV, SEV-ES, SEV-SNP.

Any number of vectors; a vector has a kind. Handlers are the point: the entry of `int 0x80` changes RAX of whoever ran
(Heckler), the #VC handler copies between registers and the host by an exit code (WeSee), an exception ends in a signal handler
of a program (Heckler's second form). Policies are SEV_FEATURES of a SEV-SNP guest: restricted injection (the host injects #HV
alone, the guest takes vectors from a doorbell page), alternate injection (the fields stand in the encrypted VMSA, software at
VMPL0 injects), Secure AVIC (the guest's list of allowed vectors). Linux 7.3 refuses to start with the first two
(SNP_FEATURES_IMPL_REQ): they are for guests under a paravisor or SVSM.

Sources: APM (volume 2: 15.20 event injection, 15.21.4 virtual interrupts, 15.35 restrictions for SEV-ES, 15.36.16 restricted
and alternate injection, Secure AVIC; as the knowledge of this project and Linux `Documentation/virt/hyperv/coco.rst` quote
it), VC (Linux 7.3 `arch/x86/coco/sev/vc-shared.c`, vc_check_opcode_bytes; `vc-handle.c`, vc_slow_virt_to_phys), INT80 (Linux
7.3 `arch/x86/entry/syscall_32.c`, int80_is_external), IA32 (Linux 7.3 `arch/x86/mm/mem_encrypt_amd.c`, ia32_disable), SAVIC
(Linux 7.3 `arch/x86/kernel/apic/x2apic_savic.c`), SVSM (`coconut-svsm/svsm` at f4bc4bcd, `kernel/src/cpu/apic.rs`: allowed_irr;
`kernel/src/platform/snp.rs`: without restricted injection the origin of an event cannot be told), HECK, WESEE, FRX1.
"""

from __future__ import annotations

from hostproof.managers.engine import (
    BOOL,
    FALSE,
    Caller,
    Model,
    ModelBuilder,
    ModelError,
    OperationBuilder,
    Sort,
    Term,
    all_of,
    any_of,
    choose,
    forall,
    implies,
)

__all__ = ["TECHNOLOGIES", "Changed", "Exit", "Handler", "Kind", "Type", "Vector", "model"]

TECHNOLOGIES = ("sev", "sev-es", "sev-snp")
Vector = Sort("Vector", prefix="n")
Kind = Sort("Kind", ("DEVICE", "INT80", "VC", "FAULT", "BP_OF", "HV"))
"""DEVICE: 32 to 255 but 0x80. VC: 29. HV: 28. BP_OF: 3 and 4. FAULT: every other exception."""
Type = Sort("Type", ("INTR", "NMI", "EXCEPTION", "SOFTWARE"))
"""EVENTINJ.TYPE: 0, 2, 3, 4."""
Handler = Sort("Handler", ("NONE", "DEVICE", "INT80", "VC", "FAULT", "NMI"))
Instruction = Sort("Instruction", ("PLAIN", "INT80", "INTERCEPTED"))
Exit = Sort("Exit", ("OPCODE", "MMIO"))
"""An exit code that belongs to an opcode; SVM_EXIT_NPF, which any instruction with a memory operand may raise."""
Changed = Sort("Changed", ("NOTHING", "INT80", "VC", "FAULT"))

_DUTIES = "under all duties the handler itself refuses"
_POLICY = "X1 is lost without an injection policy; with it, this guard keeps it"


class _State:
    """Variables, duties and policies."""

    def __init__(self, m: ModelBuilder, technology: str) -> None:
        self.es, self.snp = technology != "sev", technology == "sev-snp"
        self.kind = m.function("kind", [Vector], Kind, None, "what the vector is, for ever")
        self.agreed = m.function("agreed", [Vector], meaning="the guest asked for interrupts of this vector")
        self.at = m.scalar("instruction", Instruction, "PLAIN", "what the guest executes")
        self.handler = m.scalar("handler", Handler, "NONE", "the handler that runs")
        self.forged = m.scalar("forged", meaning="the host sent the event that the handler handles")
        self.strange = m.scalar("strange", meaning="an event came that the guest did not agree to")
        self.changed = m.scalar("changed", Changed, "NOTHING", "the handler that changed registers for the host")
        self.stepped = m.scalar("stepped", meaning="the host stopped the guest after one instruction")
        self.trap = m.scalar("trap", meaning="a debug exception of the guest is due")
        self.suppressed = m.scalar("suppressed", meaning="the host kept a debug exception from the guest")
        self.lost = m.scalar("lost", meaning="an interrupt between vCPUs was not delivered")
        # Features that a technology does not have are off for ever.
        self.restricted: Term = FALSE
        self.alternate: Term = FALSE
        self.savic: Term = FALSE
        self.doorbell: Term = FALSE
        self.legal: Term = FALSE
        self.opcode: Term = FALSE
        self.shared: Term = FALSE
        self.no_ia32: Term = m.duty("ia32_disabled", "the guest has no entry for int 0x80", "IA32")
        self.origin: Term = m.duty(
            "int80_origin", "the entry of int 0x80 asks the APIC whether the vector came from outside", "INT80"
        )
        if self.es:
            self.opcode = m.duty(
                "vc_checks_opcode",
                "the #VC handler compares the exit code with the instruction",
                "VC: vc_check_opcode_bytes, since 6.9",
            )
            self.shared = m.duty(
                "vc_mmio_shared_only",
                "the #VC handler emulates no access to private memory",
                "VC: vc_slow_virt_to_phys",
            )
        if self.snp:
            self.restricted = m.policy("RESTRICTED_INJECTION", "SEV_FEATURES bit 3", False, "APM: 15.36.16")
            self.alternate = m.policy("ALTERNATE_INJECTION", "SEV_FEATURES bit 4", False, "APM: 15.36.16")
            self.savic = m.policy("SECURE_AVIC", "SEV_FEATURES bit 16", False, "APM: Secure AVIC")
            self.doorbell = m.duty(
                "doorbell_agreed", "the #HV handler delivers vectors that the guest agreed to", "APM: 15.36.16"
            )
            self.legal = m.duty(
                "vmpl0_injects_legal", "software at VMPL0 passes on agreed vectors", "SVSM: allowed_irr"
            )


def model(technology: str) -> Model:
    """Event delivery of `sev`, `sev-es` or `sev-snp`."""
    if technology not in TECHNOLOGIES:
        raise ModelError.at("amd_events", f"no technology {technology}", expected=", ".join(TECHNOLOGIES))
    m = ModelBuilder(f"{technology}-events", "1", f"Events that reach a {technology} guest")
    x = _State(m, technology)
    _guest(m, x)
    _eventinj(m, x)
    _interrupts(m, x)
    if x.snp:
        _guest_injects(m, x)
    _handlers(m, x)
    _timing(m, x)
    _claims(m, x)
    return m.build()


def _guest(m: ModelBuilder, x: _State) -> None:
    with m.operation(
        "request_irq", Caller.GUEST, "The guest gives a vector to a driver.", "SAVIC: savic_update_vector"
    ) as op:
        n = op.parameter("n", Vector)
        op.guard(
            "request.device",
            x.kind[n] == Kind.DEVICE,
            source="32 to 255 without 0x80",
            redundant="matters where the list decides: Secure AVIC",
        )
        op.set(x.agreed[n], True)
    with m.operation("execute", Caller.GUEST, "The guest executes an instruction.", "APM: 15.35, #VC") as op:
        at = op.parameter("instruction", Instruction)
        op.guard(
            "execute.free",
            x.handler == Handler.NONE,
            source="no handler runs",
            redundant="a handler may be interrupted as well",
        )
        entry = choose(at == Instruction.INT80, Handler.INT80, Handler.NONE)
        op.set(x.at, at)
        op.set(x.forged, False)
        op.set(x.handler, choose(at == Instruction.INTERCEPTED, Handler.VC, entry) if x.es else entry)


def _deliver(op: OperationBuilder, x: _State, n: Term, nmi: Term) -> None:
    """The guest's handler of this vector starts; 3, 4 and 28 change nothing by themselves."""
    kind = x.kind[n]
    other = choose(kind == Kind.FAULT, Handler.FAULT, choose(kind == Kind.DEVICE, Handler.DEVICE, Handler.NONE))
    exception = choose(kind == Kind.VC, Handler.VC, other) if x.es else other
    op.set(x.handler, choose(nmi, Handler.NMI, choose(kind == Kind.INT80, Handler.INT80, exception)))
    op.set(x.forged, True)
    op.set(x.strange, True, when=any_of(nmi, ~all_of(kind == Kind.DEVICE, x.agreed[n])))


def _eventinj(m: ModelBuilder, x: _State) -> None:
    sentence = "The host enters the guest with an event in EVENTINJ."
    with m.operation("EVENTINJ", Caller.HOST, sentence, "APM: 15.20; HECK; WESEE") as op:
        n, type = op.parameter("n", Vector), op.parameter("type", Type)
        exception = x.kind[n].is_in(Kind.VC, Kind.FAULT, Kind.BP_OF, Kind.HV)
        op.guard(
            "EVENTINJ.type",
            implies(type == Type.EXCEPTION, exception),
            "VMEXIT_INVALID",
            "APM: 15.20, vectors of exceptions",
            redundant="the type only has to fit",
        )
        if x.es:
            op.guard(
                "EVENTINJ.software",
                type != Type.SOFTWARE,
                "VMEXIT_INVALID",
                "APM: 15.35, no software interrupts",
                redundant="external vectors reach the same handlers",
            )
            op.guard(
                "EVENTINJ.bp-of",
                ~all_of(type == Type.EXCEPTION, x.kind[n] == Kind.BP_OF),
                "VMEXIT_INVALID",
                "APM: 15.35, no vectors 3 and 4",
                redundant="other exceptions change registers as well",
            )
        if x.snp:
            only_hv = all_of(type == Type.EXCEPTION, x.kind[n] == Kind.HV)
            op.guard(
                "EVENTINJ.restricted",
                implies(x.restricted, only_hv),
                "VMEXIT_INVALID",
                "APM: 15.36.16",
                redundant=_POLICY,
            )
            op.guard(
                "EVENTINJ.alternate",
                ~x.alternate,
                "ignored",
                "APM: 15.36.16, EVENTINJ stands in the VMSA",
                redundant=_POLICY,
            )
            op.guard("EVENTINJ.secure-avic", ~x.savic, "VMEXIT_INVALID", "APM: Secure AVIC", redundant=_POLICY)
        doorbell = all_of(x.restricted, x.kind[n] == Kind.HV)
        before = x.strange
        _deliver(op, x, n, type == Type.NMI)
        op.set(x.strange, before, when=doorbell)


def _interrupts(m: ModelBuilder, x: _State) -> None:
    sentence = "The host makes a virtual interrupt pending (V_IRQ, AVIC)."
    with m.operation("virtual interrupt", Caller.HOST, sentence, "APM: 15.21.4; 15.29") as op:
        n = op.parameter("n", Vector)
        external = x.kind[n].is_in(Kind.DEVICE, Kind.INT80)
        op.guard("V_IRQ.vector", external, "vector below 32", "APM: 15.21.4", redundant="EVENTINJ injects exceptions")
        if x.snp:
            op.guard("V_IRQ.restricted", ~x.restricted, "ignored", "APM: 15.36.16", redundant=_POLICY)
            op.guard(
                "V_IRQ.alternate",
                ~x.alternate,
                "ignored",
                "APM: 15.36.16, the fields stand in the VMSA",
                redundant=_POLICY,
            )
            op.guard(
                "V_IRQ.allowed",
                implies(x.savic, all_of(x.agreed[n])),
                "stays pending",
                "APM: Secure AVIC, AllowedIRR; SAVIC",
                redundant=_POLICY,
            )
        _deliver(op, x, n, FALSE)


def _guest_injects(m: ModelBuilder, x: _State) -> None:
    for name, policy, duty, sentence, never in (
        (
            "#HV doorbell",
            x.restricted,
            x.doorbell,
            "The #HV handler delivers a vector that the host wrote into the doorbell page.",
            "restricted injection is off by default",
        ),
        (
            "VMPL0 injects",
            x.alternate,
            x.legal,
            "Software at VMPL0 injects what the host asks it for.",
            "alternate injection is off by default",
        ),
    ):
        with m.operation(name, Caller.GUEST, sentence, "APM: 15.36.16", never) as op:
            n = op.parameter("n", Vector)
            op.guard(
                "inject.policy",
                policy | False,
                source="SEV_FEATURES",
                redundant="without the policy the host injects itself",
            )
            op.guard("inject.agreed", implies(duty, all_of(x.kind[n] == Kind.DEVICE, x.agreed[n])), "ignored", "duty")
            _deliver(op, x, n, FALSE)
    sentence = "The host asks for an NMI, which the guest allows in the control register of Secure AVIC."
    with m.operation(
        "NMI request", Caller.HOST, sentence, "SAVIC: MSR_AMD64_SAVIC_ALLOWEDNMI", "Secure AVIC is off by default"
    ) as op:
        op.guard("NMI.policy", x.savic | False, source="SEV_FEATURES", redundant="the guest agreed to it")
        op.set(x.handler, Handler.NMI)
        op.set(x.forged, True)


def _handlers(m: ModelBuilder, x: _State) -> None:
    sentence = "The entry of int 0x80 runs a system call by the registers of whoever ran and changes RAX."
    with m.operation("int80 entry", Caller.GUEST, sentence, "INT80: do_int80_emulation") as op:
        isr = op.parameter("isr", BOOL)
        op.guard("int80.handler", x.handler == Handler.INT80, source="vector 0x80", redundant=_DUTIES)
        # The host emulates the APIC before Secure AVIC, so it chooses what the in-service register shows.
        stopped = any_of(x.no_ia32, all_of(x.origin, isr))
        op.set(x.changed, "INT80", when=all_of(x.forged, ~stopped))
        op.set(x.handler, Handler.NONE)
    if x.es:
        sentence = "The #VC handler emulates an instruction by an exit code, with data from and for the host."
        with m.operation("#VC handler", Caller.GUEST, sentence, "VC: vc_raw_handle_exception; WESEE") as op:
            code = op.parameter("code", Exit)
            op.guard("#VC.handler", x.handler == Handler.VC, source="vector 29", redundant=_DUTIES)
            fits = x.at == Instruction.INTERCEPTED
            refused = any_of(fits, all_of(code == Exit.OPCODE, x.opcode), all_of(code == Exit.MMIO, x.shared))
            op.set(x.changed, "VC", when=all_of(x.forged, ~refused))
            op.set(x.handler, Handler.NONE)
    sentence = "The handler of an exception ends in a signal, and a handler of the program changes its registers."
    with m.operation("exception handler", Caller.GUEST, sentence, "HECK") as op:
        op.guard("exception.handler", x.handler == Handler.FAULT, source="an exception", redundant=_POLICY)
        op.set(x.changed, "FAULT", when=x.forged)
        op.set(x.handler, Handler.NONE)
    with m.operation(
        "other handler", Caller.GUEST, "A handler that restores all registers returns.", "APM: 8.9, IRET"
    ) as op:
        op.guard(
            "other.handler",
            x.handler.is_in(Handler.DEVICE, Handler.NMI),
            source="an interrupt",
            redundant="nothing changes",
        )
        op.set(x.handler, Handler.NONE)


def _timing(m: ModelBuilder, x: _State) -> None:
    with m.operation(
        "single-step", Caller.HOST, "The host's timer fires after one instruction of the guest.", "SNPV: SEV-Step"
    ) as op:
        op.set(x.stepped, True)
    with m.operation("raise #DB", Caller.GUEST, "An instruction of the guest is due to trap.", "FRX1") as op:
        op.set(x.trap, True)
    with m.operation(
        "intercept #DB", Caller.HOST, "The host intercepts the debug exception and goes on without it.", "FRX1"
    ) as op:
        op.guard("#DB.due", x.trap, source="an exception is due", redundant="nothing else is suppressed")
        op.set(x.trap, False)
        op.set(x.suppressed, True)
    with m.operation("drop IPI", Caller.HOST, "The host does not deliver an interrupt between vCPUs.", "SPEC") as op:
        op.set(x.lost, True)


def _claims(m: ModelBuilder, x: _State) -> None:
    m.assumption("cpu-is-correct", "The processor does what its manual says.", ["stackwarp", "entrysign"])
    m.assumption(
        "side-channels",
        "Only what an operation gives out is learnt.",
        ["snpeek", "cohere-reload", "counterseveillance"],
    )
    rests = ("cpu-is-correct",)
    m.objective(
        "X1",
        all_of(x.strange),
        "only agreed events reach the guest",
        rests,
        ["inject-interrupt", "inject-exception", "inject-nmi"],
    )
    parts = [("int80", "INT80", "no event of the host makes a system call", "inject-interrupt")]
    if x.es:
        parts.append(
            ("vc", "VC", "no event of the host makes the guest emulate what it did not execute", "inject-exception")
        )
    parts.append(("fault", "FAULT", "no exception of the host runs a handler of a program", "inject-exception"))
    for part, changed, sentence, primitive in parts:
        m.objective(f"X1.{part}", x.changed == changed, sentence, rests, [primitive])
        m.invariant(f"no {part}", x.changed != changed, "refused by the policy, or by the guest's handler")
    m.objective("X1.suppressed", all_of(x.suppressed), "exceptions of the guest reach it", rests, ["inject-exception"])
    m.objective(
        "X3",
        all_of(x.stepped),
        "the host cannot stop the guest after each instruction",
        (*rests, "side-channels"),
        ["single-step"],
    )
    m.objective("A1", all_of(x.lost), "interrupts between vCPUs are delivered", (), ["drop-ipi"])
    m.invariant("nothing strange", ~x.strange, "an injection policy and whoever injects pass agreed vectors alone")
    quiet = implies(x.forged, x.handler.is_in(Handler.NONE, Handler.DEVICE, Handler.NMI))
    m.invariant("forged is harmless", quiet, "vectors of exceptions and 0x80 do not come from the host")
    (n,) = Vector.names("n")
    own = forall([n], implies(x.agreed[n], x.kind[n] == Kind.DEVICE))
    m.invariant("agreed is a device", own, "the guest gives away vectors of devices")
    if x.snp:
        m.invariant("nothing forged", implies(all_of(x.alternate), ~x.forged), "the host injects nothing")
    m.witness("a device interrupt is handled", x.handler == Handler.DEVICE)
    m.witness("a system call by int 0x80", all_of(x.handler == Handler.INT80, ~x.forged))
