"""What can't be seen is looked at again, for so long and no longer."""

from __future__ import annotations

import pytest

from kvmkeep.apply.sight import Lookout, Sight
from kvmkeep.errors import Unready
from kvmkeep.model.plan import Plan, Refusal
from tests.unit.apply.scripted import RecordingUi, ScriptedDoor

BLIND = Plan(
    refusals=(Refusal(subject="libvirt", reason="no answer", hint="", unready=True, unseen=True),)
)
LACKING = Plan(refusals=(Refusal(subject="the tools", reason="no nc", hint="", unready=True),))
SILENT = Unready("libvirt did not answer")


class Looking:
    """Looks whose findings are given in advance; the last one stays. Each takes half a minute."""

    def __init__(
        self, *found: Plan | Unready, seconds: float = 180, with_lock: bool = False
    ) -> None:
        self.found = list(found)
        self.looked = 0
        self.door = ScriptedDoor()
        self.ui = RecordingUi()
        sight = Sight(seconds=seconds, with_lock=with_lock)
        self.lookout = Lookout(sight, self.door, self.ui, self.door.stop)

    def look(self) -> Plan:
        found = self.found[min(self.looked, len(self.found) - 1)]
        self.looked += 1
        self.door.now += 30
        if isinstance(found, Unready):
            raise found
        return found

    def sees(self) -> Plan:
        return self.lookout.until_seen(self.look, lambda plan: plan)


def test_it_is_looked_again_until_all_is_seen() -> None:
    looking = Looking(SILENT, BLIND, Plan())
    assert looking.sees() == Plan()
    assert looking.ui.told == [
        "waiting what can't be seen (libvirt did not answer) 0/180",
        "waiting what can't be seen (libvirt: no answer) 35/180",
    ]


def test_there_is_an_end_to_it() -> None:
    looking = Looking(SILENT)
    with pytest.raises(Unready, match="did not answer"):
        looking.sees()
    assert (looking.looked, looking.door.now) == (7, 7 * 30 + 6 * 5)
    assert Looking(BLIND).sees() == BLIND


def test_the_seconds_are_those_of_the_whole_run() -> None:
    looking = Looking(SILENT, SILENT, SILENT, SILENT, Plan(), SILENT)
    assert looking.sees() == Plan()
    with pytest.raises(Unready):
        looking.sees()
    assert looking.looked == 5 + 4


@pytest.mark.parametrize(("with_lock", "looks"), [(True, 3), (False, 7)])
def test_what_the_lock_took_is_a_part_of_them_where_the_run_has_a_limit(
    with_lock: bool,  # noqa: FBT001
    looks: int,
) -> None:
    looking = Looking(SILENT, with_lock=with_lock)
    looking.lookout.waited(130)
    with pytest.raises(Unready):
        looking.sees()
    assert looking.looked == looks


def test_what_is_missing_does_not_come_by_itself() -> None:
    looking = Looking(LACKING)
    assert looking.sees() == LACKING
    assert looking.looked == 1


def test_who_asks_to_stop_is_heard() -> None:
    looking = Looking(SILENT)
    looking.door.stop.press()
    with pytest.raises(Unready):
        looking.sees()
    assert looking.looked == 1
