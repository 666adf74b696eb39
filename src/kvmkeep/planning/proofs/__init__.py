"""Proofs of backups: a guest started from the repository, where nobody can notice it."""
