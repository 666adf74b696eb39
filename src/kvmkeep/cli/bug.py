"""An unexpected exception: a short text now, the whole story in a file."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from kvmkeep.model.names import JOURNAL_DIR

if TYPE_CHECKING:
    from kvmkeep.cli.streams import Streams

EXIT_CODE = 1
_MOST_KEPT = 20


def report_bug(
    error: Exception, streams: Streams, *, debug: bool, directory: str = JOURNAL_DIR
) -> int:
    """Say that this is a bug of ours, and keep its traceback beside the journals."""
    story = "".join(traceback.format_exception(error))
    streams.talk(f"kvmkeep: this is a bug in kvmkeep: {type(error).__name__}: {error}")
    if debug:
        streams.talk(story)
    else:
        streams.talk(f"  {_keep(story, Path(directory))}")
    streams.talk("What was done until then is told by: kvmkeep journal last")
    return EXIT_CODE


def _keep(story: str, directory: Path) -> str:
    path = directory / time.strftime("bug-%Y%m%dT%H%M%SZ.txt", time.gmtime())
    try:
        for old in sorted(directory.glob("bug-*.txt"))[: -_MOST_KEPT + 1]:  # a timer meets it often
            old.unlink()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(story)
    except OSError:
        return "type the same command with --debug to see the traceback"
    return f"the traceback is in {path}"
