"""dstack: the host's `vmm.toml`, by which its VMM starts every guest with QEMU.

The file defines the host's side (`[cvm]`); image, size and disks of a VM come with its deployment. What the VMM always
puts on QEMU's command line is listed with it: a serial port, the root and the data disk, one network device, vsock,
the directory shared with the guest.

SOURCE: Dstack-TEE/dstack commit 312dc605ebaa, `dstack/vmm/src/config.rs` (CvmConfig), `dstack/vmm/src/app/qemu.rs`
(the command line: `-nodefaults`, `q35,kernel-irqchip=split,hpet=off`, the SNP policy 0x30000 with kernel hashes, the
TDX object without attributes).
"""

from __future__ import annotations

from hostproof.artefacts.machine.board import board_devices
from hostproof.artefacts.machine.device_models import device
from hostproof.artefacts.machine.located import toml_places
from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Boot, Confidential, Device, HostInput, Machine, Origin, Unread
from hostproof.artefacts.policy.bits import QEMU_TDX_ATTRIBUTES, SNP_MANDATORY, SNP_SMT
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read"]

SNP_POLICY = SNP_MANDATORY | SNP_SMT

CVM = frozenset(
    [
        "platform",
        "qemu_path",
        "kms_urls",
        "gateway_urls",
        "pccs_url",
        "tee_simulator",
        "nvidia_attestation_proxy_url",
        "docker_registry",
        "cid_start",
        "cid_pool_size",
        "port_mapping",
        "max_allocable_vcpu",
        "max_allocable_memory_in_mb",
        "qmp_socket",
        "gpu",
        "user",
        "auto_restart",
        "use_mrconfigid",
        "qemu_single_pass_add_pages",
        "qemu_pic",
        "qemu_version",
        "qemu_pci_hole64_size",
        "qemu_hotplug_off",
        "tdx_attestation_variant",
        "networking",
        "network_filter",
        "instance_id",
        "host_share_mode",
        "qgs_port",
        "product",
        "log",
        "volumes_dir",
    ]
)
SHARE_MODELS = {"9p": "virtio-9p-pci", "vvfat": "virtio-blk-pci", "vhd": "virtio-blk-pci"}


def read(data: bytes, name: str) -> Machine:
    """The VM that the VMM starts by default. Raises InputError where there is no section `cvm`."""
    root = toml_places.read(data, name)
    cvm = root.get("cvm")
    if cvm is None:
        raise InputError("no section cvm", place=Place(name), expected="[cvm]")
    notes: list[str] = [
        "the host's configuration: image, vCPUs, memory, disks and `no_tee` come with each deployment",
    ]
    confidential, declared = _confidential(cvm, notes)
    board = board_devices(
        "q35",
        architecture="x86_64",
        vmm_version=_text(cvm, "qemu_version") or None,
        defaults=False,
        switches={"hpet": "off", "kernel-irqchip": "split"},
        place=cvm.place,
    )
    notes.extend(board.notes)
    return Machine(
        format="dstack-toml",
        vmm="qemu",
        place=cvm.place,
        name="dstack",
        vmm_version=_text(cvm, "qemu_version") or None,
        architecture="x86_64",
        board=board.machine,
        cpu_model="EPYC-v4" if confidential is not None and confidential.technology == "sev-snp" else "host",
        confidential=confidential,
        declared=declared,
        boot=Boot(kernel_hashes=True if confidential and confidential.technology == "sev-snp" else None),
        devices=(*_devices(cvm), *board.devices),
        host_inputs=_host_inputs(root, cvm),
        unread=tuple(
            Unread(f"cvm.{key}", "a setting that this reader does not know", node.place)
            for key, node in cvm.mapping().items()
            if key not in CVM
        ),
        notes=tuple(notes),
    )


def _text(section: Node, *path: str) -> str:
    node = section.get(*path)
    return node.text() if node else ""


def _confidential(cvm: Node, notes: list[str]) -> tuple[Confidential | None, tuple[tuple[str, Place], ...]]:
    platform = cvm.get("platform")
    word = platform.text() if platform else "auto"
    place = platform.place if platform else cvm.place
    use_id = cvm.get("use_mrconfigid")
    if word == "tdx":
        fields = [("mrconfigid", "the digest of the compose file")] if use_id is not None and use_id.flag() else []
        port = cvm.get("qgs_port")
        if port is not None:
            fields.append(("quote-generation-service-port", port.text()))
        origin = "the default of QEMU's tdx-guest object; dstack sets no attributes"
        return Confidential("tdx", place, QEMU_TDX_ATTRIBUTES, None, origin, tuple(fields)), ()
    if word == "amd-sev-snp":
        origin = "dstack always writes this policy"
        snp = (("kernel-hashes", "on"), ("host-data", "the digest of the compose file"))
        return Confidential("sev-snp", place, SNP_POLICY, None, origin, snp), ()
    if word != "auto":
        raise InputError(f"platform {word[:40]!r}", place=place, expected='"auto", "tdx" or "amd-sev-snp"')
    notes.append("platform = auto: SEV-SNP where the host's CPU has it, else TDX; the host decides")
    return None, (('platform = "auto": SEV-SNP or TDX, as the host has it', place),)


def _devices(cvm: Node) -> tuple[Device, ...]:
    def own(model: str, key: str = "", id: str | None = None, backend: str | None = None) -> Device:
        node = cvm.get(key) if key else None
        origin = Origin.DEFINITION if node else Origin.DEFAULT
        return device(model, origin=origin, place=node.place if node else cvm.place, id=id, backend=backend)

    mode = _text(cvm, "networking", "mode") or "user"
    devices = [
        own("isa-serial", id="com0", backend="pty"),
        own("virtio-blk-pci", id="hd0", backend="verity root file system of the image"),
        own("virtio-blk-pci", id="hd1", backend="data disk"),
        own("virtio-net-pci", "networking", id="net0", backend=mode),
        own("vhost-vsock-pci", backend="vhost"),
    ]
    share = cvm.get("host_share_mode")
    word = share.text() if share else "9p"
    if word not in SHARE_MODELS:
        place = share.place if share else cvm.place
        raise InputError(f"host_share_mode {word[:40]!r}", place=place, expected='"9p", "vvfat" or "vhd"')
    devices.append(own(SHARE_MODELS[word], "host_share_mode", id="host-shared", backend="directory of the host"))
    return tuple(devices)


def _host_inputs(root: Node, cvm: Node) -> tuple[HostInput, ...]:
    inputs: list[HostInput] = []
    product = cvm.get("product")
    for key, node in (product.mapping() if product else {}).items():
        inputs.append(HostInput(f"cvm.product.{key}", "a string of the SMBIOS tables", "C05", node.place, node.text()))
    share = cvm.get("host_share_mode")
    place = share.place if share else cvm.place
    meaning = "files that the host puts into the directory it shares with the guest"
    inputs.append(HostInput("cvm.host_share_mode", meaning, "C44", place, share.text() if share else "9p"))
    switches = (
        (("cvm", "gpu", "enabled"), "GPUs of the host are passed through", "C38"),
        (("cvm", "port_mapping", "enabled"), "ports of the host are forwarded to the guest", "C43"),
        (("cvm", "qmp_socket"), "a socket by which the host's user plugs devices", "C29"),
    )
    for path, meaning, channel in switches:
        switch = root.get(*path)
        if switch is not None and switch.flag():
            inputs.append(HostInput(".".join(path), meaning, channel, switch.place, "true"))
    api = root.get("host_api", "address")
    if api is not None:
        inputs.append(HostInput("host_api.address", "the host's interface for the guest", "C34", api.place, api.text()))
    keys = root.get("key_provider", "enabled")
    if keys is not None and keys.flag():
        inputs.append(HostInput("key_provider", "a service of the host that hands out keys", "C34", keys.place, "true"))
    for key, meaning in (("kms_urls", "where the guest asks for keys"), ("pccs_url", "where quotes are verified")):
        service = cvm.get(key)
        if service is not None:
            value = ", ".join(n.text() for n in service.items()) if isinstance(service.value, list) else service.text()
            if value:
                inputs.append(HostInput(f"cvm.{key}", meaning, "C43", service.place, value))
    return tuple(inputs)
