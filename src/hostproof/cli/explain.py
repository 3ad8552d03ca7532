"""`hostproof explain`: one entry of the catalogue, or one row of a ledger, with its sources."""

from __future__ import annotations

import argparse
import re

__all__ = ["add", "run"]

_VERDICT = re.compile("(?:(?:proof|trace|verdict):)?[0-9a-f]{12}")
EPILOG = """\
examples:
  hostproof explain C22                                  a channel
  hostproof explain heckler                              an attack (also by its number: attack:22), and what models say
  hostproof explain 1a73261a4fcd                         a proof or a trace, by the id that a row or `prove` shows
  hostproof explain restricted_injection                 a feature bit
  hostproof explain C34/virtio_net/T3 --ledger ledger.json
  hostproof explain uses                                 a list: uses, technologies, channels, features, mitigations, attacks
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "explain",
        help="one entry of the catalogue, or one row of a ledger, with its sources",
        description="Explain a channel, attack, mitigation, feature, technology, primitive, use, option or\n"
        "source; or, with --ledger, one row: its rule, its facts with their place, its evidence.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "entry", metavar="ENTRY", help="an id, a row id (CHANNEL/INSTANCE/THREAT), or the name of a list"
    )
    parser.add_argument("--ledger", metavar="FILE", help="the ledger (JSON) that holds the row")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the explanation."""
    from hostproof.cli import files, show
    from hostproof.errors import UsageError
    from hostproof.knowledge.load import catalogue

    if "/" in args.entry:
        if not args.ledger:
            raise UsageError(
                f"{args.entry} is a row: rows live in ledgers",
                hint="write one with `assess --format json --output ledger.json` and give --ledger ledger.json",
            )
        from hostproof.report.explain import explain_text

        ledger = show.read_ledger(args.ledger)
        rows = {row.id: row for row in ledger.rows}
        if args.entry not in rows:
            raise UsageError(f"{args.ledger} has no row {args.entry!r}", hint=_nearest(args.entry, list(rows)))
        text = explain_text(ledger, rows[args.entry], width=show.width(), color=show.colour())
    elif _VERDICT.fullmatch(args.entry):
        text = _verdict(args.entry.rpartition(":")[2])
    else:
        from hostproof.knowledge import explain

        known = catalogue()
        found = explain.entry(known, args.entry, width=show.width())
        if found is None:
            names = explain.names(known)
            raise UsageError(f"the catalogue has no entry {args.entry!r}", hint=_nearest(args.entry, names))
        text = found + _models(args.entry)
    files.write_output(text, None)
    return 0


def _verdict(id: str) -> str:
    """A proof or a trace with everything behind it. Raises UsageError where no model has it."""
    from hostproof.cli import show
    from hostproof.errors import UsageError
    from hostproof.managers.records import library
    from hostproof.report.prove_terminal import verdict_text

    found = library().find(id)
    if found is None:
        raise UsageError(
            f"no stored verdict has the id {id}",
            hint="a ledger of another version of hostproof names other ids; `hostproof prove` lists those of this one",
        )
    return verdict_text(*found, width=show.width(), color=show.colour())


def _models(entry: str) -> str:
    """What the models say of an attack: traces that replay it, proofs that it is gone, assumptions that it breaks."""
    from hostproof.cli import show
    from hostproof.knowledge.load import catalogue
    from hostproof.managers import coverage
    from hostproof.managers.policies import replays
    from hostproof.managers.records import library
    from hostproof.report.prove_terminal import attack_text

    word = entry.removeprefix("attack:")
    attacks = catalogue().attacks.values()
    attack = next((one for one in attacks if one.id == word or str(one.number) == word), None)
    if attack is None:
        return ""
    replay = replays().get(attack.id)
    scenes = [] if replay is None else [known for one in replay.found if (known := coverage.scene(library(), one))]
    sentences = [] if replay is None else list(coverage.told(library(), replay))
    broken = coverage.assumptions_broken(library()).get(attack.id, [])
    story = "" if replay is None else replay.story
    return attack_text(story, sentences, broken, scenes[:1], width=show.width(), color=show.colour())


def _nearest(word: str, words: list[str]) -> str:
    """A hint with the entries that look most like the word."""
    import difflib

    near = difflib.get_close_matches(word, words, n=4, cutoff=0.5)
    return "did you mean " + ", ".join(near) + "?" if near else "`hostproof explain channels` lists what there is"
