"""`hostproof kernel-facts KERNEL`: what is read of a kernel, as a small file that needs no kernel binary."""

from __future__ import annotations

import argparse

__all__ = ["add", "run"]

EPILOG = """\
example:
  hostproof kernel-facts linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64.deb --output facts.json
  hostproof assess vm.xml --kernel facts.json
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "kernel-facts",
        help="read a kernel package once; `assess --kernel` takes the result",
        description="Read a guest kernel (package, directory or files) and write its facts as JSON: version,\n"
        "configuration, built-in list, and every module's aliases, dependencies and code size.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kernel", metavar="KERNEL", nargs="+", help="package, directory, image or configuration")
    parser.add_argument("--config", metavar="FILE", help="the configuration, where the image comes without it")
    parser.add_argument("--modules", metavar="DIR", help="the modules directory, where it stands elsewhere")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the facts."""
    from hostproof.artefacts.kernel import facts_file
    from hostproof.cli import files, kernels, progress
    from hostproof.knowledge.load import catalogue

    known = catalogue()
    with progress.shown() as report:
        value = kernels.read_all(args.kernel, known, config=args.config, modules=args.modules, report=report)
    files.write_output(facts_file.encode(value), args.output)
    return 0
