"""PCI topology: what libvirt adds so that every device has a slot."""

from __future__ import annotations

import pytest

from hostproof.artefacts.machine.libvirt.pci import Address, Connect, Endpoint, TopologyFull, added_controllers

PCIE = Endpoint(Connect.PCIE | Connect.AUTOASSIGN)
PCI = Endpoint(Connect.PCI | Connect.AUTOASSIGN)


def test_each_express_device_gets_a_port_and_one_is_left_for_hot_plug() -> None:
    assert added_controllers("pcie-root", "q35", [PCIE, PCIE]) == ("pcie-root-port",) * 3


def test_a_conventional_device_on_q35_gets_a_bridge_behind_a_port_of_its_own() -> None:
    found = added_controllers("pcie-root", "q35", [PCI, PCI])

    assert found == ("pcie-root-port", "pcie-to-pci-bridge", "pcie-root-port")


def test_31_slots_of_an_i440fx_hold_29_devices_before_a_bridge_is_added() -> None:
    assert added_controllers("pci-root", "i440fx", [PCI] * 29) == ()
    assert added_controllers("pci-root", "i440fx", [PCI] * 30) == ("pci-bridge",)


def test_an_address_on_a_bus_that_is_not_there_brings_the_buses_up_to_it() -> None:
    far = Endpoint(Connect.PCI | Connect.AUTOASSIGN, address=Address(2, 5))

    assert added_controllers("pci-root", "i440fx", [far]) == ("pci-bridge", "pci-bridge")


def test_no_port_is_added_where_the_definition_brings_its_own() -> None:
    port = Connect.ROOT_PORT | Connect.AGGREGATE
    given = [Endpoint(port, model="pcie-root-port", controller=number) for number in (1, 2)]

    assert added_controllers("pcie-root", "q35", [*given, PCIE, PCIE]) == ()


def test_companions_share_one_slot() -> None:
    usb = [Endpoint(Connect.PCI | Connect.AUTOASSIGN, group=0, function=number) for number in (7, 0, 1, 2)]

    assert added_controllers("pci-root", "i440fx", [*usb, *[PCI] * 28]) == ()


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint(Connect.DOWNSTREAM),
        Endpoint(Connect.PCIE, address=Address(0, 32)),
        Endpoint(Connect.PCIE, address=Address(999, 0)),
        Endpoint(Connect.ROOT_PORT, model="pcie-root-port", controller=4000),
    ],
)
def test_what_fits_nowhere_is_said(endpoint: Endpoint) -> None:
    with pytest.raises(TopologyFull):
        added_controllers("pcie-root", "q35", [endpoint])


def test_more_devices_than_a_segment_has_buses_end_the_assignment() -> None:
    with pytest.raises(TopologyFull):
        added_controllers("pcie-root", "q35", [PCIE] * 300)
