"""What may happen to the host in the window of a network change: power cuts and restarts.

Afterwards there is the old network or the new one, never neither; and one more run is enough.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from fakes.host import FakeHost
from fakes.nm import FOLDER
from faults.door import Effect, Way
from faults.plans import (
    Case,
    bridge_taken_down_by_others,
    changes_of_what_is_there,
    changing_a_bridge_in_use,
    changing_a_bridge_that_is_down,
    foreign,
    in_service,
    new_network_beside_one_in_use,
)
from faults.test_sweep import Make, actions_of, again, run

from kvmkeep.errors import StepFailed
from kvmkeep.host.lock import Lock
from kvmkeep.model.command import Command

CHANGES = (
    changing_a_bridge_in_use,
    changing_a_bridge_that_is_down,
    changes_of_what_is_there,
    new_network_beside_one_in_use,
)


@pytest.fixture(scope="module")
def lock(tmp_path_factory: pytest.TempPathFactory) -> Lock:
    path: Path = tmp_path_factory.mktemp("lock") / "lock"
    return Lock(str(path))


def profiles(host: FakeHost) -> dict[str, bytes]:
    """Return all profiles' files, to the byte."""
    return {path: one.content for path, one in host.files.items() if path.startswith(FOLDER)}


def bridges(host: FakeHost) -> dict[str, tuple[int, bool, str, int]]:
    """Return what the kernel has."""
    return {
        name: (link.ageing_time, link.stp, link.master, link.vlan_id)
        for name, link in host.nm.links.items()
        if link.kind in {"bridge", "vlan"}
    }


def old_and_new(make: Make, lock: Lock) -> tuple[list[object], list[object]]:
    """Return the network before and after the change, each as it is after a boot."""
    found: list[list[object]] = []
    for goes in (False, True):
        case = make()
        case.host.nm.flush()
        if goes:
            run(case, lock)
        case.host.power_cycle()
        found.append([profiles(case.host), bridges(case.host)])
    return found[0], found[1]


def in_the_window(make: Make, lock: Lock) -> list[int]:
    """Return which actions of a run are those of the network's change and its undo."""
    actions = actions_of(make, lock)
    words = ("nmcli", "Checkpoint", "undo")
    told = [str(one) if isinstance(one, Command) else one.path for one in actions]
    return [at for at, text in enumerate(told) if any(word in text for word in words)]


@pytest.mark.parametrize("effect", [Effect.NONE, Effect.HALF, Effect.WHOLE])
@pytest.mark.parametrize("make", CHANGES)
def test_a_power_cut_leaves_the_old_network_or_the_new_one(
    make: Make, effect: Effect, lock: Lock
) -> None:
    old, new = old_and_new(make, lock)
    assert old != new
    ends = []
    for at in in_the_window(make, lock):
        case: Case = make()
        before = foreign(case.host)
        run(case, lock, at, Way.KILLED, effect)
        case.host.power_cycle()
        now = [profiles(case.host), bridges(case.host)]
        assert now in (old, new), f"killed at {actions_of(make, lock)[at]}"
        ends.append(now == new)
        assert foreign(case.host) == before
    assert ends == sorted(ends), "once it is kept, it stays"
    assert not ends[0]
    assert ends[-1]


@pytest.mark.parametrize("make", [*CHANGES, bridge_taken_down_by_others])
def test_networkmanager_restarted_at_any_moment(make: Make, lock: Lock) -> None:
    case = make()
    begun = len(case.host.calls)
    run(case, lock)
    failed = 0
    for at in range(len(case.host.calls) - begun):
        case = make()
        before = foreign(case.host)
        case.host.nm.flush()
        was = profiles(case.host)
        case.host.events[len(case.host.calls) + at] = case.host.nm.restart
        this = run(case, lock)
        if this.error is not None:
            failed += 1
            assert isinstance(this.error, StepFailed), this.error
            assert "rolled back to what it was before" in this.told
            changed = {path: text for path, text in profiles(case.host).items() if path in was}
            assert changed == was
        again(case, lock, before)
        in_service(case.host, case)
    assert failed, "no restart was in the window: this proves nothing"


@pytest.mark.parametrize("make", [changing_a_bridge_in_use, new_network_beside_one_in_use])
def test_networkmanager_away_for_some_minutes(make: Make, lock: Lock) -> None:
    """What can't be undone is not said to be undone, and is tried until NetworkManager is back."""
    case = make()
    begun = len(case.host.calls)
    run(case, lock)
    new = profiles(case.host)
    told = [call.argv[0] for call in case.host.calls[begun:]]
    later = 0
    for at in [at for at, name in enumerate(told) if name in {"nmcli", "busctl"}]:
        case = make()
        nm = case.host.nm
        nm.flush()
        old = profiles(case.host)
        case.host.events[len(case.host.calls) + at] = partial(nm.restart, running=False)
        this = run(case, lock)
        now = profiles(case.host)
        if "rolled back to what it was before" in this.told or "not touched" in this.told:
            assert now == old, f"gone before {case.host.calls[begun + at]}"
        case.host.sleep(60)
        nm.restart()
        case.host.sleep(60)
        if this.error is not None:
            later += now != old
            assert profiles(case.host) in (old, new)
            assert not [path for path in case.host.files if "network-undo" in path]
    assert later, "it was never away in the window: this proves nothing"


@pytest.mark.parametrize("effect", [Effect.NONE, Effect.WHOLE])
@pytest.mark.parametrize("make", CHANGES)
def test_what_a_killed_run_began_is_undone_at_once(make: Make, effect: Effect, lock: Lock) -> None:
    whole = make()
    run(whole, lock)
    new = [profiles(whole.host), bridges(whole.host)]
    ends = []
    for at in in_the_window(make, lock):
        case = make()
        case.host.nm.flush()
        old = [profiles(case.host), bridges(case.host)]
        run(case, lock, at, Way.KILLED, effect)
        began = case.host.now
        case.host.systemd.run_ended()
        now = [profiles(case.host), bridges(case.host)]
        assert now in (old, new), f"killed at {actions_of(make, lock)[at]}"
        assert case.host.now - began < 10
        assert not case.host.nm.checkpoints or now == old, "its end would change something"
        ends.append(now == new)
    assert ends == sorted(ends), "once it is kept, it stays"
    assert (ends[0], ends[-1]) == (False, effect is Effect.WHOLE or ends[-1])


@pytest.mark.parametrize("make", CHANGES)
def test_a_killed_run_is_undone_without_another_one(make: Make, lock: Lock) -> None:
    """By NetworkManager's checkpoint; and without it, by the timer alone: nobody watched the run."""
    for loses_checkpoint in (False, True):
        for at in in_the_window(make, lock):
            case = make()
            case.host.nm.flush()
            old = profiles(case.host)
            run(case, lock, at, Way.KILLED, Effect.WHOLE)
            killed = profiles(case.host)
            if loses_checkpoint:
                case.host.nm.restart()
            case.host.sleep(200)
            now = profiles(case.host)
            assert case.host.systemd.timers == {}
            network_step = {path for path in now if now[path] != old.get(path)}
            assert not network_step or now == killed
