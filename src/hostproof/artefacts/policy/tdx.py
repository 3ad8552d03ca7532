"""TDX ATTRIBUTES and XFAM: the 64-bit words of TD_PARAMS

The bits of ATTRIBUTES:

| bit | name | set means |
|---|---|---|
| 0 | DEBUG | the host may read and write the TD (group "TD under debug") |
| 4 | HGS_PLUS_PROF | profiling with HGS+ |
| 5 | PERF_PROF | profiling with performance counters |
| 6 | PMT_PROF | profiling with platform monitoring |
| 16 | ICSSD | infrastructure-controlled self-diagnostics |
| 27 | LASS | linear address space separation |
| 28 | SEPT_VE_DISABLE | access to a pending page exits to the host instead of raising #VE |
| 29 | MIGRATABLE | the TD may be migrated |
| 30 | PKS | supervisor protection keys |
| 31 | KL | key locker |
| 62 | TPA | the TD is a TDX Connect provisioning agent |
| 63 | PERFMON | the TD uses performance counters |

Sources: Linux `arch/x86/include/asm/shared/tdx.h` `TDX_ATTR_*_BIT` and `arch/x86/coco/tdx/debug.c` (commit
1260ed777985); Intel 348551 "TDX Module ABI", ATTRIBUTES. XFAM has the layout of XCR0 and IA32_XSS (Intel SDM volume 1,
chapter 13; Linux `arch/x86/include/asm/fpu/types.h` `enum xfeature`); x87 and SSE must be set.
"""

from __future__ import annotations

from hostproof.artefacts.policy.bits import TDX_DEBUG
from hostproof.artefacts.policy.model import BitDefinition, Policy, read_bits

__all__ = ["ATTRIBUTES", "XFAM", "decode_tdx", "decode_xfam"]

SOURCE = "Intel 348551, ATTRIBUTES; Linux arch/x86/include/asm/shared/tdx.h TDX_ATTR_{}_BIT"
XFAM_SOURCE = "Intel SDM volume 1, 13.1; Linux arch/x86/include/asm/fpu/types.h XFEATURE_{}"
PROFILING = 0b111 << 4
X87_AND_SSE = 0b11


def _bit(
    bit: int,
    name: str,
    when_set: str,
    when_clear: str,
    *,
    set_phrase: str = "",
    clear_phrase: str = "",
    feature: str = "",
) -> BitDefinition:
    return BitDefinition(
        name,
        bit,
        when_set,
        when_clear,
        SOURCE.format(name),
        set_phrase=set_phrase,
        clear_phrase=clear_phrase,
        feature=feature,
    )


ATTRIBUTES = (
    _bit(
        0,
        "DEBUG",
        "The host may read and write the TD's memory and registers in plaintext.",
        "The TDX module refuses the host access to the TD's memory and registers.",
        set_phrase="debug ALLOWED (bit 0)",
        clear_phrase="debug not allowed",
        feature="debug_allowed",
    ),
    _bit(
        4,
        "HGS_PLUS_PROF",
        "The host may profile the TD with HGS+.",
        "The host cannot profile the TD with HGS+.",
        set_phrase="HGS+ profiling allowed (bit 4)",
    ),
    _bit(
        5,
        "PERF_PROF",
        "The host may profile the TD with core performance counters.",
        "The host cannot profile the TD with core performance counters.",
        set_phrase="counter profiling allowed (bit 5)",
    ),
    _bit(
        6,
        "PMT_PROF",
        "The host may profile the TD with platform monitoring out of band.",
        "The host cannot profile the TD with platform monitoring out of band.",
        set_phrase="out-of-band profiling allowed (bit 6)",
    ),
    _bit(
        16,
        "ICSSD",
        "Self-diagnostics that the infrastructure controls are allowed.",
        "Self-diagnostics that the infrastructure controls are not allowed.",
        set_phrase="ICSSD (bit 16)",
    ),
    _bit(27, "LASS", "The TD may use linear address space separation.", "The TD cannot use LASS."),
    _bit(
        28,
        "SEPT_VE_DISABLE",
        "Access to a page that is not accepted exits to the host; no #VE is raised for it in the TD. Where the TD may "
        "choose (CONFIG_FLAGS.FLEXIBLE_PENDING_VE) this is only the first value.",
        "The host can raise #VE in the TD at any memory access by taking the page away.",
        set_phrase="#VE on pending pages off (bit 28)",
        clear_phrase="#VE on pending pages ON (bit 28 clear)",
        feature="sept_ve_disable",
    ),
    _bit(
        29,
        "MIGRATABLE",
        "The TD may be migrated by a migration TD that is bound to it.",
        "The TD cannot be migrated.",
        set_phrase="migration allowed (bit 29)",
        feature="migration_allowed",
    ),
    _bit(30, "PKS", "The TD may use supervisor protection keys.", "The TD cannot use supervisor protection keys."),
    _bit(31, "KL", "The TD may use key locker.", "The TD cannot use key locker."),
    _bit(
        62,
        "TPA",
        "The TD is a TDX Connect provisioning agent.",
        "The TD is no TDX Connect provisioning agent.",
        set_phrase="TDX Connect provisioning agent (bit 62)",
    ),
    _bit(
        63,
        "PERFMON",
        "The TD uses performance counters, which the TDX module saves and restores for it.",
        "The TD has no performance counters.",
        set_phrase="PERFMON (bit 63)",
    ),
)


def decode_tdx(attributes: int) -> Policy:
    """TD ATTRIBUTES. Profiling bits are a problem of their own: they make the TD observable without debug."""
    problems = []
    if attributes & PROFILING:
        problems.append("a profiling bit (4 to 6) is set: the TD is not meant for production")
    return read_bits(
        "tdx", "TD attributes", attributes, ATTRIBUTES, word=64, debug=bool(attributes & TDX_DEBUG), problems=problems
    )


def _state(bit: int, name: str, what: str) -> BitDefinition:
    return BitDefinition(
        name,
        bit,
        f"The TD may use {what}.",
        f"The TD cannot use {what}.",
        XFAM_SOURCE.format(name),
        set_phrase=name,
    )


XFAM = (
    _state(0, "FP", "x87"),
    _state(1, "SSE", "SSE"),
    _state(2, "YMM", "AVX"),
    _state(5, "OPMASK", "AVX-512 mask registers"),
    _state(6, "ZMM_Hi256", "the upper halves of ZMM0 to ZMM15"),
    _state(7, "Hi16_ZMM", "ZMM16 to ZMM31"),
    _state(8, "PT", "processor trace"),
    _state(9, "PKRU", "user protection keys"),
    _state(11, "CET_USER", "shadow stacks and branch tracking in user mode"),
    _state(12, "CET_KERNEL", "shadow stacks and branch tracking in supervisor mode"),
    _state(14, "UINTR", "user interrupts"),
    _state(15, "LBR", "last branch records"),
    _state(17, "XTILE_CFG", "AMX tile configuration"),
    _state(18, "XTILE_DATA", "AMX tile data"),
)


def decode_xfam(value: int) -> Policy:
    """XFAM: which extended features the TD may use. x87 and SSE missing is a problem: the TDX module refuses that."""
    problems = []
    if value & X87_AND_SSE != X87_AND_SSE:
        problems.append("bits 0 and 1 (x87, SSE) must be set")
    return read_bits("tdx", "XFAM", value, XFAM, word=64, debug=None, problems=problems)
