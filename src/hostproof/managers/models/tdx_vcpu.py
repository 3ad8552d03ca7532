"""Intel TDX, virtual CPUs: registers, events, CPUID, stepping.

One virtual CPU. Its registers are in TDVPS, under the TD's key; the module decides per field what the host may read and
write, by a mask for production and one for debug TDs. What the host answers is a parameter: it answers as it likes.

Sources, by key of the catalogue: TDXMOD1501 (module 1.5.01) by file and function, "fields" is
`include/auto_gen/tdvps_fields_lookup.c` and `td_vmcs_fields_lookup.c`; TDXC is Linux `arch/x86/coco/tdx/tdx.c`; SPEC is
Intel's guest hardening document.

Not here: nested guests, MSRs and port I/O (answered by the host through TDVMCALL as CPUID is), performance counters.
"""

from __future__ import annotations

from hostproof.managers.engine import Caller, Model, ModelBuilder, Sort, all_of, implies

__all__ = ["Event", "Leaf", "Value", "model"]

Value = Sort("Value", ("GUEST", "HOST"))
Event = Sort("Event", ("EXCEPTION", "SYSTEM_CALL", "INTERRUPT", "NMI"))
"""Vectors 0 to 30; the vector of the 32-bit system call (0x80); other vectors; NMI."""
Leaf = Sort("Leaf", ("VIRTUALISED", "FAULTING", "HYPERVISOR"))
"""CPUID leaves: answered by the module; raising #VE; raising #VE in 0x40000000 to 0x4fffffff."""

_RESTS_ON = ("module-as-published", "no-physical-adversary", "processor-as-documented")
_LOCKED = "the mask of the field is zero"


class State:
    """Variables, duties and policies."""

    def __init__(self, m: ModelBuilder) -> None:
        self.running = m.scalar("running", meaning="the virtual CPU executes")
        self.registers = m.scalar("registers", Value, "GUEST", "who chose the values that the guest runs with")
        self.disclosed = m.scalar("disclosed", meaning="the host read registers that the guest did not hand out")
        self.exception = m.scalar("exception", meaning="an exception handler ran without an exception")
        self.nmi = m.scalar("nmi", meaning="the NMI handler ran on the host's wish")
        self.interrupt = m.scalar("interrupt", meaning="an interrupt handler ran on the host's wish")
        self.system_call = m.scalar("system_call", meaning="an interrupt was served as a system call")
        self.feature = m.scalar("feature", meaning="the guest took the host's word for a feature of the processor")
        self.hypervisor = m.scalar("hypervisor", meaning="the guest took the host's word in the hypervisor's range")
        self.stepped = m.scalar("stepped", meaning="the guest was stopped at an instant of the host's choice")
        self.debug = m.policy("debug", "ATTRIBUTES.DEBUG", False, "TDXC: ATTR_DEBUG")
        sentence = "the guest passes nothing secret in the registers that a TDVMCALL exposes"
        self.vmcall_exposes = m.duty("vmcall_exposes_arguments", sentence, "TDXC: tdx_hypercall")
        sentence = "the guest takes no external interrupt 0x80 for a system call"
        self.int80 = m.duty("int80_checked", sentence, "Linux: do_int80_emulation")
        sentence = (
            "the #VE handler asks the host for CPUID in 0x40000000 to 0x4fffffff only, and answers zero elsewhere"
        )
        self.cpuid_range = m.duty("cpuid_hypervisor_range", sentence, "TDXC: handle_cpuid")


def model() -> Model:
    """Registers and events of a virtual CPU, with all duties and policies as switches."""
    m = ModelBuilder("tdx-vcpu", "1.5", "Intel TDX, virtual CPUs")
    x = State(m)
    _entries(m, x)
    _fields(m, x)
    _events(m, x)
    _cpuid(m, x)
    _claims(m, x)
    return m.build()


def _entries(m: ModelBuilder, x: State) -> None:
    with m.operation(
        "TDH.VP.ENTER", Caller.HOST, "The guest runs with the state of its TDVPS.", "TDXMOD1501: tdh_vp_enter"
    ) as op:
        op.guard(
            "VP.ENTER.idle",
            ~x.running,
            "TDX_VCPU_ASSOCIATED",
            "TDXMOD1501: check_and_associate_vcpu",
            redundant="entering twice enters once",
        )
        op.set(x.running, True)
    sentence = "An interrupt of the host stops the guest; the module saves its registers and gives the host others."
    with m.operation("asynchronous TD exit", Caller.HOST, sentence, "TDXMOD1501: td_exit.c, async_tdexit_to_vmm") as op:
        op.guard("exit.running", x.running, "", "the guest executes", redundant="X3 is broken with it")
        op.set(x.running, False)
        op.set(x.stepped, True)
    sentence = "The guest calls the host with the registers that it selects; the host's answer comes back in them."
    with m.operation("TDG.VP.VMCALL", Caller.GUEST, sentence, "TDXMOD1501: tdg_vp_vmcall") as op:
        secret = op.parameter("secret", Sort("Bool", ("false", "true")))
        op.guard("VMCALL.running", x.running, "", "the guest executes", redundant="the guest's own step")
        op.guard("VMCALL.arguments", implies(x.vmcall_exposes, ~secret), source="duty: TDXC, tdx_hypercall")
        op.set(x.disclosed, x.disclosed | secret)
        op.set(x.running, False)


def _fields(m: ModelBuilder, x: State) -> None:
    never = "only where ATTRIBUTES.DEBUG is set"
    with m.operation(
        "TDH.VP.RD", Caller.HOST, "The host reads a register.", "TDXMOD1501: tdh_vp_rd_wr.c, tdh_vp_rd", never
    ) as op:
        op.guard(
            "VP.RD.mask", x.debug | False, "TDX_METADATA_FIELD_NOT_READABLE", "fields: RAX, Guest RIP; prod_rd_mask 0"
        )
        op.set(x.disclosed, True)
    with m.operation(
        "TDH.VP.WR", Caller.HOST, "The host writes a register.", "TDXMOD1501: tdh_vp_rd_wr.c, tdh_vp_wr", never
    ) as op:
        op.guard(
            "VP.WR.mask", x.debug | False, "TDX_METADATA_FIELD_NOT_WRITABLE", "fields: RAX, Guest RIP; prod_wr_mask 0"
        )
        op.set(x.registers, Value.HOST)
    with m.operation(
        "TDH.VP.WR, VM-entry interruption information",
        Caller.HOST,
        "The host asks for an event at entry.",
        "TDXMOD1501: tdh_vp_wr",
        _LOCKED,
    ) as op:
        # No mask ever lets it through, debug or not.
        op.guard(
            "VP.WR.event",
            ~(x.debug | ~x.debug),
            "TDX_METADATA_FIELD_NOT_WRITABLE",
            "fields: VM-entry interruption information; prod_wr_mask and dbg_wr_mask 0",
        )
        op.set(x.exception, True)
    with m.operation(
        "TDH.VP.WR, PEND_NMI",
        Caller.HOST,
        "The host asks for an NMI at entry.",
        "fields: PEND_NMI; prod_wr_mask all ones",
    ) as op:
        op.set(x.nmi, True)


def _events(m: ModelBuilder, x: State) -> None:
    sentence = "The host posts an interrupt; the processor delivers it when the guest takes interrupts."
    with m.operation("posted interrupt", Caller.HOST, sentence, "SPEC: Interrupt handling and APIC") as op:
        event = op.parameter("event", Event)
        op.guard("posted.running", x.running, "", "the guest executes", redundant="it would be delivered at entry")
        op.guard(
            "posted.vector",
            event.is_in(Event.SYSTEM_CALL, Event.INTERRUPT),
            "not delivered",
            "SPEC: Interrupt handling and APIC; vectors 31 to 255",
        )
        op.set(x.exception, x.exception | (event == Event.EXCEPTION))
        op.set(x.interrupt, x.interrupt | (event == Event.INTERRUPT))
        op.set(x.system_call, x.system_call | all_of(event == Event.SYSTEM_CALL, ~x.int80))


def _cpuid(m: ModelBuilder, x: State) -> None:
    with m.operation(
        "CPUID", Caller.GUEST, "The module answers from what TDH.MNG.INIT fixed.", "TDXMOD1501: td_cpuid_exit"
    ) as op:
        leaf = op.parameter("leaf", Leaf)
        op.guard(
            "CPUID.table",
            leaf == Leaf.VIRTUALISED,
            "#VE",
            "TDXMOD1501: td_cpuid_exit, cpuid_lookup",
            redundant="the module's answers are its own",
        )
        op.guard("CPUID.running", x.running, "", "the guest executes", redundant="the guest's own step")
    sentence = "The guest's #VE handler asks the host; the host answers as it likes."
    with m.operation("CPUID by #VE", Caller.GUEST, sentence, "TDXMOD1501: td_cpuid_exit; TDXC: handle_cpuid") as op:
        leaf = op.parameter("leaf", Leaf)
        op.guard(
            "CPUID.faulting",
            leaf != Leaf.VIRTUALISED,
            "",
            "TDXMOD1501: td_cpuid_exit, cpuid_lookup",
            redundant="the handler's range keeps the host out as well",
        )
        op.guard("CPUID.range", implies(x.cpuid_range, leaf == Leaf.HYPERVISOR), source="duty: TDXC, handle_cpuid")
        op.guard("CPUID.handler", x.running, "", "the guest executes", redundant="the guest's own step")
        op.set(x.hypervisor, x.hypervisor | (leaf == Leaf.HYPERVISOR))
        op.set(x.feature, x.feature | (leaf != Leaf.HYPERVISOR))


def _claims(m: ModelBuilder, x: State) -> None:
    sentence = "The module does what its source says, and its source has no defect."
    m.assumption("module-as-published", sentence, ["tdx-1.0-review", "tdx-1.5-further", "tdx-metadata-underflow"])
    m.assumption(
        "no-physical-adversary",
        "DRAM answers with what was written to an address.",
        ["battering-ram", "tee-fail", "ddrop"],
    )
    m.assumption("processor-as-documented", "The processor does what its manual says.", ["partial-write-poison"])
    m.assumption(
        "side-channels", "Only what an operation gives out is learnt.", ["tdxdown", "stumblestepping", "tdxploit"]
    )
    quiet = (*_RESTS_ON, "side-channels")
    m.objective("R1", x.disclosed | False, "the host never learns registers", quiet, ["read-registers"])
    m.objective("R2", x.registers == Value.HOST, "the host never chooses registers", _RESTS_ON, ["write-registers"])
    m.objective("X1", x.interrupt | False, "only agreed events are injected", _RESTS_ON, ["inject-interrupt"])
    m.objective("X1.exception", x.exception | False, "no exception is injected", _RESTS_ON, ["inject-exception"])
    m.objective("X1.nmi", x.nmi | False, "no NMI is injected", _RESTS_ON, ["inject-nmi"])
    m.objective(
        "X1.syscall", x.system_call | False, "no interrupt is served as a system call", _RESTS_ON, ["inject-interrupt"]
    )
    m.objective("X2", x.feature | False, "features of the processor are not the host's word", _RESTS_ON, ["lie-cpuid"])
    m.objective("X2.hypervisor", x.hypervisor | False, "no CPUID answer is the host's", _RESTS_ON, ["lie-cpuid"])
    m.objective("X3", x.stepped | False, "the host cannot choose the instant of an exit", quiet, ["single-step"])
    m.invariant("registers stay", ~x.disclosed, "an exit gives out what the guest selected, VP.RD nothing")
    m.invariant("registers hold", x.registers == Value.GUEST, "entry loads what the exit saved")
    m.invariant("no exception", ~x.exception, "posted interrupts start at vector 31, the event field is locked")
    m.invariant("no system call", ~x.system_call, "the guest asks the interrupt controller who called")
    m.invariant("no feature", ~x.feature, "only the hypervisor's range goes to the host")
    m.witness("the guest runs with its own registers", all_of(x.running, x.registers == Value.GUEST))
