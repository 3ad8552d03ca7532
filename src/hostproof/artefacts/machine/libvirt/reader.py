"""libvirt domain XML: the definition that `virsh`, virt-manager, OpenStack and KubeVirt hand to QEMU

The reader follows libvirt's rules, not only its words: devices that libvirt adds because nothing said otherwise are
listed with origin `default`, those of the machine type with origin `board`, and arguments that `qemu:commandline`
passes past libvirt are read as QEMU would. Elements that mean something to the guest and are not understood become
`Unread`; those that concern the host alone are listed in `vocabulary`.

SOURCE: libvirt docs/formatdomain.rst and docs/drvqemu.rst; libvirt 11.3.0 src/conf/domain_conf.c and
src/qemu/qemu_*.c as named in the modules of each part.
"""

from __future__ import annotations

from collections.abc import Callable

from hostproof.artefacts.machine.board import board_devices
from hostproof.artefacts.machine.device_models import canonical, device, is_known
from hostproof.artefacts.machine.libvirt.board import Board, board_of, switches
from hostproof.artefacts.machine.libvirt.boot import boot, cpu_model, memory_mib, vcpus
from hostproof.artefacts.machine.libvirt.implicit import add_implicit, attach, controller_indexes
from hostproof.artefacts.machine.libvirt.inputs import host_inputs
from hostproof.artefacts.machine.libvirt.io import IO, finish_video
from hostproof.artefacts.machine.libvirt.other import OTHER, finish_consoles
from hostproof.artefacts.machine.libvirt.passthrough import with_command_line
from hostproof.artefacts.machine.libvirt.plan import Plan, Plans
from hostproof.artefacts.machine.libvirt.security import launch_security
from hostproof.artefacts.machine.libvirt.storage import STORAGE
from hostproof.artefacts.machine.libvirt.vocabulary import unread_of
from hostproof.artefacts.machine.libvirt.xml import QEMU_NAMESPACE, Element, parse, root_tag
from hostproof.artefacts.machine.located import placeholders
from hostproof.artefacts.machine.model import Device, Machine, Unread
from hostproof.errors import InputError

__all__ = ["is_libvirt", "read"]

_ROOTS = ("domain", "domstatus", "domainsnapshot", "domainbackup")
_QEMU_TYPES = ("kvm", "qemu", "hvf", "kqemu")
_READERS: dict[str, Callable[[Element, Plans], None]] = {**STORAGE, **IO, **OTHER}


def is_libvirt(data: bytes) -> bool:
    """Whether `data` begins like a libvirt document that holds a domain."""
    return root_tag(data) in _ROOTS


def read(data: bytes, name: str) -> Machine:
    """The VM that the domain defines. Raises InputError with the line where the document is no readable domain."""
    root = parse(data, name)
    domain = root if root.tag == "domain" else root.first("domain")
    if root.tag not in _ROOTS or domain is None:
        raise InputError(
            f"the root element is {root.tag!r}",
            place=root.place,
            expected="a libvirt domain",
            hint="`virsh dumpxml NAME` writes one",
        )
    board = board_of(domain)
    processors, bad_processors = vcpus(domain)
    plans = _plans(domain, board, processors)
    security = launch_security(domain)
    boot_facts, boot_notes, choices = boot(domain, security.kernel_hashes)
    memory, bad_memory = memory_mib(domain)
    inventory, board_notes = _board(domain, board)
    unread = [*plans.unread, *security.unread, *unread_of(domain), *_stray_text(domain)]
    unread += _unknown_models(plans)
    unread += [finding for finding in (bad_memory, bad_processors) if finding is not None]
    kind = domain.get("type")
    if kind not in _QEMU_TYPES:
        unread.append(Unread(f"domain type {kind!r}", "its devices are read by QEMU's rules", domain.place_of("type")))
    machine = Machine(
        "libvirt-xml",
        "qemu" if kind in _QEMU_TYPES else kind or "unknown",
        domain.place,
        name=domain.value("name"),
        architecture=board.architecture,
        board=inventory[0] or None,
        vcpus=processors,
        cpu_model=cpu_model(domain),
        memory_mib=memory,
        confidential=security.confidential,
        boot=boot_facts,
        devices=(*_devices(plans), *inventory[1]),
        host_inputs=(*choices, *security.host_inputs, *plans.host_inputs, *host_inputs(domain)),
        unread=tuple(unread),
        notes=(*board.notes, *boot_notes, *security.notes, *plans.notes, *board_notes, *_template_notes(data, unread)),
    )
    return with_command_line(machine, domain)


def _plans(domain: Element, board: Board, processors: int | None) -> Plans:
    plans = Plans(board, domain)
    devices = domain.first("devices")
    if devices is not None:
        plans.indexes = controller_indexes(devices)
        for element in devices.children:
            reader = _READERS.get(element.tag) if element.namespace == "" else None
            if reader is None:
                plans.unknown(element, f"device {element.tag!r}")
            else:
                reader(element, plans)
    _firmware_devices(domain, plans)
    finish_consoles(plans)
    finish_video(plans)
    add_implicit(plans, processors)
    attach(plans)
    return plans


def _firmware_devices(domain: Element, plans: Plans) -> None:
    """Devices that are asked for outside `devices`: the generation id and the vmcoreinfo note."""
    for element in domain.all("genid"):
        plans.add(Plan("genid", "vmgenid", element))
    info = domain.first("features", "vmcoreinfo")
    if info is not None and info.get("state", "on") == "on":
        plans.add(Plan("vmcoreinfo", "vmcoreinfo", info))


def _devices(plans: Plans) -> list[Device]:
    architecture = plans.board.target
    return [
        device(
            canonical(plan.model, architecture),
            origin=plan.origin,
            place=plan.element.place,
            id=plan.id,
            backend=plan.backend,
            properties=plan.properties,
        )
        for plan in plans.devices
        if plan.shown
    ]


def _unknown_models(plans: Plans) -> list[Unread]:
    architecture = plans.board.target
    why = "no device model of this name is known: its bus and its drivers are not known either"
    return [
        Unread(f"{plan.kind} {plan.model}", why, plan.element.place)
        for plan in plans.devices
        if plan.shown and not is_known(canonical(plan.model, architecture))
    ]


def _board(domain: Element, board: Board) -> tuple[tuple[str, tuple[Device, ...]], tuple[str, ...]]:
    if not board.machine or board.architecture is None:
        return (board.machine, ()), ("the machine type is not known, so the board's own devices are not listed",)
    type_ = domain.first("os", "type") or domain
    found = board_devices(
        board.machine,
        architecture=board.target,
        vmm_version=None,
        defaults=False,
        switches=switches(domain, board),
        place=type_.place,
    )
    return (found.machine, found.devices), found.notes


_MIXED = frozenset({"metadata", "description", "title"})


def _stray_text(domain: Element) -> list[Unread]:
    """Text where only elements may stand: the hole of a template."""
    found = []
    stack = [domain]
    while stack:
        element = stack.pop()
        if element.tag in _MIXED:
            continue
        text = element.text.strip()
        if text and element.children and element.namespace != QEMU_NAMESPACE:
            found.append(Unread(text[:60], "text where elements must stand: the hole of a template", element.place))
        stack.extend(reversed(element.children))
    return found


def _template_notes(data: bytes, unread: list[Unread]) -> tuple[str, ...]:
    notes = placeholders.note(data.decode("utf-8", "replace"))
    if not notes and any("template" in finding.why for finding in unread):
        return ("a template: holes in it are left as they are",)
    return notes
