"""Small models with known answers: a counter, mutual exclusion, relations with bulk updates; and states at random."""

from __future__ import annotations

from hostproof.managers.engine import (
    Caller,
    Model,
    ModelBuilder,
    Sort,
    all_of,
    choose,
    exists,
    forall,
    implies,
)

Process = Sort("Process", prefix="p")
Page = Sort("Page", prefix="s")
Digit = Sort("Digit", ("ZERO", "ONE", "TWO", "THREE"))
Lock = Sort("Lock", ("FREE", "HELD"))


def counter() -> Model:
    """Counts to three; three steps are the shortest way."""
    m = ModelBuilder("counter", "1", "A counter")
    count = m.scalar("count", Digit, "ZERO")
    with m.operation("increment", Caller.HOST, "One more.", "1") as op:
        op.guard("increment.below", count != Digit.THREE)
        more = choose(count == Digit.ONE, Digit.TWO, Digit.THREE)
        op.set(count, choose(count == Digit.ZERO, Digit.ONE, more))
    with m.operation("reset", Caller.GUEST, "Back to zero.", "2") as op:
        op.set(count, Digit.ZERO)
    m.objective("M1", count == Digit.THREE, "the counter never reaches three")
    return m.build()


def mutual_exclusion() -> Model:
    """A lock that is taken before the critical section; without its duty two processes meet in four steps."""
    m = ModelBuilder("mutex", "1", "Mutual exclusion")
    p, q = Process.names("p", "q")
    lock = m.scalar("lock", Lock, "FREE")
    inside = m.function("inside", [Process])
    polite = m.duty("polite", "a process waits for the lock")
    with m.operation("enter", Caller.GUEST, "A process enters.", "1") as op:
        me = op.parameter("me", Process)
        op.guard("enter.free", implies(polite, lock == Lock.FREE))
        op.set(lock, Lock.HELD)
        op.set(inside[me], True)
    with m.operation("leave", Caller.GUEST, "A process leaves.", "2") as op:
        me = op.parameter("me", Process)
        op.guard("leave.inside", inside[me])
        op.set(lock, Lock.FREE)
        op.set(inside[me], False)
    m.objective("M3", exists([p, q], all_of(p != q, inside[p], inside[q])), "two processes never meet")
    m.invariant("held", forall([p], implies(inside[p], lock == Lock.HELD)), "whoever is inside holds the lock")
    m.invariant("alone", forall([p, q], implies(all_of(inside[p], inside[q]), p == q)), "one at a time")
    m.witness("somebody is inside", exists([p], inside[p]))
    return m.build()


def graph() -> Model:
    """A relation, a function between sorts, bulk and conditional updates, nested reads, quantifiers in guards and effects."""
    m = ModelBuilder("graph", "1", "Everything the language has")
    a, b = Process.names("a", "b")
    (x,) = Page.names("x")
    home = m.function("home", [Page], Process)
    linked = m.function("linked", [Process, Process])
    colour = m.function("colour", [Process], Digit, (Digit.ZERO, Digit.ONE))
    bold = m.policy("bold", "colours may change", True)
    with m.operation("link", Caller.HOST, "Links the homes of two pages.", "1") as op:
        s, t = op.parameter("s", Page), op.parameter("t", Page)
        op.guard("link.new", ~linked[home[s], home[t]])
        op.guard("link.colour", exists([a], colour[a] == colour[home[s]]))
        op.set(linked[home[s], home[t]], True)
        op.set(colour[home[t]], colour[home[s]], when=bold & (s != t))
    with m.operation("clear", Caller.HOST, "Unlinks a process, recolours who was linked to it.", "2") as op:
        me, digit = op.parameter("me", Process), op.parameter("digit", Digit)
        (r,) = Process.names("r")
        op.set(linked[r, me], False, each=[r])
        op.set(colour[r], digit, when=all_of(linked[r, me], forall([b], implies(linked[r, b], b == me))), each=[r])
    with m.operation("move", Caller.GUEST, "A page moves home.", "3") as op:
        s, me = op.parameter("s", Page), op.parameter("me", Process)
        op.guard("move.elsewhere", home[s] != me)
        op.set(home[s], me)
        op.set(linked[a, a], True, when=a == home[s], each=[a])
    m.objective("M5", exists([a, b], all_of(a != b, linked[a, b], linked[b, a])), "no two-cycles")
    m.invariant("calm", forall([a, x], implies(linked[a, a], colour[home[x]] != Digit.TWO)), "not inductive")
    m.invariant("mixed", forall([a], implies(exists([x], home[x] == a), ~linked[a, a])), "not inductive either")
    return m.build()
