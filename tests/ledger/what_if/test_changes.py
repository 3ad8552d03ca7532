"""What each edit makes of a VM."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts import cmdline
from hostproof.artefacts.kernel.facts import Answer, ConfigValue
from hostproof.artefacts.machine.model import Boot, Confidential, Origin
from hostproof.ledger.assess import Subject
from hostproof.ledger.what_if.changes import (
    BootWith,
    BootWithout,
    Change,
    Check,
    HashKernel,
    Kind,
    LeaveOut,
    SetConfig,
    SetPolicyBit,
    SetSevFeature,
    StateFeature,
    Unplug,
    apply,
)
from hostproof.place import Place
from tests.ledger.what_if.scenes import subject, world
from tests.ledger.worlds import device, kernel, machine, module, verifier

HERE = world()


def vm(command_line: str | None = None, **parts: object) -> Subject:
    return subject(HERE, command_line=command_line, **parts)


def line(after: Subject) -> str:
    assert after.command_line is not None
    return after.command_line.text


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        ("ro", BootWith("nohpet", None), "ro nohpet"),
        ("", BootWith("mce", "off"), "mce=off"),
        ("mce=on ro mce=2", BootWith("mce", "off"), "ro mce=off"),
        ("pci=nomsi ro", BootWith("pci", "noearly", True), "ro pci=nomsi,noearly"),
        ("pci=noearly", BootWith("pci", "noearly", True), "pci=noearly"),
        ("no-kvmclock", BootWith("no_kvmclock", None), "no_kvmclock"),
        ('a="b c" ro', BootWith("x", "y"), 'a="b c" ro x=y'),
        ("ro -- single", BootWith("x", "y"), "ro x=y -- single"),
        ("module_blacklist=a module_blacklist=b", BootWith("module_blacklist", "c", True),
         "module_blacklist=a module_blacklist=b,c"),
        ("efi=runtime,debug ro", BootWithout("efi", "runtime"), "efi=debug ro"),
        ("efi=runtime ro", BootWithout("efi", "runtime"), "ro"),
        ("earlycon=uart ro", BootWithout("earlycon"), "ro"),
    ],
)  # fmt: skip
def test_command_lines_are_edited_as_a_person_would(before: str, edit: BootWith | BootWithout, after: str) -> None:
    assert line(edit(vm(before))) == after


WORDS = st.lists(st.tuples(st.sampled_from(["a", "b-c", "pci", "x.y"]), st.sampled_from([None, "", "1", "p,q", "r s"])))


@given(WORDS)
def test_an_option_that_is_added_is_there_and_the_others_stay(words: list[tuple[str, str | None]]) -> None:
    text = " ".join(name if value is None else f'{name}="{value}"' for name, value in words)

    after = BootWith("new", "1")(vm(text)).command_line

    assert after is not None
    before = cmdline.parse(text, Place("--cmdline"))
    assert after.get("new") == "1"
    assert [(one.name, one.value) for one in after.parameters[:-1]] == [
        (one.name, one.value) for one in before.parameters
    ]


def test_what_is_not_known_cannot_be_edited() -> None:
    bare = vm()
    edits = [
        BootWith("x", "y"), BootWithout("x"), SetConfig("X", "n"), LeaveOut(("x",)), Unplug((("x", 1),)),
        SetPolicyBit(3, True), HashKernel(), SetSevFeature(3, True),
    ]  # fmt: skip

    assert [edit(bare) for edit in edits] == [bare] * len(edits)


def test_a_symbol_that_is_switched_off_takes_its_driver_and_what_needs_it() -> None:
    facts = kernel({"RNG": "m"}, (module("rng"), module("user", depends=("rng",)), module("other")))
    before = vm(kernel=replace(facts, builtin=("rng", "ext4"), builtin_aliases={"rng": ("virtio:d4",)}))

    after = SetConfig("RNG", "n", ("rng",))(before).kernel

    assert after is not None and after.modules is not None and after.config is not None
    assert after.config["RNG"] == ConfigValue("n", 1)
    assert [one.name for one in after.modules] == ["other"]
    assert (after.builtin, after.builtin_aliases) == (("ext4",), {})


def test_what_the_old_image_answered_of_a_switched_mechanism_is_not_known_of_the_new_one() -> None:
    answers = {"symbol.early_scan": Answer(True), "symbol.other": Answer(True), "symbol.rng.probe": Answer(True)}
    before = vm(kernel=kernel({"SCAN": "y"}, (module("rng"),), answers=answers))

    after = apply(
        before,
        [
            Change(Kind.KCONFIG, "a", "", "", SetConfig("SCAN", "n", (), ("symbol.early_scan",))),
            Change(Kind.MODULE, "b", "", "", LeaveOut(("rng",))),
        ],
    )

    assert after.kernel is not None
    assert set(after.kernel.answers) == {"symbol.other"}


def test_bits_and_fields_of_the_launch_are_set_and_cleared() -> None:
    fields = (("sev-features", "0x1"), ("host-data", "x"))
    before = vm(machine=machine(confidential=Confidential("t", Place("vm"), policy=0b1000, fields=fields), boot=Boot()))

    after = HashKernel()(SetSevFeature(3, True)(SetPolicyBit(3, False)(SetPolicyBit(0, True)(before)))).machine

    assert after is not None and after.confidential is not None
    assert after.confidential.policy == 1
    assert after.confidential.fields == (("sev-features", "0x9"), ("host-data", "x"))
    assert after.boot.kernel_hashes is True


def test_a_device_of_the_definition_is_never_unplugged() -> None:
    board = replace(device("hpet"), origin=Origin.BOARD)
    before = vm(machine=machine(device("hpet"), board, device("disk")))

    after = Unplug((("hpet", 2),))(before).machine

    assert after is not None
    assert after.devices == (device("hpet"), device("disk"))


def test_a_new_verifier_keeps_what_the_use_checks_itself() -> None:
    signed = Check(("RTMR2",))(subject(HERE, axes={"image_check": "signed-boot"})).verifier
    more = Check(("MRTD",))(vm(verifier=verifier("RTMR0"))).verifier

    assert signed is not None and more is not None
    assert signed.checks == {"RTMR2", "VERIFIED_BOOT"}
    assert more.checks == {"RTMR0", "MRTD"}


def test_the_order_in_which_changes_are_given_makes_no_difference() -> None:
    before = vm("ro", kernel=kernel({"A": "y"}, (module("x"), module("y"))), verifier=verifier())
    changes = [
        Change(Kind.CMDLINE, "1", "", "", BootWith("pci", "noearly", True)),
        Change(Kind.CMDLINE, "2", "", "", BootWith("pci", "nomsi", True)),
        Change(Kind.KCONFIG, "3", "", "", SetConfig("A", "n", ("x",))),
        Change(Kind.FEATURE, "4", "", "", StateFeature("strong", True)),
    ]

    assert len({repr(apply(before, order)) for order in permutations(changes)}) == 1
