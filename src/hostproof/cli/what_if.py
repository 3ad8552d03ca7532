"""`hostproof what-if VM`: which single change closes most, and the smallest set that reaches a target."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from hostproof.cli.assess import add_vm
from hostproof.errors import UsageError

__all__ = ["add", "run"]

KINDS = ("kconfig", "module", "board", "cmdline", "policy", "feature", "verifier")
EPILOG = """\
kinds of change: Kconfig options, modules left out, board switches, command-line options,
launch policy bits, feature bits, registers that a verifier checks. Each is checked by
assessing the changed VM. A target is open=N (at most N open rows) or a pattern of rows.

examples:
  hostproof what-if vm.xml --kernel kernel-facts.json --verifier policy.toml
  hostproof what-if vm.xml --kernel kernel-facts.json --target 'C22/*/*' --target 'C33/*/*'
  hostproof what-if qemu.args --kernel k.deb --kind cmdline,verifier --target open=0 --format json
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "what-if",
        help="which single change closes most, and the smallest set of changes that reaches a target",
        description="Try every change that the catalogue knows for this VM, each by assessing the changed VM, and\n"
        "rank them by the open rows that they close. With --target, find the smallest set that reaches it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_vm(parser)
    changes = parser.add_argument_group("changes")
    changes.add_argument("--target", metavar="T", action="append", default=[],
                         help="what a set of changes shall reach: open=0, or a pattern of rows that shall be closed "
                         "('C22/*/*'); may be repeated")  # fmt: skip
    changes.add_argument("--kind", metavar="K,K", help=f"only these kinds of change: {','.join(KINDS)}")
    changes.add_argument("--top", metavar="N", type=int, default=20, help="show the N best changes (default: 20)")
    changes.add_argument("--jobs", metavar="N", type=int, help="processors to use (default: all)")
    output = parser.add_argument_group("output")
    output.add_argument("--format", choices=("terminal", "json"), default="terminal")
    output.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    output.add_argument("-v", "--verbose", action="store_true", help="every change, with its rows")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the answer; 1 where a target is not reached by any set of changes."""
    kinds = _kinds(args.kind)
    if args.top < 0:
        raise UsageError("--top is negative", hint="--top 20")
    _refuse_ledger(args.vm)
    from hostproof.cli import files, progress, show, subject
    from hostproof.knowledge.load import catalogue
    from hostproof.ledger.what_if.answer import what_if
    from hostproof.ledger.what_if.changes import Kind
    from hostproof.ledger.what_if.model import encode
    from hostproof.managers.proofs import proved
    from hostproof.report import what_if_terminal

    with progress.shown() as report:
        answer = what_if(
            catalogue(),
            subject.from_arguments(args, report),
            proved(),
            targets=args.target,
            kinds=tuple(Kind(kind) for kind in kinds),
            jobs=_jobs(args.jobs),
            report=report,
        )
    if args.format == "json":
        files.write_output(encode(answer), args.output)
    else:
        color = args.output is None and show.colour()
        text = what_if_terminal.to_text(answer, width=show.width(), color=color, top=args.top, verbose=args.verbose)
        files.write_output(text, args.output)
    return 1 if answer.smallest is not None and not answer.smallest.reached else 0


def _kinds(text: str | None) -> tuple[str, ...]:
    """The kinds that `--kind` names, all where it was not given."""
    if text is None:
        return KINDS
    kinds = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong or not kinds:
        raise UsageError(f"no kind of change: {', '.join(wrong) or text!r}", hint=f"--kind {','.join(KINDS)}")
    return kinds


def _jobs(asked: int | None) -> int:
    """How many processors to use: as asked, else those that this process may run on."""
    if asked is not None:
        if asked < 1:
            raise UsageError("--jobs is less than one", hint="--jobs 2")
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse_ledger(name: str | None) -> None:
    """A ledger says what is open, and not of what VM: it cannot be assessed with a change. Raises UsageError."""
    from hostproof.cli import files

    if name is None or not Path(name).is_file():
        return
    data = files.read_bytes(name, "the definition")
    if not data.lstrip().startswith(b"{") or b'"hostproof-ledger/' not in data:
        return
    try:
        form = json.loads(data).get("format", "")
    except (ValueError, AttributeError, RecursionError):
        return
    if str(form).startswith("hostproof-ledger/"):
        raise UsageError(
            f"{name} is a ledger, and a ledger alone cannot be assessed anew with a change",
            hint="give the VM that it was made of, with the same options as to `assess`",
        )
