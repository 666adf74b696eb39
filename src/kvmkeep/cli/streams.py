"""Where text goes: results to stdout, talk to stderr; neither can end a run.

A reader that went away (`kvmkeep list | head -1`), a closed descriptor, a terminal without UTF-8
and a guest's name full of escape sequences are all ordinary here.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

from kvmkeep.cli.hints import SPEC_DIR, with_spec
from kvmkeep.model.text import escaped


def columns(stream: TextIO | None) -> int:
    """Return the width to write for: `COLUMNS`, else the terminal's, else 80; at least 20."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return max(20, int(wanted))
    try:
        width = os.get_terminal_size(stream.fileno() if stream else 1).columns
    except (OSError, ValueError):
        width = 0
    return max(20, width) if width else 80


class Streams:
    """Stdout and stderr of one run. `gone` when the reader of stdout went away.

    `spec_dir` is the directory of the spec that what is to be typed next is for. What `foreign`
    programs and guests said is told as they said it.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out
        self._err = err
        self.gone = False
        self.spec_dir = SPEC_DIR
        self.trouble = ""
        self.printed = False

    @classmethod
    def of_process(cls) -> Streams:
        """Return the process's own streams (None where the caller closed them)."""
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
        return cls(sys.stdout, sys.stderr)

    @property
    def width(self) -> int:
        """Columns of stdout's terminal, or 80."""
        return columns(self._out)

    @property
    def err(self) -> TextIO | None:
        """Stderr, for progress."""
        return self._err

    @property
    def draws(self) -> bool:
        """Whether stderr is a terminal that can draw."""
        return _is_terminal(self._err) and os.environ.get("TERM", "") not in {"", "dumb"}

    def result(self, text: str, *, foreign: bool = False) -> None:
        """Write a result to stdout, with a line feed at its end."""
        self._print(escaped(text if foreign else with_spec(text, self.spec_dir)))

    def json(self, text: str, *, foreign: bool = False) -> None:
        """Write JSON to stdout; what is escaped in it means the same."""
        if not foreign:
            text = with_spec(text, self.spec_dir, _in_json)
        encoding = (getattr(self._out, "encoding", None) or "utf-8").lower().replace("-", "")
        self._print(escaped(text if encoding == "utf8" else _ascii_json(text)))

    def script(self, text: str) -> None:
        """Write a script to stdout as it is: whoever made it has quoted what is in it."""
        self._print(text)

    def talk(self, text: str) -> None:
        """Write a line to stderr; a closed stderr is not a reason to stop."""
        if self._err is None:
            return
        try:
            self._err.write(escaped(with_spec(text, self.spec_dir)).rstrip("\n") + "\n")
            self._err.flush()
        except (OSError, ValueError):
            self._err = None

    def flush(self) -> None:
        """Push out what others wrote to stdout."""
        self._print("")

    def _print(self, text: str) -> None:
        self.printed = True
        if self._out is None:
            return
        try:
            self._out.write(text if text.endswith("\n") or not text else text + "\n")
            self._out.flush()
        except BrokenPipeError:
            self.gone = True
            self._abandon()
        except (OSError, ValueError) as error:
            self.trouble = str(error)
            self._abandon()

    def _abandon(self) -> None:
        """Point stdout at /dev/null, so that the interpreter's last flush says nothing."""
        stream, self._out = self._out, None
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno() if stream else 1)
            os.close(null)
        except (OSError, ValueError):
            return


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _in_json(text: str) -> str:
    """Return text as it stands within a string of JSON."""
    import json

    return json.dumps(text, ensure_ascii=False)[1:-1]


def _ascii_json(text: str) -> str:
    """Escape for an encoding that may lack the characters; JSON stays JSON."""
    if text.isascii():
        return text
    units = text.encode("utf-16-be", "surrogatepass")
    pairs = (units[i] << 8 | units[i + 1] for i in range(0, len(units), 2))
    return "".join(chr(unit) if unit < 0x80 else f"\\u{unit:04x}" for unit in pairs)
