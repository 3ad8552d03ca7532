"""What TDX claims of private memory: objectives, the invariants that prove them, assumptions, witnesses."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, all_of, any_of, exists, forall, implies
from hostproof.managers.models.tdx_memory_state import Content, Epoch, GuestPage, Pamt, Phase, Sept, State, SystemPage

__all__ = ["claims"]

_RESTS_ON = ("module-as-published", "no-physical-adversary", "processor-as-documented", "atomic-calls")


def claims(m: ModelBuilder, x: State) -> None:
    """Adds them."""
    _assumptions(m)
    _confidentiality(m, x)
    _integrity(m, x)
    _invariants(m, x)
    _witnesses(m, x)


def _assumptions(m: ModelBuilder) -> None:
    sentence = "The module does what its source says, and its source has no defect."
    m.assumption("module-as-published", sentence, ["tdx-1.0-review", "tdx-1.5-further", "tdx-metadata-underflow"])
    m.assumption(
        "no-physical-adversary",
        "DRAM answers with what was written to an address.",
        ["battering-ram", "tee-fail", "ddrop"],
    )
    sentence = "The processor does what its manual says; a lost owner bit means a machine check and nothing else."
    m.assumption("processor-as-documented", sentence, ["partial-write-poison"])
    m.assumption(
        "atomic-calls", "A call of the module is one step; its locks exclude the others.", ["migratable-td-debug"]
    )
    m.assumption(
        "side-channels", "Only what an operation gives out is learnt.", ["tdxdown", "stumblestepping", "tdxploit"]
    )


def _confidentiality(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    quiet = (*_RESTS_ON, "side-channels")
    m.objective(
        "M1",
        x.disclosed | False,
        "the host never learns private plaintext",
        quiet,
        ["read-private-memory", "debug-decrypt"],
    )
    held = all_of(x.reachable(s, g), any_of(x.pamt[s] != Pamt.REG, x.foreign[s]))
    m.objective(
        "M1.held",
        exists([s, g], held),
        "no page that the guest reaches is the host's or another TD's",
        _RESTS_ON,
        ["read-private-memory"],
    )
    m.objective("M2", x.observed | False, "the host sees no ciphertext", quiet, ["read-ciphertext"])
    m.objective(
        "D1", x.dma_hit | False, "no device reaches private memory with a private key", _RESTS_ON, ["dma-private"]
    )
    m.objective("X1.ve", x.interrupted | False, "no #VE for private memory hits the guest", _RESTS_ON, ["drop-page"])


def _integrity(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    reads, data = x.reads(s, g), x.content[s] == Content.DATA
    changed = all_of(reads, x.content[s].is_in(Content.GARBAGE, Content.HOST))
    m.objective(
        "M3",
        exists([s, g], changed),
        "the guest reads no page that was changed under it",
        _RESTS_ON,
        ["corrupt-private-memory", "dma-private"],
    )
    old = all_of(reads, data, x.origin[s] == g, ~x.fresh[s])
    m.objective("M4", exists([s, g], old), "the guest never reads an old value of its own", _RESTS_ON, ["replay-page"])
    alias = all_of(reads, data, x.origin[s] != g)
    m.objective("M5", exists([s, g], alias), "the guest never reads another address's page", _RESTS_ON, ["remap-page"])
    reset = all_of(reads, x.content[s] == Content.ZERO)
    m.objective("M6", exists([s, g], reset), "no used page is silently reset", _RESTS_ON, ["replace-used-page"])
    chosen = all_of(x.reachable(s, g), x.accepted[g], x.content[s] == Content.HOST)
    m.objective(
        "M7", exists([s, g], chosen), "no page holds what the host chose", _RESTS_ON, ["choose-unused-page-content"]
    )
    gone = exists([g], all_of(x.phase == Phase.RUNNABLE, x.used[g], forall([s], ~x.reachable(s, g))))
    m.objective("A1", gone, "the guest's data is always there", (), ["drop-page", "withhold-resources"])


def _invariants(m: ModelBuilder, x: State) -> None:
    s, t = SystemPage.names("s", "t")
    g, h = GuestPage.names("g", "h")
    m.invariant("nothing disclosed", ~x.disclosed, "plaintext leaves through TDH.MEM.RD only, which asks for DEBUG")
    m.invariant("nothing observed", ~x.observed, "a line with its owner bit reads as a fixed pattern")
    m.invariant("no device", ~x.dma_hit, "hardware aborts private KeyIDs from devices")
    m.invariant("no #VE", ~x.interrupted, "a pending page exits to the host, or the guest does not run")
    m.invariant(
        "no host content", forall([s], x.content[s] != Content.HOST), "only TDH.MEM.WR writes what the host chose"
    )
    kept = x.content[s].is_in(Content.DATA, Content.ZERO)
    m.invariant(
        "data is owned", forall([s], implies(kept, x.owned[s])), "what clears the owner bit replaces the content"
    )
    one = implies(all_of(x.leaf[s, g], x.leaf[t, g]), s == t)
    m.invariant("one page per address", forall([s, t, g], one), "an entry that is not free is not filled again")
    one = implies(all_of(x.leaf[s, g], x.leaf[s, h]), g == h)
    m.invariant("one address per page", forall([s, g, h], one), "only PT_NDA pages are mapped")
    m.invariant(
        "leaf is not free", forall([s, g], implies(x.leaf[s, g], x.sept[g] != Sept.FREE)), "a leaf goes with its state"
    )
    m.invariant(
        "leaf is the TD's",
        forall([s, g], implies(x.leaf[s, g], all_of(x.pamt[s] == Pamt.REG, ~x.foreign[s]))),
        "mapping sets PT_REG and nothing else takes it away",
    )
    m.invariant(
        "foreign is REG",
        forall([s], implies(x.foreign[s], x.pamt[s] == Pamt.REG)),
        "another TD holds pages by the same rules",
    )
    _translations_and_use(m, x)


def _translations_and_use(m: ModelBuilder, x: State) -> None:
    """What CPUs may hold, and what a page in use holds."""
    (s,) = SystemPage.names("s")
    (g,) = GuestPage.names("g")
    shut = x.sept[g] == Sept.BLOCKED
    now = any_of(x.sept[g] == Sept.MAPPED, all_of(shut, x.bepoch[s] == Epoch.CURRENT))
    m.invariant(
        "cached is mapped",
        forall([s, g], implies(x.cached[s, g], all_of(x.leaf[s, g], now))),
        "what this epoch translated was blocked in it, if at all",
    )
    before = any_of(x.sept[g] == Sept.MAPPED, all_of(shut, x.bepoch[s] != Epoch.OLDER))
    held = all_of(x.leaf[s, g], before, x.busy_before)
    m.invariant(
        "stale is mapped",
        forall([s, g], implies(x.stale[s, g], held)),
        "a new epoch waits for the CPUs of the one before the last",
    )
    m.invariant(
        "running is runnable",
        implies(x.running, x.phase == Phase.RUNNABLE),
        "entry asks for it; teardown waits for exits",
    )
    idle = implies(x.cached[s, g], x.phase == Phase.RUNNABLE)
    m.invariant("cached is runnable", forall([s, g], idle), "teardown flushes")
    there = all_of(x.leaf[s, g], x.sept[g].is_in(Sept.MAPPED, Sept.BLOCKED), x.used[g])
    data = x.content[s] == Content.DATA
    last = implies(data, all_of(x.origin[s] == g, x.fresh[s]))
    m.invariant(
        "used data is the last",
        forall([s, g], implies(there, last)),
        "an address has one page, which moves only as a whole",
    )
    m.invariant(
        "used is not zero",
        forall([s, g], implies(there, x.content[s] != Content.ZERO)),
        "only accepting makes zeroes, and it happens before use",
    )
    poison = implies(x.content[s] == Content.GARBAGE, ~x.owned[s])
    m.invariant(
        "used garbage is poison",
        forall([s, g], implies(there, poison)),
        "who writes a page in use without the TD's key clears the owner bit",
    )
    m.invariant(
        "used is accepted", forall([g], implies(x.used[g], x.accepted[g])), "the guest writes to what it accepted"
    )


def _witnesses(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = SystemPage.names("s"), GuestPage.names("g")
    back = all_of(x.reads(s, g), x.content[s] == Content.DATA, x.origin[s] == g, x.fresh[s], x.running)
    m.witness("the guest reads back what it wrote", exists([s, g], back))
    m.witness("a stale translation", exists([s, g], all_of(x.stale[s, g], x.sept[g] == Sept.BLOCKED)))
    lost = all_of(x.reachable(s, g), x.used[g], ~x.owned[s])
    m.witness("a machine check waits for the guest", exists([s, g], lost))
