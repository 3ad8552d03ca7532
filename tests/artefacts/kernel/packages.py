"""The modules in a distribution's kernel package, for tests that compare what was read with other tools."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from hostproof.artefacts.archive import ar, tar
from hostproof.artefacts.archive.decompress import chunks, detect, whole
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.artefacts.kernel.module import SUFFIXES


def modules(package: Path, every: int = 1) -> Iterator[tuple[str, bytes]]:
    """Path below the modules directory and unpacked bytes of every n-th module of a Debian package."""
    with package.open("rb") as file:
        region = Region.of_descriptor(file.fileno(), package.name)
        data = next(part for name, part in ar.members(region) if name.startswith("data.tar"))
        with closing(chunks(data, workers=2)) as stream:
            found = (member for member in tar.members(ByteStream(stream, data.name)) if member.name.endswith(SUFFIXES))
            for number, member in enumerate(found):
                if number % every == 0:
                    raw = bytes(member.read())
                    path = member.name.partition("/modules/")[2].partition("/")[2]
                    yield path, bytes(whole(raw, member.name)) if detect(raw[:8]) else raw
