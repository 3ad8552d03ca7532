"""Reading kernels whole: packages of every packing, directories, single files, and inputs that hold no kernel."""

from __future__ import annotations

import os
import tarfile
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.kernel import tree
from hostproof.artefacts.kernel.facts import ConfigValue, KernelFacts
from hostproof.artefacts.kernel.facts_file import encode
from hostproof.artefacts.kernel.read import merge, read_kernel
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive import samples as archives
from tests.artefacts.kernel import samples


@pytest.fixture
def write(tmp_path: Path) -> object:
    def _write(data: bytes, name: str = "kernel") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return _write


def unpack(files: archives.Files, root: Path) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def essence(facts: KernelFacts) -> KernelFacts:
    """The facts without what depends on the container."""
    modules = facts.modules and tuple(replace(m, path=m.path.rpartition(".ko")[0]) for m in facts.modules)
    return replace(facts, source="", package="", modules=modules, config_name="", image_name="")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> KernelFacts:
    path = tmp_path_factory.mktemp("expected") / "k.deb"
    path.write_bytes(samples.deb(samples.tree()))
    return read_kernel(path)


def test_a_debian_package_gives_everything(expected: KernelFacts) -> None:
    assert expected.release == samples.RELEASE
    assert expected.version == "6.1.7"
    assert expected.architecture == "x86_64"
    assert expected.package == "linux-image-test 6.1.7-1"
    assert expected.image_name == f"boot/vmlinuz-{samples.RELEASE}"
    assert len(expected.image_sha256) == 64
    assert expected.config_name == f"boot/config-{samples.RELEASE}"
    assert expected.config is not None
    assert expected.config["ACPI"] == ConfigValue("n", 8)
    assert expected.builtin == ("pcieport", "ext4")
    assert expected.builtin_aliases == {"ext4": ("fs-ext4",), "pcieport": ("pci:v*d*sv*",)}
    assert expected.notes == ()
    assert expected.modules is not None
    assert [(module.name, module.path, module.text_bytes, module.depends) for module in expected.modules] == [
        ("virtio", "kernel/drivers/virtio/virtio.ko", 11, ()),
        ("virtio_pci", "kernel/drivers/virtio/virtio_pci.ko", 101, ("virtio", "virtio_ring")),
        ("virtio_ring", "kernel/drivers/virtio/virtio_ring.ko", 21, ("virtio",)),
    ]


@pytest.mark.parametrize("packing", ["plain", "gzip", "xz", "xz-blocks", "zstd", "bzip2"])
@pytest.mark.parametrize("inner", ["", ".xz", ".zst", ".gz"])
def test_every_packing_of_a_package_gives_the_same(write, expected, packing: str, inner: str) -> None:  # type: ignore[no-untyped-def]
    pack = {".xz": "xz", ".zst": "zstd", ".gz": "gzip"}.get(inner)
    files = samples.tree(suffix=inner, pack=archives.PACKINGS.get(pack or ""))

    assert essence(read_kernel(write(samples.deb(files, packing)))) == essence(expected)


@pytest.mark.parametrize("packing", ["plain", "gzip", "xz", "zstd", "bzip2", "lzma"])
def test_an_rpm_gives_the_same(write, expected, packing: str) -> None:  # type: ignore[no-untyped-def]
    facts = read_kernel(write(samples.rpm(samples.tree(), packing)))

    assert essence(facts) == essence(expected)
    assert facts.package == "kernel-core 6.12.0-1.fc42"


def test_an_archive_or_directory_of_a_root_file_system_gives_the_same(write, expected, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    packed = archives.zstd(archives.tar(samples.tree(root="usr/lib"), tarfile.PAX_FORMAT))

    assert essence(read_kernel(write(packed))) == essence(expected)
    assert essence(read_kernel(unpack(samples.tree(), tmp_path / "root"))) == essence(expected)
    assert essence(read_kernel(unpack(samples.tree(root="usr/lib"), tmp_path / "merged"))) == essence(expected)


def test_a_modules_directory_of_its_own_holds_image_and_configuration(expected: KernelFacts, tmp_path: Path) -> None:
    files = {name.removeprefix(f"./lib/modules/{samples.RELEASE}/"): data for name, data in samples.tree().items()}
    files = {name: data for name, data in files.items() if not name.startswith("./")}
    files |= {"vmlinuz": samples.bzimage(), "config": samples.CONFIG}
    facts = read_kernel(unpack(files, tmp_path / samples.RELEASE))

    assert essence(facts) == essence(expected)
    assert (facts.image_name, facts.config_name) == tuple(
        f"lib/modules/{samples.RELEASE}/{name}" for name in ("vmlinuz", "config")
    )


def test_an_image_with_configuration_and_modules_beside_it_gives_the_same(expected, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    root = unpack(samples.tree(), tmp_path / "root")
    release = samples.RELEASE
    facts = read_kernel(
        root / f"boot/vmlinuz-{release}",
        config=root / f"boot/config-{release}",
        modules=root / f"lib/modules/{release}",
    )

    assert essence(facts) == essence(expected)
    assert facts.config_place("HZ").line == 10


def test_an_image_alone_leaves_modules_and_configuration_unknown(write) -> None:  # type: ignore[no-untyped-def]
    facts = read_kernel(write(samples.bzimage()))

    assert (facts.release, facts.version, facts.config, facts.modules) == (samples.RELEASE, "6.1.7", None, None)
    assert any("modules are unknown" in note for note in facts.notes)


def test_an_image_that_carries_its_configuration_gives_it(write) -> None:  # type: ignore[no-untyped-def]
    facts = read_kernel(write(samples.bzimage(payload=samples.payload(samples.kernel_with_config()))))

    assert facts.config is not None
    assert (facts.config["HZ"].value, facts.config_name) == ("250", "IKCONFIG")


def test_a_configuration_alone_and_a_facts_file_are_kernels_too(write, expected) -> None:  # type: ignore[no-untyped-def]
    facts = read_kernel(write(samples.CONFIG))

    assert (facts.release, facts.version, facts.architecture, facts.modules) == ("", "6.1.7", "x86_64", None)
    assert facts.config is not None
    assert read_kernel(write(encode(expected))) == expected


def test_split_packages_are_merged(write, expected) -> None:  # type: ignore[no-untyped-def]
    files = samples.tree()
    image = read_kernel(write(samples.deb({k: v for k, v in files.items() if "vmlinuz" in k}), "image.deb"))
    rest = read_kernel(write(samples.deb({k: v for k, v in files.items() if "vmlinuz" not in k}), "modules.deb"))

    assert image.modules is None
    assert image.config is None
    assert any("linux-modules-RELEASE" in note for note in image.notes)
    for facts in (merge(image, rest), merge(rest, image)):
        assert essence(facts) == essence(expected)


def test_a_package_with_some_of_the_modules_says_that_there_are_more(write) -> None:  # type: ignore[no-untyped-def]
    order = f"./lib/modules/{samples.RELEASE}/modules.order"
    files = samples.tree() | {order: b"kernel/drivers/virtio/virtio.o\nkernel/drivers/net/e1000e.o\n"}
    facts = read_kernel(write(samples.deb(files)))

    assert len(facts.modules or ()) == 3
    assert any("modules.order names 1 more" in note for note in facts.notes)


def test_modules_are_none_where_the_package_may_be_split_and_empty_where_the_kernel_takes_none(write) -> None:  # type: ignore[no-untyped-def]
    files = {name: data for name, data in samples.tree().items() if not name.endswith(".ko")}
    config = f"./boot/config-{samples.RELEASE}"
    split = read_kernel(write(samples.deb(files)))
    monolithic = read_kernel(write(samples.deb(files | {config: samples.CONFIG + b"# CONFIG_MODULES is not set\n"})))

    assert split.modules is None
    assert monolithic.modules == ()


def test_parts_of_different_kernels_are_not_merged(expected: KernelFacts) -> None:
    with pytest.raises(InputError, match=r"release 6\.2, but"):
        merge(expected, replace(expected, release="6.2"))


def test_the_release_is_that_of_the_modules_and_a_difference_is_noted(write) -> None:  # type: ignore[no-untyped-def]
    files = samples.tree() | {f"./boot/vmlinuz-{samples.RELEASE}": samples.bzimage("6.9.9 (x)")}
    facts = read_kernel(write(samples.deb(files)))

    assert facts.release == samples.RELEASE
    assert any("says release 6.9.9" in note for note in facts.notes)


def test_ubuntu_writes_the_upstream_version_into_its_configuration(write) -> None:  # type: ignore[no-untyped-def]
    config = samples.CONFIG + b'CONFIG_VERSION_SIGNATURE="Ubuntu 6.8.0-45.45-generic 6.8.12"\n'

    assert read_kernel(write(config)).version == "6.8.12"


def test_depmod_prefers_updates(write) -> None:  # type: ignore[no-untyped-def]
    path = f"./lib/modules/{samples.RELEASE}/updates/dkms/virtio.ko"
    facts = read_kernel(write(samples.deb(samples.tree() | {path: samples.module("virtio", text=b"")})))

    assert facts.modules is not None
    assert [(m.path, m.text_bytes) for m in facts.modules if m.name == "virtio"] == [("updates/dkms/virtio.ko", 1)]
    assert any("module virtio is there twice" in note for note in facts.notes)


def test_progress_is_told_bytes_done_and_in_all(write) -> None:  # type: ignore[no-untyped-def]
    seen: list[tuple[str, int, int]] = []
    path = write(samples.deb(samples.tree(), "xz-blocks"))
    read_kernel(path, progress=lambda what, done, total: seen.append((what, done, total)))

    assert len(seen) >= 3
    assert all(0 <= done <= total for _, done, total in seen)
    assert seen[-1][1] == seen[-1][2]
    assert "data.tar.xz" in seen[-1][0]


# Inputs that hold no kernel, and hostile ones.


def test_links_and_names_that_lead_outwards_are_noted_and_not_followed(write, expected, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    secret = tmp_path / "secret.ko"
    secret.write_bytes(b"not a module")
    base = f"./lib/modules/{samples.RELEASE}/kernel"
    extra = (
        samples.archives.link(f"{base}/evil.ko", str(secret)),
        samples.archives.link(f"{base}/loop.ko", "loop.ko"),
        samples.archives.link("./lib", "usr/lib"),
        samples.archives.link(f"{base}/hard.ko", "../../etc/passwd", tarfile.LNKTYPE),
    )
    files = samples.tree() | {
        "../../lib/modules/9/x.ko": b"",
        "/lib/modules/9/x.ko": b"",
        "./a/../../boot/config-9": b"",
    }
    data = archives.ar(
        {
            "debian-binary": b"2.0\n",
            "control.tar": archives.tar({"./control": samples.CONTROL}),
            "data.tar": archives.tar(files, extra=extra),
        }
    )
    facts = read_kernel(write(data))

    assert essence(replace(facts, notes=())) == essence(expected)
    assert sum("leads out of the archive" in note for note in facts.notes) == 3
    assert sum("was not followed" in note for note in facts.notes) == 3


def test_a_module_that_is_a_hard_link_to_another_is_that_module(write) -> None:  # type: ignore[no-untyped-def]
    base = f"./lib/modules/{samples.RELEASE}"
    link = samples.archives.link(
        f"{base}/updates/virtio.ko", f"{base}/kernel/drivers/virtio/virtio.ko", tarfile.LNKTYPE
    )
    data = archives.tar(samples.tree(), extra=(link,))
    facts = read_kernel(write(data))

    assert facts.modules is not None
    assert [m.path for m in facts.modules if m.name == "virtio"] == ["updates/virtio.ko"]


def test_symbolic_links_in_a_directory_are_not_followed(tmp_path: Path) -> None:
    outside = unpack(samples.tree(), tmp_path / "outside")
    root = tmp_path / "root"
    (root / "lib").mkdir(parents=True)
    (root / "lib/modules").symlink_to(outside / "lib/modules")

    with pytest.raises(InputError, match="no kernel in this directory"):
        read_kernel(root)
    modules = tmp_path / "m" / samples.RELEASE
    (modules / "kernel").mkdir(parents=True)
    (modules / "kernel/virtio.ko").symlink_to(
        outside / f"lib/modules/{samples.RELEASE}/kernel/drivers/virtio/virtio.ko"
    )
    (modules / "build").symlink_to("/")
    facts = read_kernel(modules)

    assert facts.modules == ()
    assert any("virtio.ko is a link" in note for note in facts.notes)


NOT_KERNELS = {
    "an empty file": (b"", "an empty file"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(500), "of no kind that holds a kernel"),
    "a unified kernel image": (b"MZ" + bytes(500), "--only-section=.linux"),
    "a package without a kernel": (samples.deb({"./usr/share/doc/x": b""}), "no kernel in this package"),
    "an ar archive of objects": (archives.ar({"a.o": b""}), "without control.tar and data.tar"),
    "a package without data": (
        archives.ar({"debian-binary": b"2.0\n", "control.tar": archives.tar({"./control": b"Package: x\n"})}),
        "without control.tar and data.tar",
    ),
    "a package whose data is no archive": (
        archives.ar({"control.tar": archives.tar({"./control": b"Package: x\n"}), "data.tar": b"junk"}),
        "neither a tar nor a cpio archive",
    ),
    "a package of two kernels": (
        samples.deb(samples.tree() | {"./lib/modules/9/kernel/a.ko": samples.module("a", release="9")}),
        "2 kernels in one package",
    ),
    "a package with a damaged module": (
        samples.deb({f"./lib/modules/{samples.RELEASE}/kernel/x.ko": b"\x7fELF damaged"}),
        "kernel/x.ko+0x4: a damaged ELF header",
    ),
    "an rpm without a kernel": (samples.rpm({"./etc/hosts": b""}), "no kernel in this package"),
    "an rpm whose payload is cut": (samples.rpm(samples.tree(), "xz")[:-200], "damaged xz data"),
    "json of another kind": (b'{"format": "x"}', "not a kernel-facts file"),
    "gzip of a text": (archives.PACKINGS["gzip"](b"hello" * 100), "not a kernel image"),
}


@pytest.mark.parametrize("name", NOT_KERNELS)
def test_inputs_that_hold_no_kernel_are_refused_with_what_to_do(write, name: str) -> None:  # type: ignore[no-untyped-def]
    data, message = NOT_KERNELS[name]

    with pytest.raises(InputError) as caught:
        read_kernel(write(data))
    assert message in str(caught.value)
    assert caught.value.place is not None


def test_a_path_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_kernel(tmp_path / "nothing.deb")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(InputError, match="not a regular file"):
        read_kernel(tmp_path / "pipe")
    modules = tmp_path / "6.1"
    (modules / "kernel").mkdir(parents=True)
    os.mkfifo(modules / "kernel/x.ko")
    with pytest.raises(InputError, match="not a regular file"):
        read_kernel(modules)


@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd"])
def test_a_package_that_is_a_bomb_is_refused_fast_and_in_little_memory(write, packing: str) -> None:  # type: ignore[no-untyped-def]
    zeros = archives.tar_header(b"usr/zeros", b"77777777777") + bytes(150 << 20)
    data = archives.ar(
        {
            "control.tar": archives.tar({"./control": samples.CONTROL}),
            f"data.tar.{packing}": archives.PACKINGS[packing](zeros),
        }
    )
    path = write(data)
    del zeros, data
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(InputError, match=r"unpack to more than 1\d\d MiB|unpack to more than \d\d MiB"):
        read_kernel(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 64 << 20
    assert time.monotonic() - start < 10


def test_a_module_that_is_a_bomb_is_refused(write) -> None:  # type: ignore[no-untyped-def]
    path = f"./lib/modules/{samples.RELEASE}/kernel/x.ko.gz"
    data = samples.deb({path: archives.PACKINGS["gzip"](bytes(200 << 20))})

    with pytest.raises(InputError, match=r"x\.ko\.gz.*unpack to more than"):
        read_kernel(write(data))


def test_limits_hold_for_members_that_are_read(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="at most 0 MiB in one member"):
        read_kernel(write(samples.deb(samples.tree())), limits=Limits(member_bytes=200))


DEB = samples.deb(samples.tree(), "plain")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_package_gives_facts_or_an_error(tmp_path_factory, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    raw = bytearray(DEB)
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.deb"
    path.write_bytes(bytes(raw[: data.draw(st.sampled_from([len(raw), len(raw) // 2, 200]))]))
    try:
        assert encode(read_kernel(path))
    except HostproofError as error:
        assert error.place is not None


def test_modules_that_would_fill_the_memory_with_aliases_are_refused(write, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(tree, "MAX_ALIASES", 50_000)
    base = f"./lib/modules/{samples.RELEASE}/kernel"
    files = {f"{base}/m{number}.ko": samples.module(f"m{number}", ["x" * 1000]) for number in range(60)}

    with pytest.raises(InputError, match="aliases and dependencies of more than"):
        read_kernel(write(samples.deb(files)))
