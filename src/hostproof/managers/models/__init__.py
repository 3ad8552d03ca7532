"""Models of security managers, one module per technology. Each has a function `model` that gives the model of a version."""
