from __future__ import annotations

from ipaddress import ip_interface

import pytest
from fakes.host import FakeHost
from fakes.lvm import EXTENT
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.backup_fetch import Subject
from kvmkeep.planning.backup_restore import Restoring, plan_restore
from kvmkeep.planning.clone import Cloning, plan_clone
from kvmkeep.planning.clone_origin import Wanted
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.start import plan_start
from tests.unit.planning.build import GIB, guest, nic
from tests.unit.planning.proven import MOMENT, site_with_backup
from tests.unit.planning.rounds import carry_out, reach

ASKED = "2026-11-27T14:00:00Z"
LATER = "2026-11-27T15:00:00Z"
STAMP = "20261127T1400Z"


def site_off() -> tuple[FakeHost, Spec, Subject]:
    host, site, subject = site_with_backup()
    host.libvirt.domains["web"].end("shutdown")
    for volume in host.lvm.volumes.values():
        volume.holds = b"of today"
    return host, site, subject


def wish(site: Spec, subject: Subject, **changes: object) -> Restoring:
    (guest,) = site.guests
    made = Restoring(subject=subject, guest=guest, asked=ASKED)
    return replace(made, **changes)


def restore(host: FakeHost, site: Spec, restoring: Restoring) -> None:
    reach(host, site, lambda one, facts: plan_restore(one, facts, restoring))


def reasons(host: FakeHost, site: Spec, restoring: Restoring) -> list[str]:
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
        "bring disk root (4 GiB) back to /dev/rl_build/vm-web, and read it again",
        "bring disk data (1 GiB) back to /dev/rl_build/vm-web-data, and read it again",
        "put root, data into service",
    ]
    verbs = [action.argv[1:3] for action in plan.steps[5].actions]
    assert verbs[1:] == [("blocks", "receive"), ("blocks", "verify")]
    assert any("trash" in note.text for note in plan.notes)


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
    assert plan_start(site, host.facts(site), ("web",)).refusals
    plan = plan_restore(site, host.facts(site), wish(site, subject, asked=LATER))
    assert [step.what for step in plan.steps] == [
        "write rl_build/vm-web again",
        "write rl_build/vm-web-data again",
        "bring disk root (4 GiB) back to /dev/rl_build/vm-web, and read it again",
        "bring disk data (1 GiB) back to /dev/rl_build/vm-web-data, and read it again",
        "put root, data into service",
    ]
    restore(host, site, wish(site, subject, asked=LATER))
    assert len(host.lvm.volumes) == 4
    assert not [one for one in host.lvm.volumes.values() if "kvmkeep.state=filling" in one.tags]


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
    smaller = replace(guest, disks=(replace(guest.root, size=Size(2 * GIB)), *guest.disks[1:]))
    host, site, subject = site_off()
    assert "smaller now" in reasons(host, site, wish(site, subject, guest=smaller))[0]


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
        "it needs 5 GiB beside what is there, but 1 GiB of rl_build may be used"
    ]
    gone = replace(facts, groups=())
    assert any(
        "no such volume group" in one.reason
        for one in plan_restore(site, gone, wish(site, subject)).refusals
    )


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
    restore(host, site, wish(site, firm))
    assert host.read(place) == b"variables"
    assert host.read(f"{place}.old") == b"of today"
    for path in ("/etc/passwd", "/var/lib/libvirt/qemu/nvram/../../x"):
        host, site, subject = site_off()
        del host.libvirt.domains["web"]
        plan = plan_restore(site, host.facts(site), wish(site, firmware(subject, path)))
        actions = [one for step in plan.steps for one in step.actions]
        assert not [one for one in actions if path in getattr(one, "argv", ())]
        assert any("new variables" in note.text for note in plan.notes)


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
    assert any("its firmware begins with new variables" in one for one in told)


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
