"""Arm CCA, a translation table of a realm: an entry, the table below it, folding, destruction.

One entry of a table at level n-1 and the table at level n that it may point to, with any number of entries. What the realm
was told of an address (its RIPAS, the page behind it) must survive every change of the tables' shape.
"""

from __future__ import annotations

from hostproof.managers.engine import (
    Caller,
    Model,
    ModelBuilder,
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

__all__ = ["tables"]

Entry = Sort("Entry", prefix="e")
"""An address below the entry: an entry of the lower table, or a part of the block."""
State = Sort("EntryState", ("UNASSIGNED", "ASSIGNED", "UNASSIGNED_NS", "ASSIGNED_NS", "TABLE"))
Kind = Sort("Kind", ("PROTECTED", "UNPROTECTED"))
Ripas = Sort("Ripas", ("EMPTY", "RAM", "DESTROYED"))
Address = Sort("Address", ("IN_ORDER", "ELSEWHERE"))
"""Whether the output address is the one that follows in a block, or another."""
_RTT, _INPUT = "RMI_ERROR_RTT", "RMI_ERROR_INPUT"
_RESTS_ON = ("rmm-is-correct", "atomic-commands", "gpc-on-every-access")


class _State:
    def __init__(self, m: ModelBuilder) -> None:
        entry = [Entry]
        self.made = m.scalar("made", meaning="the realm exists")
        self.protected = m.scalar("protected", initial=True, meaning="the address is protected (A5.2.1)")
        self.table = m.scalar("table", meaning="the upper entry is TABLE")
        self.parent = m.scalar("parent", State, "UNASSIGNED", "the upper entry's state, unless TABLE")
        self.ripas = m.scalar("ripas", Ripas, "EMPTY", "the upper entry's RIPAS")
        self.child = m.function("child", entry, State, "UNASSIGNED", "state of an entry of the lower table")
        self.child_ripas = m.function("child_ripas", entry, Ripas, "EMPTY", "its RIPAS")
        self.address = m.function("address", entry, Address, "IN_ORDER", "its output address")
        self.mapped = m.function("mapped", entry, meaning="a page was put at the address and not taken away")
        self.page = m.function("page", entry, Address, "IN_ORDER", "which page it was")
        self.told = m.function(
            "told", entry, Ripas, "EMPTY", "what the realm and the destroying commands made of its RIPAS"
        )

    def walk(self) -> Term:
        """The walk reaches the lower table."""
        return self.table | False

    def holds(self, e: Term) -> Term:
        """The tables give an output address for the address."""
        below = self.child[e].is_in(State.ASSIGNED, State.ASSIGNED_NS)
        return choose(self.table, below, self.parent.is_in(State.ASSIGNED, State.ASSIGNED_NS))

    def at(self, e: Term) -> Term:
        """Which."""
        return choose(self.table, self.address[e], Address.IN_ORDER)

    def shown(self, e: Term) -> Term:
        """The RIPAS that the tables give."""
        return choose(self.table, self.child_ripas[e], self.ripas)


def tables() -> Model:
    """An entry of a translation table and the table below it."""
    m = ModelBuilder("cca-tables", "RMM 1.0", "Arm CCA, translation tables of a realm")
    x = _State(m)
    _shape(m, x)
    _fold(m, x)
    _pages(m, x)
    _unprotected(m, x)
    _claims(m, x)
    return m.build()


def _shape(m: ModelBuilder, x: _State) -> None:
    (e,) = Entry.names("f")
    sentence = "A realm begins with entries that are UNASSIGNED and EMPTY, or UNASSIGNED_NS."
    with m.operation(
        "RMI_REALM_CREATE", Caller.HOST, sentence, "RMMSPEC: B4.3.9.3 rtte_p_states, rtte_up_states, rtte_ripas"
    ) as op:
        kind = op.parameter("ipa", Kind)
        op.guard("one realm", ~x.made, source="the model follows one realm")
        op.set(x.made, True)
        op.set(x.protected, kind == Kind.PROTECTED)
        op.set(x.parent, choose(kind == Kind.PROTECTED, State.UNASSIGNED, State.UNASSIGNED_NS))
    sentence = "A table is put below the entry; each of its entries says what the entry said."
    with m.operation("RMI_RTT_CREATE", Caller.HOST, sentence, "RMMSPEC: B4.3.15, A5.5.7") as op:
        op.guard("rd_state", x.made | False, _INPUT, "RMMSPEC: B4.3.15.2")
        op.guard("rtte_state", ~x.table, _RTT, "RMMSPEC: B4.3.15.2")
        op.set(x.table, True)
        op.set(x.child[e], x.parent, each=[e])
        op.set(x.child_ripas[e], x.ripas, each=[e])
        op.set(x.address[e], Address.IN_ORDER, each=[e])
    sentence = "A table that holds no page is taken away; what it said is destroyed."
    with m.operation("RMI_RTT_DESTROY", Caller.HOST, sentence, "RMMSPEC: B4.3.16, A5.5.9") as op:
        op.guard(
            "rtte_state",
            x.table | False,
            _RTT,
            "RMMSPEC: B4.3.16.2",
            redundant="without a table its entries are nothing",
        )
        live = exists([e], x.child[e] == State.ASSIGNED)
        op.guard("rtt_live", ~live, _RTT, "RMMSPEC: B4.3.16.2, A5.5.8")
        op.set(x.table, False)
        op.set(x.parent, choose(x.protected, State.UNASSIGNED, State.UNASSIGNED_NS))
        op.set(x.ripas, choose(x.protected, Ripas.DESTROYED, Ripas.EMPTY))
        op.set(x.told[e], Ripas.DESTROYED, when=x.protected, each=[e])
        op.set(x.mapped[e], False, when=~x.protected, each=[e])


def _fold(m: ModelBuilder, x: _State) -> None:
    (e,) = Entry.names("f")
    sentence = "A table whose entries are alike is taken away; the entry says what they said."
    with m.operation("RMI_RTT_FOLD", Caller.HOST, sentence, "RMMSPEC: B4.3.17, A5.5.6") as op:
        first = op.parameter("first", Entry)
        op.guard("rtte_state", x.table | False, _RTT, "RMMSPEC: B4.3.17.2")
        same = all_of(x.child[e] == x.child[first], x.child_ripas[e] == x.child_ripas[first])
        ordered = any_of(x.child[e].is_in(State.UNASSIGNED, State.UNASSIGNED_NS), x.address[e] == Address.IN_ORDER)
        op.guard("rtt_homo", forall([e], all_of(same, ordered)), _RTT, "RMMSPEC: B4.3.17.2, A5.5.6")
        op.set(x.table, False)
        op.set(x.parent, x.child[first])
        op.set(x.ripas, x.child_ripas[first])


def _pages(m: ModelBuilder, x: _State) -> None:
    with m.operation("RMI_DATA_CREATE_UNKNOWN", Caller.HOST, "A page at the address.", "RMMSPEC: B4.3.2") as op:
        e, where = op.parameter("ipa", Entry), op.parameter("data", Address)
        op.guard("ipa_bound", x.protected | False, _INPUT, "RMMSPEC: B4.3.2.2", redundant="never UNASSIGNED otherwise")
        op.guard("rtt_walk", x.walk(), _RTT, "RMMSPEC: B4.3.2.2")
        op.guard("rtte_state", x.child[e] == State.UNASSIGNED, _RTT, "RMMSPEC: B4.3.2.2")
        op.set(x.child[e], State.ASSIGNED)
        op.set(x.address[e], where)
        op.set(x.mapped[e], True)
        op.set(x.page[e], where, when=~x.mapped[e])
    with m.operation("RMI_DATA_DESTROY", Caller.HOST, "The page is taken away.", "RMMSPEC: B4.3.3") as op:
        e = op.parameter("ipa", Entry)
        op.guard("rtt_walk", x.walk(), _RTT, "RMMSPEC: B4.3.3.2")
        op.guard("rtte_state", x.child[e] == State.ASSIGNED, _RTT, "RMMSPEC: B4.3.3.2")
        op.set(x.child[e], State.UNASSIGNED)
        op.set(x.mapped[e], False)
        op.set(x.child_ripas[e], Ripas.DESTROYED, when=x.child_ripas[e] == Ripas.RAM)
        op.set(x.told[e], Ripas.DESTROYED, when=x.told[e] == Ripas.RAM)
    sentence = "The RIPAS that the realm asked for."
    with m.operation("RMI_RTT_SET_RIPAS", Caller.HOST, sentence, "RMMSPEC: B4.3.21") as op:
        e, ripas = op.parameter("base", Entry), op.parameter("ripas", Ripas)
        op.guard("base_align", x.walk(), _RTT, "RMMSPEC: B4.3.21.2: the walk ends at a level that fits base")
        op.guard("ripas", ripas != Ripas.DESTROYED, "RSI_ERROR_INPUT", "RMMSPEC: B5.3.6.2 ripas_valid", redundant=_OWN)
        op.guard("protected", x.protected | False, "RSI_ERROR_INPUT", "RMMSPEC: B5.3.6.2 rgn_bound", redundant=_OWN)
        op.set(x.child_ripas[e], ripas)
        op.set(x.told[e], ripas)


_ANY = "the host may map any granule at an unprotected address, or none, at any time"
_OWN = "the realm's own request"


def _unprotected(m: ModelBuilder, x: _State) -> None:
    with m.operation(
        "RMI_RTT_MAP_UNPROTECTED", Caller.HOST, "A granule of the host's at an unprotected address.", "RMMSPEC: B4.3.19"
    ) as op:
        e, where = op.parameter("ipa", Entry), op.parameter("desc", Address)
        op.guard(
            "ipa_bound",
            ~x.protected,
            _INPUT,
            "RMMSPEC: B4.3.19.2",
            redundant="a protected entry is never UNASSIGNED_NS",
        )
        op.guard("rtt_walk", x.walk(), _RTT, "RMMSPEC: B4.3.19.2")
        op.guard("rtte_state", x.child[e] == State.UNASSIGNED_NS, _RTT, "RMMSPEC: B4.3.19.2", redundant=_ANY)
        op.set(x.child[e], State.ASSIGNED_NS)
        op.set(x.address[e], where)
        op.set(x.mapped[e], True)
        op.set(x.page[e], where)
    with m.operation("RMI_RTT_UNMAP_UNPROTECTED", Caller.HOST, "It is taken away.", "RMMSPEC: B4.3.22") as op:
        e = op.parameter("ipa", Entry)
        op.guard(
            "ipa_bound", ~x.protected, _INPUT, "RMMSPEC: B4.3.22.2", redundant="a protected entry is never ASSIGNED_NS"
        )
        op.guard("rtt_walk", x.walk(), _RTT, "RMMSPEC: B4.3.22.2")
        op.guard("rtte_state", x.child[e] == State.ASSIGNED_NS, _RTT, "RMMSPEC: B4.3.22.2", redundant=_ANY)
        op.set(x.child[e], State.UNASSIGNED_NS)
        op.set(x.mapped[e], False)


def _claims(m: ModelBuilder, x: _State) -> None:
    assume(m, *_RESTS_ON)
    (e,) = Entry.names("e")
    moved = exists([e], all_of(x.holds(e), any_of(~x.mapped[e], x.at(e) != x.page[e])))
    m.objective("M5", moved, "an address keeps its page through every change of shape", _RESTS_ON, ["remap-page"])
    lost = exists([e], all_of(x.mapped[e], ~x.holds(e)))
    m.objective("M6.page", lost, "no page is lost from the tables while it is mapped", _RESTS_ON, ["replace-used-page"])
    other = exists([e], all_of(x.protected, x.shown(e) != x.told[e]))
    m.objective("M6.ripas", other, "the RIPAS changes only as asked, or to DESTROYED", _RESTS_ON, ["replace-used-page"])
    kind = x.parent.is_in(State.UNASSIGNED_NS, State.ASSIGNED_NS)
    below = x.child[e].is_in(State.UNASSIGNED_NS, State.ASSIGNED_NS)
    mixed = any_of(all_of(~x.table, x.protected, kind), exists([e], all_of(x.table, x.protected, below)))
    m.objective("T1", mixed, "no protected address leads to the Non-secure world", _RESTS_ON, ["change-shared-memory"])
    stalls = exists([e], all_of(x.protected, x.told[e] == Ripas.DESTROYED))
    m.objective("A1", stalls, "no address is destroyed", (), ["drop-page"])

    def every(id: str, condition: Term, conclusion: Term, sentence: str) -> None:
        m.invariant(id, forall([e], implies(condition, conclusion)), sentence)

    assigned = x.child[e].is_in(State.ASSIGNED, State.ASSIGNED_NS)
    block = x.parent.is_in(State.ASSIGNED, State.ASSIGNED_NS)
    every(
        "entry is mapped",
        all_of(x.table, assigned),
        all_of(x.mapped[e], x.address[e] == x.page[e]),
        "each entry has its page",
    )
    every(
        "block is mapped",
        all_of(~x.table, block),
        all_of(x.mapped[e], x.page[e] == Address.IN_ORDER),
        "a block is in order",
    )
    every("mapped is in an entry", all_of(x.table, x.mapped[e]), assigned, "a table with pages is not destroyed")
    every("mapped is in a block", all_of(~x.table, x.mapped[e]), block, "and folds into a block")
    m.invariant("RIPAS", forall([e], x.shown(e) == x.told[e]), "unfolding and folding keep it")
    unasked = forall([e], implies(~x.protected, x.told[e] == Ripas.EMPTY))
    m.invariant("unprotected has no RIPAS", unasked, "RIPAS belongs to protected addresses")
    m.invariant("no realm, no RIPAS", forall([e], implies(~x.made, x.told[e] == Ripas.EMPTY)), "nobody set one")
    for name, here, state in (("entry", x.table | False, x.child[e]), ("block", ~x.table, x.parent)):
        shared = state.is_in(State.UNASSIGNED_NS, State.ASSIGNED_NS)
        every(f"{name} of its kind", here, shared == ~x.protected, "protected and unprotected entries never mix")
        every(f"{name} is no table", here, state != State.TABLE, "a lower level is not in this model")
    m.invariant("table of a realm", implies(x.table, x.made), "a table needs a realm")
    m.invariant("no realm, no page", forall([e], implies(~x.made, ~x.mapped[e])), "so does a page")
    m.witness("a block holds pages", all_of(~x.table, x.protected, x.parent == State.ASSIGNED))
