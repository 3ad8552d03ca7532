"""Libvirt domains from an adversary: malformed, enormous, damaged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.machine import libvirt
from hostproof.artefacts.machine.model import Machine
from hostproof.errors import HostproofError, InputError

CORPUS = Path(__file__).parents[3] / "corpus" / "libvirt"
SAMPLES = sorted(path for path in CORPUS.glob("*.xml") if path.name != "domcapabilities.xml")


def domain(devices: str, machine: str = "pc-q35-7.2", arch: str = "x86_64") -> Machine:
    text = (
        f"<domain type='kvm'><name>n</name><os><type arch='{arch}' machine='{machine}'>hvm</type></os>"
        f"<devices>{devices}</devices></domain>"
    )
    return libvirt.read(text.encode(), "n.xml")


MALFORMED = {
    "nothing": b"",
    "no xml": b"kernel=/boot/vmlinuz",
    "truncated": b"<domain type='kvm'><os>",
    "crossed": b"<domain><os></domain></os>",
    "another document": b"<network><name>default</name></network>",
    "a status without a domain": b"<domstatus/>",
    "document type": b"<!DOCTYPE domain><domain type='kvm'/>",
    "billion laughs": b'<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><domain><name>&b;</name></domain>',
    "external entity": b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain><name>&x;</name></domain>',
    "undefined entity": b"<domain><name>&x;</name></domain>",
    "unknown encoding": b"<?xml version='1.0' encoding='utf-99'?><domain/>",
    "multi-byte encoding": b"<?xml version='1.0' encoding='shift_jis'?><domain/>",
    "bad utf-8": b"<domain><name>\xff\xfe</name></domain>",
    "nul": b"<domain>\0</domain>",
    "unbound prefix": b"<domain><qemu:commandline/></domain>",
    "deep": b"<domain>" + b"<a>" * 200 + b"</a>" * 200 + b"</domain>",
    "many": b"<domain>" + b"<a/>" * 20_001 + b"</domain>",
    "long name": b"<domain><" + b"a" * 600 + b"/></domain>",
    "many attributes": b"<domain " + b" ".join(b"a%d='1'" % number for number in range(300)) + b"/>",
    "policy no number": b"<domain><launchSecurity type='sev'><policy>secret</policy></launchSecurity></domain>",
    "policy too long": b"<domain><launchSecurity type='sev'><policy>0x11111111111111111</policy></launchSecurity></domain>",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_documents_give_a_located_error(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        libvirt.read(data, "hostile.xml")

    assert caught.value.place is not None
    assert caught.value.place.artefact == "hostile.xml"
    assert caught.value.expected


def test_a_document_beyond_the_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InputError, match="16 MiB"):
        libvirt.read(b" " * (16 * 1024 * 1024 + 1), "n")


def test_a_domain_with_very_many_devices_is_read_in_bounded_time() -> None:
    machine = domain("<interface type='user'><model type='virtio'/></interface>" * 5000)

    assert Counter(device.model for device in machine.devices)["virtio-net-pci"] == 5000
    assert any("do not fit" in note for note in machine.notes)


def only_known_errors(data: bytes) -> None:
    try:
        machine = libvirt.read(data, "n")
    except HostproofError:
        return
    assert machine.format == "libvirt-xml"


@given(st.binary(max_size=400))
def test_arbitrary_bytes_only_give_a_result_or_an_error(data: bytes) -> None:
    libvirt.is_libvirt(data)
    only_known_errors(data)


TAGS_TEXT = """
disk controller interface hostdev input graphics video sound serial console channel tpm rng memballoon
watchdog panic shmem vsock iommu memory redirdev filesystem smartcard crypto hub source target model address
driver backend
"""
TAGS = st.sampled_from(TAGS_TEXT.split())
WORDS_TEXT = """
virtio usb pci scsi none default q35 0 1 -1 0x1f 99999999999 ich9-uhci1 pcie-root-port pcie-root network file
virtio-scsi qxl bochs serial isa-serial hostdev mdev drive ccw yes on sda vdzzz tpm-crb
"""
WORDS = st.sampled_from(WORDS_TEXT.split())
NAMES_TEXT = """
type model bus dev index slot function controller ports name mode device domain alias
"""
NAMES = st.sampled_from(NAMES_TEXT.split())


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> str:
    tag = draw(TAGS)
    given = "".join(f" {name}='{draw(WORDS)}'" for name in draw(st.sets(NAMES, max_size=4)))
    inside = "".join(draw(st.lists(elements(depth + 1), max_size=3))) if depth < 2 else ""
    return f"<{tag}{given}>{inside}</{tag}>"


@settings(deadline=None, max_examples=150)
@given(
    st.lists(elements(), max_size=8),
    st.sampled_from(["q35", "pc", "virt", "s390-ccw-virtio", "pseries", "microvm", ""]),
)
def test_any_combination_of_known_words_only_gives_a_result_or_an_error(devices: list[str], machine: str) -> None:
    architecture = {"virt": "aarch64", "s390-ccw-virtio": "s390x", "pseries": "ppc64"}.get(machine, "x86_64")

    found = domain("".join(devices), machine=machine, arch=architecture)

    assert found.architecture == architecture


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SAMPLES), st.integers(0, 6000), st.binary(max_size=6), st.integers(0, 40))
def test_damaged_samples_only_give_a_result_or_an_error(path: Path, at: int, inserted: bytes, removed: int) -> None:
    data = path.read_bytes()

    only_known_errors(data[:at] + inserted + data[at + removed :])
