"""The kernel's own test of its page transitions, read from a path, against the model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.errors import HostproofError, InputError
from hostproof.managers.models.pkvm_arm64 import model
from hostproof.managers.models.pkvm_selftest import Triple, agree, read

# Written for these tests in the shape that the kernel's file has.
SAMPLE = """\
static int other(void) { return 0; }

void pkvm_ownership_selftest(void *base)
{
	selftest_state.host = PKVM_NOPAGE;
	selftest_state.hyp = PKVM_PAGE_OWNED;
	selftest_state.guest[0] = selftest_state.guest[1] = PKVM_NOPAGE;
	assert_transition_res(-EPERM,	__pkvm_host_share_hyp, pfn);

	selftest_state.host = PKVM_PAGE_OWNED;
	selftest_state.hyp = PKVM_NOPAGE;
	assert_transition_res(0,	__pkvm_hyp_donate_host, pfn, 1);
	selftest_state.host = PKVM_NOPAGE;
	selftest_state.guest[1] = PKVM_PAGE_OWNED;
	assert_transition_res(0,	__pkvm_host_donate_guest, pfn, gfn + 1, vcpu);
	selftest_state.host = PKVM_PAGE_OWNED;
	selftest_state.guest[1] = PKVM_POISON;
	assert_transition_res(0,	__pkvm_host_force_reclaim_page_guest, phys);
	assert_transition_res(-EHWPOISON, __pkvm_guest_share_host, vcpu, gfn + 1);
}
"""


def test_a_triple_has_call_address_result_and_the_state_after_it() -> None:
    triples = read(SAMPLE)

    assert len(triples) == 5
    assert Triple(15, "__pkvm_host_donate_guest", 1, "0", ("NOPAGE", "NOPAGE", "NOPAGE", "OWNED")) == triples[2]


def test_the_model_agrees_with_the_sample() -> None:
    agreement = agree(model(), read(SAMPLE))

    assert (agreement.confirmed, agreement.disagreements) == (5, ())


def test_a_wrong_expectation_is_a_disagreement_with_what_the_model_says() -> None:
    wrong = SAMPLE.replace(
        "assert_transition_res(-EPERM,	__pkvm_host_share_hyp", "assert_transition_res(0,	__pkvm_host_share_hyp"
    )
    agreement = agree(model(), read(wrong))

    assert agreement.confirmed == 4
    assert (
        agreement.disagreements[0].result,
        agreement.disagreements[0].triple.call,
    ) == ("EPERM", "__pkvm_host_share_hyp")


def test_a_call_that_the_model_lacks_is_a_disagreement() -> None:
    agreement = agree(model(), read(SAMPLE.replace("__pkvm_host_share_hyp", "__pkvm_host_lend_hyp")))

    assert [one.result for one in agreement.disagreements] == ["no such call in the model"]


@pytest.mark.parametrize(
    "text",
    ["", "void pkvm_ownership_selftest(void)\n{\n}\n", SAMPLE.replace("PKVM_POISON", "PKVM_GONE"), "x" * 4_000_001],
)
def test_what_is_no_selftest_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        read(text)


@given(st.integers(0, len(SAMPLE)), st.text(max_size=40))
def test_damaged_text_is_read_or_refused(at: int, garbage: str) -> None:
    try:
        triples = read(SAMPLE[:at] + garbage + SAMPLE[at:])
    except HostproofError:
        return

    assert all(triple.line > 0 for triple in triples)


def test_the_kernels_own_selftest_agrees_with_the_model() -> None:
    """Set HOSTPROOF_LINUX to the source of Linux 7.2 or 7.3 (Debian package linux-source-7.3)."""
    path = Path(os.environ.get("HOSTPROOF_LINUX", "")) / "arch/arm64/kvm/hyp/nvhe/mem_protect.c"
    if not path.is_file():
        pytest.skip("no kernel source: set HOSTPROOF_LINUX to an unpacked linux-source-7.3")
    agreement = agree(model(), read(path.read_text(), path.name))

    assert (agreement.triples, agreement.disagreements) == (102, ())
