"""Mechanisms of boot, virtio, ACPI and legacy code on real kernels: image and package must say the same, each by itself.

The packages are found in the directory that HOSTPROOF_KERNELS names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.knowledge.test_mechanisms_boot import OURS

from hostproof.artefacts.kernel.read import read_kernel
from hostproof.cli.kernels import questions
from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import parse
from hostproof.ledger.environment import VmFacts

pytestmark = pytest.mark.slow

KERNELS = {
    "5.10c": "linux-image-5.10.0-46-cloud-amd64_5.10.262*",
    "6.1": "linux-image-6.1.0-55-amd64-unsigned_6.1.192*",
    "6.12": "linux-image-6.12.117+deb13-amd64-unsigned_*",
    "6.12a": "linux-image-6.12.117+deb13-arm64-unsigned_*",
}
X86_LEGACY = {"serial8250-isa", "i8042", "rtc_cmos", "i8253-pit", "i8259-pic", "pci-direct", "early-quirks", "dmi_scan"}
HAVE = {  # what each kernel has by its history, whatever its configuration calls it
    "virtio-split-ring-extra": {"6.1", "6.12", "6.12a"},
    "vmbus-packet-copy": {"6.1", "6.12", "6.12a"},
    "vmbus-isolated-offers": {"6.1", "6.12", "6.12a"},
    "virtio-restricted-memory": {"6.12"},
    "virtio-restricted-memory-sev": {"6.1", "6.12"},
    "acpi-oem0": {"6.12", "6.12a"},
    "acpi-cedt": {"6.1", "6.12", "6.12a"},
    "cc-blob": {"6.1", "6.12"},
    "aml-cmos": {"5.10c", "6.1", "6.12"},
    "acpi-gpe": {"5.10c", "6.1", "6.12"},
    "pci-early": {"5.10c", "6.1", "6.12"},
    "tdx-panic": {"6.12"},
    "unaccepted-memory": {"6.12"},
}


@pytest.fixture(scope="module", params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Iterator[tuple[str, VmFacts]]:
    folder = os.environ.get("HOSTPROOF_KERNELS")
    found = sorted(Path(folder).glob(KERNELS[request.param])) if folder else []
    if not found:
        pytest.skip("no kernel packages: run `make kernels` and set HOSTPROOF_KERNELS")
    whole = catalogue()
    facts = read_kernel(found[-1], questions=questions(whole))
    use = whole.uses["third-party-server"]
    yield (
        request.param,
        VmFacts(whole.technologies["kvm"], use, whole.options, kernel=facts, mechanisms=whole.mechanisms_by_fact),
    )


def test_image_and_package_say_the_same_wherever_both_speak(kernel: tuple[str, VmFacts]) -> None:
    facts, apart, spoke = kernel[1], [], 0
    for mechanism in OURS:
        if not mechanism.image:
            continue
        image, package = (parse(text)(facts).value for text in (mechanism.image, mechanism.package))
        if image is not None and package is not None:
            spoke += 1
            if image is not package:
                apart.append((mechanism.id, image, package))

    assert apart == []
    assert spoke > 130


def test_each_kernel_has_what_its_history_says(kernel: tuple[str, VmFacts]) -> None:
    name, facts = kernel
    told = {one: facts.fact(f"mechanism.{one.replace('-', '_')}").value for one in HAVE}

    assert {one: name in kernels for one, kernels in HAVE.items()} == told


def test_legacy_code_runs_where_its_architecture_is(kernel: tuple[str, VmFacts]) -> None:
    name, facts = kernel
    present = {module for module, code in catalogue().legacy_code.items() if parse(code.present)(facts).value}

    assert ({"dmi_scan"} if name == "6.12a" else X86_LEGACY) == X86_LEGACY & present
    assert not present & {
        "it87",
        "nct6775",
        "w83627hf_wdt",
        "pata_legacy",
        "tpm_nsc",
    }  # loadable, and nothing loads them
