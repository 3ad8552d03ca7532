"""How a row is decided, told in small worlds."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from hostproof.artefacts.machine.model import Unread
from hostproof.knowledge.terms import Presence, Status
from hostproof.ledger.waivers import Waiver, Waivers
from hostproof.place import Place
from tests.ledger.worlds import (
    SOURCED,
    TODAY,
    catalogue,
    channel,
    device,
    kernel,
    ledger,
    machine,
    mitigation,
    module,
    row,
    rule,
    verifier,
)


def one(**more: Any) -> list[dict[str, Any]]:
    """Channel C11 with one instance `x`."""
    return [{"channel": "C11", "id": "x", "name": "the input", **SOURCED, **more}]


def pin(coverage: str, register: str = "MRTD", **more: Any) -> dict[str, Any]:
    return {
        "id": "p",
        "rows": ["C11/x/T3"],
        "when": "true",
        "coverage": coverage,
        "register": register,
        **SOURCED,
        **more,
    }


class TestWithoutMechanisms:
    def test_an_input_that_nothing_stops_is_open(self) -> None:
        found = row(ledger(catalogue(channel=[channel("C11")], instance=one())), "C11/x/T3")

        assert (found.status, found.reason) == (Status.OPEN, "the host can feed it, and nothing found stops it")

    def test_an_open_row_says_what_its_owner_could_do(self) -> None:
        world = catalogue(
            channel=[channel("C11")], instance=one(), mitigation=[mitigation("m", ["C11/*/*"], 'config.X == "n"')]
        )

        found = row(ledger(world, kernel=kernel({"X": "y"})), "C11/x/T3")

        assert (found.status, found.advice) == (Status.OPEN, "have m")

    def test_a_channel_that_does_not_exist_is_absent_with_the_rule(self) -> None:
        world = catalogue(channel=[channel("C11", absent=[rule("feature.strong", "no such bus here")])])

        found = row(ledger(world), "C11/all/T3")

        assert (found.status, found.reason) == (Status.ABSENT, "no such bus here")

    def test_what_a_rule_excludes_is_out_of_scope(self) -> None:
        world = catalogue(channel=[channel("C11", out_of_scope=[rule("true", "denial of service")])], instance=one())

        assert row(ledger(world), "C11/x/T3").status is Status.OUT_OF_SCOPE

    def test_a_threat_that_does_not_apply_takes_its_rows_with_it(self) -> None:
        world = catalogue(channel=[channel("C11", threats=["T2", "T3"])], instance=one())

        value = ledger(world, axes={"io_role": "endpoint"})

        assert row(value, "C11/x/T2").status is Status.ABSENT
        assert row(value, "C11/x/T2").reason == "no middleman"
        assert row(value, "C11/x/T3").status is Status.OPEN

    def test_a_rule_that_nobody_checked_takes_nothing_out(self) -> None:
        unchecked = rule("true", "somebody said so", checked="unchecked")
        world = catalogue(channel=[channel("C11", absent=[unchecked], out_of_scope=[unchecked])], instance=one())

        assert row(ledger(world), "C11/x/T3").status is Status.OPEN


class TestSecurityManager:
    def test_a_row_is_prevented_where_every_primitive_is(self) -> None:
        world = catalogue(channel=[channel("C11", primitives=["stopped"])], instance=one())

        found = row(ledger(world), "C11/x/T3")

        assert (found.status, found.reason) == (Status.PREVENTED, "the manager stops it")
        assert found.evidence[0].rule == "primitive:stopped"

    def test_one_free_primitive_is_enough_for_the_host(self) -> None:
        world = catalogue(channel=[channel("C11", primitives=["stopped", "free"])], instance=one())

        assert row(ledger(world), "C11/x/T3").status is Status.OPEN

    def test_an_optional_feature_that_nothing_switches_leaves_the_row_unknown(self) -> None:
        world = catalogue(channel=[channel("C11", primitives=["switched"])], instance=one())

        found = row(ledger(world), "C11/x/T3")

        assert found.status is Status.UNKNOWN
        assert [(fact.name, fact.supply) for fact in found.missing] == [
            ("feature.switchable", "--fact feature.switchable=yes|no (a switch)")
        ]

    @pytest.mark.parametrize(("stated", "expected"), [(True, Status.PREVENTED), (False, Status.OPEN)])
    def test_a_stated_feature_decides_it(self, stated: bool, expected: Status) -> None:
        world = catalogue(channel=[channel("C11", primitives=["switched"])], instance=one())

        assert row(ledger(world, stated={"feature.switchable": stated}), "C11/x/T3").status is expected


class TestAttestation:
    @pytest.mark.parametrize(
        ("coverage", "parts", "expected"),
        [
            ("content", {"verifier": verifier("MRTD")}, Status.ATTESTED),
            ("report", {"verifier": verifier("MRTD")}, Status.ATTESTED),
            ("presence", {"verifier": verifier("MRTD")}, Status.OPEN),
            ("none", {"verifier": verifier("MRTD")}, Status.OPEN),
            ("content", {"verifier": verifier("RTMR0")}, Status.OPEN),
            ("content", {"axes": {"image_check": "none"}}, Status.OPEN),
            ("content", {}, Status.UNKNOWN),
        ],
    )
    def test_attested_needs_a_covering_measurement_and_a_verifier_that_checks_it(
        self, coverage: str, parts: dict[str, Any], expected: Status
    ) -> None:
        world = catalogue(channel=[channel("C11")], instance=one(), pin=[pin(coverage)])

        assert row(ledger(world, **parts), "C11/x/T3").status is expected

    def test_measured_and_never_verified_says_so(self) -> None:
        world = catalogue(channel=[channel("C11")], instance=one(), pin=[pin("content")])

        found = row(ledger(world, verifier=verifier("RTMR0")), "C11/x/T3")

        assert found.evidence[0].why_not == "measured, and the verifier does not check MRTD"
        assert found.advice == "have a verifier check MRTD"

    def test_a_missing_policy_is_asked_for_by_its_option(self) -> None:
        world = catalogue(channel=[channel("C11")], instance=one(), pin=[pin("content")])

        missing = row(ledger(world), "C11/x/T3").missing

        assert [fact.name for fact in missing] == ["verifier.MRTD"]
        assert missing[0].supply.startswith("--verifier")


class TestGuest:
    def test_a_guest_without_the_code_refuses_and_the_row_rests_on_its_kernel(self) -> None:
        world = catalogue(channel=[channel("C11")], instance=one(consumed='config.X != "n"', refusal="X is not built"))

        found = row(ledger(world, kernel=kernel({"Y": "y"})), "C11/x/T3")

        assert (found.status, found.reason, found.presence) == (Status.REFUSED, "X is not built", Presence.ABSENT)
        assert found.evidence[0].rests_on == ["C02/kernel/T1"]

    def test_a_fact_says_where_it_was_read(self) -> None:
        world = catalogue(channel=[channel("C11")], instance=one(consumed='config.X == "y"'))

        found = row(ledger(world, kernel=kernel({"A": "y", "X": "m"})), "C11/x/T3")

        place = found.evidence[0].facts[0].place
        assert place is not None
        assert (place.artefact, place.line, place.path) == ("kernel.deb!boot/config", 2, "CONFIG_X")

    def test_without_a_kernel_the_row_is_unknown_and_asks_for_it(self) -> None:
        world = catalogue(channel=[channel("C11")], instance=one(consumed='config.X == "y"'))

        found = row(ledger(world), "C11/x/T3")

        assert found.status is Status.UNKNOWN
        assert [fact.name for fact in found.missing] == ["config.X"]

    @pytest.mark.parametrize(
        ("parts", "expected"),
        [
            ({"verifier": verifier("RTMR2")}, Status.REFUSED),
            ({"verifier": verifier("MRTD")}, Status.OPEN),
            ({}, Status.UNKNOWN),
        ],
    )
    def test_what_a_command_line_closes_is_closed_only_while_it_is_pinned(
        self, parts: dict[str, Any], expected: Status
    ) -> None:
        world = catalogue(
            channel=[channel("C11")], instance=one(), mitigation=[mitigation("m", ["C11/x/*"], 'cmdline.mce == "off"')]
        )

        found = row(ledger(world, command_line="quiet mce=off", **parts), "C11/x/T3")

        assert found.status is expected
        assert found.evidence[0].rests_on == ["C03/command-line/T1"]

    def test_the_devices_of_the_definition_close_nothing(self) -> None:
        holds = 'not "virtio-rng-pci" in definition.devices'
        world = catalogue(channel=[channel("C11")], instance=one(), mitigation=[mitigation("m", ["C11/*/*"], holds)])

        found = row(ledger(world, machine=machine()), "C11/x/T3")

        assert found.status is Status.OPEN
        assert "the host writes the definition" in found.evidence[0].why_not

    @pytest.mark.parametrize(
        ("change", "why_not"),
        [
            ({"partial": True}, "partial: it narrows the input and does not close it"),
            ({"checked": "unchecked"}, "nobody checked this claim against its source"),
            ({"impossible": "depends on BROKEN"}, "it cannot be enabled: depends on BROKEN"),
        ],
    )
    def test_what_is_partial_unchecked_or_impossible_never_closes(self, change: dict[str, Any], why_not: str) -> None:
        weak = mitigation("m", ["C11/*/*"], 'config.X == "y"', **change)
        world = catalogue(channel=[channel("C11")], instance=one(), mitigation=[weak])

        found = row(ledger(world, kernel=kernel({"X": "y"})), "C11/x/T3")

        assert found.status is Status.OPEN
        assert [(item.decides, item.why_not) for item in found.evidence] == [(False, why_not)]

    def test_a_mitigation_that_does_not_apply_is_not_asked(self) -> None:
        other = mitigation("m", ["C11/*/*"], 'config.X == "y"', applies='architecture == "aarch64"')
        world = catalogue(channel=[channel("C11")], instance=one(), mitigation=[other])

        assert row(ledger(world), "C11/x/T3").status is Status.OPEN

    def test_the_first_room_that_holds_decides_and_all_are_listed(self) -> None:
        world = catalogue(
            channel=[channel("C11", primitives=["stopped"])],
            instance=one(),
            mitigation=[mitigation("m", ["C11/*/*"], 'config.X == "y"')],
            pin=[pin("content")],
        )

        found = row(ledger(world, kernel=kernel({"X": "y"}), verifier=verifier("MRTD")), "C11/x/T3")

        assert found.status is Status.PREVENTED
        assert [item.by for item in found.evidence] == ["security-manager", "attestation", "guest"]


class TestDrivers:
    PCI = "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00"

    def world(self, **groups: list[dict[str, Any]]) -> Any:
        return catalogue(channel=[channel("C13", driver_buses=["pci"])], **groups)

    def guest(self) -> Any:
        return kernel(
            modules=(
                module("virtio_pci", "pci:v00001AF4d*sv*sd*bc*sc*i*", depends=("virtio",), text=300),
                module("virtio", text=50),
                module("e1000e", "pci:v00008086d000010D3sv*sd*bc*sc*i*", text=7000),
                module("usbhid", "hid:b0003g*v*p*", text=900),
            )
        )

    def test_configured_presentable_and_absent_are_three_facts(self) -> None:
        value = ledger(self.world(), kernel=self.guest(), machine=machine(device("virtio-net-pci", self.PCI, line=9)))

        configured, presentable = row(value, "C13/virtio_pci/T3"), row(value, "C13/e1000e/T3")

        assert (configured.presence, configured.text_bytes) == (Presence.CONFIGURED, 350)
        assert configured.place is not None
        assert configured.place.line == 9
        assert (presentable.presence, presentable.place) == (Presence.PRESENTABLE, None)
        assert "C13/usbhid/T3" not in {item.id for item in value.rows}

    def test_what_stands_behind_a_presented_controller_is_one_row_with_its_code(self) -> None:
        found = row(ledger(self.world(), kernel=self.guest()), "C13/behind-controllers/T3")

        assert (found.status, found.presence, found.text_bytes) == (Status.OPEN, Presence.PRESENTABLE, 900)
        assert found.facts[0].value == "1 modules beyond the presentable ones: usbhid"

    def test_cpuid_and_smbios_make_user_space_load_drivers_too(self) -> None:
        world = catalogue(channel=[channel("C15", driver_buses=["cpu"]), channel("C05", driver_buses=["dmi"])])
        guest = kernel(
            modules=(module("kvm_amd", "cpu:type:x86,ven*fam*mod*:feature:*00C2*"), module("apple", "dmi*:svnApple*:"))
        )

        value = ledger(world, kernel=guest)

        assert row(value, "C15/kvm_amd/T3").presence is Presence.PRESENTABLE
        assert row(value, "C05/apple/T3").presence is Presence.PRESENTABLE
        assert value.headline.presentable is not None
        assert value.headline.presentable.modules == 0

    def test_the_headline_counts_both_sets_closed_over_dependencies(self) -> None:
        value = ledger(self.world(), kernel=self.guest(), machine=machine(device("virtio-net-pci", self.PCI)))

        assert value.headline.drivers == "configured: 2 drivers, 0.00 MiB; presentable: 3 drivers, 0.01 MiB"

    def test_without_a_kernel_the_drivers_are_unknown_not_absent(self) -> None:
        value = ledger(self.world(), machine=machine())

        assert row(value, "C13/drivers/T3").status is Status.UNKNOWN
        assert value.headline.drivers.startswith("configured: 0 devices; ")

    def test_a_kernel_none_of_whose_drivers_binds_there_refuses_the_channel(self) -> None:
        guest = replace(kernel(modules=(module("usbhid", "hid:b0003g*v*p*"),)), builtin=())

        found = row(ledger(self.world(), kernel=guest), "C13/drivers/T3")

        assert (found.status, found.presence) == (Status.REFUSED, Presence.ABSENT)

    def test_a_kernel_that_does_not_list_what_it_builds_in_leaves_the_channel_unknown(self) -> None:
        guest = replace(kernel(modules=()), builtin=None)

        assert row(ledger(self.world(), kernel=guest), "C13/built-in/T3").status is Status.UNKNOWN

    @pytest.mark.parametrize(("checks", "expected"), [(("RTMR2",), Status.REFUSED), (("MRTD",), Status.OPEN)])
    def test_a_blacklisted_module_is_refused_while_the_command_line_is_pinned(
        self, checks: tuple[str, ...], expected: Status
    ) -> None:
        value = ledger(
            self.world(), kernel=self.guest(), command_line="module_blacklist=e1000e,foo", verifier=verifier(*checks)
        )

        assert row(value, "C13/e1000e/T3").status is expected
        assert row(value, "C13/virtio_pci/T3").status is Status.OPEN

    @pytest.mark.parametrize(
        ("digest", "expected"), [("1" * 64, Status.HARDENED), ("2" * 64, Status.OPEN), ("", Status.OPEN)]
    )
    def test_an_audit_holds_for_the_code_it_tested_and_is_stale_for_any_other(
        self, digest: str, expected: Status
    ) -> None:
        audit = {"id": "a", "driver": "net", "rows": ["C13/net/*"], "code_sha256": digest, "date": "2026-01-01",
                 "finding": "nothing found", **SOURCED}  # fmt: skip
        guest = kernel(modules=(module("net", "pci:v*d*", digest="1" * 64),))

        assert row(ledger(self.world(audit=[audit]), kernel=guest), "C13/net/T3").status is expected


class TestHonesty:
    def test_an_option_that_was_not_understood_is_an_unknown_row_with_its_place(self) -> None:
        strange = Unread("-strange", "no such option is known", Place("vm.args", line=5))

        found = row(ledger(catalogue(), machine=machine(unread=(strange,))), "C09/unread-strange/T1")

        assert (found.status, found.place.line if found.place else None) == (Status.UNKNOWN, 5)

    def test_the_first_line_says_that_a_plain_definition_is_not_confidential(self) -> None:
        value = ledger(catalogue(), machine=machine(confidential=None))

        assert value.headline.confidential.startswith("NOT a confidential VM")

    def test_declared_confidential_and_defined_plain_is_said_first(self) -> None:
        declared = (("confidential_guest = true", Place("kata.toml", line=12)),)

        value = ledger(catalogue(), machine=machine(confidential=None, declared=declared))

        assert value.headline.confidential.startswith(
            "declared confidential (confidential_guest = true (line 12)), defined plain"
        )

    def test_a_kernel_that_cannot_be_such_a_guest_is_said_before_anything_else(self) -> None:
        world = catalogue()
        technology = world.technologies["t"]
        support = rule('config.T_GUEST == "y"', "CONFIG_T_GUEST is not set")
        from msgspec import convert, structs

        from hostproof.knowledge.records import Rule

        world.technologies["t"] = structs.replace(technology, guest_support=[convert(support, Rule)])  # type: ignore[index]

        value = ledger(world, kernel=kernel())

        assert value.headline.confidential.startswith("this kernel CANNOT be a guest of Technology; ")
        assert value.headline.warnings[0] == "this kernel cannot be a guest of Technology: CONFIG_T_GUEST is not set"


class TestWaivers:
    def waived(self, expires: datetime.date, rows: str = "C11/*/*") -> Waivers:
        return Waivers((Waiver(rows, "we know", "the owner", expires),), Place("waivers.toml"))

    def test_a_waiver_accepts_an_open_row_with_its_reason(self) -> None:
        world = catalogue(channel=[channel("C11")], instance=one())

        value = ledger(world, waivers=self.waived(TODAY))

        assert row(value, "C11/x/T3").status is Status.ACCEPTED
        assert "accepted by the owner until 2026-11-01: we know" in row(value, "C11/x/T3").reason
        assert (value.waivers[0].state, value.waivers[0].rows) == ("used", 1)

    def test_an_expired_waiver_accepts_nothing_and_is_reported(self) -> None:
        world = catalogue(channel=[channel("C11")], instance=one())

        value = ledger(world, waivers=self.waived(TODAY - datetime.timedelta(days=1)))

        assert row(value, "C11/x/T3").status is Status.OPEN
        assert (value.waivers[0].state, value.waivers[0].rows) == ("expired", 0)

    @pytest.mark.parametrize("pattern", ["C12/*/*", "C11/y/*"])
    def test_a_waiver_that_matches_nothing_is_an_orphan(self, pattern: str) -> None:
        world = catalogue(channel=[channel("C11")], instance=one())

        assert ledger(world, waivers=self.waived(TODAY, pattern)).waivers[0].state == "orphan"

    def test_a_waiver_does_not_touch_a_row_that_is_closed_or_unknown(self) -> None:
        world = catalogue(channel=[channel("C11", primitives=["switched"])], instance=one())

        value = ledger(world, waivers=self.waived(TODAY))

        assert row(value, "C11/x/T3").status is Status.UNKNOWN
        assert value.waivers[0].state == "orphan"
