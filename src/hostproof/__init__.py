"""hostproof, the executable threat model for confidential VMs.

Give it a VM (its definition, its kernel, its command line, the technology it runs on and the use it is put to) and it
answers: what can the untrusted host feed this guest, what stops each input, and what is the evidence?
"""

__version__ = "0.1.0"
