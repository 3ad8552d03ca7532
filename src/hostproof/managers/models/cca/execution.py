"""Arm CCA, execution of a realm: vCPUs (RECs), why they exit, what the host gives and learns at each exit, interrupts.

Any number of RECs, the host's realms' among them. Registers are tracked by who chose them: `MEASURED` in the RIM, computed by
the `REALM`, `ANSWER` of the host where the realm asked for one, `HOST` where it did not.
"""

from __future__ import annotations

from hostproof.managers.engine import (
    Caller,
    Model,
    ModelBuilder,
    Name,
    OperationBuilder,
    Sort,
    Term,
    all_of,
    any_of,
    choose,
    exists,
    forall,
    implies,
)
from hostproof.managers.models.cca.claims import assume

__all__ = ["execution"]

Rec = Sort("Rec", prefix="v")
Phase = Sort("Phase", ("NULL", "READY", "RUNNING"))
Realm = Sort("Realm", ("NEW", "ACTIVE", "SYSTEM_OFF"))
Chosen = Sort("Chosen", ("MEASURED", "REALM", "ANSWER", "HOST"))
Exit = Sort("Exit", ("NOTHING", "IRQ", "PSCI", "HOST_CALL", "READ", "WRITE", "ABORT_UNPROTECTED", "ABORT_PROTECTED"))
"""The most recent exit. READ and WRITE are emulatable data aborts, at unprotected addresses."""
Shown = Sort("Shown", ("NOTHING", "ARGUMENTS", "ONE_REGISTER", "REGISTERS"))
"""What exit.gprs hold: nothing, what the realm passed on, the register that it stored, or all of them."""
Runnable = Sort("Runnable", ("RUNNABLE", "NOT_RUNNABLE"))
Interrupt = Sort("Interrupt", ("NOTHING", "EXPECTED", "CHOSEN"))
Lr = Sort("ListRegister", ("VIRTUAL", "HARDWARE"))
Status = Sort("Status", ("PSCI_SUCCESS", "PSCI_DENIED", "OTHER"))
Source = Sort("Source", ("NOTHING", "RMM", "HOST"))

_INPUT, _REALM, _REC = "RMI_ERROR_INPUT", "RMI_ERROR_REALM", "RMI_ERROR_REC"
_RESTS_ON = ("rmm-is-correct", "atomic-commands")


class _State:
    def __init__(self, m: ModelBuilder) -> None:
        rec = [Rec]
        self.realm = m.scalar("realm", Realm, "NEW", "the realm's state")
        self.phase = m.function("phase", rec, Phase, "NULL", "the REC's state")
        self.runnable = m.function("runnable", rec, meaning="flags.runnable")
        self.other = m.function("other", rec, meaning="it belongs to a realm of the host")
        self.gprs = m.function("gprs", rec, Chosen, "MEASURED", "who chose the registers and the program counter")
        self.exit = m.function("exit", rec, Exit, "NOTHING", "why it left")
        self.shown = m.function("shown", rec, Shown, "NOTHING", "what exit.gprs hold")
        self.pending = m.function("pending", rec, meaning="psci_pending")
        self.wants = m.function("wants", [Rec, Rec], meaning="gprs[1] of the caller is the MPIDR of the target")
        self.interrupt = m.function("interrupt", rec, Interrupt, "NOTHING", "the virtual interrupt that it takes")
        self.aborted = m.scalar("aborted", meaning="it took an external abort that no access of its own caused")
        self.progress = m.function("progress", rec, meaning="it did something since it was entered")
        self.stepped = m.scalar("stepped", meaning="it was stopped before it did anything")
        self.feature = m.scalar("feature", Source, "NOTHING", "who told it which features it has")
        (v,) = Rec.names("w")
        here = self.phase[v] != Phase.NULL
        for variable in (
            self.runnable,
            self.other,
            self.gprs,
            self.exit,
            self.shown,
            self.pending,
            self.interrupt,
            self.progress,
        ):
            m.alive(variable, [v], here)
        self.zero = m.policy(
            "EXIT_GPRS_ZERO", "exit.gprs are zero unless the realm passed something", True, "RMMSPEC: A4.3.3"
        )
        self.rim = m.duty(
            "rim_is_checked", "a verifier refuses a realm whose RIM is not the agreed one", "RMMSPEC: A7.1.1"
        )
        self.asks_rmm = m.duty(
            "asks_the_rmm",
            "the realm learns its features from ID registers and RSI, not from the host",
            "RMMSPEC: A2.1.2.3, A3.1",
        )

    def runs(self, v: Term) -> Term:
        return all_of(self.phase[v] == Phase.RUNNING, ~self.other[v])


def execution() -> Model:
    """The vCPUs of a realm."""
    m = ModelBuilder("cca-execution", "RMM 1.0", "Arm CCA, vCPUs of a realm")
    x = _State(m)
    _life(m, x)
    _enter(m, x)
    _answers(m, x)
    _psci(m, x)
    _exits(m, x)
    _inside(m, x)
    _claims(m, x)
    return m.build()


def _life(m: ModelBuilder, x: _State) -> None:
    with m.operation(
        "RMI_REC_CREATE", Caller.HOST, "The host makes a REC with registers of its choice.", "RMMSPEC: B4.3.12"
    ) as op:
        v, flags, chosen = op.parameter("rec", Rec), op.parameter("flags", Runnable), op.parameter("params", Chosen)
        op.guard("rec_state", x.phase[v] == Phase.NULL, _INPUT, "RMMSPEC: B4.3.12.2, DELEGATED", redundant=_TWO_USES)
        op.guard("realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.12.2")
        op.guard(
            "params", chosen.is_in(Chosen.MEASURED, Chosen.HOST), source="the host's choice", redundant="not a rule"
        )
        agreed = any_of(flags == Runnable.NOT_RUNNABLE, chosen == Chosen.MEASURED)
        measured = all_of(x.rim, x.realm == Realm.NEW)
        op.guard(
            "rim.agreed", implies(measured, agreed), source="duty of the verifier: B4.3.12.4 measures a runnable REC"
        )
        _make(op, x, v, False)
        op.set(x.runnable[v], flags == Runnable.RUNNABLE)
        op.set(x.gprs[v], chosen)
    sentence = "The host makes a REC of a realm of its own."
    with m.operation("RMI_REC_CREATE (another realm)", Caller.HOST, sentence, "RMMSPEC: B4.3.12") as op:
        v = op.parameter("rec", Rec)
        op.guard("rec_state", x.phase[v] == Phase.NULL, _INPUT, "RMMSPEC: B4.3.12.2", redundant=_TWO_USES)
        _make(op, x, v, True)
        op.set(x.runnable[v], True)
        op.set(x.gprs[v], Chosen.HOST)
    with m.operation("RMI_REALM_ACTIVATE", Caller.HOST, "The realm may run.", "RMMSPEC: B4.3.8") as op:
        off = "a realm that is off runs on where it was"
        op.guard("realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.8.2", redundant=off)
        op.set(x.realm, Realm.ACTIVE)
    with m.operation("RMI_REC_DESTROY", Caller.HOST, "The host ends a REC.", "RMMSPEC: B4.3.13") as op:
        v = op.parameter("rec_ptr", Rec)
        op.guard("rec_gran_state", x.phase[v] != Phase.NULL, _INPUT, "RMMSPEC: B4.3.13.2", redundant="nothing to end")
        gone = "its granule is wiped before anybody else has it (memory model)"
        op.guard("rec_state", x.phase[v] != Phase.RUNNING, _REC, "RMMSPEC: B4.3.13.2", redundant=gone)
        op.set(x.phase[v], Phase.NULL)


_HAS_RUN = "it has run: the registers are its own"
_LEFT = "a vCPU that waits for this answer has left"
_TWO_USES = "the memory model has what this guard protects: a granule has one use"


def _make(op: OperationBuilder, x: _State, v: Name, other: bool) -> None:
    (w,) = Rec.names("u")
    op.set(x.phase[v], Phase.READY)
    op.set(x.other[v], other)
    op.set(x.exit[v], Exit.NOTHING)
    op.set(x.shown[v], Shown.NOTHING)
    op.set(x.pending[v], False)
    op.set(x.interrupt[v], Interrupt.NOTHING)
    op.set(x.progress[v], False)
    op.set(x.wants[v, w], False, each=[w])
    op.set(x.wants[w, v], False, each=[w])


def _entering(op: OperationBuilder, x: _State, first: bool = True) -> Name:
    """The guards of RMI_REC_ENTER that every entry has. Two cores on one REC would restore old registers at will."""
    v = op.parameter("rec", Rec)
    where, ours = "RMMSPEC: B4.3.14.2", ~x.other[v]
    nothing = "what is no REC has no registers to run with; the memory model has what a granule holds"
    op.guard("rec_gran_state", x.phase[v] != Phase.NULL, _INPUT, where, redundant=nothing)
    op.guard(
        "realm_new",
        implies(ours, x.realm != Realm.NEW),
        _REALM,
        where,
        redundant="a REC of a new realm is measured or off",
    )
    op.guard(
        "system_off", implies(ours, x.realm != Realm.SYSTEM_OFF), _REALM, where, redundant="it would go on where it was"
    )
    op.guard("rec_state", x.phase[v] != Phase.RUNNING, _REC, where, redundant="" if first else _LEFT)
    op.guard("rec_runnable", x.runnable[v], _REC, where, redundant="" if first else _HAS_RUN)
    op.guard("rec_psci", ~x.pending[v], _REC, where, redundant="the realm would see its own arguments as the answer")
    twice = x.phase[v] == Phase.RUNNING
    op.set(x.gprs[v], Chosen.HOST, when=twice)
    op.set(x.phase[v], Phase.RUNNING)
    op.set(x.progress[v], False)
    op.set(x.shown[v], Shown.NOTHING)
    return v


def _enter(m: ModelBuilder, x: _State) -> None:
    source = "RMMSPEC: B4.3.14"
    sentence = "The host runs a vCPU; registers come from the REC."
    with m.operation("RMI_REC_ENTER", Caller.HOST, sentence, f"{source}, A4.2.2") as op:
        v = _entering(op, x)
        op.set(x.gprs[v], Chosen.ANSWER, when=x.exit[v] == Exit.HOST_CALL)
        op.set(x.exit[v], Exit.NOTHING)
    sentence = "The host runs a vCPU and makes a virtual interrupt pending."
    with m.operation("RMI_REC_ENTER (gicv3_lrs)", Caller.HOST, sentence, f"{source}, A6.1") as op:
        v = _entering(op, x)
        kind, lr = op.parameter("interrupt", Interrupt), op.parameter("lr", Lr)
        op.guard("kind", kind != Interrupt.NOTHING, source="an interrupt is injected", redundant="not a rule")
        undefined = "a physical interrupt that is not active: undefined for the GIC, not for the realm"
        op.guard("rec_gicv3", lr == Lr.VIRTUAL, _REC, "RMMSPEC: B4.3.14.2, A6.1", redundant=undefined)
        op.set(x.interrupt[v], kind)
        op.set(x.gprs[v], Chosen.ANSWER, when=x.exit[v] == Exit.HOST_CALL)
        op.set(x.exit[v], Exit.NOTHING)


def _answers(m: ModelBuilder, x: _State) -> None:
    sentence = "The host says that it emulated the access: the register that the realm loads gets the host's value."
    with m.operation("RMI_REC_ENTER (emul_mmio)", Caller.HOST, sentence, "RMMSPEC: A4.2.3, A4.4") as op:
        v = _entering(op, x, first=False)
        emulatable = x.exit[v].is_in(Exit.READ, Exit.WRITE)
        op.guard("rec_mmio", emulatable, _REC, "RMMSPEC: B4.3.14.2")
        asked = x.exit[v] == Exit.READ
        op.set(x.gprs[v], choose(asked, Chosen.ANSWER, choose(x.exit[v] == Exit.WRITE, x.gprs[v], Chosen.HOST)))
        op.set(x.exit[v], Exit.NOTHING)
    sentence = "The host lets the access end in an external abort."
    with m.operation("RMI_REC_ENTER (inject_sea)", Caller.HOST, sentence, "RMMSPEC: A4.2.3, A5.2.6") as op:
        v = _entering(op, x, first=False)
        own = x.exit[v].is_in(Exit.READ, Exit.WRITE, Exit.ABORT_UNPROTECTED)
        op.guard("sea.unprotected", own, "the flag is ignored", "RMMSPEC: A4.2.3")
        op.set(x.aborted, True, when=all_of(~own, ~x.other[v]))
        op.set(x.exit[v], Exit.NOTHING)


def _psci(m: ModelBuilder, x: _State) -> None:
    sentence = "The host names the vCPU that a PSCI call of the realm is about; the RMM turns it on."
    with m.operation("RMI_PSCI_COMPLETE", Caller.HOST, sentence, "RMMSPEC: B4.3.7") as op:
        v, w, status = op.parameter("calling_rec", Rec), op.parameter("target_rec", Rec), op.parameter("status", Status)
        where = "RMMSPEC: B4.3.7.2"
        itself = "a caller runs, so it is on, and a call about itself changes nothing"
        op.guard("alias", v != w, _INPUT, where, redundant=itself)
        op.guard("calling_state", x.phase[v] != Phase.NULL, _INPUT, where, redundant="only a REC has a call pending")
        op.guard(
            "target_state", x.phase[w] != Phase.NULL, _INPUT, where, redundant="a REC that is made sets its registers"
        )
        op.guard("pending", x.pending[v], _INPUT, where)
        op.guard("owner", x.other[v] == x.other[w], _INPUT, where)
        op.guard("target", x.wants[v, w], _INPUT, where)
        denied = all_of(status == Status.PSCI_DENIED, ~x.runnable[w])
        told = "the host may make a vCPU believe that another is off only where it is; availability"
        op.guard("status", any_of(status == Status.PSCI_SUCCESS, denied), _INPUT, f"{where}, B3.27", redundant=told)
        starts = all_of(status == Status.PSCI_SUCCESS, ~x.runnable[w])
        asked = all_of(x.pending[v], x.wants[v, w], x.other[v] == x.other[w])
        op.set(x.gprs[w], choose(asked, Chosen.REALM, Chosen.HOST), when=starts)
        op.set(x.runnable[w], True, when=starts)
        op.set(x.pending[v], False)
        op.set(x.wants[v, w], False)
    (u,) = Rec.names("u")
    with m.operation(
        "PSCI_CPU_ON", Caller.GUEST, "A vCPU asks for another; the call leaves to the host.", "RMMSPEC: A4.3.7, B6.3.3"
    ) as op:
        v, w = op.parameter("v", Rec), op.parameter("target_cpu", Rec)
        op.guard("running", x.phase[v] == Phase.RUNNING, source="it runs", redundant=_SAME)
        itself = "a vCPU does not turn itself on"
        op.guard("target", v != w, "PSCI_ALREADY_ON", "RMMSPEC: B6.3.3.2 runnable", redundant=itself)
        op.guard(
            "runnable",
            ~x.runnable[w],
            "PSCI_ALREADY_ON",
            "RMMSPEC: B6.3.3.2",
            redundant="RMI_PSCI_COMPLETE looks again",
        )
        _leave(op, x, v, Exit.PSCI, Shown.ARGUMENTS)
        op.set(x.pending[v], True)
        op.set(x.wants[v, u], False, each=[u])
        op.set(x.wants[v, w], True)
    with m.operation("PSCI_CPU_OFF", Caller.GUEST, "A vCPU turns itself off.", "RMMSPEC: A4.3.7, B6.3.2") as op:
        v = op.parameter("v", Rec)
        op.guard("running", x.runs(v), source="it runs", redundant=_SAME)
        _leave(op, x, v, Exit.PSCI, Shown.ARGUMENTS)
        op.set(x.runnable[v], False)
    with m.operation("PSCI_SYSTEM_OFF", Caller.GUEST, "The realm turns itself off.", "RMMSPEC: B6.3.6") as op:
        v = op.parameter("v", Rec)
        op.guard("running", x.runs(v), source="it runs", redundant="availability")
        _leave(op, x, v, Exit.PSCI, Shown.ARGUMENTS)
        op.set(x.realm, Realm.SYSTEM_OFF)


def _leave(op: OperationBuilder, x: _State, v: Name, exit: Term, shown: Term) -> None:
    op.set(x.phase[v], Phase.READY)
    op.set(x.exit[v], exit)
    op.set(x.shown[v], shown)
    op.set(x.interrupt[v], Interrupt.NOTHING)


def _exits(m: ModelBuilder, x: _State) -> None:
    hidden = choose(x.zero, Shown.NOTHING, Shown.REGISTERS)
    sentence = "An interrupt or timer of the host's choice ends the run; registers stay in the REC."
    with m.operation("REC exit due to IRQ", Caller.HOST, sentence, "RMMSPEC: A4.3.5, A6.2") as op:
        v = op.parameter("v", Rec)
        op.guard("running", x.phase[v] == Phase.RUNNING, source="it runs", redundant=_SAME)
        _leave(op, x, v, Exit.IRQ, hidden)
        op.set(x.stepped, True, when=all_of(~x.progress[v], ~x.other[v]))
    for name, exit, shown, sentence, source in (
        ("RSI_HOST_CALL", Exit.HOST_CALL, Shown.ARGUMENTS, "A vCPU calls the host with arguments.", "B5.3.4, A4.3.9"),
        ("read unprotected", Exit.READ, hidden, "A vCPU loads from a device that the host emulates.", "A4.3.4.3"),
        (
            "write unprotected",
            Exit.WRITE,
            Shown.ONE_REGISTER,
            "A vCPU stores to a device that the host emulates.",
            "A4.3.4.3",
        ),
        ("access unprotected", Exit.ABORT_UNPROTECTED, hidden, "An access that cannot be emulated.", "A4.3.4.3"),
        (
            "access protected",
            Exit.ABORT_PROTECTED,
            hidden,
            "The address has no page, or is DESTROYED.",
            "A4.3.4.3, A5.2.3",
        ),
    ):
        with m.operation(name, Caller.GUEST, sentence, f"RMMSPEC: {source}") as op:
            v = op.parameter("v", Rec)
            op.guard("running", x.runs(v), source="it runs", redundant=_SAME)
            _leave(op, x, v, exit, shown)


_SAME = "what it shows and asks for is the same at any time"


def _inside(m: ModelBuilder, x: _State) -> None:
    with m.operation(
        "run", Caller.GUEST, "A vCPU computes; a register may hold what looks like a vCPU.", "RMMSPEC: A2.1.2"
    ) as op:
        v, w = op.parameter("v", Rec), op.parameter("gprs1", Rec)
        op.guard("running", x.runs(v), source="it runs", redundant="it would only compute more")
        op.set(x.wants[v, w], True)
        op.set(x.gprs[v], Chosen.REALM)
        op.set(x.progress[v], True)
        op.set(x.interrupt[v], Interrupt.NOTHING)
    sentence = "A vCPU reads an ID register; the RMM answers, no exit to the host exists for it."
    with m.operation("MRS of an ID register", Caller.GUEST, sentence, "RMMSPEC: A4.3.4, A2.1.2.3") as op:
        v = op.parameter("v", Rec)
        op.guard("running", x.runs(v), source="it runs", redundant="the answer is the same")
        op.set(x.feature, Source.RMM)
    sentence = "A vCPU takes a feature from a table that the host wrote."
    never = "the duty forbids it"
    with m.operation("feature from the host", Caller.GUEST, sentence, "duty", never) as op:
        v = op.parameter("v", Rec)
        op.guard("running", x.runs(v), source="it runs", redundant="the duty alone forbids it")
        op.guard("asks_the_rmm", ~x.asks_rmm, source="duty")
        op.set(x.feature, Source.HOST)


def _claims(m: ModelBuilder, x: _State) -> None:
    assume(m, *_RESTS_ON, "side-channels", "hash-is-collision-free")
    (v,) = Rec.names("v")
    shows = all_of(~x.other[v], x.shown[v] == Shown.REGISTERS)
    seen = ("side-channels", *_RESTS_ON)
    m.objective(
        "R1", exists([v], shows), "the host learns registers only where the realm passes them", seen, ["read-registers"]
    )
    chosen = all_of(x.runs(v), x.gprs[v] == Chosen.HOST)
    rests = (*_RESTS_ON, "hash-is-collision-free")
    m.objective(
        "R2", exists([v], chosen), "no vCPU runs with registers that the host chose", rests, ["write-registers"]
    )
    m.objective("X1.exception", x.aborted, "no exception that the realm did not cause", _RESTS_ON, ["inject-exception"])
    injected = exists([v], all_of(x.runs(v), x.interrupt[v] == Interrupt.CHOSEN))
    m.objective("X1.interrupt", injected, "only interrupts that the realm expects", _RESTS_ON, ["inject-interrupt"])
    m.objective("X2", x.feature == Source.HOST, "features come from the RMM", _RESTS_ON, ["lie-cpuid"])
    m.objective("X3", x.stepped, "no vCPU is stopped before it does anything", (), ["single-step", "observe-exits"])
    waits = exists([v], all_of(~x.other[v], x.phase[v] == Phase.READY, x.exit[v] == Exit.IRQ))
    m.objective("A1", waits, "a vCPU that was interrupted runs on", (), ["withhold-resources"])

    here, ours = x.phase[v] != Phase.NULL, ~x.other[v]
    m.invariant(
        "nothing shown", forall([v], implies(here, x.shown[v] != Shown.REGISTERS)), "exits carry what was passed"
    )
    m.invariant(
        "shown is alive", forall([v], implies(~here, x.shown[v] != Shown.REGISTERS)), "and nothing is left of a REC"
    )
    own = all_of(here, ours, x.runnable[v])
    m.invariant(
        "own registers", forall([v], implies(own, x.gprs[v] != Chosen.HOST)), "measured, computed, or asked for"
    )
    running = implies(x.phase[v] == Phase.RUNNING, x.runnable[v])
    m.invariant("running is runnable", forall([v], running), "only a runnable REC is entered")
    m.invariant("no abort", ~x.aborted, "an abort answers an access to unprotected memory")
    m.invariant("authentic", x.feature != Source.HOST, "the realm asks the RMM")
    m.witness("a vCPU uses what the host answered", exists([v], all_of(x.runs(v), x.gprs[v] == Chosen.ANSWER)))
    started = all_of(x.runs(v), x.gprs[v] == Chosen.REALM, x.progress[v])
    m.witness("a vCPU computes", exists([v], started))
