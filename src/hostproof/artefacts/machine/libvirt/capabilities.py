"""libvirt domain capabilities: what a host can give a VM

`virsh domcapabilities` writes them. They are the host's own word, so they prove nothing; they tell which launch security a
definition could ask for there, and the C-bit position that libvirt fills in where a definition leaves it out.

SOURCE: libvirt docs/formatdomaincaps.rst ("AMD Secure Encrypted Virtualization (SEV)", "Intel TDX", "Launch security"); libvirt
11.3.0 src/conf/domain_capabilities.c (virDomainCapsFeatureSEVFormat, virDomainCapsLaunchSecurityFormat).
"""

from __future__ import annotations

from dataclasses import dataclass

from hostproof.artefacts.machine.libvirt.xml import Element, parse, root_tag
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["DomainCapabilities", "is_capabilities", "read"]

_ROOT = "domainCapabilities"


@dataclass(frozen=True, slots=True)
class DomainCapabilities:
    """A host's capabilities for one emulator, machine type and architecture.

    The four technologies are None where the document does not say: older libvirt had no element for them. `cbitpos` is
    the number of the page-table bit that marks a page encrypted, `reduced_phys_bits` how many bits of physical address
    encryption costs, `max_guests` and `max_es_guests` how many such guests the host can run at once. `launch_security`
    are the values of `launchSecurity/@type` that a definition may use there. `places` says where each field was read.
    """

    place: Place
    architecture: str
    machine: str
    emulator: str
    virtualization: str
    """The type of domain: `kvm`, `qemu`."""
    sev: bool | None = None
    sev_es: bool | None = None
    sev_snp: bool | None = None
    tdx: bool | None = None
    s390_pv: bool | None = None
    cbitpos: int | None = None
    reduced_phys_bits: int | None = None
    max_guests: int | None = None
    max_es_guests: int | None = None
    launch_security: tuple[str, ...] | None = None
    places: tuple[tuple[str, Place], ...] = ()


def is_capabilities(data: bytes) -> bool:
    """Whether `data` begins like domain capabilities."""
    return root_tag(data) == _ROOT


def read(data: bytes, name: str) -> DomainCapabilities:
    """The capabilities. Raises InputError where the document is malformed or is no such document."""
    root = parse(data, name)
    if root.tag != _ROOT:
        raise InputError(
            f"the root element is {root.tag!r}",
            place=root.place,
            expected=f"{_ROOT}",
            hint="`virsh domcapabilities` writes it",
        )
    places: dict[str, Place] = {}
    texts = {}
    for field, tag in (
        ("architecture", "arch"),
        ("machine", "machine"),
        ("emulator", "path"),
        ("virtualization", "domain"),
    ):
        element = root.first(tag)
        texts[field] = element.text.strip() if element is not None else ""
        if element is not None:
            places[field] = element.place
    if not texts["architecture"] or not texts["emulator"]:
        raise InputError("no arch or no path", place=root.place, expected="the emulator and its architecture")
    types = _types(root, places)
    sev = root.first("features", "sev")
    max_es = _number(sev, "maxESGuests", "max_es_guests", places)
    supported = _supported(root, "sev", places)
    return DomainCapabilities(
        root.place,
        **texts,
        sev=supported if supported is not None else _listed(types, "sev"),
        sev_es=None if supported is None else bool(supported and max_es),
        sev_snp=_listed(types, "sev-snp"),
        tdx=_either(_supported(root, "tdx", places), _listed(types, "tdx")),
        s390_pv=_either(_supported(root, "s390-pv", places), _listed(types, "s390-pv")),
        cbitpos=_number(sev, "cbitpos", "cbitpos", places),
        reduced_phys_bits=_number(sev, "reducedPhysBits", "reduced_phys_bits", places),
        max_guests=_number(sev, "maxGuests", "max_guests", places),
        max_es_guests=max_es,
        launch_security=types,
        places=tuple(sorted(places.items())),
    )


def _types(root: Element, places: dict[str, Place]) -> tuple[str, ...] | None:
    element = root.first("features", "launchSecurity")
    if element is None:
        return None
    places["launch_security"] = element.place
    if element.get("supported") == "no":
        return ()
    return tuple(
        value.text.strip()
        for enum in element.all("enum")
        if enum.get("name") == "sectype"
        for value in enum.all("value")
    )


def _listed(types: tuple[str, ...] | None, kind: str) -> bool | None:
    return None if types is None else kind in types


def _either(own: bool | None, listed: bool | None) -> bool | None:
    return listed if own is None else own


def _supported(root: Element, tag: str, places: dict[str, Place]) -> bool | None:
    element = root.first("features", tag)
    if element is None:
        return None
    places[tag.replace("-", "_")] = element.place
    word = element.get("supported")
    if word not in ("yes", "no"):
        raise InputError(f"{tag} supported={word!r}", place=element.place, expected="yes or no")
    return word == "yes"


def _number(parent: Element | None, tag: str, field: str, places: dict[str, Place]) -> int | None:
    element = parent.first(tag) if parent is not None else None
    if element is None:
        return None
    text = element.text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InputError(f"{tag} {text[:40]!r}", place=element.place, expected="a decimal number")
    places[field] = element.place
    return int(text)
