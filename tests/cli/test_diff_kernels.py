"""`hostproof diff` of kernels: told apart from ledgers by content, worse is status 1, and nothing is mixed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.artefacts.kernel import samples
from tests.cli.kernels import card, package

from hostproof.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FACTS = str(ROOT / "examples/facts/debian-12-cloud-6.1.192.json")
LEDGER = str(ROOT / "examples/snp/ledger.json")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(package(tmp_path_factory.mktemp("old") / "old.deb"))


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A kernel with a driver more."""
    return str(package(tmp_path_factory.mktemp("new") / "new.deb", more={"card.ko": card()}))


def test_a_driver_more_is_worse_and_a_driver_less_is_not(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", old, new]) == 1
    assert capsys.readouterr().out.startswith("WORSE: the host reaches 1 driver anew (card)\n")
    assert main(["diff", new, old]) == 0
    assert capsys.readouterr().out.startswith("different, and not worse")
    assert main(["diff", old, old]) == 0
    assert capsys.readouterr().out.startswith("no difference\n")


def test_json_says_what_the_terminal_says(old: str, new: str, tmp_path: Path) -> None:
    output = tmp_path / "diff.json"

    assert main(["diff", old, new, "--format", "json", "--output", str(output)]) == 1
    change = json.loads(output.read_text())
    assert (change["format"], change["is_worse"]) == ("hostproof-kernel-diff/1", True)
    assert [driver["name"] for driver in change["gained"]] == ["card"]


def test_a_package_is_compared_with_facts(
    old: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = tmp_path / "facts.json"
    main(["kernel-facts", new, "--output", str(facts)])

    assert main(["diff", old, str(facts)]) == 1
    assert main(["diff", new, str(facts)]) == 0
    assert capsys.readouterr().out.rpartition("no difference")[1]


def test_the_technology_decides_what_is_reached(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", old, new, "--technology", "sev-snp"]) == 1
    assert "a host of sev-snp reaches" in capsys.readouterr().out


def test_ledgers_are_still_compared_as_ledgers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", LEDGER, LEDGER]) == 0
    assert "open rows:" in capsys.readouterr().out


@pytest.mark.parametrize("turned", [False, True])
def test_a_ledger_and_a_kernel_are_not_mixed(turned: bool, capsys: pytest.CaptureFixture[str]) -> None:
    pair = [LEDGER, FACTS]

    assert main(["diff", *(reversed(pair) if turned else pair)]) == 2
    text = capsys.readouterr().err
    assert f"{LEDGER} is a ledger" in text
    assert "hostproof assess VM --kernel K --format json" in text


@pytest.mark.parametrize("option", ["--with-old", "--with-new", "--technology"])
def test_options_of_kernels_are_refused_with_ledgers(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", LEDGER, LEDGER, option, "kvm"]) == 2
    assert f"{option} is for kernels" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--technology", "magic"], ["--format", "csv"]])
def test_unknown_words_are_usage_errors(words: list[str], old: str) -> None:
    assert main(["diff", old, old, *words]) == 2


def test_what_cannot_be_read_is_named(old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"format": "hostproof-kernel-facts/2"')

    assert main(["diff", old, str(tmp_path / "absent.deb")]) == 3
    assert "absent.deb: the ledger or kernel cannot be read: No such file" in capsys.readouterr().err
    assert main(["diff", str(broken), str(broken)]) == 3
    assert "broken.json" in capsys.readouterr().err


def test_a_split_kernel_is_given_in_parts(
    old: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = tmp_path / "more.deb"
    files = {f"./lib/modules/{samples.RELEASE}/kernel/drivers/card.ko": card()}
    more.write_bytes(samples.deb(files, "gzip", samples.CONTROL.replace(b"linux-image-test", b"linux-modules-test")))

    assert main(["diff", old, old, "--with-new", str(more)]) == 1
    assert main(["diff", new, old, "--with-new", str(more)]) == 0
    assert main(["diff", old, new, "--with-old", str(more)]) == 0


def test_modules_of_one_side_alone_are_refused(old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = tmp_path / "vmlinuz"
    alone.write_bytes(samples.bzimage())
    plain = tmp_path / "image.json"
    main(["kernel-facts", old, "--output", str(plain)])
    facts = json.loads(plain.read_text()) | {"modules": None}
    plain.write_text(json.dumps(facts))

    assert main(["diff", str(plain), old]) == 3
    assert "--with-old FILE" in capsys.readouterr().err


def test_a_cached_run_writes_what_an_uncached_one_writes(
    old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for place in ("off", tmp_path / "cache", tmp_path / "cache"):
        monkeypatch.setenv("HOSTPROOF_CACHE", str(place))
        output = tmp_path / "out.json"
        assert main(["diff", old, new, "--format", "json", "--output", str(output)]) == 1
        written.append(output.read_bytes())

    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert written[0] == written[1] == written[2]
