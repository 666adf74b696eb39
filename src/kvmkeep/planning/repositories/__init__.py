"""Repositories of backups: their engines, their secrets, and their objects as files."""
