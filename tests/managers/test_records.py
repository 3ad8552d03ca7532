"""Stored verdicts: what is written can be read, what is hostile is refused with its place, and no model has drifted."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.errors import HostproofError, InputError
from hostproof.managers import models, publish, records, registry
from hostproof.managers.engine.verdict import digest
from tests.managers.toys import toy_stored


@pytest.fixture(scope="module")
def toy_file() -> bytes:
    return publish.encode(toy_stored())


def test_what_is_written_is_read_back(toy_file: bytes) -> None:
    stored = records.decode(toy_file, "toy.json")

    assert [(one.objective, one.duties, one.result, one.steps) for one in stored.verdicts] == [
        ("M5", ("accept_once",), "proved", 0),
        ("M5", (), "trace", 4),
    ]
    assert stored.weakest == {"M5": [["accept_once"]]}
    assert stored.needed("M5") == ("accept_once",)
    assert publish.encode(stored) == toy_file


def test_a_trace_is_decoded_when_it_is_asked_for(toy_file: bytes) -> None:
    stored = records.decode(toy_file, "toy.json")
    trace = stored.verdicts[1].story()

    assert trace is not None
    assert [step.operation for step in trace.steps] == ["give", "give", "accept", "accept"]
    assert stored.verdicts[0].story() is None


def test_times_of_what_did_not_change_stay(toy_file: bytes) -> None:
    slower = json.loads(toy_file)
    for verdict in slower["verdicts"]:
        verdict["seconds"] = 12.5
    before = records.decode(json.dumps(slower).encode(), "toy.json")

    again = records.decode(publish.encode(records.decode(toy_file, "toy.json"), before), "toy.json")

    assert [one.seconds for one in again.verdicts] == [12.5, 12.5]


def change(toy_file: bytes, path: list[object], value: object) -> bytes:
    """The file with another value at a path."""
    table = json.loads(toy_file)
    at = table
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(table).encode()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], "hostproof-verdicts/9", "format"),
        (["verdicts", 0, "id"], "../../etc/pass", "$.verdicts[0].id"),
        (["verdicts", 0, "result"], "certainly", "$.verdicts[0].result"),
        (["verdicts", 0, "objective"], "M9", "no objective M9"),
        (["verdicts", 0, "result"], "trace", "only there"),
        (["verdicts", 1, "trace"], None, "only there"),
        (["verdicts", 0, "sentence"], "x" * 5000, "$.verdicts[0].sentence"),
        (["model", "digest"], "abc", "$.model.digest"),
        (["model", "surprise"], 1, "surprise"),
        (["weakest"], [], "$.weakest"),
        (["verdicts"], None, "$.verdicts"),
    ],
)
def test_a_hostile_file_is_refused_with_its_place(
    toy_file: bytes, path: list[object], value: object, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        records.decode(change(toy_file, path, value), "toy.json")

    assert message in caught.value.diagnosis()
    assert "toy.json" in caught.value.diagnosis()


def test_a_hostile_trace_is_refused_when_it_is_read(toy_file: bytes) -> None:
    stored = records.decode(change(toy_file, ["verdicts", 1, "trace"], {"steps": 3}), "toy.json")

    with pytest.raises(InputError, match="not a trace"):
        stored.verdicts[1].story()


@pytest.mark.parametrize("data", [b"", b"[", b"{}", b"[" * 5000, b"\xff\xfe", b'{"format":1}', b"null"])
def test_what_is_no_file_of_verdicts_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        records.decode(data, "toy.json")


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=4000))
def test_a_mutated_file_gives_verdicts_or_an_error(toy_file: bytes, noise: bytes, at: int) -> None:
    data = toy_file[:at] + noise + toy_file[at + len(noise) :]
    try:
        stored = records.decode(data, "toy.json")
        for verdict in stored.verdicts:
            verdict.story()
    except HostproofError:
        pass


def test_too_large_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, toy_file: bytes) -> None:
    monkeypatch.setattr(records, "MAX_BYTES", 100)

    with pytest.raises(InputError, match="larger"):
        records.decode(toy_file, "toy.json")


@pytest.mark.parametrize("key", sorted(registry.every()))
def test_a_model_is_the_one_whose_verdicts_are_stored(key: str) -> None:
    factory = registry.every()[key]
    stored = records.library().by_model.get(key)

    assert stored is not None, "`make generate` proves it"
    assert stored.model.digest == digest(factory()), "`make generate` proves it anew"
    assert stored.model == publish.card(factory(), factory), "`make generate` writes its sentences anew"
    assert {one.digest for one in stored.verdicts} == {stored.model.digest}


def test_no_verdicts_are_stored_of_models_that_are_gone() -> None:
    assert sorted(records.library().by_model) == sorted(registry.every())


@pytest.mark.parametrize("key", sorted(registry.every()))
def test_every_published_run_is_stored(key: str) -> None:
    factory = registry.every()[key]
    model = factory()
    stored = records.library().by_model[key]

    for run in publish.runs(model, factory):
        policy = stored.model.policies | dict(run.policy)
        duties = tuple(name for name in stored.model.duties if name not in run.without)
        assert set(stored.run(policy, duties)) == {one.id for one in model.objectives}


def test_every_module_that_gives_models_is_in_the_registry() -> None:
    """A function that gives a `Model` and that nobody asks is a proof that nobody sees."""
    known = {(factory.module, factory.function) for factory in registry.every().values()}
    found = set()
    for info in pkgutil.walk_packages(models.__path__, f"{models.__name__}."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            annotations = getattr(value, "__annotations__", {})
            local = getattr(value, "__module__", "") == info.name
            if callable(value) and local and annotations.get("return") == "Model" and not name.startswith("_"):
                found.add((info.name.removeprefix(f"{models.__name__}."), name))

    assert found - known - {("tdx", "model")} == set()


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(registry.every()))
def test_everything_proved_anew_is_what_is_stored(key: str) -> None:
    factory = registry.every()[key]
    model = factory()
    stored = records.library().by_model[key]
    told = {
        (one.objective, frozenset(one.policy.items()), one.duties): (one.result, one.steps, one.invariants)
        for one in stored.verdicts
    }

    anew = {
        (one.objective, frozenset(one.policy.items()), one.duties): (one.result, one.steps, one.invariants)
        for run in publish.runs(model, factory)
        for one in publish.prove_run(model, factory, run)
    }

    assert told == anew


def test_the_folder_of_records_holds_nothing_else() -> None:
    folder = Path(records.__file__).with_suffix("")

    assert [path.name for path in sorted(folder.iterdir()) if path.suffix != ".json"] == []
