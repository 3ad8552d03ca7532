"""The smallest complete model: the example of the language, and the first thing the engine's tests run.

It is no technology; `hostproof.managers.engine` quotes it.
"""

from __future__ import annotations

from hostproof.managers.engine import Caller, Model, ModelBuilder, Sort, all_of, exists, forall, implies

__all__ = ["GuestPage", "SystemPage", "model"]

SystemPage = Sort("SystemPage", prefix="s")
GuestPage = Sort("GuestPage", prefix="g")


def model() -> Model:
    """A host gives pages at addresses; a guest accepts them."""
    m = ModelBuilder("toy", "1", "A host gives pages to a guest")
    s, t = SystemPage.names("s", "t")
    g, h = GuestPage.names("g", "h")
    given = m.function("given", [SystemPage, GuestPage], meaning="the host gave page s at address g")
    accepted = m.function("accepted", [SystemPage, GuestPage], meaning="the guest accepted page s at g")
    known = m.function("known", [GuestPage], meaning="the guest remembers that it accepted g")
    once = m.duty("accept_once", "the guest accepts each address at most once")

    with m.operation("give", Caller.HOST, "The host gives a page at an address.", "toy 1.1") as op:
        p, a = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
        op.guard("give.free", ~exists([h], given[p, h]), "BUSY", "toy 1.1", redundant="M5 is about one address")
        op.set(given[p, a], True)
    with m.operation("accept", Caller.GUEST, "The guest accepts what is at an address.", "toy 1.2") as op:
        p, a = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
        op.guard("accept.given", given[p, a], "FAULT", "toy 1.2", redundant="the duty alone keeps M5")
        op.guard("accept.once", implies(once, ~known[a]), source="duty")
        op.set(accepted[p, a], True)
        op.set(known[a], True)

    m.objective(
        "M5",
        exists([s, t, g], all_of(s != t, accepted[s, g], accepted[t, g])),
        "two pages never answer at one address",
        primitives=["remap-page"],
    )
    m.invariant("known", forall([s, g], implies(accepted[s, g], known[g])), "the guest remembers every acceptance")
    m.invariant(
        "one", forall([s, t, g], implies(all_of(accepted[s, g], accepted[t, g]), s == t)), "one page per address"
    )
    m.witness("the guest accepts a page", exists([s, g], accepted[s, g]))
    return m.build()
