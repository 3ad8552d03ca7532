"""A triage as an OpenVEX document, for scanners that drop what does not affect a product

SOURCE: OpenVEX specification 0.2.0 and `openvex_json_schema.json` (github.com/openvex/spec); package URLs as
github.com/package-url/purl-spec defines them for `deb`. A `not_affected` statement carries a justification *and* the evidence
as its impact statement; an `affected` one says what to do.

The product is the kernel package, with the digest of its image. What is said holds for this kernel in this VM: where the same
package runs in other VMs too, name the VM (`product`), and the kernel becomes its subcomponent. The identifier of the document
is a digest of what it says, so that the same inputs give the same bytes.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from typing import Any
from urllib.parse import quote

from hostproof import __version__
from hostproof.ledger.triage_model import Decision, Triage, VexStatus
from hostproof.report.words import visible

__all__ = ["CONTEXT", "package_url", "render"]

CONTEXT = "https://openvex.dev/ns/v0.2.0"
_PLACE = "https://openvex.dev/docs/public/vex-"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "s390x": "s390x"}
_DEBIAN = re.compile(r"[0-9]+(?:\.[0-9]+)+(?:~rc[0-9]+)?-[0-9]+(?:[~+](?:deb|bpo)[0-9]+[+u.0-9]*)*")
_UBUNTU = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+-[0-9]+\.[0-9]+(?:[~+][0-9A-Za-z.]+)?")
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{1,200}")


def render(triage: Triage, *, author: str, date: datetime.date, product: str = "") -> str:
    """The document as JSON with a trailing newline. `author` speaks in it, `date` is when; `product` is an IRI of the VM."""
    kernel = _kernel(triage)
    products = [{"@id": product, "subcomponents": [kernel]}] if product else [kernel]
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "author": visible(author),
        "timestamp": f"{date.isoformat()}T00:00:00Z",
        "version": 1,
        "tooling": f"hostproof {__version__}",
        "statements": [_statement(decision, products) for decision in triage.decisions],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return json.dumps({"@id": f"{_PLACE}{digest}", **document}, sort_keys=True, indent=1) + "\n"


def package_url(triage: Triage) -> str:
    """The kernel's package URL: that of its Debian or Ubuntu package where name and version are theirs, else a generic one."""
    name, _, version = triage.kernel.partition(" ")
    vendor = "debian" if _DEBIAN.fullmatch(version) else "ubuntu" if _UBUNTU.fullmatch(version) else ""
    if vendor and name.startswith("linux-") and _NAME.fullmatch(name):
        architecture = _ARCHITECTURES.get(triage.architecture)
        qualifier = f"?arch={architecture}" if architecture else ""
        return f"pkg:deb/{vendor}/{quote(name, safe='.-')}@{quote(version, safe='.-~')}{qualifier}"
    return f"pkg:generic/linux@{quote(triage.release or triage.version or 'unknown', safe='.-~')}"


def _kernel(triage: Triage) -> dict[str, Any]:
    url = package_url(triage)
    component: dict[str, Any] = {"@id": url, "identifiers": {"purl": url}}
    if triage.image_sha256:
        component["hashes"] = {"sha-256": triage.image_sha256}
    return component


def _statement(decision: Decision, products: list[dict[str, Any]]) -> dict[str, Any]:
    evidence = "; ".join(dict.fromkeys([decision.summary, *decision.because]))
    statement: dict[str, Any] = {
        "vulnerability": {
            "@id": f"https://www.cve.org/CVERecord?id={decision.cve}",
            "name": decision.cve,
        },
        "products": products,
        "status": decision.status.value,
    }
    if decision.title:
        statement["vulnerability"]["description"] = visible(decision.title)
    if decision.status is VexStatus.NOT_AFFECTED:
        if decision.justification is not None:
            statement["justification"] = decision.justification.value
        statement["impact_statement"] = visible(evidence)
    else:
        statement["status_notes"] = visible(evidence)
    if decision.status is VexStatus.AFFECTED:
        statement["action_statement"] = visible(decision.action)
    return statement
