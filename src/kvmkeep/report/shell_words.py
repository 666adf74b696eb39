"""Words as bash reads them, on one harmless line."""

from __future__ import annotations

import shlex

from kvmkeep.model.text import one_line


def shell_line(argv: tuple[str, ...]) -> str:
    """Return a command line as bash reads it, on one harmless line."""
    return " ".join(shell_word(word) for word in argv)


def shell_word(word: str) -> str:
    """Return a word as bash reads it: quoted as usual, or as $'...' where it has controls."""
    if word == one_line(word):
        return shlex.quote(word)
    return "$'" + "".join(_ansi_c(character) for character in word) + "'"


def _ansi_c(character: str) -> str:
    """Return a character within $'...' (bash(1), QUOTING)."""
    code = ord(character)
    if character in "\\'":
        return "\\" + character
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # a byte that was no UTF-8 (surrogateescape)
    if character == one_line(character):
        return character
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
