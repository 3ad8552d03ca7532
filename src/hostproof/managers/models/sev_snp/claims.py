"""What SEV-SNP claims of memory: objectives, the invariants that prove them, assumptions, witnesses."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, all_of, exists, forall, implies
from hostproof.managers.models.sev_snp.state import Content, GuestPage, MetadataEntry, Owner, Phase, State, SystemPage

__all__ = ["claims"]

_RESTS_ON = ("rmp-initialised", "no-physical-adversary", "cpu-is-correct", "atomic-commands")


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


def _assumptions(m: ModelBuilder) -> None:
    m.assumption("rmp-initialised", "The RMP is set up as firmware checks it before the first guest.", ["rmpocalypse", "fabricked"])  # fmt: skip
    m.assumption("no-physical-adversary", "DRAM answers with what was written to an address.", ["badram", "battering-ram", "ddrop"])  # fmt: skip
    m.assumption("cpu-is-correct", "The processor does what its manual says.", ["cachewarp", "stackwarp", "entrysign", "zen2-op-cache"])  # fmt: skip
    m.assumption("keys-are-secret", "Nobody but firmware has the keys that attest and seal.", ["tee-fail", "one-glitch", "milanlaunchy"])  # fmt: skip
    m.assumption("atomic-commands", "A command of firmware or an instruction is one step.", ["guest-context-use-after-free"])  # fmt: skip
    m.assumption("side-channels", "Only what an operation gives out is learnt.", ["sev-step", "counterseveillance", "ciphertext-side-channels"])  # fmt: skip


def _objectives(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    reads = all_of(x.readable(s, g), x.used[g])
    data = x.content[s] == Content.DATA
    confidential = (*_RESTS_ON, "side-channels")
    m.objective("M1", x.disclosed == True, "the host never learns private plaintext", confidential, ["read-private-memory", "debug-decrypt"])  # noqa: E712  # fmt: skip
    m.objective("M2", x.observed == True, "the host sees no ciphertext of a page in use", confidential, ["read-ciphertext"])  # noqa: E712  # fmt: skip
    corrupt = all_of(reads, x.content[s] != Content.DATA, x.wrote[s])
    m.objective(
        "M3", exists([s, g], corrupt), "no page in use is changed in place", _RESTS_ON, ["corrupt-private-memory"]
    )
    stale = all_of(reads, data, x.origin[s] == g, ~x.fresh[s])
    m.objective(
        "M4", exists([s, g], stale), "the guest never reads an old value of its own", _RESTS_ON, ["replay-page"]
    )
    alias = all_of(reads, data, x.origin[s] != g)
    m.objective("M5", exists([s, g], alias), "the guest never reads another address's page", _RESTS_ON, ["remap-page"])
    reset = all_of(reads, ~data, ~x.wrote[s])
    m.objective("M6", exists([s, g], reset), "no used page is silently replaced", _RESTS_ON, ["replace-used-page"])
    chosen = all_of(x.readable(s, g), x.accepted[g], x.content[s] == Content.HOST)
    m.objective(
        "M7", exists([s, g], chosen), "no page holds what the host chose", _RESTS_ON, ["choose-unused-page-content"]
    )
    m.objective("D1", x.dma_hit == True, "no device writes a page in use", _RESTS_ON, ["dma-private"])  # noqa: E712  # fmt: skip
    gone = exists([g], all_of(x.phase == Phase.RUNNING, x.used[g], forall([s], ~x.readable(s, g))))
    m.objective("A1", gone, "the guest's data is always there", (), ["drop-page", "withhold-resources"])


def _invariants(m: ModelBuilder, x: State) -> None:
    s, t = SystemPage.names("s", "t")
    (g,) = GuestPage.names("g")
    valid = all_of(x.owner[s] == Owner.GUEST, x.validated[s])
    other = all_of(x.owner[t] == Owner.GUEST, x.validated[t])
    good = all_of(x.content[s] == Content.DATA, x.origin[s] == x.gpa[s], x.fresh[s], x.wrote[s])
    m.invariant("nothing disclosed", ~x.disclosed, "plaintext leaves only through the debug commands")
    m.invariant("nothing observed", ~x.observed, "ciphertext hiding stops the host's reads")
    m.invariant("no device", ~x.dma_hit, "the IOMMU checks the RMP as the processor does")
    m.invariant(
        "no host content", forall([s], x.content[s] != Content.HOST), "only DBG_ENCRYPT writes chosen plaintext"
    )
    m.invariant("no host copy", forall([s], x.saved[s] != Content.HOST), "kept ciphertext was a page's once")
    m.invariant("used is accepted", forall([g], implies(x.used[g], x.accepted[g])), "the guest uses what it validated")
    m.invariant("valid is assigned", forall([s], implies(x.validated[s], x.owner[s] == Owner.GUEST)), "a change of owner clears validated")  # fmt: skip
    m.invariant("valid is accepted", forall([s], implies(valid, x.accepted[x.gpa[s]])), "only the guest and a measured launch validate")  # fmt: skip
    one = implies(all_of(valid, other, x.gpa[s] == x.gpa[t]), s == t)
    m.invariant("one page per address", forall([s, t], one), "an address is validated once")
    m.invariant("used is intact", forall([s], implies(all_of(valid, x.used[x.gpa[s]]), good)), "a valid page of a used address holds its last data")  # fmt: skip
    m.invariant("wrote is intact", forall([s], implies(all_of(valid, x.wrote[s]), all_of(good, x.used[x.gpa[s]]))), "what was written into a valid page stays")  # fmt: skip
    m.invariant(
        "wrote is valid", forall([s], implies(x.wrote[s], x.validated[s])), "whatever ends the validation ends this too"
    )


def _swap_invariants(m: ModelBuilder, x: State) -> None:
    (s,), (e, f) = SystemPage.names("s"), MetadataEntry.names("e", "f")
    sealed = all_of(x.full[e], x.entry_validated[e])
    other = all_of(x.full[f], x.entry_validated[f])
    valid = all_of(x.owner[s] == Owner.GUEST, x.validated[s])
    good = all_of(x.entry_content[e] == Content.DATA, x.entry_origin[e] == x.entry_gpa[e], x.entry_fresh[e])
    m.invariant("no host seal", forall([e], x.entry_content[e] != Content.HOST), "what is sealed was a page's")
    m.invariant("sealed is accepted", forall([e], implies(sealed, x.accepted[x.entry_gpa[e]])), "a sealed valid page was the guest's")  # fmt: skip
    m.invariant("sealed is away", forall([s, e], implies(all_of(sealed, valid), x.entry_gpa[e] != x.gpa[s])), "swapping out takes the page away")  # fmt: skip
    m.invariant("one seal per address", forall([e, f], implies(all_of(sealed, other, x.entry_gpa[e] == x.entry_gpa[f]), e == f)), "swapping in clears the entry")  # fmt: skip
    m.invariant("sealed is intact", forall([e], implies(all_of(sealed, x.used[x.entry_gpa[e]]), good)), "the tag binds address and latest content")  # fmt: skip
    written = implies(all_of(sealed, x.entry_wrote[e]), all_of(good, x.used[x.entry_gpa[e]]))
    m.invariant("sealed written is intact", forall([e], written), "what was written before it was sealed stays")
    holds = implies(all_of(sealed, x.used[x.entry_gpa[e]]), x.entry_wrote[e])
    m.invariant("sealed used is written", forall([e], holds), "a used address was written before it was sealed")
    m.invariant("sealed written is valid", forall([e], implies(all_of(x.full[e], x.entry_wrote[e]), x.entry_validated[e])), "only valid pages are written")  # fmt: skip
