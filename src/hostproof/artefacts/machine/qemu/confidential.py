"""Confidential-guest objects of a QEMU command line

An object of one of these types (`-object sev-snp-guest,id=sev0,...`) makes a VM confidential only where the machine
names it (`-machine confidential-guest-support=sev0`, or `memory-encryption=` before QEMU 6.0): without that the
definition is plain, whatever it declares.

A policy that is not written is QEMU's own default:

| object | default |
|---|---|
| `sev-guest` | policy 0x1 (bit 0, no debugging) |
| `sev-snp-guest` | policy 0x30000 (bit 16, SMT allowed; bit 17, reserved and one) |
| `tdx-guest` | attributes 0x10000000 (bit 28, SEPT_VE_DISABLE) |

SOURCE: QEMU qapi/qom.json (SevCommonProperties, SevGuestProperties, SevSnpGuestProperties, TdxGuestProperties);
target/i386/sev.c (DEFAULT_GUEST_POLICY, DEFAULT_SEV_SNP_POLICY); target/i386/kvm/tdx.c at 05caf2690e5a
(tdx_guest_init); hw/core/machine.c (confidential-guest-support, memory-encryption). AMD 55766 (SEV API) section 3,
GUEST_POLICY: bit 2 is ES. `debug=` of tdx-guest is of trees before QEMU 10.1. `rme-guest`: the patch series for Arm
CCA; no release holds it yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostproof.artefacts.machine.model import Confidential
from hostproof.artefacts.machine.qemu.draft import Draft, Entry
from hostproof.artefacts.machine.qemu.values import boolean, integer
from hostproof.artefacts.policy.bits import (
    QEMU_SEV_POLICY,
    QEMU_SNP_POLICY,
    QEMU_TDX_ATTRIBUTES,
    SEV_ES,
    TDX_DEBUG,
    TDX_SEPT_VE_DISABLE,
)

__all__ = ["GUESTS", "confidential"]


@dataclass(frozen=True, slots=True)
class _Guest:
    """A type of object: its technology, its default policy, and the properties that are known of it. `launch` are those
    that the host passes to the guest's report or launch (channel C10).
    """

    technology: str
    default: int | None
    known: frozenset[str]
    launch: frozenset[str]


_SEV = frozenset({"sev-device", "cbitpos", "reduced-phys-bits", "kernel-hashes", "policy"})
_SNP_LAUNCH = frozenset({"guest-visible-workarounds", "id-block", "id-auth", "host-data", "author-key-enabled"})
_TDX_LAUNCH = frozenset({"mrconfigid", "mrowner", "mrownerconfig"})

GUESTS = {
    "sev-guest": _Guest(
        "sev",
        QEMU_SEV_POLICY,
        _SEV | {"dh-cert-file", "session-file", "handle", "legacy-vm-type"},
        frozenset({"dh-cert-file", "session-file"}),
    ),
    "sev-snp-guest": _Guest(
        "sev-snp",
        QEMU_SNP_POLICY,
        _SEV | _SNP_LAUNCH | {"vcek-disabled", "certs-filename", "certs-timeout", "secure-tsc", "tsc-frequency"},
        _SNP_LAUNCH,
    ),
    "tdx-guest": _Guest(
        "tdx",
        QEMU_TDX_ATTRIBUTES,
        _TDX_LAUNCH | {"attributes", "sept-ve-disable", "debug", "quote-generation-socket", "quote-generation-service"},
        _TDX_LAUNCH,
    ),
    "s390-pv-guest": _Guest("s390-pv", None, frozenset(), frozenset()),
    "rme-guest": _Guest(
        "cca",
        None,
        frozenset({"measurement-algorithm", "measurement-algo", "measurement-log", "personalization-value", "sve-vector-length",
                   "num-breakpoints", "num-watchpoints", "num-pmu-counters"}),
        frozenset({"personalization-value"}),
    ),
}  # fmt: skip
"""The types of object that make a guest confidential."""


def confidential(draft: Draft) -> Confidential | None:
    """The confidentiality that the machine uses; None for a plain VM. An object that nobody uses becomes a declaration."""
    used = draft.machine.get("confidential-guest-support") or draft.machine.get("memory-encryption")
    identifier = used[0] if used else None
    for name, entry in draft.objects.items():
        if entry.options.get("qom-type") in GUESTS and name != identifier:
            draft.declared.append(
                (
                    f"an object {entry.options.get('qom-type')} ({name}) that the machine does not name as "
                    "confidential-guest-support",
                    entry.place,
                )
            )
    if used is None or identifier is None:
        return None
    named = draft.objects.get(identifier)
    if named is None:
        draft.declared.append((f"confidential-guest-support={identifier}, which no -object defines", used[1].place))
        draft.cannot_read("confidential-guest-support", f"no -object has the id {identifier!r}", used[1].place)
        return None
    kind = named.options.get("qom-type") or ""
    if kind not in GUESTS:
        draft.declared.append((f"confidential-guest-support={identifier}, an object of type {kind}", named.place))
        draft.cannot_read(f"object {kind}", "this technology is not known", named.place)
        return None
    return _read(draft, named, kind)


def _read(draft: Draft, entry: Entry, kind: str) -> Confidential:
    guest = GUESTS[kind]
    fields = entry.options.without("id", "qom-type")
    for key, value in fields:
        base = key.partition(".")[0]
        if base not in guest.known:
            draft.cannot_read(f"{kind}.{key}", "this property is not known; it may decide confidentiality", entry.place)
        if base in guest.launch:
            draft.add_input(key, f"launch field of the {kind} object", "C10", entry.place, value)
    policy, origin = _policy(draft, entry, kind)
    technology = guest.technology
    if technology == "sev" and policy is not None and policy & SEV_ES:
        technology = "sev-es"
    if kind in ("sev-guest", "sev-snp-guest"):
        draft.boots(kernel_hashes=_kernel_hashes(draft, entry, kind))
    return Confidential(
        technology, entry.place, policy, entry.place if origin == "definition" else None, origin, fields
    )


def _kernel_hashes(draft: Draft, entry: Entry, kind: str) -> bool | None:
    """Whether hashes of kernel, initrd and command line are measured: off unless written (SevCommonProperties)."""
    written = entry.options.get("kernel-hashes")
    value = False if written is None else boolean(written)
    if value is None:
        draft.cannot_read(f"{kind}.kernel-hashes", f"{written!r} is no boolean", entry.place)
    return value


def _policy(draft: Draft, entry: Entry, kind: str) -> tuple[int | None, str]:
    """The policy or attributes word and where it comes from; unread values give no policy rather than the default."""
    default = GUESTS[kind].default
    if default is None:
        return None, ""
    key = "attributes" if kind == "tdx-guest" else "policy"
    written = entry.options.get(key)
    if written is None:
        policy, origin = default, f"the default of QEMU's {kind} object"
    else:
        number = integer(written)
        if number is None or number < 0:
            draft.cannot_read(f"{kind}.{key}", f"{written!r} is no number", entry.place)
            return None, ""
        policy, origin = number, "definition"
    if kind == "tdx-guest":
        for switch, bit in (("sept-ve-disable", TDX_SEPT_VE_DISABLE), ("debug", TDX_DEBUG)):
            if (text := entry.options.get(switch)) is None:
                continue
            value = boolean(text)
            if value is None:
                draft.cannot_read(f"{kind}.{switch}", f"{text!r} is no boolean", entry.place)
                return None, ""
            policy = policy | bit if value else policy & ~bit
            origin = "definition"
    return policy, origin
