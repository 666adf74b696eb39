from __future__ import annotations

import copy
import re
from ipaddress import ip_interface
from xml.etree import ElementTree as ET

import libvirt
import pytest
from fakes.host import FakeHost
from fakes.lvm import EXTENT
from msgspec.structs import replace

from kvmkeep.model.backup import StoredDisk
from kvmkeep.model.blocks import longest_list
from kvmkeep.model.command import WriteFile
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import ArrayState, Machines
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import FileDisk, LvDisk, Spec
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.backups.fetch import Subject
from kvmkeep.planning.backups.restore import plan_restore
from kvmkeep.planning.backups.restoring import BackupRestoreRequest
from kvmkeep.planning.clones.clone import Cloning, plan_clone
from kvmkeep.planning.clones.origin import Wanted
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.start import plan_start
from tests.unit.planning.build import GIB, guest, nic
from tests.unit.planning.proven import MOMENT, a_backup, site_with_backup
from tests.unit.planning.rounds import carry_out, reach

ASKED = "2026-11-27T14:00:00Z"
LATER = "2026-11-27T15:00:00Z"
STAMP = "20261127T1400Z"
TWIN = "2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01"


def site_off() -> tuple[FakeHost, Spec, Subject]:
    host, site, subject = site_with_backup()
    host.libvirt.domains["web"].end("shutdown")
    for volume in host.lvm.volumes.values():
        volume.holds = b"of today"
    return host, site, subject


def wish(site: Spec, subject: Subject, **changes: object) -> BackupRestoreRequest:
    (guest,) = site.guests
    made = BackupRestoreRequest(subject=subject, guest=guest, asked=ASKED)
    return replace(made, **changes)


def restore(host: FakeHost, site: Spec, restoring: BackupRestoreRequest) -> None:
    reach(host, site, lambda one, facts: plan_restore(one, facts, restoring))


def reasons(host: FakeHost, site: Spec, restoring: BackupRestoreRequest) -> list[str]:
    plan: Plan = plan_restore(site, host.facts(site), restoring)
    assert plan.steps == () or not plan.refusals
    return [one.reason for one in plan.refusals]


def content(host: FakeHost) -> dict[str, bytes]:
    return {name: one.holds for name, one in host.lvm.volumes.items()}


def test_disks_come_back_and_the_present_ones_lie_in_the_trash() -> None:
    host, site, subject = site_off()
    xml = host.libvirt.domains["web"].xml
    restore(host, site, wish(site, subject))
    assert content(host) == {
        "vm-web": b"root", "vm-web-data": b"data",
        f"trash-{STAMP}-vm-web": b"of today", f"trash-{STAMP}-vm-web-data": b"of today",
    }  # fmt: skip
    assert host.libvirt.domains["web"].xml is xml
    assert host.libvirt.domains["web"].live is None
    for name in ("vm-web", "vm-web-data"):
        assert f"kvmkeep.restore={MOMENT}/20261127T140000Z" in host.lvm.volumes[name].tags
        assert "kvmkeep.state=filling" not in host.lvm.volumes[name].tags
    assert not [path for path in host.files if "/restore/" in path]
    assert make_plan(site, host.facts(site)).empty
    reach(host, site, lambda one, facts: plan_start(one, facts, ("web",)))
    # Once more is once more: what came back goes as well.
    host.libvirt.domains["web"].end("shutdown")
    restore(host, site, wish(site, subject, asked=LATER))
    assert len(host.lvm.volumes) == 6


def test_each_disk_is_read_back_before_it_is_put_into_service() -> None:
    host, site, subject = site_off()
    plan = plan_restore(site, host.facts(site), wish(site, subject))
    assert [step.what for step in plan.steps] == [
        "mark as going into the trash: rl_build/vm-web rl_build/vm-web-data",
        f"rename LV rl_build/vm-web to trash-{STAMP}-vm-web",
        f"rename LV rl_build/vm-web-data to trash-{STAMP}-vm-web-data",
        "make LV rl_build/vm-web of 4 GiB",
        "make LV rl_build/vm-web-data of 1 GiB",
        f"bring disk root (4 GiB) of {MOMENT} back to /dev/rl_build/vm-web, and read it again",
        f"bring disk data (1 GiB) of {MOMENT} back to /dev/rl_build/vm-web-data, and read it again",
        "put root, data into service",
    ]
    verbs = [action.argv[1:3] for action in plan.steps[5].actions]
    assert verbs[1:] == [("blocks", "receive"), ("blocks", "verify")]
    assert any("trash" in note.text for note in plan.notes)


def test_of_what_a_repository_gives_no_more_is_taken_than_there_can_be() -> None:
    host, site, subject = site_off()
    restore(host, site, wish(site, subject))
    lists = {one.stdout_to: one.most for one in host.calls if one.stdout_to.endswith(".blocks")}
    assert lists == {
        f"/var/lib/kvmkeep/restore/web/{disk.blocks}": longest_list(disk.size)
        for disk in subject.manifest.disks
    }


def test_one_disk_comes_back_alone() -> None:
    host, site, subject = site_off()
    restore(host, site, wish(site, subject, only="data"))
    assert content(host) == {
        "vm-web": b"of today", "vm-web-data": b"data", f"trash-{STAMP}-vm-web-data": b"of today",
    }  # fmt: skip
    assert reasons(host, site, wish(site, subject, only="logs")) == ["the backup has no disk logs"]
    none = replace(subject, manifest=replace(subject.manifest, disks=()))
    assert reasons(host, site, wish(site, none)) == ["it has no disks"]


def test_snapshots_go_into_the_trash_with_their_disks() -> None:
    host, site, subject = site_off()
    host.lvm.lvcreate(
        (
            "--snapshot", "--permission", "r", "--chunksize", "256k", "--extents", "100%ORIGIN",
            "--name", "vm-web-20261126T0000Z", "--addtag", "kvmkeep", "--addtag",
            "kvmkeep.guest=web", "--addtag", "kvmkeep.disk=root", "--addtag",
            "kvmkeep.set=20261126T0000Z", "rl_build/vm-web",
        )
    )  # fmt: skip
    restore(host, site, wish(site, subject))
    assert f"trash-{STAMP}-vm-web-20261126T0000Z" in host.lvm.volumes


def test_a_lost_guest_comes_back_whole_and_its_file_last() -> None:
    host, site, subject = site_off()
    definition = subject.xml
    del host.libvirt.domains["web"]
    host.lvm.volumes.clear()
    bare = replace(site, guests=())
    (guest,) = site.guests
    restoring = wish(
        site, subject, guest=guest, file="/etc/kvmkeep/guests/web.yaml", content=b"image: debian\n"
    )
    plan = plan_restore(bare, host.facts(bare), restoring)
    assert not [one for one in plan.notes if "/srv/x.img" in one.text]
    file = FileDisk(name=Label("x"), path="/srv/x.img", mount="/srv", size=Size(GIB))
    more = replace(restoring, guest=replace(guest, disks=(*guest.disks, file)))
    told = [one.text for one in plan_restore(bare, host.facts(bare), more).notes]
    assert any(one.startswith("its file has /srv/x.img as its disk x: if that") for one in told)
    assert [step.what for step in plan.steps][-3:] == [
        "put root, data into service",
        "define it as it was at the backup",
        "write /etc/kvmkeep/guests/web.yaml as it was at the backup",
    ]
    for step in plan.steps:
        carry_out(host, step)
    assert content(host) == {"vm-web": b"root", "vm-web-data": b"data"}
    assert host.libvirt.domains["web"].uuid == guest.uuid
    assert host.read("/etc/kvmkeep/guests/web.yaml") == b"image: debian\n"
    assert definition
    # With its file, it is a guest of the spec, and all of it is there.
    assert plan_restore(site, host.facts(site), restoring).empty
    assert make_plan(site, host.facts(site)).empty
    assert host.libvirt.domains["web"].live is None


def test_a_killed_run_is_gone_on_with_by_another_one_and_apply_leaves_it_alone() -> None:
    host, site, subject = site_off()
    first = plan_restore(site, host.facts(site), wish(site, subject))
    for step in first.steps[:6]:
        carry_out(host, step)
    refused = make_plan(site, host.facts(site))
    assert [one.hint for one in refused.refusals] == [
        f"finish that: kvmkeep backup restore web@{MOMENT}"
    ] * 2
    (unfit,) = plan_start(site, host.facts(site), ("web",)).refusals
    assert unfit == refused.refusals[0]
    plan = plan_restore(site, host.facts(site), wish(site, subject, asked=LATER))
    assert [step.what for step in plan.steps] == [
        "write rl_build/vm-web again",
        "write rl_build/vm-web-data again",
        f"bring disk root (4 GiB) of {MOMENT} back to /dev/rl_build/vm-web, and read it again",
        f"bring disk data (1 GiB) of {MOMENT} back to /dev/rl_build/vm-web-data, and read it again",
        "put root, data into service",
    ]
    restore(host, site, wish(site, subject, asked=LATER))
    assert len(host.lvm.volumes) == 4
    assert not [one for one in host.lvm.volumes.values() if "kvmkeep.state=filling" in one.tags]


def test_disks_that_were_never_used_are_kept_and_others_are_not() -> None:
    host, site, subject = site_off()
    del host.libvirt.domains["web"]
    host.lvm.volumes.clear()
    host.files = {path: one for path, one in host.files.items() if not path.endswith("/web.xml")}
    steps = plan_restore(site, host.facts(site), wish(site, subject)).steps
    for step in steps[:-1]:
        carry_out(host, step)
    later = wish(site, subject, asked=LATER)
    kept = plan_restore(site, host.facts(site), later).steps
    assert [one.what for one in kept] == [
        "keep rl_build/vm-web: it is that disk of the backup",
        "keep rl_build/vm-web-data: it is that disk of the backup",
        "define it as it was at the backup",
    ]
    one = plan_restore(site, host.facts(site), replace(later, only="data"))
    assert one.steps[0].what != steps[-1].what
    for step in kept:
        carry_out(host, step)
    assert plan_restore(site, host.facts(site), later).empty
    assert host.libvirt.domains["web"].xml.find("metadata/{urn:kvmkeep:run:1}run") is not None
    # Now it may have run, whoever has undefined it then.
    del host.libvirt.domains["web"]
    again = wish(site, subject, asked="2026-11-27T16:00:00Z")
    steps = plan_restore(site, host.facts(site), again).steps
    assert any(one.what.startswith("bring disk root") for one in steps)


def test_how_often_it_had_died_does_not_come_back_with_a_guest() -> None:
    host, site, subject = site_off()
    del host.libvirt.domains["web"]
    host.lvm.volumes.clear()
    mark = (
        '<r:run xmlns:r="urn:kvmkeep:run:1" held="yes" restarts="5"/>'
        '<r:ready xmlns:r="urn:kvmkeep:ready:1"/></metadata>'
    )
    dead = replace(subject, xml=subject.xml.replace("</metadata>", mark))
    assert dead != subject
    restore(host, site, wish(site, dead))
    run = host.libvirt.domains["web"].xml.find("metadata/{urn:kvmkeep:run:1}run")
    assert run is not None
    assert "held" not in run.attrib
    assert run.get("wanted") == "off"
    assert host.libvirt.domains["web"].xml.find("metadata/{urn:kvmkeep:ready:1}ready") is None


def test_a_guest_is_not_started_on_one_disk_that_is_not_complete() -> None:
    host, site, subject = site_off()
    first = plan_restore(site, host.facts(site), wish(site, subject, only="data"))
    for step in first.steps[:-1]:
        carry_out(host, step)
    (unfit,) = plan_start(site, host.facts(site), ("web",)).refusals
    assert unfit.reason == (
        f"rl_build/vm-web-data is coming back from the backup {MOMENT}, and is not complete"
    )
    assert unfit.hint == f"finish that: kvmkeep backup restore web@{MOMENT} --disk data"
    assert make_plan(site, host.facts(site)).refusals == (unfit,)
    carry_out(host, first.steps[-1])
    assert not plan_start(site, host.facts(site), ("web",)).refusals


def test_two_disks_that_are_not_complete_are_finished_one_by_one() -> None:
    host, site, _ = site_with_backup()
    (web,) = site.guests
    third = LvDisk(name=Label("db"), lv="vm-web-db", size=Size(GIB))
    site = replace(site, guests=(replace(web, disks=(*web.disks, third)),))
    reach(host, site, make_plan)
    subject = a_backup(host, site)
    host.libvirt.domains["web"].end("shutdown")
    asked = {"data": ASKED, "db": LATER}
    for disk, time in asked.items():
        plan = plan_restore(site, host.facts(site), wish(site, subject, only=disk, asked=time))
        for step in plan.steps[:-1]:
            carry_out(host, step)
    for disk in asked:
        (unfit,) = plan_start(site, host.facts(site), ("web",)).refusals
        assert unfit.hint == f"finish that: kvmkeep backup restore web@{MOMENT} --disk {disk}"
        restore(host, site, wish(site, subject, only=disk))
    assert not plan_start(site, host.facts(site), ("web",)).refusals


def test_a_run_killed_on_the_way_into_the_trash_keeps_its_stamp() -> None:
    host, site, subject = site_off()
    first = plan_restore(site, host.facts(site), wish(site, subject))
    for step in first.steps[:2]:
        carry_out(host, step)
    restore(host, site, wish(site, subject, asked=LATER))
    assert f"trash-{STAMP}-vm-web-data" in host.lvm.volumes
    assert len(host.lvm.volumes) == 4


def test_an_lv_may_be_larger_than_the_backup_and_never_smaller() -> None:
    host, site, subject = site_off()
    (guest,) = site.guests
    larger = replace(guest, disks=(replace(guest.root, size=Size(6 * GIB)), *guest.disks[1:]))
    wanted, grown = replace(site, guests=(larger,)), wish(site, subject, guest=larger)
    steps = plan_restore(wanted, host.facts(wanted), grown).steps
    root, data = (one for one in steps if one.what.startswith("bring disk"))
    # Nothing of what other guests had there before stays readable behind it.
    assert str(root.actions[0]) == (
        f"blkdiscard --zeroout --offset {4 * GIB} --length {2 * GIB} -- /dev/rl_build/vm-web"
    )
    assert not any("blkdiscard" in str(action) for action in data.actions)
    restore(host, wanted, grown)
    assert host.lvm.volumes["vm-web"].size == 6 * GIB
    assert content(host)["vm-web"] == b"root"


def test_a_disk_that_is_larger_than_its_file_says_comes_back_as_large() -> None:
    host, site, subject = site_off()
    (guest,) = site.guests
    smaller = replace(guest, disks=(replace(guest.root, size=Size(2 * GIB)), *guest.disks[1:]))
    wanted, asked = replace(site, guests=(smaller,)), wish(site, subject, guest=smaller)
    notes = [one.text for one in plan_restore(wanted, host.facts(wanted), asked).notes]
    assert notes[0].startswith(
        "its disk root is 4 GiB in the backup and comes back as large, though its file says 2 GiB: "
        "write that size into "
    )
    restore(host, wanted, asked)
    assert host.lvm.volumes["vm-web"].size == 4 * GIB
    assert content(host)["vm-web"] == b"root"
    (unequal,) = make_plan(wanted, host.facts(wanted)).refusals
    assert unequal.hint == "write its size into the spec: root: 4GiB"


def test_what_was_begun_for_a_smaller_disk_is_not_gone_on_with() -> None:
    host, site, subject = site_off()
    first = plan_restore(site, host.facts(site), wish(site, subject))
    for step in first.steps[:5]:
        carry_out(host, step)
    host.lvm.volumes["vm-web"].size = 2 * GIB
    (refusal,) = plan_restore(site, host.facts(site), wish(site, subject)).refusals
    assert "vm-web, which a restore has begun, is smaller than 4 GiB" in refusal.reason
    assert refusal.hint == "remove it: lvremove rl_build/vm-web"


def test_what_would_harm_somebody_is_refused_with_all_reasons() -> None:
    host, site, subject = site_with_backup()
    assert "it runs, on the disks that would go" in reasons(host, site, wish(site, subject))
    host, site, subject = site_off()
    host.libvirt.domains["web"].xml.find("uuid").text = "2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01"
    assert "the domain of that name is not ours" in reasons(host, site, wish(site, subject))
    host, site, subject = site_off()
    host.libvirt.domains["shop"] = host.libvirt.domains.pop("web")
    host.libvirt.domains["shop"].xml.find("name").text = "shop"
    found = reasons(host, site, wish(site, subject))
    assert "the domain shop has its UUID" in found
    assert any("is also a disk of the domain shop" in one for one in found)
    host, site, subject = site_off()
    other = replace(subject, manifest=replace(subject.manifest, uuid="another"))
    assert "the backup is of a guest with another UUID" in reasons(host, site, wish(site, other))
    del host.libvirt.domains["web"]
    assert "the backup is of a guest with another UUID" in reasons(host, site, wish(site, other))
    host.lvm.volumes["vm-web"].tags.clear()
    assert "the LV rl_build/vm-web is not that disk of it" in reasons(
        host, site, wish(site, subject)
    )


def test_room_for_it_is_needed_beside_what_is_there() -> None:
    host, site, subject = site_off()
    facts = host.facts(site)
    full = replace(facts, groups=tuple(replace(one, free=Size(11 * GIB)) for one in facts.groups))
    plan = plan_restore(site, full, wish(site, subject))
    assert [one.reason for one in plan.refusals] == [
        "it needs 5 GiB beside what is there, but 1 GiB of rl_build may be used (10 GiB are the "
        "host's reserve)"
    ]
    way = "if its present disks may go for good: kvmkeep remove web, then destroy them"
    assert way in plan.refusals[0].hint
    asked = wish(site, subject, only="data")
    none = replace(facts, groups=tuple(replace(one, free=Size(0)) for one in facts.groups))
    (refusal,) = plan_restore(site, none, asked).refusals
    assert way not in refusal.hint
    gone = replace(facts, groups=())
    assert any(
        "no such volume group" in one.reason
        for one in plan_restore(site, gone, wish(site, subject)).refusals
    )


@pytest.mark.parametrize("state", list(ArrayState))
def test_a_guest_that_is_lost_waits_for_no_array_that_still_takes_writes(state: ArrayState) -> None:
    host, site, subject = site_off()
    facts = host.facts(site)
    sick = replace(facts.arrays[0], state=state, detail="of two")
    plan = plan_restore(site, replace(facts, arrays=(sick,)), wish(site, subject))
    writes = state not in {ArrayState.FAILED, ArrayState.READ_ONLY}
    assert bool(plan.refusals) is not writes
    told = [note.text for note in plan.notes if note.subject == "array md0"]
    well = state is ArrayState.CLEAN or not writes
    said = f"it is {state} (of two): it is written to all the same, and both take longer"
    assert told == ([] if well else [said])


def test_a_taken_name_in_the_trash_and_an_open_lv_are_refused() -> None:
    host, site, subject = site_off()
    host.lvm.add(
        f"trash-{STAMP}-vm-web-old", EXTENT, "kvmkeep", "kvmkeep.guest=web", f"kvmkeep.trash={STAMP}",
        "kvmkeep.was=vm-web-old",
    )  # fmt: skip
    assert reasons(host, site, wish(site, subject)) == [f"there is a web-{STAMP} in the trash"]
    host, site, subject = site_off()
    first = plan_restore(site, host.facts(site), wish(site, subject))
    for step in first.steps[:5]:
        carry_out(host, step)
    facts = host.facts(site)
    opened = replace(facts, volumes=tuple(replace(one, opened=True) for one in facts.volumes))
    plan = plan_restore(site, opened, wish(site, subject))
    assert {one.reason for one in plan.refusals} == {
        "something has rl_build/vm-web open", "something has rl_build/vm-web-data open",
    }  # fmt: skip


def firmware(subject: Subject, path: str) -> Subject:
    xml = subject.xml.replace("</os>", f"<nvram>{path}</nvram></os>")
    return replace(subject, xml=xml, manifest=replace(subject.manifest, nvram="nvram.fd"))


def test_the_variables_of_a_firmware_come_back_with_a_lost_guest() -> None:
    place = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"
    host, site, subject = site_off()
    firm = firmware(subject, place)
    del host.libvirt.domains["web"]
    host.put(place, b"of today")
    host.put(f"{place}.old", b"of yesterday")
    restore(host, site, wish(site, firm))
    assert host.read(place) == b"variables"
    assert [one.most for one in host.calls if one.stdout_to == place] == [64 << 20]
    assert host.read(f"{place}.old") == b"of today"
    assert host.read(f"{place}.old.~1~") == b"of yesterday"
    for path in ("/etc/passwd", "/var/lib/libvirt/qemu/nvram/db_VARS.fd"):
        host, site, subject = site_off()
        del host.libvirt.domains["web"]
        host.put(path, b"of others")
        plan = plan_restore(site, host.facts(site), wish(site, firmware(subject, path)))
        assert any(f"{place} then; they lay in '{path}'" in note.text for note in plan.notes)
        restore(host, site, wish(site, firmware(subject, path)))
        assert host.libvirt.domains["web"].xml.findtext("os/nvram") == place
        assert (host.read(path), host.read(place)) == (b"of others", b"variables")
    host, site, subject = site_off()
    domain = host.libvirt.domains.pop("web")
    ET.SubElement(domain.xml.find("os"), "nvram").text = place
    domain.xml.find("name").text, domain.xml.find("uuid").text = "old", TWIN
    host.libvirt.domains["old"] = domain
    assert any(
        "those of old lie in their place" in one for one in reasons(host, site, wish(site, firm))
    )


def test_variables_that_are_not_in_the_backup_are_made_anew_and_those_untold_find_a_place() -> None:
    host, site, subject = site_off()
    another = copy.deepcopy(host.libvirt.domains.pop("web"))
    another.xml.find("name").text, another.xml.find("uuid").text = "old", TWIN
    host.libvirt.domains["old"] = another
    firm = replace(
        subject,
        xml=subject.xml.replace(
            "</os>",
            "<loader type='pflash' secure='yes'>/usr/share/OVMF/OVMF_CODE.fd</loader>"
            "<nvram template='/usr/share/OVMF/OVMF_VARS.fd'><source file='/x'/></nvram></os>",
        ),
    )
    for disk in another.xml.find("devices").findall("disk"):
        another.xml.find("devices").remove(disk)
    plan = plan_restore(site, host.facts(site), wish(site, firm))
    assert any("begins with new variables" in note.text for note in plan.notes)
    restore(host, site, wish(site, firm))
    system = host.libvirt.domains["web"].xml.find("os")
    assert system.find("nvram").attrib == {"template": "/usr/share/OVMF/OVMF_VARS.fd"}
    assert list(system.find("nvram")) == []
    assert system.find("loader").attrib == {"type": "pflash", "secure": "yes", "readonly": "yes"}
    assert not host.read("/var/lib/libvirt/qemu/nvram/web_VARS.fd")
    host, site, subject = site_off()
    del host.libvirt.domains["web"]
    untold = replace(
        subject,
        xml=subject.xml.replace("</os>", "<loader secure='yes'/></os>"),
        manifest=replace(subject.manifest, nvram="nvram.fd"),
    )
    restore(host, site, wish(site, untold))
    assert host.read("/var/lib/libvirt/qemu/nvram/web_VARS.fd") == b"variables"


def test_the_variables_of_a_firmware_that_libvirt_chooses_come_back_as_well() -> None:
    place = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"
    host, site, subject = site_off()
    del host.libvirt.domains["web"]
    xml = subject.xml.replace("<os>", "<os firmware='efi'>")
    stored = replace(subject, xml=xml, manifest=replace(subject.manifest, nvram="nvram.fd"))
    restore(host, site, wish(site, stored))
    system = host.libvirt.domains["web"].xml.find("os")
    assert (system.get("firmware"), system.findtext("nvram")) == ("efi", place)
    assert host.read(place) == b"variables"


DEVICES = "</devices>"
NIC, MEMORY = '<interface type="bridge">', "<memoryBacking>"
TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'>"
QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
ROOT = '<source dev="/dev/rl_build/vm-web" />'
LOG = 'file="/var/log/libvirt/qemu/web-console.log"'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<name>web</name>", "<name>db</name>", "is that of another guest, 'db'"),
        ("<uuid>", "<uuid>2f5b0b0e-", "is that of another guest, 'web' with the UUID '2f5b0b0e-"),
        ("</name>", "</name><name>db</name>", "has a second <name>"),
        ("urn:kvmkeep:guest:1", "urn:other", "does not wear kvmkeep's mark"),
        ("</metadata>", "<p:proof xmlns:p='urn:kvmkeep:proof:1'/></metadata>", "of a proof"),
        ('type="kvm"', 'type="xen"', "a <domain type='xen'>"),
        ('type="kvm"', f"type=\"kvm\" {QEMU} qemu:x='1'", "attributes of another namespace"),
        ("</os>", f"</os><qemu:commandline {QEMU}/>", "<commandline> of 'http://libvirt.org/sch"),
        ("</os>", "</os><seclabel type='none'/>", "has a <seclabel>"),
        ("</os>", "</os><sysinfo type='fwcfg'/>", "a <sysinfo type='fwcfg'>"),
        ("</os>", "</os><os><kernel>/boot/vmlinuz</kernel></os>", "a second <os>"),
        ("</os>", "</os><blkiotune><device><path>/dev/x</path></device></blkiotune>", "<blkiotune>"),
        ("</os>", "<kernel>/boot/vmlinuz</kernel></os>", "a <kernel> in <os>"),
        ("</os>", "<acpi><table type='slic'>/etc/shadow</table></acpi></os>", "<acpi> in <os>"),
        ("</os>", "<bios file='/etc/shadow'/></os>", "a <bios> in <os> that names something"),
        ("</os>", "<loader readonly='no'>/usr/share/x</loader></os>", "no firmware below /usr/sh"),
        ("</os>", "<loader>/usr/share/../../etc/shadow</loader></os>", "no firmware below /usr/sh"),
        ("</os>", "<nvram template='/etc/shadow'>/x</nvram></os>", "the template '/etc/shadow'"),
        ("</os>", "<nvram format='qcow2'>/x</nvram></os>", "of the format 'qcow2'"),
        (DEVICES, "<filesystem/></devices>", "has a <filesystem>"),
        (DEVICES, "<hostdev type='pci'/></devices>", "has a <hostdev>"),
        (NIC, '<interface type="hostdev">', "a <interface type='hostdev'>"),
        (NIC, '<interface type="user">', "a <interface type='user'>"),
        (DEVICES, "<emulator>/root/x</emulator></devices>", "another <emulator> than usual, '/ro"),
        (DEVICES, "<input type='evdev'><source dev='/dev/x'/></input></devices>", "type='evdev'>"),
        (DEVICES, "<serial type='file'/></devices>", "a <serial type='file'>"),
        (NIC, f"{NIC}<script path='x'/>", "a <script>"),
        (NIC, f"{NIC}<rom file='x'/>", "a <rom> that"),
        (DEVICES, "<channel type='pty'><target type='guestfwd'/></channel></devices>", "'guestfwd'>"),
        ("</os>", f"</os>{MEMORY}<locked/></memoryBacking>", "a <locked> in <memoryBacking>"),
        ("</os>", f"</os>{MEMORY}<source type='file'/></memoryBacking>", "a <source type='file'>"),
        ("</os>", f"</os>{MEMORY}<allocation mode='immediate' threads='2'/></memoryBacking>",
         "a <allocation mode='immediate'>"),
        ("</os>", "</os><cputune><vcpusched scheduler='fifo'/></cputune>", "<vcpusched> in <cpu"),
        ("</os>", "</os><cputune><emulatorsched scheduler='rr'/></cputune>", "<emulatorsched> in"),
        ("</os>", "</os><cputune><iothreadsched scheduler='rr'/></cputune>", "<iothreadsched> in"),
        ("<on_crash>restart", "<on_crash>coredump-destroy", "<on_crash> that is 'coredump-destroy'"),
        (DEVICES, "<graphics type='vnc' socket='x'/></devices>", "a <graphics> that names someth"),
        (DEVICES, "<channel type='unix'><source path='/run/x'/></channel></devices>", "a <source>"),
        (DEVICES, "<redirdev type='tcp'/></devices>", "a <redirdev type='tcp'>"),
        (DEVICES, "<video><model rendernode='x'/></video></devices>", "a <video> with a <model> th"),
        (DEVICES, "<sound a='/dev/snd'/></devices>", "a <sound> that names something"),
        (DEVICES, "<channel type='qemu-vdagent'><source/></channel></devices>", "with a <source>"),
        (DEVICES, "<tpm><backend type='passthrough'/></tpm></devices>", "another <backend> than"),
        (DEVICES, "<tpm><backend type='emulator'><source/></backend></tpm></devices>", "a <source>"),
        (DEVICES, f"{TPM}<profile><a/></profile></backend></tpm></devices>", "a <profile> that is more"),
        (DEVICES, f"{TPM}<profile name='/x'/></backend></tpm></devices>", "a <profile> that is more"),
        (DEVICES, "<rng><backend model='random'>/dev/sda</backend></rng></devices>", "a <backend> "),
        (LOG, "file='/etc/cron.d/x'", "another log than /var/log/libvirt/qemu/web-console.log"),
        (LOG, f"{LOG} x='1'", "another log than"),
        (ROOT, "<source dev='/dev/rl_build/vm-db' />", "has a <disk> that is not in the backup"),
        (ROOT, "", "has a <disk> that is not in the backup, ''"),
        (ROOT, f"{ROOT}{ROOT}", "otherwise than as a plain raw <disk>"),
        (ROOT, ROOT.replace(" />", "><reservations/></source>"), "otherwise than as a plain raw"),
        ("<driver ", "<driver type='qcow2'/><driver ", "otherwise than as a plain raw <disk>"),
        ('device="disk"', "device='lun'", "otherwise than as a plain raw <disk>"),
        ('device="disk"', "device='disk' rawio='yes'", "otherwise than as a plain raw <disk>"),
        ("<devices>", "<devices></devices><devices>", "a second <devices>"),
    ],
)  # fmt: skip
def test_a_definition_that_reaches_beyond_its_guest_is_refused(
    old: str, new: str, says: str
) -> None:
    host, site, subject = site_off()
    assert old in subject.xml
    spoiled = replace(subject, xml=subject.xml.replace(old, new, 1))
    assert reasons(host, site, wish(site, spoiled)) == [], "its definition is there, and counts"
    del host.libvirt.domains["web"]
    plan = plan_restore(site, host.facts(site), wish(site, spoiled))
    assert plan.steps == ()
    assert any(says in one.reason for one in plan.refusals), plan.refusals
    assert all(" > web.xml; " in one.hint for one in plan.refusals)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("<type arch='x86_64' machine='pc-q35-7.2'>hvm</type>", ""),
        ("<type arch='x86_64'>hvm</type>", ""),
        ("<type machine='pc-q35-rhel9.4.0'>hvm</type>", ""),
        ("<type arch='x86_64' machine='pc-q35-rhel9.4.0'>hvm</type>",
         "its definition has the machine type 'pc-q35-rhel9.4.0', which this host's QEMU lacks"),
        ("<type arch='aarch64' machine='virt'>hvm</type>",
         "its definition is for the architecture 'aarch64', and KVM is here for i686, x86_64"),
    ],
)  # fmt: skip
def test_a_machine_that_this_host_lacks_is_told_before_anything_is_fetched(
    kind: str, said: str
) -> None:
    host, site, subject = site_off()
    del host.libvirt.domains["web"]
    xml = re.sub("<type.*?</type>", kind, subject.xml)
    assert kind in xml
    other = wish(site, replace(subject, xml=xml))
    facts = host.facts(site)
    assert not plan_restore(site, facts, other).refusals
    names = ("pc-q35-7.2", "q35")
    facts = replace(
        facts, machines=(Machines(arch="i686", names=()), Machines(arch="x86_64", names=names))
    )
    refusals = plan_restore(site, facts, other).refusals
    assert [said in one.reason for one in refusals] == ([True] if said else [])
    assert all("virsh define web.xml" in one.hint for one in refusals)
    slow = xml.replace('type="kvm"', 'type="qemu"')
    assert slow != xml
    assert not plan_restore(site, facts, wish(site, replace(subject, xml=slow))).refusals


def test_a_definition_without_a_disk_of_the_backup_is_refused() -> None:
    host, site, subject = site_off()
    del host.libvirt.domains["web"]
    tree = ET.fromstring(subject.xml)  # noqa: S314 - our own
    devices = tree.find("devices")
    devices.remove(devices.findall("disk")[1])
    less = replace(subject, xml=ET.tostring(tree, encoding="unicode"))
    assert reasons(host, site, wish(site, less)) == [
        "its definition lacks the disk data of the backup"
    ]


def test_what_administrators_add_to_a_guest_comes_back_with_it() -> None:
    host, site, subject = site_off()
    more = (
        "<watchdog model='i6300esb' action='reset'/><sound model='ich9'/><audio id='1' type='none'/>"
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm><vsock model='virtio'/>"
        "<graphics type='vnc' port='-1'><listen type='address' address='127.0.0.1'/></graphics>"
        "<video><model type='qxl' heads='1'/></video><input type='tablet' bus='usb'/>"
        "<channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/target/x'/>"
        "<target type='virtio' name='org.qemu.other.0'/></channel></devices>"
        "<memoryBacking><hugepages/><source type='memfd'/></memoryBacking>"
        "<cputune><shares>512</shares></cputune>"
        "<sysinfo type='smbios'><system><entry name='serial'>/7</entry></system></sysinfo>"
    )
    xml = subject.xml.replace(DEVICES, more).replace(
        "<devices>", "<devices><emulator>/usr/libexec/qemu-kvm</emulator>"
    )
    xml = xml.replace("</name>", "</name><description>/srv</description>")
    xml = xml.replace('device="cdrom">', 'device="cdrom"><source file="/srv/x.iso"/>')
    connection = libvirt.open("test:///default")
    try:
        printed = connection.defineXML(xml).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    finally:
        connection.close()
    for text in (xml, printed):
        host, site, subject = site_off()
        del host.libvirt.domains["web"]
        kept = replace(subject, xml=text)
        plan = plan_restore(site, host.facts(site), wish(site, kept))
        assert plan.refusals == ()
        assert any("comes back empty: it held '/srv/x.iso'" in one.text for one in plan.notes)
        restore(host, site, wish(site, kept))
        tree = host.libvirt.domains["web"].xml
        assert tree.find("devices/emulator") is None
        assert tree.find("devices/disk[@device='cdrom']/source") is None
        assert tree.findtext("description") == "/srv"
        for name in ("watchdog", "tpm", "graphics", "sound", "vsock", "video"):
            assert tree.find(f"devices/{name}") is not None, name


def changed(old: str, new: str) -> tuple[Plan, ET.Element]:
    """Return the plan for a lost guest with a definition that was changed so, and what it gets."""
    host, site, subject = site_off()
    assert old in subject.xml
    del host.libvirt.domains["web"]
    kept = wish(site, replace(subject, xml=subject.xml.replace(old, new, 1)))
    plan = plan_restore(site, host.facts(site), kept)
    assert plan.refusals == ()
    restore(host, site, kept)
    assert make_plan(site, host.facts(site)).empty
    return plan, host.libvirt.domains["web"].xml


OTHERS = "02:00:00:00:00:01"
BRIDGE = '<source bridge="virbr1.223" />'


@pytest.mark.parametrize(
    ("device", "was"),
    [
        ("<interface type='bridge'><mac address='{}'/><source bridge='br-mgmt'/></interface>",
         "bridge 'br-mgmt'"),
        ("<interface type='network'><mac address='{}'/><source network='default'/></interface>",
         "network 'default'"),
        ("<interface type='user'><mac address='{}'/></interface>", "type 'user'"),
        ("<interface type='hostdev'><mac address='{}'/><script path='/x'/></interface>", "type '"),
    ],
)  # fmt: skip
def test_a_nic_that_the_spec_does_not_give_is_left_out_and_told(device: str, was: str) -> None:
    plan, tree = changed(DEVICES, device.format(OTHERS) + DEVICES)
    assert len(tree.findall("devices/interface")) == 1
    (told,) = [one.text for one in plan.notes if "NIC" in one.text]
    assert told.startswith(f"its NIC '{OTHERS}' ({was}")
    twice = "<interface type='bridge'><mac address='{0}'/><mac address='{0}'/></interface>"
    for odd in (twice.format(OTHERS), "<interface type='bridge'/>"):
        _, tree = changed(DEVICES, odd + DEVICES)
        assert len(tree.findall("devices/interface")) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (BRIDGE, "<source bridge='br-mgmt'/>"),
        (BRIDGE, f"{BRIDGE}<target dev='eth1' managed='no'/>"),
        (BRIDGE, f"{BRIDGE}<virtualport type='openvswitch'/><vlan><tag id='7'/></vlan>"),
        (f"{NIC}", "<interface type='network' trustGuestRxFilters='yes'>"),
    ],
)
def test_its_nics_are_on_the_bridges_of_the_spec(old: str, new: str) -> None:
    plan, tree = changed(old, new)
    (found,) = tree.findall("devices/interface")
    assert found.attrib == {"type": "bridge"}
    assert [one.attrib for one in found.findall("source")] == [{"bridge": "virbr1.223"}]
    assert not [one for one in found if one.tag in {"target", "virtualport", "vlan"}]
    told = [one.text for one in plan.notes if "is on virbr1.223 then; it was on " in one.text]
    assert bool(told) == ("mgmt" in new or "network" in new)


@pytest.mark.parametrize(
    ("screen", "was"),
    [
        ("<graphics type='vnc' listen='0.0.0.0'/>", "'0.0.0.0'"),
        ("<graphics type='vnc'><listen type='address' address='::'/></graphics>", "'::'"),
        ("<graphics type='spice'><listen type='network' network='x'/></graphics>", "network 'x'"),
        ("<graphics type='spice'><listen type='odd'/></graphics>", "'127.0.0.1'"),
        ("<graphics type='vnc' port='-1'/>", ""),
        ("<graphics type='vnc' listen='127.0.0.1'><listen type='none'/></graphics>", ""),
        ("<graphics type='spice'><listen type='address' address='::1'/></graphics>", ""),
    ],
)
def test_its_screen_can_be_reached_from_this_host_alone(screen: str, was: str) -> None:
    plan, tree = changed(DEVICES, screen + DEVICES)
    told = [one.text for one in plan.notes if "can be reached from this host alone" in one.text]
    assert [one.endswith(f"it listened on {was}") for one in told] == ([True] if was else [])
    (found,) = tree.findall("devices/graphics")
    if was:
        assert found.get("listen") is None
        assert [one.attrib for one in found] == [{"type": "address", "address": "127.0.0.1"}]


def test_of_our_mark_only_what_is_the_guests_own_comes_back() -> None:
    forged = (
        "<k:guest xmlns:k='urn:kvmkeep:guest:1'><k:disk file='/etc/shadow'/><k:label>x</k:label>"
        f"<k:nic mac='{OTHERS}'/><k:other/></k:guest>"
    )
    host, site, subject = site_off()
    mac = str(site.guests[0].nics[0].mac)
    mine = f"<k:nic xmlns:k='urn:kvmkeep:guest:1' mac='{mac}'/>"
    uri = "{urn:kvmkeep:guest:1}"
    start = subject.xml.index("<metadata>")
    old = subject.xml[start : subject.xml.index("</metadata>")]
    made = f"<metadata>{forged.replace('<k:other/>', mine)}{forged}"
    del host.libvirt.domains["web"]
    kept = wish(site, replace(subject, xml=subject.xml.replace(old, made)))
    restore(host, site, kept)
    (mark,) = host.libvirt.domains["web"].xml.findall(f"metadata/{uri}guest")
    assert [(one.tag, one.attrib) for one in mark] == [(f"{uri}nic", {"mac": mac})]


def test_a_tpm_comes_back_with_the_name_of_its_profile_and_a_word_about_its_state() -> None:
    host, site, subject = site_off()
    del host.libvirt.domains["web"]
    profile = "<profile source='local:x' removeDisabled='check' name='default-v1'/>"
    more = f"{TPM}{profile}</backend></tpm></devices>"
    kept = replace(subject, xml=subject.xml.replace(DEVICES, more))
    plan = plan_restore(site, host.facts(site), wish(site, kept))
    assert plan.refusals == ()
    state = f"/var/lib/libvirt/swtpm/{site.guests[0].uuid}"
    assert [one.text for one in plan.notes if state in one.text] == [
        "the state of its TPM is in no backup, nor are keys of disks that it has: it begins "
        f"empty, unless its state still lies on this host, in {state}"
    ]
    restore(host, site, wish(site, kept))
    (there,) = host.libvirt.domains["web"].xml.iterfind("devices/tpm/backend/profile")
    assert there.attrib == {"name": "default-v1"}
    without = plan_restore(site, host.facts(site), wish(site, subject, asked=LATER))
    assert not [one for one in without.notes if "TPM" in one.text]


def test_the_disks_of_a_definition_are_those_of_this_hosts_volume_group() -> None:
    host, site, subject = site_off()
    del host.libvirt.domains["web"]
    root, data = subject.manifest.disks
    there = (
        replace(root, source="/dev/old/vm-web"),
        replace(data, source="/dev/mapper/old-vm--web--data"),
    )
    xml = subject.xml.replace("/dev/rl_build/vm-web-data", there[1].source)
    xml = xml.replace("/dev/rl_build/vm-web", there[0].source)
    old = replace(subject, xml=xml, manifest=replace(subject.manifest, disks=there))
    restore(host, site, wish(site, old))
    sources = host.libvirt.domains["web"].xml.findall("devices/disk/source")
    assert [one.get("dev") for one in sources] == [
        "/dev/rl_build/vm-web", "/dev/rl_build/vm-web-data"
    ]  # fmt: skip
    assert make_plan(site, host.facts(site)).empty


def test_a_definition_that_is_none_is_refused_before_anything_is_done() -> None:
    host, site, subject = site_off()
    broken = replace(subject, xml="<domain>")
    assert reasons(host, site, wish(site, broken)) == []
    del host.libvirt.domains["web"]
    (found,) = reasons(host, site, wish(site, broken))
    assert "its XML can't be read" in found


def test_what_is_not_in_both_is_told() -> None:
    host, site, subject = site_off()
    (guest,) = site.guests
    bare = replace(guest, disks=guest.disks[:1])
    more = replace(
        guest, disks=(*guest.disks, replace(guest.disks[1], name=Label("logs"), lv="vm-web-logs"))
    )
    del host.libvirt.domains["web"]
    firm = firmware(subject, "/srv/elsewhere/web_VARS.fd")
    told = [
        note.text
        for one in (bare, more)
        for note in plan_restore(site, host.facts(site), wish(site, firm, guest=one)).notes
    ]
    assert "the backup's disk data is none of the spec, and is left out" in told
    assert "its disk logs is not in the backup, and stays as it is" in told
    assert any("they lay in '/srv/elsewhere/web_VARS.fd'" in one for one in told)
    plan = plan_restore(site, host.facts(site), wish(site, firm, guest=bare))
    (define,) = [step for step in plan.steps if step.what == "define it as it was at the backup"]
    (written,) = [one for one in define.actions if isinstance(one, WriteFile)]
    assert b"/dev/rl_build/vm-web-data" not in written.content


@pytest.mark.parametrize("state", [DomainState.PAUSED, DomainState.RUNNING])
def test_a_guest_that_stands_still_has_its_disks_as_well(state: DomainState) -> None:
    host, site, subject = site_with_backup()
    host.libvirt.domains["web"].paused = state is DomainState.PAUSED
    assert "it runs, on the disks that would go" in reasons(host, site, wish(site, subject))


def as_new(host: FakeHost, site: Spec, subject: Subject) -> Plan:
    (web,) = site.guests
    nics = (nic("shop", addresses=(ip_interface("10.223.0.77/24"),)),)
    shop = guest("shop", data=GIB, nics=nics)
    cloning = Cloning(
        source=web.name, clone=shop, file="/etc/kvmkeep/guests/shop.yaml", content=b"x: y\n",
        wanted=Wanted(moment=ASKED, backup=subject),
    )  # fmt: skip
    return plan_clone(site, host.facts(site), cloning)


def test_a_new_guest_gets_the_disks_of_the_backup_and_never_those_of_today() -> None:
    host, site, subject = site_with_backup()
    host.libvirt.domains["web"].agent = True
    plan = as_new(host, site, subject)
    assert plan.refusals == ()
    (copy,) = [step for step in plan.steps if "as they were at the backup" in step.what]
    lines = [" ".join(action.argv) for action in copy.actions]
    assert len([line for line in lines if " blocks receive /dev/rl_build/vm-shop" in line]) == 2
    assert len([line for line in lines if " blocks verify /dev/rl_build/vm-shop" in line]) == 2
    assert not [line for line in lines if "qemu-img" in line]
    assert not [step for step in plan.steps if "set 2026" in step.what]


def test_a_new_guest_needs_all_disks_and_room_for_them() -> None:
    host, site, subject = site_with_backup()
    root, data = subject.manifest.disks
    less = replace(subject, manifest=replace(subject.manifest, disks=(root,)))
    assert [one.reason for one in as_new(host, site, less).refusals] == [
        f"the backup web@{MOMENT} has no disk data"
    ]
    grown = replace(data, size=Size(2 * GIB))
    more = replace(subject, manifest=replace(subject.manifest, disks=(root, grown)))
    assert [one.reason for one in as_new(host, site, more).refusals] == [
        f"its disk data is larger in the backup web@{MOMENT} than it is now"
    ]


def test_a_backup_that_lacks_a_disk_takes_nothing_away() -> None:
    host, site, subject = site_off()
    root = subject.manifest.disks[0]
    there = (StoredDisk(disk="root", object=root.object, path=root.path, size=root.size),)
    torn = replace(subject, entry=replace(subject.entry, disks=there, whole=False))
    assert reasons(host, site, wish(site, torn)) == ["its disk data is gone from the repository"]
    assert plan_restore(site, host.facts(site), wish(site, torn)).steps == ()
    assert reasons(host, site, wish(site, torn, only="root")) == []
    assert [one.reason for one in as_new(host, site, torn).refusals] == [
        f"disk data of the backup web@{MOMENT} is gone from the repository"
    ]
