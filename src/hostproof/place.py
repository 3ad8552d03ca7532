"""Where a fact was read.

Every fact that hostproof shows says which input it came from and where in it, so that a person can look for himself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in an input.

    `artefact` is the input as the user named it; a member of an archive follows after `!` (`kernel.deb!boot/config-6.1`).
    `line` and `column` count from 1, `offset` counts bytes from 0. `path` is the position in the structure of the
    input as its own field writes it (`domain/devices/interface[2]`, `-device #3`, `hypervisor.qemu.image`).
    """

    artefact: str
    line: int | None = None
    column: int | None = None
    offset: int | None = None
    path: str | None = None

    def at(
        self,
        *,
        line: int | None = None,
        column: int | None = None,
        offset: int | None = None,
        path: str | None = None,
    ) -> Place:
        """The same artefact at another position; what is not given stays as it is."""
        return replace(
            self,
            line=self.line if line is None else line,
            column=self.column if column is None else column,
            offset=self.offset if offset is None else offset,
            path=self.path if path is None else path,
        )

    def __str__(self) -> str:
        """`vm.xml:12:3 (domain/os)`, `bzImage+0x1f1`: the form that editors and people read."""
        text = self.artefact
        if self.line is not None:
            text += f":{self.line}"
            if self.column is not None:
                text += f":{self.column}"
        if self.offset is not None:
            text += f"+{self.offset:#x}"
        if self.path:
            text += f" ({self.path})"
        return text
