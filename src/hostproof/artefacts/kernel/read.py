"""Reading a guest kernel, whatever it comes in.

`read_kernel` takes a Debian package, an RPM, an archive or a directory of a root file system, `lib/modules/RELEASE`, a
kernel image, a configuration, or a kernel-facts file, and tells them apart by their contents. Distributions that split
their kernels (Ubuntu: linux-image and linux-modules; Fedora: kernel-core and kernel-modules-core) are read one by one
and put together with `merge`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hostproof.artefacts.archive import ar, rpm, tar
from hostproof.artefacts.archive.decompress import detect
from hostproof.artefacts.archive.limits import DEFAULT, MIB, Limits
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.kernel import facts_file, package
from hostproof.artefacts.kernel.assemble import from_config, from_image, from_tree, merge
from hostproof.artefacts.kernel.config import looks_like_config
from hostproof.artefacts.kernel.directory import encodable, open_regular, read_directory
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.artefacts.kernel.image import looks_like_image
from hostproof.artefacts.kernel.questions import Questions
from hostproof.artefacts.kernel.tree import Progress, Reading, open_tree
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["merge", "read_kernel"]

HEAD = 0x12000
KINDS = (
    "a .deb or .rpm of a kernel, a directory with boot/ or lib/modules/, a vmlinuz, a .config, or kernel facts (JSON)"
)


def read_kernel(
    path: Path,
    *,
    config: Path | None = None,
    modules: Path | None = None,
    progress: Progress | None = None,
    questions: Questions | None = None,
    limits: Limits = DEFAULT,
) -> KernelFacts:
    """What is known of the kernel at `path`.

    `config` is its configuration and `modules` its modules (a directory or package) where they stand apart; they come
    before what `path` itself holds. `progress` is told what is being read, and bytes or files done and in all.
    With `questions` the code of image and modules is read too, and answers them; without, it is not looked at.
    Raises InputError where an input is malformed, of another kind, or holds nothing of a kernel.
    """
    reading = Reading(questions, progress, limits)
    facts = _read(path, reading)
    if config is not None:
        facts = _with_config(facts, config)
    if modules is not None:
        other = _read(modules, reading)
        if other.modules is None:
            raise InputError(
                "no modules here",
                place=Place(encodable(str(modules))),
                expected="lib/modules/RELEASE, or a package that holds it",
            )
        facts = merge(replace(facts, modules=None, builtin=None, builtin_aliases={}), other)
    return facts


def _read(path: Path, reading: Reading) -> KernelFacts:
    name = encodable(str(path))
    try:
        if path.is_dir():
            with open_tree(name, reading) as tree:
                read_directory(path, tree, reading.progress)
                return from_tree(tree, package.Label(), "directory")
        with open_regular(path, follow=True) as file:
            return _read_file(Region.of_descriptor(file.fileno(), name), reading)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", place=Place(name), expected=KINDS) from None


def _read_file(file: Region, reading: Reading) -> KernelFacts:
    head = file.read(0, HEAD)
    if head.startswith(ar.MAGIC) or head.startswith(rpm.MAGIC):
        with open_tree(file.name, reading) as tree:
            reader = package.read_deb if head.startswith(ar.MAGIC) else package.read_rpm
            label = reader(file, tree, reading.progress)
            return from_tree(tree, label, "package")
    if looks_like_image(head):
        return from_image(_all(file, 256 * MIB), file.name, reading)
    if head.lstrip()[:1] == b"{":
        return facts_file.decode(_all(file, facts_file.MAX_BYTES), file.name)
    if looks_like_config(head):
        return from_config(_all(file, 16 * MIB), file.name)
    if detect(head[:8]) is not None or head[:6] in (b"070701", b"070702") or tar.is_header(head[:512]):
        return _read_packed(file, reading)
    raise InputError(
        "an empty file" if file.size == 0 else "of no kind that holds a kernel",
        place=file.place(0),
        expected=KINDS,
        hint=_hint(file.size, head),
    )


def _hint(size: int, head: bytes) -> str:
    if size == 0:
        return "is the download complete?"
    if head.startswith(b"MZ"):
        return "take the kernel out of a unified kernel image: objcopy -O binary --only-section=.linux IMAGE vmlinuz"
    return "unpack it and give the directory"


def _read_packed(file: Region, reading: Reading) -> KernelFacts:
    """A packed or plain archive of a root file system, or a packed image (arm64 Image.gz)."""
    if package.archive_format(file, reading.limits) is None and detect(file.read(0, 8)) == "gzip":
        return from_image(_all(file, 256 * MIB), file.name, reading)
    with open_tree(file.name, reading) as tree:
        package.read_archive(file, tree, reading.progress)
        return from_tree(tree, package.Label(), "archive")


def _all(file: Region, limit: int) -> bytes:
    if file.size > limit:
        raise InputError(f"a file of {file.size} bytes", place=file.place(0), expected=f"at most {limit >> 20} MiB")
    return file.exactly(0, file.size, "the file")


def _with_config(facts: KernelFacts, path: Path) -> KernelFacts:
    name = encodable(str(path))
    try:
        with open_regular(path, follow=True) as file:
            data = _all(Region.of_descriptor(file.fileno(), name), 16 * MIB)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", place=Place(name)) from None
    return merge(from_config(data, name), replace(facts, config=None, config_name=""))
