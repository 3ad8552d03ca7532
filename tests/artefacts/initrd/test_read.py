"""An initrd: its segments wherever they stand, what is in it, what loads modules, and whether another root follows."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.initrd.model import Initrd
from hostproof.artefacts.initrd.read import read_initrd, read_initrds
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive.samples import cpio_member
from tests.artefacts.initrd.samples import (
    BUSYBOX,
    PACKERS,
    RELEASE,
    TRAILER,
    Tree,
    acpi_table,
    archive,
    bootconfig,
    debian,
    elf,
    kata,
    module_path,
)

MICROCODE = archive({"kernel/x86/microcode/AuthenticAMD.bin": b"\x01DMA"})
TABLES = archive({"kernel/firmware/acpi/ssdt1.aml": acpi_table()})


def of(tree: Tree) -> Initrd:
    return read_initrd(archive(tree), "initrd")


def names(initrd: Initrd) -> list[str]:
    return [module.name for module in initrd.modules]


def loaders(initrd: Initrd) -> list[tuple[str, str]]:
    return [(loader.kind, loader.path) for loader in initrd.loaders]


class TestSegments:
    @pytest.mark.parametrize("kind", PACKERS)
    def test_every_compression_of_the_kernel_is_read(self, kind: str) -> None:
        plain = archive(debian("virtio-blk", **{"lib/firmware/blob": bytes(range(256)) * 3000}))
        data = PACKERS[kind](plain)

        initrd = read_initrd(data, "initrd")

        (segment,) = initrd.segments
        assert (segment.compression, segment.size, segment.unpacked) == (kind, len(data), len(plain))
        assert names(initrd) == ["virtio_blk"]

    @pytest.mark.parametrize(("first", "second"), list(itertools.product(PACKERS, PACKERS)))
    def test_segments_follow_each_other_whatever_packs_them(self, first: str, second: str) -> None:
        one = PACKERS[first](archive({module_path("one"): b"1"}))
        padding = bytes(-len(one) % 4 + 8)
        data = one + padding + PACKERS[second](archive({module_path("two"): b"2"}))

        initrd = read_initrd(data, "initrd")

        joined = not first and not second
        assert names(initrd) == ["one", "two"]
        assert [item.place.offset for item in initrd.segments] == ([0] if joined else [0, len(one) + len(padding)])

    def test_microcode_in_front_is_what_the_kernel_finds_early(self) -> None:
        initrd = read_initrd(MICROCODE + bytes(512) + PACKERS["zstd"](archive(debian("a"))), "initrd")

        assert [item.compression for item in initrd.segments] == ["", "zstd"]
        assert [item.early for item in initrd.segments] == [True, False]
        assert [item.path for item in initrd.microcode] == ["kernel/x86/microcode/AuthenticAMD.bin"]

    def test_an_acpi_table_in_front_is_an_override(self) -> None:
        initrd = read_initrd(TABLES + PACKERS["gzip"](archive(debian())), "initrd")

        assert [(item.path, item.text) for item in initrd.acpi_tables] == [("kernel/firmware/acpi/ssdt1.aml", "SSDT")]

    def test_an_acpi_table_behind_something_compressed_is_none_and_is_noted(self) -> None:
        gzip = PACKERS["gzip"](archive(debian()))
        initrd = read_initrd(gzip + bytes(-len(gzip) % 4) + TABLES, "initrd")

        assert initrd.acpi_tables == ()
        assert "where the kernel does not look for it" in initrd.notes[0]

    def test_a_boot_configuration_at_the_end_is_told(self) -> None:
        initrd = read_initrd(archive(debian()) + bootconfig(b"kernel { quiet }\n\0") + b"\0\0", "initrd")

        assert initrd.bootconfig is not None
        assert initrd.bootconfig.text == "kernel { quiet }\n"
        assert initrd.segments[-1].kind == "bootconfig"

    def test_archives_without_trailer_or_last_padding_are_read_as_the_kernel_reads_them(self) -> None:
        data = archive({"a": b"1"}, trailer=False) + archive({"etc/modules": b"x"}, trailer=False)[:-3]

        assert read_initrd(data, "initrd").files == 2

    def test_several_files_are_one_initrd_and_the_last_word_counts(self) -> None:
        first = archive({"etc/modules": b"one\n"})
        second = archive({"etc/modules": b"two\n", module_path("b"): b""})

        initrd = read_initrds([(first, "a.img"), (second, "b.img")])

        assert [(item.name, str(item.place)) for item in initrd.loads] == [
            ("two", "b.img!etc/modules:1 (segment at 0x0)")
        ]
        assert [item.place.artefact for item in initrd.segments] == ["a.img", "b.img"]

    def test_checksums_are_compared(self) -> None:
        good = cpio_member("a", b"abcd", magic=b"070702")
        summed = good[:102] + b"%08X" % sum(b"abcd") + good[110:]

        assert read_initrd(summed, "initrd").files == 1
        with pytest.raises(InputError, match="the sum of its bytes"):
            read_initrd(good, "initrd")


class TestModulesAndLoaders:
    def test_debians_initrd_is_read(self) -> None:
        initrd = of(debian("virtio-blk", "dm-mod"))

        assert (initrd.kind, initrd.switches_root, initrd.releases) == ("initramfs-tools", True, (RELEASE,))
        assert names(initrd) == ["dm_mod", "virtio_blk"]
        assert loaders(initrd) == [("modprobe", "sbin/modprobe"), ("udev", "lib/systemd/systemd-udevd")]
        assert initrd.switch is not None
        assert (initrd.switch.path, initrd.switch.text) == ("init", "run-init")

    def test_udev_without_the_rule_loads_nothing_by_alias(self) -> None:
        initrd = of(debian(**{"usr/lib/udev/rules.d/80-drivers.rules": b"# nothing\n"}))

        assert next(item.because for item in initrd.loaders if item.kind == "udev") == "no rule has it load by alias"

    def test_a_module_behind_a_linked_directory_and_a_compressed_one_are_modules(self) -> None:
        tree = {"lib": "usr/lib", "usr/lib": None, f"lib/modules/{RELEASE}/a-b.ko.xz": b"x"}

        assert [(item.name, item.path) for item in of(tree).modules] == [
            ("a_b", f"usr/lib/modules/{RELEASE}/a-b.ko.xz")
        ]

    def test_a_link_to_a_module_counts_and_one_that_leads_nowhere_does_not(self) -> None:
        there = {module_path("real"): b"x", module_path("linked"): "real.ko", module_path("lost"): "/outside/lost.ko"}

        assert names(of({**there})) == ["linked", "real"]

    def test_a_module_outside_of_a_release_is_one_all_the_same(self) -> None:
        found = of({"usr/lib/modules/flat.ko": b"x", "drivers/by-path.ko.gz": b"x"})

        assert [(item.name, item.release) for item in found.modules] == [("by_path", ""), ("flat", "")]
        assert found.releases == ()

    def test_what_modules_dep_lists_and_no_file_backs_is_told_apart(self) -> None:
        initrd = of(
            {f"lib/modules/{RELEASE}/modules.dep": b"kernel/a.ko: kernel/b.ko\nkernel/b.ko:\n", module_path("a"): b""}
        )

        assert (names(initrd), initrd.listed) == (["a"], ("b",))

    def test_the_applets_of_busybox_are_loaders(self) -> None:
        initrd = of({"init": b"#!/bin/sh\n", "bin/busybox": BUSYBOX})

        assert loaders(initrd) == [(kind, "bin/busybox") for kind in ("modprobe", "insmod", "mdev")]
        assert (initrd.kind, initrd.switches_root) == ("busybox", None)

    def test_hard_links_of_busybox_are_loaders_whichever_link_has_the_data(self) -> None:
        first = cpio_member("bin/busybox", BUSYBOX, ino=7, nlink=2) + cpio_member("sbin/modprobe", b"", ino=7, nlink=2)
        last = cpio_member("sbin/modprobe", b"", ino=7, nlink=2) + cpio_member("bin/busybox", BUSYBOX, ino=7, nlink=2)

        for data in (first, last):
            assert ("modprobe", "sbin/modprobe") in loaders(read_initrd(data + TRAILER, "initrd"))

    def test_systemd_with_libkmod_loads_a_list_of_its_own(self) -> None:
        tree: Tree = {"init": "usr/lib/systemd/systemd", "usr/lib/systemd/systemd": elf(dynamic=True)}

        assert loaders(of(tree)) == []
        assert loaders(of({**tree, "usr/lib/libkmod.so.2": b"x"})) == [("systemd", "usr/lib/systemd/systemd")]

    def test_a_program_too_large_to_look_into_is_noted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hostproof.artefacts.initrd.contents.MAX_PROGRAM", 1 << 20)

        initrd = of({"usr/bin/huge": elf("init_module") + bytes(3 << 20)})

        assert (initrd.loaders, initrd.notes) == (
            (), ("usr/bin/huge: 3 MiB, not looked into: a loader in it would not be seen",)
        )  # fmt: skip

    def test_a_static_init_that_names_the_system_call_is_a_loader(self) -> None:
        initrd = of({"init": elf("golang.org/x/sys/unix.FinitModule")})

        assert initrd.init is not None
        assert (initrd.init.form, initrd.init.loads_modules) == ("elf-static", True)
        assert loaders(initrd) == [("program", "init")]

    def test_modprobes_configuration_is_read_line_by_line(self) -> None:
        text = b"# no\nblacklist floppy\ninstall usb-storage \\\n  /bin/false\nalias pci:v1d2* my-drv\nnonsense x\n"
        initrd = of({"etc/modprobe.d/a.conf": text, "etc/modprobe.d/a.txt": b"blacklist no\n"})

        assert [(item.verb, item.module, item.text, item.place.line) for item in initrd.modprobe] == [
            ("blacklist", "floppy", "", 2),
            ("install", "usb_storage", "/bin/false", 3),
            ("alias", "my_drv", "pci:v1d2*", 5),
        ]

    def test_what_is_loaded_at_any_rate_and_what_is_added_to_the_command_line_is_read(self) -> None:
        initrd = of({"conf/modules": b"virtio_rng\n", "etc/modules-load.d/x.conf": b"; no\ntpm-crb\n",
                     "etc/cmdline.d/root.conf": b"rd.luks=0\n"})  # fmt: skip

        assert [item.name for item in initrd.loads] == ["virtio_rng", "tpm_crb"]
        assert [item.text for item in initrd.command_lines] == ["rd.luks=0"]


class TestRootSwitch:
    def test_katas_initrd_is_the_root(self) -> None:
        initrd = of(kata())

        assert (initrd.kind, initrd.switches_root, initrd.loaders) == ("kata", False, ())
        assert initrd.init is not None
        assert (initrd.init.target, initrd.init.form) == ("usr/bin/kata-agent", "elf-static")

    def test_systemd_switches_where_the_initrd_says_that_it_is_one(self) -> None:
        root = {"init": "usr/lib/systemd/systemd", "usr/lib/systemd/systemd": elf(dynamic=True),
                "usr/lib/systemd/system/initrd-switch-root.service": b"[Service]\n"}  # fmt: skip
        marked = {
            **root,
            "etc/initrd-release": "../usr/lib/initrd-release",
            "usr/lib/initrd-release": b"DRACUT_VERSION=1\n",
        }

        assert (of(root).kind, of(root).switches_root) == ("systemd", False)
        assert (of(marked).kind, of(marked).switches_root) == ("dracut", True)

    def test_without_an_init_the_kernel_mounts_the_root(self) -> None:
        initrd = of({"etc/x": b"1"})

        assert (initrd.switches_root, initrd.switch, initrd.init) == (True, None, None)

    def test_a_comment_in_a_script_switches_nothing(self) -> None:
        assert of({"init": b"#!/bin/sh\n# switch_root /new\nexec sh\n"}).switches_root is None

    def test_booster_and_mkinitcpio_are_known(self) -> None:
        booster = of({"etc/booster.init.yaml": b"a: b\n", "init": elf("InitModule")})
        arch = of({"init": b"#!/usr/bin/ash\nexec env -i switch_root /new_root\n", "init_functions": b"#"})

        assert [(item.kind, item.switches_root) for item in (booster, arch)] == [
            ("booster", True),
            ("mkinitcpio", True),
        ]


class TestPathsStayInside:
    def test_names_that_lead_outwards_stay_at_the_root(self) -> None:
        initrd = of({f"../../../lib/modules/{RELEASE}/a.ko": b"1", f"/lib/modules/{RELEASE}/b.ko": b"1"})

        assert [item.path for item in initrd.modules] == [f"lib/modules/{RELEASE}/{name}.ko" for name in "ab"]

    def test_links_in_circles_lead_nowhere(self) -> None:
        loops = {"init": "init2", "init2": "init", "lib": "lib/lib", "bin": "sbin", "sbin": "bin", "bin/modprobe": b"x"}

        initrd = of({**loops, f"lib/modules/{RELEASE}/a.ko": b"1"})

        assert (initrd.init, initrd.modules, initrd.loaders) == (None, (), ())

    def test_a_long_chain_of_linked_directories_leads_nowhere(self) -> None:
        chain: Tree = {f"d{number}": f"d{number + 1}" for number in range(5000)}

        assert of({**chain, "init": "d0/init", "d5000/init": b"#!"}).init is None


GOOD = archive(debian("a"))
PACKED = PACKERS["gzip"](GOOD)
MALFORMED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "nothing but zero bytes"),
    "zero bytes": (bytes(5000), "nothing but zero bytes"),
    "text": (b"hello world, this is no initrd", "neither a cpio archive nor compressed data"),
    "a unified kernel image": (b"MZ" + bytes(200), "PE file"),
    "an LZ4 frame": (b"\x04\x22\x4d\x18" + bytes(50), "lz4 -l"),
    "an ext4 image": (bytes(1080) + b"\x53\xef" + bytes(900), "ext4"),
    "cpio's old format": (b"070707" + GOOD[6:], "cpio -H newc"),
    "cut inside a file": (GOOD[:200], "ends inside"),
    "cut inside a frame": (PACKED[:-20], "ends early"),
    "a frame of something else": (PACKERS["zstd"](b"no cpio at all, but long enough"), "junk in a compressed archive"),
    "an empty frame": (PACKERS["xz"](b""), "holds no cpio archive"),
    "junk behind an archive": (GOOD + b"junk", "neither a cpio archive nor compressed data"),
    "an archive between multiples of 4": (PACKED + bytes(-len(PACKED) % 4 + 1) + GOOD, "between multiples of 4"),
    "a size of no digits": (GOOD[:54] + b"+1234567" + GOOD[62:], "malformed cpio header"),
    "a boot configuration that is too long": (GOOD + b"x" + b"\xff" * 8 + b"#BOOTCONFIG\n", "a boot configuration of"),
    "a boot configuration that was changed": (
        GOOD + bootconfig(b"kernel {}").replace(b"kernel", b"kernal"),
        "sum of the boot configuration",
    ),
    "a footer alone": (b"#BOOTCONFIG\n", "ends inside the footer"),
    "an LZ4 block of a gigabyte": (struct.pack("<III", 0x184C2102, 1 << 30, 0), "a block of 1073741824 bytes"),
    "an LZO block that grows": (
        PACKERS["lzo"](b"")[:-4] + struct.pack(">III", 4, 5, 0) + bytes(9),
        "a block of 5 bytes",
    ),
    "a damaged LZO header": (b"\x89LZX" + bytes(60), "not that of lzop"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_initrds_are_refused_with_their_place(name: str) -> None:
    data, message = MALFORMED[name]

    with pytest.raises(InputError) as caught:
        read_initrd(data, "bad.img")
    assert message in str(caught.value)
    assert caught.value.place is not None
    assert caught.value.place.artefact.startswith("bad.img")


@pytest.mark.parametrize("kind", [kind for kind in PACKERS if kind])
def test_a_bomb_is_refused_after_its_slack(kind: str) -> None:
    bomb = PACKERS[kind](cpio_member("x", bytes(6 << 20)))

    with pytest.raises(InputError, match="unpacks to more than"):
        read_initrd(bomb, "bomb", Limits(slack=1 << 20, ratio=1))


def test_many_small_frames_share_one_allowance() -> None:
    frame = PACKERS["zstd"](archive({"x": bytes(700 << 10)}))

    with pytest.raises(InputError, match="unpacks to more than"):
        read_initrd(frame * 4, "bomb", Limits(slack=2 << 20, ratio=0))


@pytest.mark.parametrize("path", ["etc/modules", "etc/modprobe.d/x.conf", f"lib/modules/{RELEASE}/modules.dep"])
def test_configuration_of_endless_lines_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="more than 200000 lines"):
        of({path: b"a\n" * 300_000})


def test_names_without_end_are_refused() -> None:
    names = b"".join(cpio_member(f"{number:05}/" + "x" * 4000, b"", ino=number) for number in range(5_000))

    with pytest.raises(InputError, match="names of more than 16 MiB"):
        read_initrd(names, "initrd")


def test_too_many_segments_are_refused() -> None:
    with pytest.raises(InputError, match="more than 64 segments"):
        read_initrd(PACKERS["gzip"](archive({"x": b"1"})) * 65, "initrd")


SAMPLES = [GOOD, MICROCODE + PACKED, *(pack(archive(kata())) for pack in PACKERS.values()), GOOD + bootconfig(b"a=1")]


@settings(max_examples=300)
@given(st.data())
def test_changed_initrds_give_facts_or_a_located_error(data: st.DataObject) -> None:
    sample = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 6))):
        sample[data.draw(st.integers(0, len(sample) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(sample)))
    try:
        read_initrd(bytes(sample[: len(sample) - cut] if data.draw(st.booleans()) else sample), "fuzz")
    except HostproofError as error:
        assert error.place is not None


@given(
    st.sampled_from([b"", b"070701", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x89LZO\x00\r\n\x1a\n", b"\x02\x21\x4c\x18"]),
    st.binary(max_size=500),
)
def test_arbitrary_bytes_give_an_error(head: bytes, data: bytes) -> None:
    with pytest.raises(HostproofError):
        read_initrd(head + data, "fuzz")


@given(st.dictionaries(st.sampled_from(["lib", "usr", "usr/lib", "bin", "init", "a/b/c", "x"]),
                       st.sampled_from(["/", "..", "lib", "/usr/lib", "../x", "init", "a/b", "bin/../bin"])))  # fmt: skip
def test_links_of_any_shape_lead_to_facts(links: dict[str, str]) -> None:
    initrd = of({**links, module_path("m"): b"x", "lib/modules/r/n.ko": b"y"})

    assert {module.name for module in initrd.modules} <= {"m", "n"}
