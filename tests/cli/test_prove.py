"""`hostproof prove` and `explain` of proofs, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hostproof.cli.main import main
from hostproof.managers.records import library


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_matrix_has_every_technology_and_breaks_availability_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "prove")
    rows = {line.split("  ")[0]: line for line in out.partition("\n\n")[0].splitlines()}

    assert status == 0
    assert "kvm" in out.splitlines()[0]
    assert rows["A1"].count("step") == len(library().technologies)


def test_the_baseline_is_broken_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "prove", "kvm", "--format", "json")

    assert {one["result"] for answer in json.loads(out)["answers"] for one in answer["verdicts"]} == {"trace"}


def test_a_dropped_duty_opens_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("prove", "sev-snp", "--objective", "M6", "--without-duty", "validate_once")
    status, out, _ = run(capsys, *words, "--trace")

    assert status == 0
    assert "PVALIDATE 1" in out
    assert "without validate_once" in " ".join(out.split())
    assert run(capsys, *words, "--format", "mermaid")[1].startswith("sequenceDiagram\n")
    assert run(capsys, *words, "--format", "svg")[1].startswith("<svg ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("prove", "sev-snq"), "did you mean sev-snp"),
        (("prove", "--technology", "intel"), "there is no technology 'intel'"),
        (("prove", "--objective", "Q7"), "there is no objective 'Q7'"),
        (("prove", "tdx", "--policy", "debg=on"), "did you mean debug"),
        (("prove", "tdx", "--policy", "debug=perhaps"), "neither on nor off"),
        (("prove", "tdx", "--policy", "debug=on", "--policy", "debug=off"), "contradictory policies"),
        (("prove", "tdx", "--without-duty", "accept"), "there is no duty 'accept'"),
        (("prove", "tdx", "--without-duty", "accept_once", "--only-duty", "accept_once"), "contradictory duties"),
        (("prove", "tdx", "--format", "svg"), "a picture shows one trace"),
        (("prove", "tdx", "--objective", "S1", "--objective", "P1", "--kernel-version", "nine"), "there is no version"),
        (("explain", "0123456789ab"), "no stored verdict has the id"),
    ],
)
def test_words_that_do_not_fit_are_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    status, out, err = run(capsys, *words)

    assert (status, out) == (2, "")
    assert message in err


def test_a_proof_is_explained_by_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = library().by_model["sev-snp"].default["M3"]
    status, out, _ = run(capsys, "explain", f"proof:{verdict.id}")

    assert status == 0
    assert "no page in use is changed in place: proved for any number of pages" in out
    assert "assumes rmp-initialised" in out


def test_an_attack_is_explained_with_its_trace_and_where_it_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "explain", "severed")

    assert "IN THE MODELS" in out
    assert "sev-snp M5: gone" in out
    assert "so it does not hold that" in out


def test_an_attack_that_is_not_architectural_is_explained_with_the_assumptions_that_it_breaks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = run(capsys, "explain", "badram")

    assert "ASSUMPTIONS OF PROOFS THAT IT BREAKS" in out
    assert "sev-snp: no-physical-adversary" in out


def test_the_coverage_of_attacks_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "prove", "--attacks", "--format", "json")
    coverage = json.loads(out)

    assert status == 0
    assert len(set(coverage["replayed"]) | set(coverage["assumed"])) + len(coverage["others"]) == coverage["total"]


def test_rows_of_a_ledger_name_their_proof(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("assess", "--technology", "sev-snp", "--use", "third-party-server", "--fact", "feature.debug_allowed=no")
    _, out, _ = run(capsys, *words, "--format", "json")
    verdict = library().by_model["sev-snp"].default["M3"]
    named = [row["id"] for row in json.loads(out)["rows"] if f"proof:{verdict.id}" in row.get("sources", [])]

    assert named != []


@pytest.mark.parametrize("words", ["prove", "prove sev-snp -v", "assess --technology tdx --use third-party-server"])
def test_reading_stored_verdicts_does_not_load_the_prover(words: str) -> None:
    program = (
        "import sys; from hostproof.cli.main import main; main(sys.argv[1:]);"
        "assert not {'z3', 'hostproof.managers.engine'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words.split()], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
