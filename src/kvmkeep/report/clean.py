"""Text of foreign origin made harmless: no escape sequence reaches a terminal or a script."""

from __future__ import annotations

import shlex

BIDI = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
CONTROLS = (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0))
_ESCAPES: dict[int, str] = {
    **{code: f"\\x{code:02x}" for code in CONTROLS},
    **{code: f"\\u{code:04x}" for code in (*BIDI, *range(0xD800, 0xE000))},
}
_LINES: dict[int, str] = {**_ESCAPES, 0x0D: "\n"}
_ONE_LINE: dict[int, str] = {**_ESCAPES, 0x09: " ", 0x0A: " ", 0x0D: " "}


def lines_of(text: str) -> list[str]:
    """Return text as harmless lines; a carriage return, as progress bars use it, ends a line."""
    clean = text.translate(_LINES).expandtabs()
    return [line.rstrip() for line in clean.split("\n") if line.strip()]


def one_line(text: str) -> str:
    """Return text as one harmless line."""
    return text.translate(_ONE_LINE)


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
