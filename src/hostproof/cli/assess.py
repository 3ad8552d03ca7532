"""`hostproof assess VM`: the ledger of a VM, the main job."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from hostproof.errors import UsageError
from hostproof.report import FORMATS

if TYPE_CHECKING:
    from hostproof.ledger.model import Ledger

__all__ = ["add", "add_vm", "run"]

GATES = ("any", "configured", "none")

EPILOG = """\
examples:
  hostproof assess vm.xml --kernel linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64.deb
  hostproof assess qemu.args --kernel kernel-facts.json --use confidential-container --page ledger.html
  tr '\\0' '\\n' < /proc/PID/cmdline | hostproof assess - --format json --output ledger.json
  hostproof assess vm.xml --kernel facts.json --baseline ledger.json --strict
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "assess",
        help="the ledger of a VM: what the host can feed it, what stops each input, and the evidence",
        description="Read a VM definition and a guest kernel and write the ledger: one row for every input\n"
        "that the untrusted host controls, closed or open, with its evidence.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    policy = add_vm(parser)
    policy.add_argument("--gate", choices=GATES, default="any",
                        help="which open rows give exit status 1: any, those of configured inputs, none")  # fmt: skip
    policy.add_argument("--baseline", metavar="LEDGER", help="compare with this ledger (JSON)")
    policy.add_argument(
        "--strict", action="store_true", help="exit status 4 where the ledger differs from the baseline"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--format", choices=tuple(FORMATS), default="terminal")
    output.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    output.add_argument("--page", metavar="FILE", help="write the self-contained HTML page as well")
    output.add_argument("-v", "--verbose", action="store_true", help="every row on the terminal")
    parser.set_defaults(run=run)


def add_vm(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add what names a VM and how it is assessed: the options that every verb has that assesses one, as
    `hostproof.cli.subject` reads them. Gives the group of the policy options.
    """
    parser.add_argument(
        "vm",
        metavar="VM",
        nargs="?",
        help="a VM definition: QEMU command line, libvirt domain, Kata configuration, Proxmox, crosvm, Cloud Hypervisor, "
        "Firecracker, IGVM manifest, pod, cloud template; `-` for standard input; without it give --technology",
    )
    inputs = parser.add_argument_group("inputs")
    inputs.add_argument("--kernel", metavar="K", action="append", default=[],
                        help="the guest's kernel: package, directory, image, configuration or kernel facts; "
                        "may be repeated (image and modules in two packages)")  # fmt: skip
    inputs.add_argument("--config", metavar="FILE", help="the kernel's configuration, where the image comes without it")
    inputs.add_argument("--modules", metavar="DIR", help="the kernel's modules directory, where it stands elsewhere")
    inputs.add_argument("--initrd", metavar="I", action="append", default=[],
                        help="the initrd that this kernel unpacks: when each driver can be loaded; may be repeated "
                        "(a bootloader puts several one after the other)")  # fmt: skip
    inputs.add_argument("--cmdline", metavar="C", help="the kernel command line, as text or @FILE")
    inputs.add_argument("--companion", metavar="FILE", action="append", default=[],
                        help="a file that goes with the definition: what -readconfig names, the Kata configuration "
                        "of a pod, the device tree of protected VM firmware")  # fmt: skip
    model = parser.add_argument_group("threat model")
    model.add_argument("--technology", metavar="T", help="technology, where the definition does not say; see `compare`")
    model.add_argument("--use", metavar="U", help="what the VM is for: an id (see `explain uses`) or a TOML file")
    model.add_argument("--verifier", metavar="P", help="a verifier's policy (TOML): which measurements it checks")
    model.add_argument("--fact", metavar="NAME=VALUE", action="append", default=[],
                       help="state a fact: feature.secure_avic=yes, platform.tdx_module=1.5.24")  # fmt: skip
    model.add_argument("--option", metavar="ID=POSITION", action="append", default=[],
                       help="take a position on a disputed question: side_channels=out")  # fmt: skip
    policy = parser.add_argument_group("policy")
    policy.add_argument("--waivers", metavar="FILE", help="accepted rows: pattern, reason, owner, expiry (TOML)")
    policy.add_argument("--audits", metavar="FILE", action="append", default=[],
                        help="audits of drivers' code, bound to its digest (TOML); `surface --format audit` begins one; "
                        "may be repeated")  # fmt: skip
    policy.add_argument("--at", metavar="DATE", help="the day on which waivers are judged (default: today)")
    return policy


def run(args: argparse.Namespace) -> int:
    """Write the ledger; the exit status says whether rows above the gate are open."""
    from hostproof.cli import files, progress, show, subject
    from hostproof.knowledge.load import catalogue
    from hostproof.ledger import diff
    from hostproof.ledger.assess import assess
    from hostproof.managers.proofs import proved

    if args.strict and not args.baseline:
        raise UsageError("--strict compares with a baseline", hint="give --baseline LEDGER")
    baseline = show.read_ledger(args.baseline) if args.baseline else None
    with progress.shown() as report:
        ledger = assess(catalogue(), subject.from_arguments(args, report), proved())
    if args.page:
        files.write_output(FORMATS["html"](ledger), args.page)
    show.ledger(ledger, args.format, args.output, verbose=args.verbose, baseline=baseline)
    if args.page:
        print(f"page: {args.page}", file=sys.stderr)
    if baseline is not None and args.strict and diff.differs(baseline, ledger):
        return 4
    return 1 if above_gate(ledger, args.gate) else 0


def above_gate(ledger: Ledger, gate: str) -> int:
    """How many open rows the gate counts."""
    from hostproof.knowledge.terms import Presence, Status

    if gate == "none":
        return 0
    return sum(
        row.status is Status.OPEN and (gate == "any" or row.presence is Presence.CONFIGURED) for row in ledger.rows
    )
