"""Network changes are kept only when they proved good."""

from __future__ import annotations

import pytest
from unit.apply.scripted import RecordingUi, ScriptedDoor, command, ended, new_journal

from kvmkeep.apply.checkpoint import change_network, wait_for_others
from kvmkeep.apply.hands import Hands
from kvmkeep.errors import Unready
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Checkpoint, Poll
from kvmkeep.model.plan import Failure

CALL = (
    "busctl call org.freedesktop.NetworkManager /org/freedesktop/NetworkManager "
    "org.freedesktop.NetworkManager "
)
CREATE = CALL + "CheckpointCreate aouu 2 /d/1 /d/2 60 2"
DESTROY = CALL + "CheckpointDestroy o /org/c/7"
ROLL_BACK = CALL + "CheckpointRollback o /org/c/7"
PING = "ping gw"

CHANGE = Checkpoint(
    devices=("/d/1", "/d/2"),
    timeout=60,
    body=(command("nmcli add"),),
    verify=(Poll(command=command(PING), limit=600, message="the gateway"),),
    why="bring up the bridge",
)


def door(**answers: object) -> ScriptedDoor:
    made = {CREATE: lambda _n: ended(stdout='o "/org/c/7"\n')}
    return ScriptedDoor({**made, **answers})  # type: ignore[dict-item]


def change(machine: ScriptedDoor, checkpoint: Checkpoint = CHANGE) -> Failure | None:
    hands = Hands(door=machine, journal=new_journal(), ui=RecordingUi(), stop=machine.stop)
    return change_network(hands, checkpoint)


def test_a_good_change_is_kept() -> None:
    machine = door()
    assert change(machine) is None
    assert machine.ran == [CREATE, "nmcli add", PING, DESTROY]


def test_a_bad_result_is_rolled_back_before_the_checkpoint_runs_out() -> None:
    machine = door(**{PING: lambda _n: ended(1), ROLL_BACK: lambda _n: ended(stdout="a{su} 0\n")})
    failure = change(machine)
    assert failure is not None
    assert failure.aftermath == "The network was rolled back to what it was before."
    assert machine.ran[-1] == ROLL_BACK
    assert DESTROY not in machine.ran
    assert machine.now < 61


def test_devices_that_could_not_be_rolled_back_are_named() -> None:
    machine = door(
        **{
            "nmcli": lambda _n: ended(4),
            ROLL_BACK: lambda _n: ended(stdout='a{su} 2 "/d/1" 0 "/d/2" 3\n'),
        }
    )
    failure = change(machine)
    assert failure is not None
    assert failure.aftermath == "The network was rolled back, but not on: /d/2."


def test_a_roll_back_that_fails_is_left_to_networkmanager() -> None:
    machine = door(**{"nmcli": lambda _n: ended(4), ROLL_BACK: lambda _n: ended(1)})
    failure = change(machine)
    assert failure is not None
    assert "NetworkManager does it by itself within 58 s" in failure.aftermath


def test_a_change_that_took_too_long_has_been_rolled_back_already() -> None:
    def slow(_number: int) -> object:
        machine.now += 100
        return ended()

    machine = door(nmcli=slow, **{ROLL_BACK: lambda _n: ended(1)})
    failure = change(machine)
    assert failure is not None
    assert "longer than its checkpoint's 60 s" in failure.problem
    assert "has rolled it back by itself" in failure.aftermath
    assert PING not in machine.ran
    machine = door(nmcli=slow)
    unverified = Checkpoint(
        devices=("/d/1", "/d/2"), timeout=60, body=CHANGE.body, verify=(), why=""
    )
    assert change(machine, unverified) is not None
    assert DESTROY not in machine.ran


def test_a_checkpoint_that_is_gone_is_a_failure() -> None:
    machine = door(**{DESTROY: lambda _n: ended(1, stderr="no such checkpoint")})
    failure = change(machine)
    assert failure is not None
    assert failure.said == "no such checkpoint"
    assert machine.ran[-1] == ROLL_BACK


def test_without_a_checkpoint_nothing_is_changed() -> None:
    for answer in (ended(1, stderr="already included in checkpoint"), ended(stdout="o garbage")):
        machine = ScriptedDoor({CREATE: lambda _n, answer=answer: answer})
        failure = change(machine)
        assert failure is not None
        assert machine.ran == [CREATE]
        assert "was not touched" in failure.aftermath


def test_a_bug_of_ours_is_rolled_back_too() -> None:
    def broken(_number: int) -> object:
        raise ZeroDivisionError

    machine = door(nmcli=broken)
    with pytest.raises(ZeroDivisionError):
        change(machine)
    assert machine.ran[-1] == ROLL_BACK


LIST = "busctl get-property"


def test_the_checkpoint_of_a_killed_run_is_waited_for() -> None:
    ui = RecordingUi()
    machine = ScriptedDoor(
        {LIST: lambda n: ended(stdout='ao 1 "/org/c/3"\n' if n < 4 else "ao 0\n")}
    )
    wait_for_others(machine, ui, Stop())
    assert len(machine.ran) == 4
    assert len(ui.told) == 3


def test_a_checkpoint_that_does_not_end_is_not_waited_for_forever() -> None:
    machine = ScriptedDoor({LIST: lambda _n: ended(stdout='ao 1 "/org/c/3"\n')})
    with pytest.raises(Unready, match="another program"):
        wait_for_others(machine, RecordingUi(), Stop())


def test_the_wait_for_others_ends_on_request() -> None:
    machine = ScriptedDoor({LIST: lambda _n: ended(stdout='ao 1 "/org/c/3"\n')}, stops_at=1)
    wait_for_others(machine, RecordingUi(), machine.stop)
    assert len(machine.ran) == 2


def test_without_networkmanager_there_is_nothing_to_wait_for() -> None:
    machine = ScriptedDoor({LIST: lambda _n: ended(1, stderr="no such name")})
    wait_for_others(machine, RecordingUi(), Stop())
    assert len(machine.ran) == 1
