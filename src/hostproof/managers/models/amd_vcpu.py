"""AMD vCPUs: where registers are kept between #VMEXIT and VMRUN, whose translations a core holds, who may use an ASID.

One model text for three technologies. SEV keeps registers in the clear in the save area of the VMCB. SEV-ES encrypts
them (VMSA) and checks them at VMRUN against a value kept where the host cannot write. SEV-SNP keeps VMSAs in guest-owned
pages of the RMP. Any number of save areas; one core that runs one of them at a time.

Sources: APM (volume 2: 15.34 SEV, 15.35 SEV-ES, 15.36 SEV-SNP, as the knowledge of this project quotes it), ASPFW
(`amd/AMD-ASPFW` at 3ca6650dd35d: `sev_es.c`, the trusted memory region of the checksums), KVMSEV (Linux 7.3
`arch/x86/kvm/svm/sev.c`: pre_sev_run, sev_decrypt_vmsa), SVMH (Linux 7.3 `arch/x86/include/asm/svm.h`: tlb_id of the
VMSA), SEVCORE (Linux 7.3 `arch/x86/coco/sev/core.c`), TLBP (TLB poisoning, ACSAC 2021; CVE-2021-26340), CROSS (CrossLine).
"""

from __future__ import annotations

from hostproof.managers.engine import (
    BOOL,
    FALSE,
    TRUE,
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

__all__ = ["TECHNOLOGIES", "Registers", "SaveArea", "model"]

TECHNOLOGIES = ("sev", "sev-es", "sev-snp")
SaveArea = Sort("SaveArea", prefix="v")
"""The save area of a VMCB (SEV) or a VMSA (SEV-ES, SEV-SNP)."""
Registers = Sort("Registers", ("LATEST", "OLD", "HOST", "GARBAGE"))
"""What VMRUN would load: what the guest left there last, what it left earlier, what the host chose, noise."""


class _State:
    """Variables, duties and policies."""

    def __init__(self, m: ModelBuilder, technology: str) -> None:
        area = [SaveArea]
        self.es, self.snp = technology != "sev", technology == "sev-snp"
        self.registers = m.function("registers", area, Registers, "LATEST", "what VMRUN would load")
        self.kept = m.function("kept", area, Registers, "GARBAGE", "the copy of the save area that the host keeps")
        self.running = m.function("running", area, meaning="the core runs this vCPU")
        self.translations = m.function("translations", area, meaning="the core's TLB holds translations of this vCPU")
        self.asked = m.function("asked", area, meaning="the vCPU left with VMGEXIT and waits for an answer")
        self.read = m.scalar("read", meaning="the host read registers in the clear")
        self.exposed = m.scalar("exposed", meaning="the guest gave registers out that the exit does not need")
        self.took = m.scalar("took", meaning="the guest took registers from an answer that it did not ask for")
        self.crossed = m.scalar("crossed", meaning="the host's own vCPU walked pages under the guest's key")
        if self.snp:
            self.vmsa = m.function("vmsa", area, meaning="RMP: a VMSA page of the guest")
            self.old = m.function("superseded", area, meaning="the guest gave its vCPU a newer VMSA")
        m.alive(self.asked, SaveArea.names("p"), self.running[SaveArea.names("p")[0]])
        if self.es:
            self.nodbg = m.policy(
                "NODBG",
                "no debugging (SEV-ES policy bit 0; SEV-SNP: DEBUG is clear)",
                True,
                "ASPFW: sev_mcmd_dbg_decrypt, snp_mcmd_dbg_decrypt",
            )
            self.needed = m.duty(
                "expose_needed",
                "the guest hands out the registers that an exit needs and no others",
                "SEVCORE: vc_ghcb_invalidate",
            )
            self.taken = m.duty(
                "take_asked",
                "the guest takes the registers that it asked for and no others",
                "SEVCORE: vc_handle_cpuid, vc_handle_msr",
            )
        if self.snp:
            self.destroys = m.duty(
                "destroy_old_vmsa",
                "the guest takes the VMSA bit from the page that a new VMSA replaces",
                "SEVCORE: snp_cleanup_vmsa",
            )

    def usable(self, a: Term) -> Term:
        """VMRUN takes the save area as one of the guest's."""
        return self.vmsa[a] if self.snp else TRUE


def model(technology: str) -> Model:
    """The vCPUs of `sev`, `sev-es` or `sev-snp`."""
    if technology not in TECHNOLOGIES:
        raise ModelError.at("amd_vcpu", f"no technology {technology}", expected=", ".join(TECHNOLOGIES))
    m = ModelBuilder(f"{technology}-vcpu", "1", f"Registers and translations of {technology} vCPUs")
    x = _State(m, technology)
    _enter(m, x)
    _save_area(m, x, technology)
    if x.es:
        _debug(m, x)
        _exchange(m, x)
    if x.snp:
        _vmsa_pages(m, x)
    _cross(m, x)
    _claims(m, x)
    return m.build()


def _enter(m: ModelBuilder, x: _State) -> None:
    b, c = SaveArea.names("b", "c")
    sentence = "The host enters a vCPU and says whether the core forgets translations of the ASID."
    with m.operation("VMRUN", Caller.HOST, sentence, "APM: 15.5; KVMSEV: pre_sev_run, TLB_CONTROL_FLUSH_ASID") as op:
        a, flush = op.parameter("v", SaveArea), op.parameter("flush", BOOL)
        op.guard(
            "VMRUN.one",
            ~exists([b], x.running[b]),
            source="a core runs one",
            redundant="" if x.snp else "SEV mixes translations of vCPUs on one core anyway",
        )
        if x.snp:
            op.guard(
                "VMRUN.vmsa", x.vmsa[a], "#VMEXIT(NPF)", "APM: 15.36, RMP checks of VMRUN: VMSA bit, ASID, mutable"
            )
        elif x.es:
            op.guard(
                "VMRUN.checksum",
                x.registers[a] == Registers.LATEST,
                "VMEXIT_INVALID",
                "APM: 15.35, integrity check of the VMSA; ASPFW: sev_es.c, CRC region",
            )
        op.set(x.running[a], True)
        op.set(x.asked[a], False)
        op.set(x.translations[c], False, when=flush, each=[c])
        if x.snp:
            op.set(x.translations[c], False, when=c != a, each=[c])
        op.set(x.translations[a], True)
    sentence = "The vCPU leaves; its registers are saved."
    with m.operation("#VMEXIT", Caller.CPU, sentence, "APM: 15.6; 15.35 for SEV-ES") as op:
        a = op.parameter("v", SaveArea)
        op.guard(
            "#VMEXIT.running",
            x.running[a],
            source="it runs",
            redundant="registers that come from the core are the guest's",
        )
        op.set(x.running[a], False)
        op.set(x.registers[a], Registers.LATEST)
        op.set(x.kept[a], Registers.OLD, when=x.kept[a] == Registers.LATEST)


def _save_area(m: ModelBuilder, x: _State, technology: str) -> None:
    clause = "APM: 15.35, the VMSA is encrypted" if x.es else "APM: 15.34, the VMCB is not encrypted"
    with m.operation("read save area", Caller.HOST, "The host reads what #VMEXIT saved.", clause) as op:
        a = op.parameter("v", SaveArea)
        op.guard(
            "read.out", ~x.running[a], source="registers are in the core", redundant="it reads what was saved before"
        )
        op.set(x.kept[a], x.registers[a])
        if not x.es:
            op.set(x.read, True)
    written = Registers.GARBAGE if x.es else Registers.HOST
    for name, sentence in (
        ("write save area", "The host writes the save area; without the key it makes noise of a VMSA."),
        ("restore save area", "The host writes back what it kept of the save area."),
    ):
        with m.operation(name, Caller.HOST, sentence, clause) as op:
            a = op.parameter("v", SaveArea)
            op.guard(
                "write.out",
                ~x.running[a],
                source="registers are in the core",
                redundant="" if technology == "sev-es" else "the next #VMEXIT writes over it",
            )
            if x.snp:
                op.guard("write.hypervisor-owned", ~x.vmsa[a], "#PF(RMP)", "APM: 15.36.10, RMP checks of host writes")
            op.set(x.registers[a], written if name.startswith("write") else x.kept[a])


def _debug(m: ModelBuilder, x: _State) -> None:
    never, policy = "the policy forbids it by default", "POLICY_FAILURE"
    for name, sentence in (
        ("DBG_DECRYPT", "Firmware gives out the plaintext of a VMSA."),
        ("DBG_ENCRYPT", "Firmware encrypts the host's registers into a VMSA."),
    ):
        with m.operation(name, Caller.HOST, sentence, "KVMSEV: sev_decrypt_vmsa; ASPFW: dbg_decrypt", never) as op:
            a = op.parameter("v", SaveArea)
            why = "" if name == "DBG_DECRYPT" or x.snp else "the checksum at VMRUN fails"
            op.guard(f"{name}.policy", ~x.nodbg, policy, "ASPFW: sev_mcmd_dbg_decrypt, NODBG", redundant=why)
            op.guard(f"{name}.out", ~x.running[a], source="registers are in the core", redundant="nothing is lost")
            if name == "DBG_DECRYPT":
                op.set(x.read, True)
            else:
                op.set(x.registers[a], Registers.HOST)


def _exchange(m: ModelBuilder, x: _State) -> None:
    with m.operation(
        "VMGEXIT", Caller.GUEST, "The guest copies registers into the GHCB and leaves.", "APM: 15.35, VMGEXIT"
    ) as op:
        a = op.parameter("v", SaveArea)
        op.guard("VMGEXIT.running", x.running[a], "#UD", "APM: 15.35", redundant="only a running guest executes it")
        op.set(x.asked[a], True)
        op.set(x.exposed, True, when=~x.needed)
    sentence = "The guest copies the host's answer from the GHCB into registers."
    with m.operation("take answer", Caller.GUEST, sentence, "SEVCORE: vc_handle_cpuid, vc_handle_msr") as op:
        a, more = op.parameter("v", SaveArea), op.parameter("more", BOOL)
        op.guard(
            "answer.asked",
            all_of(x.running[a], x.asked[a]),
            source="it asked",
            redundant="an answer it did not ask for is not read",
        )
        op.guard("answer.wanted", implies(x.taken, ~more), "ignored", "duty")
        op.set(x.asked[a], False)
        op.set(x.took, True, when=more)


def _vmsa_pages(m: ModelBuilder, x: _State) -> None:
    with m.operation(
        "RMPUPDATE", Caller.HOST, "The host takes a VMSA page back; the VMSA bit is cleared.", "APM: 15.36.5, RMPUPDATE"
    ) as op:
        a = op.parameter("v", SaveArea)
        op.guard(
            "RMPUPDATE.in-use",
            ~x.running[a],
            "FAIL_INUSE",
            "APM: 15.36, a VMSA in use",
            redundant="the next VMRUN fails",
        )
        op.set(x.vmsa[a], False)
    sentence = "Firmware (LAUNCH_UPDATE) or the guest at VMPL0 (RMPADJUST) makes a page a VMSA."
    with m.operation(
        "new VMSA", Caller.GUEST, sentence, "ASPFW: snp_mcmd_launch_update, VMSA; SEVCORE: snp_set_vmsa"
    ) as op:
        a = op.parameter("v", SaveArea)
        op.guard(
            "VMSA.none",
            ~x.vmsa[a],
            "FAIL_INUSE",
            "APM: 15.36, RMPADJUST",
            redundant="it would be filled in again by the guest",
        )
        op.guard("VMSA.out", ~x.running[a], "FAIL_INUSE", "APM: 15.36, RMPADJUST", redundant="the guest fills it in")
        _filled(x, op.set, a)
    sentence = "The guest replaces the VMSA of a stopped vCPU by a new one (INIT, SIPI)."
    with m.operation("AP creation", Caller.GUEST, sentence, "SEVCORE: wakeup_cpu_via_vmgexit, snp_cleanup_vmsa") as op:
        a, b = op.parameter("v", SaveArea), op.parameter("old", SaveArea)
        op.guard("AP.other", a != b, source="a page of its own", redundant="the old one would be the new one")
        op.guard(
            "AP.stopped", all_of(~x.running[a], ~x.running[b]), "FAIL_INUSE", "APM: 15.36, RMPADJUST on a VMSA in use"
        )
        _filled(x, op.set, a)
        op.set(x.old[b], True)
        op.set(x.vmsa[b], False, when=x.destroys | False)


def _filled(x: _State, put: object, a: Term) -> None:
    assert callable(put)
    put(x.vmsa[a], True)
    put(x.old[a], False)
    put(x.registers[a], Registers.LATEST)


def _cross(m: ModelBuilder, x: _State) -> None:
    sentence = "The host enters a vCPU of its own under the guest's ASID; the page walk decrypts with the guest's key."
    never = "the walk is checked: that is what M1.crossline proves" if x.snp else ""
    with m.operation("VMRUN under the guest's ASID", Caller.HOST, sentence, "CROSS: variant 1", never) as op:
        if x.snp:
            op.guard(
                "cross.walk",
                FALSE,
                "#VMEXIT(NPF)",
                "APM: 15.36.10, a page walk of another guest needs hypervisor-owned pages",
            )
        op.set(x.crossed, True)


def _claims(m: ModelBuilder, x: _State) -> None:
    a, b = SaveArea.names("a", "b")
    m.assumption("keys-are-secret", "Nobody but firmware has the guest's key.", ["one-glitch", "sev-invalid-curve"])
    m.assumption("cpu-is-correct", "The processor does what its manual says.", ["stackwarp", "entrysign"])
    m.assumption("ciphertext-tells-nothing", "Ciphertext of a VMSA tells nothing of registers.", ["cipherleaks"])
    m.assumption("side-channels", "Only what an operation gives out is learnt.", ["severest"])
    rests: tuple[str, ...] = ("keys-are-secret", "cpu-is-correct")
    if x.snp:
        sentence = "The RMP is where firmware put it and stands before every path to memory."
        broken = ["rmpocalypse", "badram", "fabricked", "staleus", "nbio-lock-bits", "iommu-write-buffer"]
        m.assumption("rmp-in-force", sentence, broken)
        rests = (*rests, "rmp-in-force")
    quiet = (*rests, "ciphertext-tells-nothing", "side-channels")
    m.objective("R1", all_of(x.read), "the host never reads registers", quiet, ["read-registers"])
    wrong: Term = x.registers[a] != Registers.LATEST
    loaded = exists([a], all_of(x.running[a], any_of(wrong, x.old[a]) if x.snp else wrong))
    m.objective("R2", loaded, "a vCPU goes on with the registers it left with", rests, ["write-registers"])
    m.objective("M1.crossline", all_of(x.crossed), "nobody runs under the guest's ASID", rests, ["read-private-memory"])
    mixed = exists([a, b], all_of(x.running[a], x.translations[b], a != b))
    m.objective("M5.tlb", mixed, "a vCPU uses no translations of another", rests, ["remap-page"])
    m.witness("a vCPU runs", exists([a], x.running[a]))
    m.invariant("not read", ~x.read, "registers leave encrypted")
    m.invariant("not crossed", ~x.crossed, "the walk is checked")
    loads = implies(x.running[a], x.registers[a] == Registers.LATEST)
    if x.snp:
        kept = forall([a], implies(x.vmsa[a], x.registers[a] == Registers.LATEST))
        m.invariant("VMSA is the guest's", kept, "the host cannot write a page while it is a VMSA")
        m.invariant("running is a VMSA", forall([a], implies(x.running[a], x.vmsa[a])), "a VMSA in use is not taken")
        m.invariant("running is the newest", forall([a], implies(x.running[a], ~x.old[a])), "VMRUN asks for the bit")
        m.invariant("VMSA is the newest", forall([a], implies(x.vmsa[a], ~x.old[a])), "the guest destroys the old one")
        alone = forall([a, b], implies(all_of(x.running[a], x.translations[b]), a == b))
        m.invariant("own translations", alone, "tlb_id in the VMSA makes the core flush")
        m.invariant("one runs", forall([a, b], implies(all_of(x.running[a], x.running[b]), a == b)), "one core")
    m.invariant("running is latest", forall([a], loads), "VMRUN loads what #VMEXIT saved, or fails")
    if x.es:
        m.objective("R1.ghcb", all_of(x.exposed), "the guest gives out what an exit needs", rests, ["read-registers"])
        m.objective("R2.ghcb", all_of(x.took), "the guest takes what it asked for", rests, ["write-registers"])
        m.invariant("only what is needed", ~x.exposed, "the GHCB is cleared first")
        m.invariant("only what was asked", ~x.took, "a handler writes the registers of its instruction")
