"""Disks that the spec makes larger: what is planned, what is refused, and what the host has then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from fakes.lvm import EXTENT
from msgspec.structs import replace

from kvmkeep.apply.executor import apply_plan
from kvmkeep.apply.ui import Ui
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.plan import Plan, strands
from kvmkeep.model.spec import FileDisk, Guest, Spec
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.disks.grow import unbegun
from kvmkeep.planning.disks.grow_file import TAKE_ROOM
from kvmkeep.planning.disks.grow_script import GROW_SCRIPT
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.scene import Scene, make_scene
from tests.unit.apply.scripted import new_journal
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import StepError, carry_out, reach

FAR = FileDisk(name=Label("far"), path="/data/web.img", mount="/data", size=Size(GIB))


def larger(one: Guest, **sizes: int) -> Guest:
    return replace(
        one,
        disks=tuple(
            replace(disk, size=Size(sizes[disk.name])) if disk.name in sizes else disk
            for disk in one.disks
        ),
    )


def site(one: Guest | None = None, *, off: bool = False, agent: bool = True) -> FakeHost:
    """Return a host with a guest in service that has a data disk."""
    host = FakeHost()
    host.mounts.add("/data")
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(one or guest(data=GIB)))
    domain = host.libvirt.domains["web"]
    domain.agent = agent
    if off:
        domain.live = None
    return host


def planned(host: FakeHost, wanted: Spec) -> Plan:
    return make_plan(wanted, host.facts(wanted))


def scene(host: FakeHost, wanted: Spec) -> Scene:
    return make_scene(wanted, host.facts(wanted), wanted.guests)


def reasons(plan: Plan) -> list[str]:
    return [refusal.reason for refusal in plan.refusals]


def programs(host: FakeHost, since: int) -> list[str]:
    return [command.argv[1 if command.argv[0] == "virsh" else 0] for command in host.calls[since:]]


def test_a_disk_of_a_running_guest_grows_down_to_its_filesystem() -> None:
    host = site()
    process = host.libvirt.domains["web"].run
    wanted = spec(larger(guest(data=GIB), data=3 * GIB, root=5 * GIB))
    reach(host, wanted)
    for name, size in (("vm-web-data", 3 * GIB), ("vm-web", 5 * GIB)):
        volume = host.lvm.volumes[name]
        assert (volume.size, volume.used, volume.stale) == (size, size, [])
        assert not [tag for tag in volume.tags if "grow" in tag or "state" in tag]
    assert not [name for name in host.lvm.volumes if "+" in name]
    assert host.libvirt.domains["web"].run == process
    assert planned(host, wanted).notes == ()


def test_what_is_not_known_yet_is_shown_and_not_run() -> None:
    host = site()
    plan = planned(host, spec(larger(guest(data=GIB), data=3 * GIB)))
    assert [step.what for step in plan.steps] == [
        "take 2 GiB more of rl_build for its disk data",
        "zero it, as /dev/rl_build/vm-web-data+grow",
        "make LV rl_build/vm-web-data larger: 3 GiB instead of 1 GiB",
        "have it use the 3 GiB of disk data: partition and filesystem grow",
    ]
    assert [bool(step.assumes) for step in plan.steps] == [False, False, True, True]


def test_an_lv_that_others_made_smaller_is_thought_of_before_its_extents_are_taken() -> None:
    host, wanted = site(), spec(guest(data=GIB))
    host.lvm.volumes["vm-web-data"].size = GIB // 2
    first, *others = planned(host, wanted).steps
    assert first.why.startswith("the spec says 1 GiB; if nobody made it larger there, somebody")
    assert first.why.endswith("vgcfgrestore --list rl_build")
    assert not [step.why for step in others if "vgcfgrestore" in step.why]
    # A growth that was stopped is known to be one, and goes on.
    assert [one.disk.name for one in unbegun(scene(host, wanted), wanted.guests[0])] == ["data"]
    carry_out(host, first)
    assert unbegun(scene(host, wanted), wanted.guests[0]) == ()
    assert not [step.why for step in planned(host, wanted).steps if "vgcfgrestore" in step.why]


def test_nothing_is_ever_written_to_the_lv_of_a_disk_in_service() -> None:
    host = site()
    since = len(host.calls)
    reach(host, spec(larger(guest(data=GIB), data=3 * GIB)))
    zeroed = [call.argv[-1] for call in host.calls[since:] if call.argv[0] == "blkdiscard"]
    assert zeroed == ["/dev/rl_build/vm-web-data+grow"]
    extends = [call.argv for call in host.calls[since:] if call.argv[0] == "lvextend"]
    assert [word for argv in extends for word in argv if "resizefs" in word or word == "-r"] == []
    assert extends[0][-1].startswith("/dev/md0:")


@pytest.mark.parametrize("why", ["off", "no agent", "not allowed"])
def test_a_guest_that_can_not_be_asked_grows_at_its_next_boot(why: str) -> None:
    off = why == "off"
    host = site(off=off, agent=why != "no agent")
    host.libvirt.domains["web"].executes = why != "not allowed"
    wanted = spec(larger(guest(data=GIB), data=2 * GIB))
    (note,) = planned(host, wanted).notes
    assert "next boot" in note.text
    assert ("off" in note.text) == off
    since = len(host.calls)
    reach(host, wanted)
    assert host.lvm.volumes["vm-web-data"].size == 2 * GIB
    assert ("blockresize" in programs(host, since)) != off
    assert "qemu-agent-command" not in programs(host, since)
    assert host.lvm.volumes["vm-web-data"].used == GIB
    assert planned(host, wanted).notes == ()


def test_a_filesystem_that_did_not_grow_is_told_and_tried_again() -> None:
    host = site()
    host.libvirt.domains["web"].grows = False
    wanted = spec(larger(guest(data=GIB), data=2 * GIB))
    with pytest.raises(StepError, match="grown"):
        reach(host, wanted)
    assert "kvmkeep.grow=data" in host.lvm.volumes["vm-web"].tags
    host.libvirt.domains["web"].grows = True
    reach(host, wanted)
    assert host.lvm.volumes["vm-web-data"].used == 2 * GIB
    assert "kvmkeep.grow=data" not in host.lvm.volumes["vm-web"].tags


def test_what_a_guest_can_not_do_inside_keeps_nothing_else_from_being_done() -> None:
    others = (guest("mail", data=GIB), guest("web", data=GIB))
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(*others))
    for domain in host.libvirt.domains.values():
        domain.agent = True
    host.libvirt.domains["mail"].grows = False
    wanted = spec(
        larger(others[0], data=2 * GIB, root=5 * GIB), larger(others[1], data=2 * GIB), guest("new")
    )
    outcomes: dict[str, str] = {}
    for _ in range(3):
        report = apply_plan(planned(host, wanted), host, new_journal(), Ui())
        outcomes.update((one.step.subject, one.outcome) for one in report.steps)
        assert not strands(report.steps[-1])
    assert {name for name, outcome in outcomes.items() if outcome == "failed"} == {
        "disk root of guest mail", "disk data of guest mail",
    }  # fmt: skip
    assert host.lvm.volumes["vm-web-data"].used == 2 * GIB
    assert host.libvirt.domains["new"].live is not None
    way_out = (
        "grow partition and filesystem inside by hand, and have this one forgotten: "
        "lvchange --deltag kvmkeep.grow=data rl_build/vm-mail"
    )
    (failed,) = (one for one in report.steps if one.step.subject == "disk data of guest mail")
    assert way_out in failed.detail
    again = planned(host, wanted)
    assert [note.text for note in again.notes if way_out in note.text] == [
        f"an earlier run had it begin to use the new size of disk data; where it can't, {way_out}"
    ]
    host.lvm.volumes["vm-mail"].tags -= {"kvmkeep.grow=data", "kvmkeep.grow=root"}
    assert planned(host, wanted).empty


def test_a_guest_of_which_no_file_can_be_seen_is_not_waited_for_long() -> None:
    host = site()
    host.libvirt.domains["web"].shows_files = False
    began = host.clock()
    with pytest.raises(StepError, match="to begin to use the new size of disk data"):
        reach(host, spec(larger(guest(data=GIB), data=2 * GIB)))
    assert host.clock() - began < 120


def test_what_a_stopped_growth_left_is_used_or_deleted() -> None:
    host = site()
    wanted = spec(larger(guest(data=GIB), data=2 * GIB))
    carry_out(host, planned(host, wanted).steps[0])
    host.lvm.volumes["vm-web-data+grow"].active = False
    assert [step.what for step in planned(host, wanted).certain] == [
        "zero it, as /dev/rl_build/vm-web-data+grow"
    ]
    back = spec(guest(data=GIB))
    assert [step.what for step in planned(host, back).steps] == [
        "delete rl_build/vm-web-data+grow, which no guest has"
    ]
    more = spec(larger(guest(data=GIB), data=3 * GIB))
    assert [step.what for step in planned(host, more).certain] == [
        "delete rl_build/vm-web-data+grow, which no guest has",
        "take 2 GiB more of rl_build for its disk data",
        "zero it, as /dev/rl_build/vm-web-data+grow",
    ]
    reach(host, wanted)
    assert host.lvm.volumes["vm-web-data"].stale == []
    for step in planned(host, more).certain:
        carry_out(host, step)
    assert [step.what for step in planned(host, wanted).steps] == [
        "delete rl_build/vm-web-data+grow, which no guest has"
    ]
    reach(host, more)
    assert host.lvm.volumes["vm-web-data"].size == 3 * GIB


def test_a_mark_without_anything_left_to_do_is_taken_away() -> None:
    host = site()
    root = host.lvm.volumes["vm-web"]
    root.tags |= {"kvmkeep.grow=data", "kvmkeep.grow=gone"}
    host.libvirt.domains["web"].live = None
    reach(host, spec(guest(data=GIB)))
    assert not [tag for tag in root.tags if "grow" in tag]


def test_what_stands_in_the_way_is_told_with_the_way_out() -> None:
    host = site()
    wanted = spec(larger(guest(data=GIB), data=2 * GIB, root=5 * GIB))
    snapshot = host.lvm.add(
        "vm-web-data-x", GIB, "kvmkeep", "kvmkeep.guest=web", "kvmkeep.set=20261123T0710Z"
    )
    snapshot.origin = "vm-web-data"
    host.lvm.add("by-hand", GIB).origin = "vm-web"
    host.lvm.add("vm-web+grow", GIB)
    host.libvirt.domains["web"].paused = True
    found = planned(host, wanted)
    assert reasons(found) == [
        "vm-web can't grow while it has snapshots (by-hand)",
        "the LV rl_build/vm-web+grow is not ours",
        "vm-web-data can't grow while it has snapshots (vm-web-data-x)",
        "it is paused, and would not see that root, data grows",
    ]
    hints = [refusal.hint for refusal in found.refusals]
    assert hints[0] == "see what they are for: lvs -o +origin,lv_tags rl_build"
    assert hints[2] == "delete them first: kvmkeep snapshot delete web 20261123T0710Z"
    assert hints[3] == "let it go on: kvmkeep resume web"
    host.lvm.volumes["vm-web-data"].merging = "vm-web-data-y"
    assert "vm-web-data is being reverted, and can't grow meanwhile" in reasons(
        planned(host, wanted)
    )


@pytest.mark.parametrize(
    ("state", "sets", "hint"),
    [
        ("running", (), "wait until the backup that it is for has ended"),
        ("dead", (), "have what a dead backup left deleted: kvmkeep watch"),
        (
            "running",
            ("20261123T0710Z",),
            "delete them first: kvmkeep snapshot delete web 20261123T0710Z; "
            "wait until the backup that it is for has ended",
        ),
    ],
)
def test_a_set_of_a_backup_is_not_told_to_be_deleted(
    state: str, sets: tuple[str, ...], hint: str
) -> None:
    host = site()
    wanted = spec(larger(guest(data=GIB), data=2 * GIB))
    marks = ("kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=data")
    of_backup = ("kvmkeep.set=20261124T0710Z", "kvmkeep.backup=vault")
    host.lvm.add("vm-web-data-y", GIB, *marks, *of_backup).origin = "vm-web-data"
    for one in sets:
        host.lvm.add("vm-web-data-x", GIB, *marks, f"kvmkeep.set={one}").origin = "vm-web-data"
    facts = host.facts(wanted)
    facts = replace(facts, backups=replace(facts.backups, running=state == "running"))
    (found,) = make_plan(wanted, facts).refusals
    assert found.hint == hint


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [("rwi-aor---", "a RAID LV"), ("Cwi-aoC---", "a cached LV"), ("Vwi-aotz--", "a thin LV"),
     ("mwi-aom---", "no plain LV"), ("-wc-ao----", "a contiguous LV"),
     ("-wC-ao----", "a contiguous LV")],
)  # fmt: skip
def test_a_disk_that_takes_no_extents_of_a_plain_lv_is_refused(attributes: str, kind: str) -> None:
    host = site()
    wanted = spec(larger(guest(data=GIB), data=2 * GIB))
    facts = host.facts(wanted)
    volumes = tuple(
        replace(one, attributes=attributes) if one.name == "vm-web-data" else one
        for one in facts.volumes
    )
    (found,) = make_plan(wanted, replace(facts, volumes=volumes)).refusals
    assert found.reason == f"vm-web-data is {kind}: only a plain one is made larger here"
    line = f"lvextend --size {2 * GIB}b rl_build/vm-web-data"
    mark = "lvchange --addtag kvmkeep.grow=data rl_build/vm-web"
    assert found.hint == f"make it larger by hand, and apply again: {line} && {mark}"


def test_a_striped_lv_is_refused_before_anything_is_taken_for_it() -> None:
    host = site()
    host.lvm.volumes["vm-web-data"].striped = True
    assert planned(host, spec(guest(data=GIB))).empty
    (found,) = planned(host, spec(larger(guest(data=GIB), data=2 * GIB))).refusals
    assert found.reason == "vm-web-data is a striped LV: only a plain one is made larger here"
    assert f"lvextend --size {2 * GIB}b rl_build/vm-web-data" in found.hint


def test_a_guest_that_stands_still_is_left_alone_where_nothing_grows() -> None:
    host = site()
    host.libvirt.domains["web"].paused = True
    assert planned(host, spec(guest(data=GIB))).empty


def test_no_disk_is_made_smaller() -> None:
    one = replace(guest(data=GIB), disks=(*guest(data=GIB).disks, FAR))
    host = site(one)
    smaller = larger(one, data=GIB // 2, far=GIB // 2)
    found = planned(host, spec(smaller))
    assert [(refusal.reason, refusal.hint) for refusal in found.refusals] == [
        ("/dev/rl_build/vm-web-data has 1 GiB, the spec says 512 MiB; a disk is never made "
         "smaller", "write its size into the spec: data: 1GiB"),
        ("/data/web.img has 1 GiB, the spec says 512 MiB; a disk is never made smaller",
         "write its size into the spec: far: 1GiB"),
    ]  # fmt: skip
    host.lvm.volumes["vm-web-data"].size = GIB + EXTENT
    assert planned(host, spec(one)).refusals[0].hint == (
        "write its size into the spec: data: 1028MiB"
    )


def test_what_growing_takes_counts_against_the_volume_group() -> None:
    host = site()
    host.lvm.size = 20 * GIB
    wanted = spec(larger(guest(data=GIB), data=7 * GIB))
    (reason,) = reasons(planned(host, wanted))
    assert "the new or larger disks of web need 6 GiB" in reason
    host.lvm.size = 21 * GIB
    for step in planned(host, wanted).certain:
        carry_out(host, step)
    assert planned(host, wanted).refusals == ()
    reach(host, wanted)


def test_a_guest_in_its_first_boot_does_not_grow() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    host.libvirt.silent_agents.add("web")
    with pytest.raises(StepError):
        reach(host, spec(guest(data=GIB)))
    wanted = spec(larger(guest(data=GIB), data=2 * GIB))
    plan = planned(host, wanted)
    assert not [step for step in plan.steps if "more of" in step.what]
    assert plan.notes == ()


def test_a_disk_that_is_not_complete_yet_does_not_grow_before() -> None:
    host = site()
    host.lvm.volumes["vm-web-data"].tags.add("kvmkeep.state=filling")
    host.libvirt.domains["web"].end()
    plan = planned(host, spec(larger(guest(data=GIB), data=2 * GIB)))
    assert [step.what for step in plan.steps] == ["zero /dev/rl_build/vm-web-data (1 GiB)"]


def test_a_file_of_a_guest_grows_running_or_off() -> None:
    one = replace(guest(), disks=(*guest().disks, FAR))
    host = site(one)
    reach(host, spec(larger(one, far=2 * GIB)))
    assert (host.files[FAR.path].size, host.libvirt.domains["web"].sizes) == (
        2 * GIB, {"vdb": 2 * GIB},
    )  # fmt: skip
    host.libvirt.domains["web"].end()
    reach(host, spec(larger(one, far=3 * GIB)))
    assert host.files[FAR.path].size == 3 * GIB
    host.libvirt.domains["web"].live = host.libvirt.domains["web"].xml
    wanted = spec(larger(one, far=4 * GIB))
    host.libvirt.domains["web"].grows = False
    with pytest.raises(StepError, match="grown"):
        reach(host, wanted)
    host.libvirt.domains["web"].grows = True
    again = planned(host, wanted)
    assert [step.what for step in again.steps] == [
        "have it use the 4 GiB of disk far: partition and filesystem grow"
    ]
    host.files[FAR.path].size -= EXTENT
    assert "--addtag" not in " ".join(
        str(action) for action in planned(host, wanted).steps[0].actions
    )


def test_a_file_takes_its_room_before_the_running_guest_sees_it() -> None:
    one = replace(guest(), disks=(*guest().disks, FAR))
    host = site(one)
    host.free_on_mounts = GIB
    with pytest.raises(StepError, match="No space left"):
        reach(host, spec(larger(one, far=4 * GIB)))
    assert (host.files[FAR.path].size, host.libvirt.domains["web"].sizes) == (GIB, {})
    assert planned(host, spec(one)).empty
    reach(host, spec(larger(one, far=2 * GIB)))
    assert host.files[FAR.path].size == 2 * GIB


@pytest.mark.parametrize(
    ("said", "length", "ends"),
    [
        ("", 1 << 20, ""),
        ("fallocate: fallocate failed: keep size mode is unsupported", 1 << 20, ""),
        ("fallocate: fallocate failed: Operation not supported", 1 << 62, "bytes are free there"),
        ("fallocate: fallocate failed: No space left on device", 1 << 20, "No space left"),
    ],
)
def test_where_no_room_can_be_taken_there_has_to_be_some(
    said: str, length: int, ends: str, tmp_path: Path
) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"disk")
    stub = f"fallocate() {{ echo '{said}'; [ -z '{said}' ]; }}; "
    argv = ("sh", "-c", stub + TAKE_ROOM, "kvmkeep", str(path), "4", str(length))
    result = MachineDoor().run(Command(argv=argv, why="take room"))
    assert (result.ok, path.stat().st_size) == (not ends, 4)
    assert ends in result.stderr.decode()


def test_a_disk_that_its_definition_has_otherwise_grows_as_the_guest_runs_with_it() -> None:
    one = guest(data=GIB)
    one = replace(one, disks=(*one.disks, FAR))
    host = site(one)
    domain = host.libvirt.domains["web"]
    for disk in domain.xml.findall("devices/disk"):
        if disk.find("target").get("dev") in {"vdb", "vdc"}:
            disk.find("target").set("bus", "scsi")
            disk.find("serial").text = "by-hand"
    reach(host, spec(larger(one, data=2 * GIB, far=2 * GIB)))
    assert (host.lvm.volumes["vm-web-data"].used, host.files[FAR.path].size) == (2 * GIB, 2 * GIB)
    assert domain.sizes == {"vdb": 2 * GIB, "vdc": 2 * GIB}
    asked = [call.argv for call in host.calls if "qemu-agent-command" in call.argv]
    assert not [argv for argv in asked if "by-hand" in " ".join(argv)]


def test_an_adopted_disk_without_a_serial_is_asked_for_by_its_size() -> None:
    host = site()
    domain = host.libvirt.domains["web"]
    for tree in (domain.xml, domain.live):
        for disk in tree.findall("devices/disk"):
            serial = disk.find("serial")
            if serial is not None:
                disk.remove(serial)
    wanted = spec(larger(guest(data=GIB), data=2 * GIB))
    asks = [
        json.loads(action.argv[-1])
        for step in planned(host, wanted).steps
        for action in step.actions
        if isinstance(action, Command) and "guest-exec" in action.argv[-1]
    ]
    assert asks[0]["arguments"]["arg"][3:5] == ["", str(2 * GIB)]


def test_a_guest_that_crashed_does_not_see_that_its_disk_grows() -> None:
    host = site()
    wanted = spec(larger(guest(data=GIB), data=2 * GIB))
    facts = host.facts(wanted)
    crashed = replace(facts, domains=(replace(facts.domains[0], state=DomainState.CRASHED),))
    (refusal,) = make_plan(wanted, crashed).refusals
    assert refusal.hint == "start it anew: kvmkeep poweroff web; kvmkeep start web"


@pytest.mark.parametrize("shell", [name for name in ("dash", "bash") if shutil.which(name)])
def test_the_script_is_one_for_any_shell(shell: str) -> None:
    command = Command(argv=(shell, "-n"), why="see that it can be read", stdin=GROW_SCRIPT.encode())
    assert MachineDoor().run(command).ok
