"""What SEV-SNP claims of memory: objectives, the invariants that prove them, assumptions, witnesses."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Term, all_of, exists, forall, implies
from hostproof.managers.models.sev_snp.state import Content, GuestPage, MetadataEntry, Owner, Phase, State, SystemPage

__all__ = ["claims"]

_RESTS_ON = ("rmp-initialised", "no-physical-adversary", "cpu-is-correct", "keys-are-secret", "atomic-commands")


def claims(m: ModelBuilder, x: State) -> None:
    """Adds them."""
    _assumptions(m)
    _objectives(m, x)
    _invariants(m, x)
    _swap_invariants(m, x)
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    back = all_of(
        x.readable(s, g), x.accepted[g], x.wrote[s], x.content[s] == Content.DATA, x.origin[s] == g, x.fresh[s]
    )
    m.witness("the guest reads back what it wrote", exists([s, g], back))


_ASSUMED = (
    (
        "rmp-initialised",
        "The RMP is set up as firmware checks it before the first guest.",
        ["rmpocalypse", "fabricked"],
    ),
    (
        "no-physical-adversary",
        "DRAM answers with what was written to an address.",
        ["badram", "battering-ram", "ddrop"],
    ),
    (
        "cpu-is-correct",
        "The processor does what its manual says.",
        ["cachewarp", "stackwarp", "entrysign", "zen2-op-cache"],
    ),
    (
        "keys-are-secret",
        "Nobody but firmware has the keys that attest and seal.",
        ["tee-fail", "one-glitch", "milanlaunchy"],
    ),
    (
        "atomic-commands",
        "A command of firmware or an instruction is one step.",
        ["guest-context-use-after-free", "n4-snp-launch-finish-race"],
    ),
    (
        "side-channels",
        "The host learns only what an operation gives out.",
        ["sev-step", "counterseveillance", "ciphertext-side-channels"],
    ),
)


def _assumptions(m: ModelBuilder) -> None:
    for name, sentence, broken_by in _ASSUMED:
        m.assumption(name, sentence, broken_by)


def _objectives(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    reads = all_of(x.readable(s, g), x.used[g])
    data = x.content[s] == Content.DATA
    seen = ("side-channels", *_RESTS_ON)
    plain = ["read-private-memory", "debug-decrypt"]
    m.objective("M1", x.disclosed, "the host never learns private plaintext", seen, plain)
    m.objective("M2", x.observed, "the host sees no ciphertext of a page in use", seen, ["read-ciphertext"])
    corrupt = exists([s, g], all_of(reads, ~data, x.wrote[s]))
    m.objective("M3", corrupt, "no page in use is changed in place", _RESTS_ON, ["corrupt-private-memory"])
    stale = exists([s, g], all_of(reads, data, x.origin[s] == g, ~x.fresh[s]))
    m.objective("M4", stale, "the guest never reads an old value of its own", _RESTS_ON, ["replay-page"])
    alias = exists([s, g], all_of(reads, data, x.origin[s] != g))
    m.objective("M5", alias, "the guest never reads another address's page", _RESTS_ON, ["remap-page"])
    reset = exists([s, g], all_of(reads, ~data, ~x.wrote[s]))
    m.objective("M6", reset, "no used page is silently replaced", _RESTS_ON, ["replace-used-page"])
    chosen = exists([s, g], all_of(x.readable(s, g), x.accepted[g], x.content[s] == Content.HOST))
    content = ["choose-unused-page-content"]
    m.objective("M7", chosen, "no page holds what the host chose", _RESTS_ON, content)
    m.objective("D1", x.dma_hit, "no device writes a page in use", _RESTS_ON, ["dma-private"])
    withheld = ["drop-page", "withhold-resources"]
    m.objective("A1", x.phase == Phase.STALLED, "the guest always gets its pages", (), withheld)


def _invariants(m: ModelBuilder, x: State) -> None:
    s, t = SystemPage.names("s", "t")
    (g,) = GuestPage.names("g")
    valid = all_of(x.owner[s] == Owner.GUEST, x.validated[s])
    other = all_of(x.owner[t] == Owner.GUEST, x.validated[t])
    data, used = x.content[s] == Content.DATA, x.used[x.gpa[s]]

    def every(id: str, condition: Term, conclusion: Term, sentence: str) -> None:
        m.invariant(id, forall([s], implies(condition, conclusion)), sentence)

    m.invariant("nothing disclosed", ~x.disclosed, "plaintext leaves only through the debug commands")
    m.invariant("nothing observed", ~x.observed, "ciphertext hiding stops the host's reads")
    m.invariant("no device", ~x.dma_hit, "the IOMMU checks the RMP as the processor does")
    m.invariant(
        "no host content", forall([s], x.content[s] != Content.HOST), "only DBG_ENCRYPT writes chosen plaintext"
    )
    m.invariant("no host copy", forall([s], x.saved[s] != Content.HOST), "kept ciphertext was a page's once")
    m.invariant("used is accepted", forall([g], implies(x.used[g], x.accepted[g])), "the guest uses what it validated")
    every("valid is assigned", x.validated[s], x.owner[s] == Owner.GUEST, "a change of owner clears validated")
    every("valid is accepted", valid, x.accepted[x.gpa[s]], "only the guest and a measured launch validate")
    one = implies(all_of(valid, other, x.gpa[s] == x.gpa[t]), s == t)
    m.invariant("one page per address", forall([s, t], one), "an address is validated once")
    every("used is written", all_of(valid, used), x.wrote[s], "a valid page of a used address was written")
    every("used is data", all_of(valid, used), data, "and still holds data")
    every("used is its own", all_of(valid, used, data), x.origin[s] == x.gpa[s], "written at this address")
    every("used is fresh", all_of(valid, used, data), x.fresh[s], "and written last")
    every("written is valid", x.wrote[s], x.validated[s], "whatever ends the validation ends this too")
    every("written is data", x.wrote[s], data, "nobody but the guest writes a valid page")
    every(
        "written is its own", all_of(x.wrote[s], data), x.origin[s] == x.gpa[s], "the address of a valid page is fixed"
    )
    every("written is used", x.wrote[s], used, "an address is given back together with its page")


def _swap_invariants(m: ModelBuilder, x: State) -> None:
    (s,), (e, f) = SystemPage.names("s"), MetadataEntry.names("e", "f")
    sealed = all_of(x.full[e], x.entry_validated[e])
    other = all_of(x.full[f], x.entry_validated[f])
    valid = all_of(x.owner[s] == Owner.GUEST, x.validated[s])
    written = all_of(x.full[e], x.entry_wrote[e])
    data, used = x.entry_content[e] == Content.DATA, x.used[x.entry_gpa[e]]
    own = x.entry_origin[e] == x.entry_gpa[e]

    def every(id: str, condition: Term, conclusion: Term, sentence: str) -> None:
        m.invariant(id, forall([e], implies(condition, conclusion)), sentence)

    m.invariant("no host seal", forall([e], x.entry_content[e] != Content.HOST), "what is sealed was a page's")
    every("sealed is accepted", sealed, x.accepted[x.entry_gpa[e]], "a sealed valid page was the guest's")
    away = forall([s, e], implies(all_of(sealed, valid), x.entry_gpa[e] != x.gpa[s]))
    m.invariant("sealed is away", away, "swapping out takes the page away")
    one = forall([e, f], implies(all_of(sealed, other, x.entry_gpa[e] == x.entry_gpa[f]), e == f))
    m.invariant("one seal per address", one, "swapping in clears the entry")
    every("sealed used is written", all_of(sealed, used), x.entry_wrote[e], "as the page was when it was sealed")
    every("sealed used is data", all_of(sealed, used), data, "the tag binds the content")
    every("sealed used is its own", all_of(sealed, used, data), own, "and the address")
    every("sealed used is fresh", all_of(sealed, used, data), x.entry_fresh[e], "nobody writes an address that is away")
    every("sealed written is valid", written, x.entry_validated[e], "only valid pages are written")
    every("sealed written is data", written, data, "as the page was")
    every("sealed written is its own", all_of(written, data), own, "as the page was")
    every("sealed written is used", written, used, "an address that is away is not given back")
