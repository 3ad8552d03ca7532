"""Network, display, input and pass-through devices of a libvirt domain

SOURCE: libvirt 11.3.0 src/qemu/qemu_postparse.c (qemuDomainDefaultNetModel, qemuDomainDefaultVideoDevice),
src/qemu/qemu_command.c (qemuDeviceVideoGetModel, qemuBuildSoundDevCmd, qemuBuildInputCommandLine,
qemuBuildHostdevCommandLine), src/conf/domain_postparse.c (virDomainInputDefPostParse).
"""

from __future__ import annotations

from collections.abc import Callable

from hostproof.artefacts.machine.libvirt.pci import Connect
from hostproof.artefacts.machine.libvirt.plan import Plan, Plans, backend_of
from hostproof.artefacts.machine.libvirt.xml import Element
from hostproof.artefacts.machine.model import HostInput, Origin

__all__ = ["IO", "default_video", "finish_video"]

_PCI = Connect.PCI | Connect.AUTOASSIGN
_PCIE = Connect.PCIE | Connect.AUTOASSIGN

_VIRTIO_NETS = ("virtio", "virtio-transitional", "virtio-non-transitional")
_NETS = {
    name.lower(): name
    for name in (
        *_VIRTIO_NETS,
        *("rtl8139", "e1000", "e1000e", "igb", "usb-net", "spapr-vlan", "lan9118", "vmxnet3", "netfront"),
    )
}
"""Models that libvirt knows; it compares them without regard to case and hands others to QEMU as they are."""
_NETS_ELSEWHERE = {"spapr-vlan", "lan9118", "smc91c111", "scm91c111"}

_SOUNDS = {
    "es1370": ("ES1370", _PCI),
    "ac97": ("AC97", _PCI),
    "ich6": ("intel-hda", _PCI),
    "ich9": ("ich9-intel-hda", _PCI),
    "usb": ("usb-audio", Connect.NONE),
    "sb16": ("sb16", Connect.NONE),
}
_CODECS = {"duplex": "hda-duplex", "micro": "hda-micro", "output": "hda-output"}

_INPUTS = {"mouse": "usb-mouse", "tablet": "usb-tablet", "keyboard": "usb-kbd"}
_VIRTIO_INPUTS = {
    "mouse": "virtio-mouse",
    "tablet": "virtio-tablet",
    "keyboard": "virtio-keyboard",
    "passthrough": "virtio-input-host",
}
_PRIMARY_VIDEO = {
    "vga": ("VGA", _PCI),
    "cirrus": ("cirrus-vga", _PCI),
    "vmvga": ("vmware-svga", _PCI),
    "qxl": ("qxl-vga", _PCI),
    "bochs": ("bochs-display", _PCIE),
    "ramfb": ("ramfb", Connect.NONE),
}
_FURTHER_VIDEO = {"qxl": ("qxl", _PCI)}


def interface(element: Element, plans: Plans) -> None:
    """A network card, whatever its host end."""
    kind = element.get("type")
    model = element.attribute("model", "type")
    backend = backend_of(element)
    if kind == "hostdev" or element.attribute("teaming", "type") == "transient":
        _vfio("interface", element, plans, backend)
        return
    origin = Origin.DEFINITION
    if not model or model == "unknown":
        origin = Origin.DEFAULT
        model = "virtio" if kind in ("vdpa", "vhostuser") else _default_net(plans)
        plans.notes.append(
            f"line {element.line}: the interface names no model, libvirt takes {model!r} where the host's QEMU has it"
        )
    name = _NETS.get(model.lower(), model)
    if name in _VIRTIO_NETS:
        variant = name.removeprefix("virtio")
        plan = plans.virtio("interface", "virtio-net", element, backend=backend, origin=origin)
        plan.variant = variant
        return
    connect = _PCIE if name in ("e1000e", "igb") and plans.board.pcie else _PCI
    if name == "usb-net" or name in _NETS_ELSEWHERE:
        connect = Connect.NONE
    plans.add(Plan("interface", name, element, origin=origin, connect=connect, backend=backend, usb=name == "usb-net"))


def _default_net(plans: Plans) -> str:
    if plans.board.kind in ("s390-ccw", "virt"):
        return "virtio"
    return "rtl8139" if plans.board.architecture not in ("aarch64", "armv7l", "armv6l") else "lan9118"


def _vfio(kind: str, element: Element, plans: Plans, backend: str | None) -> None:
    ramfb = element.get("ramfb") == "on"
    if element.attribute("address", "type") == "unassigned":
        return
    connect = _PCIE if plans.board.pcie else _PCI
    name = "vfio-pci-nohotplug" if ramfb else "vfio-pci"
    plans.add(Plan(kind, name, element, connect=connect, backend=backend))


def hostdev(element: Element, plans: Plans) -> None:
    """A device of the host given to the guest."""
    if element.get("mode", "subsystem") != "subsystem":
        plans.unknown(element, f"hostdev mode {element.get('mode')!r}", "only containers have it")
        return
    kind = element.get("type")
    source = element.first("source")
    if kind == "pci":
        _vfio("hostdev", element, plans, _host_address(source))
    elif kind == "usb":
        plans.add(Plan("hostdev", "usb-host", element, usb=True, backend=_host_usb(source)))
    elif kind == "scsi":
        text = element.attribute("address", "controller") or "0"
        index = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
        plans.add(Plan("hostdev-scsi", "scsi-generic", element, index=index, backend=backend_of(element)))
    elif kind == "scsi_host":
        plans.virtio("hostdev", "vhost-scsi", element, backend="vhost")
    elif kind == "mdev":
        _mediated(element, plans)
    else:
        plans.unknown(element, f"hostdev type {kind!r}")


def _mediated(element: Element, plans: Plans) -> None:
    model = element.get("model")
    backend = f"mdev:{element.attribute('source', 'address', 'uuid')}"
    if model == "vfio-pci":
        _vfio("hostdev", element, plans, backend)
    elif model in ("vfio-ccw", "vfio-ap"):
        plans.add(Plan("hostdev", model, element, backend=backend))
    else:
        plans.unknown(element, f"mediated device model {model!r}")


def _host_address(source: Element | None) -> str | None:
    address = source.first("address") if source is not None else None
    if address is None:
        return None
    parts = [address.get(name, "0").lower().removeprefix("0x") for name in ("domain", "bus", "slot", "function")]
    return f"pci:{parts[0].zfill(4)}:{parts[1].zfill(2)}:{parts[2].zfill(2)}.{parts[3]}"


def _host_usb(source: Element | None) -> str | None:
    if source is None:
        return None
    vendor, product = source.attribute("vendor", "id"), source.attribute("product", "id")
    if vendor or product:
        return f"usb:{vendor}:{product}"
    return f"usb:{source.attribute('address', 'bus')}.{source.attribute('address', 'device')}"


def input_(element: Element, plans: Plans) -> None:
    """A keyboard, mouse, tablet or event device. Those on PS/2 are the board's own."""
    kind, bus = element.get("type"), element.get("bus")
    if not bus:
        if kind in ("mouse", "keyboard") and plans.board.x86:
            bus = "ps2"
        elif plans.board.kind == "s390-ccw" or kind == "passthrough":
            bus = "virtio"
        else:
            bus = "none" if kind == "evdev" else "usb"
    backend = element.attribute("source", "evdev") or element.attribute("source", "dev") or None
    if kind == "evdev":
        plans.host_inputs.append(
            HostInput(
                "input evdev",
                "events of a device of the host, fed to the board's keyboard and mouse",
                "C34",
                element.place,
                backend or "",
            )
        )
    elif bus == "ps2" and kind in ("mouse", "keyboard"):
        plans.add(Plan("input", "ps2", element, shown=False))
    elif bus == "usb" and kind in _INPUTS:
        plans.add(Plan("input", _INPUTS[kind], element, usb=True))
    elif bus == "virtio" and kind in _VIRTIO_INPUTS:
        plans.virtio("input", _VIRTIO_INPUTS[kind], element, backend=backend)
    else:
        plans.unknown(element, f"input {kind!r} on bus {bus!r}")


def graphics(element: Element, plans: Plans) -> None:
    """The host's end of the display: what it shows is a video device's business, what it types an input's."""
    kind = element.get("type")
    if kind not in ("vnc", "spice", "sdl", "egl-headless", "dbus", "rdp", "desktop"):
        plans.unknown(element, f"graphics {kind!r}")
        return
    plans.host_inputs.append(
        HostInput(
            f"graphics {kind}",
            "whoever reaches this display types into the guest",
            "C34",
            element.place,
            element.get("listen"),
        )
    )


def video(element: Element, plans: Plans) -> None:
    """A video card; which of them is the primary one is known when all are read."""
    model = element.attribute("model", "type") or "default"
    if model == "none":
        plans.add(Plan("video", "none", element, shown=False))
        return
    plans.add(Plan("video", model, element))


def default_video(plans: Plans) -> str:
    """The type that libvirt takes where the definition names none."""
    if plans.board.kind in ("s390-ccw", "virt"):
        return "virtio"
    return "vga" if plans.board.kind == "pseries" else "cirrus"


def finish_video(plans: Plans) -> None:
    """Add the implicit card, pick the primary one and name every card as QEMU does."""
    if plans.domain.first("devices", "graphics") is not None and not any(plans.of("video")):
        plans.default("video", "default", "a graphics element without a video element")
    cards = [plan for plan in plans.of("video") if plan.model != "none"]
    if not cards:
        return
    primary = next((card for card in cards if card.element.attribute("model", "primary") == "yes"), cards[0])
    refused = {id(card) for card in cards if not _name_video(card, card is primary, plans)}
    plans.devices[:] = [plan for plan in plans.devices if id(plan) not in refused]


def _name_video(card: Plan, primary: bool, plans: Plans) -> bool:
    """Give the card the name that QEMU has for it; False where libvirt refuses it."""
    kind = card.model
    if kind == "default":
        kind = default_video(plans)
        card.origin = Origin.DEFAULT
        plans.notes.append(f"line {card.element.line}: no video model is named, libvirt takes {kind!r}")
    accelerated = card.element.attribute("model", "acceleration", "accel3d") == "yes"
    vhost = card.element.attribute("driver", "name") == "vhostuser"
    if kind == "virtio":
        vga = primary and plans.board.architecture not in ("aarch64", "armv7l", "armv6l", "s390x")
        base = ("vhost-user-vga" if vga else "vhost-user-gpu") if vhost else ("virtio-vga" if vga else "virtio-gpu")
        card.model = f"{base}-gl" if accelerated and not vhost else base
        card.virtio, card.suffix = True, not vga
    elif primary and kind in _PRIMARY_VIDEO:
        card.model, card.connect = _PRIMARY_VIDEO[kind]
        card.connect = _PCI if card.connect is _PCIE and not plans.board.pcie else card.connect
    elif not primary and kind in _FURTHER_VIDEO:
        card.model, card.connect = _FURTHER_VIDEO[kind]
    else:
        plans.unknown(card.element, f"video {kind!r}", "libvirt gives QEMU no such card in this place")
        return False
    if primary and card.model != "ramfb":
        card.fixed = {"q35": (1,), "i440fx": (2,)}.get(plans.board.kind, ())
    return True


def sound(element: Element, plans: Plans) -> None:
    """A sound card with its codecs."""
    model = element.get("model")
    if model == "pcspk":
        plans.add(Plan("sound", "pcspk", element, shown=False))
    elif model == "virtio":
        plans.virtio("sound", "virtio-sound", element)
    elif model in _SOUNDS:
        name, connect = _SOUNDS[model]
        plan = plans.add(Plan("sound", name, element, connect=connect, usb=model == "usb"))
        plan.fixed = (0x1B,) if model == "ich9" and plans.board.kind == "q35" else ()
        if model in ("ich6", "ich9"):
            _codecs(element, plans)
    else:
        plans.unknown(element, f"sound card {model!r}")


def _codecs(element: Element, plans: Plans) -> None:
    codecs = element.all("codec")
    if not codecs:
        plans.default("codec", "hda-duplex", "a HD Audio controller without a codec", element)
    for codec in codecs:
        name = _CODECS.get(codec.get("type"))
        if name is None:
            plans.unknown(codec, f"sound codec {codec.get('type')!r}")
        else:
            plans.add(Plan("codec", name, codec))


def nothing(element: Element, plans: Plans) -> None:
    """An element that only says how the host does something: the emulator's path, an audio backend, a filter."""


IO: dict[str, Callable[[Element, Plans], None]] = {
    "interface": interface,
    "hostdev": hostdev,
    "input": input_,
    "graphics": graphics,
    "video": video,
    "sound": sound,
    "emulator": nothing,
    "audio": nothing,
    "redirfilter": nothing,
}
"""Element below `devices` -> its reader."""
