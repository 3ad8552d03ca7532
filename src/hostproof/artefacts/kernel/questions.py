"""What is asked of a kernel image, beyond what every kernel is read for.

An image holds some hundred thousand symbols; a ledger needs some hundred of them. The caller says which, so that a
facts file stays small and still answers everything that the caller's rules ask. A fact that was not asked is unknown.

Names of facts that an image answers (SYMBOL without the suffixes that compilers add: `.cold`, `.isra.0`, `.constprop.0`)::

    symbol.SYMBOL            whether the image has it (kallsyms)          true, false
    symbol.MODULE.SYMBOL     whether that module has it: loadable ones in their symbol table, built-in ones in the image
    calls.FUNCTION           what the function calls or jumps to, directly, in the image: a list of symbols
    calls.MODULE.FUNCTION    the same in a module
    instruction.MNEMONIC     whether any function of the image executes it: tdcall, vmgexit, rdmsr, cpuid ...
    parameter.NAME           whether the image parses it from its command line: early_param, __setup, module_param
    initcall.FUNCTION        whether it is an initcall of the image
    section.NAME             whether the image has a section of this name, without its leading dot
    changelog.MECHANISM      whether the package's changelog names one of the titles given for it
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["SPACES", "Interface", "Questions"]

SPACES = frozenset({"symbol", "calls", "instruction", "parameter", "initcall", "section", "changelog"})
"""The name spaces of facts that an image, its modules or its package's changelog answer."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A way in which code reads host input, as it is seen in binaries.

    `functions` are names of called functions; one that ends in `*` stands for all that begin so. `instructions` are
    mnemonics. A site is one call of such a function or one such instruction.
    """

    id: str
    functions: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Questions:
    """What to look for: interfaces whose sites are counted, facts by the names above, and titles of changelog entries
    (by the name that follows `changelog.`).
    """

    interfaces: tuple[Interface, ...] = ()
    facts: frozenset[str] = frozenset()
    titles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, space: str) -> frozenset[str]:
        """What is asked in one name space, without its name: `of("symbol")` holds `tdx_early_init`."""
        head = f"{space}."
        return frozenset(name[len(head) :] for name in self.facts if name.startswith(head))

    def digest(self) -> str:
        """SHA-256 of everything that is asked: answers to other questions are other answers."""
        lines = [repr(interface) for interface in sorted(self.interfaces, key=lambda interface: interface.id)]
        lines += sorted(self.facts)
        lines += [f"{name}={titles!r}" for name, titles in sorted(self.titles.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
