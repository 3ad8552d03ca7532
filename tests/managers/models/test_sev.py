"""SEV's verdicts on memory, commands and ASIDs: most is lost in one or two steps, some is proved, policies decide the rest."""

from __future__ import annotations

import pytest

from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.search import Limits, explore
from hostproof.managers.engine.vacuity import Mutant, mutants, silent
from hostproof.managers.engine.verdict import decide_all, weakest_duties
from hostproof.managers.models import sev

MODEL = sev.model()
LIMITS = Limits(30_000, 20)
BROKEN = {
    "M1": 2, "M2": 2, "M3": 2, "M3.garbage": 1, "M4": 2, "M5": 2, "M6": 1, "M7": 1, "P1": 2, "D1": 2, "S1": 3,
    "X2": 1, "A1": 1,
}  # fmt: skip
PROVED = ["M1.debug", "M1.asid", "M1.send", "M5.tweak", "L1.late", "T1"]


def lengths(policy: dict[str, bool] | None = None, without: tuple[str, ...] = ()) -> dict[str, int | str]:
    found = decide_all(MODEL, None, policy, without, limits=LIMITS)
    return {name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in found.items()}


def operations(objective: str, policy: dict[str, bool] | None = None) -> list[str]:
    trace = decide_all(MODEL, [objective], policy, limits=LIMITS)[objective].trace
    return [step.operation for step in trace.steps] if trace else []


def test_replay_and_remap_take_two_steps_and_garbage_takes_one() -> None:
    found = lengths()

    assert found == {**BROKEN, **dict.fromkeys(PROVED, "proved")}
    assert found["M4"] == 2 and found["M5"] == 2 and found["M3.garbage"] == 1


def test_a_service_of_the_guest_sends_out_the_page_that_the_host_maps_under_its_buffer() -> None:
    assert operations("M1") == ["write private", "copy out"]


def test_input_that_the_guest_copied_in_answers_at_any_address() -> None:
    assert operations("M7") == ["copy in"]


@pytest.mark.parametrize(
    ("policy", "changed"),
    [
        ({"NODBG": False}, {"M1.debug": 2, "L1.late": 1}),
        ({"NOSEND": True}, {"S1": "proved"}),
        ({"SEV": False}, {"M1": 1, "M1.send": 1}),
        ({"PREDICTABLE_TWEAK": True}, {"M5.tweak": 3}),
        ({"NODBG": False, "NOSEND": True}, {"M1.debug": 2, "L1.late": 1, "S1": "proved"}),
    ],
)
def test_a_policy_changes_these_verdicts_and_no_others(policy: dict[str, bool], changed: dict[str, int | str]) -> None:
    assert lengths(policy) == {**BROKEN, **dict.fromkeys(PROVED, "proved"), **changed}


def test_a_guest_that_believes_the_hosts_c_bit_writes_private_data_in_the_clear() -> None:
    table = weakest_duties(MODEL, "T1", limits=LIMITS)

    assert table.weakest == (("verify_cbit",),)
    assert len(table.dropped["verify_cbit"].trace or ()) == 1


def test_every_objective_names_what_it_rests_on() -> None:
    named = {name for clause in MODEL.objectives for name in clause.assumptions}

    assert named == {assumption.id for assumption in MODEL.assumptions}


def test_the_model_is_alive() -> None:
    assert silent(MODEL, limits=Limits(3_000, 10)) == []


def test_three_pages_show_nothing_that_two_did_not() -> None:
    targets = {name: MODEL.objective(name).never for name in PROVED}
    machine = Machine(MODEL, MODEL.switches({"NOSEND": True}), {"SystemPage": 1, "GuestPage": 1})
    whole = explore(machine, targets, Limits(100_000, 30))

    assert whole.complete
    assert whole.found == {}


@pytest.mark.slow
def test_every_guard_breaks_an_objective_or_has_a_reason() -> None:
    found = {(mutant.operation, mutant.guard): mutant for mutant in mutants(MODEL, limits=LIMITS)}

    assert [mutant for mutant in found.values() if mutant.survives] == []
    assert broken(found, "DF_FLUSH.wbinvd") == {"M1.asid": 5}
    assert broken(found, "ACTIVATE.clean", "ACTIVATE other") == {"M1.asid": 4}
    assert broken(found, "ACTIVATE.free", "ACTIVATE other") == {"M1.asid": 3}
    assert broken(found, "LAUNCH_UPDATE.state") == {"L1.late": 1}
    assert broken(found, "SEND.certificate") == {"M1.send": 1}
    assert broken(found, "DBG_DECRYPT.policy") == {"M1.debug": 2}


@pytest.mark.slow
def test_without_its_guard_no_send_does_not_keep_a_sent_guest_from_running_twice() -> None:
    found = {(mutant.operation, mutant.guard): mutant for mutant in mutants(MODEL, None, LIMITS, {"NOSEND": True})}

    assert broken(found, "SEND.policy") == {"S1": 3}


def broken(found: dict[tuple[str, str], Mutant], guard: str, operation: str = "") -> dict[str, int]:
    [mutant] = [mutant for key, mutant in found.items() if key[1] == guard and operation in ("", key[0])]
    return mutant.broken
