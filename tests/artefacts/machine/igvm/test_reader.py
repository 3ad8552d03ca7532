"""IGVM: manifests, build targets and files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.machine import igvm, read
from hostproof.artefacts.machine.model import Machine
from hostproof.errors import HostproofError, InputError

CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "igvm"


def header(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def image(headers: bytes, *, checksum: int | None = None, version: int = 1) -> bytes:
    """An IGVM file of version 1: the fixed header, then `headers`. The CRC is over both with its own field zero."""

    def fixed(value: int) -> bytes:
        return struct.pack("<4s5I", b"IGVM", version, 24, len(headers), 24 + len(headers), value)

    right = zlib.crc32(fixed(0) + headers)
    return fixed(right if checksum is None else checksum) + headers


PLATFORMS = header(1, struct.pack("<IBBHQ", 1, 2, 2, 1, 1 << 46)) + header(1, struct.pack("<IBBHQ", 2, 0, 3, 1, 0))
POLICIES = header(0x101, struct.pack("<QII", 0xB001F, 1, 0)) + header(0x101, struct.pack("<QII", 3, 2, 0))
PAGES = header(0x302, struct.pack("<QIIIHH", 0x1000, 3, 0, 0, 0, 0)) + header(
    0x302, struct.pack("<QIIIHH", 0x2000, 1, 0, 2, 0, 0)
)
WHOLE = image(PLATFORMS + POLICIES + PAGES + header(0x30E, struct.pack("<III", 0, 0, 0)))


def policies(machines: tuple[Machine, ...]) -> list[tuple[str, int | None] | None]:
    return [(c.technology, c.policy) if (c := machine.confidential) else None for machine in machines]


def test_a_manifest_gives_one_machine_per_guest_and_debug_goes_into_the_policy() -> None:
    machines = read.read((CORPUS / "manifest.json").read_bytes(), "manifest.json")

    assert policies(machines) == [("sev-snp", 0xB0000), ("tdx", 0x1), None]
    assert [machine.boot.command_line for machine in machines] == [None, "console=ttyS0", None]
    assert machines[0].confidential is not None
    assert ("paravisor-command-line", "loglevel=4") in machines[0].confidential.fields
    assert machines[0].host_inputs == ()


def test_a_paravisor_whose_command_line_is_not_static_takes_more_from_the_host(shared: Path) -> None:
    name = "microsoft__openvmm__openhcl-x64-cvm-release.json"
    machines = read.read((shared / "vm-definitions" / name).read_bytes(), name)

    assert [host.channel for machine in machines for host in machine.host_inputs] == ["C03"] * 3
    assert [machine.confidential.place.line for machine in machines if machine.confidential] == [8, 29, 47]


def test_a_target_of_coconut_gives_one_machine_per_platform() -> None:
    machines = read.read((CORPUS / "target.json").read_bytes(), "target.json")

    assert policies(machines) == [("sev-snp", 0xB0000), None]
    assert {"svsm.igvm"} == {machine.boot.igvm for machine in machines}


def test_a_file_shows_platforms_policies_and_parameters() -> None:
    machines = read.read(WHOLE, "guest.igvm")

    assert policies(machines) == [("sev-snp", 0xB001F), ("tdx", 0x10000001)]
    assert [machine.notes[0] for machine in machines] == [
        "2 pages, 1 not measured, 0 shared with the host",
        "1 pages, 0 not measured, 0 shared with the host",
    ]
    assert [("C03", 24 + len(PLATFORMS + POLICIES + PAGES))] == [
        (host.channel, host.place.offset) for host in machines[0].host_inputs
    ]
    assert len(machines[0].notes) == 2


def test_a_wrong_checksum_is_said() -> None:
    machines = read.read(image(PLATFORMS, checksum=1), "guest.igvm")

    assert "checksum" in machines[0].notes[-1]


@pytest.mark.parametrize(
    "data",
    [
        b"IGVM",
        image(b""),
        image(PLATFORMS, version=7),
        image(header(1, b"short")),
        image(struct.pack("<II", 1, 0xFFFFFFF0)),
        image(b"\0" * 64),
        WHOLE[:60],
        struct.pack("<4s5I", b"IGVM", 1, 3, 8, 32, 0) + b"\0" * 8,
        b'{"guest_configs": []}',
        b'{"guest_configs": [{}]}',
        b'{"guest_configs": [{"isolation_type": "sgx"}]}',
        b'{"guest_configs": [{"isolation_type": {"snp": {}, "tdx": {}}}]}',
        b'{"guest_configs": [{"isolation_type": {"snp": {}}}]}',
        b'{"igvm": {"qemu": {"platforms": []}}}',
    ],
)
def test_malformed_inputs_are_refused_with_a_place(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        igvm.read(data, "input")

    assert caught.value.place is not None


@given(st.integers(4, len(WHOLE) - 1), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_a_file_with_a_changed_byte_gives_machines_or_an_error_of_the_project(offset: int, value: int) -> None:
    changed = WHOLE[:offset] + bytes([value]) + WHOLE[offset + 1 :]
    try:
        assert igvm.read(changed, "input")
    except HostproofError as error:
        assert error.place is not None
