"""Let the tests of this directory import the sample ledgers (`ledgers.py`) whatever pytest's import mode is."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
