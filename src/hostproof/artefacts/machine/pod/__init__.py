"""Pods of Kubernetes that run in a VM, and the initdata that they carry."""

from hostproof.artefacts.machine.pod.reader import read, runtime_class

__all__ = ["read", "runtime_class"]
