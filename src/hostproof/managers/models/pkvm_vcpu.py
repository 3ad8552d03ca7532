"""pKVM's vCPUs: registers, events, answers, debugging and launch of a protected guest; memory is a model of its own.

Shared by `pkvm_arm64` and `pkvm_x86`. Any number of vCPUs of one protected guest. What each technology lets the host do
hangs on the policies, which the versions of the technologies set.

Sources: `nvhe/` is Linux 7.3.4 arch/arm64/kvm/hyp/nvhe (PKVM734 of the catalogue); PKVM is the documentation of the series
that keeps a vCPU's state at EL2; V2-S4 and V2-D3 say what pKVM on x86 leaves to the host.
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
    exists,
    forall,
    implies,
)

__all__ = ["Got", "Image", "Power", "Registers", "VcpuPolicies", "VcpuState", "vcpus"]

Vcpu = Sort("Vcpu", prefix="c")
Power = Sort("Power", ("OFF", "ASKED", "ON"))
Registers = Sort("Registers", ("RESET", "GUEST", "SECRET", "HOST"))
"""Whose values they are; SECRET: the guest loaded private memory into one."""
Image = Sort("Image", ("EXPECTED", "OTHER"))
Got = Sort(
    "Got",
    (
        "NOTHING",
        "REGISTERS",
        "SECRET",
        "STARTED",
        "INTERRUPT",
        "EXCEPTION",
        "SERROR",
        "STEPPED",
        "DEBUGGED",
        "ID",
        "FEATURES",
        "CACHE",
        "COUNTER",
        "ANSWER",
        "CONFIG",
        "IPI",
    ),
)
"""What the host reached last. Nothing else depends on it, so that one variable serves all."""

VcpuPolicies = dict[str, bool]
"""Values of the policies of a version."""


class VcpuState:
    """Variables and policies."""

    def __init__(self, m: ModelBuilder, defaults: VcpuPolicies) -> None:
        self.defaults = defaults
        self.power = m.function("power", [Vcpu], Power, "OFF", "whether the vCPU runs, or the guest asked that it does")
        self.registers = m.function("registers", [Vcpu], Registers, "RESET", "whose values its registers hold")
        self.booted = m.scalar("booted", meaning="a vCPU of the guest has run")
        self.image = m.scalar("image", Image, "EXPECTED", "what lies where the guest starts")
        self.got = m.scalar("got", Got, "NOTHING", "what the host reached last")

        def policy(name: str, sentence: str, source: str) -> Term:
            return m.policy(name, sentence, defaults[name], source)

        self.own = policy(
            "vcpu_state_at_el2",
            "the manager keeps a running vCPU's registers",
            "PKVM: VM creation; nvhe/hyp-main.c, flush_hyp_vcpu",
        )
        self.exceptions = policy(
            "exceptions_at_el2",
            "the manager lets no exception of the host's making in",
            "PKVM: VM creation; nvhe/hyp-main.c, flush_hyp_vcpu",
        )
        self.psci = policy(
            "start_at_el2",
            "the manager starts a vCPU only where the guest asked",
            "PKVM: VM creation; nvhe/pkvm.c, kvm_handle_pvm_hvc64",
        )
        self.debug = policy(
            "debug_at_el2",
            "the host sets no breakpoint and no single step in a protected guest",
            "nvhe/hyp-main.c, flush_debug_state",
        )
        self.id = policy(
            "id_registers_at_el2", "the manager answers what the processor is", "nvhe/sys_regs.c, kvm_init_pvm_id_regs"
        )
        self.firmware = policy(
            "pvmfw", "firmware of the platform runs first and refuses an image that is not signed", "AVF"
        )
        self.config = policy("pci_config_at_el2", "the manager answers PCI configuration accesses", "V2-D3")


def vcpus(m: ModelBuilder, x: VcpuState, serror: str) -> None:
    """Adds operations and claims; `serror` is the name of the technology's asynchronous error or NMI."""
    _launch(m, x)
    _starts(m, x)
    _registers(m, x)
    _guest(m, x)
    _events(m, x, serror)
    _answers(m, x)
    _claims(m, x, serror)


def _vcpu(op: OperationBuilder) -> Name:
    return op.parameter("c", Vcpu)


def _launch(m: ModelBuilder, x: VcpuState) -> None:
    with m.operation(
        "load_image",
        Caller.HOST,
        "The host writes an image of its choice before the guest runs.",
        "nvhe/mem_protect.c, __pkvm_host_donate_guest: nothing is measured",
    ) as op:
        op.guard(
            "load_image.before",
            ~x.booted,
            "abort",
            "the pages are the guest's",
            redundant="L1 is broken without firmware, which runs before",
        )
        op.set(x.image, "OTHER")
    with m.operation(
        "narrow_features",
        Caller.HOST,
        "The host leaves out features of the vCPU.",
        "nvhe/pkvm.c, pkvm_init_features_from_host",
    ) as op:
        op.guard(
            "narrow_features.before",
            ~x.booted,
            "EINVAL",
            "nvhe/pkvm.c, __pkvm_init_vm",
            redundant="X2.features is broken in any case",
        )
        op.set(x.got, "FEATURES")


def _starts(m: ModelBuilder, x: VcpuState) -> None:
    where = "nvhe/hyp-main.c, handle___kvm_vcpu_run"
    with m.operation("boot", Caller.HOST, "The host runs the first vCPU.", where) as op:
        c = _vcpu(op)
        op.guard("boot.first", ~x.booted, "", where, redundant="names the first vCPU")
        refused = all_of(x.firmware, x.image == Image.OTHER)
        op.guard(
            "boot.image",
            ~refused,
            "the firmware stops",
            "AVF",
            redundant="L1 is broken without the policy; with it, the guard is what keeps it",
        )
        op.set(x.booted, True)
        op.set(x.power[c], "ON")
    with m.operation(
        "start_vcpu", Caller.HOST, "The host runs another vCPU.", f"{where}; PSCI is the host's (kvm_handle_pvm_hvc64)"
    ) as op:
        c = _vcpu(op)
        op.guard("start_vcpu.booted", x.booted, "", where, redundant="names the other vCPUs")
        op.guard(
            "start_vcpu.asked",
            implies(x.psci, x.power[c] == Power.ASKED),
            "EINVAL",
            "PKVM: VM creation, PSCI CPU_ON",
            redundant="with start_at_el2 it is what keeps R2.start",
        )
        op.guard(
            "start_vcpu.off",
            x.power[c] != Power.ON,
            "EBUSY",
            "nvhe/pkvm.c, pkvm_load_hyp_vcpu",
            redundant="a vCPU that runs is not started",
        )
        op.set(x.got, "STARTED", when=x.power[c] == Power.OFF)
        op.set(x.power[c], "ON")


def _registers(m: ModelBuilder, x: VcpuState) -> None:
    where = "arch/arm64/kvm/arm.c, KVM_GET_ONE_REG; nvhe/hyp-main.c, sync_hyp_vcpu"
    with m.operation("get_one_reg", Caller.HOST, "The host reads a register of the vCPU.", where) as op:
        c = _vcpu(op)
        op.guard(
            "get_one_reg.own",
            implies(x.own, x.power[c] != Power.ON),
            "EPERM",
            "PKVM: VM creation",
            redundant="R1 is broken without the policy; with it, the guard is what keeps it",
        )
        op.set(x.got, "REGISTERS", when=x.registers[c] == Registers.GUEST)
        op.set(x.got, "SECRET", when=x.registers[c] == Registers.SECRET)
    where = "arch/arm64/kvm/arm.c, KVM_SET_ONE_REG; nvhe/hyp-main.c, flush_hyp_vcpu"
    with m.operation("set_one_reg", Caller.HOST, "The host writes a register of the vCPU.", where) as op:
        c = _vcpu(op)
        op.guard(
            "set_one_reg.own",
            implies(x.own, x.power[c] != Power.ON),
            "EPERM",
            "PKVM: VM creation",
            redundant="R2 is broken without the policy; with it, the guard is what keeps it",
        )
        op.set(x.registers[c], "HOST", when=x.power[c] == Power.ON)


def _guest(m: ModelBuilder, x: VcpuState) -> None:
    runs = "the vCPU runs"
    with m.operation("compute", Caller.GUEST, "The guest computes.", runs) as op:
        c = _vcpu(op)
        op.guard("compute.on", x.power[c] == Power.ON, "", runs, redundant="defines what runs")
        op.set(x.registers[c], "GUEST")
    with m.operation("load_secret", Caller.GUEST, "The guest loads private memory into a register.", runs) as op:
        c = _vcpu(op)
        op.guard("load_secret.on", x.power[c] == Power.ON, "", runs, redundant="defines what runs")
        op.set(x.registers[c], "SECRET")
    with m.operation("cpu_on", Caller.GUEST, "The guest asks for another vCPU at an address.", "PSCI CPU_ON") as op:
        c = _vcpu(op)
        op.guard("cpu_on.booted", x.booted, "", runs, redundant="defines what runs")
        op.guard(
            "cpu_on.off",
            x.power[c] == Power.OFF,
            "ALREADY_ON",
            "PSCI CPU_ON",
            redundant="a vCPU that runs keeps its registers",
        )
        op.set(x.power[c], "ASKED")


def _events(m: ModelBuilder, x: VcpuState, serror: str) -> None:
    def event(name: str, sentence: str, source: str, got: str, allowed: Term | None = None, idle: str = "") -> None:
        with m.operation(name, Caller.HOST, sentence, source, idle) as op:
            c = _vcpu(op)
            op.guard(
                f"{name}.on", x.power[c] == Power.ON, "", "the vCPU runs", redundant="an event meets a vCPU that runs"
            )
            if allowed is not None:
                op.guard(
                    f"{name}.refused",
                    allowed,
                    "EPERM",
                    source,
                    redundant="the policy keeps the objective, and is off in some versions",
                )
            op.set(x.got, got)

    refused = {name: "this version refuses it" if on else "" for name, on in x.defaults.items()}
    event(
        "inject_interrupt",
        "The host puts an interrupt into a list register.",
        "nvhe/hyp-main.c, flush_hyp_vgic_state; V2-D3",
        "INTERRUPT",
    )
    event(
        "inject_exception",
        "The host has an exception taken on entry.",
        "nvhe/hyp-main.c, flush_hyp_vcpu (iflags); hyp/exception.c, __kvm_adjust_pc",
        "EXCEPTION",
        ~x.exceptions,
        refused["exceptions_at_el2"],
    )
    event(
        f"inject_{serror}",
        f"The host has an {serror} taken.",
        "nvhe/hyp-main.c, flush_hyp_vcpu (HCR_EL2.VSE, vsesr_el2); V2-D3",
        "SERROR",
    )
    event("drop_ipi", "The host does not deliver an IPI.", "nvhe/hyp-main.c, flush_hyp_vgic_state; V2-D3", "IPI")
    event(
        "preempt",
        "The host's timer stops the vCPU after an instruction.",
        "nvhe/timer-sr.c; V2-S4: scheduling",
        "STEPPED",
    )
    event(
        "set_guest_debug",
        "The host sets breakpoints or single step.",
        "arch/arm64/kvm/guest.c, KVM_SET_GUEST_DEBUG; nvhe/hyp-main.c, flush_debug_state",
        "DEBUGGED",
        ~x.debug,
        refused["debug_at_el2"],
    )


def _answers(m: ModelBuilder, x: VcpuState) -> None:
    def answer(name: str, sentence: str, source: str, got: str, allowed: Term | None = None, idle: str = "") -> None:
        with m.operation(name, Caller.HOST, sentence, source, idle) as op:
            op.guard(f"{name}.booted", x.booted, "", "the guest runs", redundant="defines who asks")
            if allowed is not None:
                op.guard(
                    f"{name}.refused",
                    allowed,
                    "answered by the manager",
                    source,
                    redundant="" if idle else "the policy keeps the objective, and is off in some versions",
                )
            op.set(x.got, got)

    refused = {name: "this version refuses it" if on else "" for name, on in x.defaults.items()}
    answer(
        "answer_id",
        "The host answers what the processor is.",
        "nvhe/sys_regs.c, kvm_handle_pvm_sysreg; V2-S4",
        "ID",
        ~x.id,
        refused["id_registers_at_el2"],
    )
    answer(
        "answer_mmio",
        "The host answers an access to a device or a hypercall.",
        "nvhe/pkvm.c, kvm_handle_pvm_hvc64 (the rest goes to the host); mmio.c",
        "ANSWER",
    )
    answer(
        "answer_config",
        "The host answers a PCI configuration access.",
        "V2-D3",
        "CONFIG",
        ~x.config,
        refused["pci_config_at_el2"],
    )


def _claims(m: ModelBuilder, x: VcpuState, serror: str) -> None:
    (c,) = Vcpu.names("c")
    rests = ("manager-is-correct", "side-channels")
    m.assumption("manager-is-correct", "The code of the manager does what its checks say.")
    m.assumption("side-channels", "Only what an operation gives out is learnt.")
    m.assumption("firmware-is-genuine", "Nobody but the platform replaces the guest's firmware or its keys.")

    def never(id: str, got: Term, sentence: str, *primitives: str) -> None:
        m.objective(id, x.got == got, sentence, rests, primitives)
        m.invariant(f"no {id}", x.got != got, f"{sentence}: no step gives it")

    never("R1", Got.REGISTERS, "the host never reads a register of the running guest", "read-registers")
    never(
        "M1.registers",
        Got.SECRET,
        "no private memory reaches the host through a register",
        "read-private-memory",
        "read-registers",
    )
    forged = all_of(x.power[c] == Power.ON, x.registers[c] == Registers.HOST)
    m.objective(
        "R2", exists([c], forged), "the host never writes a register of the running guest", rests, ["write-registers"]
    )
    m.invariant("registers", forall([c], ~forged), "a running vCPU's registers are the guest's")
    never("R2.start", Got.STARTED, "no vCPU starts that the guest did not ask for")
    never("X1", Got.INTERRUPT, "no interrupt that the guest did not agree to", "inject-interrupt")
    never("X1.exception", Got.EXCEPTION, "no exception that the guest did not cause", "inject-exception")
    never(
        f"X1.{serror}",
        Got.SERROR,
        f"no {serror} of the host's making",
        "inject-nmi",
    )
    never("A1.ipi", Got.IPI, "an IPI that the guest sends arrives", "drop-ipi")
    never("X2", Got.ID, "what the processor is comes from the manager", "lie-cpuid")
    never("X2.features", Got.FEATURES, "the host takes no feature away", "choose-launch-fields")
    never("X2.devices", Got.ANSWER, "answers of devices and hypercalls are authentic", "lie-mmio", "lie-hypercall")
    never("X2.pci_config", Got.CONFIG, "answers of PCI configuration space are authentic", "lie-pci-config")
    never("X3", Got.STEPPED, "the host cannot stop the guest after an instruction", "single-step")
    never("G1", Got.DEBUGGED, "the host cannot debug the guest", "debug-decrypt")
    _of_launch(m, x)


def _of_launch(m: ModelBuilder, x: VcpuState) -> None:
    (c,) = Vcpu.names("c")
    rests = ("manager-is-correct", "side-channels")
    started = all_of(x.booted, x.image == Image.OTHER)
    m.objective(
        "L1",
        started,
        "the guest that runs is the one that was agreed",
        (*rests, "firmware-is-genuine"),
        ["launch-other-image", "choose-launch-image"],
    )
    m.invariant("image", implies(x.firmware, ~started), "firmware let only the agreed image run")
    m.invariant("booted", forall([c], implies(x.power[c] == Power.ON, x.booted)), "nothing runs before the first vCPU")
    m.invariant(
        "reset",
        forall([c], implies(x.power[c] != Power.ON, x.registers[c] == Registers.RESET)),
        "a vCPU that never ran holds nothing",
    )
    waits = exists([c], x.power[c] == Power.ASKED)
    m.objective("A1.cpu", waits, "a vCPU that the guest asks for runs", (), ["withhold-resources"])
    m.witness(
        "the guest computes on two vCPUs",
        exists(
            [c, (d := Vcpu.names("d")[0])],
            all_of(c != d, x.registers[c] == Registers.SECRET, x.registers[d] == Registers.GUEST),
        ),
    )
