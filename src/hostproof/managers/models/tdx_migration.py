"""Intel TDX, migration as the destination sees it: importing immutable state and memory, and the race CVE-2025-30513.

The source exported a TD that is migratable and not debuggable; its owner gave it a secret. The destination's host calls
whatever it likes. A page arrives as it was exported last (`LATEST`), as an older export (`OLD`), or forged (`FORGED`).

TDH.IMPORT.STATE.IMMUTABLE takes several pages of metadata and returns to the host when an interrupt waits; the op state
stays UNINITIALIZED until it is done. TDH.MNG.INIT asks for the same op state and writes ATTRIBUTES before it has checked
the rest of its parameters: called in between, with another parameter that is refused, it leaves ATTRIBUTES with DEBUG set
and the import goes on. Found by Google and Intel (CVE-2025-30513), fixed in 1.5.24 or 1.5.25 and 2.0.14. The sources of the
fixed versions were not at hand: the fix is modelled as a refusal of TDH.MNG.INIT while an import is under way.

Sources, by key of the catalogue: TDXMOD1501 (module 1.5.01) by function, "table" is `include/auto_gen/op_state_lookup.c`;
TDX15 (Google's readme of the proofs of concept).

Not here: the source's side (EXPORT leaves), several streams, aborting, virtual CPUs' state, in-place import.
"""

from __future__ import annotations

from hostproof.managers.engine import BOOL, Caller, Model, ModelBuilder, Sort, all_of, implies

__all__ = ["Attributes", "OpState", "Page", "model"]

OpState = Sort("OpState", ("UNINITIALIZED", "INITIALIZED", "MEMORY_IMPORT", "LIVE_IMPORT", "RUNNABLE", "FAILED_IMPORT"))
Attributes = Sort("Attributes", ("NONE", "MIGRATABLE", "DEBUG"))
Page = Sort("Page", ("NONE", "LATEST", "OLD", "FORGED"))
Peer = Sort("Peer", ("MODULE", "HOST"))

_STATE = "TDX_OP_STATE_INCORRECT"
_RESTS_ON = ("module-as-published", "no-physical-adversary", "migration-td")


class State:
    """Variables, duties and policies."""

    def __init__(self, m: ModelBuilder) -> None:
        self.op = m.scalar("op_state", OpState, "UNINITIALIZED", "op state of the TD at the destination")
        self.attributes = m.scalar("attributes", Attributes, "NONE", "TDCS.ATTRIBUTES")
        self.key = m.scalar("key", meaning="the destination has the migration session key")
        self.interrupted = m.scalar("interrupted", meaning="an import of immutable state waits to be resumed")
        self.page = m.scalar("page", Page, "NONE", "what was imported of a page with the secret")
        self.disclosed = m.scalar("disclosed", meaning="the host read the secret")
        self.rogue = m.scalar("rogue", meaning="the host itself holds the migration session key")
        sentence = "TDH.MNG.INIT is refused while an import is interrupted (1.5.24, 1.5.25, 2.0.14)"
        self.fixed = m.policy("import_race_fixed", sentence, True, "TDX15; CVELIST: CVE-2025-30513")
        sentence = "the migration TD of the source gives the key to an attested module only"
        self.attests = m.duty("migtd_attests_peer", sentence, "TD migration specification: MigTD")


def model() -> Model:
    """The destination of a migration, with all duties and policies as switches."""
    m = ModelBuilder("tdx-migration", "1.5", "Intel TDX, migration")
    x = State(m)
    _start(m, x)
    _immutable(m, x)
    _memory(m, x)
    _claims(m, x)
    return m.build()


def _start(m: ModelBuilder, x: State) -> None:
    with m.operation(
        "MigTD gives the key",
        Caller.MANAGER,
        "The two migration TDs agree on a session key.",
        "TD migration specification: MigTD",
    ) as op:
        peer = op.parameter("peer", Peer)
        op.guard("MigTD.peer", implies(x.attests, peer == Peer.MODULE), source="duty: TD migration specification")
        op.set(x.key, True)
        op.set(x.rogue, x.rogue | (peer == Peer.HOST))
    sentence = "The host sets the parameters of a TD; ATTRIBUTES are written before the rest is checked."
    with m.operation(
        "TDH.MNG.INIT", Caller.HOST, sentence, "TDXMOD1501: tdh_mng_init, read_and_set_td_configurations"
    ) as op:
        attributes = op.parameter("attributes", Attributes)
        accepted = op.parameter("accepted", BOOL)
        op.guard("MNG.INIT.op-state", x.op == OpState.UNINITIALIZED, _STATE, "table: leaf 21")
        op.guard("MNG.INIT.import", ~all_of(x.fixed, x.interrupted), _STATE, "TDX15: the fix of CVE-2025-30513")
        op.set(x.attributes, attributes)
        op.set(x.op, OpState.INITIALIZED, when=accepted)
    with m.operation(
        "TDH.MR.FINALIZE", Caller.HOST, "A TD that was built here may run.", "TDXMOD1501: tdh_mr_finalize"
    ) as op:
        op.guard("MR.FINALIZE.op-state", x.op == OpState.INITIALIZED, _STATE, "table: leaf 17")
        op.set(x.op, OpState.RUNNABLE)


def _immutable(m: ModelBuilder, x: State) -> None:
    sentence = "The first pages of immutable state, ATTRIBUTES among them, are imported; an interrupt may wait."
    with m.operation(
        "TDH.IMPORT.STATE.IMMUTABLE", Caller.HOST, sentence, "TDXMOD1501: tdh_import_state_immutable"
    ) as op:
        stopped = op.parameter("interrupt", BOOL)
        op.guard(
            "IMMUTABLE.op-state",
            x.op == OpState.UNINITIALIZED,
            _STATE,
            "table: leaf 85",
            redundant="an import sets the attributes first",
        )
        reason = "without the session key there is nothing to decrypt"
        op.guard(
            "IMMUTABLE.key",
            x.key | False,
            "TDX_INCORRECT_MBMD_MAC",
            "TDXMOD1501: handle_command_by_type",
            redundant=reason,
        )
        op.guard(
            "IMMUTABLE.new",
            ~x.interrupted,
            "TDX_INVALID_MBMD",
            "TDXMOD1501: expected_mb_counter",
            redundant="importing again imports the same",
        )
        op.set(x.attributes, Attributes.MIGRATABLE)
        op.set(x.interrupted, stopped)
        op.set(x.op, OpState.MEMORY_IMPORT, when=~stopped)
    sentence = "The import goes on where it was interrupted, checks the MAC of the whole, and begins with memory."
    with m.operation(
        "TDH.IMPORT.STATE.IMMUTABLE, resumed", Caller.HOST, sentence, "TDXMOD1501: tdh_import_state_immutable"
    ) as op:
        op.guard(
            "RESUME.op-state",
            x.op == OpState.UNINITIALIZED,
            _STATE,
            "table: leaf 85",
            redundant="while interrupted it is UNINITIALIZED",
        )
        op.guard(
            "RESUME.interrupted", x.interrupted | False, "TDX_INVALID_RESUMPTION", "TDXMOD1501: handle_command_by_type"
        )
        op.set(x.interrupted, False)
        op.set(x.op, OpState.MEMORY_IMPORT)


def _memory(m: ModelBuilder, x: State) -> None:
    sentence = "A page is imported if its MAC fits and its bundle is the next one of the epoch."
    with m.operation("TDH.IMPORT.MEM", Caller.HOST, sentence, "TDXMOD1501: tdh_import_mem") as op:
        page = op.parameter("page", Page)
        op.guard("IMPORT.MEM.op-state", x.op == OpState.MEMORY_IMPORT, _STATE, "table: leaf 83")
        op.guard(
            "IMPORT.MEM.mac",
            page.is_in(Page.LATEST, Page.OLD),
            "TDX_INVALID_PAGE_MAC",
            "TDXMOD1501: compare_macs_and_update_error_statuses",
        )
        order = implies(page == Page.OLD, x.page == Page.NONE)
        op.guard(
            "IMPORT.MEM.order",
            order,
            "TDX_INVALID_MBMD",
            "TDXMOD1501: handle_new_command, expected_mb_counter and mig_epoch",
            redundant="the start token is refused as well",
        )
        op.set(x.page, page)
    with m.operation(
        "TDH.IMPORT.TRACK",
        Caller.HOST,
        "The start token says that all latest exports have arrived.",
        "TDXMOD1501: tdh_import_track",
    ) as op:
        counted = "a token fits nothing but the bundles that it counts"
        op.guard("IMPORT.TRACK.op-state", x.op == OpState.MEMORY_IMPORT, _STATE, "table: leaf 84", redundant=counted)
        op.guard(
            "IMPORT.TRACK.complete",
            x.page.is_in(Page.LATEST, Page.FORGED),
            "TDX_INVALID_MBMD",
            "TDXMOD1501: tdh_import_track, total_mb_count",
        )
        op.set(x.op, OpState.LIVE_IMPORT)
    with m.operation(
        "TDH.IMPORT.END", Caller.HOST, "The TD may run here.", "TDXMOD1501: tdh_import_commit, tdh_import_end"
    ) as op:
        op.guard("IMPORT.END.op-state", x.op == OpState.LIVE_IMPORT, _STATE, "table: leaves 81 and 82")
        op.set(x.op, OpState.RUNNABLE)
    with m.operation(
        "TDH.MEM.RD", Caller.HOST, "The host reads memory of a debuggable TD.", "TDXMOD1501: tdh_mem_rd"
    ) as op:
        op.guard("MEM.RD.debug", x.attributes == Attributes.DEBUG, "TDX_TD_NON_DEBUG", "TDXMOD1501: tdh_mem_rd_wr.c")
        there = x.op != OpState.UNINITIALIZED
        op.guard("MEM.RD.op-state", there, _STATE, "table: leaf 12", redundant="no memory is imported before")
        op.set(x.disclosed, x.disclosed | x.page.is_in(Page.LATEST, Page.OLD))


def _claims(m: ModelBuilder, x: State) -> None:
    sentence = "The module does what its source says, and its source has no other defect."
    m.assumption("module-as-published", sentence, ["tdx-metadata-underflow", "tdx-1.5-further", "seam-shutdown"])
    m.assumption(
        "no-physical-adversary", "DRAM and the machines' keys are out of reach.", ["tee-fail", "battering-ram"]
    )
    m.assumption("migration-td", "The migration TDs are the attested ones and keep the session key.", [])
    m.objective(
        "M1",
        x.disclosed | False,
        "the host never learns what was migrated",
        _RESTS_ON,
        ["debug-decrypt", "migrate-rogue"],
    )
    m.objective("M1.rogue", x.rogue | False, "no host gets the session key", _RESTS_ON, ["migrate-rogue"])
    held = all_of(x.attributes == Attributes.DEBUG, x.page != Page.NONE)
    m.objective("G1", held, "an imported TD is not debuggable, as it was attested", _RESTS_ON, ["debug-decrypt"])
    wrong = all_of(x.op == OpState.RUNNABLE, x.page.is_in(Page.OLD, Page.FORGED))
    m.objective("S1", wrong, "what runs is what was exported last", _RESTS_ON, ["replay-page", "migrate-rogue"])
    importing = x.op.is_in(OpState.MEMORY_IMPORT, OpState.LIVE_IMPORT)
    m.invariant(
        "import keeps attributes",
        implies(importing, x.attributes == Attributes.MIGRATABLE),
        "an import sets them, and nothing else runs before its end",
    )
    going = implies(x.interrupted, all_of(x.op == OpState.UNINITIALIZED, x.attributes == Attributes.MIGRATABLE))
    m.invariant("interrupted keeps attributes", going, "TDH.MNG.INIT is refused meanwhile")
    m.invariant(
        "page is migrated",
        implies(x.page != Page.NONE, x.attributes == Attributes.MIGRATABLE),
        "memory comes after the attributes",
    )
    built = implies(x.page != Page.NONE, x.op.is_in(OpState.MEMORY_IMPORT, OpState.LIVE_IMPORT, OpState.RUNNABLE))
    m.invariant("page comes late", built, "a TD with imported memory is not built again")
    late = implies(
        all_of(x.op.is_in(OpState.LIVE_IMPORT, OpState.RUNNABLE), x.page != Page.NONE), x.page == Page.LATEST
    )
    m.invariant("start is latest", late, "the start token counts the bundles")
    m.invariant("no forged page", x.page != Page.FORGED, "every page carries a MAC")
    m.invariant("nothing disclosed", ~x.disclosed, "no imported TD is debuggable")
    m.invariant("key is the module's", ~x.rogue, "the migration TD attests its peer")
    m.witness("the migrated TD runs", all_of(x.op == OpState.RUNNABLE, x.page == Page.LATEST))
