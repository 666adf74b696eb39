"""What tells of a host's health, as the tools of the lab's host printed it."""

from __future__ import annotations

import pytest
from adapters.replay import Replay, captured, captured_files, ended, lab_host, problem
from msgspec.structs import replace

from kvmkeep.host import lvm, mdadm, space, upkeep
from kvmkeep.model.facts import ArrayState
from kvmkeep.model.names import JOURNAL_DIR, STATE_DIR
from kvmkeep.model.units import Size
from kvmkeep.model.vitals import (
    UNITS_SEEN,
    MetadataBackup,
    Mismatches,
    Schedule,
    Service,
    Space,
    SpecFileStat,
)
from kvmkeep.model.way import Part, Way
from kvmkeep.observe.vitals import observe_vitals

ROOT = Space(
    mount="/", size=Size(25185042432), free=Size(24049274880), inodes=1572864, inodes_free=1554053
)
RUN = Space(
    mount="/run", size=Size(622538752), free=Size(621985792), inodes=759934, inodes_free=759374
)


def host(**changes: object) -> Replay:
    """Return the lab's host, with the files that are only looked at for its health."""
    made = lab_host(**changes)  # type: ignore[arg-type]
    made.files |= captured_files("state")
    made.files |= dict.fromkeys(space.PLACES, b"")
    made.kinds |= dict.fromkeys(space.PLACES, "directory")
    made.answers.setdefault(("test",), ended())
    return made


def test_the_signs_of_the_lab_host() -> None:
    door = host()
    found = observe_vitals(door, "/etc/kvmkeep")
    assert found.spaces == (ROOT, RUN)
    assert found.mismatches == (Mismatches(array="md0", sectors=0, action="none"),)
    assert (found.schedules, found.synchronized, found.bridge_filters) == ((), False, ())
    (backup,) = found.backups
    assert (backup.vg, backup.seqno) == ("rl_build", backup.saved)
    assert (found.problems, found.last_run, found.inside) == ((), None, ())
    assert len(door.ran) == 5


def test_nothing_can_be_asked() -> None:
    found = observe_vitals(Replay({}), "/etc/kvmkeep")
    assert [one.what for one in found.problems] == [
        UNITS_SEEN,
        "filesystems",
        "the clock",
        "states of volume groups",
    ]
    assert found.synchronized is None


def test_an_array_with_a_failed_member() -> None:
    (array,) = mdadm.arrays(Replay({}, captured_files("md-failed")))
    assert (array.state, array.missing, array.faulty) == (ArrayState.DEGRADED, 1, ("vdc",))
    assert array.detail == "1 of 2 run, vdc is faulty"
    assert array.action == ""


def test_an_array_that_is_being_checked() -> None:
    files = captured_files("md") | {"/sys/block/md0/md/sync_action": b"check\n"}
    (array,) = mdadm.arrays(Replay({}, files))
    assert (array.state, array.missing, array.action) == (ArrayState.CLEAN, 0, "check")


def test_mismatches() -> None:
    files = captured_files("md") | {
        "/sys/block/md0/md/mismatch_cnt": b"256\n",
        "/sys/block/md0/md/last_sync_action": b"check\n",
        "/sys/block/md0/md/sync_min": b"1024\n",
        "/sys/block/md1/md/array_state": b"clean\n",
        "/sys/block/md2/md/mismatch_cnt": b"9" * 20,
        "/sys/block/sda/md/mismatch_cnt": b"1\n",
    }
    assert mdadm.mismatches(Replay({}, files)) == (
        Mismatches(array="md0", sectors=256, action="check", start=1024),
    )


TIMER = "LastTriggerUSec={}\nId=mdcheck_start.timer\nActiveState=active\n"
CRON = "Id=cron.service\nActiveState={}\nLastTriggerUSec=\n"


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (TIMER.format("@1795732924"), (Schedule(name="mdcheck_start.timer", last=1795732924),)),
        (TIMER.format(""), (Schedule(name="mdcheck_start.timer"),)),
        (TIMER.format("n/a"), (Schedule(name="mdcheck_start.timer"),)),
        (TIMER.format("@" + "9" * 16), (Schedule(name="mdcheck_start.timer"),)),
        (CRON.format("active"), (Schedule(name="/etc/cron.d/mdadm"),)),
        (CRON.format("inactive"), ()),
        ("nonsense", ()),
        ("", ()),
    ],
)
def test_who_has_arrays_checked(told: str, found: tuple[Schedule, ...]) -> None:
    door = host(systemctl=told)
    door.files["/etc/cron.d/mdadm"] = b"57 0 * * 0 root checkarray\n"
    assert upkeep.begun(door)[0] == found


def test_what_begins_with_the_host() -> None:
    unit = "Id={}\nActiveState=active\nUnitFileState={}\n"
    told = "\n".join(
        unit.format(*one)
        for one in (
            ("mdcheck_start.timer", "enabled"),
            ("NetworkManager.service", "enabled"),
            ("libvirtd.service", "disabled"),
            ("virtqemud.service", ""),
        )
    )
    assert observe_vitals(host(systemctl=told), "/etc/kvmkeep").services == (
        Service(name="NetworkManager.service", state="enabled"),
        Service(name="libvirtd.service", state="disabled"),
    )


def test_whose_the_spec_is() -> None:
    door = host()
    door.files |= {"/spec/host.yaml": b"x", "/spec/guests/web.yaml": b"x"}
    found = observe_vitals(door, "/spec").spec_files
    assert [(one.path, one.owner, one.mode, one.kind) for one in found] == [
        ("/spec", 0, 0o755, "directory"),
        ("/spec/guests", 0, 0o755, "directory"),
        ("/spec/host.yaml", 0, 0o644, "file"),
        ("/spec/guests/web.yaml", 0, 0o644, "file"),
    ]


def test_what_the_spec_leads_to_and_what_lies_above_it() -> None:
    door = host()
    door.files["/spec/host.yaml"] = b"x"
    top, srv = Part(path="/"), Part(path="/srv", owner=1000)
    template = Part(path="/srv/t.xml", kind="file", mode=0o666)
    door.ways = {
        "/spec": Way(path="/spec", parts=(top, Part(path="/spec")), error=""),
        "/srv/t.xml": Way(path="/srv/t.xml", parts=(top, srv, template), error=""),
        # Both a keyring's directory and what the spec names itself.
        "/srv": Way(path="/srv", parts=(top, srv), error=""),
    }
    found = observe_vitals(door, "/spec", ("/srv", "/srv/t.xml")).spec_ways
    assert found == (
        SpecFileStat(path="/", owner=0, mode=0o755, kind="directory", above=True),
        SpecFileStat(path="/srv", owner=1000, mode=0o755, kind="directory"),
        SpecFileStat(path="/srv/t.xml", owner=0, mode=0o666, kind="file"),
    )
    again = observe_vitals(door, "/spec", ("/srv/t.xml", "/srv")).spec_ways
    assert sorted(again, key=lambda one: one.path) == list(found)


def test_the_clock() -> None:
    assert not upkeep.synchronized(host())
    assert upkeep.synchronized(host(timedatectl="NTPSynchronized=yes\n"))
    assert problem(upkeep.synchronized, host(timedatectl=ended(1))).what == "the clock"


def test_only_what_is_there_is_asked_for() -> None:
    door = host()
    del door.files["/boot"]
    space.spaces(door)
    assert door.ran[-1] == (*space.DF, *(one for one in space.PLACES if one != "/boot"))


def test_filesystems_of_other_kinds() -> None:
    told = "Mounted on 1B-blocks Avail Inodes IFree\n/a b 100 50 - -\n/boot/efi 100 0 0 0\n"
    door = host(df=told)
    found = space.spaces(door)
    assert found[0] == Space(mount="/a b", size=Size(100), free=Size(50), inodes=0, inodes_free=0)
    assert (found[0].free_percent, found[1].free_percent) == (50.0, 0.0)


def test_a_root_that_the_kernel_made_read_only() -> None:
    door = host()
    mounts = door.files["/proc/self/mountinfo"]
    assert b"/ / rw,noatime" in mounts
    door.files["/proc/self/mountinfo"] = mounts.replace(b"/ / rw,", b"/ / ro,")
    assert space.spaces(door) == (replace(ROOT, read_only=True), RUN)
    # An error of the disk makes the filesystem read-only, and not the mount.
    for option in (b"ro", b"rw,emergency_ro"):
        line = b"21 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda %s,errors=remount-ro\n"
        door.files["/proc/self/mountinfo"] = mounts + line % option
        assert space.spaces(door) == (replace(ROOT, read_only=True), RUN)
    # What is mounted over it is what is seen.
    door.files["/proc/self/mountinfo"] += b"99 1 0:9 / / rw - tmpfs none rw\n"
    assert space.spaces(door) == (ROOT, RUN)


@pytest.mark.parametrize(
    "line", ["/ 1 2 3", "/ 1 2 3 x", "/ 1 -2 3 4", f"/ {1 << 64} 1 1 1", "\x1b[2J"]
)
def test_an_answer_of_df_that_makes_no_sense(line: str) -> None:
    found = problem(space.spaces, host(df=f"Mounted on\n{line}\n"))
    assert found.what == "filesystems"


def test_the_state_of_groups_and_its_copy() -> None:
    door = host()
    content = door.files["/etc/lvm/backup/rl_build"]
    (good,) = lvm.backups(door)
    assert good.saved == good.seqno > 0
    older = content.replace(f"\tseqno = {good.seqno}\n".encode(), b"\tseqno = 3\n")
    for text, saved in ((older, 3), (b"seqno = 3", -1), (b"", -1)):
        door.files["/etc/lvm/backup/rl_build"] = text
        assert lvm.backups(door) == (replace(good, saved=saved),)
    hostile = host(vgs_state=captured("vgs-state").replace("rl_build", "../passwd"))
    assert lvm.backups(hostile) == (MetadataBackup(vg="../passwd", seqno=good.seqno, saved=-1),)


def test_copies_of_older_states_are_counted_of_each_group() -> None:
    door = host()
    (good,) = lvm.backups(door)
    for name in ("rl_build_00007-1.vg", "rl_build_100000-123.vg", "rl_build_2_99999-1.vg", "x.vg"):
        door.files[f"/etc/lvm/archive/{name}"] = b""
    assert lvm.backups(door) == (replace(good, archived=2, index=100_000),)


def test_a_group_in_a_guest() -> None:
    found = {one.name: one for one in lvm.groups(host(vgs=captured("vgs-nested")))}
    assert found["guestvg"].pvs == ("/dev/rl_build/t",)


def test_frames_that_are_filtered() -> None:
    door = host()
    door.files |= captured_files("bridge-filters")
    assert observe_vitals(door, "/etc/kvmkeep").bridge_filters == (
        "bridge-nf-call-iptables",
        "bridge-nf-call-ip6tables",
        "bridge-nf-call-arptables",
    )


def test_a_file_that_root_alone_may_read() -> None:
    door = host()
    door.refused.add("/etc/lvm/backup/rl_build")
    found = observe_vitals(door, "/etc/kvmkeep")
    assert [one.what for one in found.problems] == ["states of volume groups"]


@pytest.mark.parametrize(
    ("there", "code", "said"),
    [
        ((), 1, ""),
        ((JOURNAL_DIR,), 0, ""),
        ((JOURNAL_DIR, STATE_DIR), 1, f"root can't write into {JOURNAL_DIR}"),
        ((STATE_DIR,), 1, f"root can't write into {STATE_DIR}"),
    ],
)
def test_where_runs_are_written_down(there: tuple[str, ...], code: int, said: str) -> None:
    door = host(test=ended(code))
    for path in (JOURNAL_DIR, STATE_DIR):
        door.files.pop(path, None)
    door.files |= dict.fromkeys(there, b"")
    door.kinds = dict.fromkeys(there, "directory")
    assert observe_vitals(door, "/etc/kvmkeep").journal == said


def test_a_journal_that_is_no_directory_or_does_not_tell() -> None:
    door = host(test=ended(2, stderr=b"test: hangs"))
    door.files[JOURNAL_DIR] = b""
    door.kinds[STATE_DIR] = "directory"
    found = observe_vitals(door, "/etc/kvmkeep")
    assert found.journal == f"{JOURNAL_DIR} is no directory but a file"
    door.kinds[JOURNAL_DIR] = "symlink"  # to a directory, as far as one knows
    found = observe_vitals(door, "/etc/kvmkeep")
    assert (found.journal, [one.what for one in found.problems]) == ("", ["where runs are kept"])
