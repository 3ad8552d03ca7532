"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is not a slow reader: examples have no deadline of their own. CI repeats the same examples every time.
os.environ["HOSTPROOF_CACHE"] = "off"  # tests that want the cache make their own
settings.register_profile("hostproof", deadline=None, derandomize=os.environ.get("CI", "") not in ("", "false", "0"))
settings.load_profile("hostproof")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of real artefacts that stands beside the checkout; it is not part of the project.

    Some of its files are under GPL, AGPL or LGPL: tests may read them there, nothing of them enters the tree.
    `HOSTPROOF_SHARED` names another place for it.
    """
    default = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("HOSTPROOF_SHARED", default))
    if not path.is_dir():
        pytest.skip(f"no real artefacts: {path} is absent (set HOSTPROOF_SHARED)")
    return path
