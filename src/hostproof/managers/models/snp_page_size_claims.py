"""What SEV-SNP claims of pages of two sizes: objectives, invariants, assumptions, witnesses."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, all_of, exists, forall, implies
from hostproof.managers.models.snp_page_size_state import Content, GuestRegion, Owner, Region, Saw, State

__all__ = ["claims"]

_RESTS_ON = ("rmp-in-force", "no-physical-adversary", "cpu-is-correct", "atomic-commands", "512-by-symmetry")


def claims(m: ModelBuilder, x: State) -> None:
    """Adds them."""
    _assumptions(m)
    for id, what, sentence, primitive in (
        ("M3.size", Saw.CHANGED, "no page in use is changed in place, whatever its size", "corrupt-private-memory"),
        ("M4.size", Saw.OLD, "the guest never reads an old value through another size", "replay-page"),
        ("M5.size", Saw.OTHER, "the guest never reads another address through another size", "remap-page"),
        ("M6.size", Saw.GARBAGE, "no used page is replaced by way of its size", "replace-used-page"),
    ):
        m.objective(id, x.saw == what, sentence, _RESTS_ON, [primitive])
        m.invariant(f"not {what}".lower(), x.saw != what, "what a used address answers is its own latest data")
    _entries(m, x)
    _guest(m, x)
    (r,), (i,) = Region.names("r"), x.Sub.names("i")
    (g,), (j,) = GuestRegion.names("g"), x.Sub.names("j")
    m.witness("the guest reads back what it wrote", x.saw == Saw.OWN)
    second = x.Sub.SECOND
    wide = exists([r, g], all_of(x.large[r], x.valid(r, second, g, second), x.used[g, second]))
    m.witness("a used page lies in a 2M entry", wide)
    small = exists([r, i, g, j], all_of(~x.large[r], x.valid(r, i, g, j), x.used[g, j]))
    m.witness("a used page has a 4K entry", small)


def _assumptions(m: ModelBuilder) -> None:
    broken = ["rmpocalypse", "badram", "fabricked"]
    m.assumption("rmp-in-force", "The RMP is where firmware put it and stands before every path to memory.", broken)
    broken = ["badram", "battering-ram", "ddrop"]
    m.assumption("no-physical-adversary", "DRAM answers with what was written to an address.", broken)
    m.assumption("cpu-is-correct", "The processor does what its manual says.", ["cachewarp", "stackwarp", "entrysign"])
    sentence = "A command of firmware or an instruction is one step, on every page of a region."
    m.assumption("atomic-commands", sentence, ["guest-context-use-after-free"])
    sentence = "The pages of a region after the first are alike: no rule names one of them, so that one stands for 511."
    m.assumption("512-by-symmetry", sentence)


def _entries(m: ModelBuilder, x: State) -> None:
    (r,), (i,) = Region.names("r"), x.Sub.names("i")
    guest = implies(x.validated[r, i], x.owner[r, i] == Owner.GUEST)
    m.invariant("validated is the guest's", forall([r, i], guest), "a change of owner clears validated")
    covered = all_of(x.owner[r, i] == Owner.FIRMWARE, ~x.validated[r, i])
    inside = implies(all_of(x.large[r], i != x.first), covered)
    m.invariant("covered", forall([r, i], inside), "under a 2M entry the other entries are nobody's")
    row = implies(x.large[r], x.sub[r, x.first] == x.first)
    m.invariant("aligned", forall([r], row), "a 2M entry has an aligned address")
    assigned = implies(x.large[r], x.owner[r, x.first] != Owner.HYPERVISOR)
    m.invariant("2M is assigned", forall([r], assigned), "the hypervisor's pages are of no size")


def _guest(m: ModelBuilder, x: State) -> None:
    (r, p), (i, k) = Region.names("r", "p"), x.Sub.names("i", "k")
    (g,), (j,) = GuestRegion.names("g"), x.Sub.names("j")
    valid = x.valid(r, i, g, j)
    accepted = forall([r, i, g, j], implies(valid, x.accepted[g, j]))
    m.invariant("valid is accepted", accepted, "only the guest validates, in the size of the entry")
    alone = implies(all_of(valid, x.valid(p, k, g, j)), all_of(r == p, i == k))
    m.invariant("one page per address", forall([r, p, i, k, g, j], alone), "an address is validated once")
    m.invariant(
        "used is accepted", forall([g, j], implies(x.used[g, j], x.accepted[g, j])), "it uses what it validated"
    )
    own = all_of(x.content[r, i] == Content.DATA, x.origin[r, i] == g, x.origin_sub[r, i] == j, x.fresh[r, i])
    data = forall([r, i, g, j], implies(all_of(valid, x.used[g, j]), own))
    m.invariant("used is its own", data, "a valid page of a used address holds what was written there last")
    wrote = x.wrote[r, i]
    usable = all_of(x.entry(x.owner, r, i) == Owner.GUEST, x.entry(x.validated, r, i))
    m.invariant(
        "written is valid", forall([r, i], implies(wrote, usable)), "whatever ends the validation ends this too"
    )
    holds = forall([r, i], implies(wrote, x.content[r, i] == Content.DATA))
    m.invariant("written is data", holds, "nobody but the guest writes a valid page")
