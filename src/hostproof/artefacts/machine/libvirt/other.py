"""Consoles, channels, TPM, memory and the smaller devices of a libvirt domain

SOURCE: libvirt 11.3.0 src/conf/domain_conf.c (virDomainDefAddConsoleCompat), src/qemu/qemu_postparse.c
(qemuDomainChrDefPostParse, qemuDomainTPMDefPostParse), src/qemu/qemu_domain.c (qemuDomainDefaultPanicModel),
src/qemu/qemu_command.c (qemuBuildSerialCommandLine, qemuBuildVirtioSerialPortDevProps, qemuBuildTPMDevCmd,
qemuBuildPanicCommandLine, qemuBuildMemoryDeviceProps).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hostproof.artefacts.machine.libvirt.pci import Connect
from hostproof.artefacts.machine.libvirt.plan import Plan, Plans, backend_of
from hostproof.artefacts.machine.libvirt.xml import Element
from hostproof.artefacts.machine.model import HostInput, Origin

__all__ = ["OTHER", "finish_consoles"]

_PCI = Connect.PCI | Connect.AUTOASSIGN

_SERIAL_TYPES = {
    "isa-serial": "isa-serial",
    "usb-serial": "usb-serial",
    "pci-serial": "pci-serial",
    "spapr-vio-serial": "spapr-vty",
    "sclp-serial": "sclpconsole",
    "isa-debug": "isa-debugcon",
}
_PLATFORM_MODELS = ("pl011", "16550a")
"""Serial ports that are part of the board: QEMU gets `-serial`, not `-device`."""


def serial(element: Element, plans: Plans) -> None:
    """A serial port. On the `virt` boards it is the board's own UART."""
    if element.get("type") == "spiceport" and not _has_spice(plans):
        return
    kind = element.attribute("target", "type")
    named = element.attribute("target", "model", "name")
    backend = backend_of(element)
    if not kind or kind == "isa-serial":
        if plans.board.x86:
            kind = "isa-serial"
        else:
            kind = {"pseries": "spapr-vio-serial", "virt": "system-serial", "s390-ccw": "sclp-serial"}.get(
                plans.board.kind, ""
            )
    if kind in ("", "system-serial") or named in _PLATFORM_MODELS:
        plans.add(Plan("serial", named or "system-serial", element, shown=False, backend=backend))
        return
    model = named or _SERIAL_TYPES.get(kind, "")
    if not model:
        plans.unknown(element, f"serial port of type {kind!r}")
        return
    connect = _PCI if kind == "pci-serial" else Connect.NONE
    plans.add(Plan("serial", model, element, connect=connect, usb=kind == "usb-serial", backend=backend))


def _has_spice(plans: Plans) -> bool:
    devices = plans.domain.first("devices") or plans.domain
    return any(element.get("type") == "spice" for element in devices.all("graphics"))


def parallel(element: Element, plans: Plans) -> None:
    """A parallel port."""
    plans.add(Plan("parallel", "isa-parallel", element, backend=backend_of(element)))


def console(element: Element, plans: Plans) -> None:
    """A console: a virtio or SCLP one is a device; one of type `serial` is another name of the first serial port."""
    kind = element.attribute("target", "type") or "serial"
    backend = backend_of(element)
    if kind == "virtio":
        plans.add(Plan("port", "virtconsole", element, backend=backend))
    elif kind in ("sclp", "sclplm"):
        plans.add(Plan("console", f"{kind}console", element, backend=backend))
    elif kind == "serial":
        plans.add(Plan("console-alias", "serial", element, shown=False, backend=backend))
    else:
        plans.unknown(element, f"console of type {kind!r}", "QEMU has no such console")


def finish_consoles(plans: Plans) -> None:
    """Turn the first console of type `serial` into a serial port where the definition has none."""
    aliases = list(plans.of("console-alias"))
    if not aliases or any(plans.of("serial")):
        return
    element = aliases[0].element
    before = len(plans.devices)
    plain = replace(element, tag="serial", children=[child for child in element.children if child.tag != "target"])
    serial(plain, plans)
    for plan in plans.devices[before:]:
        plan.element = element


def channel(element: Element, plans: Plans) -> None:
    """A named port of the virtio serial bus (guest agent, SPICE agent), or a forwarded TCP address."""
    kind = element.attribute("target", "type")
    backend = backend_of(element)
    if kind == "virtio":
        name = element.attribute("target", "name")
        if not name and element.get("type") == "spicevmc":
            name = "com.redhat.spice.0"
        properties = (("name", name),) if name else (("name", ""),)
        plans.add(Plan("port", "virtserialport", element, backend=backend, properties=properties))
        if name.startswith("org.qemu.guest_agent"):
            plans.host_inputs.append(
                HostInput(
                    "guest agent",
                    "commands that the host runs inside the guest, where the agent is installed",
                    "C34",
                    element.place,
                    name,
                )
            )
    elif kind == "guestfwd":
        where = f"{element.attribute('target', 'address')}:{element.attribute('target', 'port')}"
        plans.host_inputs.append(
            HostInput(
                "guestfwd", "an address on the user network behind which the host answers", "C43", element.place, where
            )
        )
    else:
        plans.unknown(element, f"channel of type {kind!r}", "QEMU has no such channel")


def tpm(element: Element, plans: Plans) -> None:
    """A TPM that the host emulates or passes through."""
    model = element.get("model")
    origin = Origin.DEFINITION
    if not model or model == "default":
        model, origin = ("tpm-spapr" if plans.board.kind == "pseries" else "tpm-tis"), Origin.DEFAULT
    if model not in ("tpm-tis", "tpm-crb", "tpm-spapr", "spapr-tpm-proxy"):
        plans.unknown(element, f"TPM model {model!r}")
        return
    if model == "tpm-tis" and not plans.board.x86:
        model = "tpm-tis-device"
    backend = element.attribute("backend", "type") or None
    device = element.attribute("backend", "device", "path")
    plans.add(Plan("tpm", model, element, origin=origin, backend=f"{backend}:{device}" if device else backend))


def rng(element: Element, plans: Plans) -> None:
    """Entropy from the host."""
    model, source = element.attribute("backend", "model"), element.value("backend")
    plans.virtio("rng", "virtio-rng", element, backend=f"{model}:{source}" if source else model or None)


def memballoon(element: Element, plans: Plans) -> None:
    """A balloon, unless the model is `none`."""
    model = element.get("model")
    if model == "none":
        plans.add(Plan("memballoon", "none", element, shown=False))
    elif model.startswith("virtio") or not model:
        plans.virtio("memballoon", "virtio-balloon", element)
    else:
        plans.unknown(element, f"memory balloon {model!r}", "QEMU has no such balloon")


def watchdog(element: Element, plans: Plans) -> None:
    """A watchdog; `itco` is part of Q35's ICH9."""
    model = element.get("model")
    if model == "itco":
        plans.add(Plan("watchdog", "itco", element, shown=False))
    elif model in ("i6300esb", "ib700", "diag288"):
        plans.add(Plan("watchdog", model, element, connect=_PCI if model == "i6300esb" else Connect.NONE))
    else:
        plans.unknown(element, f"watchdog {model!r}")


def panic(element: Element, plans: Plans) -> None:
    """A device that tells the host of a panic; `hyperv`, `pseries` and `s390` are interfaces, not devices."""
    model = element.get("model")
    if not model or model == "default":
        model = {"s390-ccw": "s390", "pseries": "pseries", "virt": "pvpanic"}.get(plans.board.kind, "isa")
    if model == "isa":
        plans.add(Plan("panic", "pvpanic", element))
    elif model == "pvpanic":
        plans.add(Plan("panic", "pvpanic-pci", element, connect=_PCI | Connect.INTEGRATED))
    elif model in ("hyperv", "pseries", "s390"):
        plans.host_inputs.append(
            HostInput(f"panic {model}", "how a crash is told to the host", "C40", element.place, model)
        )
    else:
        plans.unknown(element, f"panic device {model!r}")


def shmem(element: Element, plans: Plans) -> None:
    """Memory shared with the host or other guests."""
    model = element.attribute("model", "type") or "ivshmem"
    plans.add(Plan("shmem", model, element, connect=_PCI, backend=f"shm:{element.get('name')}"))


def vsock(element: Element, plans: Plans) -> None:
    """Sockets between host and guest."""
    plans.virtio("vsock", "vhost-vsock", element, backend="vhost")


def iommu(element: Element, plans: Plans) -> None:
    """An IOMMU; that of Arm is a property of the board."""
    model = element.get("model")
    if model == "intel":
        plans.add(Plan("iommu", "intel-iommu", element))
    elif model == "virtio":
        connect = (Connect.PCIE if plans.board.pcie else Connect.PCI) | Connect.AUTOASSIGN | Connect.INTEGRATED
        plans.add(Plan("iommu", "virtio-iommu", element, connect=connect))
    elif model == "amd":
        plans.add(Plan("iommu", "amd-iommu", element))
        connect = (Connect.PCIE if plans.board.pcie else Connect.PCI) | Connect.AUTOASSIGN | Connect.INTEGRATED
        plans.add(Plan("iommu", "AMDVI-PCI", element, connect=connect))
    elif model == "smmuv3":
        plans.add(Plan("iommu", "smmuv3", element, shown=False))
    else:
        plans.unknown(element, f"IOMMU {model!r}")


def memory(element: Element, plans: Plans) -> None:
    """A memory device."""
    model = element.get("model")
    backend = element.value("source", "path") or None
    if model in ("virtio-mem", "virtio-pmem"):
        plans.virtio("memory", model, element, backend=backend)
    elif model in ("dimm", "nvdimm"):
        plans.add(Plan("memory", "pc-dimm" if model == "dimm" else model, element, backend=backend))
    elif model == "sgx-epc":
        plans.host_inputs.append(
            HostInput("memory sgx-epc", "enclave memory, described in CPUID and ACPI", "C08", element.place)
        )
    else:
        plans.unknown(element, f"memory device {model!r}")


def redirdev(element: Element, plans: Plans) -> None:
    """A USB device that a remote display client may plug in."""
    plans.add(Plan("redirdev", "usb-redir", element, usb=True, backend=backend_of(element)))


def smartcard(element: Element, plans: Plans) -> None:
    """A smart card in a USB reader."""
    mode = element.get("mode")
    model = "ccid-card-passthru" if mode == "passthrough" else "ccid-card-emulated"
    if mode not in ("host", "host-certificates", "passthrough"):
        plans.unknown(element, f"smart card mode {mode!r}")
        return
    plans.add(Plan("smartcard", model, element, backend=backend_of(element) or mode))


def crypto(element: Element, plans: Plans) -> None:
    """A cryptographic accelerator on virtio."""
    plan = plans.virtio("crypto", "virtio-crypto", element, backend=element.attribute("backend", "model") or None)
    plan.connect = _PCI


def hub(element: Element, plans: Plans) -> None:
    """A USB hub."""
    plans.add(Plan("hub", "usb-hub", element, usb=True))


def nvram(element: Element, plans: Plans) -> None:
    """The variable store of a pSeries machine: part of the board."""
    plans.add(Plan("nvram", "spapr-nvram", element, shown=False))


OTHER: dict[str, Callable[[Element, Plans], None]] = {
    "serial": serial,
    "parallel": parallel,
    "console": console,
    "channel": channel,
    "tpm": tpm,
    "rng": rng,
    "memballoon": memballoon,
    "watchdog": watchdog,
    "panic": panic,
    "shmem": shmem,
    "vsock": vsock,
    "iommu": iommu,
    "memory": memory,
    "redirdev": redirdev,
    "smartcard": smartcard,
    "crypto": crypto,
    "hub": hub,
    "nvram": nvram,
}
"""Element below `devices` -> its reader."""
