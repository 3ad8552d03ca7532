"""The rules of the house, held by a machine: who may import whom, how long files and functions are, what is documented."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src/hostproof"
FILES = sorted(SOURCE.rglob("*.py"))
GROUND = {"errors", "place"}
MAY_IMPORT = {
    "knowledge": {"knowledge"},
    "artefacts": {"artefacts"},
    "managers": {"managers", "knowledge", "artefacts"},
    "attestation": {"attestation", "knowledge", "artefacts"},
    "ledger": {"ledger", "managers", "attestation", "knowledge", "artefacts"},
    "report": {"report", "ledger", "knowledge", "managers"},
    "cli": {"cli", "report", "ledger", "managers", "attestation", "knowledge", "artefacts"},
}
REPORT_MAY_READ = {
    "hostproof.knowledge.terms",
    "hostproof.ledger.model",
    "hostproof.ledger.diff",
    "hostproof.ledger.codec",
}
REPORT_MAY_READ |= {"hostproof.ledger.compare", "hostproof.ledger.surface", "hostproof.ledger.what_if.model"}
REPORT_MAY_READ |= {"hostproof.ledger.triage_model"}
REPORT_MAY_READ |= {"hostproof.ledger.kernel_diff"}
REPORT_MAY_READ |= {"hostproof.managers.records", "hostproof.managers.objectives"}
MAX_FILE, MAX_FUNCTION = 400, 60


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Modules of hostproof that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("hostproof.")}


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_data_flows_one_way(name: str) -> None:
    wrong = [
        (path.name, module)
        for path in FILES
        if room(path) == name
        for module in imports(path)
        if module.split(".")[1] not in MAY_IMPORT[name] | GROUND
    ]

    assert wrong == []


def test_report_reads_ledgers_and_verdicts_alone() -> None:
    wrong = [
        (path.name, module)
        for path in FILES
        if room(path) == "report"
        for module in imports(path)
        if module.split(".")[1] in ("knowledge", "ledger", "managers") and module not in REPORT_MAY_READ
    ]

    assert wrong == []


def test_files_stay_under_their_limit() -> None:
    long = {str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in FILES}

    assert {name: lines for name, lines in long.items() if lines > MAX_FILE} == {}


def test_functions_stay_under_their_limit() -> None:
    long = [
        (path.name, node.name)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION
    ]

    assert [item for item in long if item[1] != "add"] == [], "verbs' `add` is a flat list of options"


def test_every_module_and_every_public_name_is_documented() -> None:
    silent = []
    for path in FILES:
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            silent.append(path.name)
        exported = {
            item.value
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
            for item in getattr(node.value, "elts", [])
        }
        silent += [
            f"{path.name}:{node.name}"
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and node.name in exported
            and not ast.get_docstring(node)
        ]

    assert silent == []


def test_nothing_in_an_input_is_ever_executed() -> None:
    """No `eval`, `exec`, `subprocess`, `pickle` or network module in what ships."""
    banned = {"subprocess", "pickle", "marshal", "socket", "http", "ctypes", "shelve", "urllib.request"}
    wrong = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("eval", "exec", "compile", "__import__"):
                wrong.append((path.name, ast.dump(node.func)))
            elif isinstance(node, ast.Import):
                wrong += [
                    (path.name, alias.name) for alias in node.names if banned & {alias.name, alias.name.split(".")[0]}
                ]
            elif isinstance(node, ast.ImportFrom) and banned & {node.module, (node.module or "").split(".")[0]}:
                wrong.append((path.name, node.module))

    assert wrong == []
