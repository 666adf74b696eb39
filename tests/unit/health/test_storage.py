"""Arrays, volume groups, volumes and snapshots."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainDisk
from kvmkeep.model.facts import Array, ArrayState, Problem, Volume
from kvmkeep.model.health import Severity
from kvmkeep.model.names import STATE_PARTIAL
from kvmkeep.model.units import Size
from kvmkeep.model.vitals import (
    UNITS_SEEN,
    Count,
    MetadataBackup,
    Mismatches,
    PhysicalDisk,
    Schedule,
    Trend,
)
from tests.unit.health.build import (
    ARRAY,
    DISK,
    FACTS,
    GIB,
    GROUP,
    VITALS,
    domain,
    findings,
    only,
    volume,
)

WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL
REBUILT = replace(
    ARRAY, state=ArrayState.RESYNCING, missing=1, action="recover", detail="1 of 2 run, recover"
)


@pytest.mark.parametrize(
    ("array", "severity", "name"),
    [
        (replace(ARRAY, state=ArrayState.FAILED), CRITICAL, "array-failed"),
        (replace(ARRAY, state=ArrayState.DEGRADED, missing=1), CRITICAL, "array-degraded"),
        (replace(ARRAY, state=ArrayState.READ_ONLY), CRITICAL, "array-read-only"),
        (REBUILT, WARNING, "array-rebuilding"),
        *(
            (replace(REBUILT, action=action), CRITICAL, "array-degraded")
            for action in ("check", "repair", "reshape", "resync")
        ),
        (replace(ARRAY, faulty=("sdc",)), WARNING, "array-spare-failed"),
        (replace(REBUILT, missing=0, action="resync"), WARNING, "array-resyncing"),
    ],
)
def test_arrays_in_trouble(array: Array, severity: Severity, name: str) -> None:
    found = only(severity, name, arrays=(array,))
    assert found.subject == "array md0"


def test_an_array_that_grows_is_not_being_made_equal() -> None:
    """By `mdadm --grow`: of disks, of a level, of a chunk's size."""
    array = replace(REBUILT, missing=0, action="reshape")
    found = only(WARNING, "array-resyncing", arrays=(array,))
    assert found.what.startswith("it gets another shape: ")


def test_an_array_that_takes_no_write_is_told_how_to() -> None:
    array = replace(ARRAY, state=ArrayState.READ_ONLY, missing=1)
    told = {one.name: one for one in findings(arrays=(array,))}
    assert told.keys() == {"array-read-only", "array-degraded"}
    assert told["array-read-only"].todo.endswith("; then: mdadm --readwrite /dev/md0")


def test_how_a_failed_member_is_replaced() -> None:
    array = replace(ARRAY, state=ArrayState.DEGRADED, missing=1, faulty=("sdb",))
    assert only(CRITICAL, "array-degraded", arrays=(array,)).todo == (
        "mdadm --detail /dev/md0; replace the disk, then: "
        "mdadm /dev/md0 --remove /dev/sdb; mdadm /dev/md0 --add /dev/DISK"
    )


def test_a_degraded_mirror_tells_which_disk_must_stay() -> None:
    """The dead one has no name any more, and both are of one model."""
    lvm = replace(ARRAY, name="md126", state=ArrayState.DEGRADED, missing=1, members=("sda3",))
    boot = replace(lvm, name="md127", members=("sda2",))
    whole = replace(ARRAY, name="md5", members=("sda4", "sdc4"))
    elsewhere = replace(lvm, name="md6", members=("sdc1",))
    model = PhysicalDisk(name="sda", model="Disk 1", serial="BTYF1", passed=True)
    told = findings(arrays=(lvm, boot, whole, elsewhere), disks=(model,))
    found = {one.subject: one for one in told}
    assert set(found) == {"array md126", "array md127", "array md6"}
    assert found["array md126"].what == (
        "it is degraded: 2 of 2 run; left is sda3 on sda (Disk 1, serial BTYF1): "
        "do not pull that one"
    )
    assert found["array md126"].todo == (
        "mdadm --detail /dev/md126; replace the disk, then: "
        "partition the new one as docs/how-to/replace-a-disk.md says; "
        "mdadm /dev/md126 --add /dev/DISK3; mdadm /dev/md127 --add /dev/DISK2; "
        "put the boot loader on it"
    )
    assert "left is sdc1 on sdc: do not" in found["array md6"].what
    six = replace(lvm, level="raid6", members=("nvme0n1p2", "nvme1n1p2", "dm-3"))
    found = {one.name: one for one in findings(arrays=(six,), disks=None)}
    assert found["array-degraded"].what.endswith(
        "left are nvme0n1p2 on nvme0n1 and nvme1n1p2 on nvme1n1 and dm-3: do not pull those"
    )
    assert "--add /dev/DISKp2;" in found["array-degraded"].todo
    none = only(CRITICAL, "array-degraded", arrays=(replace(lvm, members=()),))
    assert none.what == "it is degraded: 2 of 2 run"
    assert none.todo.endswith("--add /dev/DISK")


def test_a_check_that_runs_is_no_trouble() -> None:
    checked = replace(ARRAY, state=ArrayState.RESYNCING, action="check")
    assert findings(arrays=(checked,)) == ()


def test_mismatches_of_a_mirror_are_told_without_alarm() -> None:
    told = (Mismatches(array="md0", sectors=256, action="check"),)
    found = only(Severity.OK, "array-mismatches", mismatches=told)
    assert found.what == "the last check found 256 sectors that differ between members"
    assert "memory" in found.why
    six = replace(ARRAY, level="raid6")
    assert "parity" in only(WARNING, "array-mismatches", mismatches=told, arrays=(six,)).why
    assert findings(mismatches=told, arrays=(replace(ARRAY, level="raid0"),)) == ()
    assert findings(mismatches=(replace(told[0], running=True),)) == (), "not yet the whole count"


def test_mismatches_of_a_piece_of_a_check() -> None:
    told = (Mismatches(array="md0", sectors=8, action="check", start=1000),)
    assert "found 8 sectors" in only(Severity.OK, "array-mismatches", mismatches=told).what
    six = (replace(ARRAY, level="raid6"),)
    only(WARNING, "array-mismatches", mismatches=told, arrays=six)
    # A piece has less to count than the whole: nothing follows from its being more or less.
    before = counted(4)
    only(Severity.OK, "array-mismatches", mismatches=told, trends=before)
    none = (replace(told[0], sectors=0),)
    found = only(WARNING, "array-mismatches", mismatches=none, trends=before, arrays=six)
    assert "found 4 sectors" in found.what
    assert findings(mismatches=none) == ()


def counted(*sectors: int) -> tuple[Trend, ...]:
    counts = (
        Count(time=f"2026-0{month}-01T03:00:00+00:00", sectors=one)
        for month, one in enumerate(sectors, 1)
    )
    return (Trend(array="md0", counts=tuple(counts)),)


def test_mismatches_that_grow_from_check_to_check_are_an_alarm() -> None:
    told = (Mismatches(array="md0", sectors=512, action="check"),)
    found = only(WARNING, "array-mismatches-grow", mismatches=told, trends=counted(0, 128))
    assert found.what == (
        "each check finds more sectors that differ between members: "
        "0 (2026-01-01), 128 (2026-02-01), 512 (2026-11-24)"
    )
    found = only(WARNING, "array-mismatches-grow", mismatches=told, trends=counted(9, 1, 4, 8, 16))
    assert found.what.endswith(
        "members: 4 (2026-03-01), 8 (2026-04-01), 16 (2026-05-01), 512 (2026-11-24)"
    )
    found = only(WARNING, "array-mismatches-grow", mismatches=told, trends=counted(8, 4, 16))
    assert found.what.endswith("members: 4 (2026-02-01), 16 (2026-03-01), 512 (2026-11-24)")
    six = replace(ARRAY, level="raid6")
    names = [one.name for one in findings(mismatches=told, trends=counted(0, 128), arrays=(six,))]
    assert names == ["array-mismatches", "array-mismatches-grow"]
    # After a boot the kernel knows nothing of it any more.
    boot = (Mismatches(array="md0", sectors=0, action="none"),)
    only(WARNING, "array-mismatches-grow", mismatches=boot, trends=counted(0, 128, 512))


@pytest.mark.parametrize(
    "trend",
    [
        (), (0,), (1024,), (128, 1024), (128, 512, 512), (128,), (5000, 128), (5000, 0, 128),
        (400, 128, 256), (256, 0, 256),
    ],
)  # fmt: skip
def test_mismatches_that_come_and_go_are_none(trend: tuple[int, ...]) -> None:
    told = (Mismatches(array="md0", sectors=512, action="check"),)
    only(Severity.OK, "array-mismatches", mismatches=told, trends=counted(*trend))
    none = (replace(told[0], sectors=0),)
    assert findings(mismatches=none, trends=counted(*trend)) == ()


def test_arrays_that_nobody_checks() -> None:
    found = only(WARNING, "array-never-checked", schedules=())
    assert found.todo.endswith("now: echo check > /sys/block/md0/md/sync_action")
    assert findings(schedules=(), arrays=(replace(ARRAY, level="raid0"),)) == ()


def test_a_schedule_that_was_not_seen_is_not_missing() -> None:
    hole = Problem(what=UNITS_SEEN, reason="no systemctl", hint="install it")
    only(
        Severity.UNKNOWN, "not-seen", vitals=replace(VITALS, problems=(hole,)), schedules=()
    )  # fmt: skip


@pytest.mark.parametrize(
    ("days", "names"), [(None, []), (44, []), (46, ["array-not-checked-lately"])]
)
def test_a_schedule_that_did_not_come_up(days: int | None, names: list[str]) -> None:
    now = 1795503600  # 2026-11-24T07:00:00Z
    last = None if days is None else now - days * 86400
    found = findings(schedules=(Schedule(name="raid-check.timer", last=last),))
    assert [one.name for one in found] == names


def test_groups_in_trouble() -> None:
    found = only(CRITICAL, "group-disk-missing", groups=(replace(GROUP, missing_pvs=1),))
    assert "1 of its physical volumes" in found.what
    found = only(WARNING, "group-full", groups=(replace(GROUP, free=Size(9 * GIB)),))
    assert found.what == "only 9 GiB are free, less than the reserve of 10 GiB"
    only(CRITICAL, "group-absent", groups=())


def test_groups_that_were_not_seen_are_not_absent() -> None:
    hole = Problem(what="volume groups", reason="vgs failed", hint="run it as root")
    only(Severity.UNKNOWN, "not-seen", groups=(), problems=(hole,))


def test_another_servers_group_of_the_same_name() -> None:
    hole = Problem(what="volume groups", reason="2 are named rl_build", hint="pull the disk")
    twins = replace(GROUP, uuids=("a-1", "b-2"))
    (found, unseen) = findings(groups=(twins,), problems=(hole,))
    assert (found.severity, found.name) == (CRITICAL, "group-name-twice")
    assert unseen.name == "not-seen"
    assert found.subject == "group rl_build"
    assert found.what == "2 groups have this name: a-1, b-2"
    assert "vgrename UUID NEW-NAME" in found.todo
    assert not findings(groups=(GROUP, replace(twins, name="ubuntu-vg")))


def test_an_array_inside_a_guest_is_not_the_hosts() -> None:
    inner = Array(
        name="md127", level="raid1", state=ArrayState.FAILED, members=("dm-9", "dm-77"), detail=""
    )
    found = only(WARNING, "array-of-guest-visible", guest_arrays=(inner,))
    assert found.subject == "array md127"
    assert "inside rl_build/vm-web, dm-77," in found.what
    assert "AUTO -all" in found.todo
    assert found.todo.endswith("mdadm --stop /dev/md127")


@pytest.mark.parametrize("pv", ["/dev/rl_build/vm-web", "/dev/mapper/rl_build-vm--web"])
def test_a_group_inside_a_guest(pv: str) -> None:
    inner = replace(GROUP, name="guestvg", pvs=(pv,))
    found = only(WARNING, "group-of-guest-visible", groups=(GROUP, inner))
    assert found.subject == "group guestvg"
    assert "rl_build/vm-web" in found.what
    assert pv in found.todo


@pytest.mark.parametrize(
    ("saved", "what"), [(-1, "is not there"), (5, "is of state 5, not 7"), (8, "is of state 8")]
)
def test_a_state_that_was_not_saved(saved: int, what: str) -> None:
    told = (MetadataBackup(vg="rl_build", seqno=7, saved=saved),)
    assert what in only(WARNING, "group-state-not-saved", backups=told).what


@pytest.mark.parametrize(
    ("archived", "index", "todo"),
    [
        (10_001, 20_000, "find /etc/lvm/archive -name 'rl_build_[0-9]*.vg' -mtime +7 -delete"),
        (120, 90_000, "mkdir -p /root/lvm-archive; find /etc/lvm/archive -name "
         "'rl_build_[0-9]*.vg' -exec mv -t /root/lvm-archive {} +"),
    ],
)  # fmt: skip
def test_older_states_that_are_many_or_come_to_the_last_number(
    archived: int, index: int, todo: str
) -> None:
    (kept,) = VITALS.backups
    told = (replace(kept, archived=archived, index=index),)
    assert only(WARNING, "group-archive-large", backups=told).todo == todo
    assert findings(backups=(replace(kept, archived=500, index=89_999),)) == ()


def disk(source: str, device: str = "") -> DomainDisk:
    return DomainDisk(
        target="vda", bus="virtio", kind="disk", source=source, device=device, format="raw"
    )


def test_a_volume_that_two_domains_have() -> None:
    one = domain(disks=(disk("/dev/rl_build/vm-web"),))
    other = domain(
        "old", uuid="o", ours=False, live_nics=(), disks=(disk("/dev/dm-9", DISK.device),)
    )
    found = only(CRITICAL, "volume-shared", domains=(one, other))
    assert found.what == "it is a disk of 2 domains: old, web"
    assert "virsh edit web" in found.todo
    found = only(CRITICAL, "volume-shared", domains=(one, replace(other, name="x; reboot")))
    assert found.todo.endswith(": virsh edit 'x; reboot'")


def test_a_disk_that_is_not_active() -> None:
    one = domain(disks=(disk("/dev/rl_build/vm-web"),))
    asleep = replace(DISK, active=False, opened=False, device="")
    found = only(WARNING, "volume-inactive", domains=(one,), volumes=(asleep,))
    assert found.todo == "lvchange --activate y rl_build/vm-web"
    assert findings(domains=(domain(),), volumes=(asleep,)) == ()


def test_merges() -> None:
    only(CRITICAL, "merge-failed", volumes=(replace(DISK, merging=True, merge_failed=True),))
    found = only(WARNING, "merge-waits", volumes=(replace(DISK, merging=True, merge_waits=True),))
    assert "shut web down" in found.todo
    foreign = volume("data", merging=True, merge_waits=True)
    assert "shut its guest down" in only(WARNING, "merge-waits", volumes=(foreign,)).todo
    assert findings(volumes=(replace(DISK, merging=True),)) == ()


STAMP = "20261123T0710Z"


def snapshot(*more: str, taken: str = "20261123T071000Z", **changes: object) -> Volume:
    marks = (f"kvmkeep.set={STAMP}", f"kvmkeep.taken={taken}", "kvmkeep.members=1")
    tags = (*DISK.tags, *marks, "kvmkeep.level=crash", *more)
    made = volume("vm-web-s", tags=tags, origin="vm-web", size=Size(GIB), device="253:10")
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("one", "severity", "name", "what"),
    [
        (snapshot(invalid=True), WARNING, "snapshot-lost", "it is no good: invalid"),
        (snapshot(STATE_PARTIAL), WARNING, "snapshot-lost", "it is no good: incomplete"),
        (snapshot(filled_percent=70.0), WARNING, "snapshot-filling", "it is 70 % full"),
        (snapshot(filled_percent=90.0), CRITICAL, "snapshot-filling", "it is 90 % full"),
        (
            snapshot("kvmkeep.expires=20261124T065959Z"), WARNING, "snapshot-expired",
            "it is past its date",
        ),
        (
            snapshot(taken="20261101T000000Z"), WARNING, "snapshot-old",
            "it is 23 days old and has no date to go",
        ),
    ],
)  # fmt: skip
def test_snapshots_in_trouble(one: Volume, severity: Severity, name: str, what: str) -> None:
    found = only(severity, name, volumes=(DISK, one))
    assert (found.subject, found.what) == (f"snapshot {STAMP} of web", what)


@pytest.mark.parametrize(
    "one",
    [
        snapshot(filled_percent=69.9),
        snapshot(filled_percent=99.0, size=DISK.size),
        snapshot("kvmkeep.expires=20270101T000000Z", taken="20261001T000000Z"),
        snapshot(taken="nonsense"),
    ],
)
def test_snapshots_that_are_well(one: Volume) -> None:
    assert findings(volumes=(DISK, one)) == ()


@pytest.mark.parametrize("attributes", ["-ri-ao----", "-Ri-a-----"])
def test_an_lv_that_can_not_be_written(attributes: str) -> None:
    using = domain(disks=(disk("/dev/rl_build/vm-web"),))
    found = only(
        CRITICAL, "volume-read-only", domains=(using,),
        volumes=(replace(DISK, attributes=attributes),),
    )  # fmt: skip
    assert found.todo == "lvchange --permission rw rl_build/vm-web"
    unused = volume("iso", attributes=attributes)
    assert findings(volumes=(DISK, unused)) == ()


def test_snapshots_of_others() -> None:
    other = volume("hand", origin="vm-web", size=Size(GIB), filled_percent=95.0)
    found = only(WARNING, "snapshot-filling", volumes=(DISK, other))
    assert "kvmkeep did not make it" in found.todo
    only(WARNING, "snapshot-lost", volumes=(DISK, replace(other, invalid=True)))
    whole = replace(other, size=DISK.size)
    assert only(Severity.OK, "snapshot-of-others", volumes=(DISK, whole)).todo.endswith(
        "build/hand"
    )
    of_others = replace(whole, origin="root")
    assert findings(volumes=(*FACTS.volumes, of_others)) == ()
