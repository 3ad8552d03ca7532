"""The `qemu:` namespace: what a domain passes to QEMU past libvirt

`qemu:commandline` holds arguments and environment that libvirt appends without looking at them: a second network card
with a port of the host forwarded to it may stand there. They are read by the reader of QEMU command lines, each
argument with its own line. `qemu:override` sets properties of devices behind libvirt's back, `qemu:capabilities`
makes libvirt believe in other features of QEMU, `qemu:deprecation` only says what happens with deprecated options.

SOURCE: libvirt docs/drvqemu.rst, "Pass-through of arbitrary qemu commands", "QEMU feature configuration for testing",
"Overriding properties of QEMU devices"; libvirt 11.3.0 src/qemu/qemu_command.c (qemuBuildCommandLine: namespace data
come last).
"""

from __future__ import annotations

from dataclasses import replace

from hostproof.artefacts.machine.libvirt.xml import QEMU_NAMESPACE, Element
from hostproof.artefacts.machine.model import HostInput, Machine, Unread
from hostproof.artefacts.machine.qemu.appended import with_arguments
from hostproof.place import Place

__all__ = ["with_command_line"]


def with_command_line(machine: Machine, domain: Element) -> Machine:
    """`machine` with everything that the `qemu:` elements of the domain add to it or change in it."""
    inputs: list[HostInput] = []
    unread: list[Unread] = []
    argv: list[tuple[str, Place]] = []
    for element in domain.children:
        if element.namespace != QEMU_NAMESPACE:
            continue
        if element.tag == "commandline":
            argv += _arguments(element, inputs, unread)
        elif element.tag == "override":
            unread += _overrides(element)
        elif element.tag == "capabilities":
            unread += [_capability(child) for child in element.children]
        elif element.tag != "deprecation":
            unread.append(Unread(f"qemu:{element.tag}", "not known", element.place))
    machine = replace(machine, host_inputs=(*machine.host_inputs, *inputs), unread=(*machine.unread, *unread))
    return with_arguments(machine, argv, "qemu:commandline")


def _arguments(element: Element, inputs: list[HostInput], unread: list[Unread]) -> list[tuple[str, Place]]:
    argv = []
    for child in element.children:
        if child.tag == "arg" and "value" in child.attributes:
            argv.append((child.attributes["value"], child.place))
        elif child.tag == "env" and child.get("name"):
            name, value = child.get("name"), child.get("value")
            inputs.append(HostInput(f"env {name}", "a variable in QEMU's environment", "", child.place, value))
        else:
            unread.append(Unread(f"qemu:commandline {child.tag}", "neither an argument nor a variable", child.place))
    return argv


def _overrides(element: Element) -> list[Unread]:
    found = []
    for change in element.walk():
        if change.tag != "property":
            continue
        what = f"{change.get('name')}={change.get('value')}"
        why = "a property of a device that is set past libvirt: its effect on the guest is not known"
        found.append(Unread(f"qemu:override {what}", why, change.place))
    return found


def _capability(element: Element) -> Unread:
    what = f"qemu:capabilities {element.tag} {element.get('capability')}"
    return Unread(what, "libvirt is told of other features than QEMU has, and may add other devices", element.place)
