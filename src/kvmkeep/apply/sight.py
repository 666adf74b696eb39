"""Looking again while the host can't be seen, where nobody is there to do so.

libvirt may be silent for a minute: at the boot of a slow host, while each QEMU is asked for what it
can do, or when a package's update has it begin anew in the middle of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from kvmkeep.apply.ui import Ui
from kvmkeep.errors import Unready
from kvmkeep.host.door import Door
from kvmkeep.host.stop import Stop
from kvmkeep.model.plan import Plan

T = TypeVar("T")

_PAUSE = 5.0


class Sight(Struct, frozen=True, kw_only=True):
    """For how many seconds of a run what can't be seen is looked at again.

    The time that it waited for the lock is a part of them where the run has a limit of its own
    for both (`with_lock`).
    """

    seconds: float = 0.0
    with_lock: bool = False


class Lookout:
    """The looks of one run, and how many of its seconds are spent."""

    def __init__(self, sight: Sight, door: Door, ui: Ui, stop: Stop) -> None:
        self._sight = sight
        self._door = door
        self._ui = ui
        self._stop = stop
        self._locked = 0.0
        self._spent = 0.0
        self._last: float | None = None

    def waited(self, seconds: float) -> None:
        """Hear for how long the lock was waited for by now."""
        self._locked = seconds if self._sight.with_lock else 0.0

    def until_seen(self, look: Callable[[], T], plan: Callable[[T], Plan]) -> T:
        """Return what a look finds, or raise its Unready; `plan` is what was planned by it."""
        self._last = None
        while True:
            try:
                found = look()
            except Unready as error:
                if not self._pauses(error.message):
                    raise
            else:
                why = _unseen(plan(found))
                if not why or not self._pauses(why):
                    return found

    def _pauses(self, why: str) -> bool:
        """Wait before the next look, or return that there is none."""
        now = self._door.clock()
        self._spent += 0.0 if self._last is None else now - self._last
        self._last = now
        limit = self._sight.seconds - self._locked
        if self._spent >= limit or self._stop.requested:
            return False
        self._ui.waiting(f"what can't be seen ({why})", self._spent, limit)
        self._door.sleep(_PAUSE)
        return True


def _unseen(plan: Plan) -> str:
    """Return what a plan lacks, since it could not be seen; nothing where that stops nobody."""
    return next((f"{one.subject}: {one.reason}" for one in plan.refusals if one.unseen), "")
