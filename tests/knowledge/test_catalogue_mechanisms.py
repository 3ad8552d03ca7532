"""The half of the catalogue that says where host input meets code, what refuses it, what pins it and what broke it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import hostproof.knowledge
from hostproof.knowledge.load import Catalogue, catalogue
from hostproof.knowledge.predicate import Fact, Value, parse
from hostproof.knowledge.records import Attack, Instance, Mechanism, Mitigation, Pin
from hostproof.knowledge.terms import Checked, Coverage, Status, Tree

FOLDER = Path(hostproof.knowledge.__file__).parent / "catalogue"
OURS = ("instances-", "mitigations-", "pins", "attacks-", "command_line", "builtin_drivers", "audits", "sources-2")
DRIVER_CHANNELS = {"C32", "C33", "C34"}
"""Channels whose instances are drivers alone: they come from kernel facts, not from the catalogue."""


class Given:
    """Facts from a dictionary; every other name is unknown, except features, which a technology claims."""

    def __init__(self, technology: str = "", /, **values: Value) -> None:
        self.values: dict[str, Value] = {key.replace("__", "."): value for key, value in values.items()}
        if technology:
            claims = catalogue().technologies[technology].features
            words: dict[str, Value] = {"yes": True, "no": False}
            known = {f"feature.{name}": words[claim.value] for name, claim in claims.items() if claim.value in words}
            architecture = catalogue().technologies[technology].architectures[0]
            self.values = {"technology": technology, "architecture": architecture, **known, **self.values}

    def fact(self, name: str) -> Fact:
        space, _, rest = name.partition(".")
        if space == "mechanism" and name not in self.values:
            return self._mechanism(name, catalogue().mechanisms_by_fact[rest])
        return Fact(name, self.values.get(name))

    def _mechanism(self, name: str, mechanism: Mechanism) -> Fact:
        """As the ledger asks: the image first, and the package where it cannot tell."""
        truths = [parse(condition)(self) for condition in (mechanism.image, mechanism.package) if condition]
        value = next((truth.value for truth in truths if truth.value is not None), None)
        return Fact(name, value, rests=tuple(fact for truth in truths for fact in truth.missing))


def instance(row: str) -> Instance:
    channel, identifier = row.split("/")
    return next(one for one in catalogue().instances_of(channel) if one.id == identifier)


def holds(identifier: str, facts: Given) -> bool | None:
    return parse(catalogue().mitigations[identifier].holds)(facts).value


def closers(row: str) -> Iterator[Mitigation]:
    """Mitigations that could close a row: not partial, and a pattern of theirs matches."""
    for mitigation in catalogue().mitigations.values():
        if not mitigation.partial and any(fnmatch.fnmatchcase(row, pattern) for pattern in mitigation.closes):
            yield mitigation


def preventions(row: str, facts: Given) -> list[bool | None]:
    """For each primitive that feeds the row, whether the security manager stops it."""
    whole = catalogue()
    own = instance(row)
    names = own.primitives or whole.channels[own.channel].primitives
    answers = []
    for name in names:
        truths = [parse(rule.when)(facts).value for rule in whole.primitives[name].prevented]
        answers.append(True if True in truths else None if None in truths else False)
    return answers


def judged(identifier: str, facts: Given) -> str:
    """What an attack does to a guest: `works`, `fixed`, `not-affected` or `unknown`."""
    attack = catalogue().attacks[identifier]
    affected, fixed = parse(attack.affected)(facts).value, parse(attack.fixed)(facts).value
    if affected is False:
        return "not-affected"
    if fixed:
        return "fixed"
    return "unknown" if affected is None or fixed is None else "works"


PLAIN_SNP = {
    "feature__restricted_injection": False,
    "feature__alternate_injection": False,
    "feature__secure_avic": False,
    "use__paravisor": False,
}


SNP_KERNEL: dict[str, Value] = {
    "config__AMD_MEM_ENCRYPT": "y",
    "config__INTEL_TDX_GUEST": "n",
    "feature__exceptions_blocked": False,
}


def test_t13_a_tdx_host_cannot_inject_vector_14() -> None:
    assert preventions("C23/page-fault", Given("tdx", use__paravisor=False)) == [True]


def test_t14_an_snp_host_can_inject_vector_29_without_restricted_injection() -> None:
    facts = Given("sev-snp", **PLAIN_SNP, config__AMD_MEM_ENCRYPT="y", kernel__version="6.12.117")
    closing = [one.id for one in closers("C23/vc/T3") if parse(one.holds)(facts).value is not False]

    assert (preventions("C23/vc", facts), closing) == ([False], [])


def test_t14_restricted_injection_stops_vector_29() -> None:
    given = {**PLAIN_SNP, "feature__restricted_injection": True, "use__paravisor": True}

    assert preventions("C23/vc", Given("sev-snp", **given)) == [True]


def test_t15_heckler_does_not_reach_a_guest_behind_a_paravisor() -> None:
    kernel = {"kernel__version": "6.1.100", "config__IA32_EMULATION": "y"}
    alone, behind = PLAIN_SNP, {**PLAIN_SNP, "use__paravisor": True}

    states = [judged("heckler", Given("sev-snp", **given, **kernel)) for given in (alone, behind)]

    assert states == ["works", "not-affected"]


def test_t16_a_completed_alias_check_stops_badram_and_not_an_active_interposer() -> None:
    facts = Given(
        "sev-snp", platform__cpu="milan", platform__alias_check=True, platform__fixed_cve_2024_21944=True
    )  # fmt: skip

    assert [judged(name, facts) for name in ("badram", "battering-ram")] == ["fixed", "works"]


@pytest.mark.parametrize(
    ("module", "migratable", "expected"),
    [
        ("1.5.06", True, "works"),
        ("1.5.23", True, "works"),
        ("1.5.24", True, "unknown"),  # 1.5.24 or 1.5.25 depends on the platform
        ("1.5.25", True, "fixed"),
        ("2.0.13", True, "works"),
        ("2.0.14", True, "fixed"),
        ("1.5.06", False, "not-affected"),
    ],
)
def test_t17_a_migratable_td_becomes_debuggable_below_the_fixed_modules(
    module: str, migratable: bool, expected: str
) -> None:
    facts = Given("tdx", platform__tdx_module=module, feature__migration_allowed=migratable)

    assert expected == judged("migratable-td-debug", facts)


def test_t17_the_version_of_the_module_is_asked_for() -> None:
    missing = parse(catalogue().attacks["migratable-td-debug"].fixed)(Given("tdx")).missing

    assert "platform.tdx_module" in {fact.name for fact in missing}


def test_t18_notification_hardening_of_virtio_cannot_be_enabled() -> None:
    mitigation = catalogue().mitigations["virtio-harden-notification"]

    assert (mitigation.tree, mitigation.partial) == (Tree.BROKEN, True)
    assert "BROKEN" in mitigation.impossible
    assert holds(mitigation.id, Given(config__VIRTIO_HARDEN_NOTIFICATION="y"))


def test_t10_the_msi_x_table_size_only_crashes() -> None:
    assert catalogue().attacks["msi-x-table-size"].breaks == ["AV"]


@pytest.mark.parametrize(
    ("mitigation", "facts", "expected"),
    [
        ("mce-off", {"cmdline__mce": "off"}, True),
        ("mce-off", {"cmdline__mce": "no_cmci,off"}, True),
        ("mce-off", {"cmdline__mce": "unset"}, False),
        ("mce-off", {}, None),
        ("pci-noearly", {"cmdline__pci": "noearly,nommconf"}, True),
        ("pci-nommconf", {"cmdline__pci": "noearly"}, False),
        ("ia32-emulation-off", {"config__IA32_EMULATION": "n"}, True),
        (
            "ia32-emulation-off",
            {
                "config__IA32_EMULATION": "y", "config__IA32_EMULATION_DEFAULT_DISABLED": "n",
                "cmdline__ia32_emulation": "off", "kernel__version": "6.12",
            },
            True,
        ),
        (
            "ia32-emulation-off",
            {
                "config__IA32_EMULATION": "y", "config__IA32_EMULATION_DEFAULT_DISABLED": "n",
                "cmdline__ia32_emulation": "off", "kernel__version": "6.1.192",  # the option came with 6.7
            },
            False,
        ),
        ("forced-rdrand-seed", {**SNP_KERNEL, "kernel__version": "6.1.192"}, True),
        ("forced-rdrand-seed", {**SNP_KERNEL, "kernel__version": "6.6.25", "changelog__cc_random_seed": False}, False),
        ("forced-rdrand-seed", {**SNP_KERNEL, "kernel__version": "6.6.25", "changelog__cc_random_seed": True}, True),
        ("forced-rdrand-seed", {**SNP_KERNEL, "kernel__version": "6.6.25"}, None),  # a vendor may have taken the fix
        (  # a kernel that cannot be such a guest does not seed as one
            "forced-rdrand-seed",
            {**SNP_KERNEL, "kernel__version": "6.12", "feature__exceptions_blocked": True},
            False,
        ),
        ("tdx-in-kernel-mmio-check", {"config__INTEL_TDX_GUEST": "y", "kernel__version": "6.6.54"}, True),
        (
            "tdx-in-kernel-mmio-check",
            {
                "config__INTEL_TDX_GUEST": "y", "kernel__version": "6.11",
                "changelog__tdx_in_kernel_mmio_check": False,
            },
            False,
        ),
        ("builtin-command-line", {"config__CMDLINE_OVERRIDE": "n", "config__CMDLINE_FORCE": "n"}, False),
        ("module-signatures", {"config__MODULE_SIG_FORCE": "y"}, True),
        ("acpi-off", {"config__ACPI": "y", "cmdline__given": False}, False),
        ("acpi-off", {"config__ACPI": "y", "cmdline__given": True, "cmdline__acpi": "off,force"}, False),
    ],
)  # fmt: skip
def test_a_probe_finds_its_mechanism(mitigation: str, facts: dict[str, Value], expected: bool | None) -> None:
    assert expected is holds(mitigation, Given(**facts))


def test_int80_needs_code_and_says_which_symbol_is_missing() -> None:
    own = instance("C22/int80")

    assert parse(own.consumed)(Given(config__IA32_EMULATION="n")).value is False
    assert "CONFIG_IA32_EMULATION" in own.refusal


def test_nopv_leaves_xen_and_jailhouse() -> None:
    closed = set(catalogue().mitigations["nopv"].closes)

    assert not {"C37/xen/*", "C37/jailhouse/*"} & closed


def test_a_kernel_hash_pins_nothing_unless_the_firmware_compares_it() -> None:
    pin = catalogue().pins["snp-digest-hashes"]
    facts = Given("sev-snp", definition__direct_boot=True, definition__kernel_hashes=True)

    truth = parse(pin.when)(facts)

    assert truth.value is None
    assert [fact.name for fact in truth.missing] == ["platform.firmware_verifies_kernel_hashes"]


def test_run_time_input_is_in_no_measurement() -> None:
    covering = [
        pin.id
        for pin in catalogue().pins.values()
        if pin.coverage is not Coverage.NONE and any(fnmatch.fnmatchcase("C22/int80/T4", row) for row in pin.rows)
    ]

    assert covering == []


def test_what_only_a_vendor_has_is_never_found() -> None:
    vendor = [one for one in catalogue().mitigations.values() if one.tree is Tree.VENDOR]
    found = [one.id for one in vendor if one.holds != "false" and not one.partial]

    assert vendor
    assert found == []


@pytest.mark.parametrize(
    ("module", "modalias"),
    [
        ("virtio_net", "virtio:d00000001v00001AF4"),
        ("virtio_rng", "virtio:d00000004v00001AF4"),
        ("virtio_pci", "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00"),
        ("nvme", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"),
        ("ahci", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"),
        ("8250_pnp", "acpi:PNP0501:"),
        ("virtio_mmio", "acpi:LNRO0005:"),
        ("tpm_crb", "acpi:MSFT0101:"),
    ],
)
def test_a_built_in_driver_is_matched_by_the_alias_of_a_device(module: str, modalias: str) -> None:
    aliases = catalogue().builtin_drivers[module].aliases

    assert any(fnmatch.fnmatchcase(modalias, alias) for alias in aliases)


def numbered() -> dict[int, Attack]:
    return {attack.number: attack for attack in catalogue().attacks.values()}


def test_every_published_attack_of_the_research_is_there_once() -> None:
    numbers = sorted(attack.number for attack in catalogue().attacks.values())

    assert [*range(1, 75), *range(901, 906)] == numbers


def test_negative_controls_affect_nothing_and_say_why() -> None:
    controls = [attack for number, attack in numbered().items() if number > 900]

    assert {"false"} == {attack.affected for attack in controls}
    assert all(attack.fixed_by for attack in controls)


@pytest.mark.parametrize("technology", ["kvm", "sev", "sev-es", "sev-snp", "tdx", "pkvm-arm64", "pkvm-x86", "cca"])
def test_no_attack_asks_a_question_that_does_not_parse(technology: str) -> None:
    states = {judged(identifier, Given(technology)) for identifier in catalogue().attacks}

    assert states <= {"works", "fixed", "not-affected", "unknown"}


def test_every_channel_that_is_not_made_of_drivers_has_instances() -> None:
    with_instances = {one.channel for one in catalogue().instances}

    assert set(catalogue().channels) - with_instances == DRIVER_CHANNELS


def patterns(whole: Catalogue) -> Iterator[tuple[str, str]]:
    for mitigation in whole.mitigations.values():
        yield from ((mitigation.id, pattern) for pattern in mitigation.closes)
    for pin in whole.pins.values():
        yield from ((pin.id, pattern) for pattern in pin.rows)
    for option in whole.command_line_options:
        yield from ((option.option, pattern) for pattern in option.rows)
    for audit in whole.audits.values():
        yield from ((audit.id, pattern) for pattern in audit.rows)


def test_every_pattern_meets_an_instance_or_a_channel_of_drivers() -> None:
    whole = catalogue()
    with_drivers = {channel.id for channel in whole.channels.values() if channel.driver_buses}
    rows = [f"{one.channel}/{one.id}" for one in whole.instances]
    loose = [
        (where, pattern)
        for where, pattern in patterns(whole)
        if pattern.split("/")[0] not in with_drivers | DRIVER_CHANNELS
        and not fnmatch.filter(rows, pattern.rsplit("/", 1)[0])
    ]

    assert loose == []


def test_an_instance_that_may_go_unread_says_by_what_mechanism() -> None:
    silent = [f"{one.channel}/{one.id}" for one in catalogue().instances if one.consumed != "true" and not one.refusal]

    assert silent == []


def test_a_probe_that_asks_for_a_version_says_that_the_version_decides() -> None:
    silent = [
        one.id
        for one in catalogue().mitigations.values()
        if "kernel.version" in parse(one.holds).names
        and not one.partial
        and "version decides" not in one.where
        and not ("cmdline." in one.holds or one.id in ("snp-cpuid-page",))
    ]

    assert silent == []


def test_what_decides_rows_was_checked() -> None:
    whole = catalogue()
    records: list[Mitigation | Pin | Attack | Instance] = [*whole.mitigations.values(), *whole.pins.values()]
    records += [*whole.attacks.values(), *whole.instances]
    guesses = [record.id for record in records if record.checked is Checked.UNCHECKED]

    assert guesses == []


def test_only_a_platform_prevents() -> None:
    wrong = [
        one.id
        for one in catalogue().mitigations.values()
        if one.status is Status.PREVENTED and one.tree is not Tree.PLATFORM
    ]

    assert wrong == []


def test_configuration_symbols_are_spelled_as_kconfig_spells_them() -> None:
    whole = catalogue()
    texts = [one.consumed for one in whole.instances] + [one.holds for one in whole.mitigations.values()]
    names = {name for text in texts for name in parse(text).names if name.startswith("config.")}

    assert names
    assert sorted(name for name in names if not re.fullmatch(r"config\.[A-Z0-9_]+", name)) == []


def test_catalogue_files_stay_short() -> None:
    long = {path.name for path in FOLDER.glob("*.toml") if path.name.startswith(OURS) and _lines(path) >= 400}

    assert set() == long


def _lines(path: Path) -> int:
    return path.read_text().count("\n")
