"""Writes the stored verdicts of every model: `make generate` runs it, tests hold models and records to each other.

    python scripts/prove_all.py [MODEL ...]     prove, and write src/hostproof/managers/records/MODEL.json
    python scripts/prove_all.py --check         compare digests only (a second); status 1 where one has drifted
    python scripts/prove_all.py --compare       prove anew and compare results, lengths of traces and invariants; write nothing

Runs of models are proved side by side, one per processor. Verdicts that did not change keep their times, so that the files
stay as they are.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from hostproof.managers import publish, records, registry
from hostproof.managers.engine.verdict import digest

FOLDER = Path(__file__).resolve().parents[1] / "src/hostproof/managers/records"


def stored(name: str) -> records.Stored | None:
    """The verdicts that stand in the tree."""
    path = FOLDER / f"{name}.json"
    return records.decode(path.read_bytes(), path.name) if path.exists() else None


def drift() -> Iterator[str]:
    """A sentence per model whose verdicts are of another text of it, are absent, or of no model any more."""
    known = registry.every()
    for name, factory in known.items():
        before = stored(name)
        if before is None:
            yield f"{name}: no stored verdicts"
        elif before.model.digest != digest(factory()):
            yield f"{name}: the model is another than the one that was proved"
        elif before.model != publish.card(factory(), factory):
            yield f"{name}: sentences or sources of the model are others than those stored"
    for path in sorted(FOLDER.glob("*.json")):
        if path.stem not in known:
            yield f"{path.stem}: verdicts of a model that is not there"


def differences(before: records.Stored, after: records.Stored) -> Iterator[str]:
    """What two files of verdicts do not agree on, times and traces of equal length aside."""

    def told(one: records.Stored) -> dict[tuple[object, ...], tuple[object, ...]]:
        return {
            (v.objective, tuple(sorted(v.policy.items())), v.duties): (v.result, v.steps, v.invariants)
            for v in one.verdicts
        }

    old, new = told(before), told(after)
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            yield f"{after.model.name} {key[0]} {key[1:]}: {old.get(key)} is now {new.get(key)}"
    if before.weakest != after.weakest:
        yield f"{after.model.name}: the weakest duties are others"


def _prove(key: str, number: int) -> tuple[list[records.Verdict], float]:
    """One run of one model, in a process of its own."""
    started = time.monotonic()
    factory = registry.every()[key]
    model = factory()
    run = publish.runs(model, factory)[number]
    return publish.prove_run(model, factory, run), time.monotonic() - started


def prove(names: Sequence[str]) -> Iterator[tuple[str, records.Stored, float]]:
    """Every published verdict of these models (all by default), with the seconds of work that it took."""
    known = registry.every()
    with ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        jobs = []
        for name, factory in known.items():
            if not names or name in names:
                model = factory()
                runs = publish.runs(model, factory)
                jobs.append((factory, model, [pool.submit(_prove, name, number) for number in range(len(runs))]))
        for factory, model, parts in jobs:
            done = [part.result() for part in parts]
            verdicts = [verdict for found, _ in done for verdict in found]
            started = time.monotonic()
            result = publish.stored(model, factory, verdicts)
            yield factory.key, result, sum(seconds for _, seconds in done) + time.monotonic() - started


def main(words: Sequence[str] | None = None) -> int:
    """Write, check or compare; the exit status says whether something has drifted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--compare", action="store_true")
    args = parser.parse_args(words)
    if args.check:
        found = list(drift())
        print("\n".join(found) or "every model is the one that was proved")
        return 1 if found else 0
    wrong = 0
    for name, result, seconds in prove(args.models):
        before = stored(name)
        count = {kind: sum(one.result == kind for one in result.verdicts) for kind in ("proved", "trace", "unknown")}
        print(f"{name:<20} {seconds:6.1f} s  {count}", flush=True)
        if args.compare:
            found = list(differences(before, result)) if before else [f"{name}: no stored verdicts"]
            print("\n".join(found))
            wrong += len(found)
        else:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / f"{name}.json").write_bytes(publish.encode(result, before))
    for path in sorted(FOLDER.glob("*.json")):
        if not args.compare and not args.models and path.stem not in registry.every():
            path.unlink()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
