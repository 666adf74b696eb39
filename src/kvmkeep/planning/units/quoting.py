"""Words in the command lines of systemd's units."""

from __future__ import annotations

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@+!")


def unit_word(text: str) -> str:
    """Return a word as it must be written in a command line of a unit (systemd.syntax(7))."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return text if text and set(text) <= _PLAIN else f'"{escaped}"'
