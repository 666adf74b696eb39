"""What a verb's plan goes by beside spec and facts: a repository's list, an answer in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from kvmkeep.report.json import encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmkeep.host.door import Door

T = TypeVar("T")


class Beside(Generic[T]):
    """Something that is looked at anew with each look of a run, just before it is planned.

    That is done through the run's own door: whoever asks the run to stop ends it as well. The
    journal is told of it as of the facts.
    """

    def __init__(self, look: Callable[[Door], T]) -> None:
        self._look = look
        self._seen: list[T] = []

    def look(self, door: Door) -> bytes:
        """Look, and return what was seen, for the journal."""
        self._seen = [self._look(door)]
        return encoded(self.seen)

    @property
    def seen(self) -> T:
        """What the last look has seen."""
        return self._seen[-1]
