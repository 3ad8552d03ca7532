"""What is pinned: which measurement covers which input, and what a verifier checks."""
