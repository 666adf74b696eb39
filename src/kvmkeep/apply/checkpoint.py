"""Network changes that undo themselves: a NetworkManager checkpoint around them."""

from __future__ import annotations

import re

from msgspec.structs import replace

from kvmkeep.apply.hands import Hands, StopAsked, attempt, carry_out, stop_if_asked
from kvmkeep.apply.polling import wait_for
from kvmkeep.apply.ui import Ui
from kvmkeep.errors import Unready
from kvmkeep.host.door import Door, Result
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Checkpoint, Command
from kvmkeep.model.plan import Failure

_OBJECT = re.compile(r'o "(/[A-Za-z0-9_/]+)"')
_DEVICE_RESULT = re.compile(r'"(/[A-Za-z0-9_/]+)" (\d+)')
_MARGIN = 1.0
_OTHERS_LIMIT = 180.0
_OTHERS_EVERY = 2.0

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
    """Make the change; roll it back at once unless `verify` held and it was made permanent."""
    began = hands.door.clock()
    result, failure = carry_out(hands, checkpoint.create())
    if failure is not None:
        return replace(failure, aftermath=_not_made(checkpoint))
    found = _OBJECT.fullmatch(result.text.strip())
    if found is None:
        problem = f"It answered {result.text.strip()[:200]!r}, which names no checkpoint."
        return Failure(
            doing=checkpoint.why,
            command=checkpoint.create(),
            problem=problem,
            aftermath=_not_made(checkpoint),
        )
    path = found[1]
    hands.journal.checkpoint("made", checkpoint, path)
    deadline = began + checkpoint.timeout
    try:
        failure = _change_and_verify(hands, checkpoint, path, deadline)
    except StopAsked as stopped:
        aftermath = _roll_back(hands, checkpoint, path, deadline)
        raise StopAsked(replace(stopped.failure, aftermath=aftermath)) from None
    except BaseException:
        _roll_back(hands, checkpoint, path, deadline)
        raise
    if failure is not None:
        return replace(failure, aftermath=_roll_back(hands, checkpoint, path, deadline))
    hands.journal.checkpoint("kept", checkpoint, path)
    return None


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


def _roll_back(hands: Hands, checkpoint: Checkpoint, path: str, deadline: float) -> str:
    """Undo the change and return in which state the network is."""
    with hands.stop.shield():
        result = attempt(hands, checkpoint.roll_back(path))
    if not result.ok:
        left = deadline - hands.door.clock()
        hands.journal.checkpoint("roll-back failed", checkpoint, path)
        if left <= 0:
            return (
                "The network could not be rolled back here, since its checkpoint had run out: "
                "NetworkManager has rolled it back by itself."
            )
        # What removes a checkpoint may fail after it did so; then the change stays.
        return (
            "The network could not be rolled back here: "
            f"NetworkManager does it by itself within {left:.0f} s, "
            "unless the checkpoint is gone already and the change stays."
        )
    hands.journal.checkpoint("rolled back", checkpoint, path)
    bad = _bad_devices(result)
    if bad:
        return "The network was rolled back, but not on: " + ", ".join(bad) + "."
    return "The network was rolled back to what it was before."


def _bad_devices(result: Result) -> list[str]:
    """Return the devices whose roll-back failed (NMRollbackResult: 0 is success)."""
    pairs = _DEVICE_RESULT.findall(result.text)
    return [path for path, code in pairs if code != "0"]


def _not_made(checkpoint: Checkpoint) -> str:
    return (
        "The network was not touched. If another program or a killed run holds a checkpoint, "
        f"it ends by itself, ours within {checkpoint.timeout} s."
    )


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
