from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Facts, Problem
from kvmkeep.model.names import LONGEST_MAPPED_NAME, STATE_FRESH, mapped_name, trash_name
from kvmkeep.model.plan import Plan
from kvmkeep.model.run_mark import RunMark
from kvmkeep.model.spec import Place, Spec
from kvmkeep.model.trash import split_name, trash_entries
from kvmkeep.model.trash_folder import KeptDomain, TrashFolder
from kvmkeep.planning.offline.shell import plan_close
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.recover import recovery
from kvmkeep.planning.running.shutdown import plan_shutdown
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.watch import plan_look_after
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create
from kvmkeep.planning.trash.empty import plan_empty
from kvmkeep.planning.trash.remove import Removing, plan_remove
from kvmkeep.planning.trash.remove_disk import RemovingDisk, plan_remove_disk
from kvmkeep.planning.trash.restore import TrashRestoreRequest, plan_restore
from kvmkeep.planning.units.install import plan_install
from tests.unit.planning.build import GIB, guest, spec
from tests.unit.planning.rounds import StepError, carry_out, reach
from tests.unit.planning.test_remove import (
    FOLDER,
    MOMENT,
    STAMP,
    WEB,
    planned,
    removed,
    site,
    told,
    without_disk,
)

NAME = f"web-{STAMP}"
GUESTS = "/etc/kvmkeep/guests"


def trashed(*, snapshots: bool = False) -> tuple[FakeHost, Spec, Spec]:
    """Return a host with web in the trash, and the specs without it and with it."""
    host, wanted = site()
    if snapshots:
        wish = SnapshotRequest(guests=("web",), moment=MOMENT)
        reach(host, wanted, lambda s, f: plan_create(s, f, wish))
    return host, removed(host, wanted), wanted


def restores(host: FakeHost, wanted: Spec, **changes: object) -> Plan:
    facts = replace(host.facts(wanted), **changes)
    return plan_restore(wanted, facts, TrashRestoreRequest(name=NAME, folder=GUESTS, guest=WEB))


def test_a_name_in_the_trash_tells_of_the_old_one_where_there_is_room() -> None:
    assert trash_name("rl_build", STAMP, "vm-web") == f"trash-{STAMP}-vm-web"
    long = f"vm-{'x' * 63}-{'y' * 32}-{STAMP}"
    short = trash_name("rl_build", STAMP, long)
    assert len(mapped_name("rl_build", short)) <= LONGEST_MAPPED_NAME
    assert short.startswith(f"trash-{STAMP}-")
    assert short != trash_name("rl_build", STAMP, long.replace("x", "z"))


@pytest.mark.parametrize("name", ["web", "web-2026", "../x-20261123T0710Z", f"Web-{STAMP}", ""])
def test_what_is_no_name_of_an_entry_is_none(name: str) -> None:
    assert split_name(name) is None


def test_all_comes_back_as_it_was() -> None:
    host, without, wanted = trashed(snapshots=True)
    for step in restores(host, without).steps:
        carry_out(host, step)
    assert restores(host, wanted) == Plan()
    assert make_plan(wanted, host.facts(wanted)).empty
    assert f"{GUESTS}/web.yaml" in host.files
    assert host.names("/var/lib/kvmkeep/trash") == ()
    domain = host.libvirt.domains["web"]
    assert (domain.uuid, domain.state, domain.autostart) == (WEB.uuid, "shut off", True)
    names = {"vm-web", "vm-web-data"}
    assert {*host.lvm.volumes} == names | {f"{name}-{STAMP}" for name in names}


def test_what_comes_back_is_on_the_disk_before_its_folder_goes() -> None:
    host, without, _ = trashed()
    ran = [str(one) for step in restores(host, without).steps for one in step.actions]
    at = ran.index(f"rm --recursive --force -- /var/lib/kvmkeep/trash/{NAME}")
    assert ran[at - 1] == f"sync --file-system -- {GUESTS} /root/kvm"
    assert not [line for line in ran[at:] if line.startswith("mv ")]


def test_a_run_after_one_that_was_killed_before_that_has_it_on_the_disk_too() -> None:
    host, without, wanted = trashed()
    *others, files, _ = restores(host, without).steps
    for step in others:
        carry_out(host, step)
    moves = [one for one in files.actions if str(one).startswith("mv ")]
    carry_out(host, replace(files, actions=tuple(moves)))
    files, _ = restores(host, wanted).steps
    assert [str(one) for one in files.actions] == [
        f"sync --file-system -- {GUESTS} /root/kvm",
        f"rm --recursive --force -- /var/lib/kvmkeep/trash/{NAME}",
    ]


def test_another_guest_of_that_name_is_told_even_when_all_lvs_are_back() -> None:
    host, without, wanted = trashed()
    for step in restores(host, without).steps[:-2]:
        carry_out(host, step)
    host.libvirt.domains["web"].xml.find("uuid").text = "2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01"
    assert any(
        text.startswith("there is a domain web now") for text in told(restores(host, wanted))
    )


def test_folders_that_nothing_came_back_to_need_not_be_there() -> None:
    host, without, _ = trashed()
    del host.files[f"{FOLDER}/web.yaml"], host.files[f"{FOLDER}/saved.xml"]
    assert GUESTS not in str(restores(host, without))
    reach(host, without, lambda spec, _: restores(host, spec))
    assert "web" in host.libvirt.domains


def test_each_name_that_is_taken_now_is_told() -> None:
    host, without, wanted = trashed()
    reach(host, wanted)
    reasons = told(restores(host, wanted))
    assert [text.partition(" (")[0] for text in reasons] == [
        "there is an LV rl_build/vm-web now",
        "there is an LV rl_build/vm-web-data now",
        "there is a domain web now",
        "the spec has host.yaml now",
        "there is a /root/kvm/web.xml now",
    ]
    other = replace(WEB, name="app", place=Place(file=f"{GUESTS}/web.yaml", line=1, column=1))
    same_file = replace(without, guests=(other,))
    assert f"the spec has {GUESTS}/web.yaml now" in "".join(told(restores(host, same_file)))


def test_a_definition_that_is_not_this_guests_is_refused() -> None:
    host, without, _ = trashed()
    (folder,) = host.facts(without).trash
    kept = folder.domain
    assert kept is not None

    def reasons(domain: KeptDomain | None, problem: str = "") -> list[str]:
        trash = (replace(folder, domain=domain, problem=problem),)
        return [text.partition(" (")[0] for text in told(restores(host, without, trash=trash))]

    not_its = f"{FOLDER}/domain.xml is not the definition of this guest"
    assert reasons(replace(kept, name="app")) == [not_its]
    assert reasons(replace(kept, ours=False)) == [not_its]
    assert reasons(replace(kept, uuid="c0ffee")) == [
        "its UUID is not the one that the spec gives it"
    ]
    assert reasons(None, "it can't be read") == ["it can't be read"]
    others = ("/srv/x.raw", "/dev/mapper/mpatha", "/dev/mapper/rl_build--b-vm", "/dev/other/vm")
    assert reasons(replace(kept, sources=(*kept.sources, *others))) == []
    lost = replace(kept, sources=(*kept.sources, "/dev/mapper/rl_build-vm--gone", *others))
    assert reasons(lost) == [
        "its definition names /dev/mapper/rl_build-vm--gone, which is not there"
    ]


def test_a_definition_does_not_take_another_domains_disk() -> None:
    host, without, _ = trashed()
    app = spec(guest("app"))
    reach(host, app)
    (folder,) = host.facts(without).trash
    kept = folder.domain
    assert kept is not None
    host.lvm.add("shared", GIB)
    more = (*kept.sources, "/dev/rl_build/vm-app", "/dev/rl_build/shared")
    trash = (replace(folder, domain=replace(kept, sources=more)),)
    (reason,) = told(restores(host, app, trash=trash))
    assert "its definition names /dev/rl_build/vm-app, which another domain has" in reason
    facts = host.facts(app)
    (domain,) = facts.domains
    renamed = replace(domain, uuid=kept.uuid)
    (reason,) = told(restores(host, without, domains=(renamed,)))
    assert f"the domain app has its UUID {kept.uuid}" in reason


def test_a_broken_tag_is_no_name() -> None:
    host, without, _ = trashed()
    volume = host.lvm.volumes[f"trash-{STAMP}-vm-web-data"]
    volume.tags = {tag for tag in volume.tags if "was" not in tag} | {"kvmkeep.was=../x"}
    assert "is broken" in told(restores(host, without))[0]


def test_a_removal_that_was_stopped_can_be_taken_back() -> None:
    for count in range(1, 5):
        host, wanted = site()
        for step in planned(host, wanted).steps[:count]:
            carry_out(host, step)
        known = f"{GUESTS}/web.yaml" in host.files
        now = wanted if known else spec()
        for step in restores(host, now).steps:
            carry_out(host, step)
        assert make_plan(wanted, host.facts(wanted)).empty
        assert restores(host, wanted) == Plan()


def test_a_restoring_that_was_stopped_goes_on_where_it_was() -> None:
    count = len(restores(*trashed()[:2]).steps)
    for stop in range(1, count):
        host, without, wanted = trashed()
        for step in restores(host, without).steps[:stop]:
            carry_out(host, step)
        now = wanted if f"{GUESTS}/web.yaml" in host.files else without
        for step in restores(host, now).steps:
            carry_out(host, step)
        assert restores(host, wanted) == Plan()
        assert make_plan(wanted, host.facts(wanted)).empty


def test_a_file_alone_comes_back_alone() -> None:
    host, wanted = site()
    host.lvm.volumes.clear()
    host.libvirt.domains.clear()
    without = removed(host, wanted)
    for step in restores(host, without).steps:
        carry_out(host, step)
    assert f"{GUESTS}/web.yaml" in host.files
    assert host.names("/var/lib/kvmkeep/trash") == ()


def test_a_guest_that_did_not_start_with_the_host_does_not_do_so_afterwards() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].autostart = False
    without = removed(host, wanted)
    for step in restores(host, without).steps:
        carry_out(host, step)
    assert not host.libvirt.domains["web"].autostart


@pytest.mark.parametrize("by", ["libvirt", "units"])
def test_what_comes_back_stays_off_until_somebody_starts_it(by: str) -> None:
    host, wanted = site()
    by_units = by == "units"
    if by_units:
        reach(host, wanted, plan_install)
    without = removed(host, wanted)
    for step in restores(host, without).steps:
        carry_out(host, step)
    domain = host.facts(wanted).domain("web")
    assert domain is not None
    assert (domain.run_mark, domain.autostart) == (
        RunMark(starts=by_units, wanted=False), not by_units,
    )  # fmt: skip
    assert plan_look_after(wanted, host.facts(wanted)).steps == ()
    assert recovery(wanted, host.facts(wanted)).guests == ()
    reach(host, wanted, lambda s, f: plan_start(s, f, ("web",)))
    assert host.facts(wanted).domain("web").run_mark.wanted is None  # type: ignore[union-attr]


def test_one_that_was_off_by_kvmkeep_is_so_still() -> None:
    host, wanted = site()
    reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("web",)))
    without = removed(host, wanted)
    assert "remember that it is to stay off" not in str(restores(host, without))
    for step in restores(host, without).steps:
        carry_out(host, step)
    assert host.facts(wanted).domain("web").run_mark.wanted is False  # type: ignore[union-attr]


def test_one_whose_first_boot_is_not_done_is_left_to_apply() -> None:
    host, wanted = site()
    host.lvm.volumes["vm-web"].tags.add(STATE_FRESH)
    without = removed(host, wanted)
    assert "remember that it is to stay off" not in str(restores(host, without))
    assert "dumpxml" not in str(restores(host, without))


def test_one_that_runs_by_now_is_not_told_to_stay_off() -> None:
    host, without, _ = trashed()
    *others, _, _ = restores(host, without).steps
    for step in others:
        carry_out(host, step)
    (domain,) = host.facts(without).domains
    running = replace(domain, run_mark=RunMark(), state=DomainState.RUNNING)
    assert "to stay off" not in str(restores(host, without, domains=(running,)))
    off = replace(domain, run_mark=RunMark())
    assert "to stay off" in str(restores(host, without, domains=(off,)))


def test_a_disk_alone_comes_back_alone() -> None:
    host, wanted = site()
    dropped = replace(wanted, guests=(guest(),))
    wish = RemovingDisk(guest="web", disk="data", moment=MOMENT)
    for step in plan_remove_disk(dropped, without_disk(host.facts(dropped)), wish).steps:
        carry_out(host, step)
    reach(
        host,
        dropped,
        lambda s, f: plan_restore(s, f, TrashRestoreRequest(name=NAME, folder=GUESTS)),
    )
    tags = {"kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=data"}
    assert host.lvm.volumes["vm-web-data"].tags == tags


def test_a_disk_alone_whose_guest_was_renamed_comes_back_as_that_one_s() -> None:
    host, wanted = site()
    dropped = replace(wanted, guests=(guest(),))
    wish = RemovingDisk(guest="web", disk="data", moment=MOMENT)
    for step in plan_remove_disk(dropped, without_disk(host.facts(dropped)), wish).steps:
        carry_out(host, step)
    host.libvirt.domains["shop"] = host.libvirt.domains.pop("web")
    host.libvirt.domains["shop"].xml.find("name").text = "shop"
    renamed = spec(guest("shop"))
    (text,) = told(restores(host, renamed))
    lv = f"rl_build/trash-{STAMP}-vm-web-data"
    change = f"lvchange --deltag kvmkeep.guest=web --addtag kvmkeep.guest=NEW {lv}"
    assert "it is a disk alone, and there is no guest web" in text
    assert change in text
    host.lvm.volumes[lv.partition("/")[2]].tags ^= {"kvmkeep.guest=web", "kvmkeep.guest=shop"}
    asked = TrashRestoreRequest(name=f"shop-{STAMP}", folder=GUESTS)
    reach(host, renamed, lambda s, f: plan_restore(s, f, asked))
    assert "kvmkeep.guest=shop" in host.lvm.volumes["vm-web-data"].tags


@pytest.mark.parametrize(
    "planner",
    [
        lambda s, f: plan_remove(s, f, Removing(guest="ghost", moment=MOMENT)),
        lambda s, f: plan_remove_disk(s, f, RemovingDisk(guest="web", disk="x", moment=MOMENT)),
        lambda s, f: plan_restore(s, f, TrashRestoreRequest(name=NAME, folder=GUESTS)),
        lambda s, f: plan_close(s, f, "web", "20261123T071000Z-abcd"),
    ],
)
def test_what_can_not_be_seen_is_neither_gone_nor_back(
    planner: Callable[[Spec, Facts], Plan],
) -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    assert planner(wanted, facts).empty
    hole = Problem(what="logical volumes", reason="lvs did not answer", hint="try: lvs")
    blind = planner(wanted, replace(facts, volumes=(), problems=(hole,)))
    assert told(blind) == ["lvs did not answer (try: lvs)"]


# Emptying


def empties(host: FakeHost, wanted: Spec, **changes: object) -> Plan:
    return plan_empty(wanted, replace(host.facts(wanted), **changes), (NAME,))


def test_each_lv_is_named_with_size_and_time_and_snapshots_come_first() -> None:
    host, without, _ = trashed(snapshots=True)
    plan = empties(host, without)
    said = [step.what for step in plan.steps if "DESTROY" in step.what]
    assert [text.split()[2] for text in said] == [
        f"rl_build/trash-{STAMP}-vm-web-{STAMP}",
        f"rl_build/trash-{STAMP}-vm-web-data-{STAMP}",
        f"rl_build/trash-{STAMP}-vm-web",
        f"rl_build/trash-{STAMP}-vm-web-data",
    ]
    assert "(it was vm-web, 4 GiB, in the trash since 2026-11-23 07:10 UTC)" in said[2]
    for step in plan.steps:
        carry_out(host, step)
    assert host.lvm.volumes == {}
    assert host.names("/var/lib/kvmkeep/trash") == ()
    assert empties(host, without) == Plan()


def test_another_entry_stays_as_it_is() -> None:
    host, wanted = site(guest("db"))
    host.libvirt.domains["db"].live = None
    without = removed(host, wanted)
    wish = Removing(guest="db", moment=MOMENT)
    for step in plan_remove(without, host.facts(without), wish).steps:
        carry_out(host, step)
    kept = host.lvm.volumes[f"trash-{STAMP}-vm-db"]
    before = copy.deepcopy(kept)
    reach(host, spec(), lambda s, f: plan_empty(s, f, (NAME,)))
    assert host.lvm.volumes == {kept.name: before}
    assert host.names("/var/lib/kvmkeep/trash") == (f"db-{STAMP}",)


def test_an_inactive_disk_is_wiped_as_well() -> None:
    host, without, _ = trashed()
    for volume in host.lvm.volumes.values():
        volume.active = False
    reach(host, without, lambda s, f: plan_empty(s, f, (NAME,)))
    wiped = [command.argv[-1] for command in host.calls if command.argv[0] == "blkdiscard"]
    assert f"/dev/rl_build/trash-{STAMP}-vm-web" in wiped


def test_what_is_in_use_or_on_its_way_is_not_destroyed() -> None:
    host, wanted = site()
    for step in planned(host, wanted).steps[:1]:
        carry_out(host, step)
    reasons = told(empties(host, wanted))
    assert "is on its way into the trash or out of it" in reasons[0]
    assert "rl_build/vm-web is a disk of the domain web" in reasons[1]

    host, without, _ = trashed(snapshots=True)
    facts = host.facts(without)
    root = f"trash-{STAMP}-vm-web"
    foreign = replace(facts.volume("rl_build", root), name="mine", tags=(), origin=root)
    volumes = tuple(
        replace(one, opened=True, merging=True) if one.name == root else one
        for one in facts.volumes
        if one.name != f"{root}-data"
    )
    found = [
        text.partition(" (")[0]
        for text in told(empties(host, without, volumes=(*volumes, foreign)))
    ]
    assert found == [
        f"rl_build/{root}-data-{STAMP} is a snapshot of {root}-data, which is not of it",
        f"something has rl_build/{root} open",
        f"rl_build/{root} is being merged",
        f"rl_build/{root} has a snapshot that is not of the trash: rl_build/mine",
    ]


def test_an_lv_that_lost_its_marks_meanwhile_is_not_destroyed() -> None:
    host, without, _ = trashed()
    plan = empties(host, without)
    carry_out(host, plan.steps[0])
    volume = host.lvm.volumes[f"trash-{STAMP}-vm-web"]
    volume.tags.discard("kvmkeep")
    with pytest.raises(StepError):
        carry_out(host, plan.steps[1])
    assert not volume.zeroed


def test_what_was_begun_to_be_destroyed_is_not_restored() -> None:
    host, without, _ = trashed()
    plan = empties(host, without)
    carry_out(host, plan.steps[0])
    (reason,) = told(restores(host, without))
    assert reason == f"its destruction was begun (finish that: kvmkeep trash empty {NAME})"
    reach(host, without, lambda s, f: plan_empty(s, f, (NAME,)))
    assert host.lvm.volumes == {}


def test_a_folder_alone_is_an_entry_and_strange_names_are_none() -> None:
    folders = (
        TrashFolder(name=NAME, files=("web.yaml",), domain=None),
        TrashFolder(name="lost+found", files=(), domain=None),
    )
    (entry,) = trash_entries((), "rl_build", folders)
    assert (entry.name, entry.spec_file, entry.size.bytes) == (NAME, "web.yaml", 0)
    assert not entry.moving
