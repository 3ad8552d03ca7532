"""What a libvirt domain boots, and how large it is

SOURCE: libvirt 11.3.0 src/conf/domain_conf.c (virDomainDefParseBootOptions and its parts: a loader without a type is
a ROM), src/util/virutil.c (virScaleInteger). Channel ids are those of the catalogue.
"""

from __future__ import annotations

from dataclasses import replace

from hostproof.artefacts.machine.libvirt.xml import Element
from hostproof.artefacts.machine.model import Boot, HostInput, Unread

__all__ = ["boot", "cpu_model", "memory_mib", "vcpus"]

_UNITS = {"": 1024, "b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtpe", start=1):
    _UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}
"""Units as virScaleInteger knows them, without regard to case; memory without one is in KiB."""


def boot(domain: Element, kernel_hashes: bool | None) -> tuple[Boot, tuple[str, ...], tuple[HostInput, ...]]:
    """The boot facts, sentences about them, and the choices that the definition leaves to the host."""
    os = domain.first("os")
    if os is None:
        return Boot(kernel_hashes=kernel_hashes), (), ()
    notes: list[str] = []
    inputs: list[HostInput] = []
    found = Boot(kernel_hashes=kernel_hashes)
    loader = os.first("loader")
    if loader is not None and loader.text.strip():
        found = replace(found, firmware=loader.text.strip(), firmware_place=loader.place)
    elif os.get("firmware"):
        kind = os.get("firmware")
        wanted = ", ".join(
            f"{feature.get('name')}={feature.get('enabled')}"
            for firmware in os.all("firmware")
            for feature in firmware.all("feature")
        )
        inputs.append(
            HostInput(
                "os/firmware",
                "the host picks the firmware among the images it describes as having what is asked for",
                "C01",
                os.place_of("firmware"),
                f"{kind} {wanted}".strip(),
            )
        )
        notes.append(f"firmware {kind!r} is left to the host's selection: the definition names no image")
    nvram = os.first("nvram")
    if nvram is not None:
        path = nvram.text.strip() or nvram.attribute("source", "file")
        if path:
            found = replace(found, firmware_variables=path)
    kernel, initrd, line = (os.first(tag) for tag in ("kernel", "initrd", "cmdline"))
    if kernel is not None and kernel.text.strip():
        found = replace(found, kernel=kernel.text.strip(), kernel_place=kernel.place)
    if initrd is not None and initrd.text.strip():
        found = replace(found, initrd=initrd.text.strip(), initrd_place=initrd.place)
    if line is not None and line.text.strip():
        found = replace(found, command_line=line.text.strip(), command_line_place=line.place)
    return found, tuple(notes), tuple(inputs)


def memory_mib(domain: Element) -> tuple[int | None, Unread | None]:
    """Memory at boot in MiB, or what was not understood. A missing unit is KiB to libvirt."""
    element = domain.first("memory")
    if element is None:
        return None, None
    unit, text = element.get("unit").lower(), element.text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 18 or unit not in _UNITS:
        return None, Unread(
            f"memory {text[:40]!r} {unit!r}", "not a number with a unit that libvirt knows", element.place
        )
    return int(text) * _UNITS[unit] >> 20, None


def vcpus(domain: Element) -> tuple[int | None, Unread | None]:
    """The number of virtual CPUs; 1 where the definition gives none, as libvirt takes it."""
    element = domain.first("vcpu")
    if element is None or not element.text.strip():
        return 1, None
    text = element.text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        return None, Unread(f"vcpu {text[:40]!r}", "not a number", element.place)
    return int(text), None


def cpu_model(domain: Element) -> str | None:
    """The model, or the mode where the host decides: `host-passthrough`, `host-model`, `maximum`."""
    cpu = domain.first("cpu")
    if cpu is None:
        return None
    mode = cpu.get("mode")
    model = cpu.value("model")
    return model or (mode if mode and mode != "custom" else None)
