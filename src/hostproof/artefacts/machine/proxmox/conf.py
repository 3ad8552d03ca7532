"""The format of Proxmox VE's VM configuration: `/etc/pve/qemu-server/VMID.conf`

Lines of `key: value` in sections. The part before the first section is the VM; `[PENDING]` holds changes for the next
start, other names are snapshots, `[special:...]` belongs to the tools. Lines with `#` at the start are the VM's
description. Many values are property strings: `value,option=value,...`, where the first may stand without its name.

SOURCE: proxmox/qemu-server e6352be67f70 src/PVE/QemuServer.pm (parse_vm_config).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["MAX_BYTES", "Configuration", "Setting", "parse", "properties"]

MAX_BYTES = 1024 * 1024
MAX_LINES = 20_000
_WHAT = "a Proxmox VM configuration: lines of `key: value`"

_SECTION = re.compile(r"\[([^\]]*)\]\s*")
_LINE = re.compile(r"([a-z][a-z_-]*[0-9]*):[ \t]*(.*?)\s*")


@dataclass(frozen=True, slots=True)
class Setting:
    """One line: `key`, `value` without surrounding blanks, and where it stands."""

    key: str
    value: str
    place: Place


@dataclass(slots=True)
class Configuration:
    """The VM's own settings by key (the last of a key wins), and the sections that follow with the line where each begins."""

    settings: dict[str, Setting] = field(default_factory=dict)
    sections: list[tuple[str, Place]] = field(default_factory=list)
    pending: list[Setting] = field(default_factory=list)
    odd: list[tuple[str, Place]] = field(default_factory=list)
    """Lines that are no setting."""

    def text(self, key: str, default: str = "") -> str:
        setting = self.settings.get(key)
        return setting.value if setting is not None else default

    def numbered(self, prefix: str) -> list[tuple[int, Setting]]:
        """The settings `prefixN` in the order of N."""
        pattern = re.compile(rf"{prefix}(0|[1-9][0-9]{{0,3}})")
        found = []
        for key, setting in self.settings.items():
            match = pattern.fullmatch(key)
            if match:
                found.append((int(match.group(1)), setting))
        return sorted(found, key=lambda pair: pair[0])


def parse(data: bytes, name: str) -> Configuration:
    """The configuration. Raises InputError where it is too large, not text, or holds no setting."""
    if len(data) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES >> 10} KiB", place=Place(name), expected=_WHAT)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text", place=Place(name, offset=error.start), expected=_WHAT) from None
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES:
        raise InputError(f"more than {MAX_LINES} lines", place=Place(name, line=MAX_LINES), expected=_WHAT)
    found = Configuration()
    section = ""
    for number, line in enumerate(lines, start=1):
        place = Place(name, line=number)
        if not line.strip() or line.startswith("#"):
            continue
        heading = _SECTION.fullmatch(line)
        if heading:
            section = heading.group(1)
            found.sections.append((section, place))
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            found.odd.append((line[:80], place))
        elif not section:
            found.settings[match.group(1)] = Setting(match.group(1), match.group(2), place.at(path=match.group(1)))
        elif section.lower() == "pending":
            found.pending.append(Setting(match.group(1), match.group(2), place.at(path=f"[PENDING] {match.group(1)}")))
    if not found.settings:
        raise InputError("no setting", place=Place(name, line=1), expected=_WHAT)
    return found


def properties(value: str, default: str) -> dict[str, str]:
    """A property string taken apart; what stands without a name goes to `default`. The last of a name wins."""
    found: dict[str, str] = {}
    for part in value.split(","):
        name, equals, text = part.partition("=")
        if equals:
            found[name.strip()] = text.strip()
        elif name.strip():
            found.setdefault(default, name.strip())
    return found
