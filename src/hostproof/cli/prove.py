"""`hostproof prove`: proofs and shortest traces of the security managers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hostproof.errors import UsageError

if TYPE_CHECKING:
    from hostproof.managers.ask import Answer, Question

__all__ = ["add", "run"]

EPILOG = """\
examples:
  hostproof prove                                             technologies by objectives
  hostproof prove tdx -v                                      every verdict with invariants and assumptions
  hostproof prove sev-snp --objective M6 --without-duty validate_once --trace
  hostproof prove sev-snp --policy DEBUG=on --objective M1 --trace --format mermaid
  hostproof prove pkvm-arm64 --kernel-version android
  hostproof prove --attacks                                   published attacks that the models cover
"""
_ON = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "prove",
        help="what security managers stop: proofs for any number of pages, or the shortest trace of host actions",
        description="The verdicts of the models of security managers, with the host as adversary: per technology and\n"
        "objective a proof for any number of pages, or the shortest trace of host actions that breaks it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("technologies", metavar="TECHNOLOGY", nargs="*", help="sev-snp, tdx, ...; all by default")
    question = parser.add_argument_group("question")
    question.add_argument("--technology", metavar="T", action="append", default=[], help="the same as TECHNOLOGY")
    question.add_argument("--objective", metavar="M3", action="append", default=[],
                          help="an objective or a part of one (M1.debug); may be repeated")  # fmt: skip
    question.add_argument("--policy", metavar="NAME=on|off", action="append", default=[],
                          help="a policy bit, feature or version switch of a model; may be repeated")  # fmt: skip
    question.add_argument("--without-duty", metavar="D", action="append", default=[],
                          help="a duty that the guest does not keep; may be repeated")  # fmt: skip
    question.add_argument("--only-duty", metavar="D", action="append",
                          help="the guest keeps this duty and no others; may be repeated")  # fmt: skip
    question.add_argument("--kernel-version", metavar="V", help="another version of the security manager")
    question.add_argument("--fresh", action="store_true", help="prove now instead of reading the stored verdicts")
    output = parser.add_argument_group("output")
    output.add_argument("--trace", action="store_true", help="the traces, step by step")
    output.add_argument("--attacks", action="store_true", help="published attacks that the models cover, as numbers")
    output.add_argument("--format", choices=("terminal", "json", "mermaid", "svg"), default="terminal",
                        help="mermaid and svg draw one trace")  # fmt: skip
    output.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    output.add_argument("-v", "--verbose", action="store_true", help="invariants and assumptions in sentences")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the answers."""
    from hostproof.cli import files, show
    from hostproof.managers.ask import ask, fresh
    from hostproof.managers.records import library
    from hostproof.report import prove_terminal

    color = args.output is None and show.colour()
    if args.attacks:
        files.write_output(_attacks(args, color), args.output)
        return 0
    question = _question(args)
    answers = fresh(library(), question) if args.fresh else ask(library(), question)
    if not answers:
        raise UsageError("no model answers this", hint="`hostproof prove` shows which objectives each technology has")
    if args.format in ("mermaid", "svg"):
        text = _drawn(answers, args.format, args.objective)
    elif args.format == "json":
        text = _json(answers)
    else:
        told = [prove_terminal.Told(one.technology, one.stored, one.verdicts) for one in answers]
        text = prove_terminal.to_text(told, width=show.width(), color=color, verbose=args.verbose, trace=args.trace)
    files.write_output(text, args.output)
    return 0


def _question(args: argparse.Namespace) -> Question:
    """The question that the words ask. Raises UsageError where they contradict each other."""
    from hostproof.managers.ask import Question

    policy: dict[str, bool] = {}
    for word in args.policy:
        name, _, value = word.partition("=")
        if value.lower() not in _ON:
            raise UsageError(f"--policy {word}: neither on nor off", hint=f"--policy {name}=on")
        if policy.setdefault(name, _ON[value.lower()]) is not _ON[value.lower()]:
            raise UsageError(f"contradictory policies: {name} is to be on and off", hint="name it once")
    return Question(
        technologies=tuple(dict.fromkeys([*args.technologies, *args.technology])),
        objectives=tuple(dict.fromkeys(args.objective)),
        policy=policy,
        without=tuple(dict.fromkeys(args.without_duty)),
        only=None if args.only_duty is None else tuple(dict.fromkeys(args.only_duty)),
        version=args.kernel_version or "",
    )


def _drawn(answers: Sequence[Answer], form: str, asked: str | Sequence[str] | None) -> str:
    """The picture of the one trace among the answers; of several, of the one whose objective was asked for by its whole
    name (`M6`, not its part `M6.size`). Raises UsageError where there is none or several.
    """
    from hostproof.report import trace_mermaid, trace_svg

    traces = [(one.stored, verdict) for one in answers for verdict in one.verdicts if verdict.result == "trace"]
    named = [asked] if isinstance(asked, str) else list(asked or ())
    exact = [(stored, verdict) for stored, verdict in traces if verdict.objective in named]
    traces = exact if len(exact) == 1 else traces
    if len(traces) != 1:
        found = ", ".join(f"{stored.model.name} {verdict.objective}" for stored, verdict in traces[:8])
        raise UsageError(
            f"a picture shows one trace, and {len(traces) or 'none'} were found{': ' + found if found else ''}",
            hint="name one technology and one --objective"
            if traces
            else "--without-duty D or --policy P=on opens some",
        )
    render = trace_mermaid.render if form == "mermaid" else trace_svg.render
    return render(*traces[0])


def _json(answers: Sequence[Answer]) -> str:
    """The answers for a machine."""
    import msgspec

    found = [
        {
            "technology": one.technology,
            "model": one.stored.model.name,
            "version": one.stored.model.version,
            "weakest": one.stored.weakest,
            "verdicts": [json.loads(msgspec.json.encode(verdict)) for verdict in one.verdicts],
        }
        for one in answers
    ]
    return json.dumps({"format": "hostproof-prove/1", "answers": found}, indent=1) + "\n"


def _attacks(args: argparse.Namespace, color: bool) -> str:
    """The coverage of the catalogue's attacks."""
    from hostproof.cli import show
    from hostproof.knowledge.load import catalogue
    from hostproof.managers.coverage import assumptions_broken, replayed
    from hostproof.managers.records import library
    from hostproof.report.prove_terminal import Coverage, coverage_text

    # What a negative control of the catalogue describes affects nothing.
    attacks = [attack.id for attack in catalogue().attacks.values() if attack.affected != "false"]
    found, broken = replayed(library()), assumptions_broken(library())
    others = [name for name in attacks if name not in found and name not in broken]
    assumed = {name: broken[name] for name in attacks if name in broken}
    coverage = Coverage(len(attacks), {name: found[name] for name in attacks if name in found}, assumed, others)
    if args.format == "json":
        import dataclasses

        return json.dumps(dataclasses.asdict(coverage), indent=1) + "\n"
    return coverage_text(coverage, width=show.width(), color=color, verbose=args.verbose)
