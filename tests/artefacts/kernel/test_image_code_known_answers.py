"""The text of distribution kernels against a whole sweep by capstone, and the counts that were measured before.

The packages are found in the directory that HOSTPROOF_KERNELS names. A sweep by capstone takes some ten seconds an image.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import capstone
import pytest

from hostproof.artefacts.kernel.image_answers import image_answers
from hostproof.artefacts.kernel.image_code import Functions, holder, image_sites, starts_in
from hostproof.artefacts.kernel.instructions import MNEMONICS, sweep
from hostproof.artefacts.kernel.kallsyms import read_kallsyms
from hostproof.artefacts.kernel.questions import Interface, Questions
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import Vmlinux, read_vmlinux
from hostproof.artefacts.kernel.x86_lengths import lengths
from tests.artefacts.kernel.driver_packages import CLOUD_61, STOCK_61, image_of, package

pytestmark = pytest.mark.slow

STOCK_510 = "linux-image-5.10.0-*-amd64_5.10.*_amd64.deb"
STOCK_612 = "linux-image-6.12.*+deb13-amd64-unsigned_*_amd64.deb"
STOCK_72 = "linux-binary-unsigned-7.2.*-amd64_*_amd64.deb"
ARM_612 = "linux-image-6.12.*+deb13-arm64-unsigned_*_arm64.deb"
UNKNOWN_TO_CAPSTONE = {
    "0f01e8": "setssbsy",
    "f20f00f7": "lkgs",
    "0f01fe": "invlpgb",
    "0f01ff": "tlbsync",
    "f20f01ff": "pvalidate",
    "f30f01fe": "rmpadjust",
    "f20f01fe": "rmpupdate",
    "f30f01ff": "psmash",
    "660f01cc": "tdcall",
    "660f01cd": "seamret",
    "660f01ce": "seamops",
    "0f01c6": "wrmsrns",
    "0f01ca": "clac",
    "f20f01ca": "erets",
    "f30f01ca": "eretu",
    "0f01cf": "encls",
    "c4e278": "ldtilecfg, tilerelease",
    "c4e27b": "tile instructions",
    "f30f38dc": "loadiwkey",
}


def kernel_of(pattern: str) -> tuple[Vmlinux, Symbols]:
    path = package(pattern)
    kernel = read_vmlinux(image_of(path), path.name)
    return kernel, read_kallsyms(kernel)


def text_of(kernel: Vmlinux, symbols: Symbols) -> tuple[int, bytes, list[int]]:
    section = kernel.section(".text")
    assert section
    return section.address, bytes(kernel.bytes_of(section)), starts_in(section, Functions(symbols)).tolist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(
            STOCK_61,
            {
                "in": (226, 86),
                "out": (466, 106),
                "rdmsr": (41, 30),
                "cpuid": (36, 18),
                "rdtsc": (81, 48),
                "vmmcall": (2, 2),  # with vmgexit, which capstone calls vmmcall too: 16 in 15
                "vmgexit": (14, 13),
                "vmcall": (5, 4),
                "tdcall": (0, 0),
            },
            id="stock",
        ),
        pytest.param(
            CLOUD_61,
            {
                "in": (203, 78),
                "out": (377, 95),
                "rdmsr": (31, 22),
                "cpuid": (24, 12),
                "rdtsc": (79, 45),
                "vmmcall": (2, 2),
                "vmgexit": (14, 13),
                "vmcall": (5, 4),
                "tdcall": (0, 0),
            },
            id="cloud",
        ),
        pytest.param(STOCK_612, {"tdcall": (3, 3)}, id="6.12"),
        pytest.param(STOCK_72, {"tdcall": (3, 3)}, id="7.2"),
    ],
)
def test_instructions_in_the_text_are_as_many_as_were_measured(name: str, expected: dict[str, tuple[int, int]]) -> None:
    kernel, symbols = kernel_of(name)
    address, code, starts = text_of(kernel, symbols)

    (swept,) = sweep([(code, starts)], kernel.architecture, tuple(expected))
    functions = Functions(symbols)
    actual = {}
    for mnemonic, offsets in swept.found.items():
        holders = {each for offset in offsets if (each := holder(functions, address + offset))}
        actual[mnemonic] = (len(offsets), len(holders))

    assert expected == actual
    assert swept.undecoded <= 1  # `ljmp` of the 32-bit entry for PVH


@pytest.mark.parametrize("name", [STOCK_510, STOCK_61, STOCK_612, STOCK_72])
def test_a_sweep_agrees_with_capstone_on_every_instruction(name: str) -> None:
    kernel, symbols = kernel_of(name)
    address, code, starts = text_of(kernel, symbols)
    steps = lengths(code).tobytes()
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.skipdata = True
    expected: Counter[str] = Counter()
    wrong = []
    total = 0
    for begin, end in pairwise([*starts, len(code)]):
        theirs = {}
        for at, size, mnemonic, _ in disassembler.disasm_lite(code[begin:end], begin):
            theirs[at] = (size, mnemonic)
            expected[mnemonic.rpartition(" ")[2]] += 1
        total += len(theirs)
        position = begin
        while position < end:
            size, mnemonic = theirs.get(position, (0, ""))
            own = steps[position]
            if size not in (0, own or 1) and position + own <= end and not excused(code[position:], mnemonic, own):
                wrong.append((code[position : position + 8].hex(), mnemonic, own, str(symbols.at(address + position))))
            position += own or 1

    assert not wrong
    assert total > 3_000_000
    (swept,) = sweep([(code, starts)], "x86_64", ("in", "out", "rdmsr", "wrmsr", "cpuid", "rdtsc", "ud2", "rdrand"))
    assert {name: len(found) for name, found in swept.found.items()} == {name: expected[name] for name in swept.found}


def excused(code: bytes, mnemonic: str, own: int) -> bool:
    """Whether capstone is known to be wrong, or not to know: UD1 has a ModRM byte (Intel SDM volume 2, UD)."""
    if mnemonic == "ud1":
        return own > 2
    return mnemonic == ".byte" and code[:4].hex().startswith(tuple(UNKNOWN_TO_CAPSTONE))


@pytest.mark.parametrize("name", [CLOUD_61, STOCK_72])
def test_calls_are_those_that_capstone_sees(name: str) -> None:
    kernel, symbols = kernel_of(name)
    address, code, starts = text_of(kernel, symbols)
    wanted = {each.address for each in symbols.functions() if each.name.startswith("pci_read_config_")}
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.skipdata = True
    expected: list[str] = []
    functions = Functions(symbols)
    for begin, end in pairwise([*starts, len(code)]):
        for at, _, mnemonic, operands in disassembler.disasm_lite(code[begin:end], begin):
            if mnemonic[0] in "cj" and operands.startswith("0x") and int(operands, 16) + address in wanted:
                expected.append(holder(functions, address + at))

    text = Vmlinux(
        kernel.name, kernel.architecture, kernel.data, "", tuple(s for s in kernel.sections if s.name == ".text")
    )
    sites = image_sites(text, symbols, [Interface("pci", ("pci_read_config_*",))])["pci"]

    outside = [each for each in expected if not each.startswith("pci_read_config_")]
    assert (len(outside), tuple(sorted(set(outside)))) == (sites.count, sites.functions)
    assert sites.count > 100


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        (
            STOCK_61,
            {
                "instruction.tdcall": False,
                "instruction.vmgexit": True,
                "symbol.tdx_early_init": False,
                "symbol.sev_es_terminate": True,
                "parameter.random.trust_cpu": True,
                "parameter.pci": True,
                "parameter.nokaslr": None,
                "initcall.acpi_init": True,
                "initcall.con_init": True,
                "section.init.text": True,
            },
        ),
        (
            STOCK_72,
            {
                "instruction.tdcall": True,
                "symbol.tdx_early_init": True,
                "symbol.snp_init": True,
                "initcall.snp_init_platform_device": True,
                "parameter.random.trust_cpu": True,
            },
        ),
        (
            ARM_612,
            {
                "instruction.hvc": True,
                "instruction.rdmsr": False,
                "instruction.mrs_rndr": True,
                "symbol.setup_arch": True,
                "parameter.nokaslr": True,
                "initcall.acpi_init": True,
            },
        ),
    ],
)
def test_answers_of_distribution_kernels(name: str, facts: dict[str, bool | None]) -> None:
    kernel, symbols = kernel_of(name)

    answers = image_answers(kernel, symbols, Questions(facts=frozenset(facts)), None)

    assert facts == {fact: answer.value for fact, answer in answers.items()}
    assert all(answer.offset is not None for answer in answers.values() if answer.value)


def test_the_stock_image_is_searched_within_its_share_of_the_budget() -> None:
    kernel, symbols = kernel_of(STOCK_61)
    interfaces = [
        Interface("pci-config", ("pci_read_config_*", "pci_find_capability")),
        Interface("port-read", ("acpi_os_read_port",), ("in", "ins")),
        Interface("msr-read", ("native_read_msr*",), ("rdmsr",)),
        Interface("cpuid", (), ("cpuid",)),
    ]
    questions = Questions(facts=frozenset(f"instruction.{name}" for name in MNEMONICS["x86_64"] if name != "in"))
    image_sites(kernel, symbols, interfaces)  # imports
    start = time.process_time()

    image_sites(kernel, symbols, interfaces)
    image_answers(kernel, symbols, questions, None)

    assert time.process_time() - start < 2.0  # 0.5 s on an idle core
