"""What a kernel image answers to the questions that were asked of it (`hostproof.artefacts.kernel.questions`).

Every answer rests on a symbol, an instruction, an entry of a table or a section, and says where that lies in the
unpacked image. What the image cannot tell is answered None, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from hostproof.artefacts.kernel.facts import Answer
from hostproof.artefacts.kernel.image_code import (
    ARCHITECTURES,
    REPLACEMENTS,
    Functions,
    calls_of,
    holder,
    source_name,
    starts_in,
)
from hostproof.artefacts.kernel.init_tables import (
    Entry,
    Table,
    initcalls,
    module_parameters,
    parameter_name,
    setup_parameters,
)
from hostproof.artefacts.kernel.instructions import MNEMONICS, find_instructions
from hostproof.artefacts.kernel.module import canonical
from hostproof.artefacts.kernel.questions import Questions
from hostproof.artefacts.kernel.symbols import Symbol, Symbols
from hostproof.artefacts.kernel.vmlinux import Vmlinux

__all__ = ["image_answers"]

Answers = Iterator[tuple[str, Answer]]

_SAME = 256
"""So many symbols of one name are looked at; Debian's 7.2.13 has 19 functions `type_show`, the most of one name."""
_WHOLE_PROGRAM = (".llvm.", ".lto_priv.")
"""What link-time optimisation appends to names of files that it makes known to others (CONFIG_LTO_CLANG; Android's kernels)."""
_STUB = {"x86_64": frozenset({"mem_encrypt", "no5lvl", "nokaslr"})}
"""Parameters that only the stub reads which unpacks the kernel, and which the unpacked kernel need not know.

SOURCE: `arch/x86/boot/compressed/{kaslr,pgtable_64,misc}.c` (Linux 6.12); `mem_encrypt` since cd0d9d92c8bb.
"""


def image_answers(
    kernel: Vmlinux, symbols: Symbols, questions: Questions, builtin: Collection[str] | None
) -> dict[str, Answer]:
    """The answers to what is asked of the image, by the name of the fact, in order.

    `builtin` are the names of built-in modules. Facts of other modules (`symbol.MODULE.SYMBOL`) are not answered here, and
    none of any module where `builtin` is None.
    """
    functions = Functions(symbols)
    answers: dict[str, Answer] = {}
    answers |= _symbols(kernel, symbols, _of_image(questions.of("symbol"), builtin))
    answers |= _calls(kernel, functions, _of_image(questions.of("calls"), builtin))
    answers |= _instructions(kernel, functions, sorted(questions.of("instruction")))
    answers |= _parameters(kernel, symbols, functions, sorted(questions.of("parameter")))
    answers |= _initcalls(kernel, symbols, functions, sorted(questions.of("initcall")))
    answers |= _sections(kernel, sorted(questions.of("section")))
    return dict(sorted(answers.items()))


def _of_image(asked: Collection[str], builtin: Collection[str] | None) -> dict[str, str]:
    """What is asked of the image itself or of a built-in module: the symbol by the rest of the fact's name."""
    known = {canonical(name) for name in builtin or ()}
    split = {rest: rest.partition(".") for rest in asked}
    return {
        rest: name if dot else first
        for rest, (first, dot, name) in split.items()
        if not dot or canonical(first) in known
    }


def _named(symbols: Symbols, names: Collection[str]) -> dict[str, list[Symbol]]:
    """Every symbol of each name, also where several files have one, with those that compilers split off."""
    wanted = frozenset(names)
    found: dict[str, list[Symbol]] = {name: [] for name in wanted}
    for index, name in enumerate(symbols.names):
        source = source_name(name)
        if source in wanted and len(found[source]) < _SAME:
            found[source].append(symbols.symbol(index))
    for source, variants in found.items():
        variants.sort(key=lambda symbol: (symbol.name != source, "." in symbol.name, symbol.address))
    return found


def _several(found: Sequence[Symbol], name: str) -> str:
    """A remark where several symbols have the name."""
    same = sum(symbol.name == name for symbol in found)
    return f"{same} symbols have this name" if same > 1 else ""


def _symbols(kernel: Vmlinux, symbols: Symbols, asked: dict[str, str]) -> Answers:
    found = _named(symbols, asked.values()) if asked else {}
    optimised = bool(asked) and _across_files(symbols)
    for rest, name in asked.items():
        each = found[name]
        if each:
            answer = Answer(True, each[0].name, kernel.offset_of(each[0].address), note=_several(each, name))
        elif optimised:
            answer = Answer(
                None, note="built with CONFIG_LTO: a function may be inlined into other files and leave no symbol"
            )
        elif symbols.complete:
            answer = Answer(False)
        else:
            answer = Answer(
                None, note="kallsyms has no symbols of data (CONFIG_KALLSYMS_ALL), and no function of this name"
            )
        yield f"symbol.{rest}", answer


def _across_files(symbols: Symbols) -> bool:
    """Whether the compiler saw all files of C at once; names of Rust (`_R...`) say that of one crate alone."""
    return any(mark in name for name in symbols.names if "." in name and name[:2] != "_R" for mark in _WHOLE_PROGRAM)


def _calls(kernel: Vmlinux, functions: Functions, asked: dict[str, str]) -> Answers:
    found = _named(functions.symbols, asked.values()) if asked else {}
    for rest, name in asked.items():
        each = [symbol for symbol in found[name] if symbol.is_function]
        if kernel.architecture not in ARCHITECTURES:
            answer = Answer(None, note=f"the text of {kernel.architecture} is not read")
        elif each:
            called = calls_of(kernel, functions, each)
            note = _several(each, name) if called is not None else "the function is longer than functions are"
            answer = Answer(called, each[0].name, kernel.offset_of(each[0].address), note=note)
        else:
            answer = Answer(None, note="no such function, or it was inlined everywhere")
        yield f"calls.{rest}", answer


def _instructions(kernel: Vmlinux, functions: Functions, asked: Sequence[str]) -> Answers:
    own = MNEMONICS.get(kernel.architecture, frozenset())
    first: dict[str, Answer] = {}
    sought = [name for name in asked if name in own]
    executable = [section for section in kernel.sections if section.executable] if sought else []
    for section in sorted(executable, key=lambda section: section.name == REPLACEMENTS):
        code, starts = kernel.bytes_of(section), starts_in(section, functions).tolist()
        missing = [name for name in sought if name not in first]
        for name, offsets in find_instructions(code, starts, kernel.architecture, missing).items():
            for offset in offsets:
                function = holder(functions, section.address + offset)
                if not function and kernel.flat:
                    continue  # data that looks like an instruction
                note = "" if function else f"in {section.name}, in no function"
                first[name] = Answer(True, function or section.name, section.offset + offset, note=note)
                break
    for name in asked:
        elsewhere = any(name in names for names in MNEMONICS.values())
        if name in own:
            answer = first.get(name, Answer(False))
        elif kernel.architecture in MNEMONICS and elsewhere:
            answer = Answer(False, note=f"{kernel.architecture} has no such instruction")
        else:
            answer = Answer(None, note=f"hostproof does not look for it in the text of {kernel.architecture}")
        yield f"instruction.{name}", answer


def _parameters(kernel: Vmlinux, symbols: Symbols, functions: Functions, asked: Sequence[str]) -> Answers:
    if not asked:
        return
    tables = (setup_parameters(kernel, symbols, functions), module_parameters(kernel, symbols))
    missing = [what for what, table in zip(("__setup", "__param"), tables, strict=True) if table is None]
    for name in asked:
        entry = _entry(parameter_name(name), tables)
        if entry is not None:
            answer = Answer(True, entry.symbol, entry.offset)
        elif parameter_name(name) in _STUB.get(kernel.architecture, ()):
            answer = Answer(
                None, note="no table names it: the stub that unpacks the kernel may read it, and is not searched"
            )
        elif missing:
            answer = Answer(None, note=f"not found: the table of {' and '.join(missing)} parameters")
        elif (offset := _text(kernel, name)) is not None:
            answer = Answer(
                None, name, offset, note="no table names it, but the image holds this text: code may look it up"
            )
        else:
            answer = Answer(False)
        yield f"parameter.{name}", answer


def _text(kernel: Vmlinux, name: str) -> int | None:
    """Where the data of the image holds the name as a whole text, as code that looks it up by itself needs it.

    Types (`.BTF`) name everything, and say nothing of parameters.
    """
    for section in kernel.sections:
        if not section.executable and (kernel.flat or section.name.startswith((".rodata", ".data", ".init.data"))):
            if section.name == ".BTF":
                continue
            for text in dict.fromkeys((name, name.replace("_", "-"))):
                at = kernel.data.find(b"\0%b\0" % text.encode(), section.offset, section.offset + section.size)
                if at >= 0:
                    return at + 1
    return None


def _initcalls(kernel: Vmlinux, symbols: Symbols, functions: Functions, asked: Sequence[str]) -> Answers:
    if not asked:
        return
    table = initcalls(kernel, symbols, functions)
    for name in asked:
        entry = _entry(name, (table,))
        if entry is not None:
            answer = Answer(True, entry.symbol, entry.offset)
        elif table is None:
            answer = Answer(None, note="not found: the table of initcalls")
        elif table.found == "structure":
            answer = Answer(None, note="the table was found by its structure: initcalls of consoles are not in it")
        else:
            answer = Answer(False)
        yield f"initcall.{name}", answer


def _entry(name: str, tables: Sequence[Table | None]) -> Entry | None:
    return next((table.entries[name] for table in tables if table is not None and name in table.entries), None)


def _sections(kernel: Vmlinux, asked: Sequence[str]) -> Answers:
    for name in asked:
        section = kernel.section(f".{name}") or kernel.section(name)
        if section is not None:
            answer = Answer(True, section.name, section.offset)
        elif kernel.flat:
            answer = Answer(None, note="the image has no section table")
        else:
            answer = Answer(False)
        yield f"section.{name}", answer
