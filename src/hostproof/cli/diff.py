"""`hostproof diff OLD NEW`: rows opened, closed and moved between two ledgers; bytes gained."""

from __future__ import annotations

import argparse

__all__ = ["add", "run"]

EPILOG = """\
example:
  hostproof assess vm.xml --kernel old.deb --format json --output old.json
  hostproof assess vm.xml --kernel new.deb --format json --output new.json
  hostproof diff old.json new.json
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "diff",
        help="rows opened, closed, moved between two ledgers; bytes gained",
        description="Compare two ledgers. Exit status 1 where the new one is worse: a row opened that the\n"
        "rules of the old one knew.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", help="ledger (JSON) of `assess --format json`")
    parser.add_argument("new", metavar="NEW", help="ledger (JSON) to compare with it")
    parser.add_argument("--format", choices=("terminal", "json"), default="terminal")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("-v", "--verbose", action="store_true", help="every row that changed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the comparison; 1 where the new ledger is worse."""
    from hostproof.cli import files, show
    from hostproof.ledger import diff

    change = diff.diff(show.read_ledger(args.old), show.read_ledger(args.new))
    if args.format == "json":
        files.write_output(diff.encode(change), args.output)
    else:
        from hostproof.report import diff_terminal

        color = args.output is None and show.colour()
        files.write_output(
            diff_terminal.to_text(change, width=show.width(), color=color, verbose=args.verbose), args.output
        )
    return 1 if change.is_worse else 0
