"""Where the tables of kallsyms lie in an unpacked kernel, found by their structure.

SOURCE: `scripts/kallsyms.c` (`write_src`) and `kernel/kallsyms.c` of the releases named. `word` is 8 bytes on 64-bit
kernels and 4 on others, every table starts at a multiple of it (of 4 since 7.0), N is the number of symbols::

    kallsyms_num_syms      N: 4 bytes; a word in 4.19 (80ffbaa5b1bd made it and the markers smaller)
    kallsyms_names         per symbol a length and as many bytes, each the number of a token. Since 6.1 a length above
                           127 takes two bytes (73bbb94466fd): 7 low bits with bit 7 set, then the rest
    kallsyms_markers       offset in the names of every 256th symbol: 4 bytes each; a word in 4.19
    kallsyms_seqs_of_names since 6.2, and in stable releases: 3 bytes per symbol, first 4 (19bd8981dc2e)
    kallsyms_token_table   256 NUL-terminated texts; a character that names use stands for itself
    kallsyms_token_index   256 offsets in the token table, 2 bytes each

In the order above, and before `kallsyms_num_syms` up to 6.3, after `kallsyms_token_index` since 6.4 (404bad70fcf7), one of::

    kallsyms_offsets, kallsyms_relative_base    4 bytes each, then a word (until 6.19)
    kallsyms_addresses                          a word each: without KALLSYMS_BASE_RELATIVE (until 6.10)
    kallsyms_offsets                            4 bytes each, to be added to where each lies (since 7.0, a081b5789255)

The anchor is the token table: the digits stand for themselves, and the token index says where the others must be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from hostproof.artefacts.kernel.symbols import UntoldSymbols
from hostproof.place import Place

__all__ = ["Form", "NameTables", "find_name_tables", "up"]

Words = npt.NDArray[np.int64]

DIGITS = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00"
PROC_NAME = b"\0kallsyms\0"  # of kernel/kallsyms.c, and of a member of struct module: both need CONFIG_KALLSYMS
ALIGNED = 4  # every table at least
TOKENS = 256
PER_MARKER = 256
CANDIDATES = 64  # runs of digits that are looked at
TOKEN_TABLES = 4  # that agree with their index
MARKER_RUNS = 8  # rising runs that are looked at
WINDOW = 16 << 20  # before the token table: markers and sequence numbers of four million symbols
MAX_SYMBOLS = 1 << 22
SMALLEST, LARGEST = 2 * PER_MARKER, 516 * PER_MARKER  # bytes that 256 names may take
MAX_WORK = 8 * MAX_SYMBOLS  # names that are walked over in search of the right tables
SMALLEST_WORK = 1 << 16  # what a walk counts as at least


@dataclass(slots=True)
class Work:
    """How many names may still be walked over: an image made for it would have thousands of tables to try."""

    left: int


@dataclass(frozen=True, slots=True)
class Form:
    """How the kernel writes numbers: the byte order as numpy spells it (`<`, `>`) and the size of a pointer in bytes."""

    order: str
    word: int


@dataclass(frozen=True, slots=True)
class NameTables:
    """The tables that every layout has, as offsets into the kernel; `starts` and `lengths` are those of the encoded names
    (the first token, the number of tokens), one per symbol.
    """

    form: Form
    count_at: int
    names_at: int
    markers_at: int
    token_table: int
    token_index: int
    offsets: npt.NDArray[np.int64]
    starts: Words
    lengths: Words
    big_lengths: bool

    @property
    def count(self) -> int:
        return len(self.starts)

    @property
    def after(self) -> int:
        """Where the token index ends, and the next table may start."""
        return self.token_index + 2 * TOKENS


def up(offset: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-offset // step) * step


def find_name_tables(data: bytes, name: str, form: Form) -> NameTables | None:
    """The tables of names, or None where no token table is found: the kernel has no kallsyms then.

    Raises UntoldSymbols where there is a token table and nothing that it belongs to, or none and the kernel must have one.
    """
    token_tables = list(islice(_token_tables(data, form), TOKEN_TABLES))
    work = Work(MAX_WORK)
    for start, index_at, offsets in token_tables:
        for width in (4, 8) if form.word == 8 else (4,):
            for markers_at, markers in _marker_runs(data, start, form.order, width):
                found = _names(data, form, markers_at, markers, (start, index_at, offsets), work)
                if found is not None:
                    return found
    if token_tables:
        raise UntoldSymbols(
            "a token table of kallsyms without names that it belongs to",
            place=Place(name, offset=token_tables[0][0]),
            expected="kallsyms_num_syms, kallsyms_names and kallsyms_markers before it, as scripts/kallsyms.c writes them",
            hint="the image is damaged, or newer than this reader",
        )
    traces = data.find(PROC_NAME)
    if traces >= 0:
        raise UntoldSymbols(
            "a kernel that names its /proc/kallsyms, and no token table",
            place=Place(name, offset=traces),
            expected="kallsyms_token_table, and a kallsyms_token_index that agrees with it",
            hint="the image is damaged, or newer than this reader",
        )
    return None


def _token_tables(data: bytes, form: Form) -> Iterator[tuple[int, int, Words]]:
    """Token tables that their index agrees with: start, where the index lies, the offsets in it."""
    zero = -1
    for _ in range(CANDIDATES):
        zero = data.find(DIGITS, zero + 1)
        if zero < 0:
            return
        texts = data[zero : zero + (1 << 16)].split(b"\0", TOKENS - 0x30)
        if len(texts) <= TOKENS - 0x30:
            continue
        sizes = np.array([len(text) + 1 for text in texts[:-1]], dtype=np.int64)
        distances = np.concatenate(([0], np.cumsum(sizes)))
        end = zero + int(distances[-1])
        for index_at in range(up(end, ALIGNED), up(end, ALIGNED) + 64, ALIGNED):
            if index_at + 2 * TOKENS > len(data):
                break
            index = np.frombuffer(data, form.order + "u2", TOKENS, index_at).astype(np.int64)
            start = zero - int(index[0x30])
            if index[0] or start < 0 or not np.array_equal(index[0x30:] - index[0x30], distances[:-1]):
                continue
            heads = data[start:zero].split(b"\0")
            if len(heads) == 0x31 and np.array_equal(np.cumsum([len(text) + 1 for text in heads[:-1]]), index[1:0x31]):
                yield start, index_at, index
                break


def _marker_runs(data: bytes, token_table: int, order: str, width: int) -> Iterator[tuple[int, Words]]:
    """Runs of numbers before the token table that rise from zero as markers do, longest first."""
    size = min(token_table, WINDOW) // width * width
    at = token_table - size
    words = np.frombuffer(data, f"{order}u{width}", size // width, at)
    steps = words[1:] - words[:-1]
    rising = (words[1:] > words[:-1]) & (steps >= SMALLEST) & (steps <= LARGEST)
    firsts = np.flatnonzero(rising & (words[:-1] == 0))
    if not len(firsts):
        return
    breaks = np.append(np.flatnonzero(~rising), len(rising))
    ends = breaks[np.searchsorted(breaks, firsts)] + 1
    for run in np.argsort(firsts - ends, kind="stable")[:MARKER_RUNS]:
        yield at + width * int(firsts[run]), words[firsts[run] : ends[run]].astype(np.int64)


def _names(
    data: bytes, form: Form, markers_at: int, markers: Words, tokens: tuple[int, int, Words], work: Work
) -> NameTables | None:
    """The names that these markers point into: the count before them and the chain of lengths must agree."""
    for surplus in range(min(3, len(markers) - 1)):  # what follows the markers may look like one more
        used = markers[: len(markers) - surplus]
        high = PER_MARKER * len(used)
        last = markers_at - int(used[-1])
        first = max(0, up(last - LARGEST, ALIGNED))
        window = np.frombuffer(data, form.order + "u4", max(0, last - first) // 4, first)
        for hit in np.flatnonzero((window > high - PER_MARKER) & (window <= min(high, MAX_SYMBOLS)))[::-1]:
            count, count_at = int(window[hit]), first + 4 * int(hit)
            for names_at in sorted({count_at + 4, up(count_at + 4, form.word)}, reverse=True):
                for big in (True, False):
                    work.left -= max(count, SMALLEST_WORK)
                    if work.left < 0:
                        return None
                    chain = _chain(data, names_at, markers_at, used, count, big=big)
                    if chain is not None:
                        return NameTables(form, count_at, names_at, markers_at, *tokens, *chain, big_lengths=big)
    return None


def _chain(
    data: bytes, names_at: int, markers_at: int, markers: Words, count: int, *, big: bool
) -> tuple[Words, Words] | None:
    """Follows the lengths of all names, 256 at a time from each marker; None where they do not meet the next marker."""
    raw = np.frombuffer(data, np.uint8, markers_at - names_at + 2, names_at)
    limit = markers_at - names_at
    position = markers.copy()
    starts = np.zeros((PER_MARKER, len(markers)), dtype=np.int64)
    lengths = np.zeros((PER_MARKER, len(markers)), dtype=np.int64)
    in_last = count - PER_MARKER * (len(markers) - 1)
    for step in range(PER_MARKER):
        if step == in_last:
            if not limit - 8 < int(position[-1]) <= limit:
                return None
            position = position[:-1]
        active = len(position)
        if active and (int(position.max()) >= limit):
            return None
        length = raw[position].astype(np.int64)
        if big:
            two = length >= 0x80
            length = np.where(two, (length & 0x7F) | (raw[position + 1].astype(np.int64) << 7), length)
            position = position + two
        if not length.all():
            return None
        starts[step, :active] = position + 1
        lengths[step, :active] = length
        position = position + 1 + length
    if in_last == PER_MARKER:
        if not limit - 8 < int(position[-1]) <= limit:
            return None
        position = position[:-1]
    if not np.array_equal(position, markers[1:]):
        return None
    return starts.T.reshape(-1)[:count] + names_at, lengths.T.reshape(-1)[:count]
