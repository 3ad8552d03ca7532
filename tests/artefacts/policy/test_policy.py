"""Launch policies, bit by bit. Words marked as real were found in definitions of tools and clouds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.policy import decode, decode_sev_features, decode_xfam, format_line
from hostproof.artefacts.policy.pkvm import DEFINITIONS as PKVM
from hostproof.artefacts.policy.s390 import PLAINTEXT_FLAGS, SECRET_FLAGS, decode_s390_secret
from hostproof.artefacts.policy.sev import DEFINITIONS as SEV
from hostproof.artefacts.policy.snp import POLICY as SNP
from hostproof.artefacts.policy.snp import SEV_FEATURES
from hostproof.artefacts.policy.tdx import ATTRIBUTES, XFAM

TECHNOLOGIES = ["sev", "sev-es", "sev-snp", "tdx", "s390-pv", "pkvm-arm64", "pkvm-x86"]
FEATURE_IDS = {
    "alternate_injection",
    "btb_isolation",
    "ciphertext_hiding",
    "debug_allowed",
    "debug_registers_protected",
    "migration_allowed",
    "page_swap_disable",
    "rapl_disable",
    "restricted_injection",
    "secure_avic",
    "secure_tsc",
    "sept_ve_disable",
    "single_socket",
    "smt_allowed",
    "vmsa_register_protection",
}


@pytest.mark.parametrize(
    ("technology", "policy", "debug", "line"),
    [
        # Proxmox `amd-sev: type=snp`
        ("sev-snp", 0xB0000, True, "SNP policy 0xb0000: debug ALLOWED (bit 19), SMT allowed (bit 16)"),
        # Kata, QEMU's default
        ("sev-snp", 0x30000, False, "SNP policy 0x30000: debug not allowed, SMT allowed (bit 16)"),
        # Azure, OpenHCL
        (
            "sev-snp",
            0x3001F,
            False,
            "SNP policy 0x3001f: debug not allowed, firmware ABI minor ≥ 31, SMT allowed (bit 16)",
        ),
        # a test value of virt-install
        (
            "sev-snp",
            0x24,
            False,
            "SNP policy 0x24: debug not allowed, firmware ABI minor ≥ 36, SMT refused; "
            "PROBLEM: bit 17 must be one and is zero: the firmware refuses this policy",
        ),
        # Proxmox `amd-sev: type=std`
        (
            "sev",
            0x8,
            True,
            "SEV policy 0x8: debug ALLOWED (bit 0 NODBG clear), key sharing allowed (bit 1 NOKS clear), "
            "SEV-ES not required (bit 2 clear)",
        ),
        # intel/tdx-tools, direct boot
        ("tdx", 0x10000001, True, "TD attributes 0x10000001: debug ALLOWED (bit 0), #VE on pending pages off (bit 28)"),
        # canonical/tdx
        ("tdx", 0x10000000, False, "TD attributes 0x10000000: debug not allowed, #VE on pending pages off (bit 28)"),
        ("pkvm-arm64", 1, None, "pKVM flags 0x1: protected"),
        ("s390-pv", 0xE0, False, "SE plaintext control flags 0xe0: nothing allowed or demanded"),
    ],
)
def test_a_real_policy_reads_as_one_line(technology: str, policy: int, debug: bool | None, line: str) -> None:
    decoded = decode(technology, policy)

    assert (debug, line) == (decoded.debug_allowed, format_line(decoded))


def test_snp_policy_decides_its_features() -> None:
    expected = {
        "ciphertext_hiding": True,
        "debug_allowed": False,
        "migration_allowed": False,
        "page_swap_disable": True,
        "rapl_disable": True,
        "single_socket": False,
        "smt_allowed": False,
    }

    assert expected == decode("sev-snp", 1 << 17 | 1 << 23 | 1 << 24 | 1 << 25).features()


def test_sev_prohibitions_are_turned_round() -> None:
    open_to_all = {"debug_allowed": True, "migration_allowed": True}
    closed = {"debug_allowed": False, "migration_allowed": False}

    assert open_to_all == decode("sev", 0).features()
    assert closed == decode("sev", 0b1001).features()


def test_tdx_attributes_decide_their_features() -> None:
    expected = {"debug_allowed": False, "migration_allowed": True, "sept_ve_disable": False}

    assert expected == decode("tdx", 1 << 29).features()


@pytest.mark.parametrize(
    ("value", "feature"),
    [
        (1 << 3, "restricted_injection"),
        (1 << 4, "alternate_injection"),
        (1 << 5, "debug_registers_protected"),
        (1 << 7, "btb_isolation"),
        (1 << 9, "secure_tsc"),
        (1 << 14, "vmsa_register_protection"),
        (1 << 16, "secure_avic"),
    ],
)
def test_each_bit_of_sev_features_decides_one_feature(value: int, feature: str) -> None:
    switched_on = [name for name, on in decode_sev_features(value).features().items() if on]

    assert [feature] == switched_on


def test_sev_features_of_old_kernels_swap_debug_registers() -> None:
    line = "SEV_FEATURES 0x21: SNPActive (bit 0), DebugVirtualization (bit 5)"

    assert line == format_line(decode_sev_features(0x21))
    assert decode_sev_features(0x21).debug_allowed is None


def test_linux_shows_the_same_bits_two_places_higher_in_sev_status() -> None:
    """MSR_AMD64_SNP_*_BIT of arch/x86/include/asm/msr-index.h."""
    sev_status = {
        "vTOM": 3,
        "ReflectVC": 4,
        "RestrictedInjection": 5,
        "AlternateInjection": 6,
        "DebugVirtualization": 7,
        "PreventHostIBS": 8,
        "BTBIsolation": 9,
        "VmplSSS": 10,
        "SecureTSC": 11,
        "VmgexitParameter": 12,
        "IbsVirtualization": 14,
        "VmsaRegProt": 16,
        "SmtProtection": 17,
        "SecureAVIC": 18,
        "IBPBOnEntry": 23,
    }
    ours = {definition.name: definition.bit + 2 for definition in SEV_FEATURES if definition.name in sev_status}

    assert sev_status == ours


@pytest.mark.parametrize(
    ("technology", "policy", "problem"),
    [
        ("sev-snp", 0x10000, "bit 17 must be one"),
        ("sev-snp", 1 << 17 | 1 << 26, "reserved bit 26 set"),
        ("sev-snp", 1 << 17 | 1 << 40 | 1 << 41, "reserved bits 40, 41 set"),
        ("sev-snp", 1 << 70 | 1 << 17, "does not fit into the 64 bits"),
        ("sev-es", 0x1, "bit 2 (ES) is clear"),
        ("sev", 1 << 6, "reserved bit 6 set"),
        ("sev", 1 << 32, "does not fit into the 32 bits"),
        ("sev", -1, "is negative"),
        ("tdx", 1 << 4, "profiling"),
        ("tdx", 1 << 1, "reserved bit 1 set"),
        ("s390-pv", 1, "reserved bit 0 set"),
        ("pkvm-arm64", 0, "not protected"),
        ("cca", 0, "no definition of a launch policy is known for cca"),
        ("vbs", 1, "no definition"),
    ],
)
def test_a_word_that_the_manager_would_refuse_has_a_problem(technology: str, policy: int, problem: str) -> None:
    assert any(problem in text for text in decode(technology, policy).problems)


def test_an_unknown_technology_decides_nothing() -> None:
    decoded = decode("cca", 1)
    expected = ({}, None, ())

    assert expected == (decoded.features(), decoded.debug_allowed, decoded.bits)


def test_a_kvm_vm_type_says_protected_with_bit_31() -> None:
    bit = 1

    assert bit == decode("pkvm-arm64", 1 << 31 | 40).bit("protected").value

    expected = ()

    assert expected == decode("pkvm-arm64", 1 << 31 | 40).problems


def test_fields_of_several_bits_carry_their_number() -> None:
    decoded = decode("sev", 0x37 << 24 | 1 << 16)
    expected = (1, 0x37)

    assert expected == (decoded.bit("API_MAJOR").value, decoded.bit("API_MINOR").value)
    assert "at least 55" in decoded.bit("API_MINOR").meaning


def test_a_bit_that_a_policy_does_not_have_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="ES"):
        decode("sev-snp", 0).bit("ES")


def test_secure_execution_dump_flag_is_where_s390_tools_puts_it() -> None:
    """`PcfV1::AllowDumping` alone is 536870912 in the tests of s390-tools, with backup target keys 536870914."""
    decoded = decode("s390-pv", 536870914)
    expected = ["ALLOW_DUMPING", "BACKUP_TARGET_KEYS"]

    assert expected == [bit.name for bit in decoded.bits if bit.value]

    expected = ()

    assert expected == decoded.problems
    assert "CCK_UPDATE_ALLOWED" in [bit.name for bit in decode_s390_secret(1 << 61).bits if bit.value]


def test_xfam_without_x87_and_sse_is_refused() -> None:
    expected = ()

    assert expected == decode_xfam(0x602E7).problems

    expected = ("bits 0 and 1 (x87, SSE) must be set",)

    assert expected == decode_xfam(0x4).problems


@pytest.mark.parametrize("definitions", [SEV, SNP, SEV_FEATURES, ATTRIBUTES, XFAM, PLAINTEXT_FLAGS, SECRET_FLAGS, PKVM])
def test_definitions_do_not_overlap_and_carry_sentences_and_sources(definitions: tuple) -> None:  # type: ignore[type-arg]
    covered = 0
    for definition in definitions:
        assert not covered & definition.mask, definition.name
        covered |= definition.mask
        assert definition.source
        assert re.fullmatch(r"[A-Z#].*\.", definition.when_set)
        assert re.fullmatch(r"[A-Z#].*\.", definition.when_clear)


def test_features_have_the_ids_of_the_catalogue() -> None:
    found = {name for technology in TECHNOLOGIES for name in decode(technology, 0).features()}
    expected = FEATURE_IDS

    assert expected == found | set(decode_sev_features(0).features())


@given(st.sampled_from([*TECHNOLOGIES, "cca", ""]), st.integers())
def test_any_number_is_decoded(technology: str, policy: int) -> None:
    decoded = decode(technology, policy)

    assert policy == decoded.value
    assert "\n" not in format_line(decoded)


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_a_word_is_its_fields_and_its_reserved_bits(policy: int) -> None:
    decoded = decode("sev-snp", policy)
    fields = sum(bit.value << bit.bit for bit in decoded.bits)
    reserved = policy >> 26 << 26

    assert policy == fields | reserved
    assert bool(reserved) == any("reserved bit" in problem for problem in decoded.problems)


def test_a_number_of_a_million_bits_is_not_printed() -> None:
    line = format_line(decode("sev-snp", 1 << 1_000_000))
    limit = 400

    assert limit > len(line)
