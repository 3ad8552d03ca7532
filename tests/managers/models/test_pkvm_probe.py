"""What a running pKVM answers, against the model; a real one under emulation where the programs are there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.errors import HostproofError, InputError
from hostproof.managers.models.pkvm_probe import QUESTIONS, compare, read

# Debian's 7.3.4-1~bpo13+1 for arm64 under QEMU 7.2.22, as the probe printed it.
SEEN = """\
[    6.982611] kvm: protected VMs are experimental and for development only, tainting kernel
probe kvm yes errno 0
probe create-protected-vm yes errno 0
probe choose-unused-page-content yes guest read 0x4057
probe read-private-memory no signal
probe write-private-memory no signal
probe read-registers yes x5 0x5ec2e7
probe write-registers yes errno 0
probe inject-interrupt yes errno 0
probe inject-serror yes errno 0
probe set-guest-debug yes errno 0
probe dirty-log no errno 1
probe delete-memslot no errno 1
probe use-written-register yes guest has 0xf026ed
probe guest-reads-back yes guest read 0x5ec2e7
probe guest-share-host yes x0 0x0
probe read-shared-memory yes read 0x5ec2e7
probe syscall-on-private-memory no errno 14
probe kernel-map-of-private-memory no read 0x0
probe force-reclaim yes answer -14
probe private-returns-unscrubbed no read 0x0
probe shared-returns-unscrubbed yes read 0x5ec2e7
probe done
"""


def script() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "scripts/pkvm_probe.py"
    found = importlib.util.spec_from_file_location("pkvm_probe_script", path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_an_answer_has_its_detail_and_its_line() -> None:
    answer = read(SEEN)["choose-unused-page-content"]

    assert (answer.yes, answer.detail, answer.line) == (True, "guest read 0x4057", 4)


def test_machine_and_model_of_linux_7_3_4_say_the_same() -> None:
    rows = compare(read(SEEN))

    assert set(QUESTIONS) == {row.answer.question for row in rows}
    assert [row.answer.question for row in rows if not row.agrees] == []


def test_a_machine_that_keeps_registers_disagrees_with_the_model_of_7_3_4() -> None:
    kept = SEEN.replace("read-registers yes", "read-registers no")

    assert [row.objective for row in compare(read(kept)) if not row.agrees] == ["R1"]


@pytest.mark.parametrize("text", ["", SEEN.replace("probe done", "probe hangs"), SEEN.replace("kvm yes", "kvm maybe")])
def test_what_is_no_finished_probe_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        read(text)


@given(st.integers(0, len(SEEN)), st.text(max_size=30))
def test_damaged_text_is_read_or_refused(at: int, garbage: str) -> None:
    try:
        answers = read(SEEN[:at] + garbage + SEEN[at:])
    except HostproofError:
        return

    assert all(answer.line > 0 for answer in answers.values())


@pytest.mark.slow
def test_a_real_pkvm_answers_as_its_model_says() -> None:
    """Set HOSTPROOF_PKVM_KERNEL to the image of a Debian arm64 kernel 7.3 (linux-binary-unsigned-7.3.*-arm64)."""
    probe = script()
    image = Path(os.environ.get("HOSTPROOF_PKVM_KERNEL", ""))
    if not image.is_file():
        pytest.skip("no arm64 kernel: set HOSTPROOF_PKVM_KERNEL to the vmlinuz of Debian's 7.3")
    if absent := probe.missing():
        pytest.skip(f"not installed: {', '.join(absent)}")
    try:
        console = probe.console(image)
    except subprocess.TimeoutExpired as error:
        console = (error.stdout or b"").decode("utf-8", "replace")
    rows = compare(read(console))

    assert set(QUESTIONS) == {row.answer.question for row in rows}
    assert [(row.answer, row.objective) for row in rows if not row.agrees] == []
