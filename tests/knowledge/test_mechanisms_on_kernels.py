"""Every probe of a mechanism against real kernels: the image must say what the history of the source says.

The table is written from configurations and from the commits and stable releases that the catalogue cites, not from
what the probes say. The packages are found in the directory that HOSTPROOF_KERNELS names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.artefacts.kernel.read import read_kernel
from hostproof.cli.kernels import questions
from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import parse
from hostproof.ledger.environment import VmFacts

pytestmark = pytest.mark.slow

KERNELS = {
    "5.10c": ("linux-image-5.10.0-46-cloud-amd64_5.10.262*",),
    "6.1c": ("linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192*",),
    "6.1": ("linux-image-6.1.0-55-amd64-unsigned_6.1.192*",),
    "6.12c": ("linux-image-6.12.117+deb13-cloud-amd64-unsigned_*",),
    "7.2c": ("linux-binary-unsigned-7.2.13+deb14-cloud-amd64_*", "linux-modules-7.2.13+deb14-cloud-amd64_*"),
    "6.12a": ("linux-image-6.12.117+deb12-cloud-arm64-unsigned_*",),
    "7.2a": ("linux-binary-unsigned-7.2.13+deb14-cloud-arm64_*", "linux-modules-7.2.13+deb14-cloud-arm64_*"),
}
"""Debian's kernels, with their modules where these are a package of their own; `c` cloud, `a` cloud for arm64."""

TABLE = """
                            5.10c 6.1c 6.1  6.12c 7.2c 6.12a 7.2a
tdx-guest                   -     -    -    y     y    -     -
sev-guest                   y     y    y    y     y    -     -
sev-es-guest                y     y    y    y     y    -     -
snp-guest                   -     y    y    y     y    -     -
sev-early-checks            y     y    y    y     y    -     -
cca-guest                   -     -    -    -     -    -     y
pkvm-guest                  -     -    -    -     -    -     -
snp-cpuid-table             -     y    y    y     y    -     -
snp-feature-check           -     y    y    y     y    -     -
ghcb-exception-check        y     y    y    y     y    -     -
psc-progress-check          -     y    y    y     y    -     -
sev-guest-driver            -     -    y    y     y    -     -
tdx-guest-driver            -     -    -    y     y    -     -
tdx-reduce-ve               -     -    -    -     y    -     -
tdx-private-pv-pages        -     -    -    y     y    -     -
tdx-tsc-reliable            -     -    -    y     y    -     -
secure-tsc                  -     -    -    -     y    -     -
snp-debug-swap              -     -    -    y     y    -     -
cc-random-seed              -     y    y    y     y    -     -
guest-mtrr-forced           -     -    -    y     y    -     -
x2apic                      y     y    y    y     y    -     -
bootloader-seed-default     -     -    -    -     -    -     -
ia32-emulation-option       -     -    -    y     y    -     -
machine-check-code          -     -    y    y     y    -     -
mtrr-code                   y     y    y    y     y    -     -
amd-cpu-code                y     y    y    y     y    -     -
kvm-guest                   y     y    y    y     y    -     -
hyperv-guest                y     y    y    y     y    y     y
performance-code            y     y    y    y     y    y     y
thermal-vector-code         -     y    y    y     y    -     -
rapl-code                   y     y    y    y     y    -     -
msr-device                  y     y    y    y     y    -     -
xen-guest                   y     y    y    y     y    y     y
vmware-guest                y     y    y    y     y    -     -
smccc-discovery             -     -    -    -     -    y     y
ia32-entry                  y     y    y    y     y    -     -
int80-external-check        -     y    y    y     y    -     -
ia32-disabled-under-sev     -     y    y    y     y    -     -
secure-avic                 -     -    -    -     -    -     -
vc-opcode-check             -     -    -    y     y    -     -
vc-user-io-check            y     y    y    y     y    -     -
tdx-sept-ve-check           -     -    -    y     y    -     -
tdx-notify-off              -     -    -    y     y    -     -
tdx-private-ve-panic        -     -    -    y     y    -     -
unaccepted-memory           -     -    -    y     y    -     -
sdei-code                   -     -    -    -     -    y     y
hyperv-timer                y     y    y    y     y    -     -
acpi-memory-hotplug         y     y    y    y     y    y     y
acpi-cpu-hotplug            y     y    y    y     y    y     y
acpi-pci-hotplug            y     y    y    y     y    y     y
pcie-native-hotplug         y     y    y    y     y    y     y
shpc-hotplug                -     -    y    -     -    -     -
virtio-mem-driver           y     y    y    y     y    y     y
virtio-balloon-driver       y     y    y    y     y    y     y
hyperv-balloon-driver       y     y    y    y     y    y     y
xen-balloon                 y     y    y    y     y    y     y
acpi-ioapic-hotplug         y     y    y    y     y    -     -
suspend                     y     y    y    y     y    y     y
hibernation                 y     y    y    y     y    y     y
bounce-buffers              y     y    y    y     y    y     y
restricted-dma-pool         -     -    -    -     -    -     -
arm-stolen-time             -     -    -    -     -    y     y
tdx-in-kernel-mmio-check    -     -    -    y     y    -     -
snp-no-rom-scan             -     y    y    y     y    -     -
snp-vmware-mptable          -     -    -    y     y    -     -
pci-code                    y     y    y    y     y    y     y
legacy-uarts                y     y    y    y     y    y     y
virtio-rng-driver           y     y    y    y     y    y     y
acpi-interpreter            y     y    y    y     y    y     y
arm-arch-timer              -     -    -    -     -    y     y
hpet-code                   y     y    y    y     y    -     -
pm-timer-code               y     y    y    y     y    -     -
ptp-kvm-driver              y     y    y    y     y    y     y
ptp-vmware-driver           -     y    y    y     y    -     -
ptp-vmclock-driver          -     -    -    -     y    -     y
hyperv-utils-driver         y     y    y    y     y    y     y
efi-rtc-driver              -     -    -    -     -    y     y
pl031-driver                -     -    -    -     -    y     y
hardware-rng-core           y     y    y    y     y    y     y
tpm-rng                     -     -    y    -     -    -     -
vmgenid-driver              -     -    y    y     y    y     y
"""
"""Whether each kernel has the mechanism: `y`, `-`, by its history and configuration."""


CHANGELOG = {
    "5.10c": {"vc_user_io_check"},
    "6.1c": {
        *("cc_random_seed", "ia32_disabled_under_sev", "int80_external_check", "snp_feature_check", "snp_no_rom_scan"),
        *("tdx_in_kernel_mmio_check", "vc_user_io_check"),
    },
    "6.12c": {"guest_mtrr_forced", "snp_feature_check", "snp_no_rom_scan", "snp_vmware_mptable", "vc_user_io_check"},
}
"""Mechanisms that the package's changelog names: what a series took from stable releases, its own and older ones."""


def expected() -> dict[str, dict[str, bool]]:
    lines = [line.split() for line in TABLE.strip().splitlines()]
    return {name: dict(zip(lines[0], (mark == "y" for mark in marks), strict=True)) for name, *marks in lines[1:]}


@pytest.fixture(scope="module", params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Iterator[tuple[str, KernelFacts]]:
    folder = os.environ.get("HOSTPROOF_KERNELS")
    if not folder:
        pytest.skip("no kernel packages: run `make kernels` and set HOSTPROOF_KERNELS")
    found = [sorted(Path(folder).glob(pattern)) for pattern in KERNELS[request.param]]
    if not all(found):
        pytest.skip(f"{' and '.join(KERNELS[request.param])} not in {folder}")
    image, *modules = [paths[-1] for paths in found]
    known = questions(catalogue())
    yield request.param, read_kernel(image, modules=modules[0] if modules else None, questions=known)


def facts_of(kernel: KernelFacts) -> VmFacts:
    whole = catalogue()
    use = whole.uses["third-party-server"]
    return VmFacts(whole.technologies["kvm"], use, whole.options, kernel=kernel, mechanisms=whole.mechanisms_by_fact)


def test_the_image_says_what_the_history_of_the_source_says(kernel: tuple[str, KernelFacts]) -> None:
    name, facts = kernel[0], facts_of(kernel[1])
    wrong, silent = [], []
    for identifier, truths in expected().items():
        mechanism = catalogue().mechanisms[identifier]
        if not mechanism.image:
            continue
        value = parse(mechanism.image)(facts).value
        if value is None and not _asks_a_module_that_is_not_there(mechanism.image, kernel[1]):
            silent.append(identifier)
        elif value is not None and value is not truths[name]:
            wrong.append((identifier, value))

    assert (wrong, silent) == ([], [])


def test_the_package_says_the_same_where_it_is_asked(kernel: tuple[str, KernelFacts]) -> None:
    name, facts = kernel[0], facts_of(kernel[1])
    if kernel[1].config is None:
        pytest.skip("the configuration is in a package of its own")
    told = {one: facts.fact(f"mechanism.{one.replace('-', '_')}").value for one in expected()}
    package = {one: parse(catalogue().mechanisms[one].package)(facts).value for one in expected()}

    assert {one: truths[name] for one, truths in expected().items()} == told == package


def test_the_changelog_names_the_fixes_that_stable_releases_brought(kernel: tuple[str, KernelFacts]) -> None:
    name, facts = kernel
    if name not in CHANGELOG:
        pytest.skip("its changelog is in a package of its own, or for another architecture")
    ours = {one.replace("-", "_") for one in expected()}
    named = {
        fact.removeprefix("changelog.")
        for fact, answer in facts.answers.items()
        if fact.startswith("changelog.") and answer.value is True
    }

    assert CHANGELOG[name] == named & ours


def test_the_table_names_every_mechanism_of_processor_events_and_devices_once() -> None:
    lines = [line.split()[0] for line in TABLE.strip().splitlines()[1:]]

    assert len(lines) == len(set(lines))
    assert set(lines) <= set(catalogue().mechanisms)


def _asks_a_module_that_is_not_there(image: str, kernel: KernelFacts) -> bool:
    """Whether the probe names a module that is neither loadable nor built in: then nobody answers for it."""
    modules = {name.split(".")[1] for name in parse(image).names if name.count(".") == 2}
    there = {module.name for module in kernel.modules or ()} | set(kernel.builtin or ())
    return bool(modules - there)
