"""QEMU command lines, read in stages: words, options, devices, board.

`command` finds the command in a file, `tokens` splits it into arguments, `options` and `entries` make options of
them, `values` reads their values; `backends`, `sugar`, `confidential`, `inputs` and `board` then fill one `draft`.
`reader` walks these stages; `appended` reads what another tool passes through to QEMU.
"""

from hostproof.artefacts.machine.qemu.reader import is_qemu, read, read_argv

__all__ = ["is_qemu", "read", "read_argv"]
