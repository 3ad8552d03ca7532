"""The realm's life: descriptor, execution contexts and tables as granules, activation, the end."""

from __future__ import annotations

from hostproof.managers.engine import Caller, ModelBuilder, OperationBuilder, all_of, forall
from hostproof.managers.models.cca.granules import INPUT
from hostproof.managers.models.cca.state import Asked, Content, Gpt, Granule, GranuleState, Ipa, Realm, Ripas, State

__all__ = ["realm"]

_REALM = "RMI_ERROR_REALM"


def realm(m: ModelBuilder, x: State) -> None:
    """Adds the operations."""
    _create(m, x)
    _activate(m, x)
    _contexts(m, x)
    _run_page(m, x)
    _tables(m, x)


def _forget(op: OperationBuilder, x: State) -> None:
    """A realm starts with an empty translation table and knows nothing."""
    (g,) = Ipa.names("h")
    op.set(x.ripas[g], Ripas.EMPTY, each=[g])
    op.set(x.asked[g], Asked.NOTHING, each=[g])
    op.set(x.believed[g], False, each=[g])
    op.set(x.used[g], False, each=[g])


def _create(m: ModelBuilder, x: State) -> None:
    delegated = GranuleState.DELEGATED
    with m.operation("RMI_REALM_CREATE", Caller.HOST, "The host makes a realm.", "RMMSPEC: B4.3.9") as op:
        rd, rtt = op.parameter("rd", Granule), op.parameter("rtt_base", Granule)
        one = "the realms of this model: one, and those of the host"
        op.guard("one realm", x.realm == Realm.NULL, source="the model follows one realm", redundant=one)
        op.guard("rd_state", x.state[rd] == delegated, INPUT, "RMMSPEC: B4.3.9.2")
        op.guard("rtt_state", x.state[rtt] == delegated, INPUT, "RMMSPEC: B4.3.9.2")
        lost = "one granule with two uses is a broken realm, but nothing of it leaves the Realm world"
        op.guard("alias", rd != rtt, INPUT, "RMMSPEC: B4.3.9.2", redundant=lost)
        for s, state in ((rd, GranuleState.RD), (rtt, GranuleState.RTT)):
            op.set(x.state[s], state)
            op.set(x.content[s], Content.WIPED)
        _forget(op, x)
        op.set(x.realm, Realm.NEW)
    s, t = Granule.names("t", "u")
    (g,) = Ipa.names("h")
    with m.operation(
        "RMI_REALM_DESTROY", Caller.HOST, "The host ends a realm that is not live.", "RMMSPEC: B4.3.10"
    ) as op:
        rd, rtt = op.parameter("rd", Granule), op.parameter("rtt_base", Granule)
        op.guard("rd_state", x.state[rd] == GranuleState.RD, INPUT, "RMMSPEC: B4.3.10.2")
        dead = all_of(forall([s, g], ~x.maps[s, g]), forall([t], x.state[t] != GranuleState.REC))
        op.guard("realm_live", dead, _REALM, "RMMSPEC: B4.3.10.2, A2.1.4", redundant=_LOST)
        own = "RMMSPEC: A2.2.2, the RMM finds the table in the descriptor"
        op.guard("rtt_base", x.state[rtt] == GranuleState.RTT, source=own)
        op.set(x.state[rd], delegated)
        op.set(x.state[rtt], delegated)
        _forget(op, x)
        op.set(x.realm, Realm.NULL)


_LOST = "what is left can never be freed; a REC whose realm is gone is not in the model"


def _activate(m: ModelBuilder, x: State) -> None:
    with m.operation(
        "RMI_REALM_ACTIVATE", Caller.HOST, "The realm may run; its RIM is final.", "RMMSPEC: B4.3.8"
    ) as op:
        revived = "a realm that turned itself off would run again with the memory that it left"
        op.guard("realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.8.2", redundant=revived)
        op.set(x.realm, Realm.ACTIVE)
    with m.operation("PSCI_SYSTEM_OFF", Caller.GUEST, "The realm turns itself off.", "RMMSPEC: B6.3.6") as op:
        op.guard("running", x.realm == Realm.ACTIVE, source="the realm runs", redundant="it would only end sooner")
        op.set(x.realm, Realm.SYSTEM_OFF)


def _contexts(m: ModelBuilder, x: State) -> None:
    delegated = GranuleState.DELEGATED
    with m.operation("RMI_REC_CREATE", Caller.HOST, "The host makes an execution context.", "RMMSPEC: B4.3.12") as op:
        rec, aux = op.parameter("rec", Granule), op.parameter("aux", Granule)
        later = "the execution model has what this guard protects: who starts a vCPU"
        op.guard("realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.12.2", redundant=later)
        op.guard("rec_state", x.state[rec] == delegated, INPUT, "RMMSPEC: B4.3.12.2")
        op.guard("aux_state", x.state[aux] == delegated, INPUT, "RMMSPEC: B4.3.12.2")
        lost = "both hold registers and stay in the Realm world"
        op.guard("aux_alias", rec != aux, INPUT, "RMMSPEC: B4.3.12.2", redundant=lost)
        for s, state in ((rec, GranuleState.REC), (aux, GranuleState.REC_AUX)):
            op.set(x.state[s], state)
            op.set(x.content[s], Content.REGISTERS)
    with m.operation("RMI_REC_DESTROY", Caller.HOST, "The host ends an execution context.", "RMMSPEC: B4.3.13") as op:
        rec, aux = op.parameter("rec_ptr", Granule), op.parameter("aux", Granule)
        op.guard("rec_gran_state", x.state[rec] == GranuleState.REC, INPUT, "RMMSPEC: B4.3.13.2")
        op.guard("rec.aux", x.state[aux] == GranuleState.REC_AUX, source="RMMSPEC: B4.3.13.3, from the REC itself")
        op.set(x.state[rec], delegated)
        op.set(x.state[aux], delegated)


def _run_page(m: ModelBuilder, x: State) -> None:
    sentence = "The RMM writes the exit of a vCPU to the granule that the host named."
    with m.operation("RMI_REC_ENTER (run page)", Caller.HOST, sentence, "RMMSPEC: B4.3.14, A4.3.1") as op:
        s = op.parameter("run_ptr", Granule)
        op.guard("run_pas", x.gpt[s] == Gpt.NS, INPUT, "RMMSPEC: B4.3.14.2")
        op.guard(
            "system_off",
            x.realm == Realm.ACTIVE,
            _REALM,
            "RMMSPEC: B4.3.14.2, realm_new the same",
            redundant=_ELSEWHERE,
        )
        op.set(x.content[s], Content.HOST)


_ELSEWHERE = "the execution model has what this guard protects: which realm runs"


def _tables(m: ModelBuilder, x: State) -> None:
    with m.operation("RMI_RTT_CREATE", Caller.HOST, "The host gives a granule for a table.", "RMMSPEC: B4.3.15") as op:
        rtt = op.parameter("rtt", Granule)
        op.guard(
            "rd_state",
            x.realm != Realm.NULL,
            INPUT,
            "RMMSPEC: B4.3.15.2",
            redundant="a table without a realm maps nothing",
        )
        op.guard("rtt_state", x.state[rtt] == GranuleState.DELEGATED, INPUT, "RMMSPEC: B4.3.15.2")
        op.set(x.state[rtt], GranuleState.RTT)
        op.set(x.content[rtt], Content.WIPED)
    sentence = "The host takes a table away: what it said of the address is destroyed."
    with m.operation("RMI_RTT_DESTROY", Caller.HOST, sentence, "RMMSPEC: B4.3.16") as op:
        rtt, g = op.parameter("rtt", Granule), op.parameter("ipa", Ipa)
        op.guard("rtte_state", x.state[rtt] == GranuleState.RTT, "RMI_ERROR_RTT", "RMMSPEC: B4.3.16.2")
        op.guard("rtt_live", ~x.assigned[g], "RMI_ERROR_RTT", "RMMSPEC: B4.3.16.2, A5.5.8", redundant=_LIVE)
        op.set(x.state[rtt], GranuleState.DELEGATED)
        op.set(x.ripas[g], Ripas.DESTROYED)


_LIVE = "a granule that stays mapped at a destroyed address is not reached there; the table model has what is lost"
