"""Pages of the realm: creation, destruction, RIPAS, and what the realm does with them."""

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
    implies,
)
from hostproof.managers.models.cca.granules import INPUT
from hostproof.managers.models.cca.state import (
    Asked,
    Content,
    Destroyed,
    Gpt,
    Granule,
    GranuleState,
    Ipa,
    Measure,
    Realm,
    Ripas,
    State,
)

__all__ = ["data"]

_RTT = "RMI_ERROR_RTT"
_REALM = "RMI_ERROR_REALM"
_VERIFIER = "duty of the verifier"


def data(m: ModelBuilder, x: State) -> None:
    """Adds the operations."""
    _create(m, x)
    _destroy(m, x)
    _ripas(m, x)
    _ask(m, x)
    _use(m, x)


def _map(op: OperationBuilder, x: State, s: Name, g: Name) -> None:
    op.set(x.state[s], GranuleState.DATA)
    op.set(x.maps[s, g], True)
    op.set(x.assigned[g], True)


def _newest(op: OperationBuilder, x: State, s: Name, g: Name, content: Term) -> None:
    """Data is written at g: whatever else holds data of g is old now."""
    (t,) = Granule.names("t")
    op.set(x.fresh[t], False, when=x.origin[t] == g, each=[t])
    op.set(x.content[s], content)
    op.set(x.origin[s], g)
    op.set(x.fresh[s], True)


def _create(m: ModelBuilder, x: State) -> None:
    sentence = (
        "The RMM copies a page of the image into the new realm and measures address and content, or address alone."
    )
    with m.operation("RMI_DATA_CREATE", Caller.HOST, sentence, "RMMSPEC: B4.3.1") as op:
        s, g, measure = op.parameter("data", Granule), op.parameter("ipa", Ipa), op.parameter("flags", Measure)
        op.guard("data_state", x.state[s] == GranuleState.DELEGATED, INPUT, "RMMSPEC: B4.3.1.2")
        op.guard("realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.1.2")
        op.guard("rtte_state", ~x.assigned[g], _RTT, "RMMSPEC: B4.3.1.2")
        agreed = all_of(measure == Measure.MEASURE_CONTENT, ~x.believed[g])
        op.guard("rim.agreed", implies(x.rim, agreed), source=f"{_VERIFIER}: content measured, and each address once")
        _map(op, x, s, g)
        op.set(x.ripas[g], Ripas.RAM)
        op.set(x.believed[g], True)
        op.set(x.used[g], True, when=measure == Measure.MEASURE_CONTENT)
        _newest(op, x, s, g, choose(measure == Measure.MEASURE_CONTENT, Content.IMAGE, Content.HOST))
    sentence = "The host gives a wiped page at an address."
    with m.operation("RMI_DATA_CREATE_UNKNOWN", Caller.HOST, sentence, "RMMSPEC: B4.3.2") as op:
        s, g = op.parameter("data", Granule), op.parameter("ipa", Ipa)
        op.guard("data_state", x.state[s] == GranuleState.DELEGATED, INPUT, "RMMSPEC: B4.3.2.2")
        op.guard("rd_state", x.realm != Realm.NULL, INPUT, "RMMSPEC: B4.3.2.2", redundant="no realm reads the page")
        op.guard("rtte_state", ~x.assigned[g], _RTT, "RMMSPEC: B4.3.2.2")
        _map(op, x, s, g)
        op.set(x.content[s], Content.WIPED, when=x.wipe_create | False)


def _destroy(m: ModelBuilder, x: State) -> None:
    sentence = "The host takes a page away; an address that was RAM is DESTROYED."
    with m.operation("RMI_DATA_DESTROY", Caller.HOST, sentence, "RMMSPEC: B4.3.3") as op:
        s, g = op.parameter("data", Granule), op.parameter("ipa", Ipa)
        op.guard("rtte_state", x.maps[s, g], _RTT, "RMMSPEC: B4.3.3.2")
        op.set(x.maps[s, g], False)
        op.set(x.assigned[g], False)
        op.set(x.state[s], GranuleState.DELEGATED)
        ram = x.ripas[g] == Ripas.RAM
        op.set(x.ripas[g], Ripas.DESTROYED, when=ram)
        op.set(x.stale[s, g], True, when=all_of(~x.tlbi, ram))


def _ripas(m: ModelBuilder, x: State) -> None:
    with m.operation(
        "RMI_RTT_INIT_RIPAS", Caller.HOST, "An address of the new realm is RAM, measured.", "RMMSPEC: B4.3.18"
    ) as op:
        g = op.parameter("ipa", Ipa)
        op.guard("realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.18.2")
        known = "an address that is assigned in a new realm holds a wiped page or the image"
        op.guard("rtte_state", ~x.assigned[g], _RTT, "RMMSPEC: B4.3.18.2", redundant=known)
        op.guard("rim.agreed", implies(x.rim, ~x.believed[g]), source=f"{_VERIFIER}: each address once")
        op.set(x.ripas[g], Ripas.RAM)
        op.set(x.believed[g], True)
    s = Granule.names("t")[0]
    sentence = "The host applies the RIPAS change that a REC asked for, to one more address of the range."
    with m.operation("RMI_RTT_SET_RIPAS", Caller.HOST, sentence, "RMMSPEC: B4.3.21, A5.4") as op:
        g = op.parameter("base", Ipa)
        safe, ram, empty = Asked.RAM_NO_CHANGE_DESTROYED, Asked.RAM_CHANGE_DESTROYED, Asked.EMPTY
        asked = x.asked[g].is_in(empty, safe, ram)
        op.guard("base_bound", asked, INPUT, "RMMSPEC: B4.3.21.2, top_bound the same for the end of the range")
        keeps = implies(x.asked[g] == safe, x.ripas[g] != Ripas.DESTROYED)
        op.guard("no_progress", keeps, _RTT, "RMMSPEC: B4.3.21.2, A5.4, B3.75 stop_at_destroyed")
        op.set(
            x.stale[s, g],
            True,
            when=all_of(~x.tlbi, x.maps[s, g], x.ripas[g] == Ripas.RAM, x.asked[g] == empty),
            each=[s],
        )
        op.set(x.ripas[g], choose(x.asked[g] == empty, Ripas.EMPTY, Ripas.RAM))
        op.set(x.asked[g], choose(x.asked[g] == empty, Asked.NOTHING, Asked.APPLIED))
    sentence = "The RMM reports how far the RIPAS change went, and whether the host rejected it."
    with m.operation("RMI_REC_ENTER (RIPAS change)", Caller.HOST, sentence, "RMMSPEC: A5.4, B5.3.6.3") as op:
        g = op.parameter("new_base", Ipa)
        op.guard("ripas.pending", x.asked[g] != Asked.NOTHING, source="RMMSPEC: A4.3.8", redundant="nothing to report")
        wanted = x.asked[g].is_in(Asked.RAM_NO_CHANGE_DESTROYED, Asked.RAM_CHANGE_DESTROYED)
        op.set(x.believed[g], True, when=any_of(x.asked[g] == Asked.APPLIED, all_of(wanted, ~x.checks)))
        op.set(x.asked[g], Asked.NOTHING)


def _ask(m: ModelBuilder, x: State) -> None:
    source = "RMMSPEC: B5.3.6"
    with m.operation("RSI_IPA_STATE_SET (RAM)", Caller.GUEST, "The realm asks that an address be RAM.", source) as op:
        g, destroyed = op.parameter("base", Ipa), op.parameter("flags", Destroyed)
        _asking(op, x, g)
        kept = destroyed == Destroyed.NO_CHANGE_DESTROYED
        op.guard("flag.kept", implies(all_of(x.keeps_flag, x.used[g]), kept), source="duty")
        op.guard("flag.known", implies(x.known, ~x.used[g]), source="policy", redundant="not a rule of the RMM")
        op.set(x.asked[g], choose(kept, Asked.RAM_NO_CHANGE_DESTROYED, Asked.RAM_CHANGE_DESTROYED))
    with m.operation("RSI_IPA_STATE_SET (EMPTY)", Caller.GUEST, "The realm gives an address up.", source) as op:
        g = op.parameter("base", Ipa)
        _asking(op, x, g)
        op.set(x.asked[g], Asked.EMPTY)
        op.set(x.believed[g], False)
        op.set(x.used[g], False)


def _asking(op: OperationBuilder, x: State, g: Name) -> None:
    op.guard("running", x.realm == Realm.ACTIVE, source="the realm runs")
    op.guard("one request", x.asked[g] == Asked.NOTHING, source="RMMSPEC: A5.4, one change per REC", redundant=_ONE)


_ONE = "a request that replaces another of the same address is as good as the second alone"


def _use(m: ModelBuilder, x: State) -> None:
    sentence = "The realm writes its data at a protected address."
    with m.operation("write protected", Caller.GUEST, sentence, "RMMSPEC: A5.2.3, A5.3.1") as op:
        s, g = op.parameter("s", Granule), op.parameter("g", Ipa)
        op.guard(
            "running",
            x.realm == Realm.ACTIVE,
            source="the realm runs",
            redundant=_EARLY,
        )
        op.guard("valid", x.valid(s, g), "REC exit due to Data Abort, or SEA", "RMMSPEC: A5.3.1")
        op.guard("gpc", x.gpt[s] == Gpt.REALM, "Granule Protection Fault", "RMMSPEC: A2.2.3.1", redundant=_MAPPED)
        op.guard(
            "believed",
            x.believed[g],
            source="a realm uses what it holds to be RAM",
            redundant=_GIVEN_UP,
        )
        op.guard("alone", implies(x.alone, x.asked[g] == Asked.NOTHING), source="duty")
        _newest(op, x, s, g, Content.REALM)
        op.set(x.used[g], True)
    sentence = "The realm writes at an unprotected address, where the host mapped a granule of its choice."
    with m.operation("write unprotected", Caller.GUEST, sentence, "RMMSPEC: A5.2.6") as op:
        s = op.parameter("s", Granule)
        op.guard(
            "running",
            x.realm == Realm.ACTIVE,
            source="the realm runs",
            redundant="what is written there is the host's anyway",
        )
        op.guard("gpc", x.gpt[s] == Gpt.NS, "Granule Protection Fault", "RMMSPEC: A5.2.6")
        op.set(x.content[s], choose(x.shares, Content.HOST, Content.MISPLACED))


_MAPPED = "a valid mapping points to a DATA granule, which is in the Realm physical address space"
_EARLY = "what it holds to be RAM is RAM, before it runs too"
_GIVEN_UP = "RAM that it gave up and uses is RAM"
