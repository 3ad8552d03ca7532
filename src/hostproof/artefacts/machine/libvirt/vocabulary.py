"""Which elements of a domain are understood, and to whom they matter

Every element and attribute of a domain is in one of the sections below. What stands in none of them becomes `Unread`,
never silence: a new libvirt may give the host a new way to feed the guest.

In a row, the path comes first (`*` stands for any one element, `**` at the end for everything below), then the
attributes that are known.

SOURCE: libvirt 11.3.0 src/conf/schemas/domaincommon.rng (names and nesting), docs/formatdomain.rst (meaning); TDX
elements as in the sources named in `libvirt_security`; the NVMe bus is newer and read as QEMU's `nvme` and `nvme-ns`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hostproof.artefacts.machine.libvirt.xml import QEMU_NAMESPACE, Element
from hostproof.artefacts.machine.model import Unread

__all__ = ["SECTIONS", "unread_of"]

SECTIONS: dict[str, str] = {
    "read: it becomes a fact, a device or a host input": """
        . type id
        name
        uuid
        genid
        os firmware
        os/type arch machine
        os/loader type readonly secure stateless format
        os/nvram type template templateFormat format
        os/nvram/source file name protocol
        os/kernel
        os/initrd
        os/cmdline
        os/shim
        os/dtb
        os/bootloader
        os/firmware
        os/firmware/feature name enabled
        os/acpi
        os/acpi/table type
        os/smbios mode
        os/bios useserial rebootTimeout
        os/bootmenu enable timeout
        sysinfo type
        sysinfo/**
        memory unit dumpCore
        maxMemory unit slots
        vcpu placement cpuset current
        vcpus
        vcpus/vcpu id enabled hotpluggable order
        cpu mode match check migratable deprecated_features
        cpu/**
        features
        features/**
        clock offset basis adjustment start timezone
        clock/timer name present tickpolicy track frequency mode
        clock/timer/catchup threshold slew limit
        pm
        pm/suspend-to-mem enabled enable
        pm/suspend-to-disk enabled enable
        on_crash
        keywrap
        keywrap/cipher name state
        launchSecurity/**
        devices
        devices/*/address type domain bus slot function multifunction controller target unit port cssid ssid devno
        devices/*/address base reg iobase irq uuid
        devices/*/address/zpci uid fid
        devices/*/alias name
        devices/*/protocol type
        devices/disk type device model rawio snapshot sgio
        devices/disk/source **
        devices/disk/target dev bus tray removable rotation_rate dpofua
        devices/disk/serial
        devices/disk/wwn
        devices/disk/vendor
        devices/disk/product
        devices/disk/driver name type iommu ats packed page_per_vq event_idx queues queue_size iothread ioeventfd **
        devices/filesystem type accessmode multidevs model fmode dmode
        devices/filesystem/driver type name format wrpolicy queue iommu ats packed page_per_vq
        devices/filesystem/source dir socket file dev name pool volume
        devices/filesystem/target dir
        devices/controller type index model ports vectors
        devices/controller/model name
        devices/controller/master startport
        devices/controller/target busNr chassis chassisNr hotplug index memReserve port
        devices/controller/target/node
        devices/controller/driver iommu ats packed page_per_vq queues iothread ioeventfd cmd_per_lun max_sectors **
        devices/controller/serial
        devices/interface type managed trustGuestRxFilters
        devices/interface/mac address type check
        devices/interface/model type
        devices/interface/mtu size
        devices/interface/link state
        devices/interface/teaming type persistent
        devices/interface/source **
        devices/interface/rom bar file enabled
        devices/interface/driver name iommu ats packed page_per_vq event_idx ioeventfd queues rss rss_hash_report
        devices/interface/driver rx_queue_size tx_queue_size txmode
        devices/interface/driver/host csum gso tso4 tso6 ecn ufo mrg_rxbuf
        devices/interface/driver/guest csum tso4 tso6 ecn ufo
        devices/hostdev mode type managed model display ramfb sgio rawio
        devices/hostdev/source **
        devices/hostdev/rom bar file enabled
        devices/hostdev/driver name model iommufd **
        devices/hostdev/teaming type persistent
        devices/input type bus model
        devices/input/source dev evdev grab grabToggle repeat
        devices/input/driver iommu ats packed page_per_vq
        devices/graphics type listen port autoport tlsPort websocket socket address keymap passwd passwdValidTo
        devices/graphics connected display xauth fullscreen defaultMode sharePolicy powerControl p2p username
        devices/graphics replaceUser multiUser
        devices/video
        devices/video/model type heads primary ram vram vram64 vgamem blob edid
        devices/video/model/acceleration accel2d accel3d rendernode
        devices/video/model/resolution x y
        devices/video/driver name vgaconf iommu ats packed page_per_vq
        devices/sound model multichannel streams
        devices/sound/codec type
        devices/sound/driver iommu ats packed page_per_vq
        devices/serial type
        devices/serial/source **
        devices/serial/target type port
        devices/serial/target/model name
        devices/parallel type
        devices/parallel/source **
        devices/parallel/target port type
        devices/console type tty
        devices/console/source **
        devices/console/target type port
        devices/channel type
        devices/channel/source **
        devices/channel/target type name address port state
        devices/smartcard mode type
        devices/smartcard/source **
        devices/smartcard/certificate
        devices/smartcard/database
        devices/redirdev bus type
        devices/redirdev/source **
        devices/tpm model
        devices/tpm/backend type version persistent_state debug **
        devices/rng model
        devices/rng/backend model type **
        devices/rng/driver iommu ats packed page_per_vq
        devices/memballoon model autodeflate freePageReporting
        devices/memballoon/driver iommu ats packed page_per_vq
        devices/watchdog model action
        devices/panic model
        devices/shmem name role
        devices/shmem/model type
        devices/shmem/server path
        devices/vsock model
        devices/vsock/cid auto address
        devices/vsock/driver iommu ats packed page_per_vq
        devices/iommu model
        devices/iommu/driver intremap caching_mode eim iotlb aw_bits dma_translation xtsup passthrough pt granule **
        devices/memory model access discard
        devices/memory/source **
        devices/memory/target **
        devices/memory/uuid
        devices/crypto model type
        devices/crypto/backend model queues
        devices/crypto/driver iommu ats packed page_per_vq
        devices/hub type
        devices/nvram
        devices/pstore backend
        devices/pstore/path
        devices/pstore/size unit
        devices/emulator
    """,
    "the shape of a device that is listed: it adds no way into the guest": """
        devices/*/acpi index nodeset
        devices/*/boot order loadparm
        os/boot dev
        devices/disk/geometry cyls heads secs trans
        devices/disk/blockio logical_block_size physical_block_size discard_granularity
        devices/disk/readonly
        devices/disk/shareable
        devices/disk/transient shareBacking
        devices/filesystem/readonly
        devices/filesystem/space_hard_limit unit
        devices/filesystem/space_soft_limit unit
        devices/controller/pcihole64 unit
        devices/hostdev/readonly
        devices/hostdev/shareable
        devices/rng/rate bytes period
        devices/shmem/size unit
        devices/shmem/msi vectors ioeventfd enabled
        devices/redirfilter
        devices/redirfilter/usbdev **
        devices/interface/ip address family prefix peer
        devices/interface/route family address netmask prefix gateway metric
    """,
    "how the host stores, carries or throttles the data of a device: nothing that the guest reads": """
        devices/disk/backingStore **
        devices/disk/mirror **
        devices/disk/auth **
        devices/disk/encryption **
        devices/disk/iotune **
        devices/disk/throttlefilters **
        devices/disk/backenddomain name
        devices/filesystem/binary **
        devices/filesystem/idmap **
        devices/filesystem/filesystem **
        devices/interface/backend **
        devices/interface/backenddomain name
        devices/interface/bandwidth **
        devices/interface/virtualport **
        devices/interface/vlan **
        devices/interface/filterref **
        devices/interface/coalesce **
        devices/interface/port isolated
        devices/interface/portForward **
        devices/interface/script path
        devices/interface/downscript path
        devices/interface/guest dev actual
        devices/interface/target dev managed
        devices/interface/tune **
        devices/serial/log file append
        devices/parallel/log file append
        devices/console/log file append
        devices/channel/log file append
        devices/memballoon/stats period
        devices/hostdev/capabilities
        os/nvram/source/**
        os/nvram/varstore **
    """,
    "the host's end of a display or sound card": """
        devices/graphics/listen **
        devices/graphics/channel name mode
        devices/graphics/image compression
        devices/graphics/jpeg compression
        devices/graphics/zlib compression
        devices/graphics/playback compression
        devices/graphics/streaming mode
        devices/graphics/clipboard copypaste
        devices/graphics/mouse mode
        devices/graphics/filetransfer enable
        devices/graphics/gl enable rendernode
        devices/graphics/audio id
        devices/sound/audio id
        devices/audio **
    """,
    "how the host labels, places and limits the VM's process": """
        metadata **
        title
        description
        seclabel **
        devices/*/seclabel **
        devices/*/source/seclabel **
        resource **
        cputune **
        memtune **
        blkiotune **
        numatune **
        throttlegroups **
        iothreads
        iothreadids **
        defaultiothread **
        perf **
        idmap **
        memoryBacking **
        currentMemory unit dumpCore
        on_poweroff
        on_reboot
        on_lockfailure
        allowReboot value
        bootloader
        bootloader_args
        devices/lease **
    """,
}
"""Why a row is there -> the rows."""

_ROW = re.compile(r"(\S+)(.*)")


@lru_cache(maxsize=1)
def _known() -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """Path -> attributes, and the paths whose whole subtree is known."""
    known: dict[str, frozenset[str]] = {}
    subtrees = set()
    for rows in SECTIONS.values():
        for row in filter(None, map(str.strip, rows.splitlines())):
            match = _ROW.fullmatch(row)
            assert match is not None
            path, attributes = match[1], match[2].split()
            if path.endswith("/**"):
                subtrees.add(path.removesuffix("/**"))
                known.setdefault(path.removesuffix("/**"), frozenset())
                continue
            if "**" in attributes:
                subtrees.add(path)
            known[path] = known.get(path, frozenset()) | frozenset(attributes)
    return known, frozenset(subtrees)


def unread_of(domain: Element) -> list[Unread]:
    """What of the domain stands in none of the sections. Device kinds that are not known are their readers' business."""
    known, subtrees = _known()
    found: list[Unread] = []
    stack: list[tuple[Element, str]] = [(domain, "")]
    while stack:
        element, path = stack.pop()
        name = _row_of(path, known)
        if name is None:
            if not _device(path):
                found.append(Unread(path, "this element is not known", element.place))
            continue
        if name in subtrees:
            continue
        attributes = known[name]
        for attribute in element.attributes:
            if attribute not in attributes:
                found.append(Unread(f"{path}/@{attribute}".lstrip("/"), "this attribute is not known", element.place))
        below = [child for child in element.children if child.namespace != QEMU_NAMESPACE]
        stack.extend((child, f"{path}/{child.tag}".lstrip("/")) for child in reversed(below))
    return found


def _device(path: str) -> bool:
    return path.startswith("devices/") and path.count("/") == 1


def _row_of(path: str, known: dict[str, frozenset[str]]) -> str | None:
    if not path:
        return "."
    if path in known:
        return path
    steps = path.split("/")
    if steps[0] == "devices" and len(steps) > 2:
        general = "/".join(["devices", "*", *steps[2:]])
        if general in known:
            return general
    return None
