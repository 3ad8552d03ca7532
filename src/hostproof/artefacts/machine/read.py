"""The dispatcher: any VM definition, told by its content, into machines.

One file usually gives one machine; an IGVM manifest with three isolation types gives three, a deployment of two pods
two.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from hostproof.artefacts.machine import detect
from hostproof.artefacts.machine.model import Machine
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["READERS", "read"]

READERS: dict[str, str] = {
    "qemu-argv": "qemu",
    "libvirt-xml": "libvirt",
    "pve-conf": "proxmox",
    "kata-toml": "kata",
    "dstack-toml": "dstack",
    "k8s-pod": "pod",
    "peerpods-yaml": "peerpods",
    "arm-template": "cloud.azure",
    "azure-vm-json": "cloud.azure",
    "cloudformation": "cloud",
    "aws-json": "cloud",
    "gcloud-json": "cloud",
    "terraform-json": "cloud",
    "terraform-hcl": "cloud",
    "cloud-hypervisor-json": "cloud_hypervisor",
    "cloud-hypervisor-argv": "cloud_hypervisor",
    "firecracker-json": "firecracker",
    "crosvm-json": "crosvm",
    "crosvm-argv": "crosvm",
    "avf-json": "avf",
    "igvm": "igvm",
    "igvm-manifest": "igvm",
    "igvm-build": "igvm",
}
"""Kind -> module of this package with `read(data, name)`; imported when a file of that kind is given, and only
then.
"""

_TAKES_COMPANIONS = frozenset({"qemu-argv", "k8s-pod", "avf-json"})


def read(data: bytes, name: str, *, companions: Mapping[str, bytes] | None = None) -> tuple[Machine, ...]:
    """The machines that `data` defines, at least one.

    `companions` are further files that the user gave beside it, by name: what `-readconfig` names, the runtime's
    configuration of a pod, the device tree that protected VM firmware checks against. Raises InputError where the file
    is no VM definition (and says what it is and which option takes it), or cannot be read.
    """
    found = detect.kind(data, name)
    if found in detect.NEIGHBOURS:
        what, hint = detect.NEIGHBOURS[found]
        raise InputError(f"not a VM definition but {what}", place=Place(name), expected="a VM definition", hint=hint)
    if companions and found not in _TAKES_COMPANIONS:
        raise InputError(
            f"a {found} definition takes no companion",
            place=Place(next(iter(companions))),
            expected="a QEMU command line, a pod or an Android VM configuration beside it",
            hint="leave --companion out",
        )
    module = import_module(f"hostproof.artefacts.machine.{READERS[found]}")
    given = {"companions": companions or {}} if found in _TAKES_COMPANIONS else {}
    result = module.read(data, name, **given)
    machines: tuple[Machine, ...] = (result,) if isinstance(result, Machine) else tuple(result)
    if not machines:
        raise InputError(f"the {found} file defines no machine", place=Place(name), expected="at least one")
    return machines
