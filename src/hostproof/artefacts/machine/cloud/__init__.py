"""Clouds: virtual machines as their infrastructure files declare them.

`azure` reads ARM templates, `reader` the files of EC2 and Compute Engine and Terraform of all three, `hcl`
Terraform's own language.
"""

from hostproof.artefacts.machine.cloud.reader import read

__all__ = ["read"]
