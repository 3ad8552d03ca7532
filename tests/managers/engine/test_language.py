"""Wrong models are refused where they are written, with the place of the part that is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hostproof.managers.engine import (
    Caller,
    ModelBuilder,
    ModelError,
    Sort,
    all_of,
    exists,
    forall,
)
from hostproof.managers.engine.walk import text

Page = Sort("Page", prefix="s")
Colour = Sort("Colour", ("RED", "BLUE"))


def _builder() -> ModelBuilder:
    return ModelBuilder("m", "1", "A model")


def _wrong_arguments() -> None:
    f = _builder().function("f", [Page])
    (c,) = Colour.names("c")
    _ = f[c]


def _unbound_guard() -> None:
    m = _builder()
    f = m.function("f", [Page])
    (s,) = Page.names("s")
    with m.operation("op", Caller.HOST, "Does.", "1") as op:
        op.guard("op.f", f[s])


def _hidden_name() -> None:
    m = _builder()
    f = m.function("f", [Page])
    (s,) = Page.names("s")
    m.objective("M1", forall([s], exists([s], f[s])), "x")


def _guard_twice() -> None:
    m = _builder()
    f = m.scalar("f")
    with m.operation("op", Caller.HOST, "Does.", "1") as op:
        op.guard("a", f)
        op.guard("a", ~f)


def _no_source() -> None:
    m = _builder()
    with m.operation("op", Caller.HOST, "Does.", ""):
        pass


def _foreign_variable() -> None:
    other = _builder().scalar("other")
    m = _builder()
    m.objective("M1", other, "x")
    m.build()


def _objective_twice() -> None:
    m = _builder()
    f = m.scalar("f")
    m.objective("M1", f, "x")
    m.objective("M1", ~f, "y")
    m.build()


def _missing_assumption() -> None:
    m = _builder()
    m.objective("M1", m.scalar("f"), "x", ["nothing"])
    m.build()


def _each_is_no_argument() -> None:
    m = _builder()
    f = m.function("f", [Page])
    s, t = Page.names("s", "t")
    with m.operation("op", Caller.HOST, "Does.", "1") as op:
        op.set(f[s], True, each=[s, t])


def _set_what_is_no_variable() -> None:
    m = _builder()
    with m.operation("op", Caller.HOST, "Does.", "1") as op:
        op.set(m.scalar("f") == True, True)  # noqa: E712


def _python_and() -> None:
    m = _builder()
    f = m.scalar("f")
    m.objective("M1", f and ~f, "x")


def _compare_sorts() -> None:
    m = _builder()
    _ = m.scalar("c", Colour, "RED") == m.scalar("f")


def _no_such_value() -> None:
    _builder().scalar("c", Colour, "GREEN")


def _empty_sort() -> None:
    Sort("Nothing", ())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (_wrong_arguments, "f is read with arguments of other sorts"),
        (_unbound_guard, "m (op/op.f): s is neither a parameter nor quantified"),
        (_hidden_name, "m (M1): a quantifier hides s"),
        (_guard_twice, "m (op/a): the guard's id stands twice"),
        (_no_source, "m (op): an operation needs a sentence and a source"),
        (_foreign_variable, "m (M1): other belongs to another model"),
        (_objective_twice, "m: objective M1 stands twice"),
        (_missing_assumption, "m (M1): there is no assumption nothing"),
        (_each_is_no_argument, "m (op): t in each is no argument of f"),
        (_set_what_is_no_variable, "m (op): only a state variable can be set"),
        (_python_and, "a term has no truth value while the model is written"),
        (_compare_sorts, "a term of sort Bool stands where Colour is wanted"),
        (_no_such_value, "'GREEN' is no value of Colour"),
        (_empty_sort, "Nothing: an enumeration has at least one value, and each once"),
    ],
)
def test_a_wrong_model_is_refused_at_its_place(wrong: Callable[[], None], said: str) -> None:
    with pytest.raises(ModelError) as raised:
        wrong()

    assert raised.value.diagnosis().splitlines()[0] == said


def test_a_misspelt_value_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="Colour has no value GREEN"):
        _ = Colour.GREEN


def test_terms_read_as_sentences() -> None:
    m = _builder()
    f, c = m.function("f", [Page]), m.scalar("c", Colour, "RED")
    (s,) = Page.names("s")

    assert text(forall([s], all_of(f[s], c != Colour.RED))) == "for all s: Page: (f[s] and c != RED)"
