"""An audit closes what it covered, in the code that it looked at, and nothing else."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel.facts import KernelFacts, Module, Sites
from hostproof.errors import HostproofError, InputError
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.load import catalogue as real_catalogue
from hostproof.knowledge.terms import Status
from hostproof.ledger.audits import AuditedCode, Audits, read, required, together
from hostproof.ledger.model import Ledger
from tests.ledger.worlds import SOURCED, catalogue, channel, kernel, ledger, module, row

CODE, OTHER = "ab" * 32, "cd" * 32
INTERFACES = ("ring", "config", "mmio", "hook")


def interface(name: str, channels: list[str], weight: int) -> dict[str, Any]:
    return {
        "id": name, "name": f"interface {name}", "channels": channels, "functions": [name], "weight": weight,
        "blind": "nothing", **SOURCED,
    }  # fmt: skip


def world(**more: Any) -> Catalogue:
    """Virtio drivers have a row in C33 and in C34; `ring` feeds C34, `config` C33, `mmio` a channel without drivers."""
    return catalogue(
        channel=[
            channel("C33", driver_buses=["virtio"], driver_primitives=["free"], primitives=["free"]),
            channel("C34", driver_buses=["virtio"], primitives=["free"], threats=["T3", "T4"]),
            channel("C12"),
        ],
        interface=[
            interface("ring", ["C34"], 3),
            interface("config", ["C33"], 3),
            interface("mmio", ["C12"], 2),
            interface("hook", ["C34"], 1),
        ],
        **more,
    )


def driver(*names: str, code: str = CODE, depends: tuple[str, ...] = ()) -> Module:
    """A virtio driver with two sites of each of these interfaces."""
    plain = module("vdrv", "virtio:d00000001v*", depends=depends)
    return dataclasses.replace(plain, code_sha256=code, sites={name: Sites(2, ("probe",)) for name in names})


def facts(*modules: Module, counted: tuple[str, ...] = INTERFACES, **more: Any) -> KernelFacts:
    return dataclasses.replace(kernel({}, modules, sites_counted=counted), **more)


def audit(
    interface: str = "*", *, verdict: str = "nothing found", code: str = CODE, name: str = "vdrv", more: str = ""
) -> str:
    return (
        f'[[audit]]\ndriver = "{name}"\ninterface = "{interface}"\ncode_sha256 = "{code}"\nkernel = "linux 6.1.190-1"\n'
        f'by = "Jo Doe"\ndate = 2026-10-01\nmethod = "read"\nverdict = "{verdict}"\n{more}\n'
    )


def audits(*texts: str) -> Audits:
    return read("\n".join(texts).encode(), "audits.toml", INTERFACES)


def assessed(recorded: Audits, *modules: Module, **more: Any) -> Ledger:
    return ledger(world(), kernel=facts(*modules, **more), audits=recorded)


def why(value: Ledger, row_id: str) -> list[str]:
    return [item.why_not for item in row(value, row_id).evidence if item.by == "hardening"]


def test_a_driver_that_nobody_looked_at_is_open() -> None:
    assert row(assessed(Audits(), driver("ring")), "C34/vdrv/T3").status is Status.OPEN


@pytest.mark.parametrize("verdict", ["nothing found", "findings fixed"])
def test_an_audit_of_all_interfaces_of_this_code_hardens_every_row_of_the_driver(verdict: str) -> None:
    value = assessed(audits(audit(verdict=verdict)), driver("ring", "config"))

    statuses = {row_id: row(value, row_id).status for row_id in ("C33/vdrv/T3", "C34/vdrv/T3", "C34/vdrv/T4")}
    assert set(statuses.values()) == {Status.HARDENED}


def test_the_reason_says_who_looked_and_how() -> None:
    value = row(assessed(audits(audit("ring")), driver("ring")), "C34/vdrv/T3")

    assert value.reason == "Jo Doe looked at ring in vdrv on 2026-10-01 (read): nothing found"
    assert [(fact.name, fact.value) for fact in value.evidence[0].facts] == [("module.vdrv.code_sha256", CODE)]


def test_an_interface_counts_for_the_rows_whose_channel_it_feeds() -> None:
    value = assessed(audits(audit("ring")), driver("ring", "config"))

    assert row(value, "C34/vdrv/T3").status is Status.HARDENED
    assert row(value, "C33/vdrv/T3").status is Status.OPEN
    assert why(value, "C33/vdrv/T3") == ["not covered by an audit of this code: config"]


def test_an_interface_whose_channel_has_no_row_of_the_driver_counts_for_all_its_rows() -> None:
    value = assessed(audits(audit("ring")), driver("ring", "mmio"))

    assert why(value, "C34/vdrv/T3") == ["not covered by an audit of this code: mmio"]


def test_hooks_and_preparations_need_no_audit() -> None:
    assert row(assessed(audits(audit("ring")), driver("ring", "hook")), "C34/vdrv/T3").status is Status.HARDENED


def test_two_audits_cover_together_what_neither_covers_alone() -> None:
    value = assessed(together([audits(audit("ring")), audits(audit("mmio"))]), driver("ring", "mmio"))

    assert row(value, "C34/vdrv/T3").status is Status.HARDENED


def test_changed_code_makes_an_audit_stale_and_both_digests_are_named() -> None:
    value = assessed(audits(audit()), driver("ring", code=OTHER))

    assert row(value, "C34/vdrv/T3").status is Status.OPEN
    assert why(value, "C34/vdrv/T3") == [
        f"stale: it tested code {CODE[:12]} of linux 6.1.190-1, this kernel's is {OTHER[:12]}"
    ]


def test_a_stale_audit_does_not_fill_the_gap_of_a_valid_one() -> None:
    value = assessed(audits(audit("ring"), audit("mmio", code=OTHER)), driver("ring", "mmio"))

    assert row(value, "C34/vdrv/T3").status is Status.OPEN
    assert why(value, "C34/vdrv/T3")[0] == "not covered by an audit of this code: mmio"


def test_an_audit_of_a_built_in_driver_is_stale() -> None:
    value = assessed(audits(audit()), builtin_aliases={"vdrv": ("virtio:d00000001v*",)})

    assert why(value, "C34/vdrv/T3") == ["stale: the driver is built in, and the image does not tell its code apart"]


def test_open_findings_never_close_and_keep_others_from_closing_the_same_interface() -> None:
    alone = assessed(audits(audit(verdict="findings open")), driver("ring"))
    beside = assessed(audits(audit(), audit("ring", verdict="findings open")), driver("ring"))
    elsewhere = assessed(audits(audit(), audit("config", verdict="findings open")), driver("ring", "config"))

    assert why(alone, "C34/vdrv/T3") == ["its findings are open"]
    assert row(beside, "C34/vdrv/T3").status is Status.OPEN
    assert row(elsewhere, "C34/vdrv/T3").status is Status.HARDENED
    assert row(elsewhere, "C33/vdrv/T3").status is Status.OPEN


def test_open_findings_in_code_that_this_kernel_does_not_have_are_stale_as_well() -> None:
    value = assessed(audits(audit(), audit(verdict="findings open", code=OTHER)), driver("ring"))

    assert row(value, "C34/vdrv/T3").status is Status.HARDENED


@pytest.mark.parametrize(("counted", "sites"), [((), ("ring",)), (INTERFACES, ())])
def test_where_counting_tells_nothing_only_an_audit_of_everything_closes(
    counted: tuple[str, ...], sites: tuple[str, ...]
) -> None:
    part = assessed(audits(audit("ring")), driver(*sites), counted=counted)
    whole = assessed(audits(audit("*")), driver(*sites), counted=counted)

    assert row(part, "C34/vdrv/T3").status is Status.OPEN
    assert "only an audit" in why(part, "C34/vdrv/T3")[0]
    assert row(whole, "C34/vdrv/T3").status is Status.HARDENED


def test_facts_without_digests_say_what_to_do() -> None:
    assert "kernel-facts" in why(assessed(audits(audit()), driver("ring", code="")), "C34/vdrv/T3")[0]


def test_an_audit_may_be_about_some_rows_alone() -> None:
    value = assessed(audits(audit(more='rows = ["C34/vdrv/T4"]')), driver("ring"))

    assert row(value, "C34/vdrv/T4").status is Status.HARDENED
    assert row(value, "C34/vdrv/T3").status is Status.OPEN


def test_an_audit_says_nothing_of_the_modules_that_the_driver_needs() -> None:
    library = dataclasses.replace(module("lib"), code_sha256=OTHER)
    bare = assessed(audits(audit()), driver("ring", depends=("lib",)), library)
    both = assessed(audits(audit(), audit(name="lib", code=OTHER)), driver("ring", depends=("lib",)), library)

    assert row(bare, "C34/vdrv/T3").status is Status.HARDENED
    assert "no audit covers lib" in row(bare, "C34/vdrv/T3").reason
    assert "no audit covers" not in row(both, "C34/vdrv/T3").reason


def test_an_audit_that_is_about_no_row_is_noted() -> None:
    notes = assessed(audits(audit(name="nobody")), driver("ring")).notes

    assert "audits.toml (audit[0]): the audit of nobody is about no row of this VM" in notes


@pytest.mark.parametrize("named", ["code_sha256", "text_sha256"])
def test_an_audit_of_the_catalogue_holds_by_either_digest(named: str) -> None:
    record = {
        "id": "a", "driver": "vdrv", "rows": ["C34/vdrv/*"], "date": "2026", "finding": "nothing was found",
        "code_sha256": CODE if named == "code_sha256" else "0" * 64, **SOURCED,
    }  # fmt: skip
    value = ledger(world(audit=[record]), kernel=facts(driver("ring")))

    assert row(value, "C34/vdrv/T3").status is Status.HARDENED


@pytest.mark.parametrize(
    "text",
    [
        audit().replace("2026-10-01", '"soon"'),
        audit().replace("date = 2026-10-01\n", ""),
        audit().replace('by = "Jo Doe"', 'by = ""'),
        audit("nothing"),
        audit(verdict="perhaps"),
        audit(code="abc"),
        audit(name="a/b"),
        audit(more='rows = ["C34"]'),
        audit(more="colour = 1"),
        'audit = "all"',
        "\x00",
        "#" * (4 * 1024 * 1024 + 1),
        audit() * 2001,
    ],
)
def test_what_is_no_audit_file_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text.encode(), "a.toml", INTERFACES)

    assert re.match(r"a\.toml\S*( \(\S+\))?: \S", caught.value.diagnosis())


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (audit() + text).encode()))
def test_any_bytes_give_audits_or_an_error_for_people(data: bytes) -> None:
    try:
        found = read(data, "a", INTERFACES)
    except HostproofError:
        return

    assert all(item.by and item.driver for item, _ in found.items)


def _package(name: str) -> KernelFacts:
    from hostproof.cli import kernels

    directory = os.environ.get("HOSTPROOF_KERNELS")
    if directory is None:
        pytest.skip("HOSTPROOF_KERNELS names no directory of kernel packages")
    path = next(iter(Path(directory).glob(name)), None)
    if path is None:
        pytest.skip(f"no {name} in {directory}")
    return kernels.read(str(path), real_catalogue())


@pytest.mark.slow
def test_between_two_kernels_of_one_series_an_audit_lives_as_long_as_the_code() -> None:
    """Debian's 6.1.190 and 6.1.192: nobody touched virtio_console, and virtio_net was fixed."""
    known = real_catalogue()
    old = _package("linux-image-6.1.0-54-cloud-amd64-unsigned_6.1.190-1_amd64.deb")
    new = _package("linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64.deb")
    digests = {item.name: item.code_sha256 for item in old.modules or ()}
    text = "\n".join(audit(name=name, code=digests[name]) for name in ("virtio_console", "virtio_net"))
    recorded = read(text.encode(), "audits.toml", known.interfaces)

    def first(facts: KernelFacts, name: str) -> tuple[bool, str]:
        found = next(AuditedCode(known, facts, recorded).evidence(name, "C32", f"C32/{name}/T3"))
        return found.decides, found.why_not

    assert first(old, "virtio_net") == (True, "")
    assert first(old, "virtio_console") == (True, "")
    assert first(new, "virtio_console") == (True, "")
    decides, why_not = first(new, "virtio_net")
    assert not decides
    assert why_not.startswith(f"stale: it tested code {digests['virtio_net'][:12]}")


@pytest.mark.slow
def test_what_rows_of_real_drivers_ask_of_audits() -> None:
    known = real_catalogue()
    facts = _package("linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64.deb")
    modules = {item.name: item for item in facts.modules or ()}

    net = {name: required(known, modules["virtio_net"], name, facts.sites_counted) for name in ("C32", "C33", "C34")}
    ena = required(known, modules["ena"], "C13", facts.sites_counted)
    assert net["C33"] == ("virtio-config",)
    assert {"virtqueue", "virtqueue-expose"} <= set(net["C32"])
    assert {"mmio-map", "dma-shared"} <= set(ena), "MMIO and DMA have no row of their own for a PCI driver"
