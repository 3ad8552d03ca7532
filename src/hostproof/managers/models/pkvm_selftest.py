"""The self-test of the kernel's pKVM as an oracle: (state, call, result) triples of `pkvm_ownership_selftest`.

The kernel checks its page transitions at EL2 at boot where CONFIG_NVHE_EL2_DEBUG is set (arch/arm64/kvm/hyp/nvhe/mem_protect.c,
since 6.15). `read` takes the text of that file from whoever has it; nothing of it is kept here. `agree` plays the calls on
the model of `pkvm_arm64` and compares result and state after each.

A call of the model is allowed where its guards hold; the first guard that does not gives the error. The test page, the two
addresses and the VM are one page, two addresses and one VM of the model; as the test calls functions below the checks of
`hyp-main.c`, guards whose source is another file are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hostproof.errors import InputError
from hostproof.managers.engine import Model
from hostproof.managers.engine.concrete import Machine, State
from hostproof.managers.engine.language import Operation
from hostproof.place import Place

__all__ = ["Agreement", "Disagreement", "Triple", "agree", "read"]

_Four = tuple[str, str, str, str]
_MOST_BYTES = 4_000_000
_STATES = {
    "PKVM_PAGE_OWNED": "OWNED",
    "PKVM_PAGE_SHARED_OWNED": "SHARED_OWNED",
    "PKVM_PAGE_SHARED_BORROWED": "SHARED_BORROWED",
    "PKVM_NOPAGE": "NOPAGE",
    "PKVM_POISON": "POISON",
}
_SET = re.compile(r"selftest_state\.(?:host|hyp|guest\[[01]\])\s*=[^;=]*(?:=[^;=]*)*;")
_CALL = re.compile(r"assert_transition_res\(\s*(-?\w+)\s*,\s*(\w+)\s*,?([^;]*?)\)\s*;")
_UNPIN = re.compile(r"\bhyp_unpin_shared_mem\(")
_SKIP = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class Triple:
    """One asserted call: line, function, address (0 or 1; None: the call names none), result, and the state after it."""

    line: int
    call: str
    address: int | None
    result: str
    """`0` or the error without its sign."""
    state: _Four
    """Host, hypervisor, and the two addresses of the guest, after the call."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Where model and kernel differ."""

    triple: Triple
    result: str
    state: _Four


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many triples the model confirms, and those that it does not."""

    triples: int
    disagreements: tuple[Disagreement, ...]

    @property
    def confirmed(self) -> int:
        """Triples on which result and state are the same."""
        return self.triples - len(self.disagreements)


def read(text: str, name: str = "mem_protect.c") -> list[Triple]:
    """The triples in the order of the test; calls without a result (unpin) have the result `0`.

    Raises InputError where there is no self-test, or one that is not understood.
    """
    if len(text) > _MOST_BYTES:
        raise InputError(f"{name} is too large", place=Place(name), expected=f"at most {_MOST_BYTES} characters")
    start = text.find("void pkvm_ownership_selftest(")
    if start < 0:
        raise InputError(
            "no pKVM self-test", place=Place(name), expected="pkvm_ownership_selftest, in Linux since 6.15"
        )
    end = text.find("\n}", start)
    body = text[start : end if end > 0 else len(text)]
    first = text.count("\n", 0, start) + 1
    state = {"host": "NOPAGE", "hyp": "OWNED", "guest[0]": "NOPAGE", "guest[1]": "NOPAGE"}
    found: list[Triple] = []
    marks = sorted(
        [
            *((m.start(), "set", m) for m in _SET.finditer(body)),
            *((m.start(), "call", m) for m in _CALL.finditer(body)),
            *((m.start(), "unpin", m) for m in _UNPIN.finditer(body)),
        ],
        key=lambda mark: mark[0],
    )
    for offset, kind, match in marks:
        line = first + body.count("\n", 0, offset)
        if kind == "set":
            _assign(state, match.group(0), name, line)
            continue
        call, result, arguments = ("hyp_unpin_shared_mem", "0", "")
        if kind == "call":
            result, call, arguments = match.group(1).lstrip("-"), match.group(2), match.group(3)
        now = (state["host"], state["hyp"], state["guest[0]"], state["guest[1]"])
        found.append(Triple(line, call, _address(arguments), result, now))
    if not any(triple.result != "0" for triple in found):
        raise InputError(
            "the self-test asserts nothing", place=Place(name, line=first), expected="assert_transition_res"
        )
    return found


def _assign(state: dict[str, str], text: str, name: str, line: int) -> None:
    *targets, value = (part.strip() for part in text.rstrip(";").split("="))
    if value not in _STATES:
        raise InputError(f"unknown page state {value[:40]}", place=Place(name, line=line), expected=", ".join(_STATES))
    for target in targets:
        state[target.removeprefix("selftest_state.")] = _STATES[value]


def _address(arguments: str) -> int | None:
    words = _SKIP.sub("", arguments).split(",")
    return 1 if "gfn+1" in words else 0 if "gfn" in words else None


_CALLS: Mapping[str, str] = {
    "__pkvm_host_share_hyp": "host_share_hyp",
    "__pkvm_host_unshare_hyp": "host_unshare_hyp",
    "__pkvm_host_donate_hyp": "host_donate_hyp",
    "__pkvm_hyp_donate_host": "hyp_donate_host",
    "__pkvm_host_share_ffa": "host_share_ffa",
    "__pkvm_host_unshare_ffa": "host_unshare_ffa",
    "__pkvm_host_share_guest": "host_share_guest",
    "__pkvm_host_unshare_guest": "host_unshare_guest",
    "__pkvm_host_donate_guest": "host_donate_guest",
    "__pkvm_guest_share_host": "guest_share_host",
    "__pkvm_guest_unshare_host": "guest_unshare_host",
    "__pkvm_host_force_reclaim_page_guest": "force_reclaim_page_guest",
    "__pkvm_host_reclaim_page_guest": "reclaim_dying_guest_page",
    "hyp_pin_shared_mem": "hyp_pin_shared_mem",
    "hyp_unpin_shared_mem": "hyp_unpin_shared_mem",
}
"""The model's name of each call."""


def agree(model: Model, triples: Sequence[Triple]) -> Agreement:
    """Plays the triples on the memory model, from the state at the start of the test: the page is the hypervisor's."""
    player = _Player(model)
    wrong = []
    for triple in triples:
        result = player.play(triple)
        after = player.state()
        if result != triple.result or after != triple.state:
            wrong.append(Disagreement(triple, result, after))
            player.force(triple.state)
    return Agreement(len(triples), tuple(wrong))


class _Player:
    """One page, two addresses of one VM, two references."""

    def __init__(self, model: Model) -> None:
        self.machine = Machine(model, model.switches(), {"Page": 1, "GuestPage": 2, "Vm": 1, "Pin": 2})
        self.operations = {operation.name: operation for operation in model.operations}
        self.instances = {(one.operation.name, one.arguments): one for one in self.machine.instances}
        self.now: State = next(iter(self.machine.initial()))
        self.cells = {self.machine.show(i, value)[0]: i for i, value in enumerate(self.now)}
        self.force(("NOPAGE", "OWNED", "NOPAGE", "NOPAGE"))

    def play(self, triple: Triple) -> str:
        """The result of a call; the state changes where it is allowed."""
        operation = self.operations.get(_CALLS.get(triple.call, ""))
        if operation is None:
            return "no such call in the model"
        results = []
        for arguments in self._arguments(operation, triple.address):
            result = self._result(operation, arguments)
            if result == "0":
                chosen = tuple(arguments[parameter.name] for parameter in operation.parameters)
                self.now = self.instances[operation.name, chosen].apply(self.now)
                return result
            results.append(result)
        return results[0]

    def _arguments(self, operation: Operation, address: int | None) -> Iterator[dict[str, int]]:
        """The page; the address that the call names, or each; a reference that is free, or one that is held."""
        held = [self._shown(f"pins[p{p}, s0]") == "true" for p in (0, 1)]
        pin = held.index(operation.name == "hyp_unpin_shared_mem") if len(set(held)) > 1 else 0
        names = [parameter.name for parameter in operation.parameters]
        for g in [0, 1] if "g" in names and address is None else [address or 0]:
            yield {name: {"s": 0, "g": g, "p": pin}[name] for name in names}

    def _result(self, operation: Operation, arguments: dict[str, int]) -> str:
        """`0`, or the error of the first guard that does not hold."""
        for guard in operation.guards:
            if "mem_protect.c" in guard.source and not self.machine.evaluate(guard.condition, self.now, arguments):
                poisoned = "g" in arguments and self._shown(f"guest[g{arguments['g']}]") == "POISON"
                return "EHWPOISON" if poisoned and "EHWPOISON" in guard.error else guard.error.split()[0].rstrip(",")
        return "0"

    def _shown(self, cell: str) -> str:
        return self.machine.show(self.cells[cell], self.now[self.cells[cell]])[1]

    def state(self) -> _Four:
        """As in a triple."""
        return self._shown("host[s0]"), self._shown("hyp[s0]"), self._shown("guest[g0]"), self._shown("guest[g1]")

    def force(self, state: _Four) -> None:
        """Makes the state the one that the kernel asserts."""
        now = list(self.now)
        for cell, value in zip(("host[s0]", "hyp[s0]", "guest[g0]", "guest[g1]"), state, strict=True):
            index = self.cells[cell]
            values = self.machine.cells[index][0].result.values or ()
            now[index] = values.index(value)
        self.now = tuple(now)
