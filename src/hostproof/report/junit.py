"""JUnit XML: every row a test case, so that any continuous integration shows the ledger

One suite per channel, and one for the objectives. An open row fails with its reason, an unknown one is skipped with the fact
that is missing, any other passes; a waiver is named in the output of its case. There are no times and no host names, so
the same ledger gives the same bytes.

SOURCE: the format has no standard; elements and attributes are those that Jenkins, GitLab and pytest agree on (`testsuites`,
`testsuite`, `testcase`, `failure`, `skipped`, `system-out`). XML 1.0 (fifth edition) 2.2 says which characters may stand.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hostproof.knowledge.terms import Status
from hostproof.ledger.model import Evidence, Ledger, ObjectiveFinding, Row
from hostproof.report import summary
from hostproof.report.words import missing, place, size, visible

__all__ = ["render"]


def render(ledger: Ledger) -> bytes:
    """The ledger as JUnit XML in UTF-8, with a declaration and a trailing newline."""
    root = Element("testsuites")
    if ledger.objectives:
        suite = SubElement(root, "testsuite", name="objectives")
        for objective in ledger.objectives:
            _objective(suite, objective)
    for channel in summary.by_channel(ledger, ledger.rows):
        suite = SubElement(root, "testsuite", name=visible(f"{channel.id} {channel.name}"))
        for row in channel.rows:
            _row(suite, row)
    for suite in root:
        _count(suite)
    _count(root, name=visible(f"hostproof {ledger.name}: {ledger.headline.confidential}"))
    indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'.encode()


def _count(element: Element, **attributes: str) -> None:
    """Set the totals of a suite, or of all of them."""
    element.attrib.update(
        attributes,
        tests=str(len(element.findall(".//testcase"))),
        failures=str(len(element.findall(".//failure"))),
        skipped=str(len(element.findall(".//skipped"))),
        errors="0",
    )


def _objective(suite: Element, objective: ObjectiveFinding) -> None:
    case = SubElement(
        suite, "testcase", classname="hostproof.objectives", name=visible(f"{objective.id.value} {objective.name}")
    )
    if objective.met is False:
        SubElement(case, "failure", message=visible(objective.reason), type="not-met")
    elif objective.met is None:
        text = visible(objective.reason) + (f"; missing: {missing(objective.missing)}" if objective.missing else "")
        SubElement(case, "skipped", message=text)


def _row(suite: Element, row: Row) -> None:
    case = SubElement(
        suite,
        "testcase",
        classname=f"hostproof.{visible(row.channel)}",
        name=visible(f"{row.instance}/{row.threat.value}"),
    )
    if row.status is Status.OPEN:
        SubElement(case, "failure", message=visible(row.reason), type="open").text = _details(row)
    elif row.status is Status.UNKNOWN:
        lacks = f"missing: {missing(row.missing)}; " if row.missing else ""
        SubElement(case, "skipped", message=lacks + visible(row.reason))
    else:
        by = next((f" ({_rule(one)})" for one in row.evidence if one.decides), "")
        SubElement(case, "system-out").text = f"{row.status.value}: {visible(row.reason)}{by}"


def _rule(evidence: Evidence) -> str:
    return visible(f"{evidence.by}, {evidence.rule}: {evidence.mechanism}")


def _details(row: Row) -> str:
    """What a person who reads the failure needs next."""
    lines = [f"row: {visible(row.id)}", f"presence: {row.presence.value}"]
    if row.place:
        lines.append(f"presented at: {place(row.place)}")
    if row.text_bytes is not None:
        lines.append(f"code: {size(row.text_bytes)}")
    lines += [f"does not close it: {_rule(one)}; {visible(one.why_not)}" for one in row.evidence if not one.decides]
    if row.advice:
        lines.append(f"advice: {visible(row.advice)}")
    return "\n".join(lines)
