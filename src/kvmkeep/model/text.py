"""Text of foreign origin made harmless: no escape sequence reaches a terminal, a file or a script.

What is kept as a fact is masked; what is shown is written as escapes, so that it can be told apart.
"""

from __future__ import annotations

_BIDI = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
_CONTROLS = (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0))
_ESCAPES: dict[int, str] = {
    **{code: f"\\x{code:02x}" for code in _CONTROLS},
    **{code: f"\\u{code:04x}" for code in (*_BIDI, *range(0xD800, 0xE000))},
}
_LINES: dict[int, str] = {**_ESCAPES, 0x0D: "\n"}
_ONE_LINE: dict[int, str] = {**_ESCAPES, 0x09: " ", 0x0A: " ", 0x0D: " "}
_AS_JSON = {code: f"\\u{code:04x}" for code in (0x0D, *_CONTROLS, *_BIDI)}
"""What could move the cursor or reorder text, as the escape that JSON uses too."""


def masked(text: str, longest: int | None = None) -> str:
    """Return text as one line, with a question mark for all that can't be printed."""
    return "".join(char if char.isprintable() else "?" for char in text[:longest])


def masked_lines(text: str) -> str:
    """Return text with a question mark for all that can't be printed, but the ends of lines."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def printable(text: str) -> str:
    """Quote text of unknown origin for a terminal: no control characters, bounded length."""
    short = text if len(text) <= 60 else text[:57] + "..."
    return ascii(short)


def escaped_name(name: str) -> str:
    """Return a file's name as a terminal can show it."""
    return name if name.isprintable() else ascii(name)[1:-1]


def lines_of(text: str) -> list[str]:
    """Return text as harmless lines; a carriage return, as progress bars use it, ends a line."""
    clean = text.translate(_LINES).expandtabs()
    return [line.rstrip() for line in clean.split("\n") if line.strip()]


def one_line(text: str) -> str:
    """Return text as one harmless line."""
    return text.translate(_ONE_LINE)


def escaped(text: str) -> str:
    """Return text with every control character but line feed and tab written as an escape."""
    return text.translate(_AS_JSON)
