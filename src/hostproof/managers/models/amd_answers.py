"""What an AMD guest believes of CPUID and of time. SEV, SEV-ES and SEV-SNP.

Before SEV-SNP every leaf is the host's. With SEV-SNP the host hands in a page of leaves at launch, firmware refuses leaves that
promise more than the processor has, and the guest may read that page instead of asking. Two sorts of leaf stay with the host
even so: topology and the hypervisor's own leaves, which Linux asks for. The counter is the host's unless Secure TSC takes
offset and scale from it.

Sources: ASPFW (`amd/AMD-ASPFW` at 3ca6650dd35d: snp_mcmd_launch_update, `cpuid_lookup.c`; MSG_TSC_INFO_REQ), VC
(Linux 7.3 `arch/x86/coco/sev/vc-shared.c`: snp_cpuid, snp_cpuid_postprocess, vc_handle_rdtsc), SEVCORE (Linux 7.3
`arch/x86/coco/sev/core.c`: securetsc), PROT.
"""

from __future__ import annotations

from hostproof.managers.engine import (
    BOOL,
    Caller,
    Model,
    ModelBuilder,
    ModelError,
    Sort,
    all_of,
    exists,
    forall,
    implies,
)

__all__ = ["TECHNOLOGIES", "Leaf", "LeafSource", "model"]

TECHNOLOGIES = ("sev", "sev-es", "sev-snp")
Leaf = Sort("Leaf", prefix="f")
"""A leaf and subleaf of CPUID."""
LeafSource = Sort("LeafSource", ("PROCESSOR", "HOST"))
"""Features are the processor's; topology and leaves of the hypervisor only the host can know."""


def model(technology: str) -> Model:
    """CPUID and time of `sev`, `sev-es` or `sev-snp`."""
    if technology not in TECHNOLOGIES:
        raise ModelError.at("amd_answers", f"no technology {technology}", expected=", ".join(TECHNOLOGIES))
    m = ModelBuilder(f"{technology}-answers", "firmware 1.55", f"CPUID and time of a {technology} guest")
    snp = technology == "sev-snp"
    _cpuid(m, snp)
    _tsc(m, snp)
    m.assumption("firmware-is-correct", "Firmware knows what the processor has.", ["cpuid-response-leak"])
    return m.build()


def _cpuid(m: ModelBuilder, snp: bool) -> None:
    lies = m.function("page_lies", [Leaf], meaning="the CPUID page promises more than the processor has")
    listed = m.function("listed", [Leaf], meaning="the CPUID page has the leaf")
    origin = m.function("source", [Leaf], LeafSource, None, "who can know the leaf, for ever")
    features = m.scalar("misled", meaning="the guest believes in a feature that the processor does not have")
    identity = m.scalar("misled_identity", meaning="the guest believes the host's topology or hypervisor leaf")
    f, g = Leaf.names("f", "g")
    source = "ASPFW: snp_mcmd_launch_update, PAGE_TYPE_CPUID"
    if snp:
        duty = m.duty("use_cpuid_page", "the guest takes leaves from the page that firmware checked", "VC: snp_cpuid")
        with m.operation(
            "LAUNCH_UPDATE CPUID", Caller.HOST, "Firmware checks a leaf of the page against the processor.", source
        ) as op:
            a, false = op.parameter("f", Leaf), op.parameter("false", BOOL)
            op.guard("CPUID.checked", ~false, "INVALID_PARAM", f"{source}, cpuid_lookup.c")
            op.set(listed[a], True)
            op.set(lies[a], false)
        with m.operation(
            "CPUID from page", Caller.GUEST, "The guest reads a leaf from the page.", "VC: snp_cpuid_get_validated_func"
        ) as op:
            a = op.parameter("f", Leaf)
            op.guard(
                "page.listed",
                listed[a],
                "zeroes",
                "VC: snp_cpuid, a leaf in range that is not listed is zero",
                redundant="zero promises nothing",
            )
            op.set(features, True, when=lies[a])
    with m.operation(
        "CPUID from host", Caller.GUEST, "The guest asks the host for a leaf.", "VC: snp_cpuid_hv_ghcb, vc_handle_cpuid"
    ) as op:
        a, honest = op.parameter("f", Leaf), op.parameter("honest", BOOL)
        if snp:
            op.guard("host.page", implies(duty, origin[a] == LeafSource.HOST), source="duty")
        op.set(features, True, when=all_of(~honest, origin[a] == LeafSource.PROCESSOR))
        op.set(identity, True, when=all_of(~honest, origin[a] == LeafSource.HOST))
    rests = ("firmware-is-correct",)
    m.objective(
        "X2",
        all_of(features),
        "the guest believes in no feature that the processor does not have",
        rests,
        ["lie-cpuid"],
    )
    m.objective(
        "X2.identity", all_of(identity), "topology and hypervisor leaves are not the host's", (), ["lie-cpuid-identity"]
    )
    m.invariant("not misled", ~features, "feature leaves come from the page")
    m.invariant("page is true", forall([f], ~lies[f]), "firmware checks each leaf")
    if snp:
        m.witness("a leaf is listed", exists([g], listed[g]))


def _tsc(m: ModelBuilder, snp: bool) -> None:
    back = m.scalar("tsc_lied", meaning="the guest read a counter that the host shifted or scaled")
    clock = m.scalar("clock_lied", meaning="the guest took the time from a clock of the host")
    with m.operation(
        "RDTSC", Caller.GUEST, "The guest reads the counter.", "VC: vc_handle_rdtsc; APM: TSC_OFFSET, TSC_RATIO"
    ) as op:
        honest = op.parameter("honest", BOOL)
        if snp:
            secure = m.policy(
                "SECURE_TSC", "SEV_FEATURES bit 9: offset and scale are in the VMSA", False, "ASPFW: MSG_TSC_INFO_REQ"
            )
            op.guard(
                "RDTSC.secure",
                implies(secure, honest),
                "no intercept",
                "SEVCORE: securetsc_init; VC: vc_handle_rdtsc",
                redundant="X2.tsc is lost without the policy; with it, this guard keeps it",
            )
        op.set(back, True, when=~honest)
    with m.operation(
        "read clock", Caller.GUEST, "The guest takes wall-clock time from the host.", "SPEC: TSC and other timers"
    ) as op:
        op.set(clock, True)
    m.objective("X2.tsc", all_of(back), "the counter is the processor's", (), ["lie-counter"])
    m.objective("X2.clock", all_of(clock), "wall-clock time is not the host's", (), ["lie-time"])
    m.invariant("true counter", ~back, "the host cannot reach offset and scale")
