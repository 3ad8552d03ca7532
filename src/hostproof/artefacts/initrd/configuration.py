r"""The configuration files of an initrd that say which modules are loaded, kept out, or listed.

SOURCE: modprobe.d(5): a line is a command, `#` starts a comment line, `\` at the end continues it; `-` and `_` are the same in
names. modules-load.d(5) and initramfs-tools(7), `conf/modules`: a name on a line, options after it. modules.dep(5):
`path: paths`. dracut.cmdline(7): `/etc/cmdline`, `/etc/cmdline.d/*.conf`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostproof.artefacts.initrd.contents import Contents
from hostproof.artefacts.initrd.model import Found, ListedModule, ModprobeRule
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["command_lines", "listed_only", "loads", "modprobe", "releases"]

VERBS = frozenset({"alias", "blacklist", "install", "options", "remove", "softdep", "weakdep"})
MAX_LINES = 200_000
_DEP = re.compile(r"(?:^|/)lib/modules/([^/]+)/modules\.dep$")


def modprobe(contents: Contents) -> Iterator[ModprobeRule]:
    """Every line of modprobe's configuration, in the order of the files' names."""
    for path, number, line in _lines(contents, r"(^|/)modprobe\.d/[^/]+\.conf$|(^|/)modprobe\.conf$"):
        words = line.split(None, 2)
        if words[0] not in VERBS or len(words) < 2:
            continue
        module, text = words[1], words[2] if len(words) > 2 else ""
        if words[0] == "alias":
            module, text = text, module
        yield ModprobeRule(
            words[0], module.strip().replace("-", "_"), text, contents.entries[path].place.at(line=number)
        )


def loads(contents: Contents) -> Iterator[ListedModule]:
    """The modules that the initrd loads whatever devices there are."""
    for path, number, line in _lines(contents, r"(^|/)modules-load\.d/[^/]+\.conf$|^conf/modules$|^etc/modules$"):
        if not line.startswith(";"):
            yield ListedModule(line.split()[0].replace("-", "_"), contents.entries[path].place.at(line=number))


def command_lines(contents: Contents) -> Iterator[Found]:
    """Files whose text the initrd adds to the kernel's command line for itself."""
    for path, number, line in _lines(contents, r"^etc/cmdline$|(^|/)cmdline\.d/[^/]+\.conf$"):
        yield Found(path, contents.entries[path].place.at(line=number), line)


def releases(contents: Contents) -> Iterator[str]:
    """Kernel releases that have a `modules.dep`."""
    return (match[1] for path in contents.texts if (match := _DEP.search(path)))


def listed_only(contents: Contents, there: set[str]) -> tuple[str, ...]:
    """Modules that a `modules.dep` lists and of which no file is there."""
    names: set[str] = set()
    for path, text in contents.texts.items():
        if _DEP.search(path):
            for line in _split(contents, path, text):
                file = line.partition(":")[0].rpartition("/")[2]
                if ".ko" in file:
                    names.add(file.partition(".ko")[0].replace("-", "_"))
    return tuple(sorted(names - there))


def _lines(contents: Contents, pattern: str) -> Iterator[tuple[str, int, str]]:
    """Path, number and text of each line that says something, in files whose path matches."""
    wanted = re.compile(pattern)
    lines = 0
    for path in sorted(contents.texts):
        if not wanted.search(path) or path not in contents.entries:
            continue
        held, first = "", 0
        for number, raw in enumerate(_split(contents, path, contents.texts[path]), start=1):
            lines += 1
            if lines > MAX_LINES:
                raise _too_many(contents.entries[path].place)
            first = first if held else number
            if raw.endswith("\\"):
                held += raw[:-1] + " "
                continue
            line, held = (held + raw).strip(), ""
            if line and not line.startswith("#"):
                yield path, first, line


def _split(contents: Contents, path: str, text: bytes) -> list[str]:
    if text.count(b"\n") > MAX_LINES:
        raise _too_many(contents.entries[path].place)
    return text.decode("utf-8", "backslashreplace").split("\n")


def _too_many(place: Place) -> InputError:
    return InputError(
        f"more than {MAX_LINES} lines of configuration", place=place, expected="an initrd's configuration"
    )
