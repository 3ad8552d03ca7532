"""What a person states on the command line: technologies, uses, facts, positions on disputed questions."""

from __future__ import annotations

import re
from pathlib import Path

from hostproof.cli import files
from hostproof.errors import UsageError
from hostproof.knowledge.load import Catalogue, use_from_toml
from hostproof.knowledge.predicate import Value
from hostproof.knowledge.records import Technology, Use

__all__ = ["facts_stated", "options_chosen", "read_use", "technologies", "technology_named"]

STATABLE = ("feature.", "platform.", "definition.", "architecture", "config.", "cmdline.", "module.", "verifier.")


def technology_named(known: Catalogue, name: str) -> Technology:
    """The technology of this id. Raises UsageError naming those that there are."""
    if name not in known.technologies:
        raise UsageError(f"no technology {name!r}", hint="one of " + ", ".join(known.technologies))
    return known.technologies[name]


def technologies(known: Catalogue, names: list[str]) -> list[Technology]:
    """The technologies of these ids, in this order, each once; `all` is every one."""
    if "all" in names:
        return list(known.technologies.values())
    return [technology_named(known, name) for name in dict.fromkeys(names)]


def read_use(known: Catalogue, name: str) -> tuple[Use, bytes | None]:
    """The use of this id, or the one that the TOML file `name` describes, then with the bytes of the file."""
    if name in known.uses:
        return known.uses[name], None
    if not name.endswith(".toml") and not Path(name).exists():
        raise UsageError(f"no use {name!r}", hint="one of " + ", ".join(known.uses) + ", or a TOML file")
    data = files.read_bytes(name, "the use")
    return use_from_toml(data, name), data


def facts_stated(known: Catalogue, words: list[str]) -> dict[str, Value]:
    """`NAME=VALUE` words as facts; `yes`, `no`, `true` and `false` are Boolean. Raises UsageError."""
    stated: dict[str, Value] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.startswith(STATABLE) or not re.fullmatch(r"[A-Za-z0-9_.]+", name):
            raise UsageError(f"not a fact: {word!r}", hint="NAME=VALUE, for example feature.secure_avic=yes")
        space, _, rest = name.partition(".")
        if space == "feature" and rest not in known.features:
            raise UsageError(f"no feature {rest!r}", hint="one of " + ", ".join(known.features))
        boolean = {"yes": True, "true": True, "no": False, "false": False}
        if space == "feature" and known.features[rest].kind == "bool" and value not in boolean:
            raise UsageError(f"{name} is yes or no, not {value!r}")
        stated[name] = value if space in ("config", "cmdline", "module") else boolean.get(value, value)
    return stated


def options_chosen(known: Catalogue, words: list[str]) -> dict[str, str]:
    """`ID=POSITION` words as positions on disputed questions. Raises UsageError naming what there is."""
    chosen: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        option = known.options.get(name.replace("-", "_"))
        if option is None:
            raise UsageError(f"no disputed question {name!r}", hint="one of " + ", ".join(known.options))
        if value not in option.positions:
            raise UsageError(f"{option.id} is not {value!r}", hint="one of " + ", ".join(option.positions))
        chosen[option.id] = value
    return chosen
