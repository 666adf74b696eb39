"""Backups: made, kept, forgotten, and brought back."""
