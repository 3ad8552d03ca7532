"""SEV-SNP guest policy and SEV_FEATURES: the 64-bit words of SNP_LAUNCH_START and of the VMSA

Guest policy:

| bits | name | set means |
|---|---|---|
| 7:0 | ABI_MINOR | least firmware ABI, minor number |
| 15:8 | ABI_MAJOR | least firmware ABI, major number |
| 16 | SMT | the host may run with SMT |
| 17 | reserved | must be one |
| 18 | MIGRATE_MA | a migration agent may be bound |
| 19 | DEBUG | debugging is allowed |
| 20 | SINGLE_SOCKET | one socket only |
| 21 | CXL_ALLOW | CXL devices and memory may be present |
| 22 | MEM_AES_256_XTS | AES-256-XTS is required |
| 23 | RAPL_DIS | running average power limit must be off |
| 24 | CIPHERTEXT_HIDING_DRAM | ciphertext hiding must be on |
| 25 | PAGE_SWAP_DISABLE | the page swap and move commands are refused |
| 63:26 | reserved, zero | |

Sources: AMD 56860 "SEV Secure Nested Paging Firmware ABI", table "Guest Policy"; the same masks in Linux
`include/linux/psp-sev.h` (commit 0eaed89c18ae), `SNP_POLICY_MASK_*`.

SEV_FEATURES (VMSA offset 0x3B0): AMD 24593, appendix B, table of the VMSA; Linux shows the same bits to the guest in
MSR SEV_STATUS, two places higher (`arch/x86/include/asm/msr-index.h`, `MSR_AMD64_SNP_*_BIT`: SNP 2, vTOM 3, ...
Secure AVIC 18, IBPB on entry 23), and KVM as `SVM_SEV_FEAT_*` in `arch/x86/include/asm/svm.h` (0, 3, 4, 5, 9).
"""

from __future__ import annotations

from hostproof.artefacts.policy.bits import SNP_DEBUG, SNP_MANDATORY
from hostproof.artefacts.policy.model import BitDefinition, Policy, read_bits

__all__ = ["POLICY", "SEV_FEATURES", "decode_sev_features", "decode_snp"]

SOURCE = "AMD 56860, Guest Policy; Linux include/linux/psp-sev.h SNP_POLICY_MASK_{}"


def _bit(
    name: str,
    bit: int,
    when_set: str,
    when_clear: str,
    *,
    width: int = 1,
    set_phrase: str = "",
    clear_phrase: str = "",
    feature: str = "",
) -> BitDefinition:
    return BitDefinition(name, bit, when_set, when_clear, SOURCE.format(name), width, set_phrase, clear_phrase, feature)


POLICY = (
    _bit(
        "ABI_MINOR",
        0,
        "The firmware's ABI must have a minor version of at least {value}.",
        "Any minor ABI version of the firmware is accepted.",
        width=8,
        set_phrase="firmware ABI minor ≥ {value}",
    ),
    _bit(
        "ABI_MAJOR",
        8,
        "The firmware's ABI must have a major version of at least {value}.",
        "Any major ABI version of the firmware is accepted.",
        width=8,
        set_phrase="firmware ABI major ≥ {value}",
    ),
    _bit(
        "SMT",
        16,
        "The guest may run on a host with SMT: a sibling thread shares caches and predictors with it.",
        "The guest starts only on a host without SMT.",
        set_phrase="SMT allowed (bit 16)",
        clear_phrase="SMT refused",
        feature="smt_allowed",
    ),
    _bit("RSVD_MBO", 17, "The reserved bit that must be one is one.", "The reserved bit that must be one is zero."),
    _bit(
        "MIGRATE_MA",
        18,
        "The host may bind a migration agent, which can export the guest's pages.",
        "No migration agent can be bound.",
        set_phrase="migration agent allowed (bit 18)",
        feature="migration_allowed",
    ),
    _bit(
        "DEBUG",
        19,
        "The host may read guest memory and registers in plaintext with SNP_DBG_DECRYPT, and write with SNP_DBG_ENCRYPT.",
        "The firmware refuses the debug commands for this guest.",
        set_phrase="debug ALLOWED (bit 19)",
        clear_phrase="debug not allowed",
        feature="debug_allowed",
    ),
    _bit(
        "SINGLE_SOCKET",
        20,
        "The guest can only be activated on one socket.",
        "The guest may be activated on several sockets.",
        set_phrase="single socket (bit 20)",
        feature="single_socket",
    ),
    _bit(
        "CXL_ALLOW",
        21,
        "CXL may be populated with devices or memory.",
        "The guest starts only where no CXL device or memory is present.",
        set_phrase="CXL allowed (bit 21)",
    ),
    _bit(
        "MEM_AES_256_XTS",
        22,
        "Memory must be encrypted with AES-256-XTS.",
        "Memory may be encrypted with AES-128-XEX or AES-256-XTS.",
        set_phrase="AES-256-XTS required (bit 22)",
    ),
    _bit(
        "RAPL_DIS",
        23,
        "The guest starts only where running average power limit is off, so the host cannot read energy counters.",
        "The host may read energy counters (RAPL) while the guest runs.",
        set_phrase="RAPL off (bit 23)",
        feature="rapl_disable",
    ),
    _bit(
        "CIPHERTEXT_HIDING_DRAM",
        24,
        "The guest starts only where the host reads no ciphertext of private DRAM pages.",
        "The host may read the ciphertext of private pages.",
        set_phrase="ciphertext hiding (bit 24)",
        feature="ciphertext_hiding",
    ),
    _bit(
        "PAGE_SWAP_DISABLE",
        25,
        "The firmware refuses to swap out, swap in or move this guest's pages.",
        "The host may have pages of the guest moved or swapped.",
        set_phrase="page swap off (bit 25)",
        feature="page_swap_disable",
    ),
)


def decode_snp(policy: int) -> Policy:
    """The SNP guest policy. A clear bit 17 is a problem: the firmware refuses such a launch."""
    problems = []
    if not policy & SNP_MANDATORY:
        problems.append("bit 17 must be one and is zero: the firmware refuses this policy")
    return read_bits(
        "sev-snp", "SNP policy", policy, POLICY, word=64, debug=bool(policy & SNP_DEBUG), problems=problems
    )


FEATURES_SOURCE = "AMD 24593, appendix B, VMSA offset 0x3B0; Linux arch/x86/include/asm/{}"


def _feature(bit: int, name: str, when_set: str, when_clear: str, symbol: str, *, feature: str = "") -> BitDefinition:
    phrase = f"{name} (bit {bit})"
    return BitDefinition(
        name, bit, when_set, when_clear, FEATURES_SOURCE.format(symbol), set_phrase=phrase, feature=feature
    )


MSR = "msr-index.h MSR_AMD64_SNP_"
MSR_ONLY_AMD = "msr-index.h, where bit {} of SEV_STATUS is only called reserved"
SEV_FEATURES = (
    _feature(0, "SNPActive", "SNP is on for this virtual CPU.", "This is an SEV-ES virtual CPU.", MSR + "ENABLED_BIT"),
    _feature(
        1,
        "vTOM",
        "Addresses below the virtual top of memory are private without a page-table bit.",
        "The C-bit of the page tables says what is private.",
        MSR + "VTOM_BIT",
    ),
    _feature(
        2,
        "ReflectVC",
        "Events that would raise #VC exit to a higher privilege level of the guest instead.",
        "#VC is raised in the guest itself.",
        MSR + "REFLECT_VC_BIT",
    ),
    _feature(
        3,
        "RestrictedInjection",
        "The host can inject nothing but #HV.",
        "The host can inject interrupts and exceptions.",
        MSR + "RESTRICTED_INJ_BIT",
        feature="restricted_injection",
    ),
    _feature(
        4,
        "AlternateInjection",
        "Events are injected through fields of the encrypted VMSA, which the host cannot write.",
        "Events are injected through fields of the VMCB, which the host writes.",
        MSR + "ALT_INJ_BIT",
        feature="alternate_injection",
    ),
    _feature(
        5,
        "DebugVirtualization",
        "Debug registers are swapped by hardware, so the host neither reads nor sets the guest's.",
        "DR0 to DR3 and their masks of the guest are not swapped by hardware.",
        MSR + "DEBUG_SWAP_BIT",
        feature="debug_registers_protected",
    ),
    _feature(
        6,
        "PreventHostIBS",
        "Instruction-based sampling by the host stops while the guest runs.",
        "The host may sample the guest's instructions.",
        MSR + "PREVENT_HOST_IBS_BIT",
    ),
    _feature(
        7,
        "BTBIsolation",
        "Branch target buffer entries of others are not used while the guest runs.",
        "Branch target buffer entries of others may steer the guest's speculation.",
        MSR + "BTB_ISOLATION_BIT",
        feature="btb_isolation",
    ),
    _feature(
        8,
        "VmplSSS",
        "Supervisor shadow stack permission is checked for each privilege level.",
        "Supervisor shadow stack permission is not checked for each privilege level.",
        MSR + "VMPL_SSS_BIT",
    ),
    _feature(
        9,
        "SecureTSC",
        "Offset and scale of the TSC come from the security processor.",
        "The host sets offset and scale of the TSC.",
        MSR + "SECURE_TSC_BIT",
        feature="secure_tsc",
    ),
    _feature(
        10,
        "VmgexitParameter",
        "The guest may pass a parameter with VMGEXIT.",
        "VMGEXIT carries no parameter.",
        MSR + "VMGEXIT_PARAM_BIT",
    ),
    _feature(
        11,
        "PmcVirtualization",
        "Performance counters of the guest are swapped by hardware.",
        "Performance counters are not swapped by hardware.",
        MSR_ONLY_AMD.format(13),
    ),
    _feature(
        12,
        "IbsVirtualization",
        "The guest has instruction-based sampling of its own.",
        "The guest has no instruction-based sampling of its own.",
        MSR + "IBS_VIRT_BIT",
    ),
    _feature(
        13,
        "GuestInterceptCtl",
        "The guest decides over some intercepts.",
        "The host decides over all intercepts.",
        MSR_ONLY_AMD.format(15),
    ),
    _feature(
        14,
        "VmsaRegProt",
        "Registers in the VMSA are masked with a nonce, so equal values give different ciphertext.",
        "Registers in the VMSA keep their ciphertext when they keep their value.",
        MSR + "VMSA_REG_PROT_BIT",
        feature="vmsa_register_protection",
    ),
    _feature(
        15,
        "SmtProtection",
        "The guest runs only while the sibling thread is idle.",
        "A sibling thread may run while the guest does.",
        MSR + "SMT_PROT_BIT",
    ),
    _feature(
        16,
        "SecureAVIC",
        "Interrupts go through a backing page in the guest's memory, with vectors that the guest allows.",
        "The interrupt controller is the host's.",
        MSR + "SECURE_AVIC_BIT",
        feature="secure_avic",
    ),
    _feature(
        21,
        "IBPBOnEntry",
        "Branch predictors are flushed at every entry into the guest.",
        "Branch predictors are not flushed at entry into the guest.",
        MSR + "IBPB_ON_ENTRY_BIT",
    ),
)


def decode_sev_features(value: int) -> Policy:
    """SEV_FEATURES of a VMSA. It decides nothing about debugging; the launch digest covers the VMSA and with it this word."""
    return read_bits("sev-snp", "SEV_FEATURES", value, SEV_FEATURES, word=64, debug=None)
