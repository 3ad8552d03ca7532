"""The command line as a person meets it: statuses, errors for people, output that can be piped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hostproof.cli.main import main, printable

ROOT = Path(__file__).resolve().parents[2]
FACTS = str(ROOT / "examples/facts/debian-12-cloud-6.1.192.json")
SNP = str(ROOT / "examples/snp/vm.args")
VERBS = ("assess", "surface", "kernel-facts", "diff", "what-if", "triage", "compare", "explain")


def hostproof(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, in a process of its own."""
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "hostproof", *words], capture_output=True, text=True, timeout=60, env=environment, check=False,
        **more,  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main([verb, "--help"])

    text = capsys.readouterr().out
    assert status == 0
    assert f"hostproof {verb}" in text.split("example", 1)[1]


def test_help_is_quick() -> None:
    best = min(_seconds("--help") for _ in range(5))

    assert best < 0.15 * 2, "the budget is 0.15 s on an idle machine; twice that allows for a busy one"


def _seconds(*words: str) -> float:
    begin = time.perf_counter()
    hostproof(*words)
    return time.perf_counter() - begin


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["assess"], "name a VM definition"),
        (["assess", SNP, "--technology", "sgx"], "sev-snp"),
        (["assess", SNP, "--use", "nothing"], "third-party-server"),
        (["assess", SNP, "--fact", "weather=fine"], "NAME=VALUE"),
        (["assess", SNP, "--fact", "feature.speed=yes"], "one of"),
        (["assess", SNP, "--fact", "feature.vmpl=perhaps"], "yes or no"),
        (["assess", SNP, "--option", "side_channels=maybe"], "in, out"),
        (["assess", SNP, "--at", "yesterday"], "YYYY-MM-DD"),
        (["assess", SNP, "--strict"], "--baseline"),
        (["assess", SNP, "--output", "/nowhere/at/all"], "directory that exists"),
        (["explain", "C99"], "did you mean"),
        (["explain", "C22/int80/T3"], "--ledger"),
        (["compare", "sgx"], "sev-snp"),
    ],
)
def test_words_that_do_not_fit_are_usage_errors_with_a_hint(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(words)

    captured = capsys.readouterr()
    assert status == 2
    assert hint in captured.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02\xff" * 40, "expected"),
        (b"<domain>", "vm"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><domain/>', "vm"),
        (b"{" * 5000, "vm"),
    ],
)
def test_a_definition_that_cannot_be_read_is_status_3_without_a_traceback(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "vm"
    path.write_bytes(content)

    status = main(["assess", str(path)])

    captured = capsys.readouterr()
    assert status == 3
    assert captured.err.startswith("hostproof: ")
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert "a defect of hostproof" not in captured.err


@pytest.mark.parametrize("option", ["--kernel", "--verifier", "--waivers", "--baseline", "--use"])
def test_a_file_that_is_not_there_is_named(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["assess", SNP, option, "/nowhere/file.toml"])

    assert status in (2, 3)
    assert "/nowhere/file.toml" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--kernel", "--verifier", "--waivers", "--baseline", "--use"])
def test_a_file_of_the_wrong_kind_is_status_3(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(b"\x7fELF\x01\x02 not what you want")

    status = main(["assess", SNP, option, str(path)])

    captured = capsys.readouterr()
    assert status == 3
    assert "wrong.toml" in captured.err
    assert "a defect of hostproof" not in captured.err


def test_the_terminal_form_can_be_piped_and_holds_no_escape() -> None:
    done = hostproof("assess", SNP, "--kernel", FACTS, "--gate", "none")

    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[0].startswith("AMD SEV-SNP guest")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m hostproof assess {SNP} --kernel {FACTS} --format json | head -c 100 >/dev/null"

    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr == ""


def test_gates_give_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    statuses = [main(["assess", SNP, "--kernel", FACTS, "--gate", gate]) for gate in ("any", "configured", "none")]

    capsys.readouterr()
    assert statuses == [1, 1, 0]


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    outputs = []
    for seed in ("1", "2"):
        target = tmp_path / f"{seed}.json"
        subprocess.run(
            [sys.executable, "-m", "hostproof", "assess", SNP, "--kernel", FACTS, "--format", "json", "--output", str(target)],
            env={**os.environ, "PYTHONHASHSEED": seed}, check=False, timeout=60,
        )  # fmt: skip
        outputs.append(target.read_bytes())

    assert outputs[0] == outputs[1]


def test_a_baseline_that_differs_is_status_4_only_when_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = str(tmp_path / "ledger.json")
    base = ["assess", SNP, "--kernel", FACTS, "--gate", "none"]

    assert main([*base, "--format", "json", "--output", baseline]) == 0
    assert main([*base, "--baseline", baseline, "--strict"]) == 0
    changed = [*base, "--fact", "feature.secure_avic=yes", "--baseline", baseline]
    assert main(changed) == 0
    assert main([*changed, "--strict"]) == 4
    capsys.readouterr()


def test_a_row_explains_itself_from_its_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "ledger.json"
    main(["assess", SNP, "--kernel", FACTS, "--format", "json", "--output", str(target)])
    rows = json.loads(target.read_bytes())["rows"]

    status = main(["explain", rows[0]["id"], "--ledger", str(target)])

    text = capsys.readouterr().out
    assert status == 0
    assert rows[0]["id"] in text
    assert rows[0]["status"] in text


@pytest.mark.parametrize(
    "entry", ["C22", "sev-snp", "restricted_injection", "inject-exception", "O1", "T2", "attack:22", "uses"]
)
def test_every_kind_of_entry_is_explained(entry: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["explain", entry])

    assert status == 0
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_compare_puts_technologies_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["compare", "sev", "sev-snp", "tdx", "--use", "third-party-server"])

    text = capsys.readouterr().out
    assert status == 0
    assert "O1 NOT met" in text
    assert sum(line.startswith("C") for line in text.splitlines()) == 53


def test_an_error_does_not_write_to_the_terminal_what_an_input_says() -> None:
    assert printable("a\x1b[2Jb\u202ec\n") == "a\\x1b[2Jb\\u202ec\n"


def test_an_unforeseen_failure_says_that_it_is_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hostproof.knowledge.load.catalogue", lambda: 1 / 0)

    status = main(["explain", "C22"])

    captured = capsys.readouterr()
    assert status == 3
    assert "a defect of hostproof" in captured.err
    assert "Traceback" not in captured.err


def test_a_companion_without_a_definition_is_not_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["assess", "--technology", "tdx", "--companion", FACTS])

    assert status == 2
    assert "name the definition too" in capsys.readouterr().err


def test_a_program_is_no_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["assess", SNP, "--kernel", sys.executable])

    assert status == 3
    assert "Linux version" in capsys.readouterr().err


def test_a_configuration_given_beside_a_kernel_is_an_input_with_its_digest(tmp_path: Path) -> None:
    config, output = tmp_path / "config", tmp_path / "ledger.json"
    config.write_text("# Linux/x86 6.12.0 Kernel Configuration\nCONFIG_MODULES=y\n")

    main(["assess", SNP, "--config", str(config), "--format", "json", "--output", str(output)])

    inputs = {item["role"]: item["sha256"] for item in json.loads(output.read_bytes())["inputs"]}
    assert len(inputs["kernel"]) == 64
