"""What in an initrd can load a module: modprobe, insmod, udev, mdev, systemd, or any program that names the system call.

A loader is told by its name and by what it leads to: `/sbin/modprobe` is a link to kmod or to busybox, whose applets also
answer to `busybox modprobe`. `/sbin/modprobe` matters by itself: the kernel's request_module starts it
(CONFIG_MODPROBE_PATH). udevd loads by alias where a rule says `kmod load` (`80-drivers.rules`). systemd itself loads what
`src/core/kmod-setup.c` lists, among it virtio_rng, virtio_console and qemu_fw_cfg where the host presents them.
"""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.artefacts.initrd.contents import Contents
from hostproof.artefacts.initrd.model import InitProgram, Loader

__all__ = ["find"]

BIN = ("sbin", "usr/sbin", "bin", "usr/bin", "usr/local/sbin", "usr/local/bin")
UDEVD = (
    "lib/systemd/systemd-udevd", "usr/lib/systemd/systemd-udevd", "sbin/udevd", "usr/sbin/udevd", "lib/udev/udevd",
    "usr/lib/udev/udevd", "bin/udevd", "usr/bin/udevd",
)  # fmt: skip
SYSTEMD = ("lib/systemd/systemd-modules-load", "usr/lib/systemd/systemd-modules-load")
MANAGER = ("lib/systemd/systemd", "usr/lib/systemd/systemd")


def find(contents: Contents, init: InitProgram | None) -> Iterator[Loader]:
    """Every loader once, the surest first."""
    kinds: set[str] = set()
    files: set[str | None] = set()
    told = (*_named(contents), *_applets(contents), *_udev(contents), *_systemd(contents), *_others(contents, init))
    for loader in told:
        real = contents.resolve(loader.path)
        known = real in files if loader.kind == "program" else loader.kind in kinds
        kinds.add(loader.kind)
        files.add(real)
        if not known:
            yield loader


def _named(contents: Contents) -> Iterator[Loader]:
    for kind in ("modprobe", "insmod", "mdev"):
        for directory in BIN:
            path = f"{directory}/{kind}"
            found, real = contents.found(path), contents.resolve(path)
            if found is not None and real is not None:
                because = "a file of this name" if real.endswith(f"/{kind}") else f"leads to {real}"
                yield Loader(kind, path, because, found.place)


def _applets(contents: Contents) -> Iterator[Loader]:
    for path, program in sorted(contents.programs.items()):
        for applet in program.applets:
            if applet in ("modprobe", "insmod", "mdev"):
                yield Loader(applet, path, "an applet of this busybox", contents.entries[path].place)


def _udev(contents: Contents) -> Iterator[Loader]:
    rules = sorted(path for path, text in contents.texts.items() if path.endswith(".rules") and b"kmod load" in text)
    because = f"{rules[0]} has it load by alias" if rules else "no rule has it load by alias"
    for path in UDEVD:
        found = contents.found(path)
        if found is not None:
            yield Loader("udev", path, because, found.place)


def _systemd(contents: Contents) -> Iterator[Loader]:
    for path in SYSTEMD:
        found = contents.found(path)
        if found is not None:
            yield Loader("systemd", path, "loads what modules-load.d lists", found.place)
    if any(path.rpartition("/")[2].startswith("libkmod.so") for path in contents.entries):
        for path in MANAGER:
            found = contents.found(path)
            if found is not None:
                yield Loader("systemd", path, "loads a list of its own through libkmod", found.place)


def _others(contents: Contents, init: InitProgram | None) -> Iterator[Loader]:
    """Programs that name the system call; the first of them the one that the kernel starts."""
    named = sorted(path for path, program in contents.programs.items() if program.loads_modules)
    for path in sorted(named, key=lambda path: init is None or path != init.target):
        yield Loader("program", path, "it names a system call that loads a module", contents.entries[path].place)
