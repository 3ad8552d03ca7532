"""Sites of interfaces in modules: which relocations and instructions count, whose they are, and what is malformed."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel.elf import read_elf
from hostproof.artefacts.kernel.facts import Sites
from hostproof.artefacts.kernel.module import ModuleFile, read_module, read_modules
from hostproof.artefacts.kernel.module_code import read_code
from hostproof.artefacts.kernel.questions import Interface, Questions
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive import samples as archives
from tests.artefacts.kernel import module_samples as make
from tests.artefacts.kernel.module_samples import Reloc, build, function, text, thing

CALL = b"\xe8\0\0\0\0"
PCI = Interface("pci-config", ("pci_read_config_dword", "pci_read_config_word"))
RINGS = Interface("virtqueue", ("virtqueue_get_buf*",))
BOTH = Interface("either", ("virtqueue_get_buf_ctx", "virtqueue_*"))
PORTS = Interface("port-read", ("inb_wrapper",), ("in",))
QUESTIONS = Questions((PCI, RINGS))


def read(data: bytes, questions: Questions = QUESTIONS) -> ModuleFile:
    return read_module(data, "drivers/a/sample.ko", "k.deb!sample.ko", questions=questions)


def sites(*items: make.Item, questions: Questions = QUESTIONS) -> dict[str, Sites]:
    return read(build(items), questions).module.sites


def test_each_call_of_an_imported_interface_function_is_a_site_of_the_function_it_is_in() -> None:
    probe = function("probe", CALL * 2, Reloc(1, "pci_read_config_dword"), Reloc(6, "pci_read_config_word"))
    poll = function("poll", CALL * 2, Reloc(1, "virtqueue_get_buf_ctx"), Reloc(6, "kfree"))

    assert sites(probe, poll) == {"pci-config": Sites(2, ("probe",)), "virtqueue": Sites(1, ("poll",))}


def test_functions_go_by_their_name_in_the_source() -> None:
    parts = [
        function("poll.isra.0", CALL, Reloc(1, "virtqueue_get_buf")),
        function("poll.isra.0.cold", CALL, Reloc(1, "virtqueue_get_buf"), section=".text.unlikely"),
        function("a_poll.constprop.12", CALL, Reloc(1, "virtqueue_get_buf")),
    ]

    assert sites(*parts) == {"virtqueue": Sites(3, ("a_poll", "poll"))}


def test_code_for_initialisation_counts_too() -> None:
    init = function("init_module", CALL, Reloc(1, "pci_read_config_word"), section=".init.text")

    assert sites(function("f", CALL), init) == {"pci-config": Sites(1, ("init_module",))}


def test_an_alias_of_a_function_gives_way_to_its_own_name() -> None:
    data = build(
        [function("real_init", CALL, Reloc(1, "pci_read_config_word")), text(b"\0"), function("init_module", CALL)]
    )
    code = read_code(read_elf(data, "x"))
    symbol = code.names(list(range(len(code.position)))).index(b"init_module")
    changed = bytearray(data)
    table = next(section for section in code.elf.sections if section.type == 2)
    changed[table.offset + symbol * 24 + 8 : table.offset + symbol * 24 + 16] = bytes(8)  # both start at 0 now

    assert read(bytes(changed)).module.sites == {"pci-config": Sites(1, ("real_init",))}


def test_a_site_in_code_without_a_function_counts_and_has_none() -> None:
    loose = make.Item("", CALL, (Reloc(1, "virtqueue_get_buf"),), ".altinstr_replacement", make.NOTYPE)

    assert sites(function("f", CALL), loose) == {"virtqueue": Sites(1, ())}


def test_pointers_in_data_are_no_sites() -> None:
    table = thing("ops", bytes(8), Reloc(0, "pci_read_config_dword", 1, 0), section=".rodata")

    assert sites(function("f", CALL), table) == {}


def test_functions_that_the_module_defines_itself_are_no_sites() -> None:
    own = function("virtqueue_get_buf_ctx", CALL)
    caller = function("f", CALL, Reloc(1, "virtqueue_get_buf_ctx"))

    assert sites(own, caller) == {}


def test_one_call_can_be_a_site_of_several_interfaces_and_of_each_once() -> None:
    caller = function("f", CALL, Reloc(1, "virtqueue_get_buf_ctx"))

    assert sites(caller, questions=Questions((RINGS, BOTH))) == {
        "either": Sites(1, ("f",)),
        "virtqueue": Sites(1, ("f",)),
    }


def test_instructions_are_sites_beside_calls() -> None:
    reader = function("inb_it", b"\x66\xba\xf8\x03\xec\xc3")  # mov $0x3f8, %dx; in (%dx), %al; ret
    immediate = function("none", b"\xb8\xec\xec\xec\xec\xc3")  # mov $0xecececec, %eax; ret
    caller = function("f", CALL, Reloc(1, "inb_wrapper"))

    assert sites(reader, immediate, caller, questions=Questions((PORTS,))) == {"port-read": Sites(2, ("f", "inb_it"))}


@pytest.mark.parametrize(
    ("bits", "order", "machine", "kind", "rela"),
    [
        (64, "little", 62, make.PLT32, True),
        (64, "little", 183, make.CALL26, True),
        (64, "big", 22, make.PLT32DBL, True),
        (32, "little", 40, 28, False),  # R_ARM_CALL
        (32, "big", 20, 10, True),  # R_PPC_REL24
    ],
)
def test_any_architecture_gives_sites(bits: int, order: str, machine: int, kind: int, rela: bool) -> None:
    items = [
        function("f", bytes(8), Reloc(4, "pci_read_config_word", kind, 0)),
        function("g", bytes(8), Reloc(0, "pci_read_config_dword", kind, 0), section=".init.text"),
    ]
    data = build(items, bits=bits, order=order, machine=machine, rela=rela)

    assert read(data).module.sites == {"pci-config": Sites(2, ("f", "g"))}


def test_relocations_and_symbols_agree_with_pyelftools() -> None:
    data = build([function("f", CALL * 3, Reloc(1, "a"), Reloc(6, "b", addend=-8)), thing("t", bytes(8))])
    code = read_code(read_elf(data, "x"))
    oracle = ELFFile(io.BytesIO(data))
    table = oracle.get_section_by_name(".symtab")
    lines = oracle.get_section_by_name(".rela.text")

    assert isinstance(lines, RelocationSection)
    assert code.names(list(range(len(code.position)))) == [symbol.name.encode() for symbol in table.iter_symbols()]
    assert list(zip(code.at, code.kind, code.target, code.addend, strict=True)) == [
        (line["r_offset"], line["r_info_type"], line["r_info_sym"], line["r_addend"])
        for line in lines.iter_relocations()
    ]


SAMPLE = build(
    [
        function("f", CALL * 2, Reloc(1, "virtqueue_get_buf"), Reloc(6, "ops", anonymous=True)),
        function("g.cold", CALL, Reloc(1, "f", anonymous=True), section=".text.unlikely"),
        thing("ops", bytes(16)),
        text(b"drivers/a/sample.c\0"),
    ]
)
ASKED = Questions(
    (PCI, RINGS, PORTS),
    frozenset({"symbol.sample.f", "symbol.sample.none", "calls.sample.f", "calls.sample.g", "symbol.f"}),
)


def test_without_questions_nothing_of_this_is_computed() -> None:
    module = read_module(SAMPLE, "sample.ko", "x").module

    assert (module.code_sha256, module.sites, module.sources) == ("", {}, ())
    lines = "import sys; from hostproof.artefacts.kernel.module import read_module; "
    lines += "read_module(sys.stdin.buffer.read(), 'sample.ko', 'x'); print('numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", lines], input=SAMPLE, capture_output=True, check=True)
    assert run.stdout == b"False\n"


def test_packed_modules_and_threads_and_batches_give_the_same() -> None:
    alone = read(SAMPLE, ASKED)
    packed = archives.PACKINGS["zstd"](SAMPLE)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: read(packed, ASKED), range(16)))
    batch = read_modules([(SAMPLE, "drivers/a/sample.ko", "k.deb!sample.ko")] * 3, questions=ASKED)

    assert together == [alone] * 16
    assert batch == [alone] * 3
    assert alone.module.sources == ("drivers/a/sample.c",)


def test_modules_of_several_architectures_can_be_read_at_once() -> None:
    ports = Questions((PORTS,))
    intel = build([function("f", b"\xec\xc3")])
    arm = build([function("g", b"\xec\xc3\0\0")], machine=183)
    read_at_once = read_modules([(arm, "a.ko", "a"), (intel, "b.ko", "b")], questions=ports)

    assert [file.module.sites for file in read_at_once] == [{}, {"port-read": Sites(1, ("f",))}]


def header(number: int) -> int:
    """Where the header of a section of SAMPLE stands."""
    return int.from_bytes(SAMPLE[40:48], "little") + number * 64


def section(name: str) -> int:
    elf = read_elf(SAMPLE, "x")
    return next(index for index, each in enumerate(elf.sections) if elf.section_name(each) == name.encode())


def changed(position: int, new: bytes) -> bytes:
    return SAMPLE[:position] + new + SAMPLE[position + len(new) :]


def rows(name: str) -> int:
    return read_elf(SAMPLE, "x").sections[section(name)].offset


def malformed() -> dict[str, tuple[bytes, str]]:
    symtab, rela, code = (header(section(name)) for name in (".symtab", ".rela.text", ".text"))
    size, link = 32, 40
    return {
        "a symbol table that is no multiple": (changed(symtab + size, b"\x31"), "a symbol table of 49 bytes"),
        "names in a section that is not there": (changed(symtab + link, b"\xfe"), "names in section 254"),
        "a symbol table past the end": (changed(symtab + size, struct.pack("<Q", 24 << 20)), "runs past the end"),
        "relocations that are no multiple": (changed(rela + size, b"\x2f"), "relocations of 47 bytes"),
        "relocations past the end": (changed(rela + size, struct.pack("<Q", 24 << 40)), "relocations of"),
        "a relocation outside its section": (
            changed(rows(".rela.text"), struct.pack("<Q", 1 << 63)),
            "a relocation at",
        ),
        "a relocation against no symbol": (changed(rows(".rela.text") + 12, b"\xff\xff"), "against symbol 65535"),
        "a name outside the names": (changed(rows(".symtab") + 24 * 8, b"\xff\xff\xff\x7f"), "symbol's name"),
        "code past the end": (changed(code + size, struct.pack("<Q", 1 << 62)), "overlap"),
    }


@pytest.mark.parametrize("name", malformed())
def test_malformed_symbols_and_relocations_are_refused(name: str) -> None:
    data, message = malformed()[name]

    with pytest.raises(InputError, match=message) as caught:
        read(data, ASKED)
    assert caught.value.place is not None
    assert caught.value.place.artefact == "k.deb!sample.ko"


def test_sections_of_code_that_overlap_are_refused() -> None:
    items = [function(f"f{number}", bytes(64), section=f".init.text{number}") for number in range(200)]
    data = bytearray(build(items))
    table = int.from_bytes(data[40:48], "little")
    for number in range(1, 201):
        data[table + number * 64 + 24 : table + number * 64 + 40] = struct.pack("<QQ", 0, len(data) // 2)

    with pytest.raises(InputError, match="executable sections overlap"):
        read(bytes(data))


def test_names_that_overlap_do_not_take_memory() -> None:
    """Twenty thousand imports, whose names are all the tail of one long name: 30 MB of names in a small file."""
    count = 20_000
    plain = build([function("f", CALL, Reloc(1, "a" * 1600))], symbols_first=[f"b{number}" for number in range(count)])
    elf = read_elf(plain, "x")
    table = next(section for section in elf.sections if section.type == 2)
    name = plain.index(b"a" * 1600) - elf.sections[table.link].offset
    data = bytearray(plain)
    for number in range(count):
        struct.pack_into("<I", data, table.offset + number * 24, name + number % 100)
    code = read_code(read_elf(bytes(data), "x"))

    with pytest.raises(InputError, match="20000 symbols that overlap"):
        code.names(range(count))


@settings(max_examples=300)
@given(st.data())
def test_a_changed_module_gives_facts_or_an_error(data: st.DataObject) -> None:
    raw = bytearray(SAMPLE)
    areas = [
        (0, 64),
        (header(0), len(SAMPLE)),
        (rows(".symtab"), rows(".strtab")),
        (rows(".rela.text"), rows(".symtab")),
    ]
    for _ in range(data.draw(st.integers(1, 6))):
        low, high = data.draw(st.sampled_from([*areas, (0, len(SAMPLE))]))
        raw[data.draw(st.integers(low, high - 1))] = data.draw(
            st.sampled_from([0, 1, 2, 3, 4, 8, 24, 0x7F, 0x80, 0xFE, 0xFF])
        )
    try:
        file = read(bytes(raw), ASKED)
    except HostproofError as error:
        assert error.place is not None
    else:
        assert len(file.module.code_sha256) == 64
        assert all(sites.count >= len(sites.functions) for sites in file.module.sites.values())
