"""Azure: a virtual machine in an ARM template, or as the resource's own JSON.

Azure's confidential VMs run on Hyper-V with the OpenHCL paravisor; nobody outside sees the VMM, so the machine is
opaque. Which technology it is stands in the VM's size: the families DCas, DCads, ECas and ECads (v5, v6) are SEV-SNP,
DCes, DCeds, ECes and ECeds are TDX, NCC with H100 is SEV-SNP.

SOURCE: Microsoft Learn, "Azure confidential VM options" and the ARM reference of Microsoft.Compute/virtualMachines
(securityProfile, SecurityEncryptionTypes); Azure/confidential-computing-cvm `cvm_deployment/templates/SNPCVM.json`,
commit 73aecaa03f70.
"""

from __future__ import annotations

import re

from hostproof.artefacts.machine.device_models import device
from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Confidential, Device, HostInput, Machine, Origin
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read", "technology_of_size"]

MAX_RESOURCES = 1000
_PARAMETER = re.compile(r"\[parameters\('([^']{1,100})'\)\]")
_VARIABLE = re.compile(r"\[variables\('([^']{1,100})'\)\]")
_SIZE = re.compile(
    r"(?:Standard_)?(?P<family>DC|EC|NCC)(?P<cpus>\d+)(?P<features>[a-z]*)(?:_H100)?_v(?P<version>\d)", re.IGNORECASE
)


def technology_of_size(size: str) -> str | None:
    """`Standard_DC4as_v5` -> `sev-snp`, `Standard_DC2es_v6` -> `tdx`; None where the size is not of a confidential
    family.
    """
    match = _SIZE.fullmatch(size)
    if match is None:
        return None
    features = match["features"].lower()
    if match["family"].upper() == "NCC" or "a" in features:
        return "sev-snp"
    return "tdx" if "e" in features else None


def read(data: bytes, name: str) -> tuple[Machine, ...]:
    """One machine for every virtual machine of the template. Raises InputError where there is none."""
    root = json_places.read(data, name)
    machines = tuple(_Vm(root, resource).machine() for resource in _machines(root))
    if not machines:
        raise InputError(
            "no virtual machine in the template", place=Place(name), expected="Microsoft.Compute/virtualMachines"
        )
    return machines


def _machines(root: Node) -> list[Node]:
    resources = root.get("resources")
    if resources is None:
        return [root]
    items = list(resources.mapping().values()) if isinstance(resources.value, dict) else resources.items()
    if len(items) > MAX_RESOURCES:
        raise InputError(f"{len(items)} resources", place=resources.place, expected=f"at most {MAX_RESOURCES}")
    return [item for item in items if (kind := item.get("type")) and kind.text() == "Microsoft.Compute/virtualMachines"]


class _Vm:
    def __init__(self, root: Node, resource: Node) -> None:
        self.root = root
        self.resource = resource
        self.properties = resource.get("properties") or resource
        self.notes = ["a cloud's VM: its VMM and devices belong to the provider and cannot be seen"]

    def _value(self, *path: str | int) -> tuple[str, Place] | None:
        """A text of the VM; a parameter or variable gives its default or value, with a note."""
        node = self.properties.get(*path)
        if node is None or isinstance(node.value, dict | list):
            return None
        text = node.text()
        for pattern, section, field in ((_PARAMETER, "parameters", "defaultValue"), (_VARIABLE, "variables", "")):
            match = pattern.fullmatch(text)
            if match:
                found = self.root.get(section, match[1])
                found = found.get(field) if found is not None and field else found
                if found is None or isinstance(found.value, dict | list):
                    return None
                self.notes.append(f"{path[-1]} is the {section[:-1]} {match[1]}, taken as its default {found.text()!r}")
                return found.text(), found.place
        return text, node.place

    def machine(self) -> Machine:
        security = self._value("securityProfile", "securityType")
        size = self._value("hardwareProfile", "vmSize")
        technology = technology_of_size(size[0]) if size else None
        confidential: Confidential | None = None
        declared: tuple[tuple[str, Place], ...] = ()
        if security is not None and security[0] == "ConfidentialVM":
            if technology is not None:
                confidential = Confidential(technology, security[1], fields=self._fields(size))
            else:
                declared = (("securityType ConfidentialVM", security[1]),)
        elif technology is not None:
            self.notes.append("the size is of a confidential family, but securityType is not ConfidentialVM")
        name = self.resource.get("name")
        return Machine(
            format="arm-template",
            vmm="provider",
            place=self.resource.place,
            name=name.text() if name and isinstance(name.value, str) else "",
            architecture="x86_64" if technology else None,
            confidential=confidential,
            declared=declared,
            devices=self._devices(),
            host_inputs=self._host_inputs(),
            opaque=True,
            notes=tuple(self.notes),
        )

    def _fields(self, size: tuple[str, Place] | None) -> tuple[tuple[str, str], ...]:
        wanted = (
            ("secure-boot", ("securityProfile", "uefiSettings", "secureBootEnabled")),
            ("vtpm", ("securityProfile", "uefiSettings", "vTpmEnabled")),
            (
                "security-encryption-type",
                ("storageProfile", "osDisk", "managedDisk", "securityProfile", "securityEncryptionType"),
            ),
        )
        found = [("vm-size", size[0])] if size else []
        for key, path in wanted:
            value = self._value(*path)
            if value is not None:
                found.append((key, value[0]))
        return tuple(found)

    def _devices(self) -> tuple[Device, ...]:
        """The vTPM, where the template asks for it: the one device that a template names. The paravisor emulates
        it.
        """
        vtpm = self._value("securityProfile", "uefiSettings", "vTpmEnabled")
        if vtpm is None or vtpm[0].lower() != "true":
            return ()
        return (device("tpm-crb", origin=Origin.DEFINITION, place=vtpm[1], backend="paravisor"),)

    def _host_inputs(self) -> tuple[HostInput, ...]:
        inputs: list[HostInput] = []
        image = self.properties.get("storageProfile", "imageReference")
        if image is not None:
            inputs.append(HostInput("imageReference", "the image that the guest boots", "C02", image.place))
        data = self.properties.get("osProfile", "customData") or self.properties.get("userData")
        if data is not None:
            inputs.append(HostInput("customData", "data that the guest's agent runs at first boot", "C42", data.place))
        profile = self.properties.get("osProfile")
        if profile is not None:
            meaning = "accounts, keys and commands that the guest's agent takes from the host"
            inputs.append(HostInput("osProfile", meaning, "C42", profile.place))
        return tuple(inputs)
