r"""Lines for guestfish, and the one place where a word is quoted for it.

guestfish(1), "QUOTING WITH SPACES AND SPECIAL CHARACTERS": within double quotes only the backslash
means something, and `\xHH` is any byte. A word without quotes may be an option, a pattern, a pipe
to a shell or a comment. So every word that is not ours goes through `quoted`.
"""

from __future__ import annotations


def quoted(word: str | bytes) -> str:
    """Return a word that guestfish reads as just these bytes; a file name can't hold a NUL."""
    content = word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word
    return '"' + "".join(_character(byte) for byte in content) + '"'


def line(command: str, *words: str | bytes) -> str:
    """Return a command with its words quoted; a script ends at the first that fails."""
    return " ".join((command, *(quoted(word) for word in words)))


def script(lines: tuple[str, ...]) -> bytes:
    """Return the stdin of guestfish."""
    return "\n".join(lines).encode() + b"\n"


def _character(byte: int) -> str:
    if 0x20 <= byte < 0x7F and byte not in b'"\\':
        return chr(byte)
    return f"\\x{byte:02x}"
