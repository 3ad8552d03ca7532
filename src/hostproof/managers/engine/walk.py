"""Walks over terms: their parts, the names that stand free, the variables they read, and their canonical text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hostproof.managers.engine.terms import (
    BOOL,
    FALSE,
    TRUE,
    Choice,
    Equal,
    Every,
    ModelError,
    Name,
    Not,
    Quantified,
    Read,
    Some,
    Switch,
    Term,
    Value,
    Variable,
)

__all__ = ["check_scope", "fix_switches", "parts", "text", "variables_of"]


def parts(term: Term) -> tuple[Term, ...]:
    """The terms directly inside a term."""
    match term:
        case Read(arguments=arguments):
            return arguments
        case Equal(left=left, right=right):
            return (left, right)
        case Every(parts=inside) | Some(parts=inside):
            return inside
        case Not(part=part):
            return (part,)
        case Choice(condition=condition, then=then, otherwise=otherwise):
            return (condition, then, otherwise)
        case Quantified(body=body):
            return (body,)
    return ()


def _all(term: Term) -> Iterator[Term]:
    yield term
    for part in parts(term):
        yield from _all(part)


def variables_of(term: Term) -> tuple[set[Variable], set[str]]:
    """The state variables that a term reads, and the switches it depends on."""
    variables, switches = set(), set()
    for part in _all(term):
        if isinstance(part, Read):
            variables.add(part.variable)
        elif isinstance(part, Switch):
            switches.add(part.name)
    return variables, switches


def check_scope(where: str, term: Term, bound: Sequence[Name]) -> None:
    """Every name is a parameter or quantified, of the same sort; quantifiers do not hide a name."""
    if isinstance(term, Name):
        if not any(name.name == term.name and name.of == term.of for name in bound):
            known = ", ".join(name.name for name in bound) or "none"
            raise ModelError.at(where, f"{term.name} is neither a parameter nor quantified", expected=known)
    elif isinstance(term, Quantified):
        if hidden := {name.name for name in term.names} & {name.name for name in bound}:
            raise ModelError.at(where, f"a quantifier hides {', '.join(sorted(hidden))}", hint="use another name")
        bound = [*bound, *term.names]
    for part in parts(term):
        check_scope(where, part, bound)


def fix_switches(term: Term, switches: Mapping[str, bool]) -> Term:
    """The term with every duty and policy replaced by its value, and what that decides simplified away."""
    again = [fix_switches(part, switches) for part in parts(term)]
    match term:
        case Switch(name=name):
            return TRUE if switches[name] else FALSE
        case Read(variable=variable):
            return Read(variable, tuple(again))
        case Equal():
            return Equal(again[0], again[1])
        case Every() | Some():
            return _junction(isinstance(term, Every), again)
        case Not():
            inside = again[0]
            return Value(BOOL, 1 - inside.index) if isinstance(inside, Value) else Not(inside)
        case Choice():
            condition, then, otherwise = again
            if isinstance(condition, Value):
                return then if condition.index else otherwise
            return Choice(condition, then, otherwise)
        case Quantified(universal=universal, names=names):
            return again[0] if isinstance(again[0], Value) else Quantified(universal, names, again[0])
    return term


def _junction(every: bool, inside: Sequence[Term]) -> Term:
    neutral = 1 if every else 0
    if any(isinstance(part, Value) and part.index != neutral for part in inside):
        return FALSE if every else TRUE
    rest = tuple(part for part in inside if not isinstance(part, Value))
    if not rest:
        return TRUE if every else FALSE
    if len(rest) == 1:
        return rest[0]
    return Every(rest) if every else Some(rest)


def text(term: Term) -> str:
    """The canonical text of a term: what digests are taken of and what people read."""
    match term:
        case Value(of=sort, index=index):
            return sort.show(index)
        case Name(name=name) | Switch(name=name):
            return name
        case Read(variable=variable, arguments=arguments):
            return f"{variable.name}[{', '.join(map(text, arguments))}]" if arguments else variable.name
        case Equal(left=left, right=right):
            return f"{text(left)} = {text(right)}"
        case Not(part=Equal(left=left, right=right)):
            return f"{text(left)} != {text(right)}"
        case Not(part=part):
            return f"not {_bracket(part)}"
        case Every(parts=inside):
            return " and ".join(map(_bracket, inside)) or "true"
        case Some(parts=(Not(part=condition), conclusion)):
            return f"{_bracket(condition)} implies {_bracket(conclusion)}"
        case Some(parts=inside):
            return " or ".join(map(_bracket, inside)) or "false"
        case Choice(condition=condition, then=then, otherwise=otherwise):
            return f"{_bracket(then)} if {_bracket(condition)} else {_bracket(otherwise)}"
        case Quantified(universal=universal, names=names, body=body):
            listed = ", ".join(f"{name.name}: {name.of.name}" for name in names)
            return f"{'for all' if universal else 'for some'} {listed}: {_bracket(body)}"
    raise ModelError(f"{type(term).__name__} is no term")


def _bracket(term: Term) -> str:
    plain = isinstance(term, Value | Name | Switch | Read | Equal) or (
        isinstance(term, Not) and isinstance(term.part, Read | Equal | Name | Switch)
    )
    return text(term) if plain else f"({text(term)})"
