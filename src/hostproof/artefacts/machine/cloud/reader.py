"""Other clouds: EC2 (CloudFormation, `run-instances` JSON), Compute Engine (`gcloud` JSON), Terraform of both (JSON or
HCL).

Only what bears on the threat model is taken: the confidential technology and secure boot. The VMM is the provider's:
the machine is opaque.

SOURCE: AWS CloudFormation reference AWS::EC2::Instance and LaunchTemplate (CpuOptions.AmdSevSnp); Compute Engine API
`instances` (confidentialInstanceConfig.confidentialInstanceType, shieldedInstanceConfig); Terraform Registry
`google_compute_instance` (confidential_instance_config), `aws_instance` (cpu_options.amd_sev_snp),
`azurerm_linux_virtual_machine` (vm options of securityType).
"""

from __future__ import annotations

from hostproof.artefacts.machine.cloud import hcl
from hostproof.artefacts.machine.cloud.azure import technology_of_size
from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Confidential, HostInput, Machine
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read"]

MAX_MACHINES = 200
GOOGLE = {"SEV": "sev", "SEV_SNP": "sev-snp", "TDX": "tdx"}
OPAQUE = "a cloud's VM: its VMM and devices belong to the provider and cannot be seen"
TERRAFORM = (
    "google_compute_instance",
    "google_compute_instance_template",
    "aws_instance",
    "aws_launch_template",
    "azurerm_linux_virtual_machine",
    "azurerm_windows_virtual_machine",
)


def read(data: bytes, name: str) -> tuple[Machine, ...]:
    """One machine for every instance that the file defines. Raises InputError where there is none."""
    if not data.lstrip().startswith(b"{"):
        found = [_terraform(kind, label, node) for kind, label, node in hcl.resources(data, name)]
    else:
        found = _json(json_places.read(data, name))
    machines = tuple(machine for machine in found if machine is not None)
    if not machines:
        raise InputError("no instance of a known kind", place=Place(name), expected=", ".join(TERRAFORM))
    if len(machines) > MAX_MACHINES:
        raise InputError(f"{len(machines)} instances", place=Place(name), expected=f"at most {MAX_MACHINES}")
    return machines


def _json(root: Node) -> list[Machine | None]:
    top = root.mapping()
    if "Resources" in top:
        return [_cloudformation(key, node) for key, node in top["Resources"].mapping().items()]
    if "resource" in top:
        return [
            _terraform(kind, label, _only(node))
            for kind, labels in top["resource"].mapping().items()
            if kind in TERRAFORM
            for label, node in labels.mapping().items()
        ]
    if "planned_values" in top or "values" in top:
        plan = root.get("planned_values", "root_module", "resources") or root.get("values", "root_module", "resources")
        return [_planned(node) for node in (plan.items() if plan else [])]
    if "Reservations" in top:
        lists = [reservation.get("Instances") for reservation in top["Reservations"].items()]
        return [_aws(instance, "aws-json", "") for found in lists if found for instance in found.items()]
    return [_aws(root, "aws-json", "") if "CpuOptions" in top else _gcloud(root)]


def _only(node: Node) -> Node:
    """Terraform writes a block as an object or as a list with one."""
    return node.items()[0] if isinstance(node.value, list) and len(node.items()) == 1 else node


def _block(node: Node, *path: str) -> Node | None:
    for step in path:
        below = node.get(step)
        if below is None:
            return None
        node = _only(below)
    return None if isinstance(node.value, list) else node


def _machine(
    form: str, node: Node, name: str, confidential: Confidential | None, notes: tuple[str, ...] = ()
) -> Machine:
    return Machine(
        format=form,
        vmm="provider",
        place=node.place,
        name=name,
        architecture="x86_64" if confidential else None,
        confidential=confidential,
        host_inputs=_inputs(node),
        opaque=True,
        notes=(OPAQUE, *notes),
    )


def _inputs(node: Node) -> tuple[HostInput, ...]:
    known = (
        ("UserData", "data that the guest's agent runs at first boot", "C42"),
        ("user_data", "data that the guest's agent runs at first boot", "C42"),
        ("metadata", "metadata that the guest's agent acts on", "C42"),
        ("metadata_startup_script", "a script that the guest's agent runs", "C42"),
        ("ImageId", "the image that the guest boots", "C02"),
        ("ami", "the image that the guest boots", "C02"),
        ("boot_disk", "the image that the guest boots", "C02"),
    )
    fields = node.mapping()
    return tuple(HostInput(key, what, channel, fields[key].place) for key, what, channel in known if key in fields)


def _cloudformation(key: str, node: Node) -> Machine | None:
    kind = node.get("type") or node.get("Type")
    properties = node.get("Properties")
    if kind is None or properties is None or kind.text() not in ("AWS::EC2::Instance", "AWS::EC2::LaunchTemplate"):
        return None
    return _aws(properties.get("LaunchTemplateData") or properties, "cloudformation", key)


def _aws(node: Node, form: str, name: str) -> Machine:
    return _machine(form, node, name, _enabled(_block(node, "CpuOptions", "AmdSevSnp")))


def _enabled(snp: Node | None) -> Confidential | None:
    return Confidential("sev-snp", snp.place) if snp is not None and snp.text() == "enabled" else None


def _gcloud(root: Node) -> Machine:
    kind = root.get("confidentialInstanceConfig", "confidentialInstanceType")
    plain = root.get("confidentialInstanceConfig", "enableConfidentialCompute")
    name = root.get("name")
    return _machine(
        "gcloud-json", root, name.text() if name else "", _google(kind, plain, root, "shieldedInstanceConfig")
    )


def _google(kind: Node | None, plain: Node | None, node: Node, shielded: str) -> Confidential | None:
    secure = _block(node, shielded)
    boot = (secure.get("enableSecureBoot") or secure.get("enable_secure_boot")) if secure is not None else None
    fields = (("secure-boot", boot.text()),) if boot is not None else ()
    if kind is not None:
        technology = GOOGLE.get(kind.text())
        if technology is None:
            raise InputError(f"confidential type {kind.text()[:40]!r}", place=kind.place, expected=", ".join(GOOGLE))
        return Confidential(technology, kind.place, fields=fields)
    if plain is not None and plain.flag():
        return Confidential("sev", plain.place, fields=fields)
    return None


def _planned(node: Node) -> Machine | None:
    kind, label, values = node.get("type"), node.get("name"), node.get("values")
    if kind is None or values is None:
        return None
    return _terraform(kind.text(), label.text() if label else "", values)


def _terraform(kind: str, label: str, node: Node) -> Machine | None:
    if kind not in TERRAFORM:
        return None
    name = f"{kind}.{label}"
    if kind.startswith("aws_"):
        return _machine("terraform", node, name, _enabled(_block(node, "cpu_options", "amd_sev_snp")))
    if kind.startswith("google_"):
        config = _block(node, "confidential_instance_config")
        word = config.get("confidential_instance_type") if config else None
        plain = config.get("enable_confidential_compute") if config else None
        return _machine("terraform", node, name, _google(word, plain, node, "shielded_instance_config"))
    size, vtpm = node.get("size"), node.get("vtpm_enabled")
    encryption = _block(node, "os_disk", "security_encryption_type")
    technology = technology_of_size(size.text()) if size else None
    if technology is None or encryption is None:
        return _machine("terraform", node, name, None)
    fields = [("security-encryption-type", encryption.text())]
    if vtpm is not None:
        fields.append(("vtpm", vtpm.text()))
    return _machine("terraform", node, name, Confidential(technology, encryption.place, fields=tuple(fields)))
