"""Initdata of Confidential Containers: the annotation `cc_init_data`.

TOML, compressed with gzip and written in base64. Its digest becomes a launch field of the VM (host data, MRCONFIGID or
its like), and its `[data]` holds configuration files and the agent's policy.

SOURCE: confidential-containers/trustee `kbs/docs/initdata.md`; kata-containers `src/runtime/pkg/oci/utils.go` and
`src/libs/kata-types/src/initdata.rs`, commit 7c6ba40c54ea.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from dataclasses import dataclass

from hostproof.artefacts.machine.located import toml_places
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["Initdata", "decode"]

MAX_ENCODED = 1024 * 1024
MAX_DECODED = 512 * 1024
ALGORITHMS = ("sha256", "sha384", "sha512")


@dataclass(frozen=True, slots=True)
class Initdata:
    """What an annotation carries: `digest` is over the decompressed bytes, with `algorithm`; `names` are the entries
    of `[data]`.
    """

    version: str
    algorithm: str
    digest: str
    names: tuple[str, ...]


def decode(text: str, place: Place) -> Initdata:
    """The initdata in `text`. Raises InputError where it is not base64, gzip and TOML, or too large."""
    if len(text) > MAX_ENCODED:
        raise InputError("initdata is too large", place=place, expected=f"at most {MAX_ENCODED >> 10} KiB of base64")
    try:
        packed = base64.b64decode("".join(text.split()), validate=True)
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        data = unpacker.decompress(packed, MAX_DECODED + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise InputError(f"initdata: {error}", place=place, expected="base64 of gzip of TOML") from None
    if len(data) > MAX_DECODED or not unpacker.eof:
        raise InputError(
            "initdata is cut off or too large",
            place=place,
            expected=f"a whole gzip stream of at most {MAX_DECODED >> 10} KiB",
        )
    root = toml_places.read(data, f"{place.artefact}!initdata.toml")
    algorithm, version, entries = root.get("algorithm"), root.get("version"), root.get("data")
    word = algorithm.text().lower().replace("-", "") if algorithm else ""
    if word not in ALGORITHMS:
        raise InputError(f"initdata with algorithm {word[:20]!r}", place=place, expected=", ".join(ALGORITHMS))
    return Initdata(
        version=version.text() if version else "",
        algorithm=word,
        digest=hashlib.new(word, data).hexdigest(),
        names=tuple(entries.mapping()) if entries else (),
    )
