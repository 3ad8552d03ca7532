"""What proofs cost: everything that is published, one technology afresh, and reading what is stored.

    python benchmarks/prove.py         budgets: all 60 s on two cores and 1 GiB, `prove tdx --fresh` 3 s, stored ones 0.5 s

The wall-clock time of everything depends on who else uses the processors; the seconds of work do less so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GIBIBYTE = 1024.0


def measured(words: list[str]) -> tuple[float, float, float]:
    """Seconds on the wall, seconds of work, and MiB of the largest process. Raises CalledProcessError where it fails."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> int:
    """Print the table; 1 where a budget is not kept."""
    jobs = [
        ("prove, stored verdicts, all technologies", ["-m", "hostproof", "prove"], 0.5),
        ("prove tdx --fresh", ["-m", "hostproof", "prove", "tdx", "--fresh"], 3.0),
        ("every published proof and trace", ["scripts/prove_all.py", "--compare"], 60.0),
    ]
    broken = 0
    print(f"{'job':<44} {'wall':>8} {'work':>8} {'budget':>8} {'peak':>9}  kept")
    for name, words, budget in jobs:
        wall, work, peak = measured(words)
        kept = wall <= budget and peak <= GIBIBYTE
        broken += not kept
        print(f"{name:<44} {wall:7.2f}s {work:7.2f}s {budget:7.2f}s {peak:5.0f} MiB  {'yes' if kept else 'NO'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
