"""What CCA claims of a realm's memory: objectives, the invariants that prove them, assumptions, witnesses."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Term, all_of, exists, forall, implies
from hostproof.managers.models.cca.state import Asked, Content, Gpt, Granule, GranuleState, Ipa, Realm, Ripas, State

__all__ = ["ASSUMED", "assume", "claims"]

ASSUMED = {
    "gpc-on-every-access": (
        "Every access of every core and device is checked against the granule protection table.",
        ["arm-translation-bypass"],
    ),
    "rmm-is-correct": (
        "RMM and EL3 monitor do what the specification says, on memory that only they reach.",
        ["rmm-threats"],
    ),
    "no-physical-adversary": (
        "DRAM answers with what was written and nobody reads the bus (shown on other technologies).",
        ["battering-ram", "badram", "tee-fail", "wiretap", "ddrop"],
    ),
    "atomic-commands": (
        "A command is one step; RMM implementations lock granules and invalidate TLBs before they return.",
        [],
    ),
    "side-channels": ("The host learns only what an operation gives out.", ["rmm-threats"]),
    "keys-are-secret": ("Nobody else has the keys that sign the platform's and the realm's token.", []),
    "hash-is-collision-free": ("Two different sequences of measured commands have different measurements.", []),
    "answer-is-bound": ("The challenge binds the token to the channel that the verifier speaks on.", ["report-relay"]),
}
_RESTS_ON = ("gpc-on-every-access", "rmm-is-correct", "no-physical-adversary", "atomic-commands")


def assume(m: ModelBuilder, *names: str) -> None:
    """Adds assumptions by name."""
    for name in names:
        m.assumption(name, *ASSUMED[name])


def claims(m: ModelBuilder, x: State) -> None:
    """Adds them."""
    assume(m, *_RESTS_ON, "side-channels", "keys-are-secret", "hash-is-collision-free")
    _objectives(m, x)
    _boundary_objectives(m, x)
    _invariants(m, x)
    _boundary_invariants(m, x)
    (s,), (g,) = Granule.names("s"), Ipa.names("g")
    back = all_of(x.readable(s, g), x.believed[g], x.content[s] == Content.REALM, x.origin[s] == g, x.fresh[s])
    m.witness("the realm reads back what it wrote", exists([s, g], back))
    image = all_of(x.readable(s, g), x.used[g], x.content[s] == Content.IMAGE)
    m.witness("the realm runs its image", exists([s, g], image))


def _objectives(m: ModelBuilder, x: State) -> None:
    (s,), (g,) = Granule.names("s"), Ipa.names("g")
    reads = all_of(x.readable(s, g), x.believed[g], x.used[g])
    data, own = x.holds_data(s), x.origin[s] == g

    def never(id: str, bad: Term, sentence: str, primitive: str) -> None:
        m.objective(id, exists([s, g], all_of(reads, bad)), sentence, _RESTS_ON, [primitive])

    foreign = all_of(~data, x.content[s] != Content.WIPED)
    never("M3", foreign, "no page in use is changed by somebody else", "corrupt-private-memory")
    never("M4", all_of(data, own, ~x.fresh[s]), "the realm never reads an old value of its own", "replay-page")
    never("M5", all_of(data, ~own), "the realm never reads another address's page", "remap-page")
    never("M6", x.content[s] == Content.WIPED, "no used page is silently replaced by a wiped one", "replace-used-page")
    chosen = all_of(x.readable(s, g), x.believed[g], ~x.used[g], x.content[s] == Content.HOST)
    content = ["choose-unused-page-content"]
    m.objective("M7", exists([s, g], chosen), "no page holds what the host chose", _RESTS_ON, content)
    aborts = exists([g], all_of(x.realm == Realm.ACTIVE, x.believed[g], x.ripas[g] == Ripas.EMPTY))
    abort = "no external abort at an address that the realm holds to be RAM"
    m.objective("X1.sea", aborts, abort, _RESTS_ON, ["inject-exception", "fault-on-private-page"])
    stalls = exists([g], all_of(x.realm == Realm.ACTIVE, x.used[g], x.ripas[g] == Ripas.DESTROYED))
    withheld = ["drop-page", "withhold-resources"]
    m.objective("A1", stalls, "the realm always gets its pages", (), withheld)


def _boundary_objectives(m: ModelBuilder, x: State) -> None:
    (s,) = Granule.names("s")
    seen = ("side-channels", *_RESTS_ON)
    m.objective("M1", x.disclosed, "nobody else learns private data", seen, ["read-private-memory"])
    m.objective(
        "M2", x.observed, "the host reads nothing of the Realm world, not even ciphertext", seen, ["read-ciphertext"]
    )
    m.objective("R1.memory", x.registers_disclosed, "nobody else reads a REC", seen, ["read-registers"])
    context = x.state[s].is_in(GranuleState.REC, GranuleState.REC_AUX)
    changed = exists([s], all_of(context, x.content[s] != Content.REGISTERS))
    m.objective("R2.memory", changed, "nobody else writes a REC", _RESTS_ON, ["write-registers"])
    metadata = x.state[s].is_in(GranuleState.RD, GranuleState.RTT)
    written = exists([s], all_of(metadata, x.content[s] == Content.HOST))
    lies = "nobody else writes a realm's descriptor or tables"
    m.objective("M3.metadata", written, lies, _RESTS_ON, ["corrupt-private-memory", "firmware-command"])
    m.objective("D1", x.dma_hit, "no device reaches data of the realm", _RESTS_ON, ["dma-private"])
    shared = exists([s], all_of(x.content[s] == Content.MISPLACED, x.gpt[s] == Gpt.NS))
    m.objective("T1", shared, "no secret lies in shared memory", (), ["observe-shared-memory"])
    bus = exists([s], all_of(~x.mpe, x.content[s] == Content.REALM))
    m.objective("P1", bus, "nobody on the memory bus reads or changes private data", (), ["physical-bus"])


def _invariants(m: ModelBuilder, x: State) -> None:
    s, t = Granule.names("s", "t")
    g, h = Ipa.names("g", "h")
    ram, mapped = x.ripas[g] == Ripas.RAM, x.maps[s, g]

    def pair(id: str, condition: Term, conclusion: Term, sentence: str) -> None:
        m.invariant(id, forall([s, g], implies(condition, conclusion)), sentence)

    def every(id: str, condition: Term, conclusion: Term, sentence: str) -> None:
        m.invariant(id, forall([g], implies(condition, conclusion)), sentence)

    own = all_of(x.state[s] == GranuleState.DATA, ~x.other[s])
    pair("mapped is the realm's", mapped, own, "only a delegated granule becomes DATA, for one realm")
    theirs = forall([s], implies(x.other[s], x.state[s] == GranuleState.DATA))
    m.invariant("another realm has DATA", theirs, "the same for the host's realms")
    one = forall([s, t, g], implies(all_of(x.maps[s, g], x.maps[t, g]), s == t))
    m.invariant("one granule per address", one, "an entry is assigned once")
    back = forall([s, g, h], implies(all_of(x.maps[s, g], x.maps[s, h]), g == h))
    m.invariant("one address per granule", back, "a DATA granule is not delegated")
    pair("mapped is assigned", mapped, x.assigned[g], "HIPAS says that the entry holds a granule")
    m.invariant("nothing stale", forall([s, g], ~x.stale[s, g]), "the commands invalidate TLBs")
    every("used is believed", x.used[g], x.believed[g], "giving an address up ends both")
    every("used RAM is assigned", all_of(x.used[g], ram), x.assigned[g], "taking the page away destroys the RIPAS")
    live = all_of(mapped, x.used[g], ram)
    pair("used is not wiped", live, x.content[s] != Content.WIPED, "a used address keeps its page or is DESTROYED")
    pair("used is its own", all_of(live, x.holds_data(s)), x.origin[s] == g, "it was written here")
    pair("used is fresh", all_of(live, x.holds_data(s)), x.fresh[s], "and last")
    pair(
        "data is its own", all_of(mapped, x.holds_data(s)), x.origin[s] == g, "what is mapped was wiped or written here"
    )
    pair("data is fresh", all_of(mapped, x.holds_data(s)), x.fresh[s], "and nobody else writes at this address")
    kind = x.content[s].is_in(Content.WIPED, Content.IMAGE, Content.REALM)
    pair("nothing foreign", mapped, kind, "unmeasured content is refused, the rest is wiped")
    safe = all_of(live, x.content[s] != Content.WIPED)
    pair("used is not foreign", safe, x.holds_data(s), "nobody else writes a page of the realm")
    every("used is not EMPTY", x.used[g], x.ripas[g] != Ripas.EMPTY, "the realm uses what is RAM")
    every("given up is not used", x.asked[g] == Asked.EMPTY, ~x.used[g], "and gives up before it asks")
    every("believed is not EMPTY", x.believed[g], x.ripas[g] != Ripas.EMPTY, "only the realm makes an address EMPTY")
    young = x.realm.is_in(Realm.NULL, Realm.NEW)
    every("a new realm asks nothing", young, x.asked[g] == Asked.NOTHING, "a request needs a realm that runs")
    every(
        "applied is not EMPTY",
        x.asked[g] == Asked.APPLIED,
        x.ripas[g] != Ripas.EMPTY,
        "what was applied is told before it is asked again",
    )
    every("given up", x.asked[g] == Asked.EMPTY, ~x.believed[g], "the realm gave up what it asks to be EMPTY")
    every(
        "may be replaced", x.asked[g] == Asked.RAM_CHANGE_DESTROYED, ~x.used[g], "the flag is kept where there is data"
    )


def _boundary_invariants(m: ModelBuilder, x: State) -> None:
    (s,) = Granule.names("s")

    def every(id: str, condition: Term, conclusion: Term, sentence: str) -> None:
        m.invariant(id, forall([s], implies(condition, conclusion)), sentence)

    m.invariant("nothing disclosed", ~x.disclosed, "the realm's data stays in the Realm world")
    m.invariant("no REC disclosed", ~x.registers_disclosed, "so do its registers")
    m.invariant("nothing observed", ~x.observed, "the granule protection check stops the read")
    m.invariant("no device", ~x.dma_hit, "it does so for devices")
    realm = x.state[s] != GranuleState.UNDELEGATED
    every("delegated is Realm", realm, x.gpt[s] == Gpt.REALM, "delegation and GPT change together")
    every("Realm is delegated", x.gpt[s] == Gpt.REALM, realm, "no other agent makes a granule Realm")
    context = x.state[s].is_in(GranuleState.REC, GranuleState.REC_AUX)
    every("REC holds registers", context, x.content[s] == Content.REGISTERS, "only the RMM writes a REC")
    rmm = x.state[s].is_in(GranuleState.RD, GranuleState.RTT)
    every("metadata is the RMM's", rmm, x.content[s] != Content.HOST, "only the RMM writes descriptors and tables")
    other = x.other[s]
    for what, content in (("data", Content.REALM), ("registers", Content.REGISTERS)):
        free = x.content[s] != content
        every(f"undelegated holds no {what}", ~realm, free, "undelegation wipes")
        every(f"another realm holds no {what}", other, free, "a granule is wiped on its way through DELEGATED")
    m.invariant("nothing misplaced", forall([s], x.content[s] != Content.MISPLACED), "the realm shares knowingly")
    m.invariant(
        "bus sees ciphertext", forall([s], implies(~x.mpe, x.content[s] != Content.REALM)), "where memory is encrypted"
    )
