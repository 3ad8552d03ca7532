"""The device model into which every VM definition is read.

A definition is written by the host, which is the adversary: it says what a host that follows it would present, and
proves nothing about what the guest will be fed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hostproof.place import Place

__all__ = [
    "Boot",
    "Confidential",
    "Device",
    "HostInput",
    "Machine",
    "Origin",
    "Unread",
]


class Origin(StrEnum):
    """Why a device is there."""

    DEFINITION = "definition"
    """The definition asks for it."""
    BOARD = "board"
    """The machine type adds it without being asked."""
    DEFAULT = "default"
    """The VMM or the tool adds it because nothing said otherwise (QEMU without `-nodefaults`, libvirt's implicit devices)."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device that the definition presents.

    `model` is the name QEMU gives it (`virtio-net-pci`, `mc146818rtc`, `ICH9-LPC`) whatever the VMM, so that one
    catalogue fits all. `bus` is where the guest meets it: `pci`, `virtio`, `isa`, `usb`, `sysbus`, `serial`, `i2c`,
    `vmbus`, `platform`. `aliases` are the module aliases (`MODALIAS`) that the guest's kernel would compute from
    it, ids in the kernel's own spelling; empty where the device has no alias of its own.
    `backend` is the host's end (`file:/path`, `user`, `tap`, `vhost-user`, `unix:/path`), for data attacks.
    """

    model: str
    bus: str
    origin: Origin
    place: Place
    aliases: tuple[str, ...] = ()
    id: str | None = None
    backend: str | None = None
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Confidential:
    """What the definition says of confidentiality.

    `technology` is an id of the catalogue (`sev`, `sev-es`, `sev-snp`, `tdx`, `s390-pv`, `pkvm-arm64`, `cca`) or `vbs`.
    `policy` is the raw launch policy or attributes word where the definition (or the default of the tool that wrote
    it) gives one; `policy_origin` says which. `fields` are further launch fields as written (`host-data`, `mrconfigid`,
    `id-block`, `cbitpos`, `kernel-hashes`, `guest-features` ...).
    """

    technology: str
    place: Place
    policy: int | None = None
    policy_place: Place | None = None
    policy_origin: str = ""
    """`definition`, or the sentence that says whose default it is."""
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Boot:
    """What the definition boots. Paths are names in the definition; nothing is opened.

    `kernel_hashes` is True where the launch measurement covers hashes of kernel, initrd and command line
    (`kernel-hashes=on`), False where the definition leaves it off, None where the format cannot say.
    """

    firmware: str | None = None
    firmware_place: Place | None = None
    firmware_variables: str | None = None
    kernel: str | None = None
    kernel_place: Place | None = None
    initrd: str | None = None
    initrd_place: Place | None = None
    command_line: str | None = None
    command_line_place: Place | None = None
    kernel_hashes: bool | None = None
    igvm: str | None = None
    igvm_place: Place | None = None


@dataclass(frozen=True, slots=True)
class HostInput:
    """Something other than a device that this definition lets the host (or whoever may write it) choose at launch:
    an annotation that a pod may set, an SMBIOS string, a fw_cfg blob, a hook. `channel` is the catalogue's id where
    it is known (`C03` for kernel parameters), else empty.
    """

    name: str
    meaning: str
    channel: str
    place: Place
    value: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """An option that the reader did not understand. It becomes an `unknown` row, never silence."""

    option: str
    why: str
    place: Place


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM as its definition tells it.

    `format` is the kind of file (`qemu-argv`, `libvirt-xml`, `kata-toml`, ...), `vmm` who would run it (`qemu`,
    `cloud-hypervisor`, `firecracker`, `crosvm`, `openvmm`, `provider`), `architecture` the kernel's word (`x86_64`,
    `aarch64`, `s390x`), None where the definition does not say. `declared` is what the file claims in words about
    confidentiality when that differs from what it defines (`confidential_guest = true` without an object).
    `opaque` is True for clouds whose VMM nobody outside can see: their rows say "provider, cannot see".
    """

    format: str
    vmm: str
    place: Place
    name: str = ""
    vmm_version: str | None = None
    architecture: str | None = None
    board: str | None = None
    """The machine type as resolved (`pc-q35-7.2`), or as written where it could not be."""
    vcpus: int | None = None
    cpu_model: str | None = None
    memory_mib: int | None = None
    confidential: Confidential | None = None
    declared: tuple[tuple[str, Place], ...] = ()
    boot: Boot = Boot()
    devices: tuple[Device, ...] = ()
    host_inputs: tuple[HostInput, ...] = ()
    unread: tuple[Unread, ...] = ()
    opaque: bool = False
    notes: tuple[str, ...] = ()
    """Sentences about how the file was read that a person should know (a placeholder left as it was, a default taken)."""
