"""From a source file to the drivers that are built from it, as far as a kernel's binaries tell

A package says where each module lies (`kernel/drivers/net/virtio_net.ko`), some modules name source files in their texts
(`Module.sources`), and `modules.builtin` names what is built in. From that, the first that holds:

1. another architecture's code, documentation, tools: not in this kernel at all;
2. a module of the file's name lies in the file's directory, or a module's texts name the file: that is where it is;
3. `modules.builtin` lists a module of the file's name: it is in the image;
4. the configuration says that the option is not set which is named as the driver's file (`E100` for `drivers/.../e100.c`) or
   as the file system's directory (`XFS_FS` for `fs/xfs/`), or that of the whole subsystem (`DRM`): it was not built;
5. in trees where each driver has a directory of its own: the modules in the file's directory, or in the nearest one above or
   else anywhere below the driver's directory, are candidates, unless a built-in module's name looks like one of its family;
6. such a directory without any module, in a subsystem that is itself a module (`DRM` is `m`): not built, because what depends
   on a module cannot be built in;
7. else nothing tells: the file may be linked into the image.

A module's missing name in 2 proves nothing, so it only ever says where a file *is*. SOURCE: Documentation/kbuild/
kconfig-language.rst of Linux (dependencies limit tristate symbols); the Kconfig and Makefile of the subsystems below.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hostproof.artefacts.kernel.facts import KernelFacts

__all__ = ["Located", "Sources", "Where", "shared_headers"]

_ARCHITECTURES = {"x86_64": ("x86",), "aarch64": ("arm64",), "s390x": ("s390",)}
_SHARED_BETWEEN = ("arch/arm/xen/",)
"""Code of one architecture that another builds: arch/arm64/xen/Makefile takes it."""
_NO_CODE = ("Documentation/", "tools/", "scripts/", "LICENSES/")
_CODE = (".c", ".S", ".rs")
_DRIVER_DIRECTORIES = {
    "drivers/gpu/drm/": 4,
    "drivers/net/ethernet/": 4,
    "drivers/net/wireless/": 4,
    "drivers/infiniband/hw/": 4,
    "drivers/media/pci/": 4,
    "drivers/media/usb/": 4,
    "drivers/scsi/": 3,
    "drivers/crypto/": 3,
    "fs/": 2,
    "net/": 2,
}
"""Trees in which a driver, or a vendor's drivers, have a directory of their own, and how deep that lies."""
_SUBSYSTEMS = {
    "drivers/gpu/drm/": "DRM",
    "drivers/infiniband/": "INFINIBAND",
    "drivers/media/pci/": "MEDIA_SUPPORT",
    "drivers/media/usb/": "MEDIA_SUPPORT",
    "drivers/mmc/": "MMC",
    "drivers/iio/": "IIO",
    "sound/": "SOUND",
}
"""Trees of which every driver depends on one tristate option."""
_CORE = frozenset(
    ("net/core", "net/ipv4", "net/ipv6", "net/sched", "net/ethtool", "net/unix", "net/xdp", "net/netlink", "net/packet")
    + ("net/ethernet", "net/bpf", "net/llc", "net/802", "net/mac80211", "net/wireless", "net/netfilter", "net/xfrm")
    + ("fs/proc", "fs/sysfs", "fs/kernfs", "fs/notify", "fs/iomap", "fs/crypto", "fs/verity", "fs/quota", "fs/nls")
)
"""Directories whose code is core code, or of many modules."""


class Where(StrEnum):
    """What is known of where a file's code is."""

    MODULES = "modules"
    """In these modules, every one."""
    CANDIDATES = "candidates"
    """In one or some of these modules."""
    BUILT_IN = "built-in"
    """In the image, as part of these drivers."""
    ABSENT = "absent"
    """Not built."""
    NOT_CODE = "not-code"
    """Nothing that a kernel is built from."""
    HEADER = "header"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Located:
    """Where a source file's code is, and the sentence that says how that was found."""

    file: str
    where: Where
    because: str
    drivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """The modules of a kernel by the source files that they are built from."""

    kernel: KernelFacts
    _by_directory: Mapping[str, list[str]] = field(init=False, repr=False)
    _by_source: Mapping[str, list[str]] = field(init=False, repr=False)
    _builtin: frozenset[str] = field(init=False, repr=False)
    _families: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_directory: dict[str, list[str]] = {}
        by_source: dict[str, list[str]] = {}
        for module in self.kernel.modules or ():
            tree, _, path = module.path.partition("/")
            if tree == "kernel":
                by_directory.setdefault(path.rpartition("/")[0], []).append(module.name)
            for source in module.sources:
                by_source.setdefault(posixpath.normpath(source), []).append(module.name)  # `arch/x86/kvm/../../../virt`
        builtin = frozenset(self.kernel.builtin or ())
        object.__setattr__(self, "_by_directory", by_directory)
        object.__setattr__(self, "_by_source", by_source)
        object.__setattr__(self, "_builtin", builtin)
        object.__setattr__(self, "_families", frozenset(name.partition("_")[0] for name in builtin))

    def locate(self, file: str) -> Located:
        """Where the code of a source file is."""
        for step in (self._elsewhere, self._named, self._listed, self._switched_off, self._neighbours):
            found = step(file)
            if found is not None:
                return found
        return Located(file, Where.UNKNOWN, f"nothing tells what {file} is linked into: it may be the image")

    def _elsewhere(self, file: str) -> Located | None:
        """What is in no kernel of this architecture, and headers."""
        if file.startswith(_NO_CODE):
            return Located(file, Where.NOT_CODE, f"{file} is no part of a kernel or its modules")
        own = _ARCHITECTURES.get(self.kernel.architecture)
        parts = file.split("/")
        foreign = parts[0] == "arch" and len(parts) > 2 and own is not None and parts[1] not in own
        if foreign and not file.startswith(_SHARED_BETWEEN):
            because = f"{file} is code of {parts[1]}, and this kernel is one of {self.kernel.architecture}"
            return Located(file, Where.ABSENT, because)
        if file.endswith(".h"):
            return Located(file, Where.HEADER, f"{file} is a header: which code includes it, nothing tells")
        if not file.endswith(_CODE):
            return Located(
                file, Where.UNKNOWN, f"{file} is no source file: what it changes in the build, nothing tells"
            )
        if self.kernel.modules is None:
            return Located(file, Where.UNKNOWN, f"no modules were given, so nothing tells where {file} is")
        return None

    def _named(self, file: str) -> Located | None:
        directory, name = _split(file)
        if name in self._by_directory.get(directory, ()):
            because = f"module {name} lies in {directory} and is named as {file}"
            return Located(file, Where.MODULES, because, (name,))
        if file in self._by_source:
            names = tuple(sorted(self._by_source[file]))
            return Located(file, Where.MODULES, f"texts of {', '.join(names)} name {file}", names)
        return None

    def _listed(self, file: str) -> Located | None:
        _, name = _split(file)
        if name in self._builtin:
            return Located(file, Where.BUILT_IN, f"modules.builtin lists {name}, the name of {file}", (name,))
        return None

    def _switched_off(self, file: str) -> Located | None:
        """Only options whose names say what they are of: elsewhere the same name may mean another thing."""
        directory, name = _split(file)
        options = []
        if file.startswith(("drivers/", "sound/")):
            options.append(name.upper())
        if file.startswith("fs/") and "/" in directory:
            options.append(f"{directory.split('/')[1].upper()}_FS")
        if _subsystem(file):
            options.append(_subsystem(file))
        for option in options:
            value = (self.kernel.config or {}).get(option)
            if value is not None and value.value == "n" and self._complete:
                because = f"no module or built-in driver is named as {file}, and CONFIG_{option} is not set"
                return Located(file, Where.ABSENT, because)
        return None

    @property
    def _complete(self) -> bool:
        return self.kernel.builtin is not None and self.kernel.config is not None and self.kernel.config_complete

    def _modular(self, file: str) -> str:
        """The option of the file's subsystem where that is a module, so that none of its drivers is built in."""
        option = _subsystem(file)
        value = (self.kernel.config or {}).get(option)
        return option if value is not None and value.value == "m" and self._complete else ""

    def _neighbours(self, file: str) -> Located | None:
        """The modules of a driver's own directory, or that there are none."""
        directory, _ = _split(file)
        parts = directory.split("/")
        depth = next((depth for tree, depth in _DRIVER_DIRECTORIES.items() if file.startswith(tree)), 0)
        modular = self._modular(file)
        if modular and not depth:
            depth = _subsystem_depth(file)
        top = "/".join(parts[:depth])
        if not depth or len(parts) < depth or top in _CORE:
            return None
        for end in range(len(parts), depth - 1, -1):
            names = self._by_directory.get("/".join(parts[:end]))
            if names:
                return self._candidates(file, "/".join(parts[:end]), names)
        if names := self._below(top):
            return self._candidates(file, f"{top} and what is below it", names)
        if not modular:
            return None
        because = f"no module lies at or below {top}, and CONFIG_{modular} is m, so that nothing of it is built in"
        return Located(file, Where.ABSENT, because)

    def _candidates(self, file: str, place: str, names: list[str]) -> Located:
        family = "" if self._modular(file) else self._family((*names, place.rpartition("/")[2]))
        if family:
            because = f"{place} holds {_some(names)}, but built-in modules named {family}... may be linked from it too"
            return Located(file, Where.UNKNOWN, because)
        because = f"{place} holds no other module than {_some(names)} (by place; no text names {file})"
        return Located(file, Where.CANDIDATES, because, tuple(sorted(names)))

    def _below(self, directory: str) -> list[str]:
        return [name for at, names in self._by_directory.items() if at.startswith(f"{directory}/") for name in names]

    def _family(self, names: Iterable[str]) -> str:
        """The first word of a built-in module's name that one of these names begins with as well."""
        for name in names:
            head = name.replace("-", "_").partition("_")[0]
            if head in self._families:
                return head
        return ""


def shared_headers(located: Iterable[Located]) -> list[Located]:
    """Headers that other code than a driver's own includes."""
    return [item for item in located if item.where is Where.HEADER and "/include/" in f"/{item.file}"]


def _split(file: str) -> tuple[str, str]:
    """Directory and canonical name of a source file."""
    directory, _, name = file.rpartition("/")
    return directory, name.rpartition(".")[0].replace("-", "_")


def _subsystem(file: str) -> str:
    """The option on which every driver of the file's tree depends; empty where there is none."""
    return next((option for tree, option in _SUBSYSTEMS.items() if file.startswith(tree)), "")


def _subsystem_depth(file: str) -> int:
    """How deep the directories lie that are right below the file's subsystem."""
    tree = next(tree for tree in _SUBSYSTEMS if file.startswith(tree))
    return tree.count("/") + 1


def _some(names: Iterable[str]) -> str:
    every = sorted(names)
    return ", ".join(every[:4]) + (f" and {len(every) - 4} more" if len(every) > 4 else "")
