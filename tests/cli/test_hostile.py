"""Whole commands as an adversary, a tired person or a broken script gives them: a status, a sentence, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hostproof.cli import files
from hostproof.cli.main import main
from hostproof.errors import InputError
from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import Asked

ROOT = Path(__file__).resolve().parents[2]
FACTS = str(ROOT / "examples/facts/debian-12-cloud-6.1.192.json")
SNP = str(ROOT / "examples/snp/vm.args")
LEDGER = str(ROOT / "examples/snp/ledger.json")


def shell(command: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A line of shell in which `$HP` is the command."""
    environment = {**os.environ, **variables, "PY": sys.executable}
    line = command.replace("$HP", '"$PY" -m hostproof')
    return subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, env=environment, check=False)


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ("platform.tdx_module=notaversion", "platform.tdx_module is a version"),
        ("platform.tdx_module=yes", "platform.tdx_module is a version"),
        ("platform.tdx_module=", "platform.tdx_module is a version"),
        ("platform.tdx_module=" + "9" * 5000, "platform.tdx_module: a value of 5000 characters"),
        ("platform.smt=perhaps", "platform.smt is yes or no"),
        ("platform.tdx_modul=1.5.24", "tdx_module"),
        ("platform.cpu=\u202egenoa", "platform.cpu is a word"),
        ("architecture=pdp11", "x86_64"),
        ("architecture.x=1", "no fact 'architecture.x'"),
        ("definition.bogus=1", "kernel_hashes"),
        ("definition.confidential=maybe", "yes or no"),
        ("cmdline.given=maybe", "yes or no"),
        ("verifier.BOGUS=yes", "LAUNCH_DIGEST"),
        ("verifier.MRTD=9", "yes or no"),
        ("module.virtio_net=q", "y, m, n"),
        ("kernel.version=abc", "not a fact"),
        ("config.=y", "not a fact"),
        ("config=y", "config.NAME=VALUE"),
    ],
)
def test_a_fact_of_the_wrong_kind_is_a_usage_error_that_names_it(
    fact: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["assess", SNP, "--kernel", FACTS, "--fact", fact])

    assert status == 2
    assert said in capsys.readouterr().err


def test_a_fact_of_the_right_kind_is_taken_as_the_catalogue_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    facts = [
        "platform.tdx_module=1.5.24",
        "platform.smt=no",
        "platform.microcode=0x2b",
        "cmdline.given=no",
        "config.X=..",
    ]

    status = main(["assess", SNP, "--gate", "none", *(word for fact in facts for word in ("--fact", fact))])

    assert (status, capsys.readouterr().err) == (0, "")


def test_the_catalogue_asks_for_each_fact_in_one_way() -> None:
    asked = catalogue().asked()

    assert asked["platform.tdx_module"] is Asked.VERSION
    assert asked["platform.smt"] is Asked.TRUTH
    assert asked["platform.cpu"] is Asked.WORD


@pytest.mark.parametrize(
    "option",
    ["--kernel", "--config", "--modules", "--baseline", "--verifier", "--waivers", "--use", "--page", "--output"],
)
def test_an_empty_word_is_no_missing_option(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["assess", SNP, option, ""])

    assert status == 2
    assert "is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["diff", "-", "-"],
        ["assess", "-", "--verifier", "-"],
        ["assess", "-", "--cmdline", "@-"],
        ["assess", "-", "--companion", "-"],
    ],
)
def test_standard_input_is_read_once(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status = main(words)

    assert status == 2
    assert "asked for twice" in capsys.readouterr().err


def test_a_name_that_is_too_long_for_a_file_is_no_use(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["compare", "all", "--use", "u" * 5000])

    assert status == 2
    assert "third-party-server" in capsys.readouterr().err


def test_a_file_name_cannot_write_a_line_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vm\n  try: run something\x1b[2J"
    path.write_bytes(b"?")

    status = main(["assess", str(path)])

    captured = capsys.readouterr().err
    assert status == 3
    assert "vm\\n  try: run something\\x1b[2J" in captured


def test_a_complaint_about_a_word_holds_no_escape(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["assess", SNP, "surplus\x1b[31m\u202e"])

    captured = capsys.readouterr().err
    assert status == 2
    assert "surplus\\x1b[31m\\u202e" in captured


@pytest.mark.parametrize("form", ["json", "html", "sarif", "junit", "rst", "mermaid", "terminal"])
def test_a_file_whose_name_is_no_text_can_be_assessed(form: str, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/vm\xff.args"
    Path(os.fsdecode(name)).write_bytes(Path(SNP).read_bytes())

    done = shell(f'$HP assess "$VM" --gate none --format {form}', VM=os.fsdecode(name))

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"udcff" in done.stdout or form in ("rst", "mermaid", "terminal")


@pytest.mark.parametrize("words", [f"assess {SNP}", f"diff {LEDGER} {LEDGER}", "compare all", "explain C22"])
def test_a_full_disk_is_told_as_such(words: str) -> None:
    done = shell(f"$HP {words} > /dev/full")

    assert done.returncode == 2
    assert b"cannot write to standard output: No space left" in done.stderr
    assert b"defect" not in done.stderr


def test_closed_streams_are_no_defect() -> None:
    assert shell(f"$HP assess {SNP} --gate none >&-").stderr == b""
    assert shell(f"$HP assess {SNP} --gate none >&-").returncode == 0
    assert shell("$HP assess nothing-here 2>&-").returncode == 3
    assert b"standard input is closed" in shell("$HP assess - <&-").stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_escapes(encoding: str) -> None:
    done = shell("$HP compare all", PYTHONIOENCODING=encoding)

    assert done.returncode == 0
    assert done.stderr == b""
    assert b"\\u2026" in done.stdout


def test_a_fifo_that_nobody_writes_to_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITER_SECONDS", 0.2)
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(InputError, match="nobody wrote to it"):
        files.read_bytes(str(tmp_path / "fifo"), "the definition")


def test_a_fifo_with_a_slow_writer_is_read_to_its_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(b"x" * 200_000))
    writer.start()

    data = files.read_bytes(str(fifo), "the definition")

    writer.join()
    assert data == b"x" * 200_000


@pytest.mark.parametrize("option", ["--use", "--verifier", "--waivers"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x = " + b"9" * 5000, "a number of too many digits"),
        (b".".join([b"a"] * 200_000) + b" = 1", "too many dots in one line"),
        (b"[" + b".".join([b"a"] * 200_000) + b"]", "too many dots in one line"),
        (b"x = " + b"[" * 50_000, "nested too deeply"),
        (b"a = 1\n\nb = \xff", "not UTF-8"),
        (b"a = 1\nb = = 2", ":2:5"),
        (b"x = 2027-02-30", ":1:"),
    ],
)
def test_hostile_toml_is_refused_in_time_and_with_its_place(
    option: str, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hostile.toml"
    path.write_bytes(content)

    status = main(["assess", SNP, option, str(path)])

    captured = capsys.readouterr().err
    assert status == 3
    assert said in captured
    assert "defect" not in captured


def test_thousands_of_waivers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "waivers.toml"
    path.write_text('[[waiver]]\nrows = "C*/*/T*"\nreason = "r"\nowner = "o"\nexpires = 2099-01-01\n' * 2001)

    status = main(["assess", SNP, "--waivers", str(path)])

    assert status == 3
    assert "2001 waivers" in capsys.readouterr().err
