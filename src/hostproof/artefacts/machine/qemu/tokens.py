"""Splitting a QEMU command line into its arguments, with the place of each

A command line comes as a shell line or a script around it, as a list of arguments in a file, as `/proc/PID/cmdline`
(NUL after each argument) or as a JSON array of strings. The shell's quoting is read; nothing of it is executed: a variable
or a command substitution stays in the argument as it was written, and the argument says that it is unresolved.

SOURCE: POSIX.1-2017, Shell Command Language, sections 2.2 (quoting), 2.3 (token recognition), 2.6 (word expansions),
2.7 (redirection); proc(5) for `/proc/PID/cmdline`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hostproof.artefacts.machine.qemu.values import json_value
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["MAX_ARGUMENTS", "MAX_BYTES", "Command", "Word", "commands", "text_of"]

MAX_BYTES = 2 * 1024 * 1024
"""Linux lets a process have at most 6 MiB of arguments by default; no real QEMU comes near a tenth of this."""
MAX_ARGUMENTS = 8192
"""Arguments of one QEMU command; a VM with a hundred devices has about a thousand."""
MAX_WORDS = 200_000
"""Words of a whole script."""

_PLAIN = re.compile(r"[^\s'\"\\$`;&|()<>#]+")
_IN_DOUBLE_QUOTES = re.compile(r'[^"\\$`]+')
_BRACKETS = {"(": re.compile(r"[()]"), "{": re.compile(r"[{}]")}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")
_HEREDOC = re.compile(r"<<-?[ \t]*(\\?['\"]?)([A-Za-z0-9_.!-]+)['\"]?")
_REDIRECTION = re.compile(r"(?:<<<|[<>][<>&|]?)")
_ANSI_C = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


@dataclass(frozen=True, slots=True)
class Word:
    """One argument. `unresolved` are the expansions of the shell that stand in it as written (`$MEM`)."""

    text: str
    place: Place
    unresolved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """The words of one command, and whether the newline that ended it may be the format of a plain list of arguments."""

    words: tuple[Word, ...]
    ended_by_newline: bool = False


def text_of(data: bytes, name: str) -> str:
    """`data` as text. Raises InputError where it is too large or not UTF-8."""
    if len(data) > MAX_BYTES:
        raise InputError(f"a command line of {len(data)} bytes", place=Place(name), expected=f"at most {MAX_BYTES}")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(
            "not UTF-8 text", place=Place(name, offset=error.start), expected="a command line as text"
        ) from None


def commands(data: bytes, name: str) -> list[Command]:
    """The commands in `data`, in any of the four forms, each of a word at least.

    Raises InputError naming the place of what is malformed.
    """
    text = text_of(data, name)
    if "\0" in text:
        found = [Command(tuple(_nul_separated(data, name)))]
    elif text.lstrip().startswith("["):
        found = [Command(tuple(_json_array(text, name)))]
    else:
        found = _Shell(text, name).commands()
    count = sum(len(command.words) for command in found)
    if count > MAX_WORDS:
        raise InputError(f"a file of {count} words", place=Place(name), expected=f"at most {MAX_WORDS}")
    return [command for command in found if command.words]


def _nul_separated(data: bytes, name: str) -> list[Word]:
    words = []
    offset = 0
    for argument in data.removesuffix(b"\0").split(b"\0"):
        words.append(Word(argument.decode("utf-8"), Place(name, offset=offset)))
        offset += len(argument) + 1
    return words


def _json_array(text: str, name: str) -> list[Word]:
    value = json_value(text, Place(name))
    words = []
    for index, item in enumerate(value):
        place = Place(name, path=f"[{index}]")
        if not isinstance(item, str):
            raise InputError(f"an argument that is {type(item).__name__}", place=place, expected="a string")
        words.append(Word(item, place))
    return words


@dataclass(slots=True)
class _Shell:
    """A walk over shell text. `position` only moves forward, so that the walk is linear."""

    text: str
    name: str
    position: int = 0
    line: int = 1
    line_start: int = 0
    done: list[Command] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    parts: list[str] | None = None
    """The pieces of the word that is being read; None between words (an empty list is an empty quoted word)."""
    quoted: bool = False
    begun: Place | None = None
    unresolved: list[str] = field(default_factory=list)
    drop_next: bool = False
    heredocs: list[str] = field(default_factory=list)

    def commands(self) -> list[Command]:
        while self.position < len(self.text):
            self._step(self.text[self.position])
        self._end_command(newline=False)
        return self.done

    def _place(self) -> Place:
        return Place(self.name, line=self.line, column=self.position - self.line_start + 1)

    def _advance(self, count: int) -> str:
        """The next `count` characters; newlines among them are counted."""
        piece = self.text[self.position : self.position + count]
        newlines = piece.count("\n")
        if newlines:
            self.line += newlines
            self.line_start = self.position + piece.rindex("\n") + 1
        self.position += len(piece)
        return piece

    def _add(self, piece: str, *, quoted: bool = False) -> None:
        if self.parts is None:
            self.parts, self.quoted, self.unresolved = [], False, []
        self.quoted = self.quoted or quoted
        self.parts.append(piece)

    def _begin(self) -> None:
        if self.parts is None:
            self.begun = self._place()

    def _end_word(self) -> None:
        if self.parts is None or self.begun is None:
            return
        if self.drop_next:
            self.drop_next = False
        else:
            self.words.append(Word("".join(self.parts), self.begun, tuple(self.unresolved)))
        self.parts = None

    def _end_command(self, *, newline: bool) -> None:
        self._end_word()
        self.drop_next = False
        if self.words:
            self.done.append(Command(tuple(self.words), ended_by_newline=newline))
            self.words = []

    def _step(self, character: str) -> None:
        if character == "\n":
            self._end_command(newline=True)
            self._advance(1)
            self._skip_heredocs()
        elif character.isspace():
            self._end_word()
            self._advance(1)
        elif character == "#" and self.parts is None:
            end = self.text.find("\n", self.position)
            self._advance((len(self.text) if end < 0 else end) - self.position)
        elif character in ";&|()":
            self._end_command(newline=False)
            self._advance(1)
        elif character in "<>":
            self._redirection()
        else:
            self._begin()
            self._piece(character)

    def _piece(self, character: str) -> None:
        if character == "\\":
            pair = self._advance(2)
            if pair[1:2] not in ("\n", ""):
                self._add(pair[1:], quoted=True)
            elif pair[1:2] == "" and self.parts is None:
                self._add("")
        elif character == "'":
            self._single_quoted()
        elif character == '"':
            self._advance(1)
            self._double_quoted()
        elif character in "$`":
            self._expansion()
        elif self.parts is None and self.text.startswith('{"', self.position):
            self._bare_json()
        else:
            plain = _PLAIN.match(self.text, self.position)
            self._add(self._advance(len(plain[0]) if plain else 1))

    def _until(self, closing: str, what: str) -> str:
        start = self._place()
        end = self.text.find(closing, self.position)
        if end < 0:
            raise InputError(f"{what} that does not end", place=start, expected=f"a closing {closing}")
        return self._advance(end + 1 - self.position)[:-1]

    def _single_quoted(self) -> None:
        self._advance(1)
        self._add(self._until("'", "a single quote"), quoted=True)

    def _double_quoted(self) -> None:
        start = self._place()
        self._add("", quoted=True)
        while self.position < len(self.text):
            character = self.text[self.position]
            if character == '"':
                self._advance(1)
                return
            if character == "\\":
                pair = self._advance(2)
                self._add("" if pair[1:] == "\n" else pair[1:] if pair[1:2] in ("$", "`", '"', "\\") else pair)
            elif character in "$`":
                self._expansion()
            else:
                plain = _IN_DOUBLE_QUOTES.match(self.text, self.position)
                self._add(self._advance(len(plain[0]) if plain else 1))
        raise InputError("a double quote that does not end", place=start, expected='a closing "')

    def _expansion(self) -> None:
        """A variable or a command substitution: kept as written."""
        text, start = self.text, self.position
        if text.startswith("`", start):
            self._advance(1)
            self._until("`", "a command substitution")
        elif text.startswith(("$(", "${"), start):
            self._bracketed(text[start + 1])
        elif text.startswith("$'", start) and self.parts is None:
            self._ansi_c()
            return
        else:
            name = _NAME.match(text, start + 1)
            if name is None:
                self._add(self._advance(1))
                return
            self._advance(1 + len(name[0]))
        written = text[start : self.position]
        self._add(written)
        self.unresolved.append(written)

    def _bracketed(self, opening: str) -> None:
        start = self._place()
        closing = {"(": ")", "{": "}"}[opening]
        depth = 0
        for found in _BRACKETS[opening].finditer(self.text, self.position):
            depth += 1 if found[0] == opening else -1
            if depth == 0:
                self._advance(found.end() - self.position)
                return
        raise InputError("an expansion that does not end", place=start, expected=f"a closing {closing}")

    def _ansi_c(self) -> None:
        self._advance(2)
        self._add("", quoted=True)
        while self.position < len(self.text):
            character = self._advance(1)
            if character == "'":
                return
            if character == "\\":
                escape = self._advance(1)
                character = _ANSI_C.get(escape, escape)
            self._add(character)
        raise InputError("a quote that does not end", place=self.begun, expected="a closing '")

    def _bare_json(self) -> None:
        """A JSON object without quotes around it, as `ps` prints one: taken whole, since the shell would break it."""
        depth, quoted, escaped = 0, False, False
        for index in range(self.position, len(self.text)):
            character = self.text[index]
            if quoted:
                quoted = escaped or character != '"'
                escaped = character == "\\" and not escaped
            elif character == '"':
                quoted = True
            elif character in "{}":
                depth += 1 if character == "{" else -1
                if depth == 0:
                    self._add(self._advance(index + 1 - self.position))
                    return
        raise InputError("a JSON object that does not end", place=self._place(), expected="a closing }")

    def _redirection(self) -> None:
        if self.parts is not None and not self.quoted and "".join(self.parts).isdecimal():
            self.parts = None  # the number of a file descriptor, as in `2>file`
        self._end_word()
        heredoc = _HEREDOC.match(self.text, self.position)
        if heredoc and not self.text.startswith("<<<", self.position):
            self.heredocs.append(heredoc[2])
            self._advance(len(heredoc[0]))
            return
        operator = _REDIRECTION.match(self.text, self.position)
        self._advance(len(operator[0]) if operator else 1)
        self.drop_next = True

    def _skip_heredocs(self) -> None:
        for delimiter in self.heredocs:
            while self.position < len(self.text):
                end = self.text.find("\n", self.position)
                end = len(self.text) if end < 0 else end + 1
                if self._advance(end - self.position).strip() == delimiter:
                    break
        self.heredocs = []
