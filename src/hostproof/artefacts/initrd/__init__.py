"""Initial RAM file systems: what the kernel unpacks at boot, and what of it can load a module."""
