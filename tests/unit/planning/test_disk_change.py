"""Disks that come to a guest in service, and disks that the spec no longer has."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree as ET

import pytest
from fakes.files import anybodys
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.command import Poll
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Disk, FileDisk, Guest, LvDisk, Spec
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.reboot import plan_cold_reboot
from kvmkeep.planning.running.start import plan_start
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import StepError, carry_out, reach

FAR = FileDisk(name=Label("far"), path="/data/vm/web.img", mount="/data", size=Size(GIB))
LOGS = LvDisk(name=Label("logs"), lv="vm-web-logs", size=Size(GIB))


def with_disks(*disks: Disk, one: Guest | None = None) -> Guest:
    base = one or guest(data=GIB)
    return replace(base, disks=(*base.disks, *disks))


def site(one: Guest | None = None, *, off: bool = False) -> FakeHost:
    host = FakeHost()
    host.mounts.add("/data")
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(one or guest(data=GIB)))
    if off:
        host.libvirt.domains["web"].end()
    return host


def planned(host: FakeHost, wanted: Spec) -> Plan:
    return make_plan(wanted, host.facts(wanted))


def targets(host: FakeHost, *, live: bool = False) -> dict[str, str]:
    domain = host.libvirt.domains["web"]
    tree = domain.live if live else domain.xml
    return {
        disk.find("target").get("dev"): (source.get("dev") or source.get("file"))
        for disk in tree.findall("devices/disk")
        if (source := disk.find("source")) is not None
    }


ALL = {
    "vda": "/dev/rl_build/vm-web", "vdb": "/dev/rl_build/vm-web-data",
    "vdc": "/dev/rl_build/vm-web-logs", "vdd": "/data/vm/web.img",
}  # fmt: skip


@pytest.mark.parametrize("off", [True, False], ids=["off", "running"])
def test_new_disks_are_made_and_given_to_a_guest_in_service(off: bool) -> None:  # noqa: FBT001 - a parameter
    host = site(off=off)
    process = host.libvirt.domains["web"].run
    wanted = spec(with_disks(LOGS, FAR))
    reach(host, wanted)
    assert targets(host) == ALL
    if not off:
        assert targets(host, live=True) == ALL
        assert host.libvirt.domains["web"].run == process
    assert host.lvm.volumes["vm-web-logs"].stale == []
    assert (host.files[FAR.path].size, host.files[FAR.path].mode) == (GIB, 0o600)
    assert host.directories["/data/vm"] == 0o711
    assert b"vm-web-logs" in host.files["/root/kvm/web.xml"].content
    assert not [path for path in host.files if path.startswith("/run/kvmkeep")]


def test_what_is_attached_on_one_side_only_is_completed() -> None:
    host = site()
    wanted = spec(with_disks(LOGS, FAR))
    reach(host, wanted)
    domain = host.libvirt.domains["web"]
    for tree, target in ((domain.xml, "vdc"), (domain.live, "vdd")):
        devices = tree.find("devices")
        (disk,) = [d for d in devices.findall("disk") if d.find("target").get("dev") == target]
        devices.remove(disk)
    assert [step.what for step in planned(host, wanted).steps[:2]] == [
        "give it /dev/rl_build/vm-web-logs as disk vdc, from its next start on",
        "give it /data/vm/web.img as disk vdd, at once",
    ]
    reach(host, wanted)
    assert targets(host) == targets(host, live=True) == ALL


def test_a_disk_that_goes_from_the_middle_renames_no_other() -> None:
    one = with_disks(LOGS)
    host = site(one)
    without = replace(one, disks=(one.disks[0], one.disks[2]))
    host.libvirt.domains["web"].end()
    reach(host, spec(without))
    assert targets(host) == {"vda": ALL["vda"], "vdc": ALL["vdc"]}
    (note,) = planned(host, spec(without)).notes
    assert "the content of disk data is kept in rl_build/vm-web-data" in note.text
    assert host.lvm.volumes["vm-web-data"].size == GIB
    reach(host, spec(one))
    assert targets(host) == {key: ALL[key] for key in ("vda", "vdb", "vdc")}
    assert planned(host, spec(one)).notes == ()


LESS = spec(guest())
UNPLUGGED = (
    "take disk vdb (rl_build/vm-web-data) from the running guest, once it tells that nothing uses "
    "it; the LV stays as it is"
)


def running(**changes: object) -> FakeHost:
    """Return a host with a guest that runs, and whose agent answers."""
    host = site()
    domain = host.libvirt.domains["web"]
    domain.agent = True
    for name, value in changes.items():
        setattr(domain, name, value)
    return host


def pending(host: FakeHost) -> str:
    """Return what is told of the disk that waits; nothing else is left to be done."""
    reach(host, LESS)
    assert targets(host) == {"vda": ALL["vda"]}
    assert targets(host, live=True).keys() == {"vda", "vdb"}
    assert b"vm-web-data" not in host.files["/root/kvm/web.xml"].content
    (note,) = planned(host, LESS).notes
    assert note.pending
    return note.text


def test_a_disk_that_nothing_uses_is_taken_from_the_running_guest() -> None:
    host = running()
    plan = planned(host, LESS)
    assert [step.what for step in plan.steps] == [
        "take disk vdb (rl_build/vm-web-data) from its definition; the LV stays as it is",
        "keep its definition in /root/kvm/web.xml",
        UNPLUGGED,
    ]
    reach(host, LESS)
    assert targets(host) == targets(host, live=True) == {"vda": ALL["vda"]}
    (note,) = planned(host, LESS).notes
    assert "is kept in rl_build/vm-web-data" in note.text
    assert "kvmkeep remove web --disk data" in note.text
    assert not note.pending
    assert "kvmkeep.guest=web" in host.lvm.volumes["vm-web-data"].tags
    reach(host, spec(guest(data=GIB)))
    assert targets(host, live=True) == {"vda": ALL["vda"], "vdb": ALL["vdb"]}


def test_a_disk_that_is_mounted_waits_and_comes_back_from_there() -> None:
    host = running(mounted={"/srv/a": "vm-web-data", "/": "vm-web", "/srv/b": "vm-web-data"})
    told = pending(host)
    assert "it has no disk data any more" in told
    assert "keeps it, since /srv/a, /srv/b in it lies on that disk" in told
    reach(host, spec(guest(data=GIB)))
    assert targets(host) == targets(host, live=True)
    assert planned(host, spec(guest(data=GIB))).notes == ()
    pending(host)
    domain = host.libvirt.domains["web"]
    domain.mounted.clear()
    reach(host, LESS)
    assert targets(host, live=True).keys() == {"vda"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"agent": False}, "its agent does not tell"),
        ({"executes": False}, "needs guest-exec and guest-file-open"),
        ({"paused": True}, "the guest is paused"),
    ],
)
def test_a_guest_that_can_not_tell_keeps_the_disk_until_it_is_off(
    changes: dict[str, object], why: str
) -> None:
    host = running(**changes)
    assert why in pending(host)
    host.libvirt.domains["web"].end()
    (note,) = planned(host, LESS).notes
    assert "is kept in rl_build/vm-web-data" in note.text


@pytest.mark.parametrize("serial", ["", "a b", "../x", "x" * 65])
def test_a_disk_that_could_not_be_known_inside_is_not_asked_for(serial: str) -> None:
    host = running()
    for tree in (host.libvirt.domains["web"].xml, host.libvirt.domains["web"].live):
        tree.findall("devices/disk/serial")[-1].text = serial
    assert "no serial" in pending(host)


def test_what_uses_a_disk_beyond_mounts_stops_only_what_comes_last() -> None:
    host = running(uses={"vm-web-data"})
    wanted = replace(LESS, guests=(replace(LESS.guests[0], vcpus=3),))
    steps = planned(host, wanted).steps
    assert steps[-1].what == UNPLUGGED
    for step in steps[:-1]:
        carry_out(host, step)
    with pytest.raises(StepError, match="to find that nothing in it uses disk vdb"):
        carry_out(host, steps[-1])
    assert targets(host, live=True).keys() == {"vda", "vdb"}
    (poll, _) = (one for one in steps[-1].actions if isinstance(one, Poll))
    assert "cat /run/kvmkeep-free.vm-web-data.log" in poll.otherwise


def test_a_guest_that_does_not_let_go_is_waited_for_and_told_of() -> None:
    host = running()
    host.libvirt.stiff.add("web")
    with pytest.raises(StepError, match="to let go of disk vdb"):
        reach(host, LESS)
    host.libvirt.stiff.clear()
    reach(host, LESS)
    assert targets(host, live=True).keys() == {"vda"}


FILE_SERIAL = "web-far"
BARE = spec(guest(data=GIB))


def with_file(*, off: bool = False, **changes: object) -> FakeHost:
    """Return a host with a guest that has a disk in a file, which holds something."""
    host = site(with_disks(FAR), off=off)
    host.files[FAR.path] = dataclasses.replace(host.files[FAR.path], content=b"precious")
    domain = host.libvirt.domains["web"]
    domain.agent = True
    for name, value in changes.items():
        setattr(domain, name, value)
    return host


def remembered(host: FakeHost) -> tuple[tuple[str, ...], tuple[str, ...]]:
    (domain,) = host.facts(BARE).domains
    return domain.files, domain.live_files


def test_a_file_that_the_spec_drops_is_taken_out_and_never_deleted() -> None:
    host = with_file(off=True)
    assert remembered(host) == ((FAR.path,), ())
    assert [step.what for step in planned(host, BARE).steps[:2]] == [
        "take disk vdc (/data/vm/web.img) from it; the file stays as it is",
        "remember which files are its disks",
    ]
    reach(host, BARE)
    assert targets(host).keys() == {"vda", "vdb"}
    assert remembered(host) == ((), ())
    assert host.files[FAR.path].content == b"precious"
    assert planned(host, BARE).notes == ()
    assert b"web.img" not in host.files["/root/kvm/web.xml"].content
    reach(host, spec(with_disks(FAR)))
    assert targets(host)["vdc"] == FAR.path
    assert host.files[FAR.path].content == b"precious"


def test_a_running_guest_lets_go_of_a_file_that_nothing_uses() -> None:
    host = with_file()
    assert planned(host, BARE).steps[-1].what == (
        "take disk vdc (/data/vm/web.img) from the running guest, once it tells that nothing uses "
        "it; the file stays as it is"
    )
    reach(host, BARE)
    assert targets(host).keys() == targets(host, live=True).keys() == {"vda", "vdb"}
    assert remembered(host) == ((), ())


def test_a_running_guest_keeps_a_file_in_use_and_remembers_it_until_it_is_off() -> None:
    host = with_file(mounted={"/srv": FILE_SERIAL})
    labelled = replace(BARE, guests=(replace(BARE.guests[0], labels=("prod",)),))
    for wanted in (BARE, labelled, BARE):
        reach(host, wanted)
        assert targets(host, live=True)["vdc"] == FAR.path
        assert remembered(host) == ((), (FAR.path,))
        (note,) = planned(host, wanted).notes
        assert note.pending
        assert "it has no disk vdc any more" in note.text
        assert "/srv in it lies on that disk" in note.text
    host.libvirt.domains["web"].end()
    assert planned(host, BARE).empty


def test_a_file_that_others_attached_is_left() -> None:
    host = with_file(off=True)
    reach(host, BARE)
    reach(host, spec(with_disks(FAR)))
    domain = host.libvirt.domains["web"]
    mark = domain.xml.find("metadata/{urn:kvmkeep:guest:1}guest")
    mark.remove(mark.find("{urn:kvmkeep:guest:1}disk"))
    assert [step.what for step in planned(host, spec(with_disks(FAR))).steps] == [
        "remember which files are its disks", "keep its definition in /root/kvm/web.xml",
    ]  # fmt: skip
    assert not [step for step in planned(host, BARE).steps if "take disk" in step.what]


def test_several_files_go_one_by_one() -> None:
    two = replace(FAR, name=Label("two"), path="/data/two.img")
    host = site(with_disks(FAR, two))
    host.libvirt.domains["web"].agent = True
    wanted = spec(with_disks(two))
    reach(host, wanted)
    assert remembered(host) == ((two.path,), (two.path,))
    reach(host, BARE)
    assert remembered(host) == ((), ())
    host = site(with_disks(FAR, two))
    host.libvirt.domains["web"].agent = True
    reach(host, BARE)
    assert (remembered(host), targets(host, live=True).keys()) == (((), ()), {"vda", "vdb"})


def test_an_inactive_lv_is_activated_before_it_is_given() -> None:
    host = site()
    wanted = spec(with_disks(LOGS))
    for step in planned(host, wanted).steps[:2]:
        carry_out(host, step)
    host.lvm.volumes["vm-web-logs"].active = False
    reach(host, wanted)
    assert targets(host, live=True)["vdc"] == "/dev/rl_build/vm-web-logs"


def test_what_lies_in_the_trash_is_no_disk() -> None:
    host = site()
    host.lvm.add("trash", GIB, "kvmkeep", "kvmkeep.guest=web", "kvmkeep.trash=20261123T0710Z")
    host.lvm.add("untold", GIB, "kvmkeep", "kvmkeep.guest=web")
    (note,) = planned(host, spec(guest(data=GIB))).notes
    assert "disk untold" in note.text


def test_a_guest_that_libvirt_does_not_know_gets_no_disk() -> None:
    host = site()
    host.lvm.add("vm-web-old", GIB, "kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=old")
    del host.libvirt.domains["web"]
    wanted = spec(guest(data=GIB))
    assert not [note for note in planned(host, wanted).notes if "old" in note.text]


def test_a_machine_without_a_free_port_gets_it_at_its_next_start() -> None:
    host = site()
    domain = host.libvirt.domains["web"]
    for tree in (domain.xml, domain.live):
        devices = tree.find("devices")
        for one in devices.findall("controller"):
            devices.remove(one)
        for device in devices:
            for address in device.findall("address"):
                device.remove(address)
        ET.SubElement(devices, "controller", type="pci", model="pcie-root")
        for index in ("1", "2"):
            ET.SubElement(devices, "controller", type="pci", index=index, model="pcie-root-port")
        disk = devices.find("disk")
        ET.SubElement(disk, "address", type="pci", bus="0x01")
    more = replace(LOGS, name=Label("more"), lv="vm-web-more")
    wanted = spec(with_disks(LOGS, more))
    assert "no free port (pcie-root-port) for more" in planned(host, wanted).notes[0].text
    reach(host, wanted)
    assert targets(host).keys() - targets(host, live=True).keys() == {"vdd"}
    assert "for more" in planned(host, wanted).notes[0].text
    assert targets(host, live=True)["vdc"] == "/dev/rl_build/vm-web-logs"


def test_nothing_is_made_or_started_where_the_mount_is_missing() -> None:
    host = site(off=True)
    host.mounts.clear()
    wanted = spec(with_disks(FAR, replace(FAR, name=Label("two"), path="/data/two.img")))
    found = planned(host, wanted)
    assert [(one.reason, one.hint) for one in found.refusals][:1] == [
        ("nothing is mounted at /data, where its disk far lies",
         "mount it: mount /data; see: findmnt /data; systemctl --failed"),
    ]  # fmt: skip
    facts = host.facts(wanted)
    assert plan_start(wanted, facts, ["web"]).refusals == found.refusals[:1]
    host.mounts.add("/data")
    reach(host, wanted)
    reach(host, wanted, lambda s, f: plan_start(s, f, ["web"]))
    before = host.facts(wanted)
    host.mounts.clear()
    facts = host.facts(wanted)
    assert plan_start(wanted, facts, ["web"]).empty
    cold = plan_cold_reboot(wanted, facts, before, ["web"], 60)
    assert cold.refusals == found.refusals[:1]


def test_the_mount_is_looked_at_once_more_just_before_a_start() -> None:
    host = site(off=True)
    wanted = spec(with_disks(FAR))
    reach(host, wanted)
    (step,) = plan_start(wanted, host.facts(wanted), ["web"]).steps
    host.mounts.clear()
    with pytest.raises(StepError, match="mountpoint"):
        carry_out(host, step)
    assert host.libvirt.domains["web"].live is None


def test_a_new_guest_with_a_file_looks_for_the_mount_before_its_first_start() -> None:
    host = site(with_disks(FAR, one=guest()))
    starts = [command.argv[0] for command in host.calls if command.argv[0] == "mountpoint"]
    assert len(starts) == 2
    assert targets(host, live=True)["vdb"] == FAR.path


def test_no_file_is_made_where_others_could_lay_a_link() -> None:
    host = site()
    wanted = spec(with_disks(FAR))
    host.ways["/data/vm"] = anybodys("/data/vm")
    (refusal,) = planned(host, wanted).refusals
    assert "others than root may write to /data/vm" in refusal.reason
    assert refusal.hint.endswith("(chown root:root; chmod go-w), or give the disk another file")
    host.put(FAR.path, b"there")
    assert not planned(host, wanted).refusals


def test_a_file_that_is_there_is_used_as_it_is() -> None:
    host = site()
    host.put(FAR.path, b"precious")
    host.files[FAR.path].size = GIB
    reach(host, spec(with_disks(FAR)))
    assert host.files[FAR.path].content == b"precious"


@pytest.mark.parametrize("adopted", [True, False], ids=["adopted", "ours"])
def test_a_file_that_is_gone_or_none_is_told(adopted: bool) -> None:  # noqa: FBT001 - a parameter
    one = with_disks(FAR)
    host = site(one)
    kept = host.files.pop(FAR.path)
    (refusal,) = planned(host, spec(replace(one, adopted=adopted))).refusals
    assert refusal.reason == "the file /data/vm/web.img of its disk far is gone"
    host.files[FAR.path] = dataclasses.replace(kept, kind="fifo")
    (refusal,) = planned(host, spec(one)).refusals
    assert refusal.reason == "/data/vm/web.img is no plain file, but: fifo"


def test_a_guest_that_sleeps_gets_a_new_disk_at_its_next_start() -> None:
    host = site()
    domain = host.libvirt.domains["web"]
    domain.asleep = True
    wanted = spec(with_disks(LOGS))
    reach(host, wanted)
    assert "vdc" in targets(host)
    assert "vdc" not in targets(host, live=True)
    plan = planned(host, wanted)
    assert plan.steps == ()
    (note,) = plan.notes
    assert note.pending
    assert note.text == (
        "it has put itself to sleep; it gets logs at its next start, or when it is awake: "
        "kvmkeep resume web, and then kvmkeep apply"
    )
    domain.asleep = False
    reach(host, wanted)
    assert "vdc" in targets(host, live=True)


RETAG = (
    "lvchange --deltag kvmkeep.disk=data --addtag kvmkeep.disk=db rl_build/vm-web-data "
    "rl_build/vm-web-data+1"
)


def renamed(host: FakeHost, **changes: object) -> Spec:
    """Return the spec with another name for the disk `data`, of which there is a snapshot."""
    data = host.lvm.volumes["vm-web-data"]
    snapshot = host.lvm.add("vm-web-data+1", GIB)
    snapshot.origin, snapshot.tags = data.name, {*data.tags}
    host.lvm.add("vm-web-data+2", GIB).origin = data.name
    db = LvDisk(name=Label("db"), lv="vm-web-db", size=Size(GIB))
    return spec(with_disks(replace(db, **changes), one=guest()))


def test_a_disk_with_another_name_is_told_to_be_an_empty_one() -> None:
    host = site(off=True)
    texts = [note.text for note in planned(host, renamed(host)).notes]
    assert (
        "disk db will be a new and empty one; if it is to be disk data under another name, write "
        f"`lv: vm-web-data` for it into the spec, and then type: {RETAG}"
    ) in texts


@pytest.mark.parametrize("off", [True, False], ids=["off", "running"])
def test_the_line_that_is_told_gives_a_disk_its_new_name(*, off: bool) -> None:
    host = site(off=off)
    wanted = renamed(host, lv="vm-web-data", named=True)
    (refusal,) = planned(host, wanted).refusals
    assert refusal.reason == (
        "the LV rl_build/vm-web-data exists and is another disk of this guest (data)"
    )
    assert refusal.hint == f"if it is to be called db from now on: {RETAG}"
    for name in ("vm-web-data", "vm-web-data+1"):
        tags = host.lvm.volumes[name].tags
        tags.remove("kvmkeep.disk=data")
        tags.add("kvmkeep.disk=db")
    assert planned(host, wanted).steps == ()
    assert planned(host, wanted).refusals == ()


def test_a_root_disk_of_before_is_no_disk_with_another_name() -> None:
    host = site(off=True)
    old = host.lvm.add("vm-web-before", GIB)
    old.tags |= host.lvm.volumes["vm-web"].tags
    wanted = spec(with_disks(LOGS))
    assert not [note for note in planned(host, wanted).notes if "empty one" in note.text]
