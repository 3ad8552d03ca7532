"""CCA's guards against the specification's failure conditions and the compliance suite's stimuli, where they are at hand.

`HOSTPROOF_RMM_SPEC` names the directory `rmm` of `wuyongzheng/arm-md-specs`, `HOSTPROOF_RMM_ACS` a checkout of
`ARM-software/cca-rmm-acs`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.errors import InputError
from hostproof.managers.models.cca import models
from hostproof.managers.models.cca.conformance import (
    Condition,
    Stimulus,
    compare,
    read_conditions,
    read_stimuli,
    without_guard,
)

SAMPLE = """## B4.3.99 RMI\\_SAMPLE\\_MAKE command

## B4.3.99.2 Failure conditions

| ID         | Condition                                                    |
|------------|--------------------------------------------------------------|
| made_align | pre: !Aligned(made) post: ResultEqual(result, RMI_ERROR_INPUT) |

ID

## Condition

```
made_state pre: Made(x).state != READY post: ResultEqual(result, RMI_ERROR_REC) walk pre: walk.level < 3 post: (ResultEqual(
result, RMI_ERROR_RTT, walk.level) && (top == walk_top))
```

| odd_row | pre: post: | !Odd(made) ResultEqual(result, RMI_ERROR_INPUT) |

## B4.3.99.2.1 Failure condition ordering

## B4.3.99.3 Success conditions

| fine | pre: a post: b |
"""
ROWS = """
    {.msg = "rd_align",
    .abi = RMI_DATA_CREATE,
    .label = RD_UNALIGNED,
    .status = RMI_ERROR_INPUT,
    .index = 0},
    {.msg = "rd_state_compare_rtt_walk", .abi = RMI_DATA_CREATE, .label = BOTH, .status = RMI_ERROR_INPUT, .index = 0},
"""


def _directory(name: str) -> Path:
    given = os.environ.get(name)
    if not given or not Path(given).is_dir():
        pytest.skip(f"the original is not at hand: set {name}")
    return Path(given)


@pytest.fixture(scope="module")
def conditions() -> list[Condition]:
    return read_conditions(_directory("HOSTPROOF_RMM_SPEC"))


def test_conditions_are_read_from_tables_and_from_running_text(tmp_path: Path) -> None:
    (tmp_path / "rmm-B4.3.99.md").write_text(SAMPLE)

    assert [
        Condition("RMI_SAMPLE_MAKE", "made_align", "RMI_ERROR_INPUT"),
        Condition("RMI_SAMPLE_MAKE", "made_state", "RMI_ERROR_REC"),
        Condition("RMI_SAMPLE_MAKE", "walk", "RMI_ERROR_RTT"),
        Condition("RMI_SAMPLE_MAKE", "odd_row", "RMI_ERROR_INPUT"),
    ] == read_conditions(tmp_path)


def test_stimuli_are_read_with_every_condition_that_they_provoke(tmp_path: Path) -> None:
    folder = tmp_path / "test" / "command" / "cmd_data_create"
    folder.mkdir(parents=True)
    (folder / "rmi_data_create_data.h").write_text(ROWS)
    found = read_stimuli(tmp_path)

    assert [row.conditions for row in found] == [("rd_align",), ("rd_state", "rtt_walk")]
    assert {"RMI_ERROR_INPUT"} == {row.status for row in found}


@pytest.mark.parametrize("read", [read_conditions, read_stimuli])
def test_a_directory_that_is_something_else_is_refused(tmp_path: Path, read: object) -> None:
    with pytest.raises(InputError) as raised:
        read(tmp_path)  # type: ignore[operator]

    assert str(tmp_path) in str(raised.value)


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=400))
def test_no_text_makes_the_reader_fail(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("rmm")
    (folder / "rmm-B4.3.1.md").write_text(SAMPLE + text, encoding="utf-8")

    assert len(read_conditions(folder)) >= 4


def test_a_guard_with_another_error_is_a_disagreement() -> None:
    agreement = compare(models(), [Condition("RMI_GRANULE_DELEGATE", "gran_state", "RMI_ERROR_REALM")])

    assert agreement.other_error[0][1] == "RMI_ERROR_INPUT"


def test_a_condition_that_nobody_explained_is_a_disagreement() -> None:
    unknown = Condition("RMI_GRANULE_DELEGATE", "moon_is_full", "RMI_ERROR_INPUT")

    assert (unknown,) == compare(models(), [unknown]).unexplained


def test_the_specification_has_187_failure_conditions_of_host_commands(conditions: list[Condition]) -> None:
    host = [condition for condition in conditions if condition.command.startswith("RMI_")]

    assert (len(host), len({condition.command for condition in host})) == (187, 21)
    assert (len(conditions), len({condition.command for condition in conditions})) == (215, 30)
    assert [condition for condition in conditions if not condition.error] == []


def test_every_guard_has_the_specifications_error_and_every_condition_a_guard_or_a_reason(
    conditions: list[Condition],
) -> None:
    agreement = compare(models(), conditions)

    assert (agreement.other_error, agreement.unexplained) == ((), ())
    assert len(agreement.agree) == 61
    assert sum(len(listed) for listed in agreement.absent.values()) == 154


@pytest.fixture(scope="module")
def stimuli() -> list[Stimulus]:
    return read_stimuli(_directory("HOSTPROOF_RMM_ACS"))


def test_the_suite_expects_the_errors_of_the_specification(
    conditions: list[Condition], stimuli: list[Stimulus]
) -> None:
    errors = {(one.command, one.id): one.error for one in conditions}
    rows = [row for row in stimuli if (row.command, row.conditions[0]) in errors]

    assert len(stimuli) == 917
    assert [row for row in rows if errors[row.command, row.conditions[0]] != row.status] == []
    assert len([row for row in rows if len(row.conditions) == 1]) == 379
    assert len([row for row in rows if len(row.conditions) == 2]) == 23


def test_the_suite_provokes_what_the_models_guard(conditions: list[Condition], stimuli: list[Stimulus]) -> None:
    agreed = {(one.command, one.id): one.error for one in compare(models(), conditions).agree}
    rows = [row for row in stimuli if (row.command, row.conditions[0]) in agreed]

    assert [row for row in rows if agreed[row.command, row.conditions[0]] != row.status] == []
    assert (len(rows), len({(row.command, row.conditions[0]) for row in rows})) == (137, 56)


def test_reasons_are_given_for_conditions_without_state_only() -> None:
    assert without_guard(Condition("RMI_DATA_CREATE", "data_state", "RMI_ERROR_INPUT")) == ""
    assert without_guard(Condition("RMI_DATA_CREATE", "data_align", "RMI_ERROR_INPUT")) != ""
