from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import second_stamp, stamped_time
from kvmkeep.model.plan import Plan
from kvmkeep.model.snapshot import Level, disk_of, snapshot_sets
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName, Size
from kvmkeep.planning.snapshots.create import plan_create
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import StepError, reach
from tests.unit.planning.sets import LATER, MOMENT, SET, sets, site, take, wish


def plan(host: FakeHost, wanted: Spec, **changes: object) -> Plan:
    return plan_create(wanted, host.facts(wanted), wish(**changes))


def reasons(found: Plan) -> str:
    return "\n".join(f"{one.reason} ({one.hint})" for one in found.refusals)


def test_no_set_is_taken_in_the_middle_of_a_revert() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].live = None
    host.lvm.volumes["vm-web-data"].tags.add("kvmkeep.revert=20261101T0000Z")
    found = plan(host, wanted)
    assert found.steps == ()
    assert reasons(found) == (
        "its revert to 20261101T0000Z is not done: a set would have disks of different times "
        "(finish that: kvmkeep snapshot revert web 20261101T0000Z)"
    )


class Watching:
    """A door that notes how the guest stood at each lvcreate."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.stood: list[tuple[str, bool]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.host, name)

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        if command.argv[0] == "lvcreate":
            domain = self.host.libvirt.domains["web"]
            self.stood.append((domain.state, domain.frozen))
        return self.host.run(command, watch)


@pytest.mark.parametrize(
    ("agent", "level", "frozen"), [(True, "frozen", True), (False, "crash", False)]
)
def test_running_guest_stands_still_while_each_snapshot_is_taken_and_then_goes_on(
    agent: bool, level: str, frozen: bool  # noqa: FBT001
) -> None:  # fmt: skip
    host, wanted = site(agent=agent)
    door = Watching(host)
    reach(host, wanted, lambda s, f: plan_create(s, f, wish()), door=door)  # type: ignore[arg-type]
    assert door.stood == [("paused", frozen)] * 2
    domain = host.libvirt.domains["web"]
    assert (domain.state, domain.frozen, host.systemd.timers) == ("running", False, {})
    assert sets(host, wanted) == [(SET, level, "")]
    members = snapshot_sets(host.facts(wanted).volumes, "rl_build")[0].members
    assert {(one.name, disk_of(one)) for one in members} == {
        (f"vm-web-{SET}", "root"), (f"vm-web-data-{SET}", "data"),
    }  # fmt: skip


def test_the_guard_lets_the_guest_go_when_nobody_else_does() -> None:
    host, wanted = site()
    (step, _) = plan(host, wanted).steps
    for action in step.actions:
        assert isinstance(action, Command)
        host.run(action)
    domain = host.libvirt.domains["web"]
    assert (domain.state, domain.frozen) == ("paused", True)
    host.sleep(120)
    assert (domain.state, domain.frozen) == ("running", False)


def test_what_a_killed_run_left_is_mended_by_the_next() -> None:
    host, wanted = site()
    (step, _) = plan(host, wanted).steps
    for action in step.actions[:5]:
        host.run(action)  # type: ignore[arg-type]
    assert sets(host, wanted) == [(SET, "frozen", "incomplete")]
    take(host, wanted, moment=LATER)
    assert sets(host, wanted) == [(SET, "frozen", "")]
    assert host.libvirt.domains["web"].state == "running"


def test_guest_that_was_held_and_is_off_by_now_is_only_forgotten() -> None:
    host, wanted = site()
    host.lvm.volumes["vm-web"].tags.add("kvmkeep.held=frozen")
    host.libvirt.domains["web"].live = None
    take(host, wanted)
    assert sets(host, wanted) == [(SET, "off", "")]
    assert "kvmkeep.held=frozen" not in host.lvm.volumes["vm-web"].tags
    # A set that is there already does not keep the rest from being mended.
    host.lvm.volumes["vm-web"].tags.add("kvmkeep.held=crash")
    assert [step.what for step in plan(host, wanted).steps] == [
        "forget that the guest was held: it is off"
    ]


def test_second_set_of_a_minute_is_named_after_the_second() -> None:
    host, wanted = site()
    take(host, wanted)
    take(host, wanted, moment=LATER)
    assert [name for name, _, _ in sets(host, wanted)] == [SET, "20261123T071050Z"]


def test_a_name_that_a_foreign_lv_has_is_not_asked_for() -> None:
    host, wanted = site()
    foreign = host.lvm.add(f"vm-web-data-{SET}", GIB)
    take(host, wanted)
    assert [name for name, _, _ in sets(host, wanted)] == ["20261123T071034Z"]
    assert foreign.tags == set()


def test_no_room_for_full_size_is_refused_with_a_size_that_fits() -> None:
    host, wanted = site()
    host.lvm.size = 5 * GIB + 10 * GIB + GIB // 2
    found = plan(host, wanted)
    assert "--size 256MiB" in reasons(found)
    take(host, wanted, size=Size(256 << 20))
    (one,) = snapshot_sets(host.facts(wanted).volumes, "rl_build")
    assert one.can_overflow
    assert one.size == Size(512 << 20)
    host.lvm.size = 5 * GIB + 10 * GIB + GIB // 2
    assert "delete old sets" in reasons(plan(host, wanted, moment="2026-11-23T07:11:00+00:00"))


class FillingUp(Watching):
    """A door behind which somebody takes all room once the first snapshot is there."""

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        if len(self.stood) == 1:
            self.host.lvm.size -= self.host.lvm.free
        return super().run(command, watch)


def test_a_group_full_at_the_second_disk_leaves_the_guest_running_and_no_set_to_go_back_to() -> (
    None
):
    host, wanted = site()
    door, room = FillingUp(host), host.lvm.size
    with pytest.raises(StepError, match="insufficient free space"):
        reach(host, wanted, lambda s, f: plan_create(s, f, wish()), door=door)
    assert door.stood == [("paused", True)] * 2
    domain = host.libvirt.domains["web"]
    assert (domain.state, domain.frozen, host.systemd.timers) == ("running", False, {})
    assert sets(host, wanted) == [(SET, "frozen", "incomplete")]
    host.lvm.size = room
    take(host, wanted, moment=LATER)
    assert [trouble for _, _, trouble in sets(host, wanted)] == [""]


def test_small_snapshots_and_many_sets_are_worth_a_note() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].agent = False
    for minute in range(2):
        take(host, wanted, moment=f"2026-11-23T07:1{minute}:00+00:00")
    notes = "\n".join(
        one.text
        for one in plan(
            host, wanted, moment=LATER.replace("07:10", "09:10"), size=Size(1 << 28)
        ).notes
    )
    assert "crash-consistent" in notes
    assert "the snapshots of root, data are smaller" in notes
    assert "it has 2 sets already" in notes


def test_suspended_by_somebody_else_stays_suspended() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].paused = True
    notes = [one.text for one in plan(host, wanted).notes]
    assert notes == ["it is suspended: the set will be as after a power cut (crash-consistent)"]
    take(host, wanted)
    assert host.libvirt.domains["web"].state == "paused"
    assert sets(host, wanted) == [(SET, "crash", "")]
    assert "agent can't freeze" in reasons(plan(host, wanted, moment=LATER, level=Level.FROZEN))


def test_failing_snapshot_lets_the_guest_go_at_once() -> None:
    host, wanted = site()
    (step, _) = plan(host, wanted).steps
    host.lvm.size = sum(volume.size for volume in host.lvm.volumes.values()) + 5 * GIB
    with pytest.raises(StepError, match="insufficient"):
        reach(host, wanted, lambda _spec, _facts: Plan(steps=(step,)))
    domain = host.libvirt.domains["web"]
    assert (domain.state, domain.frozen, host.systemd.timers) == ("running", False, {})
    assert sets(host, wanted) == [(SET, "frozen", "incomplete")]


def test_disks_outside_the_spec_are_named() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    domain = facts.domain("web")
    assert domain is not None
    extra = replace(domain.disks[0], source="/srv/extra.img", device="")
    facts = replace(facts, domains=(replace(domain, disks=(*domain.disks, extra)),))
    notes = [note.text for note in plan_create(wanted, facts, wish()).notes]
    assert notes == ["its disk /srv/extra.img is not in the set: it is no LV of the spec"]


def test_what_can_not_be_done_is_refused_with_a_reason() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    domain, volume = facts.domain("web"), facts.volume("rl_build", "vm-web")
    assert domain is not None
    assert volume is not None

    def found(wanted: Spec = wanted, *volumes: Volume, **changes: object) -> str:
        others = tuple(v for v in facts.volumes if v.name not in {one.name for one in volumes})
        given = replace(facts, volumes=(*others, *volumes), domains=(replace(domain, **changes),))
        names = tuple(one.name for one in wanted.guests)
        return reasons(plan_create(wanted, given, wish(guests=names)))

    assert "is being reverted" in found(wanted, replace(volume, merging=True))
    fresh = replace(volume, tags=(*volume.tags, "kvmkeep.state=fresh"))
    assert "its first boot is not done yet" in found(wanted, fresh)
    assert "in the state `shutting down`" in found(wanted, state=DomainState.SHUTDOWN)
    assert "is not ours" in found(wanted, ours=False)
    assert "libvirt does not know it yet" in found(spec(guest("new")))
    foreign = replace(volume, tags=())
    assert "exists and is not ours" in found(wanted, foreign)
    snapshot = replace(volume, origin="vm-web-old")
    assert "is another disk of this guest" in found(wanted, snapshot)
    long = spec(replace(guest("web"), disks=(replace(guest("web").root, lv="x" * 120),)))
    assert "has 137 characters" in found(long, replace(volume, name="x" * 120))
    missing = replace(facts, groups=())
    assert "no such volume group" in reasons(plan_create(wanted, missing, wish()))


@pytest.mark.parametrize(
    ("lv", "taken", "refused"),
    [
        # `rl_build-`, the name with each hyphen twice, a time behind two hyphens, and `-cow`.
        ("a" * 98, False, False),
        ("a" * 99, False, True),
        ("a-" * 29 + "a" * 11, False, False),
        ("a-" * 29 + "a" * 12, False, True),
        # To the second, where the minute is taken.
        ("a" * 97, True, True),
    ],
)
def test_names_that_device_mapper_would_refuse_are_told_before_the_guest_is_held(
    lv: str, *, taken: bool, refused: bool
) -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    one = guest("web")
    wanted = spec(replace(one, disks=(replace(one.root, lv=lv),)))
    reach(host, wanted)
    if taken:
        host.lvm.add(f"{lv}-{SET}", GIB)
    found = plan(host, wanted)
    assert ("-cow of 128 characters (device mapper allows 127" in reasons(found)) is refused
    assert (found.steps == ()) is refused
    if not refused:
        take(host, wanted)


def test_nobody_is_asked_for_by_an_unknown_name() -> None:
    host, wanted = site()
    assert "no such guest" in reasons(plan(host, wanted, guests=(GuestName("nobody"),)))


def test_set_with_members_removed_by_hand_or_invalid_is_in_trouble() -> None:
    host, wanted = site()
    take(host, wanted, expires="2026-11-30T07:10:34+00:00")
    (one,) = snapshot_sets(host.facts(wanted).volumes, "rl_build")
    assert (one.expires, one.filled_percent) == ("20261130T071034Z", 0.0)
    host.lvm.volumes[f"vm-web-{SET}"].invalid = True
    assert sets(host, wanted) == [(SET, "frozen", "invalid")]
    del host.lvm.volumes[f"vm-web-{SET}"]
    assert sets(host, wanted) == [(SET, "frozen", "members missing")]
    assert snapshot_sets(host.facts(wanted).volumes, "other") == ()


def test_stamps_are_times() -> None:
    assert stamped_time(second_stamp(MOMENT)) == stamped_time("20261123T071034Z")
    assert stamped_time(SET) is not None
    assert stamped_time("yesterday") is None
