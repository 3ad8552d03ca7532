from __future__ import annotations

import struct
import time
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel import driver_structures
from hostproof.artefacts.kernel.btf import find_btf, read_btf
from hostproof.artefacts.kernel.builtin import read_builtin_aliases, read_module_list
from hostproof.artefacts.kernel.driver_structures import built_in_drivers
from hostproof.artefacts.kernel.facts import ImageDriver
from hostproof.artefacts.kernel.kallsyms import read_kallsyms
from hostproof.artefacts.kernel.match import bus
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import Vmlinux, read_vmlinux
from hostproof.errors import HostproofError, InputError
from tests.artefacts.kernel.driver_packages import CLOUD_61, STOCK_61, image_of, list_of, package
from tests.artefacts.kernel.driver_samples import (
    DATA,
    TEXT,
    Sample,
    call,
    initcall,
    number,
    point,
    point_relative,
    raw,
    types,
)
from tests.artefacts.kernel.id_table_layouts import packed

ANY = 0xFFFFFFFF
BTF = types()
VIRTIO_PCI = packed("pci", vendor=0x1AF4, device=ANY, subvendor=ANY, subdevice=ANY)


def base(architecture: str = "x86_64") -> Sample:
    """A kernel with what registers drivers, two probe functions, and a PCI driver that nothing registers yet."""
    sample = Sample(architecture)
    for name in (
        "__pci_register_driver",
        "__platform_driver_register",
        "__platform_driver_probe",
        "__platform_register_drivers",
        "__xenbus_register_frontend",
        "__xenbus_register_backend",
        "acpi_scan_add_handler",
        "first_probe",
        "second_probe",
    ):
        sample.function(name, raw(b"\xc3" if architecture == "x86_64" else struct.pack("<I", 0xD65F03C0)))
    sample.data("text", b"virtio-pci\0")
    sample.data("modname", b"virtio-pci\0")
    sample.data("ids", VIRTIO_PCI + packed("pci"))
    sample.structure("pci_driver", "virtio_pci_driver", name="text", id_table="ids", probe="first_probe")
    return sample


def drivers(
    sample: Sample, *, complete: bool = True, builtin: tuple[str, ...] = ()
) -> tuple[list[ImageDriver], dict[str, str]]:
    found, reasons = built_in_drivers(*sample.build(complete=complete), BTF, builtin)
    return list(found), {name: reason for name, reason in reasons.items() if reason}


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("jump", [False, True])
def test_a_driver_is_found_by_the_call_that_registers_it(architecture: str, jump: bool) -> None:
    sample = base(architecture)
    sample.function("virtio_pci_init", point(0, "virtio_pci_driver"), call("__pci_register_driver", jump=jump))
    initcall(sample, "virtio_pci", "virtio_pci_init")
    kernel, _ = sample.build()
    found, reasons = drivers(sample)

    assert found == [
        ImageDriver(
            "pci",
            "virtio-pci",
            "virtio_pci",
            "virtio_pci_driver",
            kernel.offset_of(sample.addresses["virtio_pci_driver"]) or 0,
            "first_probe",
            ("pci:v00001AF4d*sv*sd*bc*sc*i*",),
        )
    ]
    assert reasons == {}


def test_an_address_relative_to_the_instruction_is_followed() -> None:
    sample = base()
    sample.function("init", point_relative(0, "virtio_pci_driver"), call("__pci_register_driver"))

    assert [driver.structure for driver in drivers(sample)[0]] == ["virtio_pci_driver"]


def test_without_symbols_of_data_a_registered_driver_is_found_and_has_no_symbol() -> None:
    sample = base()
    sample.function(
        "init", point(0, "virtio_pci_driver"), point(2, "modname"), call("__pci_register_driver"), raw(b"\xc3")
    )
    found, reasons = drivers(sample, complete=False)

    assert [(driver.name, driver.module, driver.structure) for driver in found] == [("virtio-pci", "virtio_pci", "")]
    assert reasons == {
        "acpi": "kallsyms hold no data: a scan handler that inlined code adds is not told",
        "of": "kallsyms hold no data: entries of OF_DECLARE are not told",
    }


def test_a_driver_that_no_call_registers_is_found_by_its_shape() -> None:
    found, _ = drivers(base(), builtin=("virtio_pci",))

    assert [(driver.name, driver.module, driver.probe) for driver in found] == [
        ("virtio-pci", "virtio_pci", "first_probe")
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"probe": TEXT + 1},
        {"probe": DATA},
        {"probe": 0},
        {"id_table": 0},
        {"id_table": "text"},
        {"id_table": TEXT},
        {"name": TEXT - 8},
        {"name": 0},
        {"driver__bus": DATA},
        {"driver__p": DATA},
    ],
)
def test_what_only_looks_like_a_driver_is_none(changes: dict[str, str | int]) -> None:
    sample = base()
    del sample.objects["virtio_pci_driver"], sample.addresses["virtio_pci_driver"]
    members: dict[str, str | int] = {"name": "text", "id_table": "ids", "probe": "first_probe"}
    sample.structure("pci_driver", "virtio_pci_driver", **{**members, **changes})

    assert drivers(sample)[0] == []


def test_a_driver_in_the_middle_of_another_object_is_none() -> None:
    sample = base()
    del sample.addresses["virtio_pci_driver"]

    assert drivers(sample)[0] == []


def test_a_driver_without_a_table_counts_where_it_is_registered() -> None:
    sample = base()
    sample.structure("platform_driver", "serial_driver", driver__name="text", probe="second_probe")
    unregistered = drivers(sample)[0]
    sample.function("init", point(0, "serial_driver"), call("__platform_driver_register"))

    assert "platform" not in [driver.bus for driver in unregistered]
    assert ("platform", "virtio-pci", "second_probe", ()) in [
        (driver.bus, driver.name, driver.probe, driver.aliases) for driver in drivers(sample)[0]
    ]


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_the_probe_function_may_be_given_with_the_call(architecture: str) -> None:
    sample = base(architecture)
    sample.structure("platform_driver", "keyboard", driver__name="text")
    sample.function("init", point(0, "keyboard"), point(1, "second_probe"), call("__platform_driver_probe"))

    assert [driver.probe for driver in drivers(sample)[0] if driver.bus == "platform"] == ["second_probe"]


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_an_array_of_drivers_is_registered_at_once(architecture: str) -> None:
    sample = base(architecture)
    for name in ("one", "two"):
        sample.structure("platform_driver", name, driver__name="text", probe="second_probe")
    sample.data("array", lambda made: struct.pack("<QQ", made.addresses["one"], made.addresses["two"]))
    sample.function("init", point(0, "array"), number(1, 2), call("__platform_register_drivers"))
    initcall(sample, "both", "init")

    assert [(driver.structure, driver.module) for driver in drivers(sample)[0] if driver.bus == "platform"] == [
        ("one", "both"),
        ("two", "both"),
    ]


def test_device_tree_and_acpi_tables_of_a_platform_driver_are_read() -> None:
    sample = base()
    sample.data("of_ids", packed("of", compatible="a,b") + packed("of"), 512)
    sample.data("acpi_ids", packed("acpi", id="PNP0501") + packed("acpi"))
    members = {"driver__of_match_table": "of_ids", "driver__acpi_match_table": "acpi_ids", "driver__name": "text"}
    sample.structure("platform_driver", "uart", probe="second_probe", **members)

    assert [driver.aliases for driver in drivers(sample)[0] if driver.bus == "platform"] == [
        ("of:N*T*Ca,b", "of:N*T*Ca,bC*", "acpi*:PNP0501:*")
    ]


@pytest.mark.parametrize(("side", "expected"), [("frontend", "xen:vbd"), ("backend", "xen-backend:vbd")])
def test_a_xenbus_driver_has_the_alias_of_its_side_and_the_name_of_its_first_id(side: str, expected: str) -> None:
    sample = base()
    sample.data("xen_ids", packed("xen", devicetype="vbd") + packed("xen"))
    sample.structure("xenbus_driver", "blkfront", ids="xen_ids", probe="second_probe")
    sample.function("init", point(0, "blkfront"), call(f"__xenbus_register_{side}"))

    assert [(driver.name, driver.aliases) for driver in drivers(sample)[0] if driver.bus == "xen"] == [
        ("vbd", (expected,))
    ]


def test_a_scan_handler_is_named_by_its_symbol() -> None:
    sample = base()
    sample.data("acpi_ids", packed("acpi", id="PNP0A03") + packed("acpi"))
    sample.structure("acpi_scan_handler", "pci_root_handler", ids="acpi_ids", attach="second_probe")
    sample.function("init", point(0, "pci_root_handler"), call("acpi_scan_add_handler"))

    assert [(driver.name, driver.aliases) for driver in drivers(sample)[0] if driver.bus == "acpi"] == [
        ("pci_root_handler", ("acpi*:PNP0A03:*",))
    ]


def test_a_scan_handler_that_inlined_code_adds_is_found_by_its_shape() -> None:
    sample = base()
    sample.data("acpi_ids", packed("acpi", id="PRP0001") + packed("acpi"))
    sample.structure("acpi_scan_handler", "generic_device_handler", ids="acpi_ids", attach="second_probe")

    assert [(driver.name, driver.probe) for driver in drivers(sample)[0] if driver.bus == "acpi"] == [
        ("generic_device_handler", "second_probe")
    ]


def test_a_structure_that_the_code_chooses_is_said_to_be_missed() -> None:
    sample = base()
    sample.function("choose", raw(b"\x48\x89\xdf"), call("__pci_register_driver"))  # mov rdi, rbx

    assert drivers(sample)[1] == {"pci": "a struct pci_driver that is no constant is registered by choose"}


def test_a_function_that_passes_a_structure_on_is_followed() -> None:
    sample = base()
    sample.function("register_it", call("__pci_register_driver", jump=True))
    sample.function("init", point(0, "virtio_pci_driver"), call("register_it"))
    initcall(sample, "mine", "init")
    found, reasons = drivers(sample)

    assert [(driver.structure, driver.module) for driver in found] == [("virtio_pci_driver", "mine")]
    assert reasons == {}


def test_a_driver_of_the_call_before_is_not_taken_for_that_of_the_next() -> None:
    sample = base()
    sample.function(
        "init",
        point(0, "virtio_pci_driver"),
        call("__pci_register_driver"),
        raw(b"\x48\x89\xdf"),
        call("__pci_register_driver"),
    )
    found, reasons = drivers(sample)

    assert len(found) == 1
    assert reasons == {"pci": "a struct pci_driver that is no constant is registered by init"}


def test_the_module_is_that_of_the_only_initcall_above() -> None:
    sample = base()
    sample.function("helper", point(0, "virtio_pci_driver"), call("__pci_register_driver"))
    sample.function("init", call("helper"))
    initcall(sample, "above", "init")
    alone = [driver.module for driver in drivers(sample)[0]]
    sample.function("other_init", call("helper"))
    initcall(sample, "other", "other_init")

    assert alone == ["above"]
    assert [driver.module for driver in drivers(sample)[0]] == [""]


def test_what_of_declare_names_is_listed() -> None:
    sample = base("aarch64")
    size = 512

    def entry(made: Sample) -> bytes:
        return packed("of", compatible="arm,gic-v3", data=made.addresses["first_probe"])

    sample.data("__of_table_gic_v3", entry, size)

    assert [driver for driver in drivers(sample)[0] if driver.bus == "of"] == [
        ImageDriver(
            "of",
            "arm,gic-v3",
            "",
            "__of_table_gic_v3",
            sample.build()[0].offset_of(sample.addresses["__of_table_gic_v3"]) or 0,
            "first_probe",
            ("of:N*T*Carm,gic-v3", "of:N*T*Carm,gic-v3C*"),
        )
    ]


def test_an_image_without_types_says_so_of_every_bus() -> None:
    found, reasons = built_in_drivers(*base().build(), None, None)

    assert found == ()
    assert {"pci", "virtio", "acpi", "platform", "of"} <= reasons.keys()
    assert set(reasons.values()) == {"this image has no BTF: the layout of its structures is unknown"}


def test_types_that_do_not_tell_a_layout_are_a_limit_of_that_bus() -> None:
    kernel, symbols = base().build()
    _, reasons = built_in_drivers(kernel, symbols, types(without=["pci_driver"]), None)

    assert reasons["pci"] == "the image's types do not tell the layout of struct pci_driver"
    assert reasons["virtio"] == ""


def test_code_that_is_not_read_is_a_limit_of_every_bus() -> None:
    kernel, symbols = base().build()
    other = Vmlinux(kernel.name, "riscv64", kernel.data, kernel.sha256, kernel.sections)
    found, reasons = built_in_drivers(other, symbols, BTF, None)

    assert [driver.name for driver in found] == ["virtio-pci"]
    assert reasons["pci"] == "calls are read in code of x86_64 and aarch64 only, not of riscv64"


def test_a_kernel_that_is_all_tables_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_structures, "MAX_WORK", 2000)
    sample = base()
    sample.data("table", VIRTIO_PCI * 1000, 40 * 1000)
    for index in range(10):
        start = sample.addresses["table"] + 40 * index
        sample.structure("pci_driver", f"driver{index}", name="text", id_table=start, probe="first_probe")
        sample.function(f"init{index}", point(0, f"driver{index}"), call("__pci_register_driver"))
    with pytest.raises(InputError, match="than a search is spent on"):
        drivers(sample)


@settings(max_examples=150)
@given(st.data())
def test_a_changed_kernel_gives_drivers_or_an_error(data: st.DataObject) -> None:
    sample = base(data.draw(st.sampled_from(["x86_64", "aarch64"])))
    sample.function("init", point(0, "virtio_pci_driver"), point(1, "first_probe"), call("__pci_register_driver"))
    initcall(sample, "virtio_pci", "init")
    kernel, symbols = sample.build(complete=data.draw(st.booleans()))
    raw_bytes = bytearray(kernel.data)
    for _ in range(data.draw(st.integers(1, 6))):
        raw_bytes[data.draw(st.integers(0, len(raw_bytes) - 1))] = data.draw(st.integers(0, 255))
    changed = Vmlinux(kernel.name, kernel.architecture, bytes(raw_bytes), kernel.sha256, kernel.sections)
    try:
        found, _ = built_in_drivers(changed, symbols, BTF, None)
    except HostproofError as error:
        assert error.place is not None
    else:
        assert all(driver.name for driver in found)


NEVER_WRITTEN = ("platform:", "acpi*::", "pnp:d*", "of:N*T*Cmicrosoft,vmbus", "spi:spidev")
"""Aliases of modules.builtin.modinfo that are not of the tables that a driver has: MODULE_ALIAS by hand (platform, spidev),
an empty id that stands for one given on the command line (tpm_tis), and a table that only the device tree uses (hv_vmbus).
"""
BUSES = ("pci", "virtio", "acpi", "pnp", "of", "vmbus", "xen", "i2c", "spi", "serio", "amba", "platform")


def whole(pattern: str, modules: str | None = None) -> tuple[tuple[ImageDriver, ...], dict[str, str], float, Symbols]:
    """The drivers in a package's image, how the search went, and the seconds that types and drivers took."""
    path = package(pattern)
    kernel = read_vmlinux(image_of(path), path.name)
    symbols = read_kallsyms(kernel)
    names = read_module_list(list_of(package(modules) if modules else path, "modules.builtin"), "modules.builtin")
    start = time.perf_counter()
    raw_types = find_btf(kernel)
    assert raw_types is not None
    found, reasons = built_in_drivers(kernel, symbols, read_btf(raw_types, path.name), names)
    return found, reasons, time.perf_counter() - start, symbols


NUMBERS = [
    (STOCK_61, None, {"acpi": 21, "i2c": 3, "pci": 11, "platform": 39, "pnp": 6, "serio": 1, "spi": 1, "xen": 3}),
    (CLOUD_61, None, {"acpi": 19, "pci": 5, "platform": 10, "pnp": 6, "serio": 1, "xen": 2}),
    (
        "linux-image-5.10.0-46-amd64_5.10.262-1_amd64.deb",
        None,
        {"acpi": 19, "i2c": 3, "pci": 10, "platform": 36, "pnp": 5, "serio": 1, "spi": 1, "xen": 3},
    ),
    (
        "linux-image-6.12.117+deb13-amd64-unsigned_6.12.117-1_amd64.deb",
        None,
        {"acpi": 20, "i2c": 3, "pci": 12, "platform": 40, "pnp": 6, "serio": 1, "spi": 1, "virtio": 3, "xen": 3},
    ),
    (
        "linux-binary-unsigned-7.2.13+deb14-amd64_7.2.13-1_amd64.deb",
        "linux-base-7.2.13+deb14-amd64_7.2.13-1_amd64.deb",
        {
            "acpi": 13,
            "i2c": 3,
            "pci": 12,
            "platform": 46,
            "pnp": 5,
            "serio": 1,
            "spi": 1,
            "virtio": 3,
            "vmbus": 1,
            "xen": 3,
        },
    ),
    (
        "linux-binary-unsigned-7.2.13+deb14-cloud-arm64_7.2.13-1_arm64.deb",
        "linux-base-7.2.13+deb14-cloud-arm64_7.2.13-1_arm64.deb",
        {"acpi": 11, "amba": 4, "of": 33, "pci": 5, "platform": 186, "pnp": 2, "serio": 1, "virtio": 3, "xen": 2},
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "modules", "expected"), NUMBERS, ids=[name[:40] for name, _, _ in NUMBERS])
def test_every_driver_of_a_distribution_kernel_is_found(
    pattern: str, modules: str | None, expected: dict[str, int]
) -> None:
    found, reasons, seconds, _ = whole(pattern, modules)

    assert expected == Counter(driver.bus for driver in found)
    assert {name: reason for name, reason in reasons.items() if reason} == {}
    assert seconds < 2  # 0.2 to 0.4 on two idle cores


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (
            STOCK_61,
            "8250_mid 8250_pericom agpgart-amd64 agpgart-intel agpgart-sis agpgart-via iosf_mbi_pci pcieport serial shpchp "
            "xen-platform-pci",
        ),
        (CLOUD_61, "8250_pericom nvme pcieport serial xen-platform-pci"),
    ],
)
def test_the_pci_drivers_of_6_1_are_those_measured_before_without_a_stub_that_is_never_registered(
    pattern: str, expected: str
) -> None:
    found, _, _, symbols = whole(pattern)

    assert expected.split() == [driver.name for driver in found if driver.bus == "pci"]
    assert symbols.find("pci_compat_driver") is not None


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["amd64", "cloud-amd64", "cloud-arm64"])
def test_every_alias_that_modpost_generated_for_a_built_in_driver_is_found(flavour: str) -> None:
    architecture = flavour.rpartition("-")[2]
    lists = f"linux-base-7.2.13+deb14-{flavour}_7.2.13-1_{architecture}.deb"
    found, _, _, _ = whole(f"linux-binary-unsigned-7.2.13+deb14-{flavour}_7.2.13-1_{architecture}.deb", lists)
    modinfo = list_of(package(lists), "modules.builtin.modinfo")
    written = {alias for aliases in read_builtin_aliases(modinfo, lists).values() for alias in aliases}
    ours: dict[str, set[str]] = defaultdict(set)
    for driver in found:
        for alias in driver.aliases:
            ours[bus(alias)].add(alias)
    missed = [alias for alias in written if bus(alias) in BUSES and alias not in ours[bus(alias)]]

    assert [alias for alias in missed if not alias.startswith(NEVER_WRITTEN)] == []
    assert len([alias for alias in written if bus(alias) in BUSES]) > 900


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "modules"), [(pattern, modules) for pattern, modules, _ in NUMBERS if "5.10" not in pattern]
)
def test_without_symbols_of_data_the_same_drivers_are_found(pattern: str, modules: str | None) -> None:
    path = package(pattern)
    kernel = read_vmlinux(image_of(path), path.name)
    symbols = read_kallsyms(kernel)
    kept = [index for index, letter in enumerate(symbols.types) if letter in "TtWw"]
    functions = Symbols(
        [symbols.addresses[index] for index in kept],
        "".join(symbols.types[index] for index in kept),
        [symbols.names[index] for index in kept],
        False,
    )
    raw_types = find_btf(kernel)
    assert raw_types is not None
    types_of = read_btf(raw_types, path.name)
    whole_set, _ = built_in_drivers(kernel, symbols, types_of, None)
    part, _ = built_in_drivers(kernel, functions, types_of, None)

    unseen = [driver.structure for driver in whole_set if driver.structure == "generic_device_handler"]
    assert unseen == ["generic_device_handler"]
    assert {
        (driver.bus, driver.offset) for driver in whole_set if driver.bus != "of" and driver.structure not in unseen
    } == {(driver.bus, driver.offset) for driver in part}
