"""VM definitions of every kind, read into one device model (`hostproof.artefacts.machine.model`)."""
