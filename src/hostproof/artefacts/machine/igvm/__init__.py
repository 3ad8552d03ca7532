"""IGVM: images and the manifests that they are built from."""

from hostproof.artefacts.machine.igvm.reader import read

__all__ = ["read"]
