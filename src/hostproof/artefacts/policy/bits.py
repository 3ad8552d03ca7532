"""Bits of launch policies that readers of definitions set and test, and the words that QEMU starts with

Their meaning stands where the whole word is decoded: `sev`, `snp`, `tdx` of this package, with the same names.

SOURCE: AMD 55766 and 56860, "Guest Policy"; Intel 348551, ATTRIBUTES. QEMU's defaults: target/i386/sev.c
(DEFAULT_GUEST_POLICY, DEFAULT_SEV_SNP_POLICY), target/i386/kvm/tdx.c at 05caf2690e5a (tdx_guest_init).
"""

from __future__ import annotations

__all__ = [
    "QEMU_SEV_POLICY",
    "QEMU_SNP_POLICY",
    "QEMU_TDX_ATTRIBUTES",
    "SEV_ES",
    "SEV_NODBG",
    "SEV_NOKS",
    "SEV_NOSEND",
    "SNP_DEBUG",
    "SNP_MANDATORY",
    "SNP_SMT",
    "TDX_DEBUG",
    "TDX_MIGRATABLE",
    "TDX_SEPT_VE_DISABLE",
]

SEV_NODBG = 1 << 0
SEV_NOKS = 1 << 1
SEV_ES = 1 << 2
SEV_NOSEND = 1 << 3

SNP_SMT = 1 << 16
SNP_MANDATORY = 1 << 17
"""Reserved, and must be one."""
SNP_DEBUG = 1 << 19

TDX_DEBUG = 1 << 0
TDX_SEPT_VE_DISABLE = 1 << 28
TDX_MIGRATABLE = 1 << 29

QEMU_SEV_POLICY = SEV_NODBG
"""What an object `sev-guest` starts with."""
QEMU_SNP_POLICY = SNP_MANDATORY | SNP_SMT
"""What an object `sev-snp-guest` starts with."""
QEMU_TDX_ATTRIBUTES = TDX_SEPT_VE_DISABLE
"""What an object `tdx-guest` starts with."""
