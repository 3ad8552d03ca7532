"""The text for Murphi's checkers, and what Rumur counts with it: an engine that shares nothing with ours.

Rumur must see as many states, fire as many rules, and find each objective violated in as many states as our search
without reductions. The slow suite needs `rumur` and `gcc` (Debian packages of these names).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from defusedxml import ElementTree

from hostproof.managers.engine import Caller, Model, ModelBuilder, ModelError, Sort, all_of, exists, toy
from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.murphi import to_murphi
from hostproof.managers.engine.search import Exploration, Limits, explore
from hostproof.managers.engine.terms import lift
from hostproof.managers.registry import every
from tests.managers.engine import toys

TOY = """\
-- toy 1
type
  t_SystemPage: 0..1;
  t_GuestPage: 0..2;
  h_given: array [t_SystemPage] of array [t_GuestPage] of boolean;
  h_accepted: array [t_SystemPage] of array [t_GuestPage] of boolean;
  h_known: array [t_GuestPage] of boolean;
var
  v_given: h_given;
  v_accepted: h_accepted;
  v_known: h_known;
startstate "start"
begin
  for n_start_0: t_SystemPage do
    for n_start_1: t_GuestPage do
      v_given[n_start_0][n_start_1] := false;
    endfor;
  endfor;
  for n_start_0: t_SystemPage do
    for n_start_1: t_GuestPage do
      v_accepted[n_start_0][n_start_1] := false;
    endfor;
  endfor;
  for n_start_0: t_GuestPage do
    v_known[n_start_0] := false;
  endfor;
endstartstate;
ruleset n_s: t_SystemPage do
ruleset n_g: t_GuestPage do
rule "give"
  !(exists n_h: t_GuestPage do v_given[n_s][n_h] endexists)
==>
begin
  v_given[n_s][n_g] := true;
endrule;
endruleset;
endruleset;
ruleset n_s: t_SystemPage do
ruleset n_g: t_GuestPage do
rule "accept"
  v_given[n_s][n_g] & !v_known[n_g]
==>
begin
  v_accepted[n_s][n_g] := true;
  v_known[n_g] := true;
endrule;
endruleset;
endruleset;
invariant "M5" !(exists n_s: t_SystemPage do exists n_t: t_SystemPage do exists n_g: t_GuestPage do \
(!(n_s = n_t) & v_accepted[n_s][n_g] & v_accepted[n_t][n_g]) endexists endexists endexists);
"""


def test_the_toy_as_text_for_murphi() -> None:
    model = toy.model()

    text = to_murphi(model, model.switches(), {"SystemPage": 2, "GuestPage": 3}, ["M5"])

    assert text == TOY


def test_a_dropped_duty_leaves_its_guard_out() -> None:
    model = toy.model()

    text = to_murphi(model, model.switches(None, ["accept_once"]), {"SystemPage": 2, "GuestPage": 3}, [])

    assert "  v_given[n_s][n_g]\n==>\nbegin\n  v_accepted" in text


def test_rules_copy_what_they_read_and_write_and_nothing_else() -> None:
    model = toys.graph()

    lines = to_murphi(model, model.switches(), {"Process": 2, "Page": 1}, []).splitlines()

    assert [line.split()[0] for line in lines if ":= v_" in line and line.startswith("  b_")] == [
        "b_colour",
        "b_linked",
        "b_home",
    ]
    assert "  v_linked[v_home[n_s]][v_home[n_t]] := true;" in lines
    assert "    if (n_a = b_home[n_s]) then v_linked[n_a][n_a] := true; endif;" in lines


def test_a_scalarset_stands_for_a_sort_where_symmetry_is_asked_for() -> None:
    model = toy.model()

    text = to_murphi(model, model.switches(), {"SystemPage": 2, "GuestPage": 3}, [], symmetric=True)

    assert "  t_SystemPage: scalarset(2);\n  t_GuestPage: scalarset(3);\n" in text


def awkward() -> Model:
    """Names that no other language has, two of them alike in letters and digits; starts of some values; a swap."""
    colour = Sort("a colour", ("rot-weiß", "rot weiß", "end"))
    white, end = lift("rot-weiß", colour), lift("end", colour)
    m = ModelBuilder('awk"ward\n', "1", "Names")
    one = m.scalar("rule", colour, end)
    two = m.scalar("a-b", colour, (white, end))
    three = m.scalar("a b", colour)
    with m.operation('say "no"\\', Caller.HOST, "A step.", "1") as op:
        x = op.parameter("for", colour)
        op.guard("other", x != three)
        op.set(one, two)
        op.set(two, one)
        op.set(three, x, when=one == two)
        op.set(three, end, when=x == white)
    m.objective("M1", all_of(one != two, two == three), "never")
    return m.build()


def layers() -> Model:
    """What is read only where something is that is itself read only somewhere."""
    page, process = Sort("Page"), Sort("Process")
    (s,) = page.names("s")
    m = ModelBuilder("layers", "1", "What nobody reads")
    used = m.function("used", [page])
    kind = m.function("kind", [page], toys.Digit, "ZERO")
    note = m.function("note", [page], process)
    m.alive(kind, [s], used[s])
    m.alive(note, [s], kind[s] == toys.Digit.TWO)
    with m.operation("take", Caller.HOST, "Takes a page.", "1") as op:
        x, digit, who = op.parameter("x", page), op.parameter("digit", toys.Digit), op.parameter("who", process)
        op.guard("free", ~used[x])
        op.set(used[x], True)
        op.set(kind[x], digit)
        op.set(note[x], who)
    with m.operation("drop", Caller.HOST, "Drops a page.", "2") as op:
        x = op.parameter("x", page)
        op.set(used[x], False)
    m.objective("M1", exists([s], all_of(used[s], kind[s] == toys.Digit.ONE)), "never")
    return m.build()


def test_names_become_words_of_their_own() -> None:
    text = to_murphi(awkward(), {}, {}, ["M1"])

    assert "  t_a_colour: enum { c_a_colour_rot_wei_, c_a_colour_rot_wei__2, c_a_colour_end };" in text
    assert "  v_rule: h_rule;\n  v_a_b: h_a_b;\n  v_a_b_2: h_a_b_2;\n" in text
    assert text.startswith("-- awk_ward_ 1\n")
    assert 'rule "say _no__"' in text


def test_a_size_that_is_not_given_is_said() -> None:
    with pytest.raises(ModelError, match="the number of GuestPage is not given"):
        to_murphi(toy.model(), {"accept_once": True}, {"SystemPage": 2}, [])


def test_start_states_cannot_name_the_elements_of_a_scalarset() -> None:
    model = toys.graph()

    with pytest.raises(ModelError, match="start states would name elements of Page"):
        to_murphi(model, model.switches(), {"Process": 2, "Page": 2}, [], symmetric=True)


def test_nothing_is_forgotten_of_scalarsets() -> None:
    with pytest.raises(ModelError, match="no value for what nobody reads"):
        to_murphi(toy.model(), {"accept_once": True}, {}, [], forgetting=True, symmetric=True)


@dataclass(frozen=True)
class Answer:
    """What Rumur said: how many errors, which errors, states, rules fired, and in how many states each cover holds."""

    errors: int
    messages: tuple[str, ...]
    states: int
    fired: int
    covers: dict[str, int]


def ask_rumur(text: str, where: Path, *options: str) -> Answer:
    """Builds and runs the checker of a program, 60 s at most; skips where the tools are absent."""
    for tool in ("rumur", "gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} to ask another engine with (make machines installs it)")
    (where / "model.m").write_text(text)
    words = ["--deadlock-detection", "off", "--threads", "1", "--output-format", "machine-readable", *options]
    for command in (
        ["rumur", *words, "--output", "checker.c", "model.m"],
        ["gcc", "-std=c11", "-O1", "-o", "checker", "checker.c", "-lpthread"],
    ):
        made = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=60, check=False)
        assert made.returncode == 0, made.stderr
    try:
        said = subprocess.run([where / "checker"], cwd=where, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("Rumur's checker needs more than a minute")
    root = ElementTree.fromstring(said.stdout)
    summary = root.find("summary")
    assert summary is not None, said.stdout
    return Answer(
        int(summary.attrib["errors"]),
        tuple(error.findtext("message", "") for error in root.iter("error")),
        int(summary.attrib["states"]),
        int(summary.attrib["rules_fired"]),
        {cover.attrib["message"]: int(cover.attrib["count"]) for cover in root.iter("cover_result")},
    )


def ours(model: Model, switches: Mapping[str, bool], sizes: Mapping[str, int], **reductions: bool) -> Exploration:
    """What our search sees within a minute and 300000 states."""
    machine = Machine(model, switches, sizes, **reductions)
    targets = {clause.id: clause.never for clause in model.objectives}
    return explore(machine, targets, Limits(300_000, 60), exhaust=True)


def compare(
    model: Model, switches: Mapping[str, bool], sizes: Mapping[str, int], where: Path, forgetting: bool = False
) -> Exploration:
    """States, rules fired and states per objective are the same on both sides."""
    names = [clause.id for clause in model.objectives]
    seen = ours(model, switches, sizes, forgetting=forgetting, symmetry=False)
    if not seen.complete:
        pytest.skip(f"{model.name} has more states at {dict(sizes)} than our search keeps here")

    answer = ask_rumur(to_murphi(model, switches, sizes, names, covers=True, forgetting=forgetting), where)

    assert (answer.states, answer.fired) == (seen.states, seen.transitions)
    assert answer.covers == {name: seen.met.get(name, 0) for name in names}
    return seen


def compare_verdicts(
    model: Model, switches: Mapping[str, bool], sizes: Mapping[str, int], where: Path, forgetting: bool = False
) -> None:
    """And a checker that stops at the first violation stops at one of ours, and at none of the others."""
    seen = compare(model, switches, sizes, where, forgetting)
    kept = [clause.id for clause in model.objectives if clause.id not in seen.found]

    answer = ask_rumur(to_murphi(model, switches, sizes, kept, forgetting=forgetting), where)

    assert (answer.errors, answer.messages, answer.states) == (0, (), seen.states)
    if seen.found:
        broken = ask_rumur(to_murphi(model, switches, sizes, list(seen.found), forgetting=forgetting), where)

        assert broken.errors == 1
        assert set(broken.messages) <= {f'invariant "{name}" failed' for name in seen.found}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "without", "sizes"),
    [
        (toy.model(), [], {"SystemPage": 2, "GuestPage": 3}),
        (toy.model(), ["accept_once"], {"SystemPage": 2, "GuestPage": 3}),
        (toys.counter(), [], {}),
        (toys.mutual_exclusion(), ["polite"], {"Process": 4}),
        (toys.graph(), [], {"Process": 2, "Page": 2}),
        (awkward(), [], {}),
    ],
    ids=["toy", "toy-careless", "counter", "mutex-impolite", "graph", "awkward"],
)
def test_rumur_agrees_about_toys(model: Model, without: list[str], sizes: dict[str, int], tmp_path: Path) -> None:
    compare_verdicts(model, model.switches(None, without), sizes, tmp_path)


@pytest.mark.slow
def test_rumur_forgets_what_we_forget(tmp_path: Path) -> None:
    model, sizes = layers(), {"Page": 2, "Process": 2}

    compare_verdicts(model, {}, sizes, tmp_path, forgetting=True)
    assert (
        ours(model, {}, sizes, symmetry=False).states < ours(model, {}, sizes, forgetting=False, symmetry=False).states
    )


@pytest.mark.slow
@pytest.mark.parametrize("without", [[], ["accept_once"]], ids=["careful", "careless"])
def test_rumur_sees_as_many_classes_of_states(without: Sequence[str], tmp_path: Path) -> None:
    model, sizes = toy.model(), {"SystemPage": 3, "GuestPage": 3}
    switches = model.switches(None, without)

    text = to_murphi(model, switches, sizes, ["M5"], covers=True, symmetric=True)

    answer = ask_rumur(text, tmp_path, "--symmetry-reduction", "exhaustive")

    assert answer.states == ours(model, switches, sizes).states


CORES = {
    "kvm": [{"SystemPage": 1, "GuestPage": 1}],
    "sev": [{"SystemPage": 1, "GuestPage": 1}],
    "cca": [{"Granule": 2, "Ipa": 1}, {"Granule": 1, "Ipa": 2}],
    "tdx": [{"SystemPage": 2, "GuestPage": 1}, {"SystemPage": 1, "GuestPage": 2}],
    "sev-snp": [
        {"SystemPage": 1, "GuestPage": 1, "MetadataEntry": 1},
        {"SystemPage": 1, "GuestPage": 1, "MetadataEntry": 2},
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("forgetting", [False, True], ids=["plain", "forgetting"])
@pytest.mark.parametrize(
    ("key", "sizes"),
    [(key, sizes) for key, listed in CORES.items() for sizes in listed],
    ids=[f"{key}-{'x'.join(map(str, sizes.values()))}" for key, listed in CORES.items() for sizes in listed],
)
def test_rumur_agrees_about_memory(key: str, sizes: dict[str, int], forgetting: bool, tmp_path: Path) -> None:
    model = every()[key]()

    compare_verdicts(model, model.switches(), sizes, tmp_path, forgetting)


@pytest.mark.slow
@pytest.mark.parametrize("careful", [True, False], ids=["careful", "careless"])
@pytest.mark.parametrize("key", [key for key in every() if "@" not in key])
def test_rumur_agrees_about_every_model_with_one_page(key: str, careful: bool, tmp_path: Path) -> None:
    model = every()[key]()
    sizes = {sort.name: 1 for sort in model.sorts if sort.uninterpreted}

    compare(model, model.switches(None, () if careful else model.duties), sizes, tmp_path)
