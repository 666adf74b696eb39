"""Secrets stay out of what is told: a tool may repeat what it was given on stdin."""

from __future__ import annotations

from kvmkeep.model.command import Command

_SHORTEST = 4


def masked(command: Command, said: str) -> str:
    """Return what a tool said, without the lines and words of a secret stdin."""
    if not command.secret_stdin:
        return said
    given = command.stdin.decode("utf-8", "replace")
    pieces = {piece.strip() for piece in (*given.splitlines(), *given.split())}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= _SHORTEST:
            said = said.replace(piece, "(secret)")
    return said
