"""Device trees, as source (DTS) or flattened (DTB)."""

from hostproof.artefacts.machine.device_tree.reader import AcceptedNode, DeviceTree, accepted_devices, read

__all__ = ["AcceptedNode", "DeviceTree", "accepted_devices", "read"]
