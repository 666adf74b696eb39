"""Asking before something is changed: once, on a terminal, or never with `--yes`."""

from __future__ import annotations

import os
import select
import shlex
import sys
import time
from typing import TYPE_CHECKING

from kvmkeep.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.streams import Streams
    from kvmkeep.model.plan import Plan

QUESTION = "Run these steps? [y/N] "
PATIENCE = 600.0
"""Seconds for an answer: who asks holds the host's lock, and no guest is started meanwhile."""


def add_consent(parser: ArgumentParser) -> None:
    """Add the options of every verb that changes something."""
    parser.add_argument("-y", "--yes", action="store_true", help="don't ask; for scripts")
    add_dry_run(parser)


def add_dry_run(parser: ArgumentParser) -> None:
    """Add the option of every verb that changes something, asked for or not."""
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="show the steps, run none of them"
    )


def demand_terminal(verb: str, argv: tuple[str, ...]) -> None:
    """Refuse to begin where nobody can answer; `argv` is what was typed behind `kvmkeep`."""
    if not answers():
        raise UsageError(
            f"{verb} asks before it changes anything, and there is no terminal to answer at",
            hint=f"type: {shlex.join(('kvmkeep', *argv, '--yes'))}",
        )


def answers() -> bool:
    """Whether stdin is a terminal."""
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:
        return False


def ask(_plan: Plan, streams: Streams) -> bool:
    """Ask on stderr; only y and yes mean yes."""
    return agrees(QUESTION, streams)


def agrees(question: str, streams: Streams, patience: float = PATIENCE) -> bool:
    """Ask a question on stderr; only y and yes mean yes, and no answer within `patience` no."""
    return _answer(question, streams, patience).lower() in {"y", "yes"}


def ask_names(plan: Plan, streams: Streams) -> bool:
    """Have the names of the plan's guests typed: for what can't be taken back."""
    names = sorted({step.subject.removeprefix("guest ") for step in plan.steps})
    typed = _answer(f"To go on, type the name of each guest ({' '.join(names)}): ", streams)
    return sorted(set(typed.split())) == names


def _answer(question: str, streams: Streams, patience: float = PATIENCE) -> str:
    """Return what was typed; nothing where nobody can be asked, or answers."""
    err = streams.err
    if err is None:
        return ""
    try:
        err.write(question)
        err.flush()
        line = _line(patience)
        if line is None:
            err.write("\n")
            streams.talk(f"Nobody has answered for {patience / 60:.0f} minutes: that means no.")
            return ""
        return line.strip()
    except (OSError, ValueError):
        return ""


def _line(patience: float) -> str | None:
    """Return the next line of stdin, or what there is of one at its end; None where none comes."""
    try:
        descriptor = sys.stdin.fileno()
    except ValueError:
        return sys.stdin.readline()
    deadline = time.monotonic() + patience
    typed = b""
    # Byte by byte: what is read ahead of a pipe would be lost to the next question.
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        byte = os.read(descriptor, 1)
        typed += byte
        if byte in {b"", b"\n"}:
            return typed.decode(errors="replace")
    return None
