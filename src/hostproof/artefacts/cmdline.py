r"""Kernel command lines, split as the kernel splits them.

SOURCE: `lib/cmdline.c` (next_arg), `kernel/params.c` (parse_args, parameq) and `init/main.c` of Linux: parameters are
separated by white space outside of double quotes; the first `=` that is not the first character ends the name; quotes
around a value, or around name and value together, are no part of it; `-` and `_` are the same in names; a bare `--`
ends the kernel's part, and the rest belongs to init.

Code that runs before the parser (the decompressor, early set-up on arm64) scans the text in its own way and may see
a parameter that the parser does not, for example after `--`. `COMMAND_LINE_SIZE` is the architecture's
(`asm/setup.h`): the kernel cuts longer lines off, and `parse` says so in a note.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["COMMAND_LINE_SIZE", "CommandLine", "Parameter", "parse"]

COMMAND_LINE_SIZE = {"x86_64": 2048, "i686": 2048, "aarch64": 2048, "s390x": 4096, "riscv64": 1024}
"""Bytes of a command line with its NUL, as mainline defines them (s390: CONFIG_COMMAND_LINE_SIZE, 4096 by default)."""

MAX_LENGTH = 65_536
_SPACE = frozenset(" \t\n\v\f\r\xa0")  # isspace() of lib/ctype.c, which counts 0xa0


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name with `_` for `-`, as written, its value (None where there is no `=`), its column from 1."""

    name: str
    written: str
    value: str | None
    column: int


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A parsed command line. `init_arguments` stand after `--`; `notes` are sentences that a person should know."""

    text: str
    place: Place
    parameters: tuple[Parameter, ...]
    init_arguments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def all(self, name: str) -> tuple[Parameter, ...]:
        """Every occurrence of a parameter; `-` and `_` are the same."""
        wanted = name.replace("-", "_")
        return tuple(parameter for parameter in self.parameters if parameter.name == wanted)

    def get(self, name: str) -> str:
        """`unset` where the parameter is absent, `set` where it stands without a value, else its value; the values of
        several occurrences are joined by `,`.
        """
        values = ["set" if parameter.value is None else parameter.value for parameter in self.all(name)]
        return ",".join(values) if values else "unset"

    def place_of(self, name: str) -> Place:
        """Where the last occurrence stands (the one that most options obey), or the line where there is none."""
        found = self.all(name)
        if not found:
            return self.place
        column = found[-1].column + (self.place.column - 1 if self.place.column else 0)
        return self.place.at(column=column, line=self.place.line or 1)

    def module_blacklist(self) -> tuple[str, ...]:
        """The modules that the kernel refuses to load, whoever asks.

        Of several `module_blacklist=` the last one holds. Names are compared byte by byte with the module's own, which
        has underscores (`kernel/module/main.c`, blacklisted()): an entry with `-` keeps nothing out and is left out here.
        """
        last = self.all("module_blacklist")[-1:]
        names = (last[0].value or "").split(",") if last else []
        return tuple(dict.fromkeys(name for name in names if name and "-" not in name))

    def modprobe_blacklist(self) -> tuple[str, ...]:
        """The modules whose aliases modprobe ignores (`modprobe.blacklist=`, which adds up); canonical names.

        Weaker than `module_blacklist`: a module is still loaded by name, or because another one needs it.
        """
        words = [parameter.value or "" for parameter in self.all("modprobe.blacklist")]
        names = (name.replace("-", "_") for word in words for name in word.split(","))
        return tuple(dict.fromkeys(name for name in names if name))


def parse(text: str, place: Place, architecture: str = "x86_64") -> CommandLine:
    """The parameters of a command line that stands at `place`. Raises InputError where it is absurdly long."""
    if len(text) > MAX_LENGTH:
        raise InputError(
            f"a command line of {len(text)} characters",
            place=place,
            expected=f"at most {MAX_LENGTH}; kernels take {COMMAND_LINE_SIZE['x86_64']} on x86",
        )
    seen, notes = _visible(text, architecture)
    parameters: list[Parameter] = []
    position = _skip(seen, 0)
    while position < len(seen):
        start = position
        parameter, position = _next(seen, position)
        position = _skip(seen, position)
        if parameter.written == "--" and parameter.value is None:
            return _noted(text, place, parameters, _init(seen, position), notes)
        if _unbalanced(seen[start:position]):
            notes.append(f"an unbalanced quote at column {start + 1} runs to the end of the line")
        parameters.append(parameter)
    return _noted(text, place, parameters, (), notes)


def _noted(
    text: str, place: Place, parameters: list[Parameter], init: tuple[str, ...], notes: list[str]
) -> CommandLine:
    """The command line, with notes on what it holds in vain."""
    blacklists = [parameter for parameter in parameters if parameter.name == "module_blacklist"]
    if len(blacklists) > 1:
        notes.append("module_blacklist= stands more than once; the kernel obeys the last one alone")
    vain = [name for name in (blacklists[-1].value or "").split(",") if "-" in name] if blacklists else []
    if vain:
        notes.append(f"module_blacklist= names {vain[0][:80]!r}: modules have underscores, so this keeps nothing out")
    return CommandLine(text, place, tuple(parameters), init, tuple(notes))


def _visible(text: str, architecture: str) -> tuple[str, list[str]]:
    """The part of the text that the kernel sees, and notes on what it does not."""
    notes = []
    seen, nul, _ = text.partition("\0")
    if nul:
        notes.append(f"a NUL at column {len(seen) + 1} ends the command line")
    size = COMMAND_LINE_SIZE.get(architecture, COMMAND_LINE_SIZE["x86_64"])
    raw = seen.encode("utf-8", "surrogatepass")
    if len(raw) >= size:
        notes.append(f"{len(raw)} bytes: {architecture} kernels cut the command line off after {size - 1}")
        seen = raw[: size - 1].decode("utf-8", "ignore")
    return seen, notes


def _next(text: str, start: int) -> tuple[Parameter, int]:
    """The parameter that starts at `start`, and the position after it (next_arg)."""
    quoted = text[start] == '"'
    begin = start + 1 if quoted else start
    within = quoted
    equals = -1
    end = begin
    while end < len(text):
        character = text[end]
        if character in _SPACE and not within:
            break
        if character == "=" and equals < 0 and end > begin:
            equals = end
        if character == '"':
            within = not within
        end += 1
    stop = end
    value = None
    if equals >= 0:
        first = equals + 1
        if text[first : first + 1] == '"':
            first += 1
            if stop > first - 1 and text[stop - 1] == '"':
                stop = max(stop - 1, first)
        value = text[first:stop]
        if quoted and value.endswith('"') and stop == end:
            value = value[:-1]
        written = text[begin:equals]
    else:
        written = text[begin : end - 1] if quoted and end > begin and text[end - 1] == '"' else text[begin:end]
    return Parameter(written.replace("-", "_"), written, value, start + 1), end


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _init(text: str, position: int) -> tuple[str, ...]:
    """What follows `--`, split by the same rules."""
    arguments = []
    position = _skip(text, position)
    while position < len(text):
        parameter, end = _next(text, position)
        written = parameter.written if parameter.value is None else f"{parameter.written}={parameter.value}"
        arguments.append(written)
        position = _skip(text, end)
    return tuple(arguments)


def _unbalanced(part: str) -> bool:
    return part.count('"') % 2 == 1
