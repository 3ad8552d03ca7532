"""The models of CCA against the specification's failure conditions and the architecture compliance suite's stimuli.

Both are read from a path that the caller gives; nothing of them is in the tree. The specification is the Markdown rendering
`wuyongzheng/arm-md-specs` (directory `rmm`, one file per command: `rmm-B4.3.1.md`); the suite is `ARM-software/cca-rmm-acs`
(`test/command/*/*_data.h`). A guard of a model whose id is a failure condition's must have its error; a condition without a
guard has a reason here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostproof.errors import InputError
from hostproof.managers.engine import Model
from hostproof.place import Place

__all__ = ["Agreement", "Condition", "Stimulus", "compare", "read_conditions", "read_stimuli", "without_guard"]

_LONGEST = 1 << 20
_TITLE = re.compile(r"^## B[\d.]+ ((?:RMI|RSI|PSCI)_\w+) command", re.M)
_FAILURES = re.compile(r"^## B[\d.]+ Failure conditions\n", re.M)
_AFTER = re.compile(r"^(?:## )?B[\d.]+ (?:Failure condition ordering|Success conditions)", re.M)
_START = re.compile(r"\b([a-z][a-z0-9_]*)[ |]+pre:")
_ERROR = re.compile(r"\b(?:RMI|RSI)_ERROR_\w+|\bPSCI_(?:INVALID|ALREADY|DENIED)\w*")
_MESSAGE = re.compile(r"\.msg\s*=\s*\"([^\"]*)\"")
_FIELD = re.compile(r"\.(abi|label|status)\s*=\s*([^,}]+)")


@dataclass(frozen=True, slots=True)
class Condition:
    """A failure condition: the command, its id, the error that the caller sees."""

    command: str
    id: str
    error: str


@dataclass(frozen=True, slots=True)
class Stimulus:
    """A row of the compliance suite: the conditions that it provokes and the status that the command must return.

    Where it provokes two (`a_compare_b`), the status is that of the first.
    """

    command: str
    conditions: tuple[str, ...]
    label: str
    status: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How guards and conditions compare; `unexplained` and `other_error` are disagreements."""

    agree: tuple[Condition, ...]
    other_error: tuple[tuple[Condition, str], ...]
    absent: dict[str, tuple[Condition, ...]]
    """Conditions without a guard, by reason."""
    unexplained: tuple[Condition, ...]
    own: tuple[tuple[str, str], ...]
    """Guards of RMI and RSI commands that are no failure condition: duties, and what the architecture says elsewhere."""


def read_conditions(directory: Path, interfaces: Sequence[str] = ("B4.3", "B5.3", "B6.3")) -> list[Condition]:
    """The failure conditions of every command. Raises InputError where the directory holds no command."""
    found: list[Condition] = []
    commands = 0
    for interface in interfaces:
        for path in sorted(
            directory.glob(f"rmm-{interface}.*.md"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.stem)]
        ):
            text = _read(path).replace("\\_", "_")
            title = _TITLE.search(text)
            if title is None:
                continue
            commands += 1
            found.extend(_conditions(title[1], text))
    if not commands:
        raise InputError(
            "no command of the specification was found",
            place=Place(str(directory)),
            expected="files rmm-B4.3.*.md with the title of a command",
            hint="the directory rmm of wuyongzheng/arm-md-specs",
        )
    return found


def _conditions(command: str, text: str) -> Iterator[Condition]:
    section = _FAILURES.search(text)
    if section is None:
        return
    after = _AFTER.search(text, section.end())
    body = text[section.end() : after.start() if after else len(text)]
    body = " ".join(line for line in body.splitlines() if not line.startswith(("## ", "```", "|---", "<!--")))
    starts = list(_START.finditer(body))
    for i, start in enumerate(starts):
        end = starts[i + 1].start() if i + 1 < len(starts) else len(body)
        error = _ERROR.search(body, start.end(), end)
        yield Condition(command, start[1], error[0] if error else "")


def read_stimuli(directory: Path) -> list[Stimulus]:
    """The rows of the suite's stimulus tables. Raises InputError where there is none."""
    found = []
    for path in sorted(directory.glob("test/command/*/*_data.h")):
        text = _read(path)
        starts = list(_MESSAGE.finditer(text))
        for i, start in enumerate(starts):
            end = starts[i + 1].start() if i + 1 < len(starts) else len(text)
            fields = {name: value.strip() for name, value in _FIELD.findall(text, start.end(), end)}
            conditions = tuple(start[1].replace(" ", "_").split("_compare_"))
            found.append(Stimulus(fields.get("abi", ""), conditions, fields.get("label", ""), fields.get("status", "")))
    if not found:
        raise InputError(
            "no stimulus was found",
            place=Place(str(directory)),
            expected="test/command/*/*_data.h",
            hint="a checkout of ARM-software/cca-rmm-acs",
        )
    return found


def _read(path: Path) -> str:
    if path.stat().st_size > _LONGEST:
        raise InputError("the file is too large", place=Place(str(path)), expected=f"at most {_LONGEST} bytes")
    return path.read_text(encoding="utf-8", errors="replace")


def compare(models: Sequence[Model], conditions: Sequence[Condition]) -> Agreement:
    """Guards of operations that are named as commands, against the commands' failure conditions."""
    guards: dict[tuple[str, str], set[str]] = {}
    for model in models:
        for operation in model.operations:
            command = operation.name.split(" ")[0]
            for guard in operation.guards:
                guards.setdefault((command, guard.id), set()).add(guard.error)
    agree, other, unexplained = [], [], []
    absent: dict[str, list[Condition]] = {}
    for condition in conditions:
        errors = guards.get((condition.command, condition.id))
        if errors is None:
            reason = without_guard(condition)
            absent.setdefault(reason, []).append(condition) if reason else unexplained.append(condition)
        elif errors == {condition.error}:
            agree.append(condition)
        else:
            other.append((condition, ", ".join(sorted(errors))))
    known = {(condition.command, condition.id) for condition in conditions}
    commands = {command for command, _ in known}
    own = sorted(key for key in guards if key not in known and key[0] in commands)
    reasons = {reason: tuple(listed) for reason, listed in absent.items()}
    return Agreement(tuple(agree), tuple(other), reasons, tuple(unexplained), tuple(own))


_SORT = "an address of the model is aligned, in range and of its kind (its sort)"
_ONE_REALM = "the model follows one realm, whose descriptor and contexts are the ones named"
_RANGE = "the model asks and applies page by page: the order of addresses in a range is not in it"
_PARAMETERS = "form and number of parameters: no state of the realm depends on them beyond the RIM"
_READS = "the command changes nothing; what it tells the host is public"
_TOKEN = "the token is one step of the model, not a piece by piece copy"
_HOST_PAGE = "parameters are read from the host's granule; the run page stands for all"
_LEVELS = "the tables model has one entry and one table below it: no other level is walked"
_ABSENT = {
    _READS: {"RMI_RTT_READ_ENTRY", "RMI_REC_AUX_COUNT", "RSI_IPA_STATE_GET", "RSI_MEASUREMENT_READ", "RSI_REALM_CONFIG",
             "PSCI_AFFINITY_INFO", "RMI_VERSION", "RMI_FEATURES", "PSCI_FEATURES", "RSI_VERSION"},
    _TOKEN: {"RSI_ATTESTATION_TOKEN_CONTINUE"},
}  # fmt: skip
_BY_ID = {
    _ONE_REALM: {"rd_state", "rec_gran_state", "rec_owner", "rec_state"},
    _RANGE: {"size_valid", "top_bound", "no_progress", "base_align", "rtte_state", "rgn_bound", "ripas_valid", "new_base"},
    _HOST_PAGE: {"params_pas", "src_pas"},
    _PARAMETERS: {"params_valid", "params_supp", "rtt_num_level", "vmid_valid", "num_recs", "mpidr_index", "num_aux", "alias",
                  "attr_valid", "index_bound", "size_bound", "entry", "mpidr"},
    _LEVELS: {"level_bound", "rtt_walk"},
}  # fmt: skip


def without_guard(condition: Condition) -> str:
    """Why no model has a guard for the condition; empty where nobody said."""
    for reason, commands in _ABSENT.items():
        if condition.command in commands:
            return reason
    if condition.id.endswith("_align") or re.search(r"_bound2?$", condition.id):
        by_range = (
            condition.id in _BY_ID[_RANGE] or condition.id in _BY_ID[_LEVELS] or condition.id in _BY_ID[_PARAMETERS]
        )
        if not by_range:
            return _SORT
    return next((reason for reason, ids in _BY_ID.items() if condition.id in ids), "")
