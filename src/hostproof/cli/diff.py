"""`hostproof diff OLD NEW`: what changed between two ledgers, or between two kernels."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostproof.artefacts.kernel.facts import KernelFacts
    from hostproof.cli.progress import Report
    from hostproof.knowledge.load import Catalogue

__all__ = ["add", "run"]

TECHNOLOGY = "kvm"
USE = "third-party-server"  # mechanisms of a kernel ask nothing of the use

EPILOG = """\
examples:
  hostproof diff linux-image-6.1.0-54-amd64_6.1.190-1.deb linux-image-6.1.0-55-amd64_6.1.192-1.deb
  hostproof diff vmlinuz-old vmlinuz-new --with-old /old/lib/modules/6.1.0-54 --with-new /new/lib/modules/6.1.0-55

  hostproof assess vm.xml --kernel old.deb --format json --output old.json
  hostproof assess vm.xml --kernel new.deb --format json --output new.json
  hostproof diff old.json new.json
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "diff",
        help="what changed between two ledgers (rows) or two kernels (drivers, mechanisms)",
        description="Compare two ledgers: rows opened, closed and moved; or two kernels: drivers that the host reaches\n"
        "anew or no more, code and sites that changed, mechanisms gained and lost. Which it is, is told by\n"
        "their contents. Exit status 1 where the new one is worse: a row opened that the rules of the old\n"
        "one knew; or the host reaches a driver more, or a mechanism is gone.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", help="ledger (JSON) of `assess --format json`; or a kernel: package,\n"
                        "directory, image or kernel facts")  # fmt: skip
    parser.add_argument("new", metavar="NEW", help="what to compare with it, of the same kind")
    parser.add_argument("--with-old", metavar="FILE", action="append", default=[],
                        help="another part of the old kernel, where a distribution splits it; again for more")  # fmt: skip
    parser.add_argument("--with-new", metavar="FILE", action="append", default=[],
                        help="another part of the new kernel")  # fmt: skip
    parser.add_argument("--technology", metavar="T", help=f"whose host reaches the kernels (default: {TECHNOLOGY})")
    parser.add_argument("--format", choices=("terminal", "json"), default="terminal")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("-v", "--verbose", action="store_true", help="every row or driver that changed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the comparison; 1 where the new one is worse."""
    from hostproof.errors import UsageError

    old, new = _given(args.old), _given(args.new)
    if old.is_ledger is not new.is_ledger:
        kinds = [f"{given.name} is a {'ledger' if given.is_ledger else 'kernel'}" for given in (old, new)]
        raise UsageError(
            " and ".join(kinds),
            hint="give two kernels, or two ledgers: `hostproof assess VM --kernel K --format json` writes one",
        )
    if not old.is_ledger:
        return _kernels(args, old, new)
    for option in ("with_old", "with_new", "technology"):
        if getattr(args, option):
            word = option.replace("_", "-")
            raise UsageError(f"--{word} is for kernels, and these are ledgers", hint=f"leave --{word} out")
    return _ledgers(args, old, new)


@dataclass(frozen=True, slots=True)
class _Given:
    """An input and, where it had to be read to tell what it is, its bytes."""

    name: str
    is_ledger: bool
    data: bytes | None = None


def _given(name: str) -> _Given:
    """What kind of input this is: JSON says its format, and anything else is a kernel."""
    from hostproof.artefacts.kernel import facts_file
    from hostproof.cli import files

    if not files.is_json(name):
        return _Given(name, False)
    data = files.read_bytes(name, "the ledger or kernel")
    return _Given(name, not facts_file.looks_like_facts(data), data)


def _ledgers(args: argparse.Namespace, old: _Given, new: _Given) -> int:
    from hostproof.cli import files, show
    from hostproof.ledger import codec, diff

    change = diff.diff(*(codec.decode(given.data or b"", files.label(given.name)) for given in (old, new)))
    if args.format == "json":
        files.write_output(diff.encode(change), args.output)
    else:
        from hostproof.report import diff_terminal

        color = args.output is None and show.colour()
        files.write_output(
            diff_terminal.to_text(change, width=show.width(), color=color, verbose=args.verbose), args.output
        )
    return 1 if change.is_worse else 0


def _kernels(args: argparse.Namespace, old: _Given, new: _Given) -> int:
    from hostproof.cli import files, progress, show, stated
    from hostproof.knowledge.load import catalogue
    from hostproof.ledger import kernel_diff

    known = catalogue()
    technology = stated.technology_named(known, args.technology or TECHNOLOGY)
    with progress.shown() as report:
        before = _kernel(old, args.with_old, known, report)
        after = _kernel(new, args.with_new, known, report)
    change = kernel_diff.kernel_diff(known, before, after, technology, known.uses[USE])
    if args.format == "json":
        files.write_output(kernel_diff.encode(change), args.output)
    else:
        from hostproof.report import kernel_diff_terminal

        color = args.output is None and show.colour()
        files.write_output(
            kernel_diff_terminal.to_text(change, width=show.width(), color=color, verbose=args.verbose), args.output
        )
    return 1 if change.is_worse else 0


def _kernel(given: _Given, more: Sequence[str], known: Catalogue, report: Report | None) -> KernelFacts:
    """The facts of a kernel, with its other parts."""
    from hostproof.artefacts.kernel import facts_file
    from hostproof.cli import files, kernels

    if given.data is None:
        return kernels.read_all([given.name, *more], known, report=report)
    facts = facts_file.decode(given.data, files.label(given.name))
    return kernels.joined(facts, more, known, report=report)
