"""`hostproof compare TECHNOLOGY ...`: threat models side by side."""

from __future__ import annotations

import argparse

__all__ = ["add", "run"]

EPILOG = """\
examples:
  hostproof compare sev-snp tdx pkvm-arm64 --use third-party-server
  hostproof compare sev-snp --use third-party-server --fact feature.restricted_injection=yes
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "compare",
        help="threat models of technologies side by side, for one use",
        description="Derive the threat model of each technology in one use: objectives met, threats that\n"
        "apply, channels that exist and who controls them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("technology", metavar="TECHNOLOGY", nargs="+", help="id, or `all`; see `explain technologies`")
    parser.add_argument("--use", metavar="U", default="third-party-server", help="an id or a TOML file")
    parser.add_argument("--fact", metavar="NAME=VALUE", action="append", default=[], help="state a fact")
    parser.add_argument("--option", metavar="ID=POSITION", action="append", default=[], help="take a position")
    parser.add_argument("--format", choices=("terminal", "json"), default="terminal")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("-v", "--verbose", action="store_true", help="the reason of each letter")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the comparison."""
    import msgspec

    from hostproof.cli import files, show, stated
    from hostproof.knowledge.load import catalogue
    from hostproof.ledger.compare import compare
    from hostproof.managers.proofs import proved
    from hostproof.report import compare_terminal

    known = catalogue()
    use, _ = stated.read_use(known, args.use)
    comparison = compare(
        known,
        stated.technologies(known, args.technology),
        use,
        proved(),
        chosen=stated.options_chosen(known, args.option),
        stated=stated.facts_stated(known, args.fact),
    )
    if args.format == "json":
        files.write_output(msgspec.json.format(msgspec.json.encode(comparison), indent=1) + b"\n", args.output)
    else:
        files.write_output(compare_terminal.to_text(comparison, width=show.width(), verbose=args.verbose), args.output)
    return 0
