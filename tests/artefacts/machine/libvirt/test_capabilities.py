"""Domain capabilities: which launch security a host can give."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.machine import libvirt
from hostproof.artefacts.machine.libvirt import capabilities as libvirt_capabilities
from hostproof.errors import HostproofError, InputError

CORPUS = Path(__file__).parents[3] / "corpus" / "libvirt"


def test_a_host_with_sev_alone() -> None:
    found = libvirt_capabilities.read((CORPUS / "domcapabilities.xml").read_bytes(), "caps")

    assert (found.architecture, found.machine, found.virtualization) == ("x86_64", "pc-q35-9.0", "kvm")
    assert (found.sev, found.sev_es, found.sev_snp, found.tdx) == (True, False, False, False)
    assert (found.cbitpos, found.reduced_phys_bits, found.max_guests, found.max_es_guests) == (51, 1, 500, 0)
    assert dict(found.places)["cbitpos"].line == 8


def test_what_an_old_libvirt_does_not_say_is_unknown() -> None:
    found = libvirt_capabilities.read(
        b"<domainCapabilities><path>/q</path><arch>x86_64</arch></domainCapabilities>", "caps"
    )

    assert (found.sev, found.sev_es, found.sev_snp, found.tdx, found.launch_security) == (None, None, None, None, None)


def test_kubevirts_hosts_are_read(shared: Path) -> None:
    directory = shared / "vm-definitions"
    snp = libvirt_capabilities.read((directory / "kubevirt__kubevirt__domcapabilities_sevsnp.xml").read_bytes(), "snp")
    tdx = libvirt_capabilities.read((directory / "kubevirt__kubevirt__domcapabilities_tdx.xml").read_bytes(), "tdx")

    assert (snp.sev, snp.sev_es, snp.sev_snp, snp.tdx) == (True, True, True, False)
    assert (snp.cbitpos, snp.reduced_phys_bits, snp.max_guests, snp.max_es_guests) == (47, 1, 15, 15)
    assert snp.launch_security == ("sev", "sev-snp")
    assert (tdx.sev, tdx.tdx, tdx.launch_security) == (False, True, ("tdx",))
    assert dict(tdx.places)["tdx"].line == 742


def test_a_domain_is_no_capabilities_and_the_other_way_round() -> None:
    capabilities = (CORPUS / "domcapabilities.xml").read_bytes()

    assert libvirt_capabilities.is_capabilities(capabilities)
    assert not libvirt.is_libvirt(capabilities)
    assert not libvirt_capabilities.is_capabilities((CORPUS / "sev.xml").read_bytes())


@pytest.mark.parametrize(
    "data",
    [
        b"<domain/>",
        b"<domainCapabilities/>",
        b"<domainCapabilities><path>/q</path><arch>x</arch><features><sev supported='maybe'/></features></domainCapabilities>",
        b"<domainCapabilities><path>/q</path><arch>x</arch><features><sev supported='yes'><cbitpos>x</cbitpos></sev></features>"
        b"</domainCapabilities>",
    ],
)
def test_malformed_capabilities_give_a_located_error(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        libvirt_capabilities.read(data, "caps")

    assert caught.value.place is not None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_only_give_an_error(data: bytes) -> None:
    libvirt_capabilities.is_capabilities(data)
    with pytest.raises(HostproofError):
        libvirt_capabilities.read(data, "caps")
