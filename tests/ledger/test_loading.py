"""When a driver can be loaded, told in small worlds: three facts that stay apart, and what each rests on."""

from __future__ import annotations

from typing import Any

import pytest

from hostproof.artefacts.initrd.model import Initrd
from hostproof.artefacts.initrd.read import read_initrd
from hostproof.artefacts.kernel import match
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.terms import Presence, Status
from hostproof.ledger.loading import Loading, Reach
from hostproof.ledger.model import DriverCount, Ledger, Row
from tests.artefacts.initrd.samples import RELEASE, Tree, acpi_table, archive, debian, kata, module_path
from tests.ledger.worlds import SOURCED, catalogue, channel, kernel, ledger, machine, mitigation, module, row, verifier

MODULES = (
    module("blk", "virtio:d2v*", depends=("ring",)),
    module("net", "virtio:d1v*", depends=("ring",)),
    module("ring"),
    module("snd", "pci:v1d2*"),
)


def initrd(tree: Tree) -> Initrd:
    return read_initrd(archive(tree), "initrd.img")


def loading(tree: Tree, **more: Any) -> Loading:
    return Loading(initrd(tree), kernel(modules=MODULES), **more)


def reach(tree: Tree, name: str, **more: Any) -> Reach:
    return loading(tree, **more).of(name).reach


def world() -> Catalogue:
    return catalogue(
        channel=[channel("C11", driver_buses=["virtio"], driver_primitives=["free"])],
        instance=[{"channel": "C02", "id": "initrd", "name": "the initrd", **SOURCED}],
        pin=[{"id": "initrd", "rows": ["C02/initrd/T1"], "when": "true", "coverage": "content", "register": "RTMR2",
              **SOURCED}],
    )  # fmt: skip


def assessed(tree: Tree | None, *checks: str, **more: Any) -> Ledger:
    given = initrd(tree) if tree is not None else None
    return ledger(
        world(), kernel=kernel(modules=MODULES), machine=machine(), initrd=given, verifier=verifier(*checks), **more
    )


def reached(found: Row) -> str:
    return next(fact.value for fact in found.facts if fact.name == "initrd.reach")


class TestReach:
    def test_what_is_built_in_is_in_the_image(self) -> None:
        assert reach(debian(), "ext4") is Reach.IMAGE

    def test_a_driver_that_is_no_loadable_module_is_in_the_image_whatever_the_initrd_lacks(self) -> None:
        assert reach(kata(), "serial8250") is Reach.IMAGE

    def test_a_module_with_what_it_needs_and_a_loader_is_in_the_initrd(self) -> None:
        assert reach(debian("blk", "ring"), "blk") is Reach.INITRD

    def test_a_module_that_the_initrd_lacks_waits_for_the_root_switch(self) -> None:
        assert reach(debian("blk", "ring"), "net") is Reach.AFTER_ROOT_SWITCH

    def test_a_module_without_what_it_needs_waits_for_the_root_switch(self) -> None:
        found = loading(debian("blk")).of("blk")

        assert (found.reach, "without ring, which it needs" in found.because) == (Reach.AFTER_ROOT_SWITCH, True)

    def test_a_module_of_another_release_waits_for_the_root_switch(self) -> None:
        other = debian(**{module_path("snd", "5.10.0-other"): b""})

        assert reach(other, "snd") is Reach.AFTER_ROOT_SWITCH

    def test_a_module_that_stands_under_no_release_can_be_loaded_by_its_path(self) -> None:
        assert reach(debian(**{"drivers/snd.ko": b""}), "snd") is Reach.INITRD

    def test_where_the_initrd_is_the_root_what_it_lacks_is_never_loaded(self) -> None:
        found = loading(kata()).of("snd")

        assert (found.reach, found.because) == (
            Reach.NEVER,
            "the initrd does not hold snd, and it is the root: usr/bin/kata-agent is the first program and hands over to none",
        )

    def test_where_nothing_loads_modules_even_a_module_that_is_there_is_never_loaded(self) -> None:
        assert reach(kata(**{module_path("snd"): b""}), "snd") is Reach.NEVER

    def test_a_loader_in_a_root_makes_its_modules_loadable(self) -> None:
        tree = kata(**{module_path("snd"): b"", "./sbin/modprobe": b"\x7fELF"})

        assert (reach(tree, "snd"), reach(tree, "net")) == (Reach.INITRD, Reach.NEVER)

    def test_without_a_word_on_the_root_switch_nothing_is_claimed(self) -> None:
        assert reach({"init": b"#!/bin/sh\nexec sh\n"}, "snd") is Reach.UNKNOWN

    def test_another_first_program_makes_the_root_switch_unknown(self) -> None:
        assert reach(kata(), "snd", rdinit="/bin/other") is Reach.UNKNOWN
        assert reach(kata(), "snd", rdinit="/init") is Reach.NEVER

    def test_an_initramfs_inside_the_image_makes_what_the_initrd_lacks_unknown(self) -> None:
        embedded = Loading(initrd(kata()), kernel({"INITRAMFS_SOURCE": "root.cpio"}, MODULES))
        empty = Loading(initrd(kata()), kernel({"INITRAMFS_SOURCE": ""}, MODULES))

        assert (embedded.of("snd").reach, empty.of("snd").reach) == (Reach.UNKNOWN, Reach.NEVER)

    def test_modules_are_counted_by_when_they_can_be_loaded(self) -> None:
        facts = kernel(modules=MODULES)

        split = Loading(initrd(debian("blk", "ring")), facts).split(match.presentable(facts, ["virtio", "pci"]))

        assert split == {Reach.INITRD: DriverCount(2, 2000), Reach.AFTER_ROOT_SWITCH: DriverCount(2, 2000)}


class TestRows:
    def test_without_an_initrd_nothing_is_said_of_it(self) -> None:
        plain = assessed(None)

        assert row(plain, "C11/net/T3").facts[-1].name == "module.net"
        assert "initrd" not in plain.headline.drivers
        assert not any("initrd" in warning for warning in plain.headline.warnings)

    def test_a_driver_behind_the_root_switch_stays_open_and_says_so(self) -> None:
        found = row(assessed(debian("blk", "ring")), "C11/net/T3")

        assert (found.status, found.presence) == (Status.OPEN, Presence.PRESENTABLE)
        assert reached(found).startswith("only after the root switch: the initrd does not hold net")

    def test_never_closes_nothing_while_the_initrd_is_not_pinned(self) -> None:
        found = row(assessed(kata()), "C11/net/T3")

        assert found.status is Status.OPEN
        assert [(item.rule, item.decides, item.why_not) for item in found.evidence if item.rule == "initrd:never"] == [
            ("initrd:never", False, "the initrd is itself a host input, and C02/initrd/T1 is open")
        ]

    def test_never_refuses_once_a_verifier_checks_the_initrd(self) -> None:
        found = row(assessed(kata(), "RTMR2"), "C11/net/T3")

        assert found.status is Status.REFUSED
        assert found.reason.startswith("net can never be loaded: the initrd does not hold net, and it is the root")
        assert found.evidence[0].rests_on == ["C02/kernel/T1", "C02/initrd/T1"]

    @pytest.mark.parametrize(
        ("line", "why_not"),
        [
            ("blacklist blk", "it stops loading by alias alone"),
            ("install blk /bin/false", "modprobe alone reads it"),
        ],
    )
    def test_what_modprobe_keeps_out_is_listed_and_closes_nothing(self, line: str, why_not: str) -> None:
        tree = debian("blk", "ring", **{"etc/modprobe.d/x.conf": line.encode()})

        found = row(assessed(tree, "RTMR2"), "C11/blk/T3")

        assert found.status is Status.OPEN
        evidence = next(item for item in found.evidence if item.rule.startswith("initrd:"))
        assert (evidence.decides, evidence.why_not.startswith(why_not), evidence.facts[0].value) == (False, True, line)

    def test_drivers_behind_a_controller_are_counted_and_refused_together(self) -> None:
        modules = (*MODULES, module("storage", "usb:v1p2*"))
        rules = catalogue(
            channel=[channel("C13", driver_buses=["pci"], driver_primitives=["free"])],
            instance=[{"channel": "C02", "id": "initrd", "name": "the initrd", **SOURCED}],
            pin=[
                {
                    "id": "i",
                    "rows": ["C02/initrd/T1"],
                    "when": "true",
                    "coverage": "content",
                    "register": "RTMR2",
                    **SOURCED,
                }
            ],
        )
        given: dict[str, Any] = {"kernel": kernel(modules=modules), "machine": machine(), "verifier": verifier("RTMR2")}
        name = "C13/behind-controllers/T3"

        later = row(ledger(rules, initrd=initrd(debian()), **given), name)
        never = row(ledger(rules, initrd=initrd(kata()), **given), name)

        assert (later.status, reached(later)) == (Status.OPEN, "only after the root switch: 1")
        assert (never.status, reached(never)) == (Status.REFUSED, "never: 1")

    def test_a_blacklist_of_another_module_is_not_listed(self) -> None:
        tree = debian("blk", "ring", **{"etc/modprobe.d/x.conf": b"blacklist snd\n"})

        assert row(assessed(tree), "C11/blk/T3").evidence == []


class TestHeadline:
    def test_presentable_drivers_are_split_in_the_headline(self) -> None:
        assert assessed(debian("blk", "ring")).headline.drivers == (
            "configured: 0 drivers, 0.00 MiB; presentable: 4 drivers, 0.00 MiB "
            "(in this initrd: 2, 0.00 MiB, only after the root switch: 2, 0.00 MiB)"
        )

    def test_an_initrd_that_nothing_pins_is_warned_of(self) -> None:
        warning = (
            "what this initrd holds is what was given, and C02/initrd/T1 is open: "
            "unless a verifier checks it, a host may boot with another"
        )

        assert warning in assessed(kata()).headline.warnings
        assert warning not in assessed(kata(), "RTMR2").headline.warnings

    def test_an_initrd_of_another_kernel_is_noted(self) -> None:
        notes = assessed(
            debian(**{module_path("snd", "5.10.0-other"): b""}) | {f"usr/lib/modules/{RELEASE}/modules.dep": None}
        )

        assert any(
            "the initrd's modules are those of 5.10.0-other, the kernel is 6.1.0-test" in note for note in notes.notes
        )

    def test_an_initrd_that_does_not_say_whether_it_switches_leaves_predicates_unknown(self) -> None:
        rules = catalogue(
            channel=[channel("C11")],
            instance=[
                {"channel": "C11", "id": "x", "name": "the input", "consumed": "initrd.switches_root", **SOURCED}
            ],
        )

        found = row(ledger(rules, initrd=initrd({"init": b"#!/bin/sh\n"})), "C11/x/T3")

        assert (found.status, [item.name for item in found.missing]) == (Status.UNKNOWN, ["initrd.switches_root"])


@pytest.mark.parametrize(
    ("condition", "tree", "expected"),
    [
        ("initrd.given", kata(), True),
        ('"udev" in initrd.loader', debian(), True),
        ('"udev" in initrd.loader', kata(), False),
        ('initrd.kind == "kata"', kata(), True),
        ("initrd.switches_root", debian(), True),
        ("initrd.acpi_override", {"kernel/firmware/acpi/x": acpi_table()}, True),
        ("initrd.bootconfig", kata(), False),
    ],
)
def test_predicates_may_ask_of_the_initrd(condition: str, tree: Tree, expected: bool) -> None:
    rules = catalogue(
        channel=[channel("C11")],
        instance=[
            {"channel": "C02", "id": "initrd", "name": "the initrd", **SOURCED},
            {"channel": "C11", "id": "x", "name": "the input", **SOURCED},
        ],
        pin=[
            {
                "id": "i",
                "rows": ["C02/initrd/T1"],
                "when": "true",
                "coverage": "content",
                "register": "RTMR2",
                **SOURCED,
            }
        ],
        mitigation=[mitigation("m", ["C11/x/*"], condition)],
    )

    pinned = row(ledger(rules, initrd=initrd(tree), verifier=verifier("RTMR2")), "C11/x/T3")
    unpinned = row(ledger(rules, initrd=initrd(tree), verifier=verifier()), "C11/x/T3")

    assert (pinned.status is Status.REFUSED) is expected
    assert unpinned.status is Status.OPEN, "what an initrd says rests on its being pinned"
