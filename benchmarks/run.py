"""Times every job that has a budget, each in processes of its own, and says whether it is kept.

`make bench` runs it. `HOSTPROOF_KERNELS` names the directory with the stock and the cloud kernel package; jobs whose package is
absent are left out, saying so. Times are the best and the median of the runs, memory the largest resident set.
"""

from __future__ import annotations

import os
import re
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
    """One command with its budget in seconds and, where it has one, in MiB of resident memory.

    `cache` is the directory of kernels read before; without one every run reads everything.
    """

    name: str
    words: list[str]
    seconds: float
    mebibytes: float | None = None
    runs: int = 3
    cache: str = "off"


@dataclass(frozen=True, slots=True)
class Result:
    """What a job took: seconds of each run; the least processor time of one (which a busy machine does not stretch as much)
    in seconds, and the largest resident set in MiB.
    """

    seconds: list[float]
    processor: float
    mebibytes: float


def run(job: Job) -> Result:
    """Run the job; raises CalledProcessError where it fails."""
    seconds, spent, peak = [], [], 0.0
    for _ in range(job.runs):
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "hostproof", *job.words], stdout=subprocess.DEVNULL, env=environment(job.cache)
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - begin)
        spent.append(usage.ru_utime + usage.ru_stime)
        peak = max(peak, usage.ru_maxrss / 1024)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            raise subprocess.CalledProcessError(process.returncode, job.words)
    return Result(seconds, min(spent), peak)


def environment(cache: str) -> dict[str, str]:
    """What a job runs in: all that this process has, with that cache of kernels."""
    return {**os.environ, "HOSTPROOF_CACHE": cache}


def packages(folder: Path, pattern: str, without: tuple[str, ...] = ()) -> list[Path]:
    """Kernel packages of that name and without these words in it, oldest first."""
    found = folder.glob(pattern) if folder.is_dir() else ()
    return sorted(
        (path for path in found if set(without).isdisjoint(path.name.split("-"))),
        key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)],
    )


def jobs(folder: Path, scratch: Path) -> list[Job]:
    """Every job that can be run with the packages at hand."""
    vm = str(ROOT / "examples/snp/vm.args")
    cloud_facts = str(ROOT / "examples/facts/debian-12-cloud-6.1.192.json")
    found = [
        Job("hostproof --help", ["--help"], 0.15, runs=7),
        Job("assess, cloud kernel, from facts", ["assess", vm, "--kernel", cloud_facts], 0.5, runs=5),
    ]
    stock = packages(folder, "linux-image-*-amd64*.deb", without=("cloud", "rt"))
    if not stock:
        print(f"left out: no stock kernel package in {folder} (HOSTPROOF_KERNELS)")
        return found
    facts = str(scratch / "stock.json")
    words = [sys.executable, "-m", "hostproof", "kernel-facts", str(stock[-1]), "--output", facts]
    subprocess.run(words, check=True, env=environment("off"))
    from surface import surface_jobs  # which takes Job from here

    return [
        *found,
        Job("assess, stock kernel, from facts", ["assess", vm, "--kernel", facts], 0.5, runs=5),
        Job("assess, stock kernel, from the .deb", ["assess", vm, "--kernel", str(stock[-1])], 8.0, 1024),
        *surface_jobs(stock, scratch),
    ]


def table(found: list[Job]) -> int:
    """Run the jobs and print what they took; 1 where a budget is not kept."""
    print(f"{'job':<38} {'best':>8} {'median':>8} {'budget':>8} {'cpu':>8} {'peak':>9}  kept")
    broken = 0
    for job in found:
        result = run(job)
        median = statistics.median(result.seconds)
        kept = median <= job.seconds and (job.mebibytes is None or result.mebibytes <= job.mebibytes)
        broken += not kept
        print(
            f"{job.name:<38} {min(result.seconds):7.2f}s {median:7.2f}s {job.seconds:7.2f}s "
            f"{result.processor:7.2f}s {result.mebibytes:5.0f} MiB  {'yes' if kept else 'NO'}",
            flush=True,
        )
    return 1 if broken else 0


def main() -> int:
    """Time every job that the packages at hand allow."""
    folder = Path(os.environ.get("HOSTPROOF_KERNELS", ROOT / ".kernels"))
    with tempfile.TemporaryDirectory() as scratch:
        return table(jobs(folder, Path(scratch)))


if __name__ == "__main__":
    sys.exit(main())
