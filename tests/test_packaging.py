"""What is installed is whole: the wheel and the source archive carry every file of the package, and the wheel assesses a VM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = {
    path.relative_to(ROOT / "src").as_posix()
    for path in (ROOT / "src/hostproof").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".new"
}
HOOK = "import sys, setuptools.build_meta as backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, so that nothing of an earlier build is found and nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("tree")
    shutil.copytree(
        ROOT / "src/hostproof", copy / "src/hostproof", ignore=shutil.ignore_patterns("__pycache__", "*.new")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def build(kind: str, tree: Path) -> Path:
    """Builds an archive of that kind with the backend that pyproject.toml names."""
    into = tree / "dist"
    into.mkdir(exist_ok=True)
    command = [sys.executable, "-c", HOOK, kind, str(into)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Deprecat" not in done.stderr
    return into / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    return build("build_wheel", tree)


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name for name in names if ".dist-info/" not in name} == PACKAGE
    assert [name.split("/")[-1] for name in names if "LICENSE" in name] == ["LICENSE"]


@pytest.mark.slow
def test_the_source_archive_has_every_file_of_the_package(tree: Path) -> None:
    with tarfile.open(build("build_sdist", tree)) as archive:
        names = {name.partition("/src/")[2] for name in archive.getnames()}

    assert sorted(PACKAGE - names) == []


@pytest.mark.slow
def test_the_wheel_alone_assesses_a_vm_from_another_directory(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = run("-c", "import hostproof; print(hostproof.__file__)").strip()
    kernel = str(ROOT / "examples/facts/debian-12-cloud-6.1.192.json")
    vm = str(ROOT / "examples/snp/vm.args")
    said = run("-m", "hostproof", "assess", vm, "--kernel", kernel, "--gate", "none", "--page", "ledger.html")

    assert Path(place) == site / "hostproof/__init__.py"
    assert "SEV-SNP" in said
    assert (elsewhere / "ledger.html").read_text().startswith("<!doctype html>")
