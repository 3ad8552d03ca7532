"""`assess --initrd`: whole commands, from the file to the ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.artefacts.initrd.samples import PACKERS, acpi_table, archive, bootconfig, debian, kata, module_path

from hostproof.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FACTS = str(ROOT / "examples/facts/debian-12-cloud-6.1.192.json")
SNP = str(ROOT / "examples/snp/vm.args")
VERIFIED = [
    "--verifier",
    str(ROOT / "examples/snp/verifier.toml"),
    "--fact",
    "platform.firmware_verifies_kernel_hashes=yes",
]
RELEASE = "6.1.0-55-cloud-amd64"
LOADABLE = {module_path(name, RELEASE): b"" for name in ("virtio_blk", "virtio", "virtio_ring", "virtio_pci")}


def assessed(tmp_path: Path, *files: bytes, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """The ledger of the SNP example with these files as its initrd."""
    words = ["assess", SNP, "--kernel", FACTS, "--use", "third-party-server", *more]
    for number, data in enumerate(files):
        path = tmp_path / f"initrd{number}.img"
        path.write_bytes(data)
        words += ["--initrd", str(path)]
    output = tmp_path / "ledger.json"
    assert main([*words, "--format", "json", "--output", str(output), "--at", "2026-11-01"]) == 1
    return dict(json.loads(output.read_bytes()))


def row(ledger: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in ledger["rows"] if row["id"] == name)


def test_the_ledger_says_of_each_driver_when_it_can_be_loaded(tmp_path: Path) -> None:
    image = PACKERS["zstd"](archive({**debian(), **LOADABLE}))

    ledger = assessed(tmp_path, image)

    facts = {fact["name"]: fact for fact in row(ledger, "C32/virtio_blk/T3")["facts"]}
    assert facts["initrd.reach"]["value"].startswith("in this initrd: the initrd holds usr/lib/modules/")
    assert "only after the root switch" in ledger["headline"]["drivers"]
    assert [item["kind"] for item in ledger["inputs"] if item["role"] == "initrd"] == ["initramfs-tools"]


def test_a_root_that_holds_no_modules_refuses_every_loadable_driver_once_it_is_pinned(tmp_path: Path) -> None:
    unpinned = assessed(tmp_path, archive(kata()), more=("--verifier", str(_nothing(tmp_path))))
    pinned = assessed(tmp_path, archive(kata()), more=tuple(VERIFIED))

    assert row(pinned, "C02/initrd/T1")["status"] == "attested"
    never = {
        item["id"] for item in pinned["rows"] for fact in item.get("facts", ()) if fact["value"].startswith("never:")
    }
    assert len(never) > 100
    assert {row(pinned, name)["status"] for name in never} == {"refused"}
    assert not any(row(unpinned, name)["reason"].endswith("hands over to none") for name in never)


def _nothing(tmp_path: Path) -> Path:
    path = tmp_path / "verifier.toml"
    path.write_text('name = "checks the report alone"\nchecks = ["POLICY"]\n')
    return path


def test_acpi_tables_and_boot_configuration_stay_open_where_the_initrd_has_them(tmp_path: Path) -> None:
    tables = archive({"kernel/firmware/acpi/ssdt.aml": acpi_table()})
    without = assessed(tmp_path, archive(debian()), more=tuple(VERIFIED))
    having = assessed(tmp_path, tables, archive(debian()) + bootconfig(b"kernel.debug\n"), more=tuple(VERIFIED))

    name = "C04/initrd-tables/T1"
    assert (row(without, name)["status"], row(having, name)["status"]) == ("refused", "open")
    rules = [item["rule"] for item in row(having, "C03/bootconfig/T1").get("evidence", ())]
    assert "mitigation:initrd-without-bootconfig" not in rules


def test_without_an_initrd_the_one_that_the_definition_names_is_not_opened(tmp_path: Path) -> None:
    ledger = assessed(tmp_path)

    assert not [item for item in ledger["inputs"] if item["role"] == "initrd"]
    assert "initrd.reach" not in json.dumps(ledger)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the initrd cannot be read"),
        (b"", "nothing but zero bytes"),
        (b"MZ" + bytes(100), ".initrd section"),
        (PACKERS["xz"](archive(kata()))[:-9], "damaged xz data"),
    ],
)
def test_an_initrd_that_cannot_be_read_is_an_error_with_its_place(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "initrd.img"
    if content is not None:
        path.write_bytes(content)

    status = main(["assess", SNP, "--kernel", FACTS, "--initrd", str(path)])

    captured = capsys.readouterr()
    assert status == 3
    assert said in captured.err
    assert "initrd.img" in captured.err
