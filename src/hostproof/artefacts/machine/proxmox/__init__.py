"""Proxmox VE: a VM's configuration.

`conf` is the file's format, `devices` what Proxmox gives the VM for each key, `reader` joins them.
"""

from hostproof.artefacts.machine.proxmox.reader import HOST_KEYS, READ_KEYS, is_proxmox, read

__all__ = ["HOST_KEYS", "READ_KEYS", "is_proxmox", "read"]
