"""What SEV-SNP claims of levels and VMSA pages: objectives, invariants, assumptions, witnesses."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Term, all_of, any_of, exists, forall, implies
from hostproof.managers.models.snp_vmpl_state import Content, GuestPage, Level, Owner, Permission, State, SystemPage

__all__ = ["claims"]

_RESTS_ON = ("rmp-in-force", "cpu-is-correct", "atomic-steps", "flushed-translations")


def claims(m: ModelBuilder, x: State) -> None:
    """Adds them."""
    _assumptions(m)
    _objectives(m, x)
    _permissions(m, x)
    _contents(m, x)
    _vmsa(m, x)
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    lower = all_of(
        x.mapped(s, g), x.validated[s], x.may[s, Level.VMPL2, Permission.READ], x.content[s] == Content.LOWER
    )
    m.witness("a level below VMPL1 reads what lower levels wrote", exists([s, g], lower))
    m.witness("a vCPU runs", exists([s], x.running[s]))


def _assumptions(m: ModelBuilder) -> None:
    sentence = "The RMP is where firmware put it and stands before every path to memory."
    m.assumption("rmp-in-force", sentence, ["rmpocalypse", "badram", "fabricked"])
    m.assumption("cpu-is-correct", "The processor does what its manual says.", ["cachewarp", "stackwarp", "entrysign"])
    sentence = "An instruction, or what VMPL0 does under its lock, is one step."
    m.assumption("atomic-steps", sentence, ["guest-context-use-after-free"])
    sentence = "VMPL0 flushes translations after it takes a permission back, as its own sources do."
    m.assumption("flushed-translations", sentence)


def _kept(x: State, s: Term, g: Term) -> Term:
    """A page at an address that can be used, and where somebody keeps data."""
    return all_of(x.mapped(s, g), x.validated[s], x.held[g])


def _ungranted(x: State, s: Term, kind: Term) -> Term:
    g = x.gpa[s]
    one = all_of(x.may[s, Level.VMPL1, kind], ~x.granted[g, Level.VMPL1, kind])
    given = any_of(x.granted[g, Level.VMPL1, kind], x.granted[g, Level.VMPL2, kind])
    return all_of(x.owner[s] == Owner.GUEST, x.validated[s], any_of(one, all_of(x.may[s, Level.VMPL2, kind], ~given)))


def _objectives(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    rests, zero = _RESTS_ON, x.holder[g] == Level.VMPL0
    m.objective("M1.vmpl", x.leaked | False, "no lower level reads what VMPL0 keeps", rests)
    sentence = "no level may read what VMPL0 did not let it, or VMPL1 under it, read"
    m.objective("M1.grant", exists([s], _ungranted(x, s, Permission.READ)), sentence, rests)
    kept, content = _kept(x, s, g), x.content[s]
    changed = exists([s, g], all_of(kept, zero, content == Content.LOWER))
    m.objective("M3.vmpl", changed, "no lower level changes what VMPL0 keeps", rests)
    sentence = "no level may write what VMPL0 did not let it, or VMPL1 under it, write"
    m.objective("M3.grant", exists([s], _ungranted(x, s, Permission.WRITE)), sentence, rests)
    alias = exists([s, g], all_of(kept, content.is_in(Content.MONITOR, Content.LOWER), x.origin[s] != g))
    m.objective("M5.vmpl", alias, "no level reads another address's page", rests, ["remap-page"])
    silent = exists([s, g], all_of(kept, zero, content.is_in(Content.GARBAGE, Content.ZERO)))
    replaced = ["replace-used-page"]
    m.objective("M6.vmpl0", silent, "no page that VMPL0 uses is silently replaced", rests, replaced)
    silent = exists([s, g], all_of(kept, ~zero, content != Content.LOWER))
    m.objective("M6.vmpl1", silent, "no page that a lower level uses is silently replaced", rests, replaced)
    m.objective("R1.vmpl", x.registers_read | False, "no lower level reads registers of a vCPU", rests)
    foreign = exists([s], all_of(x.running[s], content != Content.MONITOR))
    sentence = "the host runs no vCPU from a page that firmware or VMPL0 did not make"
    m.objective("R2.vmpl", foreign, sentence, rests, ["write-registers"])


def _permissions(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    (level,), (kind,) = Level.names("level"), Permission.names("kind")
    at = x.gpa[s]
    may = all_of(x.owner[s] == Owner.GUEST, x.may[s, level, kind])
    given = any_of(x.granted[at, level, kind], all_of(level == Level.VMPL2, x.granted[at, Level.VMPL1, kind]))
    sentence = "a permission comes from VMPL0, or from VMPL1 that has it"
    m.invariant("may is granted", forall([s, level, kind], implies(may, given)), sentence)
    valid = forall([s, level, kind], implies(may, x.validated[s]))
    m.invariant("may is valid", valid, "what ends the validation ends permissions")
    none = forall([s, level, kind], implies(x.may[s, level, kind], x.owner[s] == Owner.GUEST))
    m.invariant("may is the guest's", none, "a change of owner resets permissions")
    lower = forall([g, level, kind], implies(x.granted[g, level, kind], level != Level.VMPL0))
    m.invariant("granted is lower", lower, "VMPL0 grants to levels below it")
    zero = all_of(x.held[g], x.holder[g] == Level.VMPL0)
    apart = forall([g, level, kind], implies(x.granted[g, level, kind], ~zero))
    m.invariant("granted is not kept", apart, "VMPL0 keeps its memory apart")
    accepted = forall([g, level, kind], implies(x.granted[g, level, kind], x.accepted[g]))
    m.invariant("granted is accepted", accepted, "giving an address back takes permissions back")
    m.invariant("held is accepted", forall([g], implies(x.held[g], x.accepted[g])), "data stands where it is valid")


def _contents(m: ModelBuilder, x: State) -> None:
    s, t = SystemPage.names("s", "t")
    (level,), (kind,) = Level.names("level"), Permission.names("kind")
    valid = all_of(x.owner[s] == Owner.GUEST, x.validated[s])
    other = all_of(x.owner[t] == Owner.GUEST, x.validated[t])
    at = x.gpa[s]
    zero = all_of(valid, x.held[at], x.holder[at] == Level.VMPL0)
    lower = all_of(valid, x.held[at], x.holder[at] != Level.VMPL0)
    m.invariant("not leaked", ~x.leaked, "what a lower level may read was cleared")
    m.invariant("valid is accepted", forall([s], implies(valid, x.accepted[at])), "only VMPL0 and firmware validate")
    one = forall([s, t], implies(all_of(valid, other, at == x.gpa[t]), s == t))
    m.invariant("one page per address", one, "an address is validated once")
    own = all_of(x.content[s] == Content.MONITOR, x.origin[s] == at)
    m.invariant("kept is VMPL0's", forall([s], implies(zero, own)), "nobody else writes a page without permissions")
    written = all_of(x.content[s].is_in(Content.MONITOR, Content.LOWER), x.origin[s] == at)
    whose = forall([s], implies(all_of(valid, x.held[at]), written))
    m.invariant("held is written", whose, "whoever writes it, a page of an address in use holds what was written there")
    theirs = all_of(x.content[s] == Content.LOWER, x.origin[s] == at)
    m.invariant("used is the lower levels'", forall([s], implies(lower, theirs)), "VMPL0 clears before they use it")
    cleared = implies(all_of(valid, x.granted[at, level, kind]), x.content[s] != Content.MONITOR)
    m.invariant("granted is cleared", forall([s, level, kind], cleared), "VMPL0 clears before it grants")


def _vmsa(m: ModelBuilder, x: State) -> None:
    (s,) = SystemPage.names("s")
    (level,), (kind,) = Level.names("level"), Permission.names("kind")
    at = x.gpa[s]
    mine = all_of(x.owner[s] == Owner.GUEST, x.vmsa[s])
    m.invariant("registers not read", ~x.registers_read, "VMSA pages are hidden")
    m.invariant("VMSA is valid", forall([s], implies(mine, x.validated[s])), "VMPL0 takes the bit away first")
    kept = all_of(x.held[at], x.holder[at] == Level.VMPL0, x.content[s] == Content.MONITOR)
    m.invariant("VMSA is kept", forall([s], implies(mine, kept)), "VMPL0 checks what it makes a VMSA of")
    hidden = forall([s, level, kind], implies(mine, ~x.may[s, level, kind]))
    m.invariant("VMSA is hidden", hidden, "no lower level has permissions on it")
    runs = forall([s], implies(x.running[s], mine))
    m.invariant("running is a VMSA", runs, "a page in use stays what it is")
