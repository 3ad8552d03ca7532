"""Malformed, arbitrary and very large command lines: a result or a located error, in bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.machine.qemu import is_qemu, read, read_argv
from hostproof.artefacts.machine.qemu.options import OPTIONS
from hostproof.errors import HostproofError, InputError
from hostproof.place import Place

CORPUS = Path(__file__).parents[3] / "corpus" / "qemu"
SAMPLES = sorted(path for path in CORPUS.iterdir() if path.name != "base.cfg")


MALFORMED = {
    "nothing": b"",
    "no command": b"echo hello",
    "open single quote": b"qemu-system-x86_64 -name 'a",
    "open double quote": b'qemu-system-x86_64 -name "a',
    "open substitution": b"qemu-system-x86_64 -name $(a",
    "open brace": b"qemu-system-x86_64 -name ${a",
    "open backquote": b"qemu-system-x86_64 -name `a",
    "option without argument": b"qemu-system-x86_64 -machine",
    "broken JSON": b"qemu-system-x86_64 -machine q35 -device '{\"driver\":'",
    "deep JSON": b"qemu-system-x86_64 -machine q35 -device '" + b'{"a":' * 200 + b"1" + b"}" * 200 + b"'",
    "deep JSON array": b"[" * 100_000,
    "array of numbers": b"[1, 2]",
    "not UTF-8": b"qemu-system-x86_64 -name \xff",
    "help": b"qemu-system-x86_64 -help",
    "device help": b"qemu-system-x86_64 -machine q35 -device help",
    "too many arguments": b"qemu-system-x86_64 " + b"-S " * 100_000,
    "too many files": b"qemu-system-x86_64 -machine pc" + b" -readconfig a" * 17,
    "too large": b"qemu-system-x86_64 " + b"a" * 3_000_000,
    "too many keys": b"qemu-system-x86_64 -machine q35 -device a" + b",b" * 20_000,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_input_gives_a_located_error(case: str) -> None:
    with pytest.raises(InputError) as caught:
        read(MALFORMED[case], "sample")

    assert caught.value.place is not None
    assert caught.value.place.artefact == "sample"
    assert caught.value.expected


def test_an_argv_of_100_000_arguments_is_refused() -> None:
    with pytest.raises(InputError, match="100000 arguments"):
        read_argv([("-S", Place("x"))] * 100_000, "x", "qemu-argv")


HEAVY = {
    "globals and devices": ["-global", "edu.a=b"] * 2000 + ["-device", "edu"] * 2000,
    "one disk, then -set": ["-drive", "if=none,id=a,file=b"] + ["-set", "drive.a.b=c"] * 4000,
    "block chain": [
        word
        for number in range(64)
        for word in ("-blockdev", f"raw,node-name=n{number},file=n{number + 1}" + ",a=b" * 900)
    ]
    + ["-device", "virtio-blk-pci,drive=n0"] * 3900,
    "cards": ["-nic", "user"] * 4000,
    "objects": ["-object", "sev-guest,id=a"] * 4000,
    "unknown options": ["-a"] * 8000,
}


@pytest.mark.parametrize("case", HEAVY)
def test_the_largest_command_lines_take_seconds_at_most(case: str) -> None:
    argv = [("qemu-system-x86_64", Place("x")), *((text, Place("x")) for text in HEAVY[case])]
    begun = time.process_time()
    machine = read_argv(argv, "x", "qemu-argv")

    assert machine.vmm == "qemu"
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("config", [b'key = "early"', b"[device", b"[device]\nx = y", b"\xff"])
def test_a_malformed_configuration_file_is_refused(config: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read(b"qemu-system-x86_64 -machine pc -readconfig c", "x", companions={"c": config})

    assert caught.value.place is not None
    assert caught.value.place.artefact == "c"


@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_a_result_or_our_error(data: bytes) -> None:
    is_qemu(data)
    try:
        read(b"qemu-system-x86_64 " + data, "x")
    except HostproofError:
        return


OPTION_NAMES = st.sampled_from(sorted(OPTIONS))
VALUES = st.text("abq35=,.:{}[]\"'$ \n0x1-id", max_size=30)


@settings(max_examples=200)
@given(st.lists(st.one_of(OPTION_NAMES.map(lambda name: f"-{name}"), VALUES), max_size=12))
def test_arbitrary_arguments_give_a_result_or_our_error(argv: list[str]) -> None:
    try:
        read_argv([(text, Place("x")) for text in ["qemu-system-x86_64", *argv]], "x", "qemu-argv")
    except HostproofError:
        return


@settings(max_examples=100)
@given(st.data())
def test_mutated_samples_give_a_result_or_our_error(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(SAMPLES))
    text = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        position = data.draw(st.integers(0, len(text) - 1))
        text[position : position + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=4))
    try:
        read(bytes(text), path.name, companions={"base.cfg": (CORPUS / "base.cfg").read_bytes()})
    except HostproofError:
        return
