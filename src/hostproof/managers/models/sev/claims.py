"""What SEV claims and what it does not: objectives, invariants, assumptions, witnesses."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Term, all_of, any_of, exists, forall, implies
from hostproof.managers.models.sev.state import Asid, Content, GuestPage, Leak, Phase, State, SystemPage

__all__ = ["claims"]


def claims(m: ModelBuilder, x: State) -> None:
    """Adds them."""
    _assumptions(m)
    _confidentiality(m, x)
    _integrity(m, x)
    _others(m, x)
    _invariants(m, x)
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    back = all_of(x.runs(), x.used[g], x.content[s] == Content.DATA, x.origin[s] == g, x.fresh[s])
    m.witness("the guest reads back what it wrote", exists([s, g], back))
    m.witness("the guest runs on another platform", all_of(x.phase == Phase.RUNNING, x.package != "NONE"))


def _assumptions(m: ModelBuilder) -> None:
    m.assumption(
        "keys-are-secret",
        "Nobody but firmware has the platform's keys.",
        ["insecure-until-proven-updated", "sev-invalid-curve", "one-glitch"],
    )
    m.assumption(
        "firmware-is-correct", "Firmware does what its commands say.", ["asp-review-2022", "entrysign", "sinkclose"]
    )
    m.assumption("cpu-is-correct", "The processor does what its manual says.", ["cachewarp", "zen2-op-cache"])
    m.assumption(
        "side-channels",
        "Only what an operation gives out is learnt.",
        ["ciphertext-side-channels", "pwrleak", "severest"],
    )
    m.assumption("atomic-commands", "A command of firmware is one step.")


_BASE = ("keys-are-secret", "firmware-is-correct", "cpu-is-correct", "atomic-commands")


def _confidentiality(m: ModelBuilder, x: State) -> None:
    rests = (*_BASE, "side-channels")
    m.objective("M1", x.leak != Leak.NONE, "the host never learns private plaintext", rests, ["read-private-memory"])
    for part, leak, sentence, primitive in (
        ("debug", Leak.DEBUG, "no debug command gives out plaintext", "debug-decrypt"),
        ("asid", Leak.ASID, "nobody reads the guest's cached lines under its old ASID", "read-private-memory"),
        ("send", Leak.SEND, "the guest goes to genuine platforms only", "migrate-rogue"),
    ):
        m.objective(f"M1.{part}", x.leak == leak, sentence, rests, [primitive])
    m.objective("M2", all_of(x.observed), "the host sees no ciphertext of data", rests, ["read-ciphertext"])


def _reads(x: State) -> tuple[Term, Term, Term, Term]:
    """For some page s at some used address g: in place, old, another's, never written."""
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    reads, data = all_of(x.runs(), x.used[g]), x.content[s] == Content.DATA
    return (
        exists([s, g], all_of(reads, x.wrote[s], ~data)),
        exists([s, g], all_of(reads, data, x.origin[s] == g, ~x.fresh[s])),
        exists([s, g], all_of(reads, data, x.origin[s] != g)),
        exists([s, g], all_of(reads, ~data, ~x.wrote[s])),
    )


def _integrity(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    corrupt, stale, alias, reset = _reads(x)
    garbage = exists([s, g], all_of(x.runs(), x.used[g], x.content[s] == Content.GARBAGE))
    m.objective("M3", corrupt, "no page in use is changed in place", _BASE, ["corrupt-private-memory"])
    m.objective("M3.garbage", garbage, "the guest never reads garbage", _BASE, ["corrupt-private-memory"])
    m.objective("M4", stale, "the guest never reads an old value of its own", _BASE, ["replay-page"])
    m.objective("M5", alias, "the guest never reads another address's page", _BASE, ["remap-page"])
    meaning = exists([s], all_of(x.moved[s], x.content[s] != Content.GARBAGE))
    m.objective(
        "M5.tweak", meaning, "ciphertext moved to another page has no meaning", _BASE, ["corrupt-private-memory"]
    )
    m.objective("M6", reset, "no used page is silently replaced", _BASE, ["replace-used-page"])
    chosen = exists([s, g], all_of(x.runs(), g != x.io, x.content[s] == Content.HOST))
    m.objective("M7", chosen, "no page but the buffer holds what the host chose", _BASE, ["choose-unused-page-content"])
    physical = any_of(corrupt, stale, alias)
    m.objective(
        "P1", physical, "memory is intact, fresh and in place, also for who holds the bus", _BASE, ["physical-bus"]
    )


def _others(m: ModelBuilder, x: State) -> None:
    m.objective("D1", all_of(x.dma_hit), "no device writes a page in use", _BASE, ["dma-private"])
    m.objective(
        "L1.late",
        all_of(x.injected),
        "commands put in nothing that neither the digest nor the owner vouches for",
        _BASE,
    )
    m.objective("S1", all_of(x.rolled_back), "a sent guest runs once, from where it was sent", _BASE, ["migrate-rogue"])
    m.objective("T1", all_of(x.confused), "the guest writes no private data without encryption", _BASE, ["lie-cpuid"])
    m.objective("X2", all_of(x.lied), "answers to CPUID are the processor's", _BASE, ["lie-cpuid"])
    m.objective("A1", all_of(x.withheld), "the guest is run", (), ["withhold-resources"])


def _invariants(m: ModelBuilder, x: State) -> None:
    (s,) = SystemPage.names("s")
    m.invariant("no debug leak", x.leak != Leak.DEBUG, "NODBG stops both commands")
    m.invariant("no rogue target", x.leak != Leak.SEND, "certificates are checked before the session key is wrapped")
    m.invariant("no leak by ASID", x.leak != Leak.ASID, "no line outlives the guest's hold on the ASID")
    unflushed = all_of(x.asid == Asid.NONE, x.dirty, ~x.flushed)
    held = any_of(x.asid == Asid.GUEST, unflushed)
    m.invariant("lines are the guest's", forall([s], implies(x.cached[s], held)), "a flush comes before the next owner")
    meaning = implies(x.moved[s], x.content[s] == Content.GARBAGE)
    m.invariant("moved is garbage", forall([s], meaning), "the tweak binds the ciphertext to its address")
    m.invariant("nothing injected", ~x.injected, "plaintext enters measured, authenticated or not at all")
    m.invariant("nothing sent", x.package == "NONE", "NOSEND stops the first command")
    m.invariant("nothing rolled back", ~x.rolled_back, "nothing that was sent can be received")
    m.invariant("encrypted", ~x.confused, "the guest proves its C-bit before it trusts it")
