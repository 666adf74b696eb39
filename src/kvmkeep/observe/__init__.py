"""The machine to Facts, read-only."""
