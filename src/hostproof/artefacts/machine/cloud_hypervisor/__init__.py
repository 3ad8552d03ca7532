"""Cloud Hypervisor: its JSON `VmConfig`, and its command line turned into that."""

from hostproof.artefacts.machine.cloud_hypervisor.reader import board, read

__all__ = ["board", "read"]
