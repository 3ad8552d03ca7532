"""Intel TDX, launch and evidence: what MRTD covers, who sets ATTRIBUTES, and what the verifier has to look at.

Any number of addresses of the initial image. MRTD is modelled by what it commits to: which addresses were added, and for
each one whether its content was extended and was the expected one. TDH.MEM.PAGE.ADD extends it by the address alone,
TDH.MR.EXTEND by content; an image whose build does not extend a page leaves that page to the host. The verifier compares with
the image as it was published: `listed` pages, `covered` ones among them. Hashes do not collide; order is not modelled.

Sources, by key of the catalogue: TDXMOD1501 (module 1.5.01) by function, "table" is `include/auto_gen/op_state_lookup.c`;
TDXC is Linux `arch/x86/coco/tdx/tdx.c`.

Not here: MRCONFIGID, MROWNER, XFAM, service TDs' hash, the quote's signature chain (an assumption).
"""

from __future__ import annotations

from hostproof.managers.engine import BOOL, Caller, Model, ModelBuilder, Sort, all_of, exists, forall, implies

__all__ = ["GuestPage", "Image", "Phase", "model"]

GuestPage = Sort("GuestPage", prefix="g")
Image = Sort("Image", ("NONE", "EXPECTED", "OTHER"))
Phase = Sort("Phase", ("UNINITIALIZED", "INITIALIZED", "RUNNABLE"))

_STATE = "TDX_OP_STATE_INCORRECT"
_RESTS_ON = ("module-as-published", "quote-is-genuine")


class State:
    """Variables, duties and policies."""

    def __init__(self, m: ModelBuilder) -> None:
        self.phase = m.scalar("phase", Phase, "UNINITIALIZED", "op state")
        self.debug = m.scalar("debug", meaning="ATTRIBUTES.DEBUG")
        self.listed = m.function("listed", [GuestPage], BOOL, (False, True), "the published image adds this page")
        self.covered = m.function("covered", [GuestPage], BOOL, (False, True), "and extends its content")
        self.image = m.function("image", [GuestPage], Image, "NONE", "what was added there")
        self.extended = m.function("extended", [GuestPage], meaning="MRTD commits to its content")
        self.genuine = m.scalar("genuine", meaning="MRTD is that of the published image")
        self.loaded = m.scalar("loaded", Image, "NONE", "what the running image loaded from outside")
        self.logged = m.scalar("logged", meaning="RTMRs commit to what was loaded")
        self.secret = m.scalar("secret", meaning="the verifier released a secret")
        self.disclosed = m.scalar("disclosed", meaning="the host read the secret")
        self.mrtd = m.duty("verify_mrtd", "the verifier compares MRTD", "design of the verifier")
        self.attributes = m.duty("verify_attributes", "the verifier refuses ATTRIBUTES.DEBUG", "design of the verifier")
        self.rtmr = m.duty("verify_rtmr", "the verifier compares the RTMRs", "design of the verifier")
        self.extend_all = m.duty(
            "extend_all_pages",
            "the image's build extends the content of every page it adds",
            "TDVF metadata: MR.EXTEND attribute",
        )
        self.measures = m.duty(
            "measure_before_use", "the guest extends an RTMR with what it loads", "TDXMOD1501: tdg_mr_rtmr_extend"
        )


def model() -> Model:
    """Launch and evidence, with all duties and policies as switches."""
    m = ModelBuilder("tdx-launch", "1.5", "Intel TDX, launch and evidence")
    x = State(m)
    _build(m, x)
    _run(m, x)
    _claims(m, x)
    return m.build()


def _build(m: ModelBuilder, x: State) -> None:
    (h,) = GuestPage.names("h")
    with m.operation(
        "TDH.MNG.INIT", Caller.HOST, "The host sets the TD's parameters.", "TDXMOD1501: tdh_mng_init"
    ) as op:
        debug = op.parameter("debug", BOOL)
        op.guard("MNG.INIT.op-state", x.phase == Phase.UNINITIALIZED, _STATE, "table: leaf 21")
        op.set(x.debug, debug)
        op.set(x.phase, Phase.INITIALIZED)
    with m.operation(
        "TDH.MEM.PAGE.ADD", Caller.HOST, "A page is copied in; MRTD takes its address.", "TDXMOD1501: tdh_mem_page_add"
    ) as op:
        g, image = op.parameter("g", GuestPage), op.parameter("image", Image)
        op.guard("PAGE.ADD.op-state", x.phase == Phase.INITIALIZED, _STATE, "table: leaf 2")
        op.guard(
            "PAGE.ADD.free",
            x.image[g] == Image.NONE,
            "TDX_EPT_ENTRY_STATE_INCORRECT",
            "table of SEPT states: leaf 2",
            redundant="a second page at an address shows in MRTD",
        )
        op.guard("PAGE.ADD.page", image != Image.NONE, "", "a page holds something", redundant="adding nothing")
        op.set(x.image[g], image)
    with m.operation(
        "TDH.MR.EXTEND", Caller.HOST, "MRTD takes the content of a page as it is in place.", "TDXMOD1501: tdh_mr_extend"
    ) as op:
        g = op.parameter("g", GuestPage)
        op.guard(
            "MR.EXTEND.op-state", x.phase == Phase.INITIALIZED, _STATE, "table: leaf 16", redundant="MRTD is final"
        )
        op.guard(
            "MR.EXTEND.mapped",
            x.image[g] != Image.NONE,
            "TDX_EPT_ENTRY_NOT_PRESENT",
            "table of SEPT states: leaf 16",
            redundant="MRTD is then not the published image's",
        )
        op.set(x.extended[g], True)
    with m.operation(
        "TDH.MR.FINALIZE", Caller.HOST, "MRTD is final; the TD may run.", "TDXMOD1501: tdh_mr_finalize"
    ) as op:
        op.guard(
            "MR.FINALIZE.op-state",
            x.phase == Phase.INITIALIZED,
            _STATE,
            "table: leaf 17",
            redundant="what is final stays",
        )
        added = (x.image[h] != Image.NONE) == x.listed[h]
        same = implies(x.extended[h], x.image[h] == Image.EXPECTED)
        content = x.extended[h] == all_of(x.listed[h], x.covered[h])
        op.set(x.genuine, forall([h], all_of(added, content, same)))
        op.set(x.phase, Phase.RUNNABLE)


def _run(m: ModelBuilder, x: State) -> None:
    (h,) = GuestPage.names("h")
    with m.operation(
        "load",
        Caller.GUEST,
        "The image loads code or configuration that the host gives it.",
        "TDXMOD1501: tdg_mr_rtmr_extend",
    ) as op:
        image = op.parameter("image", Image)
        op.guard(
            "load.running", x.phase == Phase.RUNNABLE, "", "the guest executes", redundant="RTMRs take it at any time"
        )
        op.guard(
            "load.measured", ~x.secret | ~x.measures, source="duty: everything is loaded and measured before the report"
        )
        op.set(x.loaded, image)
        op.set(x.logged, x.measures | False)
    with m.operation(
        "the verifier releases a secret",
        Caller.MANAGER,
        "A genuine quote satisfies the verifier.",
        "TDXMOD1501: tdg_mr_report",
    ) as op:
        op.guard(
            "release.running",
            x.phase == Phase.RUNNABLE,
            "",
            "a report is the running TD's",
            redundant="MRTD is compared once it is final",
        )
        op.guard("release.mrtd", implies(x.mrtd, x.genuine), source="duty: MRTD")
        op.guard("release.attributes", implies(x.attributes, ~x.debug), source="duty: TDATTRIBUTES")
        built = forall([h], implies(x.listed[h], x.covered[h]))
        op.guard("release.image", implies(x.extend_all, built), source="duty: the published image's metadata")
        told = implies(x.rtmr, implies(x.logged, x.loaded != Image.OTHER))
        op.guard("release.rtmr", told, source="duty: RTMR0 to RTMR3")
        op.set(x.secret, True)
    with m.operation(
        "TDH.MEM.RD", Caller.HOST, "The host reads memory of a debuggable TD.", "TDXMOD1501: tdh_mem_rd"
    ) as op:
        op.guard("MEM.RD.debug", x.debug | False, "TDX_TD_NON_DEBUG", "TDXMOD1501: tdh_mem_rd_wr.c")
        op.set(x.disclosed, x.secret | x.disclosed)


def _claims(m: ModelBuilder, x: State) -> None:
    (g,) = GuestPage.names("g")
    m.assumption("module-as-published", "The module does what its source says.", ["tdx-1.0-review", "tdx-1.5-further"])
    m.assumption("quote-is-genuine", "Quotes are signed by keys that nobody extracted.", ["tee-fail", "wiretap"])
    other = exists([g], all_of(x.secret, x.image[g] == Image.OTHER))
    m.objective("L1", other, "a TD with secrets runs the published image", _RESTS_ON, ["launch-other-image"])
    loaded = all_of(x.secret, x.loaded == Image.OTHER)
    m.objective(
        "L1.runtime", loaded, "a TD with secrets loaded what the verifier expects", _RESTS_ON, ["choose-launch-fields"]
    )
    m.objective(
        "G1",
        x.disclosed | False,
        "no TD with secrets is debuggable unless the verifier allows it",
        _RESTS_ON,
        ["debug-decrypt"],
    )
    final = implies(all_of(x.phase == Phase.RUNNABLE, x.genuine, x.extended[g]), x.image[g] == Image.EXPECTED)
    m.invariant("extended is expected", forall([g], final), "MRTD commits to content")
    added = implies(all_of(x.genuine, x.image[g] != Image.NONE), x.listed[g])
    m.invariant("added is listed", forall([g], added), "MRTD commits to every address")
    content = implies(all_of(x.genuine, x.listed[g], x.covered[g]), x.extended[g])
    m.invariant("covered is extended", forall([g], content), "MRTD commits to which content it covers")
    m.invariant("genuine is final", implies(x.genuine, x.phase == Phase.RUNNABLE), "MRTD is compared once final")
    running = implies(x.secret, x.phase == Phase.RUNNABLE)
    m.invariant("secret is late", running, "secrets follow a report")
    m.invariant("secret is for the image", implies(x.secret, x.genuine), "the verifier compares MRTD")
    whole = implies(all_of(x.secret, x.listed[g]), x.covered[g])
    m.invariant("secret is for whole images", forall([g], whole), "the published image covers its pages")
    m.invariant("secret without debug", implies(x.secret, ~x.debug), "the verifier refuses DEBUG")
    m.invariant("nothing disclosed", ~x.disclosed, "TDH.MEM.RD asks for DEBUG")
    m.invariant("other is logged", implies(x.loaded == Image.OTHER, x.logged), "the guest measures before use")
    m.invariant("secret without other", implies(x.secret, x.loaded != Image.OTHER), "the verifier compares the RTMRs")
    m.witness(
        "a secret for a measured page", exists([g], all_of(x.secret, x.image[g] == Image.EXPECTED, x.extended[g]))
    )
