"""Read an initrd: which modules it holds, what can load them, and whether it hands over to another root

`read_initrd` takes one file, `read_initrds` several that a bootloader puts one after the other, each at a multiple of 4
(GRUB's `initrd` command, systemd-boot). Both are pure functions; nothing in the initrd is executed or looked up outside.

What tells the tool that built it, and the root switch:

| kind | told by | switches root |
|---|---|---|
| kata | `kata-agent` as `/init`, or with a unit | no, where the agent or a systemd without `/etc/initrd-release` is first |
| dracut | `/usr/lib/initrd-release` with DRACUT_VERSION, `dracut-lib.sh` | `initrd-switch-root.service`, `switch_root` |
| initramfs-tools | `/conf/initramfs.conf`, `/scripts/functions` | `run-init` (klibc) in `/init` |
| mkinitcpio | `/init_functions` | `switch_root` in `/init` |
| booster | `/etc/booster.init.yaml` | always |
| systemd | `/init` leads to systemd | with `/etc/initrd-release` (systemd.io, INITRD_INTERFACE), not without |

Without an `/init` the kernel mounts the root itself (`init/main.c`, kernel_init_freeable).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.initrd import configuration, loaders
from hostproof.artefacts.initrd.contents import MODULE, Contents
from hostproof.artefacts.initrd.model import Found, InitProgram, Initrd, InitrdModule, Segment
from hostproof.artefacts.initrd.segments import LIMITS, bootconfig, walk
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read_initrd", "read_initrds"]


def read_initrd(data: bytes | Region, name: str, limits: Limits = LIMITS) -> Initrd:
    """The facts of one initrd. Raises InputError where it is no initramfs, damaged or beyond the limits."""
    return read_initrds([(data, name)], limits)


def read_initrds(parts: Sequence[tuple[bytes | Region, str]], limits: Limits = LIMITS) -> Initrd:
    """The facts of several files that a bootloader puts one after the other. Raises InputError."""
    if not parts:
        raise InputError("no initrd was given", expected="at least one file")
    contents = Contents()
    segments: list[Segment] = []
    block: Found | None = None
    for number, (data, name) in enumerate(parts, start=1):
        region = data if isinstance(data, Region) else Region.of_bytes(data, name)
        region, found, segment = bootconfig(region)
        if number == len(parts):
            block = found  # the kernel looks for it at the end of everything
        early = all(not item.compression for item in segments)
        segments += walk(region, limits, contents.take, early=early)
        segments += [segment] if segment is not None else []
    contents.settle()
    return _facts(contents, segments, block, parts[0][1] if len(parts) == 1 else " + ".join(name for _, name in parts))


def _facts(contents: Contents, segments: list[Segment], block: Found | None, name: str) -> Initrd:
    place = segments[0].place.at()
    modules = tuple(sorted(_modules(contents), key=lambda module: (module.name, module.path)))
    init = _init(contents)
    kind, kind_place = _kind(contents, init, place)
    switches, switch = _switch(contents, init, kind)
    releases = tuple(
        sorted({module.release for module in modules if module.release} | set(configuration.releases(contents)))
    )
    notes = [
        f"{path}: an ACPI table where the kernel does not look for it (only uncompressed archives in front)"
        for path in contents.late_tables
    ]
    return Initrd(
        name=name,
        place=Place(place.artefact),
        segments=tuple(segments),
        files=len(contents.entries),
        modules=modules,
        listed=configuration.listed_only(contents, {module.name for module in modules}),
        releases=releases,
        loaders=tuple(loaders.find(contents, init)),
        kind=kind,
        kind_place=kind_place,
        init=init,
        switches_root=switches,
        switch=switch,
        modprobe=tuple(configuration.modprobe(contents)),
        loads=tuple(configuration.loads(contents)),
        microcode=tuple(contents.microcode),
        acpi_tables=tuple(contents.acpi_tables),
        command_lines=tuple(configuration.command_lines(contents)),
        bootconfig=block,
        notes=(*notes, *contents.unseen),
    )


def _modules(contents: Contents) -> Iterator[InitrdModule]:
    """Module files wherever they stand, links among them where they lead to a file of the initrd."""
    for path, entry in contents.entries.items():
        match = MODULE.search(path)
        if match and entry.kind != "directory" and contents.resolve(path) is not None:
            release = _RELEASE.match(path)
            yield InitrdModule(match[1].replace("-", "_"), path, release[1] if release else "", entry.place)


_RELEASE = re.compile(r"(?:usr/)?lib/modules/([^/]+)/")


def _init(contents: Contents) -> InitProgram | None:
    """What the kernel starts first, by default (`rdinit=` names another)."""
    target = contents.resolve("init")
    if target is None or contents.entries[target].kind == "directory":
        return None
    program = contents.programs.get(target)
    form = program.form if program is not None else "unknown"
    return InitProgram(
        "init", target, form, program is not None and program.loads_modules, contents.entries[target].place
    )


def _kind(contents: Contents, init: InitProgram | None, place: Place) -> tuple[str, Place]:
    target = init.target.rpartition("/")[2] if init is not None else ""
    if init is not None and target == "kata-agent":
        return "kata", init.place
    for kind, path in _TELLTALES:
        found = contents.found(path)
        if found is not None:
            return kind, found.place
    for path in ("etc/initrd-release", "usr/lib/initrd-release"):
        real = contents.resolve(path)
        if real is not None and b"DRACUT_VERSION" in contents.texts.get(real, b""):
            return "dracut", contents.entries[real].place
    if init is not None and target in ("systemd", "busybox"):
        return target, init.place
    busybox = contents.found("bin/busybox") or contents.found("usr/bin/busybox")
    if busybox is not None and init is not None and init.form == "script":
        return "busybox", busybox.place
    return "unknown", place


_TELLTALES = (
    ("kata", "usr/bin/kata-agent"),
    ("booster", "etc/booster.init.yaml"),
    ("initramfs-tools", "conf/initramfs.conf"),
    ("mkinitcpio", "init_functions"),
    ("dracut", "usr/lib/dracut-lib.sh"),
    ("dracut", "lib/dracut-lib.sh"),
)


def _switch(contents: Contents, init: InitProgram | None, kind: str) -> tuple[bool | None, Found | None]:
    """Whether the first program hands over to another root, and the file that says so."""
    if init is None:
        return True, None
    target = init.target.rpartition("/")[2]
    first = Found(init.target, init.place)
    if target == "kata-agent":
        return False, first
    if target == "systemd":
        release = contents.found("etc/initrd-release")
        if release is None:
            return False, first
        return True, contents.found("usr/lib/systemd/system/initrd-switch-root.service") or release
    if kind == "booster":
        return True, contents.found("etc/booster.init.yaml")
    program = contents.programs.get(init.target)
    if program is not None and program.form == "script" and program.switches:
        return True, Found(init.target, init.place, ", ".join(program.switches))
    return None, None
