"""What kind of file this is, told from its content.

`kind` names every format that a VM definition comes in, and the neighbours that people give by mistake: kernel
configuration fragments, domain capabilities, ACPI disassembly, device trees, kernels. `NEIGHBOURS` says of those what
they are and which option takes them. The name of a file decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module

from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.node import MAX_TEXT_BYTES, Node, decode_text
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["DEFINITIONS", "MAX_BYTES", "NEIGHBOURS", "kind"]

MAX_BYTES = 64 * 1024 * 1024
"""An IGVM image with a kernel and an initrd is the largest definition."""
MAX_PROLOGUE = 64
"""Comments and processing instructions before the root element of XML."""

NEIGHBOURS: dict[str, tuple[str, str]] = {
    "kconfig-fragment": ("a kernel configuration", "give it with --kernel, it says what the guest is built of"),
    "kernel-image": ("a kernel image", "give it with --kernel"),
    "elf": ("an ELF file (a kernel or a program)", "give a kernel with --kernel"),
    "deb": ("a Debian package", "give a kernel package with --kernel"),
    "rpm": ("an RPM package", "give a kernel package with --kernel"),
    "initrd": ("an initial RAM disk", "give the VM definition that boots it"),
    "firmware-volume": ("a UEFI firmware volume", "give the VM definition that loads it"),
    "hostproof-kernel-facts": ("a kernel-facts file of hostproof", "give it with --kernel"),
    "hostproof-ledger": ("a ledger of hostproof", "use `hostproof diff` or `hostproof explain`"),
    "libvirt-domcaps": (
        "the capabilities of a libvirt host",
        "give the domain (`virsh dumpxml NAME`); capabilities only say what the host offers",
    ),
    "libvirt-other": ("a libvirt document that is no domain", "give the domain (`virsh dumpxml NAME`)"),
    "acpi-dsl": ("disassembled ACPI tables", "give the VM definition; tables are one of the guest's inputs (C04)"),
    "acpi-table": ("a binary ACPI table", "give the VM definition; tables are one of the guest's inputs (C04)"),
    "dts": (
        "a device tree source",
        "give the VM definition, and the device tree beside it where protected VM firmware checks against it",
    ),
    "dtb": (
        "a flattened device tree",
        "give the VM definition, and the device tree beside it where protected VM firmware checks against it",
    ),
    "coco-initdata": ("initdata of Confidential Containers", "give the pod that carries it as an annotation"),
    "k8s-other": (
        "Kubernetes objects without a pod",
        "give a Pod, Deployment, Job or another object with a pod template",
    ),
    "kubevirt": ("a KubeVirt object", "give the libvirt domain that KubeVirt makes of it (`virsh dumpxml`)"),
}
"""Kind -> what it is, and what to do with it."""

_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"IGVM", "igvm"),
    (0, b"\xd0\x0d\xfe\xed", "dtb"),
    (0, b"\x7fELF", "elf"),
    (0, b"!<arch>\n", "deb"),
    (0, b"\xed\xab\xee\xdb", "rpm"),
    (0, b"070701", "initrd"),
    (0, b"070702", "initrd"),
    (0, b"\x1f\x8b", "initrd"),
    (0, b"\x28\xb5\x2f\xfd", "initrd"),
    (40, b"_FVH", "firmware-volume"),
    (0x202, b"HdrS", "kernel-image"),
    (56, b"ARMd", "kernel-image"),
)
"""Offset, bytes, kind. SOURCE: igvm_defs `IGVM_MAGIC_VALUE`; Devicetree Specification 0.4, 5.2; Linux
`Documentation/arch/x86/boot.rst` and `arch/arm64/booting.rst`; UEFI PI 1.8 volume 3, 3.2.1."""

_ELEMENT = re.compile(r"<([A-Za-z][\w:.-]{0,80})")
_ROOTS = {"domain": "libvirt-xml", "domainCapabilities": "libvirt-domcaps"}
_TABLE = re.compile(r"^[ \t]*\[\[?[ \t]*([^\[\]\n]{1,200}?)[ \t]*\]\]?[ \t]*(?:#.*)?$", re.MULTILINE)
_KCONFIG = re.compile(r"(?:CONFIG_[A-Za-z0-9_]+=\S*|# CONFIG_[A-Za-z0-9_]+ is not set)")
_YAML_KEY = re.compile(r"^([A-Za-z][\w-]{0,60}):(?:[ \t]|$)", re.MULTILINE)
_DSL = re.compile(r"^[ \t]*DefinitionBlock[ \t]*\(|^ \* ACPI Data Table \[|^\[000h 0000 ", re.MULTILINE)
_DTS = re.compile(r"^[ \t]*/dts-v1/;", re.MULTILINE)
_HCL = re.compile(
    r"^[ \t]*(?:resource|data|module)[ \t]+\"[\w-]{1,200}\"[ \t]+(?:\"[\w-]{1,200}\"[ \t]*)?\{", re.MULTILINE
)
_ACPI_SIGNATURE = re.compile(rb"[A-Z][A-Z0-9]{3}")


def kind(data: bytes, name: str) -> str:
    """The kind of file that `data` is. Raises InputError where it is empty, too large, or nothing known; the error
    says what was tried and what was seen.
    """
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{len(data)} bytes are too many for a VM definition",
            place=Place(name),
            expected=f"at most {MAX_BYTES >> 20} MiB",
        )
    if not data.strip():
        raise InputError("the file is empty", place=Place(name), expected="a VM definition")
    found = _binary(data) or (_text(data, name) if b"\0" not in data and len(data) <= MAX_TEXT_BYTES else None)
    if found:
        return found
    raise InputError(
        f"this is no VM definition that hostproof knows: {_seen(data)}",
        place=Place(name),
        expected=f"one of {', '.join(DEFINITIONS)}",
    )


def _seen(data: bytes) -> str:
    if b"\0" in data[:4096]:
        return f"it begins with the bytes {data[:16].hex(' ')}"
    line = data.lstrip()[:200].split(b"\n", 1)[0].decode("utf-8", "backslashreplace")
    return f"it begins with {line[:80]!r}"


def _binary(data: bytes) -> str | None:
    for offset, magic, found in _MAGICS:
        if data[offset : offset + len(magic)] == magic:
            return found
    declared = int.from_bytes(data[4:8], "little")
    if len(data) >= 36 and _ACPI_SIGNATURE.fullmatch(data[:4]) and 36 <= declared <= len(data):
        return "acpi-table"
    return None


def _text(data: bytes, name: str) -> str | None:
    text = decode_text(data, name)
    start = text.lstrip()[:1]
    if start == "<":
        return _xml(text)
    if start == "{":
        return _json(data, name)
    for sniff in (_markers, _kconfig, _toml, _command_line, _yaml, _by_its_reader):
        found = sniff(text)
        if found:
            return found
    return None


def _xml(text: str) -> str | None:
    """The kind that the root element tells; processing instructions and comments before it are passed over."""
    position = len(text) - len(text.lstrip())
    for opening, closing in (("<?", "?>"), ("<!--", "-->")) * MAX_PROLOGUE:
        if text.startswith(opening, position):
            end = text.find(closing, position)
            if end < 0:
                return None
            position = end + len(closing)
            while text[position : position + 1].isspace():
                position += 1
    match = _ELEMENT.match(text, position)
    if not match:
        return None
    root = match[1]
    return _ROOTS.get(root, "libvirt-other" if root in ("capabilities", "network", "pool", "volume") else None)


def _fields(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _is_arm(top: dict[str, Node]) -> bool:
    schema = top.get("$schema")
    return schema is not None and isinstance(schema.value, str) and "deploymentTemplate.json" in schema.value


def _is_igvm_build(top: dict[str, Node]) -> bool:
    return any({"output", "platforms", "policy"} & set(_fields(target)) for target in _fields(top.get("igvm")).values())


def _is_avf_raw(top: dict[str, Node]) -> bool:
    return bool({"kernel", "bootloader"} & set(top)) and bool(
        {"platform_version", "memory_mib", "protected", "disks", "initrd", "params"} & set(top)
    )


_CROSVM_KEYS = {"mem", "block", "serial", "protected-vm", "unprotected-vm", "sock", "vsock", "kernel", "cpus", "net"}
_JSON_KINDS: tuple[tuple[str, Callable[[dict[str, Node]], bool]], ...] = (
    ("hostproof-kernel-facts", lambda top: _format(top).startswith("hostproof-kernel-facts/")),
    ("hostproof-ledger", lambda top: _format(top).startswith("hostproof-ledger/")),
    ("igvm-manifest", lambda top: "guest_configs" in top),
    ("arm-template", _is_arm),
    ("igvm-build", _is_igvm_build),
    ("firecracker-json", lambda top: "boot-source" in top),
    ("cloud-hypervisor-json", lambda top: "payload" in top or ("platform" in top and "cpus" in top)),
    ("avf-json", lambda top: {"os", "task"} <= set(top) or _is_avf_raw(top)),
    ("cloudformation", lambda top: "AWSTemplateFormatVersion" in top or "Resources" in top),
    (
        "terraform-json",
        lambda top: bool({"resource", "planned_values"} & set(top)) or "root_module" in _fields(top.get("values")),
    ),
    ("gcloud-json", lambda top: "confidentialInstanceConfig" in top or _word(top, "kind") == "compute#instance"),
    ("aws-json", lambda top: "CpuOptions" in top or "Reservations" in top),
    (
        "azure-vm-json",
        lambda top: "securityProfile" in top or _word(top, "type") == "Microsoft.Compute/virtualMachines",
    ),
    ("k8s-pod", lambda top: "apiVersion" in top and "kind" in top),
    ("crosvm-json", lambda top: len(_CROSVM_KEYS & set(top)) >= 2),
)


def _word(top: dict[str, Node], field: str) -> str:
    node = top.get(field)
    return node.value if node is not None and isinstance(node.value, str) else ""


def _format(top: dict[str, Node]) -> str:
    return _word(top, "format")


def _json(data: bytes, name: str) -> str | None:
    top = _fields(json_places.read(data, name))
    return next((found for found, is_it in _JSON_KINDS if is_it(top)), None)


def _markers(text: str) -> str | None:
    if _DTS.search(text):
        return "dts"
    if _DSL.search(text):
        return "acpi-dsl"
    return "terraform-hcl" if _HCL.search(text) else None


def _kconfig(text: str) -> str | None:
    lines = [line.strip() for line in text.splitlines()]
    symbols = sum(1 for line in lines if _KCONFIG.match(line))
    others = sum(1 for line in lines if line and not line.startswith("#"))
    return "kconfig-fragment" if symbols and symbols * 2 > others else None


def _toml(text: str) -> str | None:
    tables = set(_TABLE.findall(text))
    if any(table.startswith("hypervisor.") for table in tables):
        return "kata-toml"
    if "cvm" in tables:
        return "dstack-toml"
    if "data" in tables and re.search(r"^algorithm\s*=", text, re.MULTILINE):
        return "coco-initdata"
    return None


def _command_line(text: str) -> str | None:
    """A shell line that starts Cloud Hypervisor or crosvm; comments before it and words such as `sudo` do not
    matter.
    """
    for line in text[:8000].splitlines():
        words = [word for word in line.split() if word not in ("exec", "sudo", "env")]
        if words and not words[0].startswith("#"):
            program = words[0].rsplit("/", 1)[-1].strip("'\"")
            return {"cloud-hypervisor": "cloud-hypervisor-argv", "crosvm": "crosvm-argv"}.get(program)
    return None


def _by_its_reader(text: str) -> str | None:
    """Formats that their readers tell themselves: Proxmox before QEMU, because a Proxmox file may hold QEMU arguments."""
    data = text.encode()
    if import_module("hostproof.artefacts.machine.proxmox").is_proxmox(data):
        return "pve-conf"
    return "qemu-argv" if import_module("hostproof.artefacts.machine.qemu").is_qemu(data) else None


def _yaml(text: str) -> str | None:
    keys = set(_YAML_KEY.findall(text))
    if {"provider", "providerConfigs"} <= keys:
        return "peerpods-yaml"
    if {"apiVersion", "kind"} <= keys:
        if re.search(r"^apiVersion:\s*[\"']?kubevirt\.io/", text, re.MULTILINE):
            return "kubevirt"
        return "k8s-pod"
    return None


DEFINITIONS: tuple[str, ...] = (
    "qemu-argv",
    "libvirt-xml",
    "pve-conf",
    "kata-toml",
    "dstack-toml",
    "k8s-pod",
    "peerpods-yaml",
    "cloud-hypervisor-argv",
    "crosvm-argv",
    "terraform-hcl",
    "igvm",
    *(found for found, _ in _JSON_KINDS if not found.startswith("hostproof-")),
)
"""The kinds that `hostproof.artefacts.machine.read` reads."""
