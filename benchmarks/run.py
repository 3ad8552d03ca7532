"""Times every job that has a budget, each in processes of its own, and says whether it is kept.

`make bench` runs it. `HOSTPROOF_KERNELS` names the directory with the stock and the cloud kernel package; jobs whose package is
absent are left out, saying so. Times are the best and the median of the runs, memory the largest resident set.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Job:
    """One command with its budget in seconds and, where it has one, in MiB of resident memory."""

    name: str
    words: list[str]
    seconds: float
    mebibytes: float | None = None
    runs: int = 3


@dataclass(frozen=True, slots=True)
class Result:
    """What a job took: seconds of each run, and the largest resident set in MiB."""

    seconds: list[float]
    mebibytes: float


def run(job: Job) -> Result:
    """Run the job; raises CalledProcessError where it fails."""
    seconds, peak = [], 0.0
    for _ in range(job.runs):
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "hostproof", *job.words], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - begin)
        peak = max(peak, usage.ru_maxrss / 1024)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            raise subprocess.CalledProcessError(process.returncode, job.words)
    return Result(seconds, peak)


def packages(folder: Path, pattern: str) -> list[Path]:
    """Kernel packages of that name, newest last."""
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def jobs(folder: Path, scratch: Path) -> list[Job]:
    """Every job that can be run with the packages at hand."""
    vm = str(ROOT / "examples/snp/vm.args")
    cloud_facts = str(ROOT / "examples/facts/debian-12-cloud-6.1.192.json")
    found = [
        Job("hostproof --help", ["--help"], 0.15, runs=7),
        Job("assess, cloud kernel, from facts", ["assess", vm, "--kernel", cloud_facts], 0.5, runs=5),
    ]
    stock = [path for path in packages(folder, "linux-image-*-amd64*.deb") if "cloud" not in path.name]
    if not stock:
        print(f"left out: no stock kernel package in {folder} (HOSTPROOF_KERNELS)")
        return found
    facts = str(scratch / "stock.json")
    subprocess.run([sys.executable, "-m", "hostproof", "kernel-facts", str(stock[-1]), "--output", facts], check=True)
    return [
        *found,
        Job("assess, stock kernel, from facts", ["assess", vm, "--kernel", facts], 0.5, runs=5),
        Job("assess, stock kernel, from the .deb", ["assess", vm, "--kernel", str(stock[-1])], 8.0, 1024),
    ]


def main() -> int:
    """Print the table; 1 where a budget is not kept."""
    folder = Path(os.environ.get("HOSTPROOF_KERNELS", ROOT / ".kernels"))
    print(f"{'job':<38} {'best':>8} {'median':>8} {'budget':>8} {'peak':>9}  kept")
    broken = 0
    with tempfile.TemporaryDirectory() as scratch:
        for job in jobs(folder, Path(scratch)):
            result = run(job)
            median = statistics.median(result.seconds)
            kept = median <= job.seconds and (job.mebibytes is None or result.mebibytes <= job.mebibytes)
            broken += not kept
            print(
                f"{job.name:<38} {min(result.seconds):7.2f}s {median:7.2f}s {job.seconds:7.2f}s "
                f"{result.mebibytes:5.0f} MiB  {'yes' if kept else 'NO'}"
            )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
