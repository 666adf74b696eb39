from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainDisk, DomainState
from kvmkeep.model.facts import Facts, Problem
from kvmkeep.model.names import TAG_HELD
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.trash_folder import TrashFolder
from kvmkeep.model.units import GuestName
from kvmkeep.planning.domains.new_name import Renaming
from kvmkeep.planning.domains.rename import plan_rename
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create
from kvmkeep.planning.trash.remove import Removing, plan_remove
from kvmkeep.planning.trash.remove_disk import RemovingDisk, plan_remove_disk
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import carry_out, reach

MOMENT = "2026-11-23T07:10:34+00:00"
STAMP = "20261123T0710Z"
FILE = "/etc/kvmkeep/guests/web.yaml"
FOLDER = f"/var/lib/kvmkeep/trash/web-{STAMP}"
FLUSH = f"sync --file-system -- {FOLDER}"
WEB = guest(data=GIB)


def site(*others: Guest, running: bool = False) -> tuple[FakeHost, Spec]:
    """Return a host with the guest web."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(WEB, *others)
    reach(host, wanted)
    if not running:
        host.libvirt.domains["web"].live = None
    host.put(FILE, b"image: debian\n")
    return host, wanted


def removing(**changes: object) -> Removing:
    return replace(Removing(guest="web", moment=MOMENT, file=FILE), **changes)


def planned(host: FakeHost, wanted: Spec, **changes: object) -> Plan:
    return plan_remove(wanted, host.facts(wanted), removing(**changes))


def removed(host: FakeHost, wanted: Spec) -> Spec:
    """Remove web; return the spec without it."""
    for step in planned(host, wanted).steps:
        carry_out(host, step)
    return replace(wanted, guests=tuple(one for one in wanted.guests if one.name != "web"))


def told(plan: Plan) -> list[str]:
    return [f"{refusal.reason} ({refusal.hint})" for refusal in plan.refusals]


def changed_domain(facts: Facts, **changes: object) -> Facts:
    domains = tuple(replace(one, **changes) if one.name == "web" else one for one in facts.domains)
    return replace(facts, domains=domains)


def test_everything_of_the_guest_is_kept_under_names_that_tell_of_it() -> None:
    host, wanted = site()
    reach(
        host,
        wanted,
        lambda s, f: plan_create(s, f, SnapshotRequest(guests=("web",), moment=MOMENT)),
    )
    host.put("/var/log/libvirt/qemu/web-console.log", b"hello")
    host.put("/var/lib/kvmkeep/seed/web.iso", b"secret")
    contents = {one.name: one.holds for one in host.lvm.volumes.values()}
    after = removed(host, wanted)
    assert plan_remove(after, host.facts(after), removing(file="")) == Plan()
    assert {one.name: one.holds for one in host.lvm.volumes.values()} == {
        f"trash-{STAMP}-{name}": holds for name, holds in contents.items()
    }
    assert host.libvirt.domains == {}
    assert host.names(FOLDER) == (
        "autostart", "console.log", "domain.xml", "saved.xml", "web.yaml",
    )  # fmt: skip
    assert host.directories[FOLDER] == host.directories["/var/lib/kvmkeep/trash"] == 0o700
    assert "/var/lib/kvmkeep/seed/web.iso" not in host.files
    for volume in host.lvm.volumes.values():
        assert {"kvmkeep", "kvmkeep.guest=web", f"kvmkeep.trash={STAMP}"} <= volume.tags


def test_what_is_moved_is_on_the_disk_before_the_last_lv_goes() -> None:
    """mv(1) copies between filesystems, and flushes nothing."""
    host, wanted = site()
    *_, last = planned(host, wanted).steps
    ran = [str(action) for action in last.actions]
    at = ran.index(FLUSH)
    assert f"mv --no-target-directory -- {FILE} {FOLDER}/web.yaml" in ran[:at]
    assert ran[at + 1].startswith("lvchange ")


def test_a_run_after_one_that_was_killed_before_that_has_it_on_the_disk_too() -> None:
    host, wanted = site()
    *others, last = planned(host, wanted).steps
    for step in others:
        carry_out(host, step)
    at = [str(action) for action in last.actions].index(FLUSH)
    carry_out(host, replace(last, actions=last.actions[:at]))
    after = replace(wanted, guests=wanted.guests[1:])
    *_, last = plan_remove(after, host.facts(after), removing(file="")).steps
    ran = [str(action) for action in last.actions]
    assert ran[ran.index(FLUSH) + 1].startswith("lvchange ")


def test_a_running_guest_is_only_shut_down_where_that_is_asked_for() -> None:
    host, wanted = site(running=True)
    assert told(planned(host, wanted)) == [
        "it runs (have it shut down gracefully first: --shutdown)"
    ]
    plan = planned(host, wanted, limit=60)
    assert plan.steps[0].what == "shut it down, and wait until it is off"
    commands = [str(action) for step in plan.steps for action in step.actions]
    assert not [line for line in commands if "destroy" in line]
    for step in plan.steps:
        carry_out(host, step)
    assert host.libvirt.domains == {}


@pytest.mark.parametrize("running", [True, False])
def test_a_protected_guest_is_refused_and_the_way_to_lift_it_is_told(*, running: bool) -> None:
    host, wanted = site(running=running)
    protected = replace(wanted, guests=(replace(WEB, protect=True),))
    plan = planned(host, protected, limit=60)
    assert plan.steps == ()
    assert told(plan) == [
        "it is protected by its spec (if it really is to go, take `protect: true` out of host.yaml)"
    ]


def test_all_reasons_are_told_at_once() -> None:
    host, wanted = site(guest("app", needs=(GuestName("web"),)), running=True)
    facts = host.facts(wanted)
    first, *rest = facts.volumes
    facts = replace(facts, volumes=(replace(first, merging=True), *rest), problems=(
        Problem(what="libvirt", reason="it is deaf", hint="wake it"),
    ))  # fmt: skip
    reasons = told(plan_remove(wanted, facts, removing()))
    assert [text.partition(" (")[0] for text in reasons] == [
        "it is deaf",
        "it is needed by app",
        "it runs",
        "rl_build/vm-web is being reverted to a snapshot",
    ]


def test_a_guest_that_a_killed_run_has_left_frozen_is_thawed_before_it_shuts_down() -> None:
    host, wanted = site(running=True)
    domain = host.libvirt.domains["web"]
    domain.agent = domain.frozen = True
    host.lvm.volumes["vm-web"].tags.add(f"{TAG_HELD}frozen")
    first, *_ = planned(host, wanted, limit=60).steps
    carry_out(host, first)
    assert (domain.state, domain.frozen) == ("running", False)
    for step in planned(host, wanted, limit=60).steps:
        carry_out(host, step)
    assert host.libvirt.domains == {}


@pytest.mark.parametrize("state", [DomainState.PAUSED, DomainState.SUSPENDED])
def test_a_guest_that_stands_still_can_not_shut_down(state: DomainState) -> None:
    host, wanted = site(running=True)
    facts = changed_domain(host.facts(wanted), state=state)
    (reason,) = told(plan_remove(wanted, facts, removing(limit=60)))
    assert "so it can't shut down (let it go on: kvmkeep resume web)" in reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ours": False}, "the domain of that name is not ours"),
        ({"uuid": "c0ffee"}, "the domain of that name is not ours"),
        ({"name": "shop"}, "its UUID is that of the domain shop"),
    ],
)
def test_a_domain_that_is_not_this_guest_is_not_touched(
    changes: dict[str, str], reason: str
) -> None:
    host, wanted = site()
    plan = plan_remove(wanted, changed_domain(host.facts(wanted), **changes), removing())
    assert plan.steps == ()
    assert reason in told(plan)[0]


def test_a_disk_that_somebody_else_uses_is_not_renamed() -> None:
    host, wanted = site(guest("app"))
    facts = host.facts(wanted)
    opened = tuple(
        replace(one, opened=True) if one.name == "vm-web-data" else one for one in facts.volumes
    )
    disk = DomainDisk(
        target="vdb", bus="virtio", kind="disk", source="/dev/mapper/rl_build-vm--web", device="",
        format="raw",
    )  # fmt: skip
    app = next(one for one in facts.domains if one.name == "app")
    web = next(one for one in facts.domains if one.name == "web")
    other = replace(app, disks=(*app.disks, disk))
    found = told(
        plan_remove(wanted, replace(facts, volumes=opened, domains=(web, other)), removing())
    )
    assert "its LV rl_build/vm-web is also a disk of the domain app" in found[0]
    assert "something has rl_build/vm-web-data open" in found[1]
    assert "kpartx -d" in found[1]


def test_a_running_guest_whose_snapshot_is_being_read_is_not_even_shut_down() -> None:
    host, wanted = site(running=True)
    reach(
        host,
        wanted,
        lambda s, f: plan_create(s, f, SnapshotRequest(guests=("web",), moment=MOMENT)),
    )
    facts = host.facts(wanted)
    (read, *_) = (one for one in facts.volumes if one.origin == "vm-web")
    volumes = tuple(replace(one, opened=one == read or not one.origin) for one in facts.volumes)
    plan = plan_remove(wanted, replace(facts, volumes=volumes), removing(limit=60))
    assert plan.steps == ()
    (refusal,) = plan.refusals
    assert f"something has {read.full_name} open" in refusal.reason


def test_what_is_opened_after_the_look_stops_the_run_before_anything_is_done() -> None:
    host, wanted = site()
    plan = planned(host, wanted)
    host.lvm.is_open = lambda name: name == "vm-web-data"
    with pytest.raises(Exception, match="nothing to have rl_build/vm-web-data open"):
        carry_out(host, plan.steps[0])
    assert not [one for one in host.lvm.volumes.values() if "trash" in " ".join(one.tags)]


def test_a_guest_whose_file_was_deleted_is_known_by_its_marks() -> None:
    host, wanted = site(running=True)
    host.lvm.add("vm-web-old", GIB)
    nothing = replace(wanted, guests=())
    facts = host.facts(nothing)
    (note,) = make_plan(nothing, facts).notes
    assert "let it go: kvmkeep remove web" in note.text
    assert make_plan(nothing, facts).empty
    assert told(plan_remove(nothing, facts, removing(file=""))) == [
        "it runs (have it shut down gracefully first: --shutdown)"
    ]
    reach(host, nothing, lambda s, f: plan_remove(s, f, removing(file="", limit=60)))
    assert host.libvirt.domains == {}
    assert {name for name in host.lvm.volumes if not name.startswith("trash")} == {"vm-web-old"}
    assert make_plan(nothing, host.facts(nothing)).notes == ()


def test_lvs_without_a_domain_and_a_file_without_both_go_as_well() -> None:
    host, wanted = site()
    del host.libvirt.domains["web"]
    after = removed(host, wanted)
    assert "domain.xml" not in host.names(FOLDER)
    assert host.directories[FOLDER] == 0o700
    assert all(name.startswith("trash") for name in host.lvm.volumes)
    host.put(FILE, b"image: debian\n")
    plan = plan_remove(wanted, host.facts(wanted), removing())
    assert told(plan) == [f"there is a web-{STAMP} in the trash (wait a minute)"]
    later = removing(moment="2026-11-23T07:11:00+00:00")
    (step,) = plan_remove(wanted, host.facts(wanted), later).steps
    carry_out(host, step)
    assert host.names("/var/lib/kvmkeep/trash/web-20261123T0711Z") == ("web.yaml",)
    host.put(FILE, b"image: rocky\n")
    plan = plan_remove(wanted, host.facts(wanted), later)
    assert told(plan) == ["there is a web-20261123T0711Z in the trash (wait a minute)"]
    assert plan_remove(after, host.facts(after), removing(file="")) == Plan()


def test_a_disk_that_is_not_ours_stays_and_is_told() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    disk = DomainDisk(
        target="vdc", bus="virtio", kind="disk", source="/srv/big.raw", device="", format="raw"
    )
    (domain,) = facts.domains
    facts = changed_domain(facts, disks=(*domain.disks, disk))
    plan = plan_remove(wanted, facts, removing())
    assert [note.text for note in plan.notes] == [
        "its disk /srv/big.raw is no LV of ours, and stays"
    ]


def test_the_state_of_a_tpm_is_kept() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    commands = [
        str(action)
        for xml in (facts.domains[0].xml, facts.domains[0].xml + "<tpm model='tpm-crb'/>")
        for step in plan_remove(wanted, changed_domain(facts, xml=xml), removing()).steps
        for action in step.actions
        if "undefine" in str(action)
    ]
    assert ["--keep-tpm" in line for line in commands] == [False, True]
    assert all("--keep-nvram" in line for line in commands)
    assert not any("storage" in line for line in commands)


def test_the_name_can_be_used_again_while_the_old_guest_lies_in_the_trash() -> None:
    host, wanted = site()
    reach(
        host,
        wanted,
        lambda s, f: plan_create(s, f, SnapshotRequest(guests=("web",), moment=MOMENT)),
    )
    removed(host, wanted)
    old = {name for name in host.lvm.volumes if name.startswith("trash")}
    assert len(old) == 4
    reach(host, wanted)
    assert host.libvirt.domains["web"].live is not None
    assert {*host.lvm.volumes} == {*old, "vm-web", "vm-web-data"}
    assert make_plan(wanted, host.facts(wanted)).empty
    host.libvirt.domains["web"].live = None
    host.put(FILE, b"image: debian\n")
    names = Renaming(old=GuestName("web"), new=GuestName("shop"), file=FILE, takes_identity=True)
    for step in plan_rename(wanted, host.facts(wanted), names).steps:
        carry_out(host, step)
    assert {*host.lvm.volumes} == {*old, "vm-shop", "vm-shop-data"}
    assert all("kvmkeep.guest=web" in host.lvm.volumes[name].tags for name in old)


def test_a_half_removed_guest_is_left_alone_by_apply_and_goes_on_with_its_stamp() -> None:
    host, wanted = site()
    plan = planned(host, wanted)
    for step in plan.steps[:3]:
        carry_out(host, step)
    (reason,) = set(told(make_plan(wanted, host.facts(wanted))))
    assert "the LV rl_build/vm-web is on its way into the trash, or out of it" in reason
    assert f"kvmkeep trash restore web-{STAMP}" in reason
    later = planned(host, wanted, moment="2026-11-24T10:00:00+00:00")
    for step in later.steps:
        carry_out(host, step)
    assert {*host.lvm.volumes} == {f"trash-{STAMP}-vm-web", f"trash-{STAMP}-vm-web-data"}


def test_the_trash_is_told_where_there_is_no_room() -> None:
    host, wanted = site()
    removed(host, wanted)
    host.lvm.size = sum(one.size for one in host.lvm.volumes.values()) + GIB
    hints = [refusal.hint for refusal in make_plan(wanted, host.facts(wanted)).refusals]
    assert any("5 GiB lie in the trash: kvmkeep trash list" in hint for hint in hints)


# A disk alone


def disk_plan(wanted: Spec, facts: Facts, moment: str = MOMENT) -> Plan:
    return plan_remove_disk(wanted, facts, RemovingDisk(guest="web", disk="data", moment=moment))


def without_disk(facts: Facts) -> Facts:
    (domain,) = facts.domains
    disks = tuple(one for one in domain.disks if "data" not in one.source)
    return changed_domain(facts, disks=disks)


def test_a_disk_that_the_guest_still_has_is_refused_in_all_words() -> None:
    host, wanted = site()
    reach(
        host,
        wanted,
        lambda s, f: plan_create(s, f, SnapshotRequest(guests=("web",), moment=MOMENT)),
    )
    protected = replace(wanted, guests=(replace(WEB, protect=True),))
    reasons = [text.partition(" (")[0] for text in told(disk_plan(protected, host.facts(wanted)))]
    assert reasons == [
        "it is protected by its spec",
        "its spec has the disk data",
        "it still has the disk data",
        f"there are snapshots of the disk: rl_build/vm-web-data-{STAMP}",
    ]


def test_a_disk_that_nobody_has_goes_alone() -> None:
    host, wanted = site()
    dropped = replace(wanted, guests=(guest(),))
    nothing = replace(wanted, guests=())
    facts = without_disk(host.facts(dropped))
    assert len(disk_plan(nothing, facts).steps) == 2
    for step in disk_plan(dropped, facts).steps:
        carry_out(host, step)
    assert {*host.lvm.volumes} == {"vm-web", f"trash-{STAMP}-vm-web-data"}
    assert disk_plan(dropped, host.facts(dropped)) == Plan()
    host.lvm.add("vm-web-data", GIB, "kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=data")
    again = disk_plan(dropped, without_disk(host.facts(dropped)))
    assert told(again) == [f"there is a web-{STAMP} in the trash (wait a minute)"]
    marked = host.lvm.volumes["vm-web-data"]
    marked.tags.add("kvmkeep.trash=20261122T0000Z")
    (step,) = disk_plan(dropped, without_disk(host.facts(dropped))).steps
    assert step.what.endswith("to trash-20261122T0000Z-vm-web-data")


def test_facts_of_a_folder_are_found_again_by_the_plan() -> None:
    host, wanted = site()
    removed(host, wanted)
    (folder,) = host.facts(wanted).trash
    assert isinstance(folder, TrashFolder)
    assert folder.domain is not None
    assert folder.domain.sources == ("/dev/rl_build/vm-web", "/dev/rl_build/vm-web-data")
    assert (folder.domain.name, folder.domain.ours) == ("web", True)
