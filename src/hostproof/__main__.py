"""`python -m hostproof`."""

from hostproof.cli.main import script

script()
