"""Guests, memory, and the host itself with what lies about on it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from kvmkeep.model.agent import NO_CHANNEL, NOT_CONNECTED
from kvmkeep.model.domain_facts import Domain, DomainDisk, DomainState
from kvmkeep.model.facts import Machines, Problem, SeedFile, Tool
from kvmkeep.model.health import Severity
from kvmkeep.model.host_units import RECOVER, SIGNATURE, HostUnits, UnitFile
from kvmkeep.model.names import STATE_EMPTYING, STATE_FRESH, TAG_HELD, TAG_START
from kvmkeep.model.run import OnFail, ReadyTcp
from kvmkeep.model.run_mark import RunMark
from kvmkeep.model.trash_folder import TrashFolder
from kvmkeep.model.units import GuestName, Size
from kvmkeep.model.vitals import GuestAnswer, LastRun, LockHolder, Space
from tests.unit.health.build import DISK, FACTS, GIB, ROOT, SPEC, domain, findings, only, volume
from tests.unit.planning.build import guest, network, spec

WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL
OFF = domain(state=DomainState.SHUTOFF, live_nics=())
TCP = spec(guest(ready=ReadyTcp(port=22)), networks=(network(ageing_time=300, stp=False),))
NO_NC = (Tool(name="nc", path="", package="ncat"),)
RUN = LastRun(name="20261124-x", command_line="kvmkeep apply", outcome="", alive=False)


@pytest.mark.parametrize(
    ("one", "severity", "name"),
    [
        (OFF, CRITICAL, "guest-off"),
        (domain(state=DomainState.CRASHED), CRITICAL, "guest-crashed"),
        (domain(state=DomainState.PAUSED, why="I/O error"), CRITICAL, "guest-io-error"),
        (domain(state=DomainState.PAUSED, why="user"), WARNING, "guest-paused"),
        (domain(state=DomainState.PAUSED), WARNING, "guest-paused"),
        (domain(why="crashed"), WARNING, "guest-panicked"),
        (domain(state=DomainState.SUSPENDED), WARNING, "guest-paused"),
        (domain(state=DomainState.SHUTDOWN), CRITICAL, "guest-not-ended"),
    ],
)
def test_guests_that_do_not_run(one: Domain, severity: Severity, name: str) -> None:
    assert only(severity, name, domains=(one,)).subject == "guest web"


def test_a_guest_that_has_put_itself_to_sleep_is_woken_up() -> None:
    asleep = domain(state=DomainState.SUSPENDED)
    found = only(WARNING, "guest-paused", domains=(asleep,))
    assert found.what == "it has put itself to sleep"
    assert found.todo.endswith("kvmkeep resume web")
    # `virsh resume` refuses such a one.
    found = only(WARNING, "guest-paused", domains=(replace(asleep, ours=False),))
    assert found.todo.endswith("virsh dompmwakeup web")


def test_a_guest_that_libvirt_has_reset_is_begun_anew() -> None:
    found = only(WARNING, "guest-panicked", domains=(domain(why="crashed"),))
    assert found.todo.startswith("kvmkeep console web --log; ")
    assert found.todo.endswith(": kvmkeep reboot --cold web")
    (found,) = findings(domains=(domain(why="crashed", ours=False),))
    assert found.todo.endswith(": virsh destroy web; virsh start web")


def test_a_guest_whose_memory_is_saved_is_told_beside_that_it_is_off() -> None:
    found = {one.name: one for one in findings(domains=(replace(OFF, saved=True),))}
    assert found.keys() == {"guest-off", "guest-saved"}
    assert "virsh managedsave-remove web" in found["guest-saved"].todo
    assert "where its ON_SHUTDOWN is suspend" in found["guest-saved"].what


@pytest.mark.parametrize(
    ("changes", "verb"),
    [
        ({"state": DomainState.PAUSED, "why": "I/O error"}, "resume"),
        ({"state": DomainState.PAUSED}, "resume"),
        ({"state": DomainState.CRASHED}, "start"),
        ({"state": DomainState.SHUTDOWN}, "start"),
    ],
)
def test_a_guest_of_ours_is_mended_by_our_own_verbs(changes: dict[str, object], verb: str) -> None:
    own = domain(**changes)
    for one, line in (
        (own, f"kvmkeep {verb} web"),
        (replace(own, name="dns", uuid="6f2c"), f"virsh {verb} dns"),  # ours, but not of the spec
        (replace(own, name="dns", uuid="6f2c", ours=False), f"virsh {verb} dns"),
        (replace(own, name="x; reboot", uuid="6f2c", ours=False), f"virsh {verb} 'x; reboot'"),
        (replace(own, ours=False), f"virsh {verb} web"),
        (replace(own, uuid="6f2c"), f"virsh {verb} web"),
    ):
        told = [
            found.todo for found in findings(domains=(one,)) if found.subject.endswith(one.name)
        ]
        assert [todo for todo in told if todo.endswith(line)], (line, told)
        assert not [todo for todo in told if " x; reboot" in todo]


def test_needs_that_nobody_minds() -> None:
    base = guest()
    for run in (
        replace(base.run, needs=(GuestName("db"),)),
        replace(base.run, mounts=("/data",)),
    ):
        wanted = spec(replace(base, run=run))
        told = {one.name: one for one in findings(wanted)}["order-not-kept"]
        assert (told.severity, told.todo) == (WARNING, "kvmkeep install-units")
        assert "(web)" in told.what
    units = HostUnits(files=(UnitFile(name=RECOVER, text=f"{SIGNATURE}\n", enabled=True),))
    assert "order-not-kept" not in {one.name for one in findings(wanted, units=units)}


def test_guests_that_the_last_word_says_something_of() -> None:
    asleep = spec(guest(autostart=False), networks=SPEC.networks)
    for mark, severity, name in (
        (RunMark(restarts=4, held=True), CRITICAL, "guest-crash-loop"),
        (RunMark(wanted=False), Severity.OK, "guest-kept-off"),
    ):
        only(severity, name, domains=(replace(OFF, run_mark=mark),))
    started = replace(OFF, run_mark=RunMark(wanted=True))
    found = only(CRITICAL, "guest-off", wanted=asleep, domains=(started,))
    assert found.what == "it is off, though it was started and never shut down"


def test_who_stays_off_tells_whom_that_holds_back_at_a_boot() -> None:
    off = replace(OFF, run_mark=RunMark(wanted=False))
    base = guest("dns")
    dns = domain("dns", uuid=base.uuid)
    for needs, on_fail, runs, told in (
        ((GuestName("web"),), OnFail.HOLD, True, ", and so would those that need it: dns"),
        ((GuestName("web"),), OnFail.HOLD, False, ""),
        ((GuestName("web"),), OnFail.CONTINUE, True, ""),
        ((), OnFail.HOLD, True, ""),
    ):
        first = guest()
        wanted = spec(
            replace(first, run=replace(first.run, on_fail=on_fail)),
            replace(base, run=replace(base.run, needs=needs)),
        )
        other = replace(dns, run_mark=RunMark() if runs else RunMark(wanted=False))
        found = {one.name: one for one in findings(wanted, domains=(off, other))}
        assert found["guest-kept-off"].why == f"it stays off after a boot as well{told}"


def test_guests_that_need_not_run() -> None:
    wanted = spec(guest(autostart=False), networks=SPEC.networks)
    assert findings(wanted, domains=(OFF,)) == ()
    # What is of others, or not made yet, is not ours to judge; the plan tells of the latter.
    assert findings(domains=(replace(OFF, ours=False),)) == ()
    assert findings(domains=()) == ()


def inside(*, ready: bool | None = True, silent: str = "", up: float | None = 999.0) -> GuestAnswer:
    return GuestAnswer(guest="web", ready=ready, silent=silent, up=up)


def test_guests_that_do_not_answer() -> None:
    mute = "did not answer within 2 s"
    found = only(CRITICAL, "guest-not-ready", inside=(inside(ready=False, silent=mute),))
    assert found.what == f"it runs, but its agent {mute}"
    found = only(CRITICAL, "guest-not-ready", wanted=TCP, inside=(inside(ready=False),))
    assert found.what == "it runs, but is not ready as its spec defines that"
    found = only(WARNING, "agent-silent", wanted=TCP, inside=(inside(silent=mute),))
    assert found.what == f"its agent {mute}"
    assert findings(inside=(inside(),)) == ()


def test_a_guest_that_need_not_have_an_agent_is_not_blamed_for_it() -> None:
    found = only(Severity.OK, "agent-silent", wanted=TCP, inside=(inside(silent=NOT_CONNECTED),))
    assert found.todo.startswith("if it is to have one")
    assert findings(TCP, inside=(inside(silent=NO_CHANNEL),)) == ()
    # Its agent is what it is to be ready by, and answered the first questions.
    for silent in (NOT_CONNECTED, NO_CHANNEL):
        only(WARNING, "agent-silent", inside=(inside(silent=silent),))


@pytest.mark.parametrize(("up", "count"), [(None, 1), (299.0, 0), (300.0, 1)])
def test_guests_are_given_the_time_that_they_may_take(up: float | None, count: int) -> None:
    assert len(findings(inside=(inside(ready=False, silent="x", up=up),))) == count


def test_a_guest_that_was_just_shut_down_is_not_blamed_for_its_silence() -> None:
    only(CRITICAL, "guest-off", domains=(OFF,), inside=(inside(ready=False, silent="x"),))


def test_what_a_killed_run_left_on_a_guest() -> None:
    held = replace(DISK, tags=(*DISK.tags, TAG_HELD + "frozen"))
    only(CRITICAL, "guest-held", volumes=(held,))
    assert findings(volumes=(held,), working=True) == ()
    # A backup that goes on for hours sets none of these marks.
    only(CRITICAL, "guest-held", volumes=(held,), last_run=replace(RUN, alive=True))
    due = replace(DISK, tags=(*DISK.tags, TAG_START + "after-revert"))
    names = [one.name for one in findings(volumes=(due,), domains=(OFF,))]
    assert names == ["guest-not-started-again", "guest-off"]
    assert findings(volumes=(due,)) == ()
    assert findings(volumes=()) == ()


def test_memory() -> None:
    found = only(WARNING, "memory-promised", memory=Size(5 * GIB))
    assert found.what == "2 GiB are promised to guests; the host has 5 GiB, its reserve is 4 GiB"
    assert "kills" in only(CRITICAL, "memory-promised", memory=Size(GIB)).why
    assert findings(memory=Size(0)) == ()
    assert findings(memory=Size(6 * GIB)) == ()


@pytest.mark.parametrize(
    ("changes", "severity", "what"),
    [
        ({"free": Size(GIB)}, WARNING, "1 GiB of 20 GiB are left"),
        ({"free": Size(GIB // 2)}, CRITICAL, "512 MiB of 20 GiB are left"),
        (
            {"inodes_free": 9}, CRITICAL,
            "9 GiB of 20 GiB are left, and 9 of 1048576 inodes",
        ),
        ({"mount": "/boot", "free": Size(GIB)}, WARNING, "1 GiB of 20 GiB are left"),
    ],
)  # fmt: skip
def test_full_filesystems(changes: dict[str, object], severity: Severity, what: str) -> None:
    found = only(severity, "filesystem-full", spaces=(replace(ROOT, **changes),))
    assert found.what == what


@pytest.mark.parametrize(
    ("mounts", "ends"),
    [
        (("/",), ("journalctl --vacuum-size=500M",)),
        (("/", "/var"), ("--max-depth=2 /", "journalctl --vacuum-size=500M")),
        (
            ("/", "/var", "/var/log", "/var/lib", "/run"),
            ("=2 /", "=2 /run", "=2 /var", "=2 /var/lib", "journalctl --vacuum-size=500M"),
        ),
        (("/boot",), ("or dnf remove --oldinstallonly",)),
        (("/etc", "/var/cache"), ("--max-depth=2 /etc", "--max-depth=2 /var/cache")),
    ],
)
def test_what_may_fill_a_filesystem(mounts: tuple[str, ...], ends: tuple[str, ...]) -> None:
    full = tuple(replace(ROOT, mount=mount, free=Size(GIB)) for mount in mounts)
    found = findings(spaces=full)
    assert len(found) == len(ends)
    for one, end in zip(found, ends, strict=True):
        assert one.todo.endswith(end)


def test_filesystems_with_room() -> None:
    large = replace(ROOT, size=Size(4096 * GIB), free=Size(100 * GIB))
    # Some filesystems count no inodes, and some are read-only for good.
    uncounted = replace(ROOT, inodes=0, inodes_free=0)
    optical = Space(
        mount="/boot", size=Size(GIB), free=Size(GIB), inodes=0, inodes_free=0, read_only=True
    )
    empty = replace(optical, size=Size(0), free=Size(0))
    assert findings(spaces=(large, uncounted, optical, empty)) == ()


def test_a_root_that_is_read_only() -> None:
    only(CRITICAL, "filesystem-read-only", spaces=(replace(ROOT, read_only=True),))


def test_the_clock() -> None:
    only(WARNING, "clock-not-synchronized", synchronized=False)
    assert findings(synchronized=None) == ()


def test_seeds() -> None:
    seed = (SeedFile(guest="web", path="/var/lib/kvmkeep/seed/web.iso"),)
    assert only(WARNING, "seed-left", seeds=seed).todo == "kvmkeep apply web"
    fresh = replace(DISK, tags=(*DISK.tags, STATE_FRESH))
    assert findings(seeds=seed, volumes=(fresh,)) == ()
    hole = Problem(what="logical volumes", reason="lvs did not answer", hint="try: lvs")
    only(Severity.UNKNOWN, "not-seen", seeds=seed, volumes=(), problems=(hole,))
    other = (SeedFile(guest="old", path="/var/lib/kvmkeep/seed/old.iso"),)
    assert only(WARNING, "seed-left", seeds=other).todo == "rm /var/lib/kvmkeep/seed/old.iso"


def folder(stamp: str) -> TrashFolder:
    return TrashFolder(name=f"old-{stamp}", files=(), domain=None)


def test_trash() -> None:
    found = only(WARNING, "trash-old", trash=(folder("20261020T0700Z"),))
    assert found.what == "it lies there for 35 days and takes 0 B"
    assert findings(trash=(folder("20261120T0700Z"),)) == ()


def test_trash_that_is_half_done() -> None:
    marks = ("kvmkeep", "kvmkeep.guest=old", "kvmkeep.trash=20261120T0700Z")
    moved = volume("trash-x", tags=(*marks, "kvmkeep.was=vm-old"))
    moving = volume("vm-old", tags=marks)
    found = only(WARNING, "trash-unfinished", volumes=(DISK, moving))
    assert "moved" in found.what
    emptying = replace(moved, tags=(*moved.tags, STATE_EMPTYING))
    found = only(WARNING, "trash-unfinished", volumes=(DISK, emptying))
    assert found.todo == "kvmkeep trash empty old-20261120T0700Z"
    assert findings(volumes=(DISK, emptying), working=True) == ()
    assert findings(volumes=(DISK, moved)) == ()


def test_the_last_run() -> None:
    assert "was killed" in only(WARNING, "run-unfinished", last_run=RUN).what
    failed = replace(RUN, outcome="StepFailed: stopped at step 2 of 5")
    found = only(WARNING, "run-unfinished", last_run=failed)
    assert found.what == "it ended with: StepFailed: stopped at step 2 of 5"
    assert found.todo == "kvmkeep journal 20261124-x; then run it again: kvmkeep apply"
    assert findings(last_run=replace(RUN, outcome="done")) == ()
    assert findings(last_run=replace(RUN, alive=True)) == ()


def test_a_run_that_holds_the_lock_and_does_nothing() -> None:
    now = datetime.fromisoformat(FACTS.time)

    def holder(minutes: int) -> LockHolder:
        since = int((now - timedelta(minutes=minutes)).timestamp())
        return LockHolder(verb="apply", pid=77, since=since, user="alice")

    found = only(WARNING, "lock-held", holder=holder(40), working=True)
    assert found.what.startswith("apply, pid 77, by alice, has held it since 20")
    assert found.todo.endswith("kill 77")
    assert findings(holder=holder(20)) == ()


@pytest.mark.parametrize(
    ("autostart", "state", "severity", "why"),
    [
        (True, DomainState.RUNNING, CRITICAL, "hangs or fails"),
        (False, DomainState.SHUTOFF, Severity.WARNING, "recover holds it back"),
    ],
)
def test_a_mount_that_a_guest_needs_and_that_is_not_there(
    *, autostart: bool, state: DomainState, severity: Severity, why: str
) -> None:
    wanted = spec(
        guest(autostart=autostart, mounts=("/data",)),
        networks=(network(ageing_time=300, stp=False),),
    )
    changes = {"wanted": wanted, "domains": (domain(state=state, live_nics=()),)}
    found = next(one for one in findings(**changes) if one.name == "mount-missing")
    assert (found.subject, found.what) == ("guest web", "it needs /data, where nothing is mounted")
    assert found.severity is severity
    assert why in found.why
    assert "mount-missing" not in {one.name for one in findings(**changes, mounts=("/data",))}


def test_a_guest_that_libvirt_would_forget() -> None:
    found = only(CRITICAL, "guest-undefined", domains=(domain(persistent=False),))
    assert found.todo.startswith("kvmkeep apply web")


def disk(cache: str, live_cache: str, *, attached: bool = True) -> DomainDisk:
    return DomainDisk(
        target="vda", bus="virtio", kind="disk", source="/dev/rl_build/vm-web", device="253:9",
        format="raw", cache=cache, live_cache=live_cache, attached=attached,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cache", "live", "when", "then"),
    [
        ("unsafe", "unsafe", False, True),
        ("none", "unsafe", False, True),
        ("unsafe", "none", True, False),
    ],
)
def test_a_disk_whose_writes_are_not_kept(cache: str, live: str, when: bool, then: bool) -> None:  # noqa: FBT001 - pytest's
    found = only(CRITICAL, "disk-cache-unsafe", domains=(domain(disks=(disk(cache, live),)),))
    assert found.what.endswith("from its next start on") is when
    assert found.todo.endswith("kvmkeep start web") is then


def test_other_ways_to_cache_are_for_others_to_choose() -> None:
    assert findings(domains=(domain(disks=(disk("writeback", "none"),)),)) == ()
    foreign = domain("other", ours=False, uuid="u", live_nics=(), disks=(disk("unsafe", "unsafe"),))
    assert findings(domains=(domain(), foreign)) == ()


def test_a_program_that_readiness_needs() -> None:
    found = only(WARNING, "program-missing", wanted=TCP, tools=NO_NC)
    assert (found.subject, found.todo) == ("program nc", "install the package ncat")


def test_a_machine_type_that_qemu_has_no_more_is_told_while_the_guest_still_runs() -> None:
    machines = (Machines(arch="x86_64", names=("pc-q35-7.2", "q35")),)
    old = domain(arch="x86_64", machine="pc-q35-2.4")
    found = only(CRITICAL, "guest-machine-gone", domains=(old,), machines=machines)
    assert "once it is off" in found.why
    assert "machine='q35' in the place of 'pc-q35-2.4'" in found.todo
    off = replace(old, state=DomainState.SHUTOFF, live_nics=())
    found = {one.name: one for one in findings(domains=(off,), machines=machines)}
    assert found["guest-machine-gone"].why == "it can't be started"
    for known in (replace(old, machine="pc-q35-7.2"), replace(old, arch="aarch64"), domain()):
        assert findings(domains=(known,), machines=machines) == ()
    assert findings(domains=(old,)) == (), "what is not known blames nobody"


@pytest.mark.parametrize(
    ("changes", "severity", "words"),
    [
        ({}, WARNING, "it runs"),
        ({"state": DomainState.SHUTOFF}, CRITICAL, "is off, and is to run"),
        ({"state": DomainState.SHUTOFF, "autostart": False}, Severity.OK, "it is off"),
    ],
)
def test_a_guest_that_the_spec_does_not_name(
    changes: dict[str, object], severity: Severity, words: str
) -> None:
    lost = domain("old", uuid="u", live_nics=(), **changes)
    found = [one for one in findings(domains=(domain(), lost)) if one.name == "guest-unnamed"]
    (one,) = found
    assert (one.severity, one.subject) == (severity, "guest old")
    assert one.what.endswith(words)
    assert "kvmkeep adopt old" in one.todo


def test_a_guest_that_is_half_renamed_is_named() -> None:
    assert "guest-unnamed" not in {one.name for one in findings(domains=(domain("old"),))}
