"""What tar and cpio archives have in common: members of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field

from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.errors import InputError

__all__ = ["Member", "inside"]


@dataclass(slots=True)
class Member:
    """One member. Its bytes can be read once, before the next member is asked for.

    `kind` is `file`, `symlink`, `hardlink`, `directory` or `other`; `target` is what a link names, as written.
    `also` are further names of the same file (hard links that came before their data, as cpio writes them).
    """

    name: str
    kind: str
    size: int
    stream: ByteStream = field(repr=False)
    limits: Limits = field(repr=False)
    target: str = ""
    also: tuple[str, ...] = ()
    taken: bool = False

    def read(self) -> memoryview:
        """The bytes of the file. Raises InputError where they are more than may be looked into, or cut off."""
        if self.size > self.limits.member_bytes:
            raise InputError(
                f"{self.name[:200]!r} says {self.size} bytes",
                place=self.stream.place(),
                expected=f"at most {self.limits.member_bytes >> 20} MiB in one member",
            )
        self.taken = True
        return self.stream.read(self.size, repr(self.name[:200]))


def inside(name: str) -> str | None:
    """`name` as a path below the archive's root without `./`, or None where it leads outwards (`..`, absolute)."""
    if name.startswith("/") or "\0" in name:
        return None
    if "//" in name or name.startswith("./") or "/." in name or name.startswith(".."):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        return None if ".." in parts else "/".join(parts)
    return name.rstrip("/")
