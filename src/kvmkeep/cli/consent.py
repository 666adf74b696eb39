"""Asking before something is changed: once, on a terminal, or never with `--yes`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kvmkeep.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.streams import Streams
    from kvmkeep.model.plan import Plan

QUESTION = "Run these steps? [y/N] "


def add_consent(parser: ArgumentParser) -> None:
    """Add the options of every verb that changes something."""
    parser.add_argument("-y", "--yes", action="store_true", help="don't ask; for scripts")
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="show the steps, run none of them"
    )


def demand_terminal(verb: str) -> None:
    """Refuse to begin where nobody can answer."""
    if not answers():
        raise UsageError(
            f"{verb} asks before it changes anything, and there is no terminal to answer at",
            hint=f"type: kvmkeep {verb} --yes",
        )


def answers() -> bool:
    """Whether stdin is a terminal."""
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:
        return False


def ask(_plan: Plan, streams: Streams) -> bool:
    """Ask on stderr; only y and yes mean yes."""
    err = streams.err
    if err is None:
        return False
    try:
        err.write(QUESTION)
        err.flush()
        answer = sys.stdin.readline()
    except (OSError, ValueError):
        return False
    return answer.strip().lower() in {"y", "yes"}
