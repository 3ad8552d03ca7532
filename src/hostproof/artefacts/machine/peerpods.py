"""Peer pods: the values of the cloud-api-adaptor's chart, one provider per file.

Each pod gets a VM of a provider (libvirt or a cloud). The file holds only what differs from defaults: settings that
are commented out are the chart's documented defaults (`# (default: "true")`), and are read as such.

SOURCE: confidential-containers/cloud-api-adaptor commit fbdde7562078,
`src/cloud-api-adaptor/install/charts/peerpods/providers/`, and `src/cloud-providers/*/manager.go` (the settings).
"""

from __future__ import annotations

import re

from hostproof.artefacts.machine.located import yaml_places
from hostproof.artefacts.machine.located.node import Node, decode_text
from hostproof.artefacts.machine.model import Boot, Confidential, HostInput, Machine
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read"]

_COMMENTED = re.compile(r"^\s*#\s*([A-Z][A-Z0-9_]{1,60}):\s*\"([^\"]{0,500})\"\s*$")
DISABLE = "DISABLECVM"
SECURITY = "LIBVIRT_LAUNCH_SECURITY"
INPUTS = (
    ("INITDATA", "initdata for every pod", "C10"),
    ("LIBVIRT_EFI_FIRMWARE", "the guest's firmware", "C01"),
    ("LIBVIRT_VOL_NAME", "the image that the guest boots", "C02"),
    ("PODVM_IMAGE_ID", "the image that the guest boots", "C02"),
    ("IMAGEID", "the image that the guest boots", "C02"),
    ("AZURE_IMAGE_ID", "the image that the guest boots", "C02"),
    ("LIBVIRT_CPU", "the number of vCPUs", "C09"),
    ("LIBVIRT_MEMORY", "the size of the memory", "C09"),
    ("CLOUD_CONFIG_VERIFY", "whether the guest verifies its cloud-init data", "C42"),
    ("TLS_SKIP_VERIFY", "whether the guest's agent skips the check of the peer's certificate", "C43"),
)


def read(data: bytes, name: str) -> Machine:
    """The VM that each pod gets. Raises InputError where no provider is named."""
    found = yaml_places.documents(data, name)
    root = found[0] if found else None
    provider = root.get("provider") if root else None
    if root is None or provider is None:
        raise InputError("no provider", place=Place(name), expected="a field `provider`")
    values = _values(root, provider.text(), decode_text(data, name), name)
    notes = ["each pod gets a VM of the provider: its VMM and devices cannot be seen here"]
    confidential, declared = _confidential(values, provider, notes)
    return Machine(
        format="peerpods-yaml",
        vmm="provider",
        place=provider.place,
        name=f"peer pods on {provider.text()}",
        architecture="s390x" if confidential is not None and confidential.technology == "s390-pv" else None,
        vcpus=_number(values, "LIBVIRT_CPU"),
        memory_mib=_number(values, "LIBVIRT_MEMORY"),
        confidential=confidential,
        declared=declared,
        boot=_boot(values),
        host_inputs=tuple(
            HostInput(key, f"{meaning}{'' if given else ' (default of the chart)'}", channel, place, value)
            for key, meaning, channel in INPUTS
            if key in values
            for value, place, given in (values[key],)
            if value
        ),
        opaque=True,
        notes=tuple(notes),
    )


Values = dict[str, tuple[str, Place, bool]]
"""Setting -> value, place, and whether the file sets it (False: a default that stands in a comment)."""


def _values(root: Node, provider: str, text: str, name: str) -> Values:
    values: Values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _COMMENTED.match(line)
        if match:
            values.setdefault(match[1], (match[2], Place(name, line=number, path=match[1]), False))
    given = root.get("providerConfigs", provider)
    for key, node in (given.mapping() if given else {}).items():
        if not isinstance(node.value, dict | list) and node.value is not None:
            values[key] = (node.text(), node.place, True)
    return values


def _number(values: Values, key: str) -> int | None:
    value = values.get(key, ("", Place(""), False))[0]
    return int(value) if value.isdecimal() and len(value) < 10 else None


def _confidential(
    values: Values, provider: Node, notes: list[str]
) -> tuple[Confidential | None, tuple[tuple[str, Place], ...]]:
    disabled, place, given = values.get(DISABLE, ("", provider.place, False))
    if disabled.lower() == "true":
        notes.append(f"{DISABLE} is true{'' if given else ' by default'}: the pods' VMs are not confidential")
        return None, ()
    security, security_place, _ = values.get(SECURITY, ("", place, False))
    if security == "s390-pv":
        return Confidential("s390-pv", security_place), ()
    if disabled.lower() == "false":
        notes.append("which technology the provider uses is decided when a pod starts")
        return None, ((f"{DISABLE} = false", place),)
    return None, ()


def _boot(values: Values) -> Boot:
    firmware = values.get("LIBVIRT_EFI_FIRMWARE")
    if firmware is None:
        return Boot()
    return Boot(firmware=firmware[0] or None, firmware_place=firmware[1])
