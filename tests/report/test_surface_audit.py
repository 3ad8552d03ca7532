"""The beginning of an audit file: a person fills in four fields, and it is read."""

from __future__ import annotations

import pytest

from hostproof.errors import InputError
from hostproof.ledger import audits
from hostproof.ledger.surface import Driver, InterfaceTotal, Reach, SiteCount, Surface
from hostproof.report.surface_audit import to_toml

CODE = "ab" * 32


def surface(*drivers: Driver, kernel: str = "linux 6.1.190-1") -> Surface:
    totals = [
        InterfaceTotal(name, f"interface {name}", weight, "what it is blind to", 1, 1, 1, 1, None)
        for name, weight in (("ring", 3), ("hook", 1))
    ]
    return Surface(kernel, "x86_64", "kvm", ["virtio"], list(drivers), [], totals, 1, 1)


def driver(name: str, *sites: SiteCount, code: str = CODE, built_in: bool = False) -> Driver:
    return Driver(name, Reach.PRESENTABLE, sites=list(sites), code_sha256=code, built_in=built_in)


def filled(text: str) -> str:
    text = text.replace("# date = 2026-12-31", "date = 2026-11-20").replace('verdict = ""', 'verdict = "nothing found"')
    return text.replace('by = ""', 'by = "Jo"').replace('method = ""', 'method = "read"')


def test_it_is_read_once_a_person_filled_it_in_and_not_before() -> None:
    text = to_toml(surface(driver("vdrv", SiteCount("ring", 3, ["probe", "rx"]), SiteCount("hook", 1, ["irq"]))))

    ((item, _),) = audits.read(filled(text).encode(), "a.toml", ["ring"]).items
    assert (item.driver, item.interface, item.code_sha256, item.kernel) == ("vdrv", "ring", CODE, "linux 6.1.190-1")
    assert "#   probe, rx\n" in text
    assert "hook (1)" in text
    with pytest.raises(InputError):
        audits.read(text.encode(), "a.toml", ["ring"])


def test_a_driver_without_a_seen_site_is_audited_as_a_whole() -> None:
    ((item, _),) = audits.read(filled(to_toml(surface(driver("vdrv")))).encode(), "a.toml", []).items

    assert item.interface == "*"


@pytest.mark.parametrize("one", [driver("vdrv", built_in=True, code=""), driver("vdrv", code="")])
def test_code_without_a_digest_gives_a_sentence_and_no_audit(one: Driver) -> None:
    text = to_toml(surface(one))

    assert "[[audit]]" not in text
    assert "# vdrv" in text


def test_names_of_a_hostile_kernel_stay_in_their_comment_or_string() -> None:
    bad = 'x"\n[[audit]]\ndriver = "y\\'
    text = to_toml(surface(driver("vdrv", SiteCount("ring", 1, [bad])), kernel=bad))

    assert len(audits.read(filled(text).encode(), "a.toml", ["ring"]).items) == 1
