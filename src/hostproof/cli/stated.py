"""What a person states on the command line: technologies, uses, facts, positions on disputed questions."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping

from hostproof.attestation.verifier import REGISTERS
from hostproof.cli import files
from hostproof.errors import UsageError
from hostproof.knowledge.load import DEFINITION_FACTS, Catalogue, use_from_toml
from hostproof.knowledge.predicate import Asked, Value
from hostproof.knowledge.records import Technology, Use

__all__ = ["facts_stated", "options_chosen", "read_use", "technologies", "technology_named"]

STATABLE = frozenset({"feature", "platform", "definition", "architecture", "config", "cmdline", "module", "verifier"})
DEFINITION_TRUTHS = ("confidential", "opaque", "direct_boot", "firmware_given", "igvm", "kernel_hashes")
BOOLEAN = {"yes": True, "true": True, "no": False, "false": False}
MAX_VALUE = 256


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
    if not name.endswith(".toml") and not os.path.lexists(name):  # Path.exists raises where a name is too long
        raise UsageError(f"no use {name[:80]!r}", hint="one of " + ", ".join(known.uses) + ", or a TOML file")
    data = files.read_bytes(name, "the use")
    return use_from_toml(data, name), data


def facts_stated(known: Catalogue, words: list[str]) -> dict[str, Value]:
    """`NAME=VALUE` words as facts, each of the kind that the catalogue asks for. Raises UsageError naming the fact."""
    stated: dict[str, Value] = {}
    asked = known.asked() if words else {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name.partition(".")[0] not in STATABLE or not re.fullmatch(r"\w+(\.\w+)*", name, re.ASCII):
            raise UsageError(f"not a fact: {word[:80]!r}", hint="NAME=VALUE, for example feature.secure_avic=yes")
        _refuse_unknown(known, asked, name)
        if len(value) > MAX_VALUE:
            raise UsageError(f"{name}: a value of {len(value)} characters", hint=f"at most {MAX_VALUE}")
        stated[name] = _value(known, asked, name, value)
    return stated


def _refuse_unknown(known: Catalogue, asked: Mapping[str, Asked], name: str) -> None:
    """Refuse a name that nothing asks for: a misspelt fact would change nothing, and nobody would know."""
    space, _, rest = name.partition(".")
    names: Iterable[str] | None = None
    match space:
        case "architecture":
            if rest:
                raise UsageError(f"no fact {name!r}", hint="architecture=x86_64")
        case "feature":
            names = known.features
        case "definition":
            names = sorted(DEFINITION_FACTS)
        case "verifier":
            names = ["given", *REGISTERS]
        case "platform":
            versions = (version for technology in known.technologies.values() for version in technology.versions)
            names = sorted({fact[len("platform.") :] for fact in (*asked, *versions) if fact.startswith("platform.")})
        case _ if not rest:
            raise UsageError(f"no fact {name!r}", hint=f"{space}.NAME=VALUE")
    if names is not None and rest not in names:
        near = difflib.get_close_matches(rest, names, n=4, cutoff=0.6) or names
        raise UsageError(f"no {space} {rest!r}", hint="one of " + ", ".join(near))


def _value(known: Catalogue, asked: Mapping[str, Asked], name: str, value: str) -> Value:
    """The value as the kind that predicates need of this fact: a truth, a version or a word."""
    space, _, rest = name.partition(".")
    kind = asked.get(name, Asked.WORD)
    if space == "feature":
        kind = Asked.TRUTH if known.features[rest].kind == "bool" else Asked.WORD
    elif space == "verifier" or rest in ("given", *DEFINITION_TRUTHS):
        kind = Asked.TRUTH
    if kind is Asked.TRUTH:
        if value not in BOOLEAN:
            raise UsageError(f"{name} is yes or no, not {value!r}", hint=f"--fact {name}=yes")
        return BOOLEAN[value]
    if kind is Asked.VERSION and not re.fullmatch(r"[0-9]{1,9}([.\-+~_][0-9a-z]{1,9}){0,15}", value, re.ASCII):
        raise UsageError(f"{name} is a version, not {value!r}", hint=f"digits and dots: --fact {name}=1.5.24")
    words = _words(known, space)
    if words and value not in words:
        raise UsageError(f"{name} is not {value!r}", hint="one of " + ", ".join(words))
    if not value.isprintable() or (not value.strip() and space not in ("config", "cmdline")):
        raise UsageError(f"{name} is a word, not {value!r}", hint=f"--fact {name}=VALUE")
    return value


def _words(known: Catalogue, space: str) -> list[str]:
    """The only words that facts of this name space can be, where they are few."""
    if space == "architecture":
        return sorted({name for technology in known.technologies.values() for name in technology.architectures})
    return ["y", "m", "n"] if space == "module" else []


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
