"""LVs that a guest's definition names by another path than they have: never attached once more."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Disk, LvDisk, Spec, Storage
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.running.start import plan_start
from tests.unit.planning.build import GIB, guest, spec
from tests.unit.planning.rounds import plan_recover, reach
from tests.unit.planning.test_disk_change import FAR, planned, site, targets, with_disks

WANTED = spec(guest(data=GIB))
MOVED = replace(WANTED, storage=Storage(vg="vg0", lv_prefix="vm-"))
OLD, NEW = "/dev/rl_build/vm-web", "/dev/vg0/vm-web"


def vgrename(host: FakeHost, name: str = "vg0") -> None:
    host.lvm.vg = name
    for volume in host.lvm.volumes.values():
        volume.vg = name


def lvrename(host: FakeHost, old: str, new: str) -> None:
    volume = host.lvm.volumes.pop(old)
    volume.name = new
    host.lvm.volumes[new] = volume


def named(**lvs: str) -> Spec:
    """Return the spec with other names of LVs, by their disks."""
    one = guest(data=GIB)
    disks = (replace(d, lv=lvs.get(d.name, d.lv), named=d.name in lvs) for d in one.volumes)
    return spec(replace(one, disks=tuple(disks)))


def trees(host: FakeHost) -> list[ET.Element]:
    domain = host.libvirt.domains["web"]
    return [tree for tree in (domain.xml, domain.live) if tree is not None]


def of(tree: ET.Element, target: str) -> ET.Element:
    (found,) = [d for d in tree.findall("devices/disk") if d.find("target").get("dev") == target]
    return found


def point(host: FakeHost, target: str, path: str, attribute: str = "dev") -> None:
    """Have a disk read something else, in the definition and in the process."""
    for tree in trees(host):
        source = of(tree, target).find("source")
        source.attrib.clear()
        source.set(attribute, path)


def without_serials(host: FakeHost) -> None:
    """Have disks as an adopted guest has them."""
    for tree in trees(host):
        for disk in tree.findall("devices/disk"):
            serial = disk.find("serial")
            if serial is not None:
                disk.remove(serial)


def given(plan: Plan) -> list[str]:
    return [step.what for step in plan.steps if "give it" in step.what]


def reasons(plan: Plan) -> list[str]:
    return [one.reason for one in plan.refusals]


@pytest.mark.parametrize("off", [True, False], ids=["off", "running"])
@pytest.mark.parametrize("ours", [True, False], ids=["serials", "no serials"])
def test_a_volume_group_with_another_name(*, off: bool, ours: bool) -> None:
    host = site(off=off)
    if not ours:
        without_serials(host)
    vgrename(host)
    plan = planned(host, MOVED)
    assert [step.what for step in plan.steps if "path" in step.what] == [
        "write the paths that its disks have now into its definition: "
        f"{NEW} for {OLD}, {NEW}-data for {OLD}-data"
    ]
    assert (given(plan), plan.refusals) == ([], ())
    reach(host, MOVED)
    assert targets(host) == {"vda": NEW, "vdb": f"{NEW}-data"}
    assert b"/dev/vg0/vm-web" in host.files["/root/kvm/web.xml"].content
    assert not [path for path in host.files if path.startswith("/run/kvmkeep")]
    if not off:
        assert targets(host, live=True) == {"vda": OLD, "vdb": f"{OLD}-data"}
        host.libvirt.domains["web"].end()
    reach(host, MOVED, lambda spec, facts: plan_start(spec, facts, ["web"]))
    assert targets(host, live=True) == {"vda": NEW, "vdb": f"{NEW}-data"}


@pytest.mark.parametrize("ours", [True, False], ids=["serials", "no serials"])
def test_a_volume_group_that_got_its_old_name_back_while_the_guest_ran(*, ours: bool) -> None:
    host = site()
    if not ours:
        without_serials(host)
    vgrename(host)
    reach(host, MOVED)
    vgrename(host, "rl_build")
    plan = planned(host, WANTED)
    assert [step.what for step in plan.steps if "path" in step.what] == [
        "write the paths that its disks have now into its definition: "
        f"{OLD} for {NEW}, {OLD}-data for {NEW}-data"
    ]
    assert (given(plan), plan.refusals) == ([], ())
    reach(host, WANTED)
    assert targets(host) == targets(host, live=True) == {"vda": OLD, "vdb": f"{OLD}-data"}


def test_until_then_it_is_not_started_nor_recovered() -> None:
    host = site(off=True)
    vgrename(host)
    (refusal, *_) = plan_start(MOVED, host.facts(MOVED), ["web"]).refusals
    assert refusal.reason == (
        f"its definition has {OLD} as vda, where its disk root ({NEW}) should be"
    )
    assert refusal.hint == "have the new path written into it: kvmkeep apply web"
    plan = plan_recover(MOVED, host.facts(MOVED))
    assert plan.steps == ()
    assert any(OLD in note.text for note in plan.notes)


def test_a_guest_that_runs_with_the_old_path_is_no_trouble_to_start() -> None:
    host = site()
    vgrename(host)
    assert plan_start(MOVED, host.facts(MOVED), ["web"]).refusals == ()


def test_a_memory_that_is_saved_goes_on_from_the_old_path() -> None:
    host = site(off=True)
    host.libvirt.domains["web"].saved = True
    vgrename(host)
    plan = planned(host, MOVED)
    assert [step.what for step in plan.steps if "path" in step.what] == []
    assert {one.hint.split(";")[-1] for one in plan.refusals} == {
        " then have the new path written into it: kvmkeep apply web"
    }


@pytest.mark.parametrize("disk", ["root", "data"])
@pytest.mark.parametrize("off", [True, False], ids=["off", "running"])
def test_an_lv_with_another_name_that_the_spec_names(disk: str, *, off: bool) -> None:
    host = site(off=off)
    old = "vm-web" if disk == "root" else "vm-web-data"
    lvrename(host, old, "other")
    wanted = named(**{disk: "other"})
    assert given(planned(host, wanted)) == []
    reach(host, wanted)
    assert "/dev/rl_build/other" in targets(host).values()
    assert len(targets(host)) == 2


@pytest.mark.parametrize("off", [True, False], ids=["off", "running"])
def test_two_names_that_say_nothing_are_left_to_the_administrator(*, off: bool) -> None:
    host = site(off=off)
    lvrename(host, "vm-web", "one")
    lvrename(host, "vm-web-data", "two")
    plan = planned(host, named(root="one", data="two"))
    assert (given(plan), plan.steps) == ([], ())
    assert [one.hint for one in plan.refusals] == [
        "virsh edit web: give vda the source /dev/rl_build/one",
        "virsh edit web: give vdb the source /dev/rl_build/two",
    ]


@pytest.mark.parametrize("off", [True, False], ids=["off", "running"])
def test_a_root_disk_that_somebody_moved(*, off: bool) -> None:
    host = site(off=off)
    host.lvm.add("web-fast", 4 * GIB)
    point(host, "vda", "/dev/rl_build/web-fast")
    plan = planned(host, WANTED)
    (refusal,) = plan.refusals
    assert refusal.reason == (
        f"its definition has /dev/rl_build/web-fast as vda, where its disk root ({OLD}) should be"
    )
    assert refusal.hint == (
        f"virsh edit web: give vda the source {OLD}; or, if web-fast is that disk by now, write "
        "`lv: web-fast` for it into the spec"
    )
    assert given(plan) == []
    assert len(plan_start(WANTED, host.facts(WANTED), ["web"]).refusals) == 1


@pytest.mark.parametrize(
    ("off", "join"),
    [
        (True, "qemu-img commit /srv/web.snap1"),
        (False, "virsh blockcommit web vda --active --pivot"),
    ],
)
def test_an_overlay_keeps_what_was_written_to_it(join: str, *, off: bool) -> None:
    host = site(off=off)
    point(host, "vda", "/srv/web.snap1", "file")
    plan = planned(host, WANTED)
    (refusal,) = plan.refusals
    assert f"bring its content back first: {join}; then virsh edit web" in refusal.hint
    assert given(plan) == []


def test_a_data_disk_that_reads_something_else() -> None:
    host = site(off=True)
    host.lvm.add("root", GIB)
    point(host, "vdb", "/dev/rl_build/root")
    (reason,) = reasons(planned(host, WANTED))
    assert reason.startswith("its definition has /dev/rl_build/root as vdb, where its disk data")


def test_a_disk_without_a_source() -> None:
    host = site(off=True)
    point(host, "vda", "")
    (reason,) = reasons(planned(host, WANTED))
    assert reason.startswith("its definition has nothing as vda, where its disk root")


def there(host: FakeHost) -> None:
    host.lvm.add("foreign", GIB)


def inactive(host: FakeHost) -> None:
    there(host)
    host.lvm.volumes["foreign"].active = False


LOGS = LvDisk(name=Label("logs"), lv="vm-web-logs", size=Size(GIB))


@pytest.mark.parametrize("disks", [(), (LOGS,), (FAR,)])
@pytest.mark.parametrize("change", [there, inactive])
def test_a_disk_of_others_is_in_no_disks_way(
    disks: tuple[Disk, ...], change: Callable[[FakeHost], None]
) -> None:
    host = site(off=True)
    change(host)
    devices = host.libvirt.domains["web"].xml.find("devices")
    extra = ET.fromstring(  # noqa: S314 - our own
        "<disk type='block' device='disk'><driver name='qemu' type='raw'/>"
        "<source dev='/dev/rl_build/foreign'/><target dev='vdx' bus='virtio'/></disk>"
    )
    devices.append(extra)
    wanted = spec(with_disks(*disks))
    reach(host, wanted)
    assert len(targets(host)) == 3 + len(disks)


def test_a_new_disk_waits_where_it_may_be_one_that_the_guest_has() -> None:
    host = site(off=True)
    wanted = spec(with_disks(LOGS))
    reach(host, wanted)
    without_serials(host)
    point(host, "vdc", "/dev/rl_build/nowhere")
    plan = planned(host, wanted)
    (refusal,) = plan.refusals
    assert refusal.hint == "virsh edit web: give vdc the source /dev/rl_build/vm-web-logs"
    assert given(plan) == []


def test_a_definition_that_lost_its_root_disk_gets_it_back() -> None:
    host = site(off=True)
    devices = host.libvirt.domains["web"].xml.find("devices")
    devices.remove(of(host.libvirt.domains["web"].xml, "vda"))
    assert planned(host, WANTED).refusals == ()
    reach(host, WANTED)
    assert targets(host) == {"vda": OLD, "vdb": f"{OLD}-data"}


def test_the_device_mappers_names_are_told_apart() -> None:
    host = site(off=True)
    without_serials(host)
    point(host, "vda", "/dev/mapper/rl-vm--web")
    point(host, "vdb", "/dev/mapper/rl-vm--web--data")
    reach(host, WANTED)
    assert targets(host) == {"vda": OLD, "vdb": f"{OLD}-data"}


PREFIXED = named(root="kvm-web", data="kvm-web-data")


@pytest.mark.parametrize("off", [True, False], ids=["off", "running"])
def test_a_spec_that_names_other_lvs_than_the_guest_has(*, off: bool) -> None:
    host = site(off=off)
    plan = planned(host, PREFIXED)
    assert reasons(plan) == [
        "the guest is defined, but its LV rl_build/kvm-web is gone; vm-web wears its marks",
        "its disk data would be made anew as rl_build/kvm-web-data, but vm-web-data wears its "
        "marks",
    ]
    back = "put storage.lv_prefix or the disk's `lv` back in the spec, or write `lv: "
    assert [one.hint for one in plan.refusals] == [
        f"the guest has that one: {back}vm-web` for it",
        f"{back}vm-web-data` for it",
    ]
    assert not [note.text for note in plan.notes if "disk root" in note.text]
    assert [one for one in given(plan) if "kvm-web as" in one] == []
    assert not [step.what for step in plan.steps if "vda" in step.what]


def test_a_guest_that_libvirt_forgot_is_not_made_beside_its_disks() -> None:
    host = site(off=True)
    del host.libvirt.domains["web"]
    assert len(planned(host, PREFIXED).refusals) == 2


def test_an_old_root_disk_may_go_once_the_guest_has_another() -> None:
    host = site(off=True)
    tags = host.lvm.volumes["vm-web"].tags
    host.lvm.add("web-fast", 4 * GIB).tags |= tags
    point(host, "vda", "/dev/rl_build/web-fast")
    wanted = named(root="web-fast")
    reach(host, wanted)
    (note,) = planned(host, wanted).notes
    assert "kvmkeep remove web --disk root" in note.text
