"""The changelog of a kernel package: which fixes its distribution says it took.

SOURCE: deb-changelog(5). Debian's kernel team lists the title of every commit of a stable update as a bullet, with the
architecture set in front (`[x86] tdx: Fix "in-kernel MMIO" check` for `x86/tdx: Fix "in-kernel MMIO" check`), and the
CVE ids that it fixes in parentheses behind. A title says that a fix was taken, not that it was built: configuration
and image say that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hostproof.artefacts.archive.decompress import detect, whole
from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.kernel.facts import Answer

__all__ = ["Changelog", "read_changelog"]

_CVE = re.compile(r"CVE-(?:19|20)[0-9]{2}-[0-9]{4,7}")
_ARCHITECTURES = re.compile(r"^\[[a-z0-9_/, -]{1,60}\] ")
_FIRST = re.compile(r"^(x86|arm64|s390|powerpc|riscv)/")


@dataclass(frozen=True, slots=True)
class Changelog:
    """A changelog: every CVE id that it names, and its text with blanks made one."""

    name: str
    cves: tuple[str, ...]
    text: str

    def answers(self, titles: Mapping[str, tuple[str, ...]]) -> dict[str, Answer]:
        """For each name, whether one of its titles was taken and not taken back."""
        found = {}
        for name, wanted in titles.items():
            title = next((title for title in wanted if self._holds(title)), None)
            found[f"changelog.{name}"] = Answer(title is not None, symbol=title or "")
        return found

    def _holds(self, title: str) -> bool:
        """Whether more entries take the commit of this title than take it back."""
        for form in _forms(title):
            if form not in self.text:
                continue
            taken = re.findall(rf"- (?:\[[^\]]{{1,60}}\] )?{re.escape(form)}(?= \(| - | \* | -- |$)", self.text)
            if len(taken) > self.text.count(f'Revert "{form}"'):
                return True
        return False


def read_changelog(data: bytes, name: str, limits: Limits = DEFAULT) -> Changelog:
    """The changelog in `data`, packed or not. Raises InputError where it is damaged."""
    raw = bytes(whole(data, name, limits)) if detect(data[:8]) else data
    text = " ".join(raw.decode("utf-8", "backslashreplace").split())
    return Changelog(name, tuple(sorted(set(_CVE.findall(text)))), text)


def _forms(title: str) -> tuple[str, ...]:
    """A title as its commit has it, and without the architecture that Debian sets in front in brackets."""
    bare = _ARCHITECTURES.sub("", " ".join(title.split()))
    return tuple(dict.fromkeys((bare, _FIRST.sub("", bare))))
