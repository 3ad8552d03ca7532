"""Lines on a terminal: headings, items with a hanging indent, and a console that writes into memory.

Whatever is printed here has gone through `visible` and is a `Text`, which carries no markup. There are no boxes: the
output of every report can be pasted into a mail.
"""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

from hostproof.knowledge.terms import Status
from hostproof.report.words import visible

__all__ = ["STYLES", "Page", "capture", "finished"]

STYLES = {
    Status.OPEN: "bold red",
    Status.UNKNOWN: "yellow",
    Status.ACCEPTED: "magenta",
    Status.HARDENED: "cyan",
    Status.SEALED: "green",
    Status.REFUSED: "green",
    Status.ATTESTED: "green",
    Status.PREVENTED: "green",
    Status.OUT_OF_SCOPE: "dim",
    Status.ABSENT: "dim",
}

_NARROWEST = 20


class Page:
    """A console as a page of indented lines. Words longer than a line are broken, never lost."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = max(console.width, _NARROWEST)

    def blank(self) -> None:
        """An empty line."""
        self._print(Text(""))

    def heading(self, text: str, style: str = "bold") -> None:
        """A line of its own after an empty one."""
        self.blank()
        self.item(text, style=style)

    def item(
        self, text: str, *, indent: int = 0, label: str = "", column: int = 0, style: str = "", label_style: str = ""
    ) -> None:
        """`label` at `indent`, then `text` from `column` on (two columns further in where it is not given).

        The lines that follow stand at `column` as well. A label that reaches beyond it gets a line of its own, and a
        page too narrow for the column moves it to the left.
        """
        hang = min(column or indent + 2, self._width // 3)
        head = Text(" " * min(indent, hang)).append(visible(label), style=label_style)
        if label and head.cell_len >= hang:
            for line in self._wrapped(head, 0):
                self._print(line)
            head = Text("")
        if label or column:
            head.append(" " * (hang - head.cell_len))
        for line in self._wrapped(Text(visible(text), style=style), hang):
            self._print(head.append_text(line))
            head = Text(" " * hang)

    def _wrapped(self, text: Text, hang: int) -> list[Text]:
        return list(text.wrap(self._console, self._width - hang, overflow="fold"))

    def _print(self, line: Text) -> None:
        line.rstrip()
        self._console.print(line, no_wrap=True, overflow="ignore", crop=False)


def capture(width: int, color: bool) -> Console:
    """A console that writes into memory and does not ask the machine it runs on for a terminal."""
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        force_jupyter=False,
        force_interactive=False,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )


def finished(console: Console) -> str:
    """What was written on a console of `capture`."""
    buffer = console.file
    if not isinstance(buffer, io.StringIO):
        raise TypeError("the console was not made by `capture`")
    return buffer.getvalue()
