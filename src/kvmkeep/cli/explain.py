"""An error as a person reads it: what is wrong, what to do, and whether anything was touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvmkeep.cli.streams import Streams
    from kvmkeep.errors import KvmkeepError

_STATE = "Nothing was lost."
"""A message that holds this has told in which state things are."""


def explain(error: KvmkeepError, streams: Streams, *, begin: str) -> None:
    """Say it on stderr; `begin` stands before the message."""
    streams.talk(f"{begin}{error.message}")
    if error.hint:
        streams.talk(f"  {error.hint}")
    if _STATE not in error.message:
        streams.talk(error.touched)


def error_json(error: KvmkeepError) -> str:
    """Return it for a program."""
    import json

    from kvmkeep.report.json import JSON_VERSION

    value = {
        "version": JSON_VERSION,
        "error": {
            "kind": type(error).__name__,
            "exit_code": error.exit_code,
            "message": error.message,
            "hint": error.hint,
            "touched": error.touched,
        },
    }
    return json.dumps(value, indent=2)
