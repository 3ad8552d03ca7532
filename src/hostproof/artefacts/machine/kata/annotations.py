"""Kata's annotations: what a pod may change about the VM that it runs in.

`enable_annotations` lists patterns; every annotation `io.katacontainers.config.hypervisor.NAME` whose NAME matches may
be set in the pod, and whoever writes pods (in this threat model: the host) chooses its value at launch.

SOURCE: kata-containers `src/runtime/virtcontainers/pkg/annotations/annotations.go` and `src/runtime/pkg/oci/utils.go`,
commit 7c6ba40c54ea.
"""

from __future__ import annotations

from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import HostInput
from hostproof.place import Place

__all__ = ["ANNOTATIONS", "PREFIX", "allowed", "meaning_of"]

PREFIX = "io.katacontainers.config.hypervisor."

ANNOTATIONS: dict[str, tuple[str, str]] = {
    "firmware": ("the guest's firmware", "C01"),
    "firmware_volume": ("the variable store of the guest's firmware", "C01"),
    "firmware_hash": ("the digest that the runtime expects of the firmware", "C01"),
    "firmware_volume_hash": ("the digest that the runtime expects of the firmware's volume", "C01"),
    "kernel": ("the guest's kernel", "C02"),
    "kernel_hash": ("the digest that the runtime expects of the kernel", "C02"),
    "image": ("the guest's root image", "C02"),
    "image_hash": ("the digest that the runtime expects of the image", "C02"),
    "initrd": ("the guest's initial RAM disk", "C02"),
    "initrd_hash": ("the digest that the runtime expects of the initial RAM disk", "C02"),
    "guest_hook_path": ("a directory of programs in the guest that the agent runs around containers", "C02"),
    "kernel_params": ("parameters on the guest's kernel command line", "C03"),
    "kernel_verity_params": ("the dm-verity root hash on the guest's kernel command line", "C03"),
    "machine_type": ("the board", "C09"),
    "machine_accelerators": ("options of the board", "C09"),
    "default_vcpus": ("the number of vCPUs", "C09"),
    "default_memory": ("the size of the memory", "C09"),
    "numa_mapping": ("the NUMA layout that the tables describe", "C05"),
    "cpu_features": ("features that the virtual CPU shows", "C08"),
    "cc_init_data": ("initdata, whose digest becomes host data, MRCONFIGID or its like", "C10"),
    "pcie_root_port": ("the number of PCI Express root ports", "C13"),
    "pcie_switch_port": ("the number of PCI Express switch ports", "C13"),
    "entropy_source": ("the host file that feeds virtio-rng", "C21"),
    "default_max_vcpus": ("how many vCPUs may be plugged at run time", "C29"),
    "default_maxvcpus": ("how many vCPUs may be plugged at run time", "C29"),
    "default_maxmemory": ("how much memory may be plugged at run time", "C29"),
    "memory_slots": ("slots for memory plugged at run time", "C29"),
    "memory_offset": ("space for memory plugged at run time", "C29"),
    "enable_virtio_mem": ("a virtio-mem device", "C29"),
    "reclaim_guest_freed_memory": ("a balloon with free page reporting", "C29"),
    "hot_plug_vfio": ("where devices of the host are plugged at run time", "C29"),
    "block_device_driver": ("the kind of block device", "C34"),
    "block_device_aio": ("the host's way of block I/O", "C34"),
    "disable_image_nvdimm": ("a block device instead of an NVDIMM for the image", "C34"),
    "disable_vhost_net": ("which part of the host runs the network device", "C34"),
    "enable_vhost_user_store": ("block devices run by other host processes", "C34"),
    "vhost_user_store_path": ("the host directory of vhost-user sockets", "C34"),
    "cold_plug_vfio": ("where devices of the host are plugged at launch", "C38"),
    "default_gpus": ("the number of passed-through GPUs", "C38"),
    "default_gpu_model": ("the model of passed-through GPUs", "C38"),
    "gpu_model": ("the model of passed-through GPUs", "C38"),
    "use_legacy_serial": ("a serial port instead of the virtio console", "C40"),
    "enable_iommu": ("a virtual IOMMU and its tables", "C41"),
    "enable_iommu_platform": ("the platform feature of virtio devices", "C41"),
    "enable_guest_swap": ("a swap device provided by the host", "C42"),
    "disable_block_device_use": (
        "whether container roots come as block devices or through a shared file system",
        "C44",
    ),
    "shared_fs": ("the file system shared with the host", "C44"),
    "msize_9p": ("the message size of 9p", "C44"),
    "virtio_fs_daemon": ("the host program behind virtio-fs", "C44"),
    "virtio_fs_cache": ("the cache mode of virtio-fs", "C44"),
    "virtio_fs_cache_size": ("the DAX window of virtio-fs", "C44"),
    "virtio_fs_extra_args": ("arguments of the host program behind virtio-fs", "C44"),
}
"""Annotation without its prefix -> what it lets the writer of the pod choose, and the channel."""

_HOST_ONLY = "a setting of the host's side of the VM"
_METACHARACTERS = frozenset(".*+?[](){}|^$\\")
MAX_PATTERN = 200


def meaning_of(annotation: str) -> tuple[str, str]:
    """What an annotation (without prefix) chooses, and the channel, empty where it only concerns the host."""
    return ANNOTATIONS.get(annotation, (_HOST_ONLY, ""))


def allowed(node: Node) -> tuple[HostInput, ...]:
    """The host inputs that the list `enable_annotations` opens.

    Its entries are regular expressions. `.*` and `PREFIX.*` are resolved; another expression is not run (it may be
    hostile), and becomes one input that says so.
    """
    inputs: dict[str, HostInput] = {}
    for item in node.items():
        for found in _matches(item.text()[:MAX_PATTERN], item.place):
            inputs.setdefault(found.name, found)
    return tuple(inputs.values())


def _matches(pattern: str, place: Place) -> tuple[HostInput, ...]:
    if not _METACHARACTERS & set(pattern):
        return (_input(pattern, place),)
    stem = pattern.removeprefix("^").removesuffix("$").removesuffix(".*")
    if pattern.rstrip("$").endswith(".*") and not _METACHARACTERS & set(stem):
        return tuple(_input(name, place) for name in ANNOTATIONS if name.startswith(stem))
    meaning = "annotations that match this expression; which ones those are was not computed"
    return (HostInput(f"{PREFIX}{pattern}", meaning, "", place, value=pattern),)


def _input(name: str, place: Place) -> HostInput:
    meaning, channel = meaning_of(name)
    return HostInput(f"{PREFIX}{name}", f"a pod may choose {meaning}", channel, place)
