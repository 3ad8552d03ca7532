"""The first lines of a report: is it a confidential VM at all, is it a debug one, and what must not be missed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hostproof.artefacts.machine.model import Machine
from hostproof.artefacts.policy import Policy, format_line
from hostproof.knowledge.predicate import Facts, parse
from hostproof.knowledge.records import Rule, Technology
from hostproof.knowledge.terms import Objective, Status
from hostproof.knowledge.threat_model import ThreatModel
from hostproof.ledger.evidence import INITRD_ROW, POLICY_ROW
from hostproof.place import Place

__all__ = ["Declaration", "confidential_line", "warnings"]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the inputs say of confidentiality: the definition, the technology that a person asked for, the policy."""

    machine: Machine | None
    technology: Technology
    asked: bool
    """Whether the technology was given with `--technology` rather than read from the definition."""
    policy: Policy | None
    policy_pinned: Status | None
    """Status of the row that says whether anything pins the launch policy; None where there is no such row."""
    initrd_pinned: Status | None = None
    """The same of the initrd, where one was given."""
    kernel_architecture: str = ""
    """What the kernel is built for; empty where that is not known."""


def confidential_line(declaration: Declaration, model: ThreatModel, facts: Facts) -> str:
    """The first line of every report."""
    unable = f"this kernel CANNOT be a guest of {declaration.technology.name}"
    parts = [unable] if any(True for _ in _cannot_be_such_a_guest(declaration, facts)) else []
    parts.append(_kind(declaration))
    if declaration.policy is not None:
        parts.append(format_line(declaration.policy))
    elif declaration.technology.id != "kvm":
        debug = facts.fact("feature.debug_allowed").value
        parts.append({True: "debug ALLOWED", False: "debug not allowed"}.get(bool(debug), "") if debug is not None
                     else "debug: unknown, no launch policy was read")  # fmt: skip
    o1 = model.objectives.get(Objective.O1)
    if declaration.technology.id != "kvm" and o1 is not None and o1.holds is False:
        parts.append("does NOT meet objective O1, confidentiality and integrity of private memory and registers")
        lacks_integrity = facts.fact("feature.memory_integrity").value is False
        if lacks_integrity and facts.fact("option.sev_is_confidential").value == "no":
            parts.append("so by the kernel's objectives it is no confidential VM")
    return "; ".join(part for part in parts if part)


def _kind(declaration: Declaration) -> str:
    machine, technology = declaration.machine, declaration.technology
    if machine is None:
        return f"{technology.name}, as stated: no definition was read"
    defined = machine.confidential
    if defined is not None:
        if defined.technology != technology.id:
            return f"assessed as {technology.name}, but the definition asks for {defined.technology}"
        return f"{technology.name} guest"
    if machine.declared:
        words = ", ".join(f"{words} ({_short(place)})" for words, place in machine.declared)
        claim = f"declared confidential ({words}), defined plain: nothing in it starts a confidential VM"
    elif machine.opaque:
        claim = (
            "it is not told whether this is a confidential VM: the provider decides, whose VMM nobody outside can see"
        )
    else:
        claim = "NOT a confidential VM: the definition asks for no confidential technology"
    return f"{claim}; assessed as {technology.name}" if declaration.asked else claim


def _short(place: Place) -> str:
    return f"line {place.line}" if place.line is not None else str(place)


def warnings(declaration: Declaration, unmet: Iterable[Rule], facts: Facts) -> Iterator[str]:
    """What must not be missed, most important first."""
    yield from _cannot_be_such_a_guest(declaration, facts)
    yield from (rule.reason for rule in unmet if parse(rule.when)(facts).value)
    policy = declaration.policy
    if policy is not None:
        if policy.debug_allowed:
            yield "the launch policy allows debugging: the host may read and write this guest's memory"
        yield from (f"launch policy: {problem}" for problem in policy.problems)
        pinned = declaration.policy_pinned
        if pinned is not None and not pinned.closed and not policy.debug_allowed:
            yield (
                f"this launch policy is what the host's definition says, and {POLICY_ROW} is {pinned}: "
                "unless a verifier checks it, a host may launch with another"
            )
    if declaration.initrd_pinned is not None and not declaration.initrd_pinned.closed:
        yield (
            f"what this initrd holds is what was given, and {INITRD_ROW} is {declaration.initrd_pinned}: "
            "unless a verifier checks it, a host may boot with another"
        )
    machine = declaration.machine
    if machine is not None and machine.confidential is not None and machine.confidential.policy_origin:
        origin = machine.confidential.policy_origin
        if origin != "definition":
            yield f"the definition gives no launch policy; the default is {origin}"
    if machine is not None and machine.unread:
        yield f"{len(machine.unread)} options of the definition were not understood; each is an unknown row"


def _cannot_be_such_a_guest(declaration: Declaration, facts: Facts) -> Iterator[str]:
    """Before anything else: a kernel of another architecture, or one that lacks the code, cannot be such a guest."""
    technology, built_for = declaration.technology, declaration.kernel_architecture
    unable = f"this kernel cannot be a guest of {technology.name}"
    if built_for and technology.id != "kvm" and built_for not in technology.architectures:
        yield f"{unable}: it is built for {built_for}, and these guests are {', '.join(technology.architectures)}"
        return  # what code it lacks besides says nothing
    for rule in technology.guest_support:
        if parse(rule.when)(facts).value is False:
            yield f"{unable}: {rule.reason}"
