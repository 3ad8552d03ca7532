"""Models of security managers and the prover: one model text, two meanings.

A **model** is plain typed Python that reads like the specification. It has

* *sorts*: uninterpreted ones (`Sort("SystemPage", prefix="s")`: any number of pages) and enumerations
  (`Sort("Owner", ("HOST", "GUEST"))`, with values `Owner.HOST`);
* *state variables*: total functions from sorts to a sort, relations (result `BOOL`), scalars;
* *operations*: a name as in the specification, a caller, parameters that the caller chooses, guards, effects;
* *duties* of the guest and *policies*: truth values that are constant in a run;
* *objectives*: states that must never be reached, with an id of the threat model (M1 ... P1, `M1.debug` for a part);
* *invariants*: clauses for the induction, each with a sentence; *assumptions*, with the attacks that break each;
* *witnesses*: states that must be reachable, or the proofs would be about nothing.

A complete one, a page that the host gives to a guest, and a guest that should accept an address once:

    SystemPage, GuestPage = Sort("SystemPage", prefix="s"), Sort("GuestPage", prefix="g")
    Content = Sort("Content", ("GARBAGE", "OLD", "NEW"))

    def model() -> Model:
        m = ModelBuilder("toy", "1", "A host gives pages to a guest")
        s, t = SystemPage.names("s", "t")
        given = m.function("given", [SystemPage, GuestPage], meaning="the host gave page s at address g")
        accepted = m.function("accepted", [SystemPage, GuestPage], meaning="the guest accepted it")
        known = m.function("known", [GuestPage], meaning="the guest remembers that it accepted g")
        once = m.duty("accept_once", "the guest accepts each address at most once")

        with m.operation("give", Caller.HOST, "The host gives a page at an address.", "toy 1.1") as op:
            p, a = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
            op.guard("give.free", ~exists([h], given[p, h]), error="BUSY", source="toy 1.1, condition 2")   # h: a GuestPage
            op.set(given[p, a], True)
        with m.operation("accept", Caller.GUEST, "The guest accepts what is at an address.", "toy 1.2") as op:
            p, a = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
            op.guard("accept.given", given[p, a])
            op.guard("accept.once", implies(once, ~known[a]), source="duty")
            op.set(accepted[p, a], True)
            op.set(known[a], True)

        two_pages = exists([s, t, g], all_of(s != t, accepted[s, g], accepted[t, g]))
        m.objective("M5", two_pages, "two pages never answer at one address")
        m.invariant("known", forall([s, g], implies(accepted[s, g], known[g])), "the guest remembers every acceptance")
        m.invariant("one", forall([s, t, g], implies(all_of(accepted[s, g], accepted[t, g]), s == t)), "one page per address")
        return m.build()

(`hostproof.managers.engine.toy` is this text.) Then `decide(model(), "M5")` (of
`engine.verdict`) proves it for any number of pages, and
`decide(model(), "M5", without=["accept_once"])` gives the shortest trace: give, accept, give, accept.

**Rules.** Write `all_of`, `any_of`, `implies`, `~`, `==`, `!=`, `choose(condition, then, otherwise)`,
`forall([names], body)`, `exists([names], body)`; Python's `and`, `or`, `not`, `if` on a term raise. `x.is_in(A, B)`
is one of several values. Effects read the state before the operation; `op.set(target, value, when=..., each=[names])`
updates conditionally, and for every element where an argument of the target is a name in `each`. What the host may
choose freely (an answer, a content) is a parameter. A guest access through the nested page table: the *host* chooses
the page, so it is a parameter too, under the access checks.

**What keeps z3 decisive.** Total functions go one way between uninterpreted sorts only (SystemPage -> GuestPage); the
other way is a relation. No `forall ... exists` in invariants or guards unless its sorts follow the same order.
`fragment.cycles` says so.

**Starts.** `initial=` is a value, or a tuple of values that it may have; without it a relation starts false and anything
else as any value (the search tries all that somebody may read).

**What keeps the search small.** `m.alive(gpa, [s], assigned[s])`: where the condition is false, nobody reads the
value and the search forgets it. Traces are replayed without forgetting; a wrong `alive` is an error, not a wrong
verdict.

**Provers.** `engine.verdict`: `decide`, `decide_all`, `weakest_duties`; `engine.induction`: `prove` (strict, with the
counterexample to induction as a state: `str(failure)`), `settle` (drops invariants that a run does not keep);
`engine.search.explore`; `engine.vacuity`: `silent`, `mutants`.

**Guards** have an id that is unique in their operation, the error that the caller sees, and the clause. The vacuity
checks remove each in turn: an objective must break, or the guard carries `redundant="why"`. Guards that mention a
duty are dropped by that duty instead.
"""

from hostproof.managers.engine.language import (
    Assumption,
    Caller,
    Constant,
    Effect,
    Guard,
    Invariant,
    Model,
    ModelBuilder,
    ObjectiveClause,
    Operation,
    OperationBuilder,
)
from hostproof.managers.engine.terms import (
    BOOL,
    FALSE,
    TRUE,
    ModelError,
    Name,
    Read,
    Sort,
    Switch,
    Term,
    Variable,
    all_of,
    any_of,
    choose,
    exists,
    forall,
    implies,
)

__all__ = [
    "BOOL",
    "FALSE",
    "TRUE",
    "Assumption",
    "Caller",
    "Constant",
    "Effect",
    "Guard",
    "Invariant",
    "Model",
    "ModelBuilder",
    "ModelError",
    "Name",
    "ObjectiveClause",
    "Operation",
    "OperationBuilder",
    "Read",
    "Sort",
    "Switch",
    "Term",
    "Variable",
    "all_of",
    "any_of",
    "choose",
    "exists",
    "forall",
    "implies",
]
