"""`hostproof surface KERNEL`: what a host can reach in this kernel, by bus, by driver, by interface."""

from __future__ import annotations

import argparse

from hostproof.errors import UsageError

__all__ = ["add", "run"]

FORMATS = ("terminal", "json", "csv", "html", "audit")

EPILOG = """\
examples:
  hostproof surface linux-image-6.1.0-55-amd64-unsigned_6.1.192-1_amd64.deb
  hostproof surface facts.json --vm vm.xml --bus pci --interface virtqueue -v
  hostproof surface facts.json --driver virtio_console --format audit --output audits.toml
  hostproof surface vmlinuz --modules /mnt/lib/modules/6.1.0 --format html --output surface.html
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "surface",
        help="what a host can reach in a kernel: by bus, by driver, by interface",
        description="Read a kernel and say which of its code a host can make run, and what that code reads of the\n"
        "host: match keys, bytes of text, and sites per interface with the functions they are in.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kernel", metavar="KERNEL", nargs="+",
                        help="package, directory, image or kernel facts; several where a distribution splits it")  # fmt: skip
    parser.add_argument("--config", metavar="FILE", help="the configuration, where the image comes without it")
    parser.add_argument("--modules", metavar="DIR", help="the modules directory, where it stands elsewhere")
    parser.add_argument(
        "--vm", metavar="VM", help="a VM definition: which drivers its devices bind, and its technology"
    )
    parser.add_argument("--technology", metavar="T",
                        help="whose host it is, where no --vm says (default: kvm)")  # fmt: skip
    parser.add_argument("--bus", metavar="BUS", action="append", default=[], help="only drivers of this bus")
    parser.add_argument("--interface", metavar="I", action="append", default=[],
                        help="only drivers with sites of this interface, or of those whose name begins so")  # fmt: skip
    parser.add_argument(
        "--driver", metavar="NAME", action="append", default=[], help="only this driver; may be repeated"
    )
    parser.add_argument("--format", choices=FORMATS, default="terminal",
                        help="`audit` begins an audit file for the drivers of --driver")  # fmt: skip
    parser.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("-v", "--verbose", action="store_true", help="every driver, with its functions")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the surface."""
    from hostproof.cli import files, kernels, progress, show, stated, subject
    from hostproof.knowledge.load import catalogue
    from hostproof.ledger import surface as surfaces

    if args.format == "audit" and not args.driver:
        raise UsageError("an audit is of a driver", hint="--driver NAME, as `hostproof surface KERNEL -v` lists them")
    known = catalogue()
    machine = subject.machine_named(args.vm, args.technology) if args.vm else None
    defined = machine.confidential.technology if machine and machine.confidential else "kvm"
    technology = stated.technology_named(known, args.technology or defined)
    with progress.shown() as report:
        kernel = kernels.read_all(args.kernel, known, config=args.config, modules=args.modules, report=report)
    whole = surfaces.surface(known, kernel, technology, machine)
    value = surfaces.narrowed(whole, args.bus, args.interface, args.driver)
    match args.format:
        case "json":
            data: str | bytes = surfaces.encode(value)
        case "csv":
            from hostproof.report.surface_csv import to_csv

            data = to_csv(value)
        case "html":
            from hostproof.report.surface_html import render

            data = render(value)
        case "audit":
            from hostproof.report.surface_audit import to_toml

            data = to_toml(value)
        case _:
            from hostproof.report.surface_terminal import to_text

            color = args.output is None and show.colour()
            data = to_text(value, width=show.width(), color=color, verbose=args.verbose)
    files.write_output(data, args.output)
    return 0
