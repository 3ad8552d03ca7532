"""Errors that are written for people: which input, where in it, what was expected, what to do.

There is one base class and one exit point (`hostproof.cli.main`). The exit statuses are those of the command line:
2 usage, 3 an input could not be read, or a reader saw nothing where there must be something.
"""

from __future__ import annotations

from hostproof.place import Place


class HostproofError(Exception):
    """The base of every error that hostproof raises on purpose.

    `message` says what is wrong, `place` where, `expected` what should have stood there, `hint` what to do.
    """

    status = 3

    def __init__(
        self,
        message: str,
        *,
        place: Place | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.expected = expected
        self.hint = hint

    def diagnosis(self) -> str:
        """The text for a person, one to three lines without a trailing newline, whatever the input's name holds."""
        head = f"{self.place}: {self.message}" if self.place else self.message
        lines = [head]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(line.replace("\n", "\\n") for line in lines)

    def __str__(self) -> str:
        return self.diagnosis()


class InputError(HostproofError):
    """An input could not be read: malformed, truncated, beyond a limit, or empty where there must be something."""


class UsageError(HostproofError):
    """The words of the command line do not fit together."""

    status = 2


class CatalogueError(HostproofError):
    """A catalogue, use, waiver or policy file of hostproof's own formats is wrong."""
