from __future__ import annotations

import pytest
from msgspec.structs import replace

from kvmkeep.model.backup import RepositoryFacts, RepositoryState
from kvmkeep.model.command import Command, Progress
from kvmkeep.model.facts import Problem
from kvmkeep.model.names import TAG_OURS
from kvmkeep.model.plan import Plan
from kvmkeep.model.proof import Rung, proof_domain
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.proofs.prove import plan_prove
from kvmkeep.planning.running.watch import plan_look_after
from tests.unit.planning.build import GIB
from tests.unit.planning.proven import (
    ASKED,
    a_backup,
    leftovers,
    prove,
    prover,
    proving,
    site_with_backup,
)
from tests.unit.planning.rounds import StepError, carry_out, reach

LATER = "2026-11-28T12:40:00Z"


def rungs(found: tuple[Rung, ...]) -> dict[str, bool]:
    return {one.name: one.passed for one in found}


def test_a_good_backup_is_proven_and_only_the_verdict_is_left() -> None:
    host, site, subject = site_with_backup(check=("/usr/bin/check-db",))
    before = (dict(host.lvm.volumes), host.libvirt.domains["web"].run)
    proof = prove(host, site, subject)
    assert proof.proven
    assert list(rungs(proof.rungs)) == [
        "repository", "blocks-root", "blocks-data", "partitions", "filesystems", "start", "agent",
        "login", "mounts", "check",
    ]  # fmt: skip
    assert all(rungs(proof.rungs).values())
    assert (proof.repository, proof.guest, proof.moment, proof.time) == (
        "vault", "web", subject.entry.moment, ASKED,
    )  # fmt: skip
    assert host.files[proof.screen].content.decode().endswith("web login:\n")
    assert host.files[proof.screen].mode == 0o600
    assert leftovers(host) == []
    assert (dict(host.lvm.volumes), host.libvirt.domains["web"].run) == before
    assert host.libvirt.domains.keys() == {"web"}


@pytest.mark.parametrize("name", ["web-root.raw", "data.blocks", "nvram.fd"])
def test_a_file_in_the_repository_that_leads_to_the_host_is_not_used(name: str) -> None:
    host, site, subject = site_with_backup()
    subject = replace(subject, manifest=replace(subject.manifest, nvram="nvram.fd"))
    objects = {one.object for one in subject.manifest.disks} | {subject.entry.manifest}
    place = f"/var/lib/kvmkeep/backup/web/{subject.entry.moment}"
    tree = "/run/kvmkeep/proof/web/repository/ids"
    for one in objects:
        host.links[f"{tree}/{one}/{name}"] = host.links[f"{tree}/{one}{place}/{name}"] = "/dev/sda"
    with pytest.raises(StepError):
        reach(host, site, prover(host, subject))
    assert not [one for one in leftovers(host) if "/repository." not in one]
    words = {word for one in host.calls if "readlink" not in one.argv for word in one.argv}
    assert not [word for word in words if word.startswith(tree) and word.endswith(name)]


def test_the_bridge_has_no_uplink_and_is_never_up() -> None:
    host, site, subject = site_with_backup()
    reach(host, site, prover(host, subject))
    lines = [" ".join(one.argv) for one in host.calls if one.argv[0] == "ip"]
    assert [line.split()[2] for line in lines] == ["delete", "add", "delete"]
    assert not [line for line in lines if "up" in line.split() or "master" in line]


def test_where_memory_runs_out_the_proof_is_ended_first() -> None:
    host, site, subject = site_with_backup()
    reach(host, site, prover(host, subject))
    assert host.proof.ends_first == [proof_domain("web")]


def test_only_root_and_qemu_look_into_the_repository() -> None:
    host, site, subject = site_with_backup()
    reach(host, site, prover(host, subject))
    places = [one.argv for one in host.calls if one.argv[2:3] == ("--mode=0710",)]
    assert places[0][2:] == (
        "--mode=0710", "--owner=0", "--group=64055", "--", "/run/kvmkeep/proof/web",
    )  # fmt: skip
    assert host.directories["/var/lib/kvmkeep/proofs/web"] == 0o700


@pytest.mark.parametrize(
    ("spoil", "falls"),
    [
        (lambda host: setattr(host.proof.repository, "damaged", True), ["repository"]),
        (
            lambda host: host.proof.repository.broken.add("/web-root.raw"),
            ["blocks-root", "filesystems"],
        ),
        (lambda host: setattr(host.proof, "lists", "/dev/sda: unknown thing\n"), ["partitions"]),
        (lambda host: setattr(host.proof, "lists", "/dev/sda1: ext4\n"), []),
        (lambda host: host.libvirt.silent_agents.add(proof_domain("web")), ["agent", "mounts"]),
        (lambda host: setattr(host.libvirt, "mounted", []), ["mounts"]),
        (lambda host: setattr(host.libvirt, "mounted", "all"), ["mounts"]),
        (
            lambda host: setattr(host.proof, "fstab", "/dev/vda1 / ext4 rw 0 1\nUUID=1 /srv xfs x\n"),
            ["mounts"],
        ),
        (lambda host: setattr(host.libvirt, "checked", 3), ["check"]),
    ],
    ids=[
        "repository", "blocks", "nothing in it", "good", "silent", "nothing mounted",
        "lying agent", "one not mounted", "check",
    ],
)  # fmt: skip
def test_what_does_not_hold_is_named_and_nothing_is_left(spoil: object, falls: list[str]) -> None:
    host, site, subject = site_with_backup(check=("/usr/bin/check-db",))
    spoil(host)  # type: ignore[operator]
    if "partitions" in falls:
        host.proof.guestfish = lambda _argv, _script: (0, host.proof.lists)  # type: ignore[method-assign]
    proof = prove(host, site, subject)
    fallen = [one for one in proof.rungs if not one.passed]
    said = (
        {one.name for one in fallen} - {"check"} if "agent" in falls else {o.name for o in fallen}
    )
    assert said == {*falls}
    assert proof.proven is (not falls)
    assert all(one.detail for one in fallen)
    assert leftovers(host) == []


def test_a_guest_without_an_agent_is_up_once_its_console_asks_for_a_login() -> None:
    host, site, subject = site_with_backup()
    bare = replace(subject, xml=subject.xml.replace("org.qemu.guest_agent.0", "another"))
    proof = prove(host, site, bare)
    assert proof.proven
    assert "agent" not in rungs(proof.rungs)
    assert rungs(proof.rungs)["login"]
    host.proof.says = "Kernel panic - not syncing"
    proof = prove(host, site, bare, LATER)
    assert not proof.proven
    assert [one.name for one in proof.rungs if not one.passed] == ["login"]
    assert host.files[proof.screen].content == b"Kernel panic - not syncing\n"


def test_a_guest_whose_agent_answers_need_not_ask_for_a_login() -> None:
    host, site, subject = site_with_backup()
    host.proof.says = "starting"
    proof = prove(host, site, subject)
    assert proof.proven
    assert "login" not in rungs(proof.rungs)


def test_a_guest_that_does_not_start_is_not_waited_for() -> None:
    host, site, subject = site_with_backup()
    host.libvirt.boots = lambda _: "no such machine type"
    began = host.now
    proof = prove(host, site, subject)
    assert {one.name: one.detail for one in proof.rungs if not one.passed} == {
        "start": "error: no such machine type",
        "agent": "not tried: start did not hold",
        "login": "not tried: start did not hold",
        "mounts": "not tried: agent did not hold",
    }
    assert host.now - began < 30
    assert leftovers(host) == []


def test_firmware_gets_a_copy_of_its_variables() -> None:
    host, site, subject = site_with_backup()
    firm = replace(subject, manifest=replace(subject.manifest, nvram="nvram.fd"))
    assert prove(host, site, firm).proven
    copies = [one.argv for one in host.calls if one.argv[:2] == ("install", "--mode=0600")]
    assert copies[0][-1] == "/run/kvmkeep/proof/web/nvram.fd"


def test_a_backup_that_lacks_a_disk_is_not_tried() -> None:
    host, site, subject = site_with_backup()
    torn = replace(subject, entry=replace(subject.entry, whole=False))
    refusals = plan_prove(site, host.facts(site), proving(host, torn)).refusals
    assert [one.reason for one in refusals] == [
        "its disk root is gone from the repository", "its disk data is gone from the repository",
    ]  # fmt: skip


def test_a_repository_that_can_not_be_seen_is_no_verdict() -> None:
    host, site, subject = site_with_backup()
    host.proof.run_service = lambda _: (0, "")  # type: ignore[method-assign]
    with pytest.raises(StepError, match="to be seen as files"):
        reach(host, site, prover(host, subject))
    assert [one for one in leftovers(host) if "/var/lib/kvmkeep/proof/" not in one] == []
    assert not [path for path in host.files if "/proofs/" in path]


def test_what_a_killed_proof_left_is_taken_down_by_the_next_one_of_whichever_guest() -> None:
    host, site, subject = site_with_backup()
    plan = plan_prove(site, host.facts(site), proving(host, subject))
    for step in plan.steps[:2]:
        carry_out(host, step)
    plan = plan_prove(site, host.facts(site), proving(host, subject))
    carry_out(host, replace(plan.steps[0], always=(), finally_=()))
    assert proof_domain("web") in host.libvirt.domains
    assert len(leftovers(host)) > 5
    # No other verb sees it.
    assert [one.name for one in host.facts(site).domains] == ["web"]
    reach(host, site)
    other = replace(subject, entry=replace(subject.entry, moment="20261126T0130Z"))
    steps = plan_prove(site, host.facts(site), proving(host, other, LATER)).steps
    assert [step.what for step in steps[:2]] == [
        "take down what is left of the proof of its backup",
        "remove /var/lib/kvmkeep/proof/web/20261127T124000Z",
    ]
    prove(host, site, other, LATER)
    assert leftovers(host) == []


def test_the_watch_takes_a_killed_proof_down_and_leaves_one_that_goes_on() -> None:
    host, site, subject = site_with_backup()
    plan = plan_prove(site, host.facts(site), proving(host, subject))
    carry_out(host, replace(plan.steps[1], always=(), finally_=()))
    host.proof.running = True
    assert plan_look_after(site, host.facts(site)).steps == ()
    host.proof.running = False
    reach(host, site, plan_look_after)
    assert [one for one in leftovers(host) if "/var/lib/kvmkeep/proof/" not in one] == []


@pytest.mark.parametrize("program", ["flock", "ip"])
def test_the_watch_tells_of_a_program_that_it_needs_to_tidy_up(program: str) -> None:
    host, site, subject = site_with_backup()
    killed = plan_prove(site, host.facts(site), proving(host, subject))
    carry_out(host, replace(killed.steps[1], always=(), finally_=()))
    host.tools[program] = ""
    plan = plan_look_after(site, host.facts(site))
    assert (plan.steps, plan.refusals) == ((), ())
    assert [one.subject for one in plan.notes] == [f"program {program}"]


@pytest.mark.parametrize("moment", range(11))
def test_a_proof_that_begins_while_the_watch_tidies_up_is_left_alone(moment: int) -> None:
    host, site, subject = site_with_backup()
    killed = plan_prove(site, host.facts(site), proving(host, subject))
    carry_out(host, replace(killed.steps[1], always=(), finally_=()))
    (step,) = plan_look_after(site, host.facts(site)).steps
    assert len(step.actions) > moment
    begun: list[str] = []

    def begins() -> None:
        host.proof.running = True
        for one in plan_prove(site, host.facts(site), proving(host, subject, LATER)).certain:
            carry_out(host, one)
        (start,) = plan_prove(site, host.facts(site), proving(host, subject, LATER)).certain
        carry_out(host, replace(start, always=(), finally_=()))
        begun.extend(leftovers(host))

    host.events[len(host.calls) + moment] = begins
    carry_out(host, step)
    assert proof_domain("web") in begun
    assert leftovers(host) == begun
    assert plan_look_after(site, host.facts(site)).empty
    host.proof.running = False
    reach(host, site, plan_look_after)
    assert [one for one in leftovers(host) if "/var/lib/kvmkeep/proof/" not in one] == []


def test_after_a_power_cut_only_the_overlays_are_left_and_go() -> None:
    host, site, subject = site_with_backup()
    plan = plan_prove(site, host.facts(site), proving(host, subject))
    carry_out(host, replace(plan.steps[1], always=(), finally_=()))
    host.proof.power_cut()
    host.power_cycle()
    assert prove(host, site, subject, LATER).proven
    assert leftovers(host) == []


def test_an_lv_without_our_mark_stays() -> None:
    host, site, subject = site_with_backup()
    host.lvm.add("kvmkeep-proof-web-root", GIB)
    found = refusals(plan_prove(site, host.facts(site), proving(host, subject)))
    assert found == ["the LV rl_build/kvmkeep-proof-web-root is not ours"]
    assert TAG_OURS not in host.lvm.volumes["kvmkeep-proof-web-root"].tags


def refusals(plan: Plan) -> list[str]:
    return [one.reason for one in plan.refusals]


def test_what_the_host_can_not_do_is_refused_with_all_reasons() -> None:
    host, site, subject = site_with_backup(check=("/bin/true",))
    facts = replace(
        host.facts(site), memory=Size(6 * GIB + 1024), qemu_group=-1,
        groups=tuple(replace(one, free=Size(GIB)) for one in host.facts(site).groups),
    )  # fmt: skip
    bare = replace(subject, xml=subject.xml.replace("org.qemu.guest_agent.0", "another"))
    found = refusals(plan_prove(site, facts, proving(host, bare)))
    for words in ("can spare 1", "which group", "channel for an agent", "of rl_build, of which 0"):
        assert [one for one in found if words in one], (words, found)
    facts = replace(host.facts(site), groups=())
    assert "there is no such volume group" in refusals(
        plan_prove(site, facts, proving(host, subject))
    )
    hole = Problem(what="volume groups", reason="vgs did not answer", hint="try: vgs")
    blind = plan_prove(site, replace(facts, problems=(hole,)), proving(host, subject))
    assert refusals(blind) == ["vgs did not answer"]
    host.tools.update({"restic": "", "fusermount3": ""})
    plan = plan_prove(site, host.facts(site), proving(host, subject))
    assert {one.subject for one in plan.refusals} == {"program restic", "program fusermount3"}
    assert plan.unready


def test_a_backup_of_something_else_is_refused() -> None:
    host, site, subject = site_with_backup()
    for xml, words in (("<x/>", "not <domain>"), ("", "can't be read")):
        wrong = replace(subject, xml=xml)
        assert [
            one for one in refusals(plan_prove(site, host.facts(site), proving(host, wrong)))
            if words in one
        ]  # fmt: skip


def test_names_that_are_too_long_for_lvm_are_refused() -> None:
    host, site, subject = site_with_backup()
    disk = replace(subject.manifest.disks[0], disk="d" * 120)
    long = replace(subject, manifest=replace(subject.manifest, disks=(disk,)))
    found = refusals(plan_prove(site, host.facts(site), proving(host, long)))
    assert [one for one in found if "name" in one], found


def test_a_guest_that_the_spec_does_not_have_any_more_is_proven_as_well() -> None:
    host, site, subject = site_with_backup()
    gone = replace(site, guests=())
    assert prove(host, gone, subject).proven


def test_small_and_large_disks_get_overlays_that_fit() -> None:
    host, site, subject = site_with_backup()
    plan = plan_prove(site, host.facts(site), proving(host, subject))
    sizes = [
        int(one.argv[one.argv.index("--size") + 1][:-1])
        for one in plan.steps[1].actions
        if getattr(one, "argv", ("",))[0] == "lvcreate"
    ]
    assert [size // (1 << 20) for size in sizes] == [420, 264]


def test_the_disk_of_a_definition_is_known_by_either_of_its_names() -> None:
    host, site, subject = site_with_backup()
    other = subject.xml.replace("/dev/rl_build/vm-web-data", "/dev/mapper/rl_build-vm--web--data")
    assert prove(host, site, replace(subject, xml=other)).proven
    assert a_backup(host, site).manifest.disks[0].source == "/dev/rl_build/vm-web"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("<source dev='/dev/vg/bigdata'/>", "not in the backup: /dev/vg/bigdata"),
        ("<source protocol='iscsi' name='iqn.x/1'/>", "not in the backup: iqn.x/1"),
        ("<source><slices/></source>", "not in the backup: a disk"),
        ("<source file='/srv/shared.img'/><shareable/>", ""),
        ("<source file='/srv/tools.img'/><readonly/>", ""),
        ("", ""),
    ],
)
def test_a_disk_that_is_in_no_backup_keeps_it_from_being_proven(kind: str, told: str) -> None:
    host, site, subject = site_with_backup()
    disk = f"<disk type='block'>{kind}<target dev='vdz'/></disk></devices>"
    proof = prove(host, site, replace(subject, xml=subject.xml.replace("</devices>", disk)))
    assert proof.proven is not bool(told)
    assert [one.detail for one in proof.rungs if one.name == "disks"] == [told] * bool(told)


def test_a_disk_or_variables_that_are_gone_have_a_verdict_and_nothing_is_started() -> None:
    for lost in ("data", "nvram.fd"):
        host, site, subject = site_with_backup()
        subject = replace(subject, manifest=replace(subject.manifest, nvram="nvram.fd"))
        assert prove(host, site, subject).proven
        if lost == "data":
            del host.proof.repository.objects[subject.manifest.disks[1].object]
        else:
            del host.proof.repository.objects[subject.entry.manifest][
                f"{subject.entry.path}/nvram.fd"
            ]
        proof = prove(host, site, subject, LATER)
        fell = [one.name for one in proof.rungs if not one.passed]
        disk = ["blocks-data", "partitions", "overlay-data", "filesystems"]
        first = disk if lost == "data" else ["variables"]
        assert fell == [*first, "start", "agent", "login", "mounts"]
        assert (proof.proven, proof.time) == (False, LATER)
        assert leftovers(host) == []


def test_when_it_was_last_proven_stays_known_until_it_is_proven_again() -> None:
    host, site, subject = site_with_backup()
    assert prove(host, site, subject).last_proven == ASKED
    host.proof.repository.damaged = True
    for later in (LATER, "2026-11-29T12:40:00Z"):
        proof = prove(host, site, subject, later)
        assert (proof.proven, proof.proven_before, proof.last_proven) == (False, ASKED, ASKED)
    host.proof.repository.damaged = False
    proof = prove(host, site, subject, "2026-11-30T12:40:00Z")
    assert (proof.proven, proof.proven_before) == (True, "")


def test_where_its_end_fails_in_one_place_only_the_overlays_stay_to_tell_of_it() -> None:
    host, site, subject = site_with_backup()
    step = plan_prove(site, host.facts(site), proving(host, subject)).steps[1]
    behind = step.finally_
    assert step.always[0].argv[:2] == ("virsh", "destroy")
    assert [one.argv[0] for one in behind] == ["lvremove", "lvs"] * 2


def test_a_slow_repository_has_the_time_that_a_restore_gives_it() -> None:
    host, site, subject = site_with_backup()
    disks = tuple(replace(one, size=Size(200 * GIB)) for one in subject.manifest.disks)
    large = replace(subject, manifest=replace(subject.manifest, disks=disks))
    (step,) = [
        one
        for one in plan_prove(site, host.facts(site), proving(host, large)).steps
        if one.what.startswith("compare")
    ]
    run = [action for action in step.actions if isinstance(action, Command)]
    told = [(one.progress, one.total_bytes) for one in run if "verify" in one.argv]
    assert told == [(Progress.BLOCKS, one.size.bytes) for one in disks]
    words = [one.argv for one in run]
    (unit,) = [one for argv in words for one in argv if "RuntimeMaxSec" in one]
    limits = [
        int(one.removeprefix("--limit="))
        for argv in words
        if "verify" in argv
        for one in argv
        if one.startswith("--limit=")
    ]
    assert [limit >= large.manifest.disks[0].size.bytes // 10**6 for limit in limits] == [True] * 2
    assert int(unit.rpartition("=")[2].rstrip("s")) >= sum(limits)


def test_what_shows_the_repository_stands_back_for_disks_too() -> None:
    host, site, subject = site_with_backup()
    reach(host, site, prover(host, subject))
    units = [one.argv for one in host.calls if "--service-type=exec" in one.argv]
    assert units
    assert all("--property=IOSchedulingClass=idle" in one for one in units)


def test_with_how_much_of_its_memory_it_was_started_is_told() -> None:
    host, site, subject = site_with_backup()
    assert plan_prove(site, host.facts(site), proving(host, subject)).notes == ()
    assert prove(host, site, subject).little == ""
    spare = 300 << 20
    wanted = site.guests[0].memory.bytes
    facts = host.facts(site)
    least = sum(one.memory.bytes for one in facts.domains) + site.host.memory_reserve.bytes
    host.memory = least + spare
    (note,) = plan_prove(site, host.facts(site), proving(host, subject, LATER)).notes
    told = f"{Size(spare)} of {Size(wanted)}"
    assert note.text.startswith(f"it is started with {told} of memory")
    assert prove(host, site, subject, LATER).little == told


@pytest.mark.parametrize(
    ("state", "reasons"),
    [(RepositoryState.READY, ["it was forgotten meanwhile"]), (RepositoryState.UNSEEN, [])],
)
def test_one_that_was_forgotten_while_others_were_waited_for_has_no_verdict(
    state: RepositoryState, reasons: list[str]
) -> None:
    host, site, subject = site_with_backup()
    other = replace(subject.entry, manifest="ee" * 32)
    listed = RepositoryFacts(name=Label("vault"), state=state, entries=(other,))
    asked = replace(proving(host, subject), listed=listed)
    plan = plan_prove(site, host.facts(site), asked)
    assert [one.reason for one in plan.refusals] == reasons
    there = replace(listed, state=RepositoryState.READY, entries=(other, subject.entry))
    assert plan_prove(site, host.facts(site), replace(asked, listed=there)).refusals == ()


def test_what_a_look_into_filesystems_writes_goes_to_overlays_of_its_own() -> None:
    host, site, subject = site_with_backup()
    assert prove(host, site, subject).proven
    lines = [" ".join(one.argv) for one in host.calls if " rung " in " ".join(one.argv)]
    order = [
        word
        for line in lines
        for word in ("--ro", "--rw", "qemu-img", "virsh create")
        if f" {word} " in line
    ]
    assert order == ["--ro", *["qemu-img"] * 2, "--rw", *["qemu-img"] * 2, "virsh create"]
    (look,) = [line for line in lines if " --rw " in line]
    assert look.endswith(
        "-a /dev/rl_build/kvmkeep-proof-web-root -a /dev/rl_build/kvmkeep-proof-web-data"
    )
