"""The bits that readers set are those that the decoders explain under the same name."""

from __future__ import annotations

import pytest

from hostproof.artefacts.policy import bits, decode


@pytest.mark.parametrize(
    ("technology", "name", "bit"),
    [
        ("sev", "NODBG", bits.SEV_NODBG),
        ("sev", "NOKS", bits.SEV_NOKS),
        ("sev", "ES", bits.SEV_ES),
        ("sev", "NOSEND", bits.SEV_NOSEND),
        ("sev-snp", "SMT", bits.SNP_SMT),
        ("sev-snp", "DEBUG", bits.SNP_DEBUG),
        ("tdx", "DEBUG", bits.TDX_DEBUG),
        ("tdx", "SEPT_VE_DISABLE", bits.TDX_SEPT_VE_DISABLE),
        ("tdx", "MIGRATABLE", bits.TDX_MIGRATABLE),
    ],
)
def test_a_bit_is_the_one_that_the_decoder_calls_so(technology: str, name: str, bit: int) -> None:
    assert [found.name for found in decode(technology, bit).bits if found.value] == [name]


def test_the_words_that_qemu_starts_with_are_those_of_its_sources() -> None:
    words = (bits.QEMU_SEV_POLICY, bits.QEMU_SNP_POLICY, bits.QEMU_TDX_ATTRIBUTES)

    assert words == (0x1, 0x30000, 0x10000000)


def test_no_word_that_qemu_starts_with_is_one_that_a_security_manager_refuses() -> None:
    words = {"sev": bits.QEMU_SEV_POLICY, "sev-snp": bits.QEMU_SNP_POLICY, "tdx": bits.QEMU_TDX_ATTRIBUTES}

    assert {technology: decode(technology, word).problems for technology, word in words.items()} == {
        "sev": (),
        "sev-snp": (),
        "tdx": (),
    }
