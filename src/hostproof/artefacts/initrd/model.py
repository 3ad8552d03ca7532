"""What is known of an initrd: its segments, its modules, what can load them, and whether it hands over to another root.

An initrd is several archives one after the other. `Segment` says where each stands, `Found` is one file that says
something, by its path in the initrd. Facts of several files that a bootloader concatenates are one `Initrd`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostproof.place import Place

__all__ = ["Found", "InitProgram", "Initrd", "InitrdModule", "ListedModule", "Loader", "ModprobeRule", "Segment"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One archive, or the boot configuration block at the end.

    `kind` is `cpio` or `bootconfig`, `compression` the kernel's word for it and empty where there is none. `place` has
    the offset in the file; `size` and `unpacked` count bytes, `members` the files, links and directories. `early` says
    that nothing compressed stands before it: the kernel looks for microcode and ACPI tables only there
    (`lib/earlycpio.c`).
    """

    place: Place
    kind: str
    compression: str
    size: int
    unpacked: int
    members: int
    early: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the initrd, and what it says (`text` is empty where its being there says it)."""

    path: str
    place: Place
    text: str = ""


@dataclass(frozen=True, slots=True)
class InitrdModule:
    """A loadable module: canonical name (underscores), path in the initrd, and the release whose directory it is in, empty
    where it stands elsewhere (booster, `insmod` by path).
    """

    name: str
    path: str
    release: str
    place: Place


@dataclass(frozen=True, slots=True)
class Loader:
    """Something that can load a module.

    `kind` is `modprobe`, `insmod`, `udev`, `mdev`, `systemd` (itself, or systemd-modules-load) or `program` (one that
    names the system call, whatever it is for). `because` says how it is told.
    """

    kind: str
    path: str
    because: str
    place: Place


@dataclass(frozen=True, slots=True)
class ModprobeRule:
    """One line of modprobe's configuration: `verb` as written (`blacklist`, `install`, `options`, `softdep`, `alias`),
    `module` canonical, `text` what follows.
    """

    verb: str
    module: str
    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class ListedModule:
    """A module that the initrd loads whatever devices there are (`modules-load.d`, `conf/modules`, `/etc/modules`)."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class InitProgram:
    """What the kernel starts first: `/init` and, where links lead, the file behind it.

    `form` is `elf-static`, `elf-dynamic`, `script`, or `unknown` where the file is none of these; `loads_modules` says
    whether it names the system calls that load a module: weak evidence, since a number needs no name.
    """

    path: str
    target: str
    form: str
    loads_modules: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Initrd:
    """An initrd as the kernel unpacks it.

    `kind` is `initramfs-tools`, `dracut`, `mkinitcpio`, `booster`, `kata`, `systemd`, `busybox` or `unknown`;
    `kind_place` is what tells it. `switches_root` is None where nothing tells, `switch` what tells. `releases` are the
    kernel releases whose modules directories it has; `listed` are canonical names in `modules.dep` of which no file is
    there. `acpi_tables` and `microcode` are those that the kernel finds before it unpacks anything.
    """

    name: str
    place: Place
    segments: tuple[Segment, ...]
    files: int
    modules: tuple[InitrdModule, ...]
    listed: tuple[str, ...]
    releases: tuple[str, ...]
    loaders: tuple[Loader, ...]
    kind: str
    kind_place: Place
    init: InitProgram | None
    switches_root: bool | None
    switch: Found | None
    modprobe: tuple[ModprobeRule, ...] = ()
    loads: tuple[ListedModule, ...] = ()
    microcode: tuple[Found, ...] = ()
    acpi_tables: tuple[Found, ...] = ()
    command_lines: tuple[Found, ...] = ()
    bootconfig: Found | None = None
    notes: tuple[str, ...] = ()
