"""The command line of `crosvm run`, turned into the shape of its JSON configuration.

`--block path=a,ro --mem 512 KERNEL`: an option takes one value or none; the word that belongs to no option is the
kernel.

SOURCE: crosvm commit f1e797a68dad, `src/crosvm/cmdline.rs` (RunCommand: which options are switches).
"""

from __future__ import annotations

from hostproof.artefacts.machine.located.node import Node, decode_text
from hostproof.artefacts.machine.located.words import Word, words
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["HOST_SIDE", "read"]

SWITCHES = frozenset(
    [
        "balloon-page-reporting",
        "balloon-ws-reporting",
        "boost-uclamp",
        "break-linux-pci-config-io",
        "delay-rt",
        "disable-sandbox",
        "disable-virtio-intx",
        "display-window-keyboard",
        "display-window-mouse",
        "enable-fw-cfg",
        "enable-hwp",
        "exit-stats",
        "extended-status",
        "force-calibrated-tsc-leaf",
        "force-disable-readonly-mem",
        "host-cpu-topology",
        "hugepages",
        "itmt",
        "lock-guest-memory",
        "mte",
        "no-balloon",
        "no-i8042",
        "no-pmu",
        "no-rng",
        "no-rtc",
        "no-smt",
        "no-syslog",
        "no-usb",
        "per-vm-core-scheduling",
        "protected-vm",
        "protected-vm-without-firmware",
        "pvclock",
        "s2idle",
        "seccomp-log-failures",
        "simple-media-device",
        "smccc-trng",
        "split-irqchip",
        "suspended",
        "suspended-vcpus",
        "unmap-guest-memory-on-fork",
        "vfio-isolate-hotplug",
        "vfio-platform-pm",
        "vhost-net",
        "vhost-scmi",
        "virt-cpufreq",
        "virt-cpufreq-upstream",
        "vtpm-proxy",
    ]
)
SHORT = {
    "-c": "cpus",
    "-m": "mem",
    "-p": "params",
    "-i": "initrd",
    "-s": "socket",
    "-b": "block",
    "-d": "disk",
    "-r": "root",
}
STRUCTURED = frozenset(
    ["block", "disk", "root", "rwdisk", "rwroot", "net", "serial", "vsock", "pmem", "vfio", "mem", "cpus"]
)
REPEATED = STRUCTURED - {"mem", "cpus", "vsock"} | {"params", "tap-name", "shared-dir", "evdev", "input", "virtio-snd"}
HOST_SIDE = frozenset(
    [
        "async-executor",
        "balloon-control",
        "balloon-page-reporting",
        "boost-uclamp",
        "core-scheduling",
        "cpu-affinity",
        "delay-rt",
        "disable-sandbox",
        "exit-stats",
        "extended-status",
        "host-cpu-topology",
        "hugepages",
        "hypervisor",
        "kernel-log-file",
        "kvm-device",
        "lock-guest-memory",
        "log-file",
        "log-level",
        "no-balloon",
        "no-i8042",
        "no-pmu",
        "no-rng",
        "no-rtc",
        "no-smt",
        "no-syslog",
        "no-usb",
        "per-vm-core-scheduling",
        "pivot-root",
        "rt-cpus",
        "seccomp-log-failures",
        "seccomp-policy-dir",
        "socket",
        "suspended",
        "suspended-vcpus",
        "swiotlb",
        "syslog-tag",
        "task-profiles",
        "unmap-guest-memory-on-fork",
        "vcpu-cgroup-path",
        "vhost-net",
    ]
)
"""They present nothing to the guest, or only say what is left out."""


def read(data: bytes, name: str) -> Node:
    """The tree of the VM that the command line defines. Raises InputError where it is no `crosvm run`."""
    top: dict[str, Node] = {}
    rest = words(decode_text(data, name), name)
    while rest and rest[0][0].rsplit("/", 1)[-1] != "run":
        rest = rest[1:]
    if not rest:
        raise InputError("no `crosvm run`", place=Place(name), expected="crosvm run [OPTION ..] KERNEL")
    index = 1
    while index < len(rest):
        index = _option(rest, index, top)
    return Node(top, Place(name))


def _option(rest: list[Word], index: int, top: dict[str, Node]) -> int:
    """Takes the option at `index` into `top`; gives the index behind it."""
    word, place = rest[index]
    if not word.startswith("-"):
        top["kernel"] = Node(word, place.at(path="KERNEL"))
        return index + 1
    name, sign, value = word.partition("=")
    option = SHORT.get(name, name.removeprefix("--"))
    at = place.at(path=f"--{option}")
    if option in SWITCHES:
        top[option] = Node(True, at)
        return index + 1
    if not sign:
        index += 1
        if index >= len(rest):
            raise InputError(f"{word} has no value", place=at, expected=f"{word} VALUE")
        value = rest[index][0]
    node = _structure(option, value, at) if option in STRUCTURED else Node(value, at)
    if option in REPEATED:
        top.setdefault(option, Node([], at)).items().append(node)
    else:
        top[option] = node
    return index + 1


def _structure(option: str, value: str, place: Place) -> Node:
    """`path,key=value,flag` or `key=value`; a single word stays a text where the option takes a number."""
    parts = value.split(",")
    if option in ("mem", "cpus") and len(parts) == 1 and "=" not in value:
        return Node(value, place)
    fields: dict[str, Node] = {}
    first = {"mem": "size", "cpus": "num-cores", "vsock": "cid", "serial": "type"}.get(option, "path")
    for position, part in enumerate(parts):
        key, sign, text = part.partition("=")
        if not sign and position == 0:
            fields[first] = Node(part, place)
        else:
            fields[key] = Node(text if sign else True, place)
    return Node(fields, place)
