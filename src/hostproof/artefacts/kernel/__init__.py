"""Guest kernels: distribution packages, directories, single files, and what they say of themselves."""
