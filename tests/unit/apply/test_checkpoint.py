"""Network changes are kept only when they proved good."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kvmkeep.apply.checkpoint import change_network, wait_for_others
from kvmkeep.apply.hands import Hands
from kvmkeep.errors import Unready
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Checkpoint, Poll
from kvmkeep.model.plan import Failure, Left
from tests.unit.apply.scripted import UNDO, RecordingUi, ScriptedDoor, command, ended, new_journal

CALL = (
    "busctl call org.freedesktop.NetworkManager /org/freedesktop/NetworkManager "
    "org.freedesktop.NetworkManager "
)
CREATE = CALL + "CheckpointCreate aouu 2 /d/1 /d/2 60 2"
DESTROY = CALL + "CheckpointDestroy o /org/c/7"
ROLL_BACK = CALL + "CheckpointRollback o /org/c/7"
ARM = ["write /undo", "systemd-run undo"]
UNDO_NOW = "systemctl start undo"
DISARM = ["systemctl stop timer", "rm /undo", "systemctl daemon-reload"]
NO_UNDO = {UNDO_NOW: lambda _n: ended(1)}
PING = "ping gw"

CHANGE = Checkpoint(
    undo=UNDO,
    devices=("/d/1", "/d/2"),
    timeout=60,
    body=(command("nmcli add"),),
    verify=(Poll(command=command(PING), limit=600, message="the gateway"),),
    why="bring up the bridge",
)

WATCH = str(CHANGE.watch("/org/c/7"))


def door(**answers: object) -> ScriptedDoor:
    made = {CREATE: lambda _n: ended(stdout='o "/org/c/7"\n')}
    return ScriptedDoor({**made, **answers})  # type: ignore[dict-item]


def change(
    machine: ScriptedDoor, checkpoint: Checkpoint = CHANGE, ui: RecordingUi | None = None
) -> Failure | None:
    ui = ui or RecordingUi()
    hands = Hands(door=machine, journal=new_journal(), ui=ui, stop=machine.stop)
    return change_network(hands, checkpoint)


def test_a_good_change_is_kept() -> None:
    machine = door()
    assert change(machine) is None
    assert machine.ran == [*ARM, CREATE, WATCH, "nmcli add", PING, DESTROY, *DISARM]


def test_a_bad_result_is_undone_before_the_checkpoint_runs_out() -> None:
    machine = door(**{PING: lambda _n: ended(1)})
    failure = change(machine)
    assert failure is not None
    assert failure.aftermath == "The network was rolled back to what it was before."
    assert failure.left is Left.UNDONE
    assert machine.ran[-3:] == [UNDO_NOW, DESTROY, DISARM[-1]]
    assert machine.now < 65


def test_devices_that_could_not_be_rolled_back_are_named() -> None:
    machine = door(
        **{
            "nmcli": lambda _n: ended(4),
            **NO_UNDO,
            ROLL_BACK: lambda _n: ended(stdout='a{su} 2 "/d/1" 0 "/d/2" 3\n'),
        }
    )
    failure = change(machine)
    assert failure is not None
    assert "rolled the network back, but not on /d/2;" in failure.aftermath
    assert "timer of systemd has all as it was within 75 s" in failure.aftermath
    assert UNDO_NOW in failure.aftermath


def test_a_roll_back_that_fails_is_left_to_networkmanager() -> None:
    machine = door(**{"nmcli": lambda _n: ended(4), ROLL_BACK: lambda _n: ended(1), **NO_UNDO})
    failure = change(machine)
    assert failure is not None
    assert "NetworkManager does it by itself within 38 s" in failure.aftermath
    assert "a timer of systemd within 75 s in any case" in failure.aftermath


def test_an_undo_that_fails_at_first_is_tried_again_since_networkmanager_may_be_starting() -> None:
    machine = door(**{"nmcli": lambda _n: ended(4), UNDO_NOW: lambda n: ended(1 if n < 3 else 0)})
    failure = change(machine)
    assert failure is not None
    assert failure.aftermath == "The network was rolled back to what it was before."
    assert machine.ran.count(UNDO_NOW) == 3
    assert ROLL_BACK not in machine.ran


def test_what_did_not_answer_before_need_not_answer_after() -> None:
    keeps = tuple(
        Poll(command=command(line), limit=5, message=line) for line in ("ping a", "ping b")
    )
    checkpoint = replace(CHANGE, keeps=keeps)
    silent = door(**{"ping a": lambda _n: ended(1)})
    assert change(silent, checkpoint) is None
    assert silent.ran.count("ping a") == 1
    assert silent.ran.count("ping b") == 2
    lost = door(**{"ping a": lambda n: ended(0 if n == 1 else 1)})
    failure = change(lost, checkpoint)
    assert failure is not None
    assert failure.doing == "ping a"
    assert UNDO_NOW in lost.ran


def test_an_own_gateway_that_was_silent_before_is_asked_after_it_and_told() -> None:
    own = Poll(command=command("arping gw"), limit=5, message="gw to answer", otherwise="VLAN 7?")
    way = Poll(command=command("ping way"), limit=5, message="way")
    checkpoint = replace(CHANGE, keeps=(way, own), own=(own,))
    there, ui = door(**{"arping gw": lambda n: ended(1 if n < 3 else 0)}), RecordingUi()
    assert change(there, checkpoint, ui) is None
    assert there.ran[-2:] == ["arping gw", "arping gw"]
    assert not [text for text in ui.told if text.startswith("warn")]
    silent = door(**{"arping gw": lambda _n: ended(1)})
    assert change(silent, checkpoint, ui) is None
    assert DESTROY in silent.ran
    assert UNDO_NOW not in silent.ran
    (told,) = [text for text in ui.told if text.startswith("warn")]
    assert told == "warn the change is kept, but in vain was waited for gw to answer. VLAN 7?"
    stopped = door(**{"arping gw": lambda _n: ended(1)})
    stopped.stops_at = silent.ran.index("arping gw", 5)
    assert change(stopped, checkpoint, RecordingUi()) is None
    assert stopped.ran[-2:] == [DISARM[-1], "arping gw"]


def test_where_no_way_to_the_host_answers_it_is_told() -> None:
    way = Poll(command=command("ping way"), limit=5, message="way")
    own = Poll(command=command("arping gw"), limit=5, message="gw")
    for keeps, told in (((way, own), False), ((own,), True), ((), True)):
        ui = RecordingUi()
        assert change(door(), replace(CHANGE, keeps=keeps, own=(own,)), ui) is None
        assert any("whether this host is reached" in text for text in ui.told) == told


def test_a_change_that_cannot_be_kept_is_undone() -> None:
    for code, left, told in (
        (0, Left.UNDONE, "rolled back to what"),
        (5, Left.DONE, "is kept"),
        (1, Left.UNDOING, "undone within 75 s"),
    ):
        machine = door(
            **{"systemctl stop": lambda _n: ended(1), UNDO_NOW: lambda _n, code=code: ended(code)}
        )
        failure = change(machine)
        assert failure is not None
        assert told in failure.aftermath
        assert failure.left is left


def test_an_undo_that_cannot_be_armed_lets_nothing_be_changed() -> None:
    machine = ScriptedDoor({"systemd-run": lambda _n: ended(1)})
    failure = change(machine)
    assert failure is not None
    assert machine.ran == [*ARM, *DISARM]
    assert failure.aftermath.startswith("The network was not touched.")
    assert failure.left is Left.NOTHING
    machine = ScriptedDoor({"systemd-run": lambda _n: ended(1), "rm": lambda _n: ended(1)})
    failure = change(machine)
    assert failure is not None
    assert "the next run removes them" in failure.aftermath


def test_a_change_that_took_too_long_has_been_rolled_back_already() -> None:
    def slow(_number: int) -> object:
        machine.now += 100
        return ended()

    machine = door(nmcli=slow, **{ROLL_BACK: lambda _n: ended(1), **NO_UNDO})
    failure = change(machine)
    assert failure is not None
    assert "longer than its checkpoint's 60 s" in failure.problem
    assert "by itself within 0 s" in failure.aftermath
    assert failure.left is Left.UNDOING
    assert PING not in machine.ran
    machine = door(nmcli=slow)
    unverified = Checkpoint(
        undo=UNDO, devices=("/d/1", "/d/2"), timeout=60, body=CHANGE.body, verify=(), why=""
    )
    assert change(machine, unverified) is not None
    assert machine.ran[-3:] == [UNDO_NOW, DESTROY, DISARM[-1]]


def test_a_checkpoint_that_is_gone_is_a_failure() -> None:
    machine = door(**{DESTROY: lambda _n: ended(1, stderr="no such checkpoint")})
    failure = change(machine)
    assert failure is not None
    assert failure.said == "no such checkpoint"
    assert machine.ran[-3:] == [UNDO_NOW, DESTROY, DISARM[-1]]


def test_without_a_checkpoint_nothing_is_changed() -> None:
    for answer in (ended(1, stderr="already included in checkpoint"), ended(stdout="o garbage")):
        machine = ScriptedDoor({CREATE: lambda _n, answer=answer: answer})
        failure = change(machine)
        assert failure is not None
        assert machine.ran == [*ARM, CREATE, *DISARM]
        assert "was not touched" in failure.aftermath


def test_what_nobody_would_watch_is_not_begun() -> None:
    machine = door(**{"systemd-run --quiet --collect": lambda _n: ended(1)})
    failure = change(machine)
    assert failure is not None
    assert machine.ran == [*ARM, CREATE, WATCH, DESTROY, *DISARM]
    assert failure.left is Left.NOTHING


def test_the_watch_waits_for_the_end_of_the_run_and_looks_whether_the_undo_is_there() -> None:
    assert CHANGE.watch("/org/c/7").argv == (
        "systemd-run", "--quiet", "--collect", "--no-block", "--service-type=oneshot",
        "--property=ExecCondition=flock --shared /run/kvmkeep/lock "
        "test -e /etc/systemd/system/kvmkeep-network-undo.service",
        f"--property=ExecStartPost=-{DESTROY}",
        "systemctl", "start", "undo",
    )  # fmt: skip


def test_a_bug_of_ours_is_rolled_back_too() -> None:
    def broken(_number: int) -> object:
        raise ZeroDivisionError

    machine = door(nmcli=broken)
    with pytest.raises(ZeroDivisionError):
        change(machine)
    assert machine.ran[-3:] == [UNDO_NOW, DESTROY, DISARM[-1]]


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
