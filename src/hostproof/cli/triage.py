"""`hostproof triage VM --cve RECORDS`: which CVEs of the kernel lie in code that this host can reach in this VM."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hostproof.cli.assess import add_vm
from hostproof.errors import UsageError

if TYPE_CHECKING:
    from hostproof.artefacts.cve import CveRecords

__all__ = ["add", "run"]

FORMATS = ("terminal", "json", "openvex")
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,2000}")

EPILOG = """\
records: JSON of the CVE list (github.com/CVEProject/cvelistV5), one record, several, or a directory.

examples:
  hostproof triage vm.xml --kernel linux-image.deb --cve CVE-2024-53082.json
  hostproof triage --technology tdx --kernel facts.json --cve cvelistV5/cves/2026 -v
  hostproof triage vm.xml --kernel facts.json --cve records --format openvex --author me@example.org --output vex.json

exit status: 1 where a CVE affects this VM, else 0
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "triage",
        help="which CVEs of the kernel lie in code that this host can reach in this VM; OpenVEX",
        description="Tell for CVE records of the kernel whether this VM is affected: by version and changelog, by what\n"
        "was built, and by what the host can reach, with the rows of the ledger as evidence.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_vm(parser)
    records = parser.add_argument_group("records")
    records.add_argument("--cve", metavar="FILE_OR_DIR", action="append", default=[],
                         help="CVE records (JSON format 5): a file, a directory, `-`; may be repeated")  # fmt: skip
    output = parser.add_argument_group("output")
    output.add_argument("--format", choices=FORMATS, default="terminal")
    output.add_argument("--author", metavar="WHO", default="hostproof", help="who speaks in the OpenVEX document")
    output.add_argument("--product", metavar="IRI",
                        help="the VM of which OpenVEX shall speak, the kernel being part of it (pkg:oci/..., https://...); "
                        "default: the kernel package")  # fmt: skip
    output.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    output.add_argument("-v", "--verbose", action="store_true", help="every CVE, with every step")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the triage; 1 where a CVE affects this VM."""
    if not args.cve:
        raise UsageError("no CVE records were given", hint="--cve FILE_OR_DIR (github.com/CVEProject/cvelistV5)")
    if args.product is not None and not _IRI.fullmatch(args.product):
        raise UsageError(f"{args.product!r} is no IRI", hint="--product pkg:oci/vm@sha256%3A..., or https://...")
    from hostproof.artefacts.cve import together
    from hostproof.cli import files, progress, show, subject
    from hostproof.knowledge.load import catalogue
    from hostproof.ledger.assess import assess
    from hostproof.ledger.triage import triage
    from hostproof.ledger.triage_model import VexStatus, encode
    from hostproof.managers.verdicts import CatalogueVerdicts

    records = together([_read(name) for name in args.cve])
    known = catalogue()
    with progress.shown() as report:
        vm = subject.from_arguments(args, report)
        ledger = assess(known, vm, CatalogueVerdicts())
        value = triage(known, vm.kernel, vm.technology, vm.machine, ledger, records)
    match args.format:
        case "json":
            data: str | bytes = encode(value)
        case "openvex":
            from hostproof.report import openvex

            if not value.decisions:
                raise UsageError("none of these records is about the kernel", hint="an OpenVEX document says something")
            data = openvex.render(value, author=args.author, date=vm.today, product=args.product or "")
        case _:
            from hostproof.report.triage_terminal import to_text

            color = args.output is None and show.colour()
            data = to_text(value, width=show.width(), color=color, verbose=args.verbose)
    files.write_output(data, args.output)
    return 1 if any(decision.status is VexStatus.AFFECTED for decision in value.decisions) else 0


def _read(name: str) -> CveRecords:
    """The records of a file or a directory. Raises InputError."""
    from hostproof.artefacts import cve
    from hostproof.cli import files

    path = Path(name)
    if name != files.STANDARD_INPUT and path.is_dir():
        return cve.read_directory(path)
    return cve.read_cves(files.read_bytes(name, "the CVE records"), files.label(name))
