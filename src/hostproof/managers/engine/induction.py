"""The proof for any number of pages: invariants that hold at the start, are kept by every operation, and exclude the bad state.

Each clause is asked for by a query of its own per operation, under the conjunction of all. Only the whole is a proof.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from hostproof.managers.engine.fragment import cycles
from hostproof.managers.engine.language import Invariant, Model, ObjectiveClause, Operation, Switches
from hostproof.managers.engine.symbolic import Symbols
from hostproof.managers.engine.walk import fix_switches, variables_of

if TYPE_CHECKING:
    import z3  # type: ignore[import-untyped]

__all__ = ["Failure", "Induction", "Settled", "prove", "settle"]


class Failure(msgspec.Struct, frozen=True):
    """Why the induction does not go through: a step that leads out of the invariants, or z3's silence.

    `kind` is `initial`, `step`, `bad` (the invariants allow the violation), `unknown` or `cycle` (outside the decidable
    fragment). `state` is the state before the step that z3 found, cell by cell.
    """

    kind: str
    clause: str
    operation: str = ""
    arguments: dict[str, str] = {}
    sizes: dict[str, int] = {}
    state: dict[str, str] = {}
    reason: str = ""

    def __str__(self) -> str:
        held = ", ".join(f"{cell} = {value}" for cell, value in self.state.items() if value not in ("false", "any"))
        if self.kind == "step":
            given = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
            return f"{self.operation}({given}) breaks {self.clause} from the state {held}"
        if self.kind == "initial":
            return f"{self.clause} does not hold at the start: {held}"
        if self.kind == "bad":
            return f"the invariants allow {self.clause}: {held}"
        return f"{self.clause}{f' at {self.operation}' if self.operation else ''}: {self.reason}"


class Induction(msgspec.Struct, frozen=True):
    """What the induction showed. `proved` only where every query was answered and nothing failed."""

    proved: bool
    invariants: tuple[str, ...]
    queries: int
    trivial: int
    """Pairs of clause and operation that need no query: the operation writes nothing that the clause reads."""
    seconds: float
    z3: str
    failures: tuple[Failure, ...] = ()


class Settled(msgspec.Struct, frozen=True):
    """The invariants that are inductive together, and which objectives they exclude."""

    invariants: tuple[str, ...]
    excluded: tuple[str, ...]
    """Objectives proved."""
    queries: int
    seconds: float
    z3: str
    failures: tuple[Failure, ...]
    """Why each invariant that is not among them fell, in order, then why the objectives not excluded are not."""


class _Asker:
    """Counts queries and turns z3's answers into failures."""

    def __init__(self, symbols: Symbols, seconds: float) -> None:
        self.symbols, self.seconds = symbols, seconds
        self.queries, self.trivial = 0, 0
        self.failures: list[Failure] = []

    def refute(self, solver: z3.Solver, kind: str, clause: str, operation: Operation | None = None) -> None:
        """Expects that what the solver holds has no model."""
        self.queries += 1
        answer = str(solver.check())
        if answer == "unsat":
            return
        name = operation.name if operation else ""
        if answer == "unknown":
            reason = f"z3 gave no answer in {self.seconds:g} s ({solver.reason_unknown()})"
            self.failures.append(Failure("unknown", clause, name, reason=reason))
            return
        found = solver.model()
        sizes, state = self.symbols.state(found)
        arguments = self.symbols.arguments(found, operation) if operation else {}
        self.failures.append(Failure(kind, clause, name, arguments, sizes, state))


def prove(
    model: Model,
    objectives: Sequence[ObjectiveClause],
    switches: Switches,
    invariants: Sequence[Invariant] | None = None,
    seconds: float = 10.0,
    all_failures: bool = False,
) -> Induction:
    """Whether the invariants (the model's own unless given) prove that no objective's bad state is ever reached.

    `seconds` bounds each query. Stops at the first failure unless `all_failures`.
    """
    started = time.monotonic()
    chosen = tuple(model.invariants if invariants is None else invariants)
    symbols = Symbols(model, switches)
    asker = _Asker(symbols, seconds)

    def result() -> Induction:
        version = str(symbols.z3.get_version_string())
        ids = tuple(invariant.id for invariant in chosen)
        spent = time.monotonic() - started
        failures = tuple(asker.failures)
        return Induction(not failures, ids, asker.queries, asker.trivial, spent, version, failures)

    if found := cycles(model, switches):
        asker.failures = [Failure("cycle", sentence, reason="outside the decidable fragment") for sentence in found]
        return result()
    solver = symbols.solver(seconds)
    solver.add(*(symbols.before(invariant.clause) for invariant in chosen))
    for objective in objectives:
        _ask(asker, solver, [symbols.before(objective.never)], "bad", objective.id)
    _initial(asker, chosen)
    if asker.failures and not all_failures:
        return result()
    for operation in model.operations:
        _preserved(asker, operation, chosen, all_failures)
        if asker.failures and not all_failures:
            break
    return result()


def settle(
    model: Model,
    objectives: Sequence[ObjectiveClause],
    switches: Switches,
    candidates: Sequence[Invariant] | None = None,
    seconds: float = 10.0,
) -> Settled:
    """The largest inductive part of the candidates (the model's invariants unless given), and what it proves.

    What fails is dropped until the rest keeps itself (Houdini): a run without a duty loses the invariants that the duty
    upheld, and what the others prove is still a proof. `seconds` bounds each query.
    """
    started = time.monotonic()
    kept = list(model.invariants if candidates is None else candidates)
    symbols = Symbols(model, switches)
    asker = _Asker(symbols, seconds)
    why: list[Failure] = []
    excluded: list[str] = []
    outside = cycles(model, switches)
    if outside:
        why, kept = [Failure("cycle", sentence, reason="outside the decidable fragment") for sentence in outside], []
    else:
        kept = _drop(asker, kept, why, partial(_initial, asker))
        settled = False
        while not settled:
            count = len(kept)
            for operation in model.operations:
                kept = _drop(asker, kept, why, partial(_preserved, asker, operation))
            settled = len(kept) == count
        solver = symbols.solver(seconds)
        solver.add(*(symbols.before(invariant.clause) for invariant in kept))
        for objective in objectives:
            before = len(asker.failures)
            _ask(asker, solver, [symbols.before(objective.never)], "bad", objective.id)
            if len(asker.failures) == before:
                excluded.append(objective.id)
        why += asker.failures
    ids, version = tuple(invariant.id for invariant in kept), str(symbols.z3.get_version_string())
    return Settled(ids, tuple(excluded), asker.queries, time.monotonic() - started, version, tuple(why))


def _drop(
    asker: _Asker, kept: list[Invariant], why: list[Failure], ask: Callable[[Sequence[Invariant]], None]
) -> list[Invariant]:
    """What is left of the clauses after the queries that `ask` makes; the failures go to `why`."""
    ask(kept)
    fallen = {failure.clause for failure in asker.failures}
    why += asker.failures
    asker.failures = []
    return [invariant for invariant in kept if invariant.id not in fallen]


def _initial(asker: _Asker, chosen: Sequence[Invariant]) -> None:
    """Asks for every clause whether it holds at the start."""
    solver = asker.symbols.solver(asker.seconds)
    asker.symbols.start(solver)
    for invariant in chosen:
        _ask(asker, solver, [asker.symbols.z3.Not(asker.symbols.before(invariant.clause))], "initial", invariant.id)


def _ask(asker: _Asker, solver: z3.Solver, terms: Sequence[object], kind: str, clause: str) -> None:
    solver.push()
    solver.add(*terms)
    asker.refute(solver, kind, clause)
    solver.pop()


def _preserved(asker: _Asker, operation: Operation, chosen: Sequence[Invariant], all_failures: bool = True) -> None:
    """Asks for every clause that the operation can touch whether it is kept."""
    symbols = asker.symbols
    written = {effect.target.variable for effect in operation.effects}
    touched = []
    for invariant in chosen:
        reads, _ = variables_of(fix_switches(invariant.clause, symbols.switches))
        if reads & written:
            touched.append(invariant)
    asker.trivial += len(chosen) - len(touched)
    if not touched:
        return
    solver = symbols.solver(asker.seconds)
    names = symbols.constants(operation)
    for invariant in chosen:
        solver.add(symbols.before(invariant.clause))
    solver.add(*symbols.guards(operation, names))
    for invariant in touched:
        solver.push()
        solver.add(symbols.z3.Not(symbols.after(invariant.clause, operation, names)))
        asker.refute(solver, "step", invariant.id, operation)
        solver.pop()
        if asker.failures and not all_failures:
            return
