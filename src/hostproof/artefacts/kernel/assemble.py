"""From the parts that were found to the facts of one kernel."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from hostproof.artefacts.kernel.config import Config, read_config
from hostproof.artefacts.kernel.facts import Answer, KernelFacts, Module
from hostproof.artefacts.kernel.image import Image, embedded_config, read_image
from hostproof.artefacts.kernel.package import Label
from hostproof.artefacts.kernel.questions import Questions
from hostproof.artefacts.kernel.symbols import UntoldSymbols, WithoutSymbols
from hostproof.artefacts.kernel.tree import Parts, Reading, Tree, preferred
from hostproof.errors import InputError
from hostproof.place import Place

if TYPE_CHECKING:
    from hostproof.artefacts.kernel.image_facts import ImageReading
    from hostproof.artefacts.kernel.unpack import OpenImage

__all__ = ["from_config", "from_image", "from_tree", "merge"]

MODULES_UNKNOWN = "modules are unknown"
CONFIG_UNKNOWN = "every config.* fact is unknown"
_UPSTREAM = re.compile(r"\d+\.\d+(?:\.\d+)?(?:-rc\d+)?")


def from_tree(tree: Tree, label: Label, kind: str) -> KernelFacts:
    """The facts of the one kernel in `tree`; `kind` is the word for the input in messages.

    Raises InputError where it holds none, or several.
    """
    parts = _only(tree, kind)
    modules, notes = preferred(parts.modules)
    notes = [*tree.notes, *notes]
    known = _modules_known(parts, modules, kind)
    notes.extend(_modules_notes(tree.source, parts, modules, known=known))
    if parts.config is None:
        notes.append(f"{tree.source} holds no configuration: {CONFIG_UNKNOWN}")
    release = _release(parts, notes)
    code = _code(tree, parts, notes)
    changelog = tree.changelogs.get(parts.release)
    answers = code.answers if code else {}
    answers |= {name: answer for file in parts.modules.values() for name, answer in file.answers.items()}
    if changelog is not None and tree.questions is not None:
        answers |= changelog.answers(tree.questions.titles)
    return KernelFacts(
        release=release,
        version=_version(release, parts.config, parts.image),
        architecture=_architecture(parts, label),
        source=tree.source,
        package=label.package,
        image=code.facts if code else None,
        answers=answers,
        changelog_cves=changelog.cves if changelog else None,
        sites_counted=_counted(tree.questions),
        image_sha256=parts.image_sha256,
        image_name=parts.image_name,
        config_name=parts.config_name,
        config=parts.config.symbols if parts.config else None,
        builtin=parts.builtin,
        builtin_aliases=parts.builtin_aliases,
        modules=tuple(modules) if known else None,
        notes=tuple(notes),
    )


def _code(tree: Tree, parts: Parts, notes: list[str]) -> ImageReading | None:
    """What the code of the image says, where it is asked about. Symbols that cannot be told cost nothing else that the tree
    holds: a kernel may be newer than their reader.
    """
    if tree.questions is None or not parts.image_data:
        return None
    from hostproof.artefacts.kernel.image_facts import read_image_facts  # which needs numpy
    from hostproof.artefacts.kernel.unpack import open_image

    try:
        opened = open_image(parts.image_data, f"{tree.source}!{parts.image_name}", tree.limits)
        reading = read_image_facts(opened, tree.questions, parts.builtin)
    except UntoldSymbols as error:
        notes.append(_untold(error))
        return None
    notes.extend(reading.facts.notes)
    return reading


def _untold(error: UntoldSymbols) -> str:
    return f"{error.place}: {error.message}; nothing is told of its code"


def _counted(questions: Questions | None) -> tuple[str, ...]:
    return tuple(sorted(interface.id for interface in questions.interfaces)) if questions else ()


def _modules_known(parts: Parts, modules: list[Module], kind: str) -> bool:
    """Whether the modules that were found are the modules: where there are none they may stand in another package."""
    if modules:
        return True
    without = parts.config is not None and _without_modules(parts.config)
    return without or (parts.has_modules_directory and kind == "directory" and not parts.ordered)


def _modules_notes(source: str, parts: Parts, modules: list[Module], *, known: bool) -> list[str]:
    if not known:
        return [
            f"{source} holds no modules: {MODULES_UNKNOWN}; give the package that holds them too "
            "(Ubuntu: linux-modules-RELEASE, Fedora: kernel-modules-core)"
        ]
    missing = len(set(parts.ordered) - {module.name for module in modules})
    if missing:
        return [
            f"{source} holds {len(modules)} modules; modules.order names {missing} more: if the guest has their package "
            "(Ubuntu: linux-modules-extra-RELEASE, Fedora: kernel-modules), give it too"
        ]
    return [] if modules else [f"{source} has no loadable modules"]


def from_image(data: bytes, name: str, reading: Reading) -> KernelFacts:
    """The facts of an image alone, with the configuration that it carries, if any. Raises InputError."""
    notes = [f"{name} is an image alone: its {MODULES_UNKNOWN}; give their directory or package too"]
    opened, code = _image_code(data, name, reading, notes)
    if opened is not None:
        image, text = opened.image(), opened.config()
    else:
        image, text = read_image(data, name, reading.limits), embedded_config(data, name, reading.limits)
    config = read_config(text, f"{name}!IKCONFIG") if text else None
    if config is None:
        notes.append(f"{name} carries no configuration (CONFIG_IKCONFIG): give it too, or {CONFIG_UNKNOWN}")
    if not image.release:
        notes.append(f"{name} ({image.kind}) does not say its release")
    if code is not None:
        notes.extend(code.facts.notes)
    return KernelFacts(
        release=image.release,
        version=_version(image.release, config, image),
        architecture=image.architecture or (config.architecture if config else ""),
        source=name,
        image_sha256=hashlib.sha256(data).hexdigest(),
        image_name=name.rpartition("/")[2],
        config_name="IKCONFIG" if config else "",
        config=config.symbols if config else None,
        notes=tuple(notes),
        image=code.facts if code else None,
        answers=code.answers if code else {},
        sites_counted=_counted(reading.questions),
    )


def _image_code(
    data: bytes, name: str, reading: Reading, notes: list[str]
) -> tuple[OpenImage | None, ImageReading | None]:
    """An image alone, unpacked, and what its code says; None where it is not asked about, or nothing can be told of it.

    Raises InputError where the image or its tables of symbols are damaged: there is nothing else that would be told.
    """
    if reading.questions is None:
        return None, None
    from hostproof.artefacts.kernel.image_facts import read_image_facts
    from hostproof.artefacts.kernel.unpack import open_image

    opened = None
    try:
        opened = open_image(data, name, reading.limits)
        return opened, read_image_facts(opened, reading.questions, None)
    except WithoutSymbols as error:
        notes.append(_untold(error))
        return opened, None


def from_config(data: bytes, name: str) -> KernelFacts:
    """The facts of a configuration or fragment alone. Raises InputError."""
    config = read_config(data, name)
    notes = [*config.notes, f"{name} is a configuration alone: its {MODULES_UNKNOWN}"]
    if not config.version:
        notes.append(f"{name} has no header, so it is a fragment: what a symbol that it does not name is, is unknown")
    return KernelFacts(
        release="",
        version=_version("", config, None),
        architecture=config.architecture,
        source=name,
        config=config.symbols,
        config_complete=bool(config.version),
        modules=() if _without_modules(config) else None,
        notes=tuple(notes),
    )


def _without_modules(config: Config) -> bool:
    """Whether the configuration says that this kernel loads no modules."""
    switch = config.symbols.get("MODULES")
    return switch is not None and switch.value == "n"


def merge(facts: KernelFacts, more: KernelFacts) -> KernelFacts:
    """One kernel from two inputs; where both know something, `facts` holds. Modules of both are joined.

    Raises InputError where they are of different releases or architectures.
    """
    for what in ("release", "architecture"):
        one, other = getattr(facts, what), getattr(more, what)
        if one and other and one != other:
            raise InputError(
                f"{what} {other}, but {facts.source} has {one}",
                place=Place(more.source),
                expected="parts of one kernel",
                hint="give packages of the same build",
            )
    modules = None
    if facts.modules is not None or more.modules is not None:
        joined = {module.name: module for module in (*(more.modules or ()), *(facts.modules or ()))}
        modules = tuple(sorted(joined.values(), key=lambda module: module.path))
    config, image = (facts if facts.config is not None else more), (facts if facts.image_sha256 else more)
    supplied = [
        text for text, value in ((MODULES_UNKNOWN, modules), (CONFIG_UNKNOWN, config.config)) if value is not None
    ]
    notes = dict.fromkeys((*facts.notes, *more.notes))
    return replace(
        facts,
        release=facts.release or more.release,
        version=facts.version or more.version,
        architecture=facts.architecture or more.architecture,
        source=" + ".join(dict.fromkeys((facts.source, more.source))),
        package=" + ".join(dict.fromkeys(word for word in (facts.package, more.package) if word)),
        image_sha256=image.image_sha256,
        image_name=image.image_name,
        config_name=config.config_name,
        config=config.config,
        config_complete=config.config_complete,
        builtin=facts.builtin if facts.builtin is not None else more.builtin,
        builtin_aliases=facts.builtin_aliases or more.builtin_aliases,
        modules=modules,
        image=facts.image or more.image,
        answers=_joined(facts.answers, more.answers),
        changelog_cves=facts.changelog_cves if facts.changelog_cves is not None else more.changelog_cves,
        sites_counted=facts.sites_counted or more.sites_counted,
        notes=tuple(note for note in notes if not any(text in note for text in supplied)),
    )


def _joined(one: dict[str, Answer], other: dict[str, Answer]) -> dict[str, Answer]:
    """Answers of two parts of one kernel: one that knows comes before one that does not, yes before no (what one part does
    not hold the other may), and `one` before `other`.
    """
    known = {name: answer for name, answer in other.items() if answer.value is not None}
    return (
        other
        | one
        | {
            name: answer
            for name, answer in known.items()
            if name not in one or one[name].value is None or (answer.value is True and one[name].value is False)
        }
    )


def _only(tree: Tree, kind: str) -> Parts:
    """The parts of the one release in `tree`; a release with modules comes before ones without."""
    parts = list(tree.finish().values())
    full = [part for part in parts if part.modules] or [part for part in parts if part.has_modules_directory]
    chosen = full or parts
    if len(chosen) == 1 < len(parts):
        others = ", ".join(sorted(part.release for part in parts if part is not chosen[0])[:8])
        tree.note(f"{tree.source} also names {others}, of which it holds no modules: {chosen[0].release} is read")
    if len(chosen) > 1:
        releases = ", ".join(sorted(part.release for part in chosen)[:8])
        raise InputError(
            f"{len(chosen)} kernels in one {kind}: {releases}",
            place=Place(tree.source),
            expected="one",
            hint="give lib/modules/RELEASE of the one that is meant, or its package",
        )
    if not chosen:
        raise InputError(
            f"no kernel in this {kind} of {tree.members} members",
            place=Place(tree.source),
            expected="boot/vmlinuz-RELEASE, boot/config-RELEASE or lib/modules/RELEASE",
            hint="a meta package holds no kernel: give the package it depends on (linux-image-RELEASE, kernel-core, "
            "and for modules linux-modules-RELEASE or kernel-modules-core)",
        )
    return chosen[0]


def _release(parts: Parts, notes: list[str]) -> str:
    """The release that modules and image were built for; the directory's name where they do not say."""
    built = Counter(file.release for file in parts.modules.values() if file.release)
    if len(built) > 1:
        notes.append(f"modules of several releases: {', '.join(sorted(built)[:8])}")
    release = built.most_common(1)[0][0] if built else parts.release
    if parts.image and parts.image.release and parts.image.release != release:
        notes.append(f"{parts.image_name} says release {parts.image.release}, modules and names say {release}")
    return release


def _architecture(parts: Parts, label: Label) -> str:
    built = Counter(file.architecture for file in parts.modules.values())
    if built:
        return built.most_common(1)[0][0]
    words = (parts.image and parts.image.architecture, parts.config and parts.config.architecture, label.architecture)
    return next((word for word in words if word), "")


def _version(release: str, config: Config | None, image: Image | None) -> str:
    """The upstream version: Ubuntu's CONFIG_VERSION_SIGNATURE names it last, then the configuration's header, then
    Debian's banner, then the release, which distributions may keep fixed over point releases.
    """
    if config is not None:
        signature = config.symbols.get("VERSION_SIGNATURE")
        words = signature.value.split() if signature else []
        if words and _UPSTREAM.fullmatch(words[-1]):
            return words[-1]
        if found := _UPSTREAM.match(config.version):
            return found[0]
    if image is not None and image.version:
        return image.version
    found = _UPSTREAM.match(release)
    return found[0] if found else ""
