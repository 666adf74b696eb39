"""Backups: a set, its disks in the repository, the manifest last; then nothing of it stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from xml.etree import ElementTree as ET

import msgspec
import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.backup import LastBackup, RepositoryFacts, RepositoryState
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.command import Command, Progress
from kvmkeep.model.facts import Facts, Variables
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import FileDisk, Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.planning.backups.init import plan_init
from kvmkeep.planning.backups.send import Storing, plan_send
from kvmkeep.planning.backups.take import Beginning, plan_drop, plan_take
from kvmkeep.planning.domains.new_name import Renaming
from kvmkeep.planning.domains.rename import plan_rename
from kvmkeep.planning.domains.xml import BASE
from kvmkeep.planning.repositories.full import FULL
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.watch import plan_look_after
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create
from kvmkeep.planning.trash.remove import Removing, plan_remove
from tests.unit.planning.build import GIB, IMAGE, POLICY, VAULT, guest, spec
from tests.unit.planning.rounds import carry_out, reach

MOMENT = "2026-11-23T07:10:34+00:00"
SET = "20261123T0710Z"
WEB = guest(data=GIB, backup=POLICY)
SPEC = spec(WEB, repositories=(VAULT,))
FOLDER = f"/var/lib/kvmkeep/backup/web/{SET}"


def site(wanted: Spec = SPEC) -> FakeHost:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, wanted)
    host.libvirt.domains["web"].agent = True
    for name in ("host.yaml", "guests/host.yaml"):
        host.put(f"/etc/kvmkeep/{name}", b"x: y\n")
    reach(host, wanted, lambda s, f: plan_init(s, f, wanted.repositories[0]))
    return host


def beginning(**changes: object) -> Beginning:
    return replace(Beginning(guest=GuestName("web"), moment=MOMENT), **changes)


def take(**changes: object) -> Callable[[Spec, Facts], Plan]:
    return lambda s, f: plan_take(s, f, beginning(**changes))


STORING = Storing(guest=GuestName("web"), moment=MOMENT, spec_dir="/etc/kvmkeep")


def store(wanted: Spec, facts: Facts) -> Plan:
    return plan_send(wanted, facts, STORING)


def begun(wanted: Spec = SPEC) -> FakeHost:
    host = site(wanted)
    reach(host, wanted, take())
    return host


def commands(plan: Plan) -> list[Command]:
    actions = (action for step in plan.steps for action in step.actions)
    return [action for action in actions if isinstance(action, Command)]


def reasons(plan: Plan) -> list[str]:
    return [refusal.reason for refusal in plan.refusals]


def snapshots(host: FakeHost) -> list[str]:
    return [one.name for one in host.lvm.volumes.values() if one.origin]


def seen(host: FakeHost, state: RepositoryState, said: str = "") -> Facts:
    facts = host.facts(SPEC)
    vault = RepositoryFacts(name="vault", state=state, said=said)
    return replace(facts, backups=replace(facts.backups, repositories=(vault,)))


def test_from_the_set_to_the_manifest_and_nothing_stays() -> None:
    host = begun()
    assert sorted(snapshots(host)) == [f"vm-web-{SET}", f"vm-web-data-{SET}"]
    for name in snapshots(host):
        assert "kvmkeep.backup=vault" in host.lvm.volumes[name].tags
    steps = reach(host, SPEC, store)
    assert [step.what.split(",")[0] for step in steps] == [
        "keep its definition and its spec",
        "store its disk root",
        "store its disk data",
        f"store the manifest: from then on {SET} is a backup",
    ]
    (vault,) = host.facts(SPEC).backups.repositories
    (entry,) = vault.entries
    assert (entry.guest, entry.moment, entry.level) == ("web", SET, "frozen")
    assert [disk.disk for disk in entry.disks] == ["root", "data"]
    assert entry.size == Size(5 * GIB)
    reach(host, SPEC, plan_drop)
    assert snapshots(host) == []
    assert host.facts(SPEC).backups.staged == ()


def test_what_the_manifest_tells() -> None:
    host = begun()
    reach(host, SPEC, store)
    *disks, commit = host.restic.listed(VAULT.url)
    made = json.loads(commit.files[f"{FOLDER}/manifest.json"])
    assert (made["guest"], made["uuid"], made["level"]) == ("web", WEB.uuid, "frozen")
    assert made["versions"]["engine"] == "restic 0.14.0"
    assert [disk["object"] for disk in made["disks"]] == [one.id for one in disks]
    assert [disk["source"] for disk in made["disks"]] == [
        "/dev/rl_build/vm-web", "/dev/rl_build/vm-web-data",
    ]  # fmt: skip
    assert (made["started"], made["ended"]) == ("2026-11-23T07:10:40Z", "2026-11-23T07:11:40Z")
    assert set(commit.files) == {
        f"{FOLDER}/{name}"
        for name in (
            "manifest.json", "domain.xml", "guest.yaml", "host.yaml", "root.blocks",
            "root.blocks.done", "data.blocks", "data.blocks.done",
        )
    }  # fmt: skip
    assert b"canary" not in commit.files[f"{FOLDER}/manifest.json"]


def test_the_sites_own_template_is_in_the_backup() -> None:
    own = replace(SPEC, template=BASE)
    host = begun(own)
    reach(host, own, store)
    commit = host.restic.listed(VAULT.url)[-1]
    assert commit.files[f"{FOLDER}/template.xml"] == BASE.encode()
    assert json.loads(commit.files[f"{FOLDER}/manifest.json"])["template"] == "template.xml"


def test_a_disk_that_the_spec_loses_while_it_is_sent_is_in_the_backup_all_the_same() -> None:
    host = begun()
    plan = store(SPEC, host.facts(SPEC))
    for action in (action for step in plan.certain for action in step.actions):
        assert isinstance(action, Command)
        assert host.run(action).ok
    less = spec(replace(WEB, disks=WEB.disks[:1]), repositories=(VAULT,))
    reach(host, less, store)
    commit = host.restic.listed(VAULT.url)[-1]
    made = json.loads(commit.files[f"{FOLDER}/manifest.json"])
    assert [disk["source"] for disk in made["disks"]] == [
        "/dev/rl_build/vm-web", "/dev/rl_build/vm-web-data",
    ]  # fmt: skip


def test_a_disk_that_its_domain_does_not_have_is_named_by_its_path() -> None:
    host = begun()
    reach(host, SPEC, lambda s, f: store(s, replace(f, domains=())))
    commit = host.restic.listed(VAULT.url)[-1]
    made = json.loads(commit.files[f"{FOLDER}/manifest.json"])
    assert made["disks"][1]["source"] == "/dev/rl_build/vm-web-data"


def uefi(host: FakeHost, *, given: str = "") -> str:
    """Have web boot by UEFI that libvirt chooses; return the file of its variables."""
    system = host.libvirt.domains["web"].xml.find("os")
    system.set("firmware", "efi")
    if given:
        ET.SubElement(system, "nvram").text = given
    return given or "/var/lib/libvirt/qemu/nvram/web_VARS.fd"


def kept(host: FakeHost) -> tuple[bytes | None, str]:
    """Return the variables that are in the backup, and how its manifest calls them."""
    files = host.restic.listed(VAULT.url)[-1].files
    return files.get(f"{FOLDER}/nvram.fd"), json.loads(files[f"{FOLDER}/manifest.json"])["nvram"]


@pytest.mark.parametrize("given", ["", "/var/lib/libvirt/qemu/nvram/web.fd"])
def test_variables_of_the_firmware_are_kept(given: str) -> None:
    host = begun()
    host.put(uefi(host, given=given), b"variables")
    reach(host, SPEC, store)
    assert kept(host) == (b"variables", "nvram.fd")


@pytest.mark.parametrize("given", ["", "/var/lib/libvirt/qemu/nvram/web.fd"])
def test_a_guest_that_was_never_started_has_no_variables_yet(given: str) -> None:
    host = begun()
    uefi(host, given=given)
    reach(host, SPEC, store)
    assert kept(host) == (None, "")


def test_variables_that_can_not_be_looked_at_are_not_taken_for_none() -> None:
    host = begun()
    path = uefi(host)
    facts = replace(host.facts(SPEC), variables=(Variables(path=path, problem="it is hung"),))
    assert any(path in one.argv for one in commands(store(SPEC, facts)))


def test_variables_that_are_made_or_go_while_disks_are_sent_leave_no_hole_in_the_backup() -> None:
    host = begun()
    path = uefi(host)
    for step in store(SPEC, host.facts(SPEC)).certain:
        carry_out(host, step)
    host.put(path, b"variables")
    (commit,) = reach(host, SPEC, store)
    assert "store the manifest" in commit.what
    assert kept(host) == (None, "")
    host = begun()
    host.put(path, b"variables")
    uefi(host)
    for step in store(SPEC, host.facts(SPEC)).certain:
        carry_out(host, step)
    del host.files[path]
    reach(host, SPEC, store)
    assert kept(host) == (b"variables", "nvram.fd")


def test_a_run_that_was_killed_before_it_kept_all_keeps_it_anew() -> None:
    host = begun()
    host.put(uefi(host), b"variables")
    prepare, *_ = store(SPEC, host.facts(SPEC)).steps
    for count in range(len(prepare.actions)):
        host = begun()
        host.put(uefi(host), b"variables")
        for action in prepare.actions[:count]:
            assert isinstance(action, Command)
            assert host.run(action).ok
        reach(host, SPEC, store)
        assert kept(host) == (b"variables", "nvram.fd")


def test_a_disk_is_sent_out_of_the_way_of_guests_and_no_faster_than_the_spec_says() -> None:
    slow = replace(VAULT, rate=50 << 20)
    wanted = replace(SPEC, repositories=(slow,))
    (send, _) = [
        one for one in commands(store(wanted, begun().facts(wanted))) if "send" in one.argv
    ]
    assert send.argv[:11] == (
        "systemd-run", "--scope", "--quiet", "--slice=machine.slice", "--property=CPUWeight=10", "--",
        "choom", "--adjust=1000", "--", "ionice", "--class=idle",
    )  # fmt: skip
    assert f"--rate={50 << 20}" in send.argv
    assert f"--size={4 * GIB}" in send.argv
    assert (send.progress, send.total_bytes) == (Progress.BLOCKS, 4 * GIB)
    assert send.meanings == FULL
    assert send.timeout >= 4 * GIB / (1 << 20)
    crawling = replace(SPEC, repositories=(replace(VAULT, rate=1 << 18),))
    plan = store(crawling, begun().facts(crawling))
    (send, _) = [one for one in commands(plan) if "send" in one.argv]
    assert send.timeout >= 4 * GIB / (1 << 17)


def test_what_a_dead_run_has_left_goes_first() -> None:
    host = begun()
    reach(host, SPEC, store)
    host.restic.listed(VAULT.url).pop()
    host.put(f"{FOLDER}/left", b"x")
    later = "2026-11-24T07:10:34+00:00"
    reach(host, SPEC, take(moment=later))
    assert sorted(snapshots(host)) == ["vm-web-20261124T0710Z", "vm-web-data-20261124T0710Z"]
    assert host.facts(SPEC).backups.staged == ()
    reach(host, SPEC, lambda s, f: plan_send(s, f, replace(STORING, moment=later)))
    (vault,) = host.facts(SPEC).backups.repositories
    assert [one.moment for one in vault.entries] == ["20261124T0710Z"]
    assert vault.fragments == ()


def rename_to_shop(host: FakeHost) -> Spec:
    """Have the guest, which is off, be called shop; return the spec then."""
    host.put("/etc/kvmkeep/guests/web.yaml", b"image: debian\n")
    names = Renaming(
        old=GuestName("web"),
        new=GuestName("shop"),
        file="/etc/kvmkeep/guests/web.yaml",
        takes_identity=True,
    )
    disks = tuple(replace(one, lv=one.lv.replace("vm-web", "vm-shop")) for one in WEB.volumes)
    after = replace(SPEC, guests=(replace(WEB, name=GuestName("shop"), disks=disks),))

    def planner(_: Spec, facts: Facts) -> Plan:
        renamed = "/etc/kvmkeep/guests/shop.yaml" in host.files
        return plan_rename(after if renamed else SPEC, facts, names)

    reach(host, SPEC, planner)
    return after


@pytest.mark.parametrize("older", [False, True])
def test_what_a_dead_run_has_left_is_the_guests_though_it_was_renamed(*, older: bool) -> None:
    host = site()
    power_off(host)
    reach(host, SPEC, take())
    reach(host, SPEC, store)
    host.restic.listed(VAULT.url).pop()
    for one in host.restic.listed(VAULT.url):
        assert "identity=web" in one.tags
        one.tags = tuple(tag for tag in one.tags if not (older and tag.startswith("identity=")))
    reach(host, SPEC, plan_drop)
    after = rename_to_shop(host)
    later = "2026-11-23T07:10:50+00:00"
    reach(host, after, take(guest=GuestName("shop"), moment=later))
    assert {name.rpartition("-")[2] for name in snapshots(host)} == {"20261123T071050Z"}
    storing = replace(STORING, guest=GuestName("shop"), moment=later)
    reach(host, after, lambda s, f: plan_send(s, f, storing))
    (vault,) = host.facts(after).backups.repositories
    assert [(one.guest, one.identity) for one in vault.entries] == [("shop", "web")]
    assert vault.fragments == ()


def test_where_nothing_may_be_deleted_a_dead_run_keeps_no_backup_from_being_made() -> None:
    host = begun()
    reach(host, SPEC, store)
    host.restic.listed(VAULT.url).pop()
    host.restic.repositories[VAULT.url].append_only = True
    later = "2026-11-24T07:10:34+00:00"
    reach(host, SPEC, take(moment=later))
    reach(host, SPEC, lambda s, f: plan_send(s, f, replace(STORING, moment=later)))
    (vault,) = host.facts(SPEC).backups.repositories
    assert [one.moment for one in vault.entries] == ["20261124T0710Z"]
    assert [one.moment for one in vault.fragments] == [SET]


def test_of_an_append_only_repository_nothing_is_asked_to_be_deleted() -> None:
    closed = replace(SPEC, repositories=(replace(VAULT, append_only=True),))
    host = begun()
    reach(host, closed, store)
    del host.restic.listed(VAULT.url)[-1]
    host.files = {path: file for path, file in host.files.items() if not path.startswith(FOLDER)}
    plan = store(closed, host.facts(closed))
    assert [one for one in commands(plan) if "forget" in one.argv] == []
    assert [one for one in commands(store(SPEC, host.facts(SPEC))) if "forget" in one.argv] != []
    reach(host, closed, store)
    (vault,) = host.facts(closed).backups.repositories
    assert [one.moment for one in vault.entries] == [SET]


def test_a_second_run_in_the_same_minute_makes_a_backup_of_its_own() -> None:
    host = begun()
    reach(host, SPEC, store)
    reach(host, SPEC, plan_drop)
    later = "2026-11-23T07:10:50+00:00"
    reach(host, SPEC, take(moment=later))
    steps = reach(host, SPEC, lambda s, f: plan_send(s, f, replace(STORING, moment=later)))
    assert steps[-1].what.startswith("store the manifest: from then on 20261123T071050Z")
    (vault,) = host.facts(SPEC).backups.repositories
    assert {one.moment for one in vault.entries} == {SET, "20261123T071050Z"}
    reach(host, SPEC, plan_drop)
    plan = plan_take(SPEC, host.facts(SPEC), beginning(moment=later))
    assert reasons(plan) == ["repository vault has something of its moment 20261123T071050Z"]
    assert plan.steps == ()


def test_what_a_dead_run_has_left_of_a_minute_is_not_added_to() -> None:
    host = begun()
    reach(host, SPEC, store)
    host.restic.listed(VAULT.url).pop()
    reach(host, SPEC, plan_drop)
    reach(host, SPEC, take(moment="2026-11-23T07:10:50+00:00"))
    assert sorted(snapshots(host)) == ["vm-web-20261123T071050Z", "vm-web-data-20261123T071050Z"]


def test_what_others_have_in_the_repository_of_that_minute_is_no_reason_for_another_name() -> None:
    host = begun()
    reach(host, SPEC, store)
    for one in host.restic.listed(VAULT.url):
        one.host = "other.example.org"
    reach(host, SPEC, plan_drop)
    reach(host, SPEC, take(moment="2026-11-23T07:10:50+00:00"))
    assert sorted(snapshots(host)) == [f"vm-web-{SET}", f"vm-web-data-{SET}"]


def test_a_manifest_that_this_run_did_not_store_is_not_its_backup() -> None:
    host = begun()
    reach(host, SPEC, store)
    (stored,) = host.restic.listed(VAULT.url)[-1:]
    host = begun()
    host.restic.listed(VAULT.url).append(stored)
    plan = store(SPEC, host.facts(SPEC))
    assert reasons(plan) == [f"repository vault has a backup {SET} that this run did not make"]
    assert plan.steps == ()


def test_a_run_that_was_killed_once_the_manifest_was_stored_is_gone_on_with() -> None:
    host = begun()
    reach(host, SPEC, store)
    del host.files["/var/lib/kvmkeep/backups/web.json"]
    reach(host, SPEC, take())
    (step,) = reach(host, SPEC, store)
    assert step.what == f"remember that {SET} is its last backup"
    (vault,) = host.facts(SPEC).backups.repositories
    assert [one.moment for one in vault.entries] == [SET]


@pytest.mark.parametrize(
    ("before", "since"),
    [
        (None, SET),
        (("vault", ""), "20261120T0000Z"),
        (("vault", "20261101T0000Z"), "20261101T0000Z"),
        (("attic", "20261101T0000Z"), SET),
    ],
)
def test_since_when_its_backups_go_to_that_repository_is_remembered(
    before: tuple[str, str] | None, since: str
) -> None:
    host = begun()
    if before is not None:
        repository, first = before
        last = LastBackup(
            identity="web", repository=repository, moment="20261120T0000Z", level="off", since=first
        )
        host.put("/var/lib/kvmkeep/backups/web.json", msgspec.json.encode(last))
    reach(host, SPEC, store)
    known = host.facts(SPEC).backups.last_of("web")
    assert known is not None
    assert (known.moment, known.since) == (SET, since)


def test_a_set_of_somebody_else_is_none_of_ours() -> None:
    host = site()
    reach(
        host, SPEC, lambda s, f: plan_create(s, f, SnapshotRequest(guests=("web",), moment=MOMENT))
    )
    reach(host, SPEC, take(moment="2026-11-23T07:11:34+00:00"))
    reach(host, SPEC, plan_drop)
    assert sorted(snapshots(host)) == [f"vm-web-{SET}", f"vm-web-data-{SET}"]


def test_a_snapshot_that_was_full_makes_no_backup() -> None:
    host = begun()
    host.lvm.volumes[f"vm-web-data-{SET}"].invalid = True
    plan = store(SPEC, host.facts(SPEC))
    assert reasons(plan) == [f"the set {SET} that was taken for its backup is no good: invalid"]
    assert "make room" in plan.refusals[0].hint


def test_a_set_that_is_not_whole_or_gone_makes_no_backup() -> None:
    host = begun()
    del host.lvm.volumes[f"vm-web-data-{SET}"]
    assert "members missing" in reasons(store(SPEC, host.facts(SPEC)))[0]
    del host.lvm.volumes[f"vm-web-{SET}"]
    assert "is gone" in reasons(store(SPEC, host.facts(SPEC)))[0]


def test_a_disk_that_the_repository_does_not_list_makes_no_backup() -> None:
    host = begun()
    plan = store(SPEC, host.facts(SPEC))
    for step in plan.certain:
        for action in step.actions:
            assert isinstance(action, Command)
            assert host.run(action).ok
    host.restic.listed(VAULT.url).pop()
    plan = store(SPEC, host.facts(SPEC))
    assert [one.reason for one in plan.refusals] == [
        "the object of disk data that was just stored is not listed"
    ]
    assert plan.steps == ()


def test_where_there_is_no_room_for_full_snapshots_they_are_smaller() -> None:
    host = site()
    used = host.lvm.size - host.lvm.free
    host.lvm.size = used + (10 << 30) + (2 << 30)
    reach(host, SPEC, take())
    sizes = {host.lvm.volumes[name].size for name in snapshots(host)}
    assert sizes == {1 << 30}
    small = site()
    small.lvm.size = used + (10 << 30) + (100 << 20)
    plan = plan_take(SPEC, small.facts(SPEC), beginning())
    assert "the set needs" in reasons(plan)[0]
    reach(small, SPEC, take(size=Size(40 << 20)))


def test_what_dead_runs_have_left_is_counted_as_room() -> None:
    host = begun()
    host.lvm.size = host.lvm.size - host.lvm.free + (10 << 30)
    reach(host, SPEC, take(moment="2026-11-24T07:10:34+00:00"))
    assert len(snapshots(host)) == 2


def test_a_volume_group_that_is_not_there() -> None:
    host = site()
    facts = replace(host.facts(SPEC), groups=())
    assert "there is no such volume group" in [
        one.reason for one in plan_take(SPEC, facts, beginning()).refusals
    ]


def test_no_guest_is_frozen_for_a_backup_while_physical_volumes_are_missing() -> None:
    facts = site().facts(SPEC)
    partial = replace(facts, groups=(replace(facts.groups[0], missing_pvs=1),))
    (refusal,) = plan_take(SPEC, partial, beginning()).refusals
    assert "1 of its physical volumes are missing" in refusal.reason


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (RepositoryState.ABSENT, "there is nothing at /srv/vault"),
        (RepositoryState.WRONG_PASSWORD, "the password in /root/pw is not its password"),
        (RepositoryState.UNSEEN, "it can't be reached or read: refused"),
        (RepositoryState.HALF, "it is half made, or damaged: refused"),
    ],
)
def test_a_repository_that_can_not_be_used(state: RepositoryState, reason: str) -> None:
    facts = seen(site(), state, "refused")
    for plan in (plan_take(SPEC, facts, beginning()), store(SPEC, facts)):
        assert reasons(plan) == [reason]
        assert plan.unready


def test_a_repository_that_nobody_looked_at_is_a_bug() -> None:
    facts = site().facts(SPEC)
    facts = replace(facts, backups=replace(facts.backups, repositories=()))
    with pytest.raises(AssertionError, match="was not looked at"):
        plan_take(SPEC, facts, beginning())


def test_guests_that_can_not_be_backed_up() -> None:
    host = site()
    none = spec(replace(WEB, backup=None), repositories=(VAULT,))
    assert reasons(plan_take(none, host.facts(none), beginning())) == [
        "the spec has no backup for it"
    ]
    gone = spec(repositories=(VAULT,))
    assert reasons(plan_take(gone, host.facts(gone), beginning())) == ["the spec has no such guest"]
    disk = FileDisk(name=Label("big"), path="/data/big.img", mount="/data", size=Size(GIB))
    filed = spec(replace(WEB, disks=(*WEB.disks, disk)), repositories=(VAULT,))
    assert reasons(plan_take(filed, host.facts(filed), beginning())) == [
        "its disk /data/big.img is a file: there is no snapshot of it to read from"
    ]


def test_programs_that_are_missing() -> None:
    host = site()
    host.tools["restic"] = ""
    facts = seen(host, RepositoryState.READY)
    (refusal,) = plan_take(SPEC, facts, beginning()).refusals
    assert refusal.subject == "program restic"
    host.tools = {"kvmkeep": ""}
    (refusal,) = plan_take(SPEC, seen(host, RepositoryState.READY), beginning()).refusals
    assert "kvmkeep is not in the PATH" in refusal.reason


def test_a_program_that_has_the_sending_stand_back_is_needed() -> None:
    host = begun()
    for name in ("systemd-run", "choom", "ionice"):
        host.tools = {name: ""}
        (refusal,) = store(SPEC, host.facts(SPEC)).refusals
        assert refusal.subject == f"program {name}"


def test_a_repository_is_made_only_where_there_is_none() -> None:
    host = site()
    assert plan_init(SPEC, host.facts(SPEC), VAULT) == Plan()
    plan = plan_init(SPEC, seen(host, RepositoryState.ABSENT), VAULT)
    assert plan.refusals == ()
    assert [command.argv[-1] for command in commands(plan)] == ["init"]
    for state in (RepositoryState.WRONG_PASSWORD, RepositoryState.UNSEEN):
        assert plan_init(SPEC, seen(host, state), VAULT).refusals != ()
    (half,) = plan_init(SPEC, seen(host, RepositoryState.HALF), VAULT).refusals
    assert "delete what is at /srv/vault, then: kvmkeep backup init vault" in half.hint


def test_no_secret_is_in_a_command() -> None:
    keyed: Repository = replace(VAULT, environment_file="/root/keys")
    wanted = replace(SPEC, repositories=(keyed,))
    plan = store(wanted, begun().facts(SPEC))
    for command in commands(plan):
        if "restic" in command.argv:
            before = command.argv[: command.argv.index("restic")]
            assert before[-4:] == (
                "/usr/bin/kvmkeep",
                "with-environment",
                "--file=/root/keys",
                "--",
            )


def test_the_watch_deletes_what_a_dead_run_has_left_and_nothing_of_a_living_one() -> None:
    host = begun()
    host.put(f"{FOLDER}/root.blocks", b"x")
    host.backup_running = True
    assert plan_look_after(SPEC, host.facts(SPEC)).steps == ()
    host.backup_running = False
    reach(host, SPEC, plan_look_after)
    assert snapshots(host) == []
    assert host.facts(SPEC).backups.staged == ()


def power_off(host: FakeHost) -> None:
    host.libvirt.domains["web"].end()


def test_a_guest_that_is_off_is_backed_up_and_may_start_meanwhile() -> None:
    host = site()
    power_off(host)
    reach(host, SPEC, take())
    plan = store(SPEC, host.facts(SPEC))
    reach(host, SPEC, lambda s, f: plan_start(s, f, (GuestName("web"),)))
    assert plan.refusals == ()
    reach(host, SPEC, store)
    (vault,) = host.facts(SPEC).backups.repositories
    assert [one.level for one in vault.entries] == ["off"]


def test_a_guest_that_is_renamed_meanwhile_fails_and_nothing_stays() -> None:
    host = site()
    power_off(host)
    reach(host, SPEC, take())
    after = rename_to_shop(host)
    assert reasons(store(after, host.facts(after))) == ["the spec has no such guest"]
    assert len(snapshots(host)) == 2
    reach(host, after, plan_drop)
    assert snapshots(host) == []


def test_a_guest_that_is_removed_meanwhile_fails_and_its_trash_is_left_alone() -> None:
    host = site()
    power_off(host)
    reach(host, SPEC, take())
    removing = Removing(
        guest=GuestName("web"), moment=MOMENT, file="/etc/kvmkeep/guests/host.yaml", limit=60
    )

    def planner(_: Spec, facts: Facts) -> Plan:
        there = "/etc/kvmkeep/guests/host.yaml" in host.files
        return plan_remove(SPEC if there else replace(SPEC, guests=()), facts, removing)

    reach(host, SPEC, planner)
    gone = replace(SPEC, guests=())
    assert reasons(store(gone, host.facts(gone))) == ["the spec has no such guest"]
    before = dict(host.lvm.volumes)
    assert plan_drop(gone, host.facts(gone)) == Plan()
    assert host.lvm.volumes == before
