"""AMD measured launch: what the digest binds, what a verifier looks at, what firmware in the guest checks.

Any number of blocks of the reference image, any number of guest addresses. SEV and SEV-ES digest contents in order and not the
addresses; SEV-SNP digests type, address, permissions and content of each page, in order. Whether a step is the next one of
the reference's order is a choice of the host, like the content that it hands in.

The verifier is a duty, in two parts that replace each other: it looks at digest and policy itself, or it checks the key of a
signed ID block, which makes firmware do so (SEV-SNP). Kernel, initial ramdisk and command line are bound by a page of hashes
only where the launch measures that page *and* the firmware image has the code that verifies them linked.

Sources: ASPFW (`amd/AMD-ASPFW` at 3ca6650dd35d, `sev_mcmd.c`: launch_update_common, sev_mcmd_launch_measure,
snp_mcmd_launch_start, snp_mcmd_launch_update, snp_mcmd_launch_finish; facts only), KVMSEV (Linux 7.3
`arch/x86/kvm/svm/sev.c`), EDK2 (`tianocore/edk2`, OvmfPkg/AmdSev/BlobVerifierLibSevHashes), LIST of the catalogue (undeSErVed
trust, CVE-2021-26311).
"""

from __future__ import annotations

from hostproof.managers.engine import (
    BOOL,
    FALSE,
    Caller,
    Model,
    ModelBuilder,
    ModelError,
    Sort,
    Term,
    all_of,
    any_of,
    exists,
    forall,
    implies,
)
from hostproof.managers.models.sev_snp.state import GuestPage

__all__ = ["TECHNOLOGIES", "Agent", "Block", "PageType", "Phase", "model"]

TECHNOLOGIES = ("sev", "sev-es", "sev-snp")
Block = Sort("Block", prefix="b")
"""A page of the reference image, or a VMSA with its features."""
PageType = Sort("PageType", ("NORMAL", "VMSA", "UNMEASURED"))
"""PAGE_TYPE of LAUNCH_UPDATE, as far as a host might mistake one for another; ZERO, SECRETS and CPUID hold no image."""
Phase = Sort("Phase", ("INIT", "LAUNCH", "RUNNING"))
Agent = Sort("Agent", ("NONE", "TRUSTED", "ROGUE"))
"""The migration agent that the launch binds."""

_TWICE = "a verifier that compares digest and policy itself does not need the ID block"


class _State:
    """Variables, duties and policies."""

    def __init__(self, m: ModelBuilder, technology: str) -> None:
        self.snp = technology == "sev-snp"
        self.at = m.function("reference_address", [Block], GuestPage, None, "where the reference has the block")
        self.placed = m.function("placed", [Block, GuestPage], meaning="the block stands at the address")
        self.foreign = m.function("foreign", [GuestPage], meaning="content of the host's own stands at the address")
        self.phase = m.scalar("phase", Phase, "INIT", "the guest's state")
        self.matches = m.scalar("digest_matches", initial=True, meaning="the digest is a beginning of the reference's")
        self.debug = m.scalar("policy_debug", meaning="the launch policy allows debugging")
        self.smt = m.scalar("policy_smt", meaning="the launch policy allows SMT")
        self.endorsed = m.scalar("id_block", meaning="firmware checked an ID block that the owner signed")
        self.accepted = m.scalar("accepted", meaning="the verifier released its secrets")
        self.debugged = m.scalar("debugged", meaning="a debug command worked on the guest after that")
        self.paired = m.scalar("sibling_runs", meaning="the guest runs beside a sibling thread of the host")
        self.other_kernel = m.scalar("other_kernel", meaning="firmware in the guest started a kernel of the host")
        self.digest = m.duty(
            "verify_digest",
            "the verifier compares the digest with the reference's",
            "ASPFW: sev_guest_measure; snp_mcmd_guest_request, report",
        )
        self.policy = m.duty(
            "verify_policy",
            "the verifier refuses a policy that it did not ask for",
            "ASPFW: sev_guest_measure binds the policy",
        )
        self.hashes: Term = m.policy(
            "KERNEL_HASHES",
            "the launch measures a page with hashes of kernel, initrd, command line",
            False,
            "EDK2: SevHashes",
        )
        self.linked: Term = m.duty(
            "blob_verifier_linked",
            "the firmware image has the verifier of these hashes linked",
            "EDK2: BlobVerifierLibSevHashes",
        )
        self.id_key: Term = FALSE
        if self.snp:
            self.agent = m.scalar("agent", Agent, "NONE", "GCTX.MA")
            self.may_migrate = m.scalar("policy_migrate_ma", meaning="the launch policy allows a migration agent")
            self.exported = m.scalar("exported", Agent, "NONE", "the agent that took the guest's keys")
            self.id_key = m.duty(
                "verify_id_key",
                "the verifier asks for an ID block that is signed with its key",
                "ASPFW: snp_mcmd_launch_finish, id_key_digest",
            )


def model(technology: str) -> Model:
    """The launch of `sev`, `sev-es` or `sev-snp`."""
    if technology not in TECHNOLOGIES:
        raise ModelError.at("amd_launch", f"no technology {technology}", expected=", ".join(TECHNOLOGIES))
    m = ModelBuilder(f"{technology}-launch", "firmware 1.55", f"Measured launch of a {technology} guest")
    x = _State(m, technology)
    _start(m, x)
    _update(m, x, technology)
    _finish(m, x)
    _verifier(m, x)
    _after(m, x)
    _claims(m, x)
    return m.build()


def _start(m: ModelBuilder, x: _State) -> None:
    source = "ASPFW: snp_mcmd_launch_start" if x.snp else "ASPFW: sev_mcmd_launch_start"
    with m.operation("LAUNCH_START", Caller.HOST, "Firmware makes keys; the host chooses the policy.", source) as op:
        debug, smt, sibling = op.parameter("debug", BOOL), op.parameter("smt", BOOL), op.parameter("sibling", BOOL)
        op.guard("START.state", x.phase == Phase.INIT, "INVALID_GUEST_STATE", source)
        op.set(x.phase, Phase.LAUNCH)
        op.set(x.debug, debug)
        op.set(x.smt, smt)
        op.set(x.paired, sibling)
        if x.snp:
            op.guard("START.smt", implies(sibling, smt), "POLICY_FAILURE", f"{source}, POLICY.SMT")
            ma, agent = op.parameter("migrate_ma", BOOL), op.parameter("agent", Agent)
            op.guard("START.agent", implies(agent != Agent.NONE, ma), "POLICY_FAILURE", f"{source}, POLICY.MIGRATE_MA")
            op.set(x.may_migrate, ma)
            op.set(x.agent, agent)


def _update(m: ModelBuilder, x: _State, technology: str) -> None:
    (c,) = Block.names("c")
    source = "ASPFW: snp_mcmd_launch_update, PAGE_INFO" if x.snp else "ASPFW: launch_update_common, sw_sha_ctx"
    sentence = "Firmware measures a page that the host hands in and encrypts it where the host says."
    with m.operation("LAUNCH_UPDATE", Caller.HOST, sentence, source) as op:
        b, g = op.parameter("b", Block), op.parameter("g", GuestPage)
        genuine, next_ = op.parameter("genuine", BOOL), op.parameter("in_order", BOOL)
        op.guard("UPDATE.state", x.phase == Phase.LAUNCH, "INVALID_GUEST_STATE", source)
        bound: list[Term] = [genuine, next_]
        if x.snp:
            type, full = op.parameter("type", PageType), op.parameter("permissions", BOOL)
            bound += [g == x.at[b], type != PageType.UNMEASURED, full]
        op.set(x.matches, all_of(x.matches, *bound))
        op.set(x.placed[c, g], False, each=[c])
        op.set(x.placed[b, g], genuine)
        op.set(x.foreign[g], ~genuine)


def _finish(m: ModelBuilder, x: _State) -> None:
    source = "ASPFW: snp_mcmd_launch_finish" if x.snp else "ASPFW: sev_mcmd_launch_measure"
    with m.operation("LAUNCH_FINISH", Caller.HOST, "Firmware closes the digest.", source) as op:
        op.guard(
            "FINISH.state",
            x.phase == Phase.LAUNCH,
            "INVALID_GUEST_STATE",
            source,
            redundant="nothing was placed before, and a closed digest stays",
        )
        op.set(x.phase, Phase.RUNNING)
        if x.snp:
            block = op.parameter("id_block", BOOL)
            op.guard(
                "FINISH.digest",
                implies(block, all_of(x.matches)),
                "BAD_MEASUREMENT",
                f"{source}, ID block LD",
                redundant=_TWICE,
            )
            fits = implies(block, ~any_of(x.debug, x.smt, x.may_migrate))
            op.guard("FINISH.policy", fits, "POLICY_FAILURE", f"{source}, ID block policy", redundant=_TWICE)
            op.set(x.endorsed, block)


def _verifier(m: ModelBuilder, x: _State) -> None:
    sentence = "The verifier looks at the evidence and releases the guest's secrets."
    with m.operation("accept", Caller.GUEST, sentence, "ASPFW: sev_guest_measure; attestation report") as op:
        op.guard(
            "accept.running",
            x.phase == Phase.RUNNING,
            source="evidence exists after the launch",
            redundant="an ID block is checked at the end only" if x.snp else "",
        )
        op.guard("accept.digest", implies(x.digest, all_of(x.matches)), "refused", "duty")
        wanted: list[Term] = [~x.debug]
        if x.snp:
            wanted += [~x.smt, ~x.may_migrate]
            op.guard("accept.id-key", implies(x.id_key, all_of(x.endorsed)), "refused", "duty")
        op.guard("accept.policy", implies(x.policy, all_of(*wanted)), "refused", "duty")
        op.set(x.accepted, True)


def _after(m: ModelBuilder, x: _State) -> None:
    source = "ASPFW: snp_mcmd_dbg_decrypt" if x.snp else "ASPFW: sev_mcmd_dbg_decrypt"
    never = "the verifier accepts no policy with debugging"
    with m.operation(
        "DBG_DECRYPT, DBG_ENCRYPT", Caller.HOST, "Firmware works on guest memory for the host.", source, never
    ) as op:
        op.guard("DBG.accepted", all_of(x.accepted), source="the guest holds secrets")
        op.guard("DBG.policy", all_of(x.debug), "POLICY_FAILURE", source)
        op.set(x.debugged, True)
    with m.operation(
        "start kernel",
        Caller.GUEST,
        "Firmware in the guest starts the kernel that the host hands in.",
        "EDK2: QemuKernelLoaderFs",
    ) as op:
        genuine = op.parameter("genuine", BOOL)
        op.guard(
            "kernel.running",
            x.phase == Phase.RUNNING,
            source="the guest runs",
            redundant="what runs is asked after acceptance",
        )
        op.guard("kernel.hashes", implies(all_of(x.hashes, x.linked), genuine), "ACCESS_DENIED", "EDK2: VerifyBlob")
        op.set(x.other_kernel, True, when=~genuine)
    if x.snp:
        sentence = "The bound agent asks firmware for the guest's context and sends it where it likes."
        with m.operation(
            "MSG_EXPORT_REQ",
            Caller.HOST,
            sentence,
            "ASPFW: snp_mcmd_guest_request, MSG_EXPORT_REQ",
            "the verifier accepts no policy with an agent",
        ) as op:
            op.guard("EXPORT.accepted", all_of(x.accepted), source="the guest holds secrets")
            op.guard(
                "EXPORT.agent",
                x.agent != Agent.NONE,
                "INVALID_GUEST",
                "ASPFW: MSG_EXPORT_REQ, GCTX.MA",
                redundant="NONE takes nothing",
            )
            op.set(x.exported, x.agent)


def _claims(m: ModelBuilder, x: _State) -> None:
    (b,), (g,) = Block.names("b"), GuestPage.names("g")
    m.assumption(
        "keys-are-secret",
        "Nobody but firmware has the keys that sign evidence.",
        ["insecure-until-proven-updated", "milanlaunchy", "one-glitch", "report-relay"],
    )
    m.assumption(
        "firmware-is-correct",
        "Firmware does what its commands say.",
        ["asp-review-2022", "asp-address-validation", "guest-context-use-after-free", "entrysign"],
    )
    m.assumption("digest-is-collision-free", "Two images do not have one digest.")
    rests = ("keys-are-secret", "firmware-is-correct", "digest-is-collision-free")
    wrong = any_of(exists([b, g], all_of(x.placed[b, g], g != x.at[b])), exists([g], x.foreign[g]))
    m.objective(
        "L1",
        all_of(x.accepted, wrong),
        "the image that was accepted stands where the reference has it",
        rests,
        ["launch-other-image"],
    )
    m.objective(
        "L1.content",
        all_of(x.accepted, exists([g], x.foreign[g])),
        "nothing but the reference was accepted",
        rests,
    )
    m.objective(
        "L1.kernel",
        all_of(x.accepted, x.other_kernel),
        "the accepted guest runs the kernel of the reference",
        rests,
    )
    m.objective("G1", all_of(x.debugged), "no debugging of a guest that was accepted", rests, ["debug-decrypt"])
    # Nothing refuses SMT to a SEV or SEV-ES guest: their policy has no such bit.
    m.objective(
        "G1.smt",
        all_of(x.accepted, x.paired),
        "no sibling thread runs beside an accepted guest",
        rests,
    )
    m.witness("the verifier accepts an image", all_of(x.accepted, exists([b, g], x.placed[b, g])))
    if x.snp:
        m.objective(
            "S1.agent",
            x.exported == Agent.ROGUE,
            "no agent of the host exports an accepted guest",
            rests,
            ["migrate-rogue"],
        )
    _invariants(m, x)
    if x.snp:
        _snp_invariants(m, x)


def _invariants(m: ModelBuilder, x: _State) -> None:
    (g,) = GuestPage.names("g")
    m.invariant(
        "matching digest", implies(all_of(x.matches), forall([g], ~x.foreign[g])), "content and order are in the digest"
    )
    m.invariant("accepted runs", implies(all_of(x.accepted), x.phase == Phase.RUNNING), "evidence is made at the end")
    m.invariant(
        "accepted matches", implies(all_of(x.accepted), all_of(x.matches)), "the verifier compared, or firmware did"
    )
    m.invariant("accepted forbids debugging", implies(all_of(x.accepted), ~x.debug), "the policy is in the evidence")
    m.invariant("not debugged", ~x.debugged, "the policy stands for ever")
    m.invariant("own kernel", ~x.other_kernel, "the hashes are in the digest and the verifier is linked")


def _snp_invariants(m: ModelBuilder, x: _State) -> None:
    (b,), (g,) = Block.names("b"), GuestPage.names("g")
    place = forall([b, g], implies(all_of(x.matches, x.placed[b, g]), g == x.at[b]))
    m.invariant("matching place", place, "addresses are in the digest")
    m.invariant("SMT by policy", implies(all_of(x.paired), all_of(x.smt)), "firmware refuses the launch otherwise")
    m.invariant("accepted forbids SMT", implies(all_of(x.accepted), ~x.smt), "the policy is in the evidence")
    m.invariant("agent by policy", implies(x.agent != Agent.NONE, all_of(x.may_migrate)), "firmware refuses otherwise")
    m.invariant("accepted forbids agents", implies(all_of(x.accepted), ~x.may_migrate), "the policy is in the evidence")
    m.invariant("not exported", x.exported == Agent.NONE, "no agent is bound")
    checked = all_of(x.matches, ~x.debug, ~x.smt, ~x.may_migrate, x.phase == Phase.RUNNING)
    m.invariant("endorsed is checked", implies(all_of(x.endorsed), checked), "firmware compares with the ID block")
