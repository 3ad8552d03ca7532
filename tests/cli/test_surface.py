"""`hostproof surface`: its forms, its refusals, and that a cached run says what an uncached one says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.artefacts.kernel import samples
from tests.cli.kernels import card, package

from hostproof.artefacts.kernel import facts_file
from hostproof.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FACTS = str(ROOT / "examples/facts/debian-12-cloud-6.1.192.json")
SNP = str(ROOT / "examples/snp/vm.args")


def test_the_terminal_form_begins_with_the_kernel_and_what_the_host_reaches(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["surface", FACTS])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert lines[0] == "linux-image-6.1.0-55-cloud-amd64-unsigned 6.1.192-1 (x86_64)"
    assert lines[1].startswith("a host of kvm reaches 293 modules of 1,121, 3.98 MiB of 16.1 MiB; ")


def test_every_form_is_written(tmp_path: Path) -> None:
    written = {}
    for form in ("json", "csv", "html", "terminal"):
        path = tmp_path / form
        assert main(["surface", FACTS, "--format", form, "--output", str(path)]) == 0
        written[form] = path.read_bytes().decode()

    surface = json.loads(written["json"])
    assert surface["format"] == "hostproof-surface/1"
    assert len(list(csv.DictReader(written["csv"].splitlines()))) == len(surface["drivers"])
    assert written["html"].startswith("<!doctype html>")
    assert "\x1b" not in written["terminal"]


def test_devices_of_a_definition_are_configured_and_its_technology_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["surface", FACTS, "--vm", SNP, "--format", "json"]) == 0

    surface = json.loads(capsys.readouterr().out)
    configured = {driver["name"] for driver in surface["drivers"] if driver["reach"] == "configured"}
    assert surface["technology"] == "sev-snp"
    assert "virtio_pci" in configured


def test_one_bus_and_interface_are_shown_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["surface", FACTS, "--bus", "virtio", "--format", "json"]) == 0

    drivers = json.loads(capsys.readouterr().out)["drivers"]
    assert drivers
    assert all("virtio" in driver["buses"] for driver in drivers)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--bus", "isa"], "--bus acpi|"),
        (["--interface", "telepathy"], "--interface "),
        (["--technology", "magic"], "one of kvm"),
        (["--format", "png"], "'terminal', 'json', 'csv', 'html'"),
        ([], ""),
    ],
)
def test_words_that_nothing_has_are_usage_errors(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["surface", *([FACTS] if words else []), *words])

    assert status == 2
    assert hint in capsys.readouterr().err


def test_an_unknown_technology_is_refused_before_the_kernel_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["surface", "absent.deb", "--technology", "magic"]) == 2


def test_what_is_no_kernel_is_refused_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"hello\n" * 100)

    assert main(["surface", str(path)]) == 3
    assert main(["surface", str(tmp_path / "absent")]) == 3
    assert str(path) in capsys.readouterr().err


def test_parts_of_one_kernel_are_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = samples.tree()
    halves = [{name: data for name, data in files.items() if name.endswith(".ko") is flag} for flag in (True, False)]
    paths = []
    for number, half in enumerate(halves):
        paths.append(tmp_path / f"{number}.deb")
        paths[-1].write_bytes(samples.deb({**half, **{n: d for n, d in files.items() if "config" in n}}))
    whole = tmp_path / "facts.json"
    main(["kernel-facts", str(paths[0]), "--output", str(whole)])
    capsys.readouterr()

    assert main(["surface", *map(str, (whole, paths[0])), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["modules"] == 3


def test_a_cached_run_writes_what_an_uncached_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = package(tmp_path / "k.deb", more={"card.ko": card()})
    cache = tmp_path / "cache"
    written = []
    for place in ("off", cache, cache):
        monkeypatch.setenv("HOSTPROOF_CACHE", str(place))
        output = tmp_path / "out.json"
        assert main(["surface", str(kernel), "--format", "json", "--output", str(output)]) == 0
        written.append(output.read_bytes())
    entries = list(cache.iterdir())

    assert len(entries) == 1
    assert written[0] == written[1] == written[2]
    assert b'"interface": "port-read"' in written[0]


def test_a_damaged_entry_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, cache, output = package(tmp_path / "k.deb"), tmp_path / "cache", tmp_path / "out.json"
    monkeypatch.setenv("HOSTPROOF_CACHE", str(cache))
    words = ["surface", str(kernel), "--format", "json", "--output", str(output)]
    main(words)
    first = output.read_bytes()
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-9])

    assert main(words) == 0
    assert output.read_bytes() == first
    assert entry.read_bytes() == whole


def test_facts_that_were_written_give_the_same_surface(tmp_path: Path) -> None:
    kernel, facts = package(tmp_path / "k.deb", more={"card.ko": card()}), tmp_path / "facts.json"
    outputs = [tmp_path / name for name in ("one", "two")]
    main(["kernel-facts", str(kernel), "--output", str(facts)])
    for source, output in zip((kernel, facts), outputs, strict=True):
        assert main(["surface", str(source), "--format", "json", "--output", str(output)]) == 0

    assert facts_file.looks_like_facts(facts.read_bytes())
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
