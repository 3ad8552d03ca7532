"""The guest's kernel command line, as Kata's runtime writes it around `kernel_params`.

Left out is what the kernel only passes on or what is known at start-up alone: the root device and its flags,
`nr_cpus`, parameters for systemd and for the agent.

SOURCE: kata-containers commit 7c6ba40c54ea, `src/runtime/virtcontainers/`: `qemu_amd64.go` (kernelParams),
`qemu_arch_base.go` (appendConsole), `qemu.go` (kernelParameters, defaultKernelParameters), `clh.go`
(getNonUserDefinedKernelParams), `fc.go` (fcKernelParams, fcInitConfiguration).
"""

from __future__ import annotations

from hostproof.artefacts.machine.kata.devices import flag
from hostproof.artefacts.machine.located.node import Node

__all__ = ["command_line"]

QEMU_AMD64 = (
    "tsc=reliable no_timer_check rcupdate.rcu_expedited=1 i8042.direct=1 i8042.dumbkbd=1 i8042.nopnp=1 i8042.noaux=1 "
    "noreplace-smp reboot=k cryptomgr.notests net.ifnames=0 pci=lastbus=0"
)
CLH = "panic=1 no_timer_check noreplace-smp"
FIRECRACKER = "pci=off reboot=k panic=1 iommu=off net.ifnames=0 random.trust_cpu=on acpi=off"


def command_line(hypervisor: Node, parameters: str, *, vmm: str, architecture: str | None, confidential: bool) -> str:
    """The command line around `parameters`; for a VMM that this does not know, `parameters` alone."""
    if vmm == "qemu":
        parts = _qemu(hypervisor, parameters, architecture)
    elif vmm == "cloud-hypervisor":
        parts = _clh(hypervisor, parameters, confidential=confidential)
    elif vmm == "firecracker":
        last = "console=ttyS0" if flag(hypervisor, "enable_debug") else "8250.nr_uarts=0"
        parts = [parameters, FIRECRACKER, last]
    else:
        parts = [parameters]
    return " ".join(part for part in parts if part)


def _qemu(hypervisor: Node, parameters: str, architecture: str | None) -> list[str]:
    parts: list[str] = []
    if architecture == "x86_64":
        parts.append(QEMU_AMD64)
        if flag(hypervisor, "enable_iommu"):
            parts.append("intel_iommu=on iommu=pt")
    if architecture != "s390x":
        parts.append("console=ttyS0" if flag(hypervisor, "use_legacy_serial") else "console=hvc0 console=hvc1")
    parts.append("debug" if flag(hypervisor, "enable_debug") else "quiet")
    parts.append("panic=1")
    selinux = hypervisor.get("disable_guest_selinux")
    if selinux is None or selinux.placeholder is None:
        parts.append("selinux=0" if flag(hypervisor, "disable_guest_selinux") else "selinux=1")
    return [*parts, parameters]


def _clh(hypervisor: Node, parameters: str, *, confidential: bool) -> list[str]:
    parts = [CLH]
    if flag(hypervisor, "enable_iommu"):
        parts.append("iommu=pt")
    if not flag(hypervisor, "enable_debug"):
        parts.append("quiet")
    else:
        parts.append("console=hvc0" if confidential else "console=ttyS0,115200n8")
    return [*parts, parameters]
