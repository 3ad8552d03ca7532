"""The command line: one module per verb, one exit point."""
