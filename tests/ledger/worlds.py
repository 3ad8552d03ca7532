"""Small worlds for the tests of the ledger: a catalogue of a few records, and VMs that live in it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from hostproof.artefacts import cmdline
from hostproof.artefacts.kernel.facts import ConfigValue, KernelFacts, Module
from hostproof.artefacts.machine.model import Confidential, Device, Machine, Origin
from hostproof.attestation.verifier import VerifierPolicy
from hostproof.knowledge.load import Catalogue, read_files
from hostproof.knowledge.predicate import Value
from hostproof.knowledge.records import Use
from hostproof.ledger.assess import Subject, assess
from hostproof.ledger.model import Ledger, Row
from hostproof.ledger.waivers import Waivers
from hostproof.managers.verdicts import CatalogueVerdicts
from hostproof.place import Place

SOURCED: dict[str, Any] = {"sources": ["DOC"], "checked": "primary"}
TODAY = datetime.date(2026, 11, 1)


def rule(when: str, reason: str = "the rule says so", **more: Any) -> dict[str, Any]:
    return {"when": when, "reason": reason, **SOURCED, **more}


def channel(name: str, **more: Any) -> dict[str, Any]:
    base = {
        "id": name, "name": f"channel {name}", "kinds": ["R"], "direction": "host-to-guest", "meaning": "an input",
        "answers": "the VMM", "threats": ["T3"], "objectives": ["O2"], **SOURCED,
    }  # fmt: skip
    return {**base, **more}


def mitigation(name: str, closes: list[str], holds: str, **more: Any) -> dict[str, Any]:
    base = {
        "id": name, "name": f"mitigation {name}", "stops": "the input", "closes": closes, "status": "refused",
        "tree": "mainline", "holds": holds, "advice": f"have {name}", **SOURCED,
    }  # fmt: skip
    return {**base, **more}


def catalogue(**groups: list[dict[str, Any]]) -> Catalogue:
    """A catalogue with one technology `t` (feature bits `strong`, `switchable`, `debug_allowed`) and these records.

    The channels C02, C03 and C09 with the rows that others rest on are always there.
    """
    features = ("strong", "switchable", "debug_allowed")
    tables: dict[str, Any] = {
        "rule_set": "test-1",
        "source": [{"key": "DOC", "title": "a document", "address": []}],
        "feature": [
            {"id": name, "name": name, "meaning": "what it is", "switch": "a switch", **SOURCED} for name in features
        ],
        "technology": [
            {
                "id": "t", "name": "Technology", "security_manager": "a manager", "architectures": ["x86_64"],
                "trusted": [], "presentable_buses": ["pci", "virtio"],
                "features": {
                    "strong": {"value": "yes", **SOURCED},
                    "switchable": {"value": "optional", **SOURCED},
                    "debug_allowed": {"value": "optional", **SOURCED},
                },
                **SOURCED,
            }
        ],
        "option": [
            {"id": "physical_interposer", "question": "is it in scope", "default": "out",
             "positions": {"out": "vendors", "in": "researchers"}, **SOURCED},
            {"id": "sev_is_confidential", "question": "is it", "default": "no",
             "positions": {"no": "objectives", "yes": "secrets"}, **SOURCED},
        ],
        "primitive": [
            {"id": "stopped", "name": "do what is stopped", **SOURCED,
             "prevented": [rule("feature.strong", "the manager stops it")]},
            {"id": "switched", "name": "do what a switch stops", "prevented": [rule("feature.switchable")], **SOURCED},
            {"id": "free", "name": "do what nobody stops", "trace": "just do it", **SOURCED},
        ],
        "objective": [{"id": "O1", "name": "keeps secrets", "requires": [rule("feature.strong", "it leaks")], **SOURCED}],
        "threat": [{"id": name, "name": f"threat {name}", **SOURCED} for name in ("T1", "T3", "T4")]
        + [{"id": "T2", "name": "threat T2", "not_applicable": [rule('use.io_role == "endpoint"', "no middleman")], **SOURCED}],
        "channel": [
            channel("C02", threats=["T1"]), channel("C03", threats=["T1"]), channel("C09", threats=["T1"]),
        ],
        "instance": [
            {"channel": "C02", "id": "kernel", "name": "the kernel", **SOURCED},
            {"channel": "C03", "id": "command-line", "name": "the command line", **SOURCED},
            {"channel": "C09", "id": "debug-policy", "name": "the policy", **SOURCED},
        ],
        "pin": [
            {"id": "command-line", "rows": ["C03/command-line/T1"], "when": "true", "coverage": "content",
             "register": "RTMR2", **SOURCED},
        ],
    }  # fmt: skip
    for name, records in groups.items():
        tables[name] = [*tables.get(name, []), *records]
    return read_files({"world.toml": tables})


def use(**axes: Any) -> Use:
    base: dict[str, Any] = {
        "id": "u", "name": "a use", "summary": "for tests", "place": "server", "holder": "third-party",
        "physical_access": False, "memory_encryption": "required", "network": "host", "io_role": "intermediary",
        "device_mode": "emulated", "image_check": "remote-verifier", "storage": "remote",
        "secret_origin": "provisioned", "crash_policy": "acceptable",
    }  # fmt: skip
    return Use(**{**base, **axes})


def kernel(config: Mapping[str, str] | None = None, modules: tuple[Module, ...] = (), **more: Any) -> KernelFacts:
    """A kernel whose configuration sets these symbols, on lines counted from 1."""
    values = {name: ConfigValue(value, line) for line, (name, value) in enumerate((config or {}).items(), start=1)}
    return KernelFacts(
        release="6.1.0-test", version="6.1.192", architecture="x86_64", source="kernel.deb", config_name="boot/config",
        config=values, builtin=("ext4",), builtin_aliases={"none": ()}, modules=modules, **more,
    )  # fmt: skip


def module(name: str, *aliases: str, depends: tuple[str, ...] = (), text: int = 1000, digest: str = "0" * 64) -> Module:
    return Module(name, f"kernel/drivers/{name}.ko", text, digest, aliases, depends)


def machine(*devices: Device, **more: Any) -> Machine:
    values = {
        "format": "qemu-argv", "vmm": "qemu", "place": Place("vm.args"), "name": "vm", "architecture": "x86_64",
        "confidential": Confidential("t", Place("vm.args", line=3)), "devices": devices,
    }  # fmt: skip
    return Machine(**{**values, **more})


def device(model: str, *aliases: str, line: int = 7) -> Device:
    return Device(model, "pci", Origin.DEFINITION, Place("vm.args", line=line), aliases)


def verifier(*checks: str) -> VerifierPolicy:
    return VerifierPolicy("a verifier", frozenset(checks), Place("verifier.toml"))


def ledger(
    world: Catalogue,
    *,
    axes: Mapping[str, Any] | None = None,
    command_line: str | None = None,
    stated: Mapping[str, Value] | None = None,
    chosen: Mapping[str, str] | None = None,
    waivers: Waivers | None = None,
    **parts: Any,
) -> Ledger:
    """The ledger of a VM in this world."""
    line = None if command_line is None else cmdline.parse(command_line, Place("--cmdline"))
    subject = Subject(
        name="vm", technology=world.technologies["t"], use=use(**(axes or {})), today=TODAY, command_line=line,
        stated=stated or {}, chosen=chosen or {}, waivers=waivers, **parts,
    )  # fmt: skip
    return assess(world, subject, CatalogueVerdicts())


def row(value: Ledger, row_id: str) -> Row:
    """The row of this id; a test that asks for one that is not there fails with the ids that are."""
    rows = {item.id: item for item in value.rows}
    assert row_id in rows, sorted(rows)
    return rows[row_id]
