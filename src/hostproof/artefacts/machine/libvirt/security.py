"""`launchSecurity`: what a libvirt domain says of confidentiality

The element has a type (`sev`, `sev-snp`, `tdx`, `s390-pv`) and fields that become properties of one QEMU object
(`sev-guest`, `sev-snp-guest`, `tdx-guest`, `s390-pv-guest`). The fields are given here under QEMU's names, so that a
domain and the command line that libvirt makes of it read alike.

SOURCE: libvirt 11.3.0 src/conf/domain_conf.c (virDomainSEVCommonDefParseXML, virDomainSEVDefParseXML,
virDomainSEVSNPDefParseXML: policies are always hexadecimal; `policy` is mandatory for SEV and SEV-SNP),
src/qemu/qemu_command.c (qemuBuildSEVCommandLine, qemuBuildSEVSNPCommandLine); libvirt commit 798f748210ff
tests/qemuxmlconfdata/launch-security-tdx (tdx-guest); QEMU target/i386/kvm/tdx.c (tdx_guest_init: attributes default
to SEPT_VE_DISABLE) at 05caf2690e5a. The syntax of tdx-tools, before TDX was merged (`SocketAddress` below
`quoteGenerationService`), is that of intel/libvirt-tdx docs/formatdomain.rst at 117fa5d8146c.
"""

from __future__ import annotations

import re

from hostproof.artefacts.machine.libvirt.xml import Element
from hostproof.artefacts.machine.located import placeholders
from hostproof.artefacts.machine.model import Confidential, HostInput, Unread
from hostproof.artefacts.policy.bits import QEMU_TDX_ATTRIBUTES, SEV_ES
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["LaunchSecurity", "launch_security"]

_TECHNOLOGIES = ("sev", "sev-snp", "tdx", "s390-pv")
"""Types that libvirt knows, each named as its technology."""
_HEXADECIMAL = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})")
_DECIMAL = re.compile(r"(?:0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})")

_ELEMENTS: dict[str, dict[str, str]] = {
    "sev": {
        "cbitpos": "cbitpos",
        "reducedPhysBits": "reduced-phys-bits",
        "dhCert": "dh-cert",
        "session": "session",
    },
    "sev-snp": {
        "cbitpos": "cbitpos",
        "reducedPhysBits": "reduced-phys-bits",
        "guestVisibleWorkarounds": "guest-visible-workarounds",
        "idBlock": "id-block",
        "idAuth": "id-auth",
        "hostData": "host-data",
    },
    "tdx": {"mrConfigId": "mrconfigid", "mrOwner": "mrowner", "mrOwnerConfig": "mrownerconfig"},
    "s390-pv": {},
}
"""Element below `launchSecurity` -> name of the QEMU property (`dh-cert` and `session` hold the blob, not a file's name)."""

_SWITCHES: dict[str, dict[str, tuple[str, bool]]] = {
    "sev": {"kernelHashes": ("kernel-hashes", False)},
    "sev-snp": {
        "kernelHashes": ("kernel-hashes", False),
        "authorKey": ("author-key-enabled", False),
        "vcek": ("vcek-disabled", True),
    },
    "tdx": {},
    "s390-pv": {},
}
"""Attribute -> QEMU property, and whether the sense is turned round."""

_HOST_CHOSEN = {
    "host-data": "HOSTDATA of the report, chosen by who writes the definition",
    "id-block": "the identity block that the report carries",
    "id-auth": "the signature over the identity block",
    "mrconfigid": "MRCONFIGID of the report, chosen by who writes the definition",
    "mrowner": "MROWNER of the report, chosen by who writes the definition",
    "mrownerconfig": "MROWNERCONFIG of the report, chosen by who writes the definition",
    "guest-visible-workarounds": "GOSVW bits that the guest is shown",
}


class LaunchSecurity:
    """What was read: `confidential`, and `kernel_hashes` for the boot facts (None where the technology has none)."""

    def __init__(self) -> None:
        self.confidential: Confidential | None = None
        self.kernel_hashes: bool | None = None
        self.host_inputs: list[HostInput] = []
        self.unread: list[Unread] = []
        self.notes: list[str] = []


def launch_security(domain: Element) -> LaunchSecurity:
    """What the domain says. Raises InputError where a policy is not a hexadecimal number."""
    found = LaunchSecurity()
    elements = domain.all("launchSecurity")
    if not elements:
        return found
    for further in elements[1:]:
        found.unread.append(Unread("launchSecurity", "libvirt reads the first one only", further.place))
    element = elements[0]
    kind = element.get("type")
    if kind not in _TECHNOLOGIES:
        found.unread.append(Unread(f"launchSecurity type {kind!r}", "the technology is not known", element.place))
        return found
    fields = _fields(element, kind, found)
    policy, place, origin = _policy(element, kind, found)
    technology = kind
    if kind == "sev" and policy is not None and policy & SEV_ES:
        technology = "sev-es"
        found.notes.append("launchSecurity is of type sev, and bit 2 of its policy asks for SEV-ES")
    if kind in ("sev", "sev-snp"):
        found.kernel_hashes = dict(fields).get("kernel-hashes") == "on"
    found.confidential = Confidential(
        technology, element.place, policy=policy, policy_place=place, policy_origin=origin, fields=tuple(fields)
    )
    return found


def _fields(element: Element, kind: str, found: LaunchSecurity) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    switches, names = _SWITCHES[kind], _ELEMENTS[kind]
    for attribute, value in element.attributes.items():
        if attribute == "type":
            continue
        if attribute not in switches or value not in ("yes", "no"):
            found.unread.append(
                Unread(f"launchSecurity {attribute}={value!r}", "not known", element.place_of(attribute))
            )
            continue
        name, turned = switches[attribute]
        fields.append((name, "on" if (value == "yes") != turned else "off"))
    for child in element.children:
        text = child.text.strip()
        if child.tag == "policy" and kind != "s390-pv":
            continue
        if child.tag == "quoteGenerationService" and kind == "tdx":
            fields.append(("quote-generation-socket", _quote_service(child, found)))
        elif child.tag in names and not child.children and not child.attributes:
            name = names[child.tag]
            if child.tag in ("cbitpos", "reducedPhysBits") and not _DECIMAL.fullmatch(text):
                found.unread.append(Unread(f"{child.tag} {text!r}", "not a number", child.place))
                continue
            fields.append((name, text))
            if name in _HOST_CHOSEN:
                found.host_inputs.append(HostInput(name, _HOST_CHOSEN[name], "C10", child.place, text))
        else:
            found.unread.append(Unread(f"launchSecurity {child.tag}", "not known", child.place))
    return fields


def _quote_service(element: Element, found: LaunchSecurity) -> str:
    """The host's end of the quote service as `unix:/path` or `vsock:CID:PORT`."""
    if element.get("path"):
        return f"unix:{element.get('path')}"
    address = element.first("SocketAddress")
    if address is None:
        return "unix:/var/run/tdx-qgs/qgs.socket"
    kind = address.get("type")
    parts = {
        "vsock": (address.get("cid"), address.get("port")),
        "inet": (address.get("host"), address.get("port")),
        "unix": (address.get("path"),),
        "fd": (address.get("str"),),
    }.get(kind)
    if parts is None:
        found.unread.append(Unread(f"SocketAddress type {kind!r}", "not known", address.place))
        return ""
    found.notes.append("launchSecurity holds a SocketAddress: the syntax of tdx-tools, which no released libvirt takes")
    return ":".join((kind, *parts))


def _policy(element: Element, kind: str, found: LaunchSecurity) -> tuple[int | None, Place | None, str]:
    """The raw policy or attributes word, where it stands, and who says so."""
    if kind == "s390-pv":
        return None, None, ""
    given = element.first("policy")
    if given is not None and given.text.strip():
        text = given.text.strip()
        match = _HEXADECIMAL.fullmatch(text)
        if match:
            return int(match.group(1), 16), given.place, "definition"
        if placeholders.find(text) or text.isupper():
            found.unread.append(Unread(f"policy {text}", "a placeholder that is filled in before use", given.place))
            return None, given.place, ""
        raise InputError(
            f"launch security policy {text[:40]!r}",
            place=given.place,
            expected="a hexadecimal number of at most 64 bits",
            hint="libvirt reads the policy as hexadecimal, with or without 0x",
        )
    if kind == "tdx":
        return QEMU_TDX_ATTRIBUTES, None, "QEMU's default where libvirt gives no attributes: SEPT_VE_DISABLE"
    found.notes.append(f"launchSecurity of type {kind} without a policy: libvirt refuses to define this domain")
    return None, None, ""
