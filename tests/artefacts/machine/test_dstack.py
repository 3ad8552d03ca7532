"""dstack's vmm.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import dstack, read
from hostproof.artefacts.machine.model import Machine, Origin
from hostproof.errors import InputError

SAMPLE = Path(__file__).resolve().parents[2] / "corpus" / "dstack" / "vmm.toml"


def without_board(machine: Machine) -> list[str]:
    return [device.model for device in machine.devices if device.origin is not Origin.BOARD]


def test_an_snp_host_always_writes_its_own_policy() -> None:
    (machine,) = read.read(SAMPLE.read_bytes(), "vmm.toml")

    assert machine.confidential is not None
    assert (
        machine.confidential.technology,
        machine.confidential.policy,
        machine.confidential.place.line,
    ) == ("sev-snp", 0x30000, 3)
    assert machine.boot.kernel_hashes
    assert without_board(machine) == [
        "isa-serial",
        "virtio-blk-pci",
        "virtio-blk-pci",
        "virtio-net-pci",
        "vhost-vsock-pci",
        "virtio-blk-pci",
    ]
    assert [unread.option for unread in machine.unread] == ["cvm.mystery"]
    assert {"C05", "C44", "C29"} == {host.channel for host in machine.host_inputs}


def test_the_real_file_leaves_the_technology_to_the_host(shared: Path) -> None:
    name = "Dstack-TEE__dstack__vmm.toml"
    (machine,) = read.read((shared / "vm-definitions" / name).read_bytes(), name)

    assert (machine.confidential, [place.line for _, place in machine.declared]) == (None, [25])
    assert "virtio-9p-pci" in without_board(machine)
    assert machine.unread == ()


def test_a_tdx_host_passes_the_port_of_the_quote_service() -> None:
    machine = dstack.read(b'[cvm]\nplatform = "tdx"\nqgs_port = 4050\nuse_mrconfigid = true\n', "vmm.toml")

    assert machine.confidential is not None
    assert (
        machine.confidential.technology,
        [field for field, _ in machine.confidential.fields],
    ) == ("tdx", ["mrconfigid", "quote-generation-service-port"])


@pytest.mark.parametrize(
    "text", ["[a]\n", "[cvm]\nplatform = 'sgx'\n", "[cvm]\nhost_share_mode = 'nfs'\n", "cvm = 3\n"]
)
def test_malformed_configurations_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        dstack.read(text.encode(), "vmm.toml")
