"""What is there: readers of VM definitions, kernels, command lines.

A reader is a pure function from bytes to frozen dataclasses that carry where they were read. It looks at what it is
given and never at the machine it runs on.
"""
