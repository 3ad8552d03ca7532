"""The nineteen objectives that models answer, in the order in which reports list them.

A model's objective is one of these, or a part of one: `M1.debug` is a part of M1.
"""

from __future__ import annotations

__all__ = ["OBJECTIVES", "base", "order"]

OBJECTIVES = {
    "M1": "the host never learns private plaintext",
    "M2": "ciphertext does not leak equality",
    "M3": "no silent corruption of memory",
    "M4": "memory is fresh",
    "M5": "no page answers for another",
    "M6": "a used page is never silently reset",
    "M7": "an unused page holds nothing the host chose",
    "R1": "registers are confidential",
    "R2": "registers are the guest's",
    "X1": "only agreed events are injected",
    "X2": "CPUID and other answers are authentic",
    "X3": "no preemption at an instruction of the host's choice",
    "D1": "devices do not reach private memory",
    "G1": "debugging only if attested so",
    "L1": "the image that runs is the one attested",
    "S1": "swapped or migrated state is fresh and bound",
    "T1": "the guest does not confuse shared and private",
    "A1": "availability (the host may always refuse)",
    "P1": "the same, with the memory bus in the host's hands",
}


def base(objective: str) -> str:
    """`M1` of `M1.debug`."""
    return objective.partition(".")[0]


def order(objective: str) -> tuple[int, str]:
    """A key that sorts as reports do."""
    known = list(OBJECTIVES)
    head = base(objective)
    return (known.index(head) if head in known else len(known), objective)
