"""crosvm: its command line turned into the shape of its JSON, and that."""

from hostproof.artefacts.machine.crosvm.reader import platform, read

__all__ = ["platform", "read"]
