"""What pKVM claims of memory: objectives, the invariants that prove them, assumptions, witnesses.

Shared by `pkvm_arm64` and `pkvm_x86`. Nothing is encrypted, so that M2 (ciphertext) has no meaning here, and there is
neither swap nor migration, so that S1 has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hostproof.managers.engine import ModelBuilder, Term, all_of, any_of, exists, forall, implies
from hostproof.managers.models.pkvm_pages import (
    Content,
    GuestPage,
    GuestState,
    Kind,
    Outcome,
    Page,
    PageState,
    Phase,
    Pin,
    State,
    Written,
)

__all__ = ["claims"]

_RESTS_ON = (
    "manager-is-correct",
    "translation-is-enforced",
    "no-device",
    "secure-world",
    "guest-is-itself",
    "atomic-calls",
)
_SECRET = (*_RESTS_ON, "side-channels")


def claims(m: ModelBuilder, x: State, named: bool, attacks: Mapping[str, Sequence[str]]) -> None:
    """Adds them.

    `named`: the host's invalid entry of a page names the guest's address. `attacks`: the published attacks on this technology
    that break an assumption.
    """
    _assumptions(m, attacks)
    _of_memory(m, x)
    _of_observers(m, x)
    _ownership(m, x)
    if named:
        _donors(m, x)
    _contents(m, x)
    _whatever_plain_vms_map(m, x)
    (s,), (g,) = Page.names("s"), GuestPage.names("g")
    back = all_of(x.reads(s, g), x.written[g] == Written.NEW, x.content[s] == Content.NEW)
    m.witness("the guest reads back what it wrote", exists([s, g], back))


def _assumptions(m: ModelBuilder, attacks: Mapping[str, Sequence[str]]) -> None:
    sentences = {
        "manager-is-correct": "The manager's code does what its checks say.",
        "translation-is-enforced": "Every access of a CPU obeys stage 2 as it is after invalidation (tlb_invalidate).",
        "no-device": "No device of the host reaches private pages: objective D1.",
        "secure-world": "The secure world uses what was lent to it and gives back what it says.",
        "guest-is-itself": "The guest runs its own program on its own registers: objectives L1, R1 and R2.",
        "atomic-calls": "A call under the locks of host, manager and guest is one step.",
        "side-channels": "Only what an operation gives out is learnt.",
    }
    for name, sentence in sentences.items():
        m.assumption(name, sentence, attacks.get(name, ()))


def _of_memory(m: ModelBuilder, x: State) -> None:
    (s, t), (g, h) = Page.names("s", "t"), GuestPage.names("g", "h")
    used = all_of(x.reads(s, g), x.written[g] != Written.NONE)
    foreign = x.content[s].is_in(Content.HOST, Content.EXPOSED, Content.MANAGER)
    m.objective(
        "M3",
        exists([s, g], all_of(used, foreign)),
        "no page in use is changed by others",
        _RESTS_ON,
        ["corrupt-private-memory"],
    )
    old = all_of(x.reads(s, g), x.written[g] == Written.NEW, x.content[s] == Content.OLD)
    m.objective("M4", exists([s, g], old), "the guest never reads an old value of its own", _RESTS_ON, ["replay-page"])
    two = exists([s, t, g], all_of(s != t, x.reads(s, g), x.reads(t, g)))
    alias = exists([s, g, h], all_of(g != h, x.reads(s, g), x.reads(s, h)))
    m.objective("M5", any_of(two, alias), "an address has one page and a page one address", _RESTS_ON, ["remap-page"])
    m.objective(
        "M6",
        exists([s, g], all_of(used, x.content[s] == Content.ZERO)),
        "no used page is silently reset",
        _RESTS_ON,
        ["replace-used-page"],
    )
    unused = all_of(x.reads(s, g), x.guest[g] == GuestState.OWNED, x.written[g] == Written.NONE)
    m.objective(
        "M7",
        exists([s, g], all_of(unused, x.content[s] == Content.HOST)),
        "no private page holds what the host chose",
        _RESTS_ON,
        ["choose-unused-page-content"],
    )
    reached = exists([s], all_of(x.hyp[s] == PageState.OWNED, x.host_reaches(s)))
    m.objective("M3.manager", reached, "the host reaches no page of the manager's", _RESTS_ON)
    gone = exists([g], all_of(x.is_kind(g, Kind.GUEST), x.written[g] != Written.NONE, forall([s], ~x.answers(s, g))))
    m.objective("A1", gone, "the guest's data is always there", (), ["drop-page", "withhold-resources"])


def _of_observers(m: ModelBuilder, x: State) -> None:
    # Objectives without a primitive: a proof of them does not take the primitive nearby away (the host always sees what is
    # shared, first accesses, and answers of the manager).
    def never(id: str, outcome: Term, sentence: str, assumptions: tuple[str, ...], *primitives: str) -> None:
        m.objective(id, x.outcome == outcome, sentence, assumptions, primitives)
        m.invariant(f"no {id}", x.outcome != outcome, f"{sentence}: no observation gives it")

    never("M1", Outcome.LEARNT, "the host never learns private memory", _SECRET, "read-private-memory")
    never("M1.manager", Outcome.MANAGER, "the host never learns what the manager keeps", _SECRET)
    never(
        "M7.used",
        Outcome.TOOK,
        "the guest uses nothing that the host put into private memory",
        _RESTS_ON,
        "choose-unused-page-content",
    )
    never(
        "T1",
        Outcome.EXPOSED,
        "no secret lies in a page that the guest shares or shared",
        _SECRET,
    )
    never("D1", Outcome.DMA, "no device reaches private memory", ("manager-is-correct",), "dma-private")
    never(
        "D1.manager",
        Outcome.DMA_MANAGER,
        "no device reaches a page of the manager's",
        ("manager-is-correct",),
        "dma-private",
    )
    never(
        "X3.pages",
        Outcome.FOLLOWED,
        "the host cannot follow accesses page by page and let them go on",
        _SECRET,
    )
    never("P1", Outcome.BUS, "no private memory on the bus", (), "physical-bus")


def _ownership(m: ModelBuilder, x: State) -> None:
    (s, t), (g, h), (p,) = Page.names("s", "t"), GuestPage.names("g", "h"), Pin.names("p")
    maps, state, host, hyp = x.maps[g, s], x.guest[g], x.host[s], x.hyp[s]
    kind = x.kind[x.vm[g]]

    def every(id: str, condition: Term, conclusion: Term, sentence: str) -> None:
        m.invariant(id, forall([s, t, g, h, p], implies(condition, conclusion)), sentence)

    valid = state.is_in(GuestState.OWNED, GuestState.SHARED_OWNED, GuestState.SHARED_BORROWED)
    unhyp = hyp == PageState.NOPAGE
    every("entry", maps, valid, "an address that maps a page is neither empty nor poisoned")
    every("one-page", all_of(maps, x.maps[g, t]), s == t, "an address maps one page")
    every(
        "private",
        all_of(maps, state == GuestState.OWNED),
        all_of(host == PageState.NOPAGE, unhyp),
        "what a guest owns is neither the host's nor the hypervisor's",
    )
    every(
        "shared",
        all_of(maps, state == GuestState.SHARED_OWNED),
        all_of(host == PageState.SHARED_BORROWED, unhyp),
        "what a guest shares the host borrows",
    )
    every(
        "borrowed",
        all_of(maps, state == GuestState.SHARED_BORROWED),
        all_of(host == PageState.SHARED_OWNED, unhyp, ~x.lent[s]),
        "what a plain VM maps the host shares with plain VMs alone",
    )
    owned = state.is_in(GuestState.OWNED, GuestState.SHARED_OWNED)
    every("one-address", all_of(maps, x.maps[h, s], owned), g == h, "a page of a guest has one address")
    every("protected", owned, all_of(kind != Kind.PLAIN), "only protected VMs own pages")
    every("plain", state == GuestState.SHARED_BORROWED, kind == Kind.PLAIN, "only plain VMs borrow pages")
    every("gone", x.phase[x.vm[g]] == Phase.GONE, state == GuestState.NOPAGE, "a VM that is gone has no pages")
    every("manager", hyp == PageState.OWNED, host == PageState.NOPAGE, "the host has no access to the manager's pages")
    every(
        "hyp-borrows",
        hyp == PageState.SHARED_BORROWED,
        all_of(host == PageState.SHARED_OWNED, ~x.lent[s]),
        "what the hypervisor borrows the host shares with it alone",
    )
    m.invariant("hyp-shares", forall([s], hyp != PageState.SHARED_OWNED), "the hypervisor never shares its own pages")
    every("pinned", x.pins[p, s], hyp == PageState.SHARED_BORROWED, "references keep a page shared")
    every("pins", all_of(x.pins[p, s], x.pins[p, t]), s == t, "a reference is to one page")
    every("lent", x.lent[s], all_of(host == PageState.SHARED_OWNED, unhyp), "what the secure world has the host shares")
    every(
        "leaked",
        x.leaked[s],
        all_of(host == PageState.SHARED_OWNED, unhyp, ~x.lent[s]),
        "a page whose share count is stuck stays shared with plain VMs",
    )
    every("host-flushed", x.tlb, ~x.stale_host[s], "no translation of the host outlives its mapping")
    every("guest-flushed", x.tlb, ~x.stale[g, s], "no translation of a guest outlives its mapping")


def _donors(m: ModelBuilder, x: State) -> None:
    (s,), (g, h) = Page.names("s"), GuestPage.names("g", "h")
    invalid = all_of(x.host[s] == PageState.NOPAGE, x.hyp[s] == PageState.NOPAGE)
    m.invariant("donor", forall([s, g], implies(x.donor[s, g], invalid)), "an entry that names a guest is invalid")
    m.invariant(
        "one-donor",
        forall([s, g, h], implies(all_of(x.donor[s, g], x.donor[s, h]), g == h)),
        "an entry names one address",
    )
    private = all_of(x.maps[g, s], x.guest[g] == GuestState.OWNED)
    m.invariant(
        "named", forall([s, g], implies(private, x.donor[s, g])), "the entry of a private page names its address"
    )


def _contents(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = Page.names("s"), GuestPage.names("g")
    kind = x.kind[x.vm[g]]
    hidden = all_of(x.host[s] == PageState.NOPAGE, x.hyp[s] == PageState.NOPAGE, ~x.lent[s])
    m.invariant(
        "secret",
        forall([s], implies(x.secret(s), hidden)),
        "private content lies where neither host nor hypervisor reach",
    )
    mapped = all_of(x.secret(s), x.maps[g, s])
    m.invariant(
        "secret-mapped",
        forall([s, g], implies(mapped, all_of(kind == Kind.GUEST, x.guest[g] == GuestState.OWNED))),
        "private content is mapped by its guest alone",
    )
    m.invariant(
        "manager-content",
        forall([s], implies(x.content[s] == Content.MANAGER, x.hyp[s] == PageState.OWNED)),
        "the manager's content lies in its pages",
    )
    written = x.written[g] != Written.NONE
    returned = all_of(x.phase[x.vm[g]] == Phase.DYING, x.guest[g] == GuestState.NOPAGE)
    there = any_of(x.guest[g].is_in(GuestState.OWNED, GuestState.POISON), returned)
    m.invariant(
        "written",
        forall([g], implies(written, all_of(kind == Kind.GUEST, there, x.phase[x.vm[g]] != Phase.GONE))),
        "the guest's data is at private addresses, or lost",
    )
    kept = _kept(x, s, g)
    m.invariant(
        "kept", forall([s, g], implies(all_of(x.maps[g, s], written), kept)), "a page holds what the guest wrote last"
    )
    both = all_of(x.scrubs, x.keeps)
    m.invariant("clean", forall([s], implies(both, x.content[s] != Content.EXPOSED)), "a careful guest exposes nothing")
    m.invariant(
        "clean-private",
        forall([s, g], implies(all_of(both, x.secret(s), x.maps[g, s]), written)),
        "a careful guest knows where its secrets are",
    )


def _kept(x: State, s: Term, g: Term) -> Term:
    """The page holds what was written last at the address."""
    new = all_of(x.written[g] == Written.NEW, x.content[s] == Content.NEW)
    return any_of(new, all_of(x.written[g] == Written.OLD, x.content[s] == Content.OLD))


def _whatever_plain_vms_map(m: ModelBuilder, x: State) -> None:
    """What holds even where plain VMs map pages that are not theirs: it decides the rest where ranges are not checked."""
    (s,), (g, h) = Page.names("s"), GuestPage.names("g", "h")
    maps, state, kind = x.maps[g, s], x.guest[g], x.kind[x.vm[g]]
    mine = state.is_in(GuestState.OWNED, GuestState.SHARED_OWNED)
    other = x.guest[h].is_in(GuestState.OWNED, GuestState.SHARED_OWNED)
    apart = all_of(x.host[s] == PageState.NOPAGE, x.hyp[s] != PageState.OWNED)
    lent = all_of(x.host[s] == PageState.SHARED_BORROWED, x.hyp[s] != PageState.OWNED)
    used = all_of(maps, mine, x.written[g] != Written.NONE)
    careful = all_of(x.scrubs, x.keeps)

    def every(id: str, condition: Term, conclusion: Term, sentence: str) -> None:
        m.invariant(id, forall([s, g, h], implies(condition, conclusion)), sentence)

    every("one-owner", all_of(maps, x.maps[h, s], mine, other), g == h, "a page has one address among protected VMs")
    every("host-apart", all_of(maps, state == GuestState.OWNED), apart, "the host has no access to what a guest owns")
    every("host-borrows", all_of(maps, state == GuestState.SHARED_OWNED), lent, "the host borrows what a guest shares")
    every("donor-apart", x.donor[s, g], apart, "an entry that names a guest is invalid, and not the manager's")
    every("secret-apart", x.secret(s), apart, "the host has no access to private content")
    known = all_of(kind == Kind.GUEST, state == GuestState.OWNED, implies(careful, x.written[g] != Written.NONE))
    every(
        "secret-known",
        all_of(x.secret(s), maps, mine),
        known,
        "among protected VMs its guest alone maps private content",
    )
    every("not-older", all_of(used, x.written[g] == Written.NEW), x.content[s] != Content.OLD, "no page goes back")
    every("not-reset", used, x.content[s] != Content.ZERO, "no page in use is zeroed")
