"""What a running pKVM answers to its host, against what the model of its version says.

The answers come from a small program that asks as init of an arm64 kernel (tests/managers/probe/pkvm_probe.c; it runs under
plain emulation, see scripts/pkvm_probe.py): lines `probe QUESTION yes|no DETAIL` on the console, the last one `probe done`.
`read` takes the console's text from whoever has it; `compare` puts each answer beside a verdict.

A question stands for the end of a trace: *yes* where the objective is broken. That a machine says *no* confirms a proof only
for the way that was tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hostproof.errors import InputError
from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.search import explore
from hostproof.managers.engine.verdict import decide_all
from hostproof.managers.models.pkvm_arm64 import SIZES, models
from hostproof.place import Place

__all__ = ["QUESTIONS", "Answer", "Comparison", "compare", "read"]

_MOST_CHARACTERS = 4_000_000
_MOST_ANSWERS = 1_000

QUESTIONS: Mapping[str, tuple[str, str]] = {
    "choose-unused-page-content": ("M7", "the guest reads what the host had written before"),
    "read-private-memory": ("M1", "the VMM loads from a private page"),
    "write-private-memory": ("M3", "the VMM stores to a private page"),
    "kernel-map-of-private-memory": ("M1", "the host's kernel reads a private page through its own map"),
    "syscall-on-private-memory": ("M1", "a system call takes its data from a private page"),
    "private-returns-unscrubbed": ("M1", "a private page comes back as it was when the VM ends"),
    "shared-returns-unscrubbed": ("T1", "a page that the guest had shared comes back as it was"),
    "delete-memslot": ("M5", "the VMM takes the mapping of the guest's memory away"),
    "dirty-log": ("X3.pages", "the VMM follows the guest's writes page by page"),
    "force-reclaim": ("A1", "the guest cannot go on after its page was taken"),
    "read-registers": ("R1", "KVM_GET_ONE_REG gives a register that the guest wrote"),
    "write-registers": ("R2", "KVM_SET_ONE_REG is accepted"),
    "use-written-register": ("R2", "the guest goes on with the register that the host wrote"),
    "inject-interrupt": ("X1", "KVM_IRQ_LINE is accepted"),
    "inject-serror": ("X1.serror", "KVM_SET_VCPU_EVENTS is accepted"),
    "set-guest-debug": ("G1", "KVM_SET_GUEST_DEBUG is accepted"),
}
"""The objective that a question is about, and what *yes* means."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the machine said: its line of the console, yes or no, and the detail."""

    question: str
    yes: bool
    detail: str
    line: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question, model beside machine."""

    answer: Answer
    objective: str
    meaning: str
    broken: bool
    """Whether the model breaks the objective."""

    @property
    def agrees(self) -> bool:
        """Whether machine and model say the same."""
        return self.answer.yes is self.broken


def read(text: str, name: str = "console") -> dict[str, Answer]:
    """The answers by question. Raises InputError where the probe did not come to its end."""
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"{name} is too large", place=Place(name), expected=f"at most {_MOST_CHARACTERS} characters")
    answers: dict[str, Answer] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip("\r ").split(" ", 3)
        if words[:2] == ["probe", "done"]:
            return answers
        if words[0] != "probe" or len(words) < 3:
            continue
        if words[2] not in ("yes", "no") or len(answers) >= _MOST_ANSWERS:
            raise InputError("this is no answer of the probe", place=Place(name, line=number), expected="yes or no")
        answers[words[1]] = Answer(words[1], words[2] == "yes", words[3] if len(words) > 3 else "", number)
    raise InputError(
        "the probe did not come to its end",
        place=Place(name),
        expected="a line `probe done`",
        hint="boot with kvm-arm.mode=protected, and give emulation a minute",
    )


def compare(answers: Mapping[str, Answer], version: str = "7.3.4") -> list[Comparison]:
    """Model beside machine, for every question that was answered and is about an objective.

    The guest of the probe puts a secret where it shares, so that T1 is decided without the duty that forbids it.
    """
    broken = _broken(version)
    return [
        Comparison(answers[question], objective, meaning, broken[objective])
        for question, (objective, meaning) in QUESTIONS.items()
        if question in answers
    ]


@cache
def _broken(version: str) -> Mapping[str, bool]:
    """The objectives of a version, and whether the model breaks them."""
    memory, vcpu = models(version)
    broken = {name: verdict.result == "trace" for name, verdict in decide_all(vcpu).items()}
    broken |= {name: verdict.result == "trace" for name, verdict in decide_all(memory, sizes=SIZES).items()}
    careless = explore(
        Machine(memory, memory.switches(without=["no_secret_in_shared"]), SIZES), {"T1": memory.objective("T1").never}
    )
    broken["T1"] = "T1" in careless.found
    return broken
