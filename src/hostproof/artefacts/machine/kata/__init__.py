"""Kata Containers: the runtime's configuration and what a pod may change of it.

`reader` reads the file, `fields` knows its settings, `devices` and `command_line` give what the runtime makes of them;
`annotations` are the pod's share.
"""

from hostproof.artefacts.machine.kata.reader import read

__all__ = ["read"]
