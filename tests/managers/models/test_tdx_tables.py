"""The SEPT and op states that Intel's generated tables allow, against the guards of the model.

The tables are read from a checkout of the TDX module (`HOSTPROOF_TDX_MODULE`, a directory with `include/auto_gen`); nothing
of them is in this tree. 1.5.01 and 1.5.05 were compared and agree.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hostproof.managers.engine import Term, all_of, exists
from hostproof.managers.engine.concrete import Machine, State
from hostproof.managers.engine.language import Model
from hostproof.managers.models import tdx

SEPT = {"FREE": 0, "MAPPED": 4, "BLOCKED": 5, "PENDING": 10, "PENDING_BLOCKED": 11}
"""Columns of the table (`public_state`) of the states that the model has."""
OP_STATES = {"INITIALIZED": 1, "RUNNABLE": 2}
LEAVES = {
    "TDH.MEM.PAGE.ADD": ("seamcall", 2),
    "TDH.MEM.PAGE.RELOCATE": ("seamcall", 5),
    "TDH.MEM.PAGE.AUG": ("seamcall", 6),
    "TDH.MEM.RANGE.BLOCK": ("seamcall", 7),
    "TDH.MEM.RD": ("seamcall", 12),
    "TDH.MEM.WR": ("seamcall", 14),
    "TDH.MEM.PAGE.REMOVE": ("seamcall", 29),
    "TDH.MEM.RANGE.UNBLOCK": ("seamcall", 39),
    "TDG.MEM.PAGE.ACCEPT": ("tdcall", 6),
}
_ROW = re.compile(r"\[(\d+)\]\s*=\s*\{([01,\s]+)\}")


def table(text: str, name: str) -> dict[int, tuple[bool, ...]]:
    """Rows of a generated table by leaf; raises where the table is not there."""
    start = text.find(f" {name}[")
    if start < 0:
        raise ValueError(f"no table {name}")
    body = text[start : text.index(";", start)]
    return {int(leaf): tuple(bit.strip() == "1" for bit in bits.split(",")) for leaf, bits in _ROW.findall(body)}


def allowed(model: Model, operation: str, cell: str, value: str) -> bool:
    """Whether the operation may happen at one page and one address in this state, everything else in its favour."""
    machine = Machine(model, model.switches({"debug": True}), {"SystemPage": 2, "GuestPage": 1})
    leaf = "false" if operation in ("TDH.MEM.PAGE.ADD", "TDH.MEM.PAGE.AUG") else "true"
    running = operation.startswith("TDG")
    # An op state of its own: before TDH.MR.FINALIZE nothing needs tracking.
    wanted = {"phase": "RUNNABLE" if running else "INITIALIZED", "busy": str(running).lower(), "leaf[s0, g0]": leaf}
    wanted |= {"owned[s0]": "true", "owned[s1]": "true", cell: value}
    state = next(machine.initial())
    one = next(one for one in model.operations if one.name == operation)
    condition: Term = exists(list(one.parameters), all_of(*(guard.condition for guard in one.guards)))
    return bool(machine.predicate(condition)(put(machine, state, wanted)))


def put(machine: Machine, state: State, wanted: dict[str, str]) -> State:
    cells = list(state)
    for i, (variable, _) in enumerate(machine.cells):
        name = machine.show(i, 0)[0]
        if name in wanted:
            assert variable.result.values is not None
            cells[i] = variable.result.values.index(wanted[name])
    return tuple(cells)


@pytest.fixture(scope="module")
def generated() -> Path:
    given = os.environ.get("HOSTPROOF_TDX_MODULE")
    if not given:
        pytest.skip("HOSTPROOF_TDX_MODULE names no checkout of the TDX module")
    return Path(given) / "include" / "auto_gen"


def test_a_table_is_read_by_leaf() -> None:
    text = "const bool_t seamcall_sept_state_lookup[128][4] = {\n  [2] = {1, 0, 0, 0 },\n  [6] = {1,1,0, 0}\n};"

    assert table(text, "seamcall_sept_state_lookup") == {2: (True, False, False, False), 6: (True, True, False, False)}


def test_a_missing_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no table"):
        table("", "seamcall_sept_state_lookup")


@pytest.mark.parametrize("operation", LEAVES)
def test_the_secure_ept_states_of_an_operation_are_those_of_the_table(generated: Path, operation: str) -> None:
    side, leaf = LEAVES[operation]
    row = table((generated / "sept_state_lookup.c").read_text(), f"{side}_sept_state_lookup")[leaf]
    wanted = {state: row[column] for state, column in SEPT.items()}
    seen = {state: allowed(tdx.model(), operation, "sept[g0]", state) for state in SEPT}
    if operation == "TDH.MEM.PAGE.RELOCATE":
        # Without a leaf there is no page; the table says so too, the model by the page alone.
        seen["FREE"] = False

    assert wanted == seen


@pytest.mark.parametrize(("operation", "leaf"), [("TDH.MEM.PAGE.ADD", 2), ("TDH.MEM.PAGE.AUG", 6), ("TDH.VP.ENTER", 0)])
def test_the_op_states_of_an_operation_are_those_of_the_table(generated: Path, operation: str, leaf: int) -> None:
    row = table((generated / "op_state_lookup.c").read_text(), "seamcall_state_lookup")[leaf]

    assert {state: row[column] for state, column in OP_STATES.items()} == {
        state: allowed(tdx.model(), operation, "phase", state) for state in OP_STATES
    }
