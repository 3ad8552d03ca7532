"""Mechanisms of the kernel: which of image and package answers, and what each makes of hand-made answers."""

from __future__ import annotations

import pytest

from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import Fact, Value, parse
from hostproof.knowledge.records import Mechanism

ABSENT_FUNCTION = None
"""What `calls.F` is worth where the image has no function F: nobody saw what it calls."""

NO_IMAGE_SHOWS = {
    "snp-feature-check": "in the decompressor",
    "snp-debug-swap": "in the decompressor",
    "tdx-reduce-ve": "inlined",
    "tdx-private-pv-pages": "reads a variable",
    "tdx-tsc-reliable": "two stores",
    "vc-opcode-check": "inlined",
    "bootloader-seed-default": "initial value",
    "legacy-uarts": "initial value",
    "msr-device": "a module named msr, and so is",
}
"""Mechanisms that no image shows, and what of their notes says why."""


class Kernel:
    """Facts by name. An image that was read has no symbol but those given, and its functions call what is given."""

    def __init__(self, facts: dict[str, Value], *, image: bool) -> None:
        self.facts = facts
        self.image = image

    def fact(self, name: str) -> Fact:
        space = name.partition(".")[0]
        if name in self.facts:
            return Fact(name, self.facts[name])
        if space == "calls":
            return Fact(name, ABSENT_FUNCTION)
        return Fact(name, False if self.image and space in ("symbol", "instruction", "parameter") else None)


def told(mechanism: Mechanism, kernel: Kernel) -> tuple[str, bool | None]:
    """Which of image and package tells whether the kernel has the mechanism, and what it says."""
    for name in ("image", "package"):
        condition = getattr(mechanism, name)
        value = parse(condition)(kernel).value if condition else None
        if value is not None:
            return name, value
    return "", None


def image(*symbols: str, **calls: tuple[str, ...]) -> dict[str, Value]:
    """The answers of an image with these symbols, and with these functions and what they call."""
    named = {f"symbol.{name}": True for name in (*symbols, *calls)}
    return {**named, **{f"calls.{name}": called for name, called in calls.items()}}


TD = ("tdx_early_init", "tdx_handle_virt_exception")
CHECK, HYPERCALL = ("fault_in_kernel_space",), ("__tdx_hypercall",)
VC = "asm_exc_vmm_communication"
SEEN: list[tuple[str, dict[str, Value], bool | None]] = [
    ("tdx-guest", {**image("tdx_early_init"), "instruction.tdcall": True}, True),
    ("tdx-guest", image("tdx_early_init"), False),  # without TDCALL it is no guest
    ("tdx-guest", {"instruction.tdcall": True}, False),
    ("sev-guest", image("sme_early_init"), True),
    ("secure-tsc", image("snp_secure_tsc_init"), True),
    ("secure-avic", image("savic_register_gpa", "savic_ghcb_msr_read"), False),  # built without CONFIG_AMD_SECURE_AVIC
    ("secure-avic", image("savic_probe", "savic_setup"), True),
    ("snp-cpuid-table", image("__pi_snp_cpuid"), True),
    ("snp-no-rom-scan", image("snp_dmi_setup"), True),
    ("snp-vmware-mptable", image(vmware_platform_setup=("cc_platform_has", "_printk")), True),
    ("snp-vmware-mptable", image(vmware_platform_setup=("_printk",)), False),
    ("ia32-entry", image("entry_INT80_compat"), True),
    ("ia32-entry", {}, False),
    ("int80-external-check", image(do_int80_emulation=("panic", "irqentry_enter")), True),
    ("int80-external-check", image(do_int80_emulation=("irqentry_enter",)), False),
    ("int80-external-check", image("entry_INT80_compat"), False),
    ("ia32-disabled-under-sev", image("sme_early_init", "do_int80_emulation", "__ia32_enabled"), True),
    ("ia32-disabled-under-sev", image("sme_early_init", "entry_INT80_compat"), False),
    ("psc-progress-check", image("vmgexit_psc"), True),
    ("psc-progress-check", image(set_pages_state=("sev_es_ghcb_hv_call",)), True),
    ("psc-progress-check", {}, False),
    ("tdx-in-kernel-mmio-check", image(*TD, handle_mmio=CHECK, tdx_handle_virt_exception=("handle_mmio",)), True),
    ("tdx-in-kernel-mmio-check", image(*TD, tdx_handle_virt_exception=CHECK), True),  # inlined
    ("tdx-in-kernel-mmio-check", image(*TD, handle_mmio=(), tdx_handle_virt_exception=("handle_mmio",)), False),
    ("tdx-in-kernel-mmio-check", {}, False),
    ("vc-user-io-check", image(VC, vc_handle_exitcode=CHECK), True),
    ("vc-user-io-check", image(VC, vc_handle_exitcode=(), vc_insn_string_check=CHECK), True),
    ("vc-user-io-check", image(VC, vc_handle_exitcode=("vc_do_mmio",)), False),
    ("vc-user-io-check", image(VC), None),  # the function around it was not seen
    ("tdx-sept-ve-check", image(*TD, tdx_setup=("tdx_panic",)), True),
    ("tdx-sept-ve-check", image(*TD, tdx_setup=HYPERCALL), True),
    (
        "tdx-sept-ve-check",
        image(*TD, tdx_early_init=("tdx_setup",), tdx_setup=("panic",)),
        False,
    ),  # TDCALL wrappers panic on their own
    ("tdx-sept-ve-check", image(*TD, tdx_early_init=HYPERCALL), True),  # inlined
    ("tdx-sept-ve-check", image(*TD, tdx_early_init=("panic",)), None),  # no tdx_setup() to be seen
    ("tdx-notify-off", image(*TD, tdx_setup=("tdg_vm_wr",)), True),
    ("tdx-notify-off", image(*TD, tdx_early_init=("tdx_setup",), tdx_setup=("__tdcall_ret",)), False),
    ("tdx-private-ve-panic", image(*TD, tdx_handle_virt_exception=("panic",)), True),
    ("tdx-private-ve-panic", image(*TD, tdx_handle_virt_exception=()), False),
    ("cc-random-seed", image("cc_random_init", setup_arch=("cc_random_init",)), True),
    ("cc-random-seed", image(setup_arch=("add_device_randomness",)), True),  # inlined by link-time optimisation
    ("cc-random-seed", image(setup_arch=("memblock_add",)), False),
    ("guest-mtrr-forced", image("mtrr_bp_init", kvm_init_platform=("guest_force_mtrr_state",)), True),
    ("guest-mtrr-forced", image("mtrr_bp_init", kvm_init_platform=("mtrr_overwrite_state",)), True),
    ("guest-mtrr-forced", image("mtrr_bp_init", "guest_force_mtrr_state", kvm_init_platform=()), False),  # Hyper-V's
    ("guest-mtrr-forced", image(kvm_init_platform=("guest_force_mtrr_state",)), False),  # an empty inline function
    ("sev-guest-driver", {"symbol.sev_guest.sev_guest_probe": True}, True),
]


@pytest.mark.parametrize(("identifier", "answers", "expected"), SEEN)
def test_the_image_tells(identifier: str, answers: dict[str, Value], expected: bool | None) -> None:
    condition = catalogue().mechanisms[identifier].image

    assert expected is parse(condition)(Kernel(answers, image=True)).value


def test_the_image_is_believed_before_configuration_and_version() -> None:
    mechanism = catalogue().mechanisms["tdx-in-kernel-mmio-check"]
    package: dict[str, Value] = {"config.INTEL_TDX_GUEST": "y", "kernel.version": "6.12.117"}
    unfixed = image(*TD, handle_mmio=(), tdx_handle_virt_exception=("handle_mmio",))

    assert told(mechanism, Kernel({**package, **unfixed}, image=True)) == ("image", False)
    assert told(mechanism, Kernel(package, image=False)) == ("package", True)


@pytest.mark.parametrize(
    ("identifier", "symbol", "fixed", "before"),
    [
        ("tdx-in-kernel-mmio-check", "INTEL_TDX_GUEST", ("6.12", "6.6.54", "6.1.113"), ("6.11", "6.6.53", "6.1.112")),
        ("cc-random-seed", "AMD_MEM_ENCRYPT", ("6.9", "6.6.26", "6.1.85"), ("6.8", "6.6.25", "6.1.84")),
        ("int80-external-check", "IA32_EMULATION", ("6.7", "6.6.7", "6.1.68"), ("6.5", "6.6.6", "6.1.67", "5.10.262")),
        ("ia32-disabled-under-sev", "AMD_MEM_ENCRYPT", ("6.7", "6.6.7", "6.1.68"), ("6.6.6", "6.1.67")),
        ("snp-no-rom-scan", "AMD_MEM_ENCRYPT", ("6.9", "6.7.12", "6.1.84"), ("6.7.11", "6.1.83")),
        (
            "vc-user-io-check",
            "AMD_MEM_ENCRYPT",
            ("6.6", "6.5.9", "6.1.60", "5.10.199"),
            ("6.5.8", "6.1.59", "5.10.198"),
        ),
        ("snp-feature-check", "AMD_MEM_ENCRYPT", ("6.3", "6.1.9"), ("6.1.8", "5.19")),
        ("vc-opcode-check", "AMD_MEM_ENCRYPT", ("6.9",), ("6.8", "6.1.192")),
    ],
)
def test_a_fix_is_dated_by_release_and_stable_release(
    identifier: str, symbol: str, fixed: tuple[str, ...], before: tuple[str, ...]
) -> None:
    mechanism = catalogue().mechanisms[identifier]
    other: dict[str, Value] = {"config.INTEL_TDX_GUEST": "n", "config.AMD_MEM_ENCRYPT": "n"}
    changelog = f"changelog.{identifier.replace('-', '_')}"

    def package(version: str, named: bool | None = None) -> bool | None:
        facts: dict[str, Value] = {**other, f"config.{symbol}": "y", "kernel.version": version}
        if named is not None:
            facts[changelog] = named
        return parse(mechanism.package)(Kernel(facts, image=False)).value

    assert [True] * len(fixed) == [package(version) for version in fixed]
    assert [False] * len(before) == [package(version, named=False) for version in before]
    assert [True] * len(before) == [package(version, named=True) for version in before]
    assert [None] * len(before) == [package(version) for version in before]


def test_a_mechanism_that_no_image_shows_says_why_and_no_other_lacks_a_probe() -> None:
    own = {name for name in catalogue().mechanisms if not catalogue().mechanisms[name].image}

    assert set(NO_IMAGE_SHOWS) <= own
    for identifier, why in NO_IMAGE_SHOWS.items():
        note = catalogue().mechanisms[identifier].note

        assert note.startswith("No image shows it")
        assert why in note


def test_a_mechanism_that_has_titles_asks_the_changelog() -> None:
    for name, mechanism in catalogue().mechanisms_by_fact.items():
        asks = f"changelog.{name}" in parse(mechanism.package).names if mechanism.package else False

        assert bool(mechanism.titles) == asks, name


def test_nothing_that_a_mechanism_tells_is_told_by_version_elsewhere() -> None:
    whole = catalogue()
    texts = [one.holds for one in whole.mitigations.values()] + [one.consumed for one in whole.instances]
    texts += [text for one in whole.attacks.values() for text in (one.affected, one.fixed)]
    texts += [rule.when for one in whole.technologies.values() for rule in one.guest_support]
    texts += [rule.when for one in whole.features.values() for rule in one.off]

    assert [text for text in texts if "kernel.version" in parse(text).names] == []
