"""Collects what can't be seen, so that one thing that fails does not hide the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kvmkeep.errors import Unready
from kvmkeep.host.door import Door
from kvmkeep.host.tools import Unanswered
from kvmkeep.model.facts import Problem
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.text import masked_lines

T = TypeVar("T")


class Notebook:
    """Asks through the door; what goes wrong becomes a problem and a default answer."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._problems: list[Problem] = []

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What could not be seen, in the order it was tried, each once."""
        return tuple(dict.fromkeys(self._problems))

    def ask(self, what: str, question: Callable[[Door], T], default: T) -> T:
        """Return the answer to a question about `what`, or the default.

        The problem has this name whatever part of the answer was missing: planning asks by it.
        """
        try:
            return question(self.door)
        except Unanswered as error:
            part = error.problem.what
            reason = error.problem.reason
            reason = reason if part == what else f"{part}: {reason}"
            self.note(what, reason, error.problem.hint)
        except Unready as error:
            self.note(what, error.message, error.hint)
        except OSError as error:
            self._unreadable(what, error)
        return default

    def note(self, what: str, reason: str, hint: str) -> None:
        """Write a problem down."""
        self._problems.append(
            Problem(what=masked_lines(what), reason=masked_lines(reason), hint=masked_lines(hint))
        )

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """Return a file's first bytes, or None where it is not or can't be read."""
        return self.ask(path, lambda door: door.read(path, limit), None)

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the names in a directory, or none."""
        return self.ask(directory, lambda door: door.names(directory), ())

    def look(self, path: str) -> ImageFile | None:
        """Return what a file is, or None."""
        return self.ask(path, lambda door: door.look(path), None)

    def _unreadable(self, what: str, error: OSError) -> None:
        denied = isinstance(error, PermissionError)
        hint = "run it as root" if denied else "look at it: " + (error.filename or what)
        self.note(what, f"it can't be read: {error.strerror or error}", str(hint))
