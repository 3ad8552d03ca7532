"""`hostproof what-if` as a person meets it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from hostproof.cli.main import main
from hostproof.cli.what_if import KINDS
from hostproof.ledger.what_if.changes import Kind

ROOT = Path(__file__).resolve().parents[2]
SNP = str(ROOT / "examples/snp/vm.args")
FEW = ["--kind", "policy,verifier,board", "--jobs", "1"]


def example(name: str) -> list[str]:
    """The words of an example's command, without `hostproof assess`."""
    return shlex.split((ROOT / f"examples/{name}/command").read_text().replace("\\\n", " "))[2:]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["what-if"], "name a VM definition"),
        (["what-if", SNP, "--kind", "kernel"], "kconfig"),
        (["what-if", SNP, "--kind", ","], "kconfig"),
        (["what-if", SNP, "--jobs", "0"], "--jobs"),
        (["what-if", SNP, "--top", "-1"], "--top"),
        (["what-if", SNP, "--target", "closed"], "open=0"),
        (["what-if", SNP, "--target", "C99/*/*"], "assess -v"),
        (["what-if", str(ROOT / "examples/snp/ledger.json")], "give the VM that it was made of"),
    ],
)
def test_words_that_do_not_fit_are_usage_errors_with_a_hint(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(words)

    assert status == 2
    assert hint in capsys.readouterr().err


def test_every_kind_of_change_can_be_asked_for() -> None:
    assert tuple(Kind) == KINDS


@pytest.mark.parametrize("name", ["snp", "tdx", "pkvm", "kata"])
def test_an_example_has_its_answer(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)

    status = main(["what-if", *example(name), *FEW])

    text = capsys.readouterr().out
    assert status == 0
    assert "open rows" in text.splitlines()[1]
    assert "WHAT NO CHANGE CLOSES" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_target_out_of_reach_is_status_1_and_json_says_what_is_in_the_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    output = tmp_path / "answer.json"

    status = main(
        ["what-if", *example("snp"), *FEW, "--target", "C10/*/*", "--target", "C47/*/*", "--format", "json",
         "--output", str(output)]
    )  # fmt: skip

    found = json.loads(output.read_bytes())
    assert status == 1
    assert found["format"] == "hostproof-what-if/1"
    assert found["smallest"]["reached"] is False
    assert [change["id"] for change in found["smallest"]["changes"]] == ["check:HOST_DATA+ID_BLOCK+PLATFORM_INFO"]
    assert {row.split("/")[0] for group in found["smallest"]["remaining"] for row in group["rows"]} == {"C47"}


def test_a_board_switch_closes_nothing_that_the_host_presents_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    output = tmp_path / "answer.json"

    main(["what-if", *example("snp"), "--kind", "board", "--format", "json", "--output", str(output)])

    found = json.loads(output.read_bytes())
    assert found["together"]["open"] == found["open"]
    assert sum(found["idle"].values()) >= 5
