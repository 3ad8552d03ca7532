"""IGVM: images and the manifests that they are built from."""

from hostproof.artefacts.machine.igvm.reader import SNP_DEBUG, TDX_DEBUG, TDX_MIGRATABLE, TDX_SEPT_VE_DISABLE, read

__all__ = ["SNP_DEBUG", "TDX_DEBUG", "TDX_MIGRATABLE", "TDX_SEPT_VE_DISABLE", "read"]
