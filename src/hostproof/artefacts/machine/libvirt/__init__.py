"""libvirt domain XML, read in parts as libvirt's own drivers have them.

`xml` gives located elements and `vocabulary` says which of them matter; `board`, `boot`, `security` and `inputs` read
what is no device; `io`, `storage` and `other` plan the devices, `implicit` adds libvirt's own, `pci` gives each its slot.
`reader` joins them; `capabilities` reads what a host offers.
"""

from hostproof.artefacts.machine.libvirt.reader import is_libvirt, read

__all__ = ["is_libvirt", "read"]
