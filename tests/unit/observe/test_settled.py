"""An LV that is open for a moment, since udev looks at it, is not taken for one in use."""

from __future__ import annotations

import pytest
from adapters.replay import Replay, captured, ended, lab_host

from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.libvirt import Described, Hypervisor, State
from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import VOLUMES, Facts
from kvmkeep.model.units import Size
from kvmkeep.observe.machine import observe

SHUT = captured("lvs")
OPEN = SHUT.replace(
    '"vm-legacy", "lv_size":"67108864", "lv_tags":"", "lv_active":"active", "lv_device_open":""',
    '"vm-legacy", "lv_size":"67108864", "lv_tags":"", "lv_active":"active", "lv_device_open":"open"',
)
XML = "<domain><devices><disk><source dev='/dev/rl_build/vm-legacy'/></disk></devices></domain>"


class Looking(Replay):
    """A host on which an LV is open until udev has settled; then lvs answers `then`."""

    def __init__(self, then: Result) -> None:
        super().__init__({}, lab_host().files)
        self.answers = lab_host(lvs=OPEN).answers
        self._then = {key: then for key in self.answers if key[0] == "lvs"}

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        if command.argv[0] == "udevadm":
            self.answers |= self._then
        return super().run(command, watch)

    @property
    def settled(self) -> bool:
        return any(argv[0] == "udevadm" for argv in self.ran)


class Hosted:
    """A libvirt with one domain."""

    def __init__(self, state: DomainState) -> None:
        known = State(
            name="legacy", uuid="u", state=state, autostart=False, persistent=True,
            memory=Size(1 << 30), vcpus=1,
        )  # fmt: skip
        self._domain = Described(state=known, xml=XML, live="")

    def look(self) -> Hypervisor:
        return Hypervisor(
            version="9.0.0", capabilities=captured("virsh-capabilities"), memory=Size(1 << 32),
            domains=(self._domain,),
        )  # fmt: skip


def opened(facts: Facts) -> bool:
    volume = facts.volume("rl_build", "vm-legacy")
    assert volume is not None
    return volume.opened


def test_what_udev_looked_at_is_free_a_moment_later() -> None:
    door = Looking(ended(stdout=SHUT.encode()))
    facts = observe(door, Hosted(DomainState.SHUTOFF), None)
    assert not opened(facts)
    assert facts.problems == ()


def test_what_stays_open_is_in_use() -> None:
    door = Looking(ended(stdout=OPEN.encode()))
    assert opened(observe(door, Hosted(DomainState.SHUTOFF), None))
    assert door.settled


def test_where_the_second_look_fails_nothing_is_known() -> None:
    facts = observe(Looking(ended(5)), Hosted(DomainState.SHUTOFF), None)
    assert facts.unseen(VOLUMES)
    assert facts.volumes == ()


@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.PAUSED])
def test_a_guest_that_runs_has_its_disks_open(state: DomainState) -> None:
    door = Looking(ended(5))
    assert opened(observe(door, Hosted(state), None))
    assert not door.settled
