"""Changes to what the host is told and to who checks it: board switches, launch policy, feature bits, verifier

The definition is the host's. A device that it leaves out can be presented all the same, so a board switch alters what is
configured, and closes rows only where the ledger says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from hostproof.artefacts.machine.board import board_devices
from hostproof.artefacts.machine.model import Confidential, Machine, Origin
from hostproof.artefacts.policy import Policy, decode, decode_sev_features
from hostproof.attestation.verifier import REGISTERS
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.predicate import Facts, parse
from hostproof.knowledge.records import Feature, Technology
from hostproof.knowledge.terms import Coverage
from hostproof.knowledge.threat_model import first_rule
from hostproof.ledger.assess import Subject
from hostproof.ledger.features import launch_policy
from hostproof.ledger.what_if.changes import (
    SEV_FEATURES,
    Change,
    Check,
    HashKernel,
    Kind,
    SetPolicyBit,
    SetSevFeature,
    StateFeature,
    Unplug,
)
from hostproof.ledger.what_if.model import NotTried

__all__ = ["SWITCHES", "board_changes", "feature_changes", "policy_changes", "verifier_changes"]

SWITCHES = ("acpi", "hpet", "i8042", "ioapic2", "pic", "pit", "rtc", "sata", "smbus", "vmport")
"""Switches of QEMU's x86 boards that take a device away when off, as the board inventories hold them."""
IN_LIBVIRT = {
    "acpi": "<features> without <acpi/>",
    "hpet": "<clock><timer name='hpet' present='no'/></clock>",
    "i8042": "<features><ps2 state='off'/></features>",
    "pit": "<clock><timer name='pit' present='no'/></clock>",
    "vmport": "<features><vmport state='off'/></features>",
}
THE_HOSTS = "the definition is the host's: it may present the device all the same"
POLICY_HOW = {
    ("qemu-argv", "tdx"): "-object tdx-guest,attributes={:#x}",
    ("qemu-argv", "sev-snp"): "-object sev-snp-guest,policy={:#x}",
    ("libvirt-xml", ""): "<launchSecurity> with <policy>{:#x}</policy>",
    ("kata-toml", "sev-snp"): "snp_guest_policy = {}",
}
HASHES_HOW = {"qemu-argv": "-object ...,kernel-hashes=on", "libvirt-xml": "<launchSecurity kernelHashes='yes'>"}
MAX_BITS = 64


def board_changes(machine: Machine) -> Iterator[Change]:
    """Switches of the board, and QEMU's defaults switched off, where they take a device of this definition away."""
    if machine.vmm != "qemu" or machine.opaque:
        return
    present = Counter(device.model for device in machine.devices if device.origin is not Origin.DEFINITION)
    for switch in SWITCHES:
        models = _taken_away(machine, switch) & present
        if models:
            how = f"-machine {switch}=off"
            if machine.format == "libvirt-xml":
                how = IN_LIBVIRT.get(switch, f"{how} in <qemu:commandline>")
            yield _unplug(f"{switch}=off", f"-machine {switch}=off", how, models)
    defaults = Counter(device.model for device in machine.devices if device.origin is Origin.DEFAULT)
    if defaults and machine.format == "qemu-argv":
        yield _unplug("-nodefaults", "start QEMU with -nodefaults", "-nodefaults", defaults)


def _unplug(identifier: str, what: str, how: str, models: Counter[str]) -> Change:
    names = ", ".join(sorted(models))
    return Change(
        kind=Kind.BOARD,
        id=identifier,
        sentence=f"{what}: the definition then presents no {names}",
        how=how,
        edit=Unplug(tuple(sorted(models.items()))),
        note=THE_HOSTS,
    )


def _taken_away(machine: Machine, switch: str) -> Counter[str]:
    """The models that the board has with its switches as they are by default, and not with this one off."""
    if machine.board is None or machine.architecture is None:
        return Counter()
    models = []
    for switches in ({}, {switch: "off"}):
        board = board_devices(
            machine.board,
            architecture=machine.architecture,
            vmm_version=machine.vmm_version,
            defaults=True,
            switches=switches,
            place=machine.place,
        )
        models.append(Counter(device.model for device in board.devices))
    return models[0] - models[1]


def policy_changes(technology: Technology, machine: Machine | None) -> Iterator[Change]:
    """Every bit of the launch policy that decides a feature, turned over; hashes of kernel and command line measured."""
    confidential = machine.confidential if machine else None
    if machine is None or confidential is None:
        return
    policy = launch_policy(technology, confidential)
    if policy is not None and confidential.policy is not None:
        for bit in policy.bits:
            if bit.width == 1 and bit.bit < MAX_BITS:
                yield from _turned(technology, machine, confidential.policy, policy, bit.name, bit.bit)
    if machine.boot.kernel_hashes is False and machine.boot.kernel is not None:
        yield Change(
            kind=Kind.POLICY,
            id="kernel-hashes=on",
            sentence="have the launch measurement cover hashes of kernel, initrd and command line",
            how=HASHES_HOW.get(machine.format, "kernel-hashes=on"),
            edit=HashKernel(),
            note="only a firmware that compares them (OvmfPkg/AmdSev) makes them mean anything",
        )


def _turned(
    technology: Technology, machine: Machine, word: int, policy: Policy, name: str, bit: int
) -> Iterator[Change]:
    other = decode(technology.id, word ^ (1 << bit))
    if other.features() == policy.features():
        return
    on = bool(other.value >> bit & 1)
    yield Change(
        kind=Kind.POLICY,
        id=f"{name}={'1' if on else '0'}",
        sentence=f"{'set' if on else 'clear'} policy bit {bit} ({name}): {other.bit(name).meaning}",
        how=_policy_how(machine.format, technology.id).format(other.value),
        edit=SetPolicyBit(bit, on),
        note="the platform must support it; what a policy says counts once a verifier checks it",
    )


def _policy_how(form: str, technology: str) -> str:
    return POLICY_HOW.get((form, technology)) or POLICY_HOW.get((form, "")) or "launch policy {:#x}"


def feature_changes(
    registry: Mapping[str, Feature], technology: Technology, confidential: Confidential | None, facts: Facts
) -> Iterator[Change | NotTried]:
    """Every optional feature bit that no policy bit decides, at the values that it does not have."""
    policy = launch_policy(technology, confidential)
    decided = policy.features() if policy is not None else {}
    for name, feature in registry.items():
        if technology.features[name].value != "optional" or name in decided or feature.kind != "bool":
            continue
        value = facts.fact(f"feature.{name}").value
        off = first_rule(feature.off, facts)
        for on in (True, False):
            if value is on:
                continue
            if on and off.holds:
                yield NotTried(Kind.FEATURE, name, f"this guest could not run with it: {off.reason}")
                continue
            yield Change(
                kind=Kind.FEATURE,
                id=f"{name}={'on' if on else 'off'}",
                sentence=f"turn {'on' if on else 'off'} {name.replace('_', ' ')} ({feature.name})",
                how=feature.switch or f"a platform that has it; --fact feature.{name}={'yes' if on else 'no'}",
                edit=_feature_edit(name, on, confidential),
                note="host, firmware and guest must support it",
                slot=f"feature.{name}",
            )


def _feature_edit(name: str, on: bool, confidential: Confidential | None) -> SetSevFeature | StateFeature:
    """In the word that the definition writes, where it writes SEV_FEATURES; else as a person would state it."""
    written = confidential is not None and any(field in SEV_FEATURES for field, _ in confidential.fields)
    for bit in range(MAX_BITS) if written else ():
        if decode_sev_features(1 << bit).features().get(name):
            return SetSevFeature(bit, on)
    return StateFeature(name, on)


def verifier_changes(catalogue: Catalogue, subject: Subject, facts: Facts) -> Iterator[Change]:
    """Each register that covers an input here and that nobody checks; all of them, where there are several."""
    covering = {
        pin.register
        for pin in catalogue.pins.values()
        if pin.coverage in (Coverage.CONTENT, Coverage.REPORT) and parse(pin.when)(facts).value is not False
    }
    checked = subject.verifier.checks if subject.verifier else frozenset()
    free = [name for name in REGISTERS if name in covering and name not in checked]
    free = [name for name in free if facts.fact(f"verifier.{name}").value is not True]
    policy = subject.verifier
    for registers in ([free] if len(free) > 1 else []) + [[name] for name in free]:
        names = " and ".join((", ".join(registers[:-1]), registers[-1])) if len(registers) > 1 else registers[0]
        quoted = ", ".join(f'"{name}"' for name in sorted({*checked, *registers}))
        yield Change(
            kind=Kind.VERIFIER,
            id="check:" + "+".join(registers),
            sentence=f"have {'the verifier' if policy else 'a verifier, and have it'} check {names}",
            how=f"checks = [{quoted}] in the verifier's policy",
            edit=Check(tuple(registers)),
            note="" if len(registers) > 1 else REGISTERS[registers[0]],
        )
