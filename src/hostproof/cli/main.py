"""hostproof on the command line: one module per verb, one exit point.

Exit status: 0 no open row above the gate; 1 open rows above the gate; 2 usage; 3 an input could not be read, or a
reader saw nothing where there must be something; 4 the ledger differs from the baseline (`--baseline --strict`).
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from hostproof import __version__
from hostproof.cli import assess, compare, diff, explain, kernel_facts, prove, surface, triage, what_if
from hostproof.errors import HostproofError, UsageError
from hostproof.report.words import visible

__all__ = ["build_parser", "main", "script"]

VERBS = (assess, surface, prove, kernel_facts, diff, what_if, triage, compare, explain)

EPILOG = """\
first steps:
  hostproof assess examples/snp/vm.args --kernel examples/facts/debian-12-cloud-6.1.192.json
  hostproof explain C22

exit status: 0 no open row above the gate, 1 open rows above the gate, 2 usage,
3 an input could not be read, 4 the ledger differs from the baseline (--baseline --strict)
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints cannot write to the terminal what a hostile file name says."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="hostproof",
        description="The executable threat model for confidential VMs: what can the untrusted host\n"
        "feed this guest, what stops each input, and what is the evidence?",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hostproof {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status. Errors are written for people, to standard error."""
    _prepare_streams()
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:  # argparse ends the process itself after --help and after a usage error
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return _interrupted()
    try:
        _refuse_vain_words(args)
        status: int = args.run(args)
        sys.stdout.flush()
    except HostproofError as error:
        print(f"hostproof: {printable(error.diagnosis())}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:
        if os.environ.get("HOSTPROOF_TRACEBACK"):
            raise
        print(
            f"hostproof: a defect of hostproof, not of your input: {type(error).__name__}: {printable(str(error))}\n"
            "  try: the same with HOSTPROOF_TRACEBACK=1 in the environment, and report what it prints",
            file=sys.stderr,
        )
        return 3
    return status


def _interrupted() -> int:
    print("hostproof: interrupted", file=sys.stderr)
    return 130


def _prepare_streams() -> None:
    """Make streams that were closed (`>&-`) swallow what is written, and let no stream fail on a character that its
    encoding lacks (LC_ALL=C).
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _refuse_vain_words(args: argparse.Namespace) -> None:
    """Refuse words that would be passed over: an empty one (`--baseline "$UNSET"`), and `-` for a second input when
    standard input can be read once. Raises UsageError.
    """
    taken = []
    for option, value in vars(args).items():
        for word in value if isinstance(value, list) else [value]:
            if word == "" and option != "cmdline":
                raise UsageError(f"the word for {option} is empty", hint="is the variable that holds it set?")
            if word == ("@-" if option == "cmdline" else "-"):
                taken.append(option)
    if len(taken) > 1:
        raise UsageError(
            f"standard input is asked for twice: {' and '.join(taken)}", hint="give all but one of them as files"
        )


def printable(text: str) -> str:
    """`text` with the lines that it has and nothing else that a terminal obeys: an error quotes its input."""
    return "\n".join(visible(line) for line in text.split("\n"))


def script() -> None:
    """The console script."""
    # One command makes many long-lived facts and few cycles: looking for cycles at every 700 objects costs a tenth of it.
    gc.set_threshold(100_000, 20, 20)
    sys.exit(main())
