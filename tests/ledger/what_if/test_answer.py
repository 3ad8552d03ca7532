"""Which change closes what, and the smallest set, in worlds whose answers are known."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from hostproof.artefacts.kernel.facts import Answer
from hostproof.errors import UsageError
from hostproof.knowledge.terms import Status
from hostproof.ledger.patterns import meets
from hostproof.ledger.what_if.candidates import candidates
from hostproof.ledger.what_if.changes import Kind
from hostproof.ledger.what_if.model import encode
from tests.ledger.what_if.scenes import answer, assessed, instance, option, subject, suggested, world
from tests.ledger.worlds import SOURCED, device, kernel, machine, mitigation, module, rule, verifier


def test_the_one_change_that_closes_a_row_is_found_with_what_to_type() -> None:
    here = world(instance("x"), mitigation=[mitigation("m", ["C11/x/*"], 'config.X == "n"')])

    found = answer(here, subject(here, kernel=kernel({"X": "y", "Y": "y"})))

    one = suggested(found, "CONFIG_X=n")
    assert (one.effect.closed, one.effect.opened) == (["C11/x/T3"], [])
    assert one.change.how == "# CONFIG_X is not set"
    assert [item.change.id for item in found.suggestions if item.change.kind == "kconfig"] == ["CONFIG_X=n"]


def test_what_a_change_opens_is_told_beside_what_it_closes() -> None:
    here = world(
        instance("x"),
        instance("y"),
        mitigation=[
            mitigation("m", ["C11/x/*"], 'config.X == "n"'),
            mitigation("o", ["C11/y/*"], 'config.X == "y"'),
        ],
    )

    found = answer(here, subject(here, kernel=kernel({"X": "y"})))

    effect = suggested(found, "CONFIG_X=n").effect
    assert (effect.closed, effect.opened, effect.net) == (["C11/x/T3"], ["C11/y/T3"], 0)


def test_changes_are_ranked_by_rows_less_those_opened_then_by_bytes() -> None:
    here = world(
        *(instance(name) for name in "abc"),
        mitigation=[
            mitigation("one", ["C11/a/*"], 'config.ONE == "n"'),
            mitigation("two", ["C11/b/*", "C11/c/*"], 'config.TWO == "n"'),
        ],
    )
    modules = (module("small", "pci:v1*", text=10), module("large", "pci:v2*", text=20))

    found = answer(here, subject(here, kernel=kernel({"ONE": "y", "TWO": "y"}, modules), machine=machine()))

    # `leave-out:all` takes both drivers, whose channel then has a row that says so.
    assert [item.change.id for item in found.suggestions] == [
        "leave-out:all",
        "CONFIG_TWO=n",
        "leave-out:large",
        "leave-out:small",
        "CONFIG_ONE=n",
        "check:RTMR2",
    ]
    assert suggested(found, "leave-out:large").effect.text_bytes == 20


class TestAPairThatIsNeeded:
    """A command line that the host writes closes nothing until a verifier checks what pins it."""

    here = world(
        instance("x"),
        mitigation=[mitigation("m", ["C11/x/*"], 'cmdline.x == "off"')],
        command_line_option=[option("x=off")],
    )

    def test_the_option_alone_is_said_to_need_the_other(self) -> None:
        found = answer(self.here, subject(self.here, command_line="root=/dev/vda", verifier=verifier()))

        one = suggested(found, "x=off")
        assert one.needs == ["check:RTMR2"]
        assert one.effect.closed == ["C11/x/T3"]

    def test_the_smallest_set_has_both_and_is_proven(self) -> None:
        vm = subject(self.here, command_line="root=/dev/vda", verifier=verifier())

        found = answer(self.here, vm, "C11/x/T3").smallest

        assert found is not None
        assert sorted(change.id for change in found.changes) == ["check:RTMR2", "x=off"]
        assert (found.reached, found.proven, found.at_least) == (True, True, 2)

    def test_the_option_alone_does_where_the_line_is_pinned_already(self) -> None:
        vm = subject(self.here, command_line="root=/dev/vda", verifier=verifier("RTMR2"))

        found = answer(self.here, vm, "C11/x/T3").smallest

        assert found is not None
        assert [change.id for change in found.changes] == ["x=off"]

    def test_without_a_command_line_its_options_are_not_tried(self) -> None:
        found = answer(self.here, subject(self.here, verifier=verifier()))

        assert [item.why for item in found.not_tried if item.kind == Kind.CMDLINE] == [
            "the command line is not known (--cmdline)"
        ]


class TestTargets:
    here = world(
        instance("a"),
        instance("b"),
        instance("never"),
        mitigation=[
            mitigation("both", ["C11/a/*", "C11/b/*"], 'config.BOTH == "n"'),
            mitigation("a", ["C11/a/*"], 'config.A == "n"'),
            mitigation("b", ["C11/b/*"], 'config.B == "n"'),
        ],
    )
    config: ClassVar[dict[str, str]] = {"BOTH": "y", "A": "y", "B": "y"}

    def test_one_change_is_preferred_to_two(self) -> None:
        found = answer(self.here, subject(self.here, kernel=kernel(self.config)), "C11/a/*", "C11/b/*").smallest

        assert found is not None
        assert [change.id for change in found.changes] == ["CONFIG_BOTH=n"]
        assert (found.reached, found.proven) == (True, True)

    def test_a_target_that_cannot_be_reached_says_what_is_in_the_way(self) -> None:
        found = answer(self.here, subject(self.here, kernel=kernel(self.config)), "C11/*/*").smallest

        assert found is not None
        assert not found.reached
        assert [change.id for change in found.changes] == ["CONFIG_BOTH=n"]
        assert [(group.reason, group.rows) for group in found.remaining] == [
            ("no mechanism of the catalogue closes it", ["C11/never/T3"])
        ]

    def test_a_target_that_holds_needs_no_change(self) -> None:
        vm = subject(self.here, kernel=kernel({**self.config, "A": "n"}))

        found = answer(self.here, vm, "C11/a/*").smallest

        assert found is not None
        assert (found.reached, found.changes, found.before, found.proven) == (True, [], 0, True)

    def test_a_number_of_open_rows_may_stay(self) -> None:
        vm = subject(self.here, kernel=kernel(self.config))
        before = answer(self.here, vm).open

        found = answer(self.here, vm, f"open={before - 1}").smallest

        assert found is not None
        assert (len(found.changes), found.reached, found.proven) == (1, True, True)
        assert found.effect.open <= before - 1

    @pytest.mark.parametrize("text", ["open=", "open=-1", "closed", "C11/a", "C99/*/*", ""])
    def test_a_target_that_is_none_is_refused_with_a_hint(self, text: str) -> None:
        with pytest.raises(UsageError) as caught:
            answer(self.here, subject(self.here, kernel=kernel(self.config)), text)

        assert caught.value.hint

    def test_a_row_that_is_unknown_is_not_closed(self) -> None:
        here = world(
            instance("x"),
            mitigation=[mitigation("m", ["C11/x/*"], 'config.X == "n" or platform.fine')],
        )

        found = answer(here, subject(here, kernel=kernel({"X": "y"})), "C11/x/T3")

        assert found.unknown >= 1
        assert found.smallest is not None
        assert [change.id for change in found.smallest.changes] == ["CONFIG_X=n"]
        assert suggested(found, "CONFIG_X=n").effect.settled == ["C11/x/T3"]


def test_applying_the_set_reaches_the_target() -> None:
    """The property that matters: what is reported is true of the VM that somebody builds from it."""
    here = world(
        *(instance(name) for name in "abcdef"),
        mitigation=[
            mitigation("ab", ["C11/a/*", "C11/b/*"], 'config.AB == "n"'),
            mitigation("bc", ["C11/b/*", "C11/c/*"], 'config.BC == "n" and config.AND == "y"'),
            mitigation("de", ["C11/d/*", "C11/e/*"], 'cmdline.de == "off"'),
            mitigation("ef", ["C11/e/*", "C11/f/*"], 'config.EF == "n"'),
        ],
        command_line_option=[option("de=off")],
    )
    config = {"AB": "y", "BC": "y", "AND": "n", "EF": "y"}
    vm = subject(here, kernel=kernel(config), command_line="", verifier=verifier())

    found = answer(here, vm, "C11/*/*").smallest

    assert found is not None
    changes, _ = candidates(here, vm, assessed(here, vm), tuple(Kind))
    named = {change.id: change for change in changes}
    chosen = [named[change.id] for change in found.changes]
    after = assessed(here, vm, chosen)
    assert [row.id for row in after.rows if meets(row.id, "C11/*/*") and not row.status.closed] == []
    assert sorted(named[one.id].id for one in found.changes) == [
        "CONFIG_AB=n", "CONFIG_AND=y", "CONFIG_BC=n", "CONFIG_EF=n", "check:RTMR2", "de=off",
    ]  # fmt: skip
    assert found.proven
    for left_out in chosen:
        fewer = assessed(here, vm, [change for change in chosen if change is not left_out])
        assert any(meets(row.id, "C11/*/*") and row.status is Status.OPEN for row in fewer.rows), left_out.id


class TestDrivers:
    here = world(instance("x"))
    modules = (
        module("core", text=5),
        module("nic", "pci:v00001AF4*", depends=("core",), text=100),
        module("gpu", "pci:v00001002*", depends=("core", "drm"), text=4000),
        module("gpu2", "pci:v00001003*", depends=("drm",), text=3000),
        module("drm", text=2000),
    )
    vm = subject(here, kernel=kernel({}, modules), machine=machine(device("virtio-net-pci", "pci:v00001AF4d00001041")))

    def test_what_the_definition_needs_is_never_left_out(self) -> None:
        found = answer(self.here, self.vm)

        assert suggested(found, "leave-out:all").change.modules == ["gpu", "gpu2"]
        assert not {"leave-out:nic", "leave-out:core"} & {one.change.id for one in found.suggestions}

    def test_what_needs_a_module_goes_with_it(self) -> None:
        found = answer(self.here, self.vm)

        one = suggested(found, "leave-out:drm")
        assert one.change.modules == ["drm", "gpu", "gpu2"]
        assert one.effect.gone == ["C33/gpu/T3", "C33/gpu2/T3"]
        assert one.effect.text_bytes == 9000

    def test_a_driver_of_a_target_is_tried_however_light_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hostproof.ledger.what_if.drivers.driver_changes.__defaults__", ((), 0))

        untold, told = (answer(self.here, self.vm, *rows) for rows in ((), ("C33/gpu2/*",)))

        assert "leave-out:gpu2" not in {one.change.id for one in untold.suggestions}
        assert "leave-out:gpu2" in {one.change.id for one in told.suggestions}


def test_a_change_that_breaks_the_guest_is_ranked_and_in_no_set() -> None:
    here = world(instance("x"), mitigation=[mitigation("m", ["C11/x/*"], 'config.PCI == "n"')])
    vm = subject(here, kernel=kernel({"PCI": "y"}), machine=machine(device("virtio-net-pci")))

    found = answer(here, vm, "C11/x/T3")

    assert "virtio-net-pci" in suggested(found, "CONFIG_PCI=n").change.breaks
    assert found.smallest is not None
    assert (found.smallest.reached, found.smallest.changes) == (False, [])


def test_a_feature_that_the_guest_could_not_run_with_is_not_tried() -> None:
    here = world(instance("x", primitives=["switched"]))
    off = here.features["switchable"]
    object.__setattr__(here, "features", {**here.features, "switchable": _with_off(off)})

    found = answer(here, subject(here, kernel=kernel({"GUEST": "n"})))

    assert [(item.kind, item.what) for item in found.not_tried if item.kind == Kind.FEATURE] == [
        ("feature", "switchable")
    ]


def _with_off(feature: Any) -> Any:
    import msgspec

    from hostproof.knowledge.sourced import Rule

    return msgspec.structs.replace(feature, off=[msgspec.convert(rule('config.GUEST == "n"', "no code for it"), Rule)])


def test_a_feature_bit_closes_what_its_manager_prevents() -> None:
    here = world(instance("x", primitives=["switched"]))

    found = answer(here, subject(here))

    assert suggested(found, "switchable=on").effect.settled == ["C11/x/T3"]
    assert suggested(found, "switchable=off").effect.opened == ["C11/x/T3"]


class TestBytes:
    here = world(
        *(instance(f"i{number}") for number in range(30)),
        mitigation=[mitigation(f"m{n}", [f"C11/i{n}/*"], f'config.S{n} == "n"') for n in range(30)],
    )
    vm = subject(here, kernel=kernel({f"S{number}": "y" for number in range(30)}))

    def test_the_same_subject_gives_the_same_bytes_on_one_processor_and_on_two(self) -> None:
        """Thirty changes are enough for workers to be started, afresh, which hold a world that is no module."""
        one, two = (encode(answer(self.here, self.vm, "C11/*/*", jobs=jobs)) for jobs in (1, 2))

        assert one == two

    def test_kinds_limit_what_is_tried(self) -> None:
        found = answer(self.here, self.vm, kinds=(Kind.VERIFIER,))

        assert {one.change.kind for one in found.suggestions} <= {"verifier"}
        assert found.idle.keys() <= {"verifier"}

    def test_progress_is_reported_to_the_end(self) -> None:
        seen: list[tuple[str, int, int]] = []
        answer(self.here, self.vm, report=lambda what, done, total: seen.append((what, done, total)))

        assert {what for what, _, _ in seen} == {"assessing changed VMs"}
        assert seen[-1][1] == seen[-1][2] == len(seen)


def test_configuration_decides_of_a_kernel_that_is_built_anew() -> None:
    """The image said that it scans early; an image without the option is another one, of which its configuration tells."""
    mechanism = {
        "id": "early-scan",
        "name": "scans",
        "image": "symbol.scan",
        "package": 'config.SCAN == "y"',
        **SOURCED,
    }
    here = world(
        instance("x"), mechanism=[mechanism], mitigation=[mitigation("m", ["C11/x/*"], "not mechanism.early_scan")]
    )
    image = {"symbol.scan": Answer(True), "symbol.other": Answer(True)}

    found = answer(here, subject(here, kernel=kernel({"SCAN": "y"}, answers=image)))

    assert suggested(found, "CONFIG_SCAN=n").effect.closed == ["C11/x/T3"]
