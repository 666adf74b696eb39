"""Network changes that undo themselves unless they prove good, whatever happens to us."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.apply.hands import (
    Hands,
    StopAsked,
    attempt,
    carry_out,
    failure_of,
    stop_if_asked,
    write,
)
from kvmkeep.apply.polling import wait_for
from kvmkeep.apply.ui import Ui
from kvmkeep.errors import Unready
from kvmkeep.host.door import Door, Result
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import UNIT_NOT_LOADED, Checkpoint, Command, Poll, Undo, WriteFile
from kvmkeep.model.plan import Failure, Left

_OBJECT = re.compile(r'o "(/[A-Za-z0-9_/]+)"')
_DEVICE_RESULT = re.compile(r'"(/[A-Za-z0-9_/]+)" (\d+)')
_MARGIN = 1.0
_TRIES = 10
_PAUSE = 1.5
_UNDO_LIMIT = 20.0
_OTHERS_LIMIT = 180.0
_OTHERS_EVERY = 2.0


class _After(Struct, frozen=True, kw_only=True):
    """What a failure has left: of the step, and in words."""

    left: Left
    text: str

    def of(self, failure: Failure) -> Failure:
        """Return the failure with what it has left."""
        return replace(failure, aftermath=self.text, left=self.left)


_ROLLED_BACK = _After(left=Left.UNDONE, text="The network was rolled back to what it was before.")

_UNPROVEN = (
    "nothing answers that would tell whether this host is reached (its gateway, who is logged in "
    "by SSH): a change that cuts it off would be kept"
)

_LIST = Command(
    argv=(
        "busctl",
        "get-property",
        "org.freedesktop.NetworkManager",
        "/org/freedesktop/NetworkManager",
        "org.freedesktop.NetworkManager",
        "Checkpoints",
    ),
    why="look whether NetworkManager holds a checkpoint",
)


def change_network(hands: Hands, checkpoint: Checkpoint) -> Failure | None:
    """Make the change; undo it at once unless it proved good and was made permanent."""
    keeps = _what_holds(hands, checkpoint)
    silent = tuple(poll for poll in checkpoint.own if poll not in keeps)
    checkpoint = replace(checkpoint, verify=(*checkpoint.verify, *keeps))
    path = ""
    try:
        failure = _arm(hands, checkpoint.undo)
        began = hands.door.clock()
        if failure is None:
            path, failure = _create(hands, checkpoint)
        if failure is None:
            _, failure = carry_out(hands, checkpoint.watch(path))
    except StopAsked as stopped:
        raise StopAsked(_abandon(hands, checkpoint, path).of(stopped.failure)) from None
    except BaseException:
        _abandon(hands, checkpoint, path)
        raise
    if failure is not None:
        return _abandon(hands, checkpoint, path).of(failure)
    hands.journal.checkpoint("made", checkpoint, path)
    deadline = began + checkpoint.timeout
    try:
        failure = _change_and_verify(hands, checkpoint, path, deadline)
    except StopAsked as stopped:
        after = _roll_back(hands, checkpoint, path, deadline)
        raise StopAsked(after.of(stopped.failure)) from None
    except BaseException:
        _roll_back(hands, checkpoint, path, deadline)
        raise
    if failure is not None:
        return _roll_back(hands, checkpoint, path, deadline).of(failure)
    hands.journal.checkpoint("kept", checkpoint, path)
    failure = _disarm(hands, checkpoint.undo)
    _tell_silent(hands, () if failure is not None else silent)
    return failure


def _what_holds(hands: Hands, checkpoint: Checkpoint) -> tuple[Poll, ...]:
    """Return what holds before the change; tell where none of it is a way to the host."""
    keeps = tuple(poll for poll in checkpoint.keeps if attempt(hands, poll.command).ok)
    if all(poll in checkpoint.own for poll in keeps):
        hands.ui.warn(_UNPROVEN)
    return keeps


def _tell_silent(hands: Hands, silent: tuple[Poll, ...]) -> None:
    """Tell of what was silent before, so that it proves nothing, and still is."""
    for poll in silent:
        try:
            failure = wait_for(hands, poll)
        except StopAsked:
            return
        if failure is not None:
            told = f"the change is kept, but in vain was waited for {poll.message}."
            hands.ui.warn(f"{told} {poll.otherwise}")


def _create(hands: Hands, checkpoint: Checkpoint) -> tuple[str, Failure | None]:
    """Have NetworkManager make a checkpoint; return its object path."""
    result, failure = carry_out(hands, checkpoint.create())
    found = _OBJECT.fullmatch(result.text.strip())
    if failure is None and found is None:
        problem = f"It answered {result.text.strip()[:200]!r}, which names no checkpoint."
        failure = Failure(doing=checkpoint.why, command=checkpoint.create(), problem=problem)
    return (found[1] if found is not None else ""), failure


def _arm(hands: Hands, undo: Undo) -> Failure | None:
    """Have the change undone whatever happens to this run."""
    with hands.stop.shield():
        for action in undo.arm:
            if isinstance(action, WriteFile):
                failure = write(hands, action)
            else:
                _, failure = carry_out(hands, action)
            if failure is not None:
                return failure
    return None


def _disarm(hands: Hands, undo: Undo) -> Failure | None:
    """Keep the change; where that fails, undo it, so that nothing changes behind anybody's back."""
    with hands.stop.shield():
        for command in (*undo.disarm, undo.settle):
            result = attempt(hands, command)
            if not result.ok:
                attempt(hands, undo.settle)
                code = _undo(hands, undo)
                return _not_kept(undo, code).of(failure_of(command, result))
    return None


def _not_kept(undo: Undo, code: int) -> _After:
    if code == 0:
        return _ROLLED_BACK
    if code == UNIT_NOT_LOADED:
        text = "The change was made and is kept; only what was to undo it is not all gone."
        return _After(left=Left.DONE, text=text)
    text = (
        f"The change proved good, but is undone within {undo.after} s, since it could not be "
        f"kept. Look at: {undo.run}"
    )
    return _After(left=Left.UNDOING, text=text)


def _undo(hands: Hands, undo: Undo) -> int:
    """Undo the change, and return the exit code of what does it; 0 when it is as it was before.

    It is tried again for a while: NetworkManager may just be starting.
    """
    end = hands.door.clock() + _UNDO_LIMIT
    result = attempt(hands, undo.run)
    for _ in range(_TRIES):
        if result.ok or result.code == UNIT_NOT_LOADED or hands.door.clock() >= end:
            break
        hands.door.sleep(_PAUSE)
        result = attempt(hands, undo.run)
    return result.code


def _change_and_verify(
    hands: Hands, checkpoint: Checkpoint, path: str, deadline: float
) -> Failure | None:
    for command in checkpoint.body:
        stop_if_asked(hands, command.why)
        _, failure = carry_out(hands, command)
        if failure is not None:
            return failure
    for poll in checkpoint.verify:
        left = deadline - hands.door.clock() - _MARGIN
        if left <= 0:
            return _too_late(checkpoint, poll.message)
        failure = wait_for(hands, replace(poll, limit=min(poll.limit, left)))
        if failure is not None:
            return failure
    stop_if_asked(hands, checkpoint.why)
    if hands.door.clock() >= deadline:
        return _too_late(checkpoint, checkpoint.why)
    _, failure = carry_out(hands, checkpoint.destroy(path))
    return failure


def _roll_back(hands: Hands, checkpoint: Checkpoint, path: str, deadline: float) -> _After:
    """Undo the change and return in which state the network is.

    Our own undo leaves in service what can be left, so it comes first. NetworkManager's checkpoint
    may be gone already: with the change, or since NetworkManager was restarted.
    """
    with hands.stop.shield():
        if _undo(hands, checkpoint.undo) == 0:
            attempt(hands, checkpoint.destroy(path))
            attempt(hands, checkpoint.undo.settle)
            hands.journal.checkpoint("undone", checkpoint, path)
            return _ROLLED_BACK
        result = attempt(hands, checkpoint.roll_back(path))
    after = checkpoint.undo.after
    if not result.ok:
        left = max(deadline - hands.door.clock(), 0)
        hands.journal.checkpoint("roll-back failed", checkpoint, path)
        text = (
            "The network could not be rolled back here: "
            f"NetworkManager does it by itself within {left:.0f} s, unless the checkpoint is gone, "
            f"and a timer of systemd within {after} s in any case. "
            f"To do it now: {checkpoint.undo.run}"
        )
        return _After(left=Left.UNDOING, text=text)
    hands.journal.checkpoint("rolled back", checkpoint, path)
    bad = _bad_devices(result)
    failed = f", but not on {', '.join(bad)}" if bad else ""
    text = (
        f"NetworkManager rolled the network back{failed}; a timer of systemd has all as it was "
        f"within {after} s. To do it now: {checkpoint.undo.run}"
    )
    return _After(left=Left.UNDOING, text=text)


def _bad_devices(result: Result) -> list[str]:
    """Return the devices whose roll-back failed (NMRollbackResult: 0 is success)."""
    pairs = _DEVICE_RESULT.findall(result.text)
    return [path for path, code in pairs if code != "0"]


def _abandon(hands: Hands, checkpoint: Checkpoint, path: str) -> _After:
    with hands.stop.shield():
        if path:
            attempt(hands, checkpoint.destroy(path))
        undo = checkpoint.undo
        ended = [attempt(hands, command).ok for command in (*undo.disarm, undo.settle)]
    told = (
        "The network was not touched. If another program or a killed run holds a checkpoint, "
        f"it ends by itself, ours within {checkpoint.timeout} s."
    )
    if not all(ended):
        told += " Files of the undo are left; the next run removes them."
    return _After(left=Left.NOTHING, text=told)


def _too_late(checkpoint: Checkpoint, doing: str) -> Failure:
    problem = f"The change took longer than its checkpoint's {checkpoint.timeout} s."
    return Failure(doing=doing, problem=problem)


def wait_for_others(door: Door, ui: Ui, stop: Stop) -> None:
    """Wait until NetworkManager holds no checkpoint, or somebody asks to stop.

    Raises Unready when that takes too long.

    What is seen while one is open may be rolled back a moment later: that of a run that was
    killed in a network change would look as if all was done.
    """
    began = door.clock()
    while _holds_checkpoint(door.run(_LIST)):
        stop.tick()
        if stop.requested:
            return
        passed = door.clock() - began
        if passed >= _OTHERS_LIMIT:
            raise Unready(
                "NetworkManager holds a checkpoint that another program made",
                hint="wait until that program is done with the network, then run this again",
            )
        message = "NetworkManager's checkpoint of another program or of a killed run to end"
        ui.waiting(message, passed, _OTHERS_LIMIT)
        door.sleep(_OTHERS_EVERY)


def _holds_checkpoint(result: Result) -> bool:
    """Whether the answer is an array with members; without NetworkManager there is none."""
    return result.ok and re.match(r"ao [1-9]", result.text) is not None
