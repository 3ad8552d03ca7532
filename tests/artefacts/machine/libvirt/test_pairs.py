"""A domain and the QEMU command line that libvirt makes of it must read alike."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

CORPUS = Path(__file__).parents[3] / "corpus" / "libvirt"
SCRIPT = Path(__file__).parents[4] / "scripts" / "check_libvirt_pairs.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_libvirt_pairs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


CHECK = load()
PAIRS = list(CHECK.pairs(CORPUS))


def test_the_corpus_has_a_pair_for_each_technology() -> None:
    assert {domain.stem for domain, _ in PAIRS} == {"sev", "sev-es", "sev-snp", "tdx", "commandline"}


@pytest.mark.parametrize(("domain", "arguments"), PAIRS, ids=lambda path: path.name)
def test_both_readers_agree_on_devices_confidentiality_and_boot(domain: Path, arguments: Path) -> None:
    assert CHECK.compare(domain, arguments).differences == ()


def test_the_checker_sees_a_missing_device_and_another_policy(tmp_path: Path) -> None:
    text = (CORPUS / "sev.xml").read_text()
    (tmp_path / "sev.xml").write_text(
        text.replace("0x0001", "0x3").replace("<rng model='virtio'>", "<rng model='none'>")
    )
    (tmp_path / "sev.args").write_text((CORPUS / "sev.args").read_text())

    found = CHECK.compare(tmp_path / "sev.xml", tmp_path / "sev.args").differences

    assert "policy: 3 / 1" in found


def test_the_exit_status_follows_the_threshold(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text((CORPUS / "sev.xml").read_text())
    (tmp_path / "a.x86_64-latest.args").write_text((CORPUS / "tdx.args").read_text())

    def status(*arguments: str) -> int:
        return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, check=False).returncode

    assert status(str(tmp_path)) == 1
    assert status(str(tmp_path), "--threshold", "0") == 0
    assert status(str(tmp_path / "nowhere")) == 3


def test_pairs_of_libvirts_own_tests_agree() -> None:
    directory = os.environ.get("HOSTPROOF_LIBVIRT_PAIRS")
    if not directory:
        pytest.skip("no pairs of libvirt: set HOSTPROOF_LIBVIRT_PAIRS to tests/qemuxmlconfdata of its sources")

    outcomes = [CHECK.compare(domain, arguments) for domain, arguments in CHECK.pairs(Path(directory))]

    x86 = [one for one in outcomes if one.architecture == "x86_64"]
    assert x86
    assert [one.name for one in x86 if one.confidential and one.differences] == []
    assert sum(1 for one in x86 if not one.differences) >= 0.99 * len(x86)
