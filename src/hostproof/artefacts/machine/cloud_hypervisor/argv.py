"""Cloud Hypervisor's command line, turned into the shape of its JSON `VmConfig`.

`--disk path=a path=b,readonly=on --memory size=1G`: an option takes one or more values, a value is a list of
`key=value` separated by commas; brackets and double quotes keep commas together.

SOURCE: cloud-hypervisor commit ae44c2971c83, `cloud-hypervisor/src/main.rs` (the options), `option_parser/src/lib.rs`
(the syntax), `vmm/src/config.rs` (how each becomes a configuration).
"""

from __future__ import annotations

import re
from collections import Counter

from hostproof.artefacts.machine.located.node import Node, decode_text
from hostproof.artefacts.machine.located.words import Word, words
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read"]

LISTS = {
    "--disk": "disks",
    "--net": "net",
    "--fs": "fs",
    "--generic-vhost-user": "generic_vhost_user",
    "--pmem": "pmem",
    "--device": "devices",
    "--user-device": "user_devices",
    "--vdpa": "vdpa",
    "--numa": "numa",
    "--memory-zone": "memory_zone",
    "--rate-limit-group": "rate_limit_groups",
    "--pci-segment": "pci_segments",
    "--landlock-rules": "landlock_rules",
}
SINGLE = {
    "--cpus": "cpus",
    "--memory": "memory",
    "--platform": "platform",
    "--rng": "rng",
    "--rtc": "rtc",
    "--balloon": "balloon",
    "--vsock": "vsock",
    "--tpm": "tpm",
    "--serial": "serial",
    "--console": "console",
    "--debug-console": "debug_console",
    "--ivshmem": "ivshmem",
}
PAYLOAD = {
    "--kernel": "kernel",
    "--firmware": "firmware",
    "--initramfs": "initramfs",
    "--cmdline": "cmdline",
    "--igvm": "igvm",
    "--host-data": "host_data",
    "--fw-cfg-config": "fw_cfg_config",
}
SWITCHES = {"--pvpanic": "pvpanic", "--watchdog": "watchdog", "--landlock": "landlock_enable"}
HOST_SIDE = frozenset({"--api-socket", "--event-monitor", "--log-file", "--seccomp", "--gdb", "--dbus-service-name"})
"""They concern the host's side of the VM and present nothing to the guest."""

_SIZE = re.compile(r"(\d{1,15})([KMGT]?)")
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def read(data: bytes, name: str) -> Node:
    """The tree of the VM that the command line defines. Raises InputError where it cannot be split or an option lacks
    its value.
    """
    top: dict[str, Node] = {}
    place = Place(name)
    for option, values, at in _options(words(decode_text(data, name), name)):
        if option in SWITCHES:
            top[SWITCHES[option]] = Node(True, at)
        elif option in HOST_SIDE:
            continue
        elif not values:
            raise InputError(f"{option} has no value", place=at, expected=f"{option} VALUE")
        elif option in LISTS:
            items = top.setdefault(LISTS[option], Node([], at)).items()
            items.extend(_parameters(value, value_at) for value, value_at in values)
        elif option in PAYLOAD:
            payload = top.setdefault("payload", Node({}, at)).mapping()
            payload[PAYLOAD[option]] = Node(values[0][0], values[0][1])
        elif option in SINGLE:
            top[SINGLE[option]] = _single(option, values[0][0], values[0][1])
        else:
            top[option] = Node(" ".join(value for value, _ in values), at)
    return Node(top, place)


def _options(found: list[Word]) -> list[tuple[str, list[Word], Place]]:
    options: list[tuple[str, list[Word], Place]] = []
    seen: Counter[str] = Counter()
    for word, place in found:
        if word.startswith("--"):
            option, sign, value = word.partition("=")
            seen[option] += 1
            at = place.at(path=f"{option} #{seen[option]}")
            options.append((option, [(value, at)] if sign else [], at))
        elif options:
            option, values, at = options[-1]
            values.append((word, at))
    return options


def _single(option: str, value: str, place: Place) -> Node:
    if option in ("--serial", "--console", "--debug-console") and "=" not in value.split(",", 1)[0]:
        return Node({"mode": Node(value.split(",", 1)[0], place)}, place)
    if option in ("--serial", "--console", "--debug-console"):
        fields = _parameters(value, place).mapping()
        fields.setdefault("mode", Node(next(iter(fields), "null"), place))
        return Node(fields, place)
    node = _parameters(value, place)
    fields = node.mapping()
    if option == "--cpus":
        for short, full in (("boot", "boot_vcpus"), ("max", "max_vcpus")):
            if short in fields:
                fields[full] = fields.pop(short)
    if option == "--memory":
        for key in ("size", "hotplug_size"):
            if key in fields:
                fields[key] = _bytes(fields[key])
    return node


def _bytes(node: Node) -> Node:
    match = _SIZE.fullmatch(node.text())
    if not match:
        raise node.unexpected("a size such as 512M or 4G")
    return Node(int(match[1]) << _UNITS[match[2]], node.place)


def _parameters(value: str, place: Place) -> Node:
    fields: dict[str, Node] = {}
    for part in _split(value):
        key, sign, text = part.partition("=")
        fields[key] = Node(text.strip('"') if sign else True, place)
    return Node(fields, place)


def _split(value: str) -> list[str]:
    parts, current, depth, quoted = [], "", 0, False
    for character in value:
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "[]":
            depth += 1 if character == "[" else -1
        if character == "," and depth <= 0 and not quoted:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part for part in (*parts, current) if part]
