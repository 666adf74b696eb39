"""Backups forgotten by rules or by name, repositories pruned and checked, and whose turn it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.backup import (
    BackupEntry,
    BackupFacts,
    Fragment,
    LastBackup,
    Part,
    RepositoryFacts,
    RepositoryState,
    StoredDisk,
    Upkeep,
    parse_part,
)
from kvmkeep.model.backup_policy import Engine, Keep
from kvmkeep.model.command import WriteFile
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Plan
from kvmkeep.model.proof import Proof
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.planning.backups.due import due_backups, due_proofs
from kvmkeep.planning.backups.forget import Forgetting, plan_forget, unusable
from kvmkeep.planning.backups.memo import missing_memo_steps
from kvmkeep.planning.backups.rebuild import last_backups, outdone
from kvmkeep.planning.backups.upkeep import passed_over, plan_prune, plan_verify
from tests.unit.planning.build import HOST, POLICY, VAULT, guest, spec

ONE = replace(POLICY, keep=Keep(last=1, daily=0, weekly=0, monthly=0))
WEB = guest(backup=ONE)
SPEC = spec(WEB, guest("db"), repositories=(VAULT,))
WISH = Forgetting(guests=(GuestName("web"),), now="2026-11-27T12:00:00+00:00")
OLD, MIDDLE, LAST = "20261125T0000Z", "20261126T0000Z", "20261127T0000Z"


def entry(moment: str, **changes: object) -> BackupEntry:
    disk = StoredDisk(disk="root", object=f"disk-{moment}", path="/web-root.raw", size=Size(1))
    made = BackupEntry(
        repository="vault", guest="web", identity="web", moment=moment, level="frozen",
        manifest=f"manifest-{moment}", path="/x", time="", host=HOST, size=Size(1), added=Size(1),
        disks=(disk,),
    )  # fmt: skip
    return replace(made, **changes)


def proof(moment: str, *, proven: bool = True, time: str = "2026-11-26T06:00:00Z") -> Proof:
    return Proof(
        repository="vault", guest="web", moment=moment, time=time, proven=proven, rungs=()
    )  # fmt: skip


THREE = (entry(OLD), entry(MIDDLE), entry(LAST))


def facts(
    *entries: BackupEntry,
    state: RepositoryState = RepositoryState.READY,
    fragments: tuple[Fragment, ...] = (),
    **changes: object,
) -> Facts:
    vault = RepositoryFacts(name="vault", state=state, entries=entries, fragments=fragments)
    known = replace(BackupFacts(repositories=(vault,)), **changes)
    return replace(FakeHost().facts(None), backups=known)


def commands(plan: Plan) -> list[str]:
    """Return what is run, without the beginning that all lines share."""
    lines = (str(action) for step in plan.steps for action in step.actions)
    return [line.partition("--cache-dir=/var/cache/kvmkeep/restic ")[2] or line for line in lines]


def test_manifests_go_first_and_then_their_disks() -> None:
    plan = plan_forget(SPEC, facts(*THREE), WISH)
    assert plan.refusals == ()
    (step,) = plan.certain
    assert step.what == f"forget 2 of its backups in repository vault: {OLD}, {MIDDLE}"
    assert commands(plan) == [
        "unlock",
        f"forget -- manifest-{OLD} manifest-{MIDDLE}",
        "unlock",
        f"forget -- disk-{OLD} disk-{MIDDLE}",
    ]
    without = plan_forget(SPEC, facts(entry(OLD, disks=()), entry(LAST)), WISH)
    assert commands(without) == ["unlock", f"forget -- manifest-{OLD}"]


@pytest.mark.parametrize("state", [RepositoryState.UNSEEN, RepositoryState.ABSENT])
def test_a_repository_that_cannot_be_used_keeps_no_other_from_forgetting(
    state: RepositoryState,
) -> None:
    attic = replace(VAULT, name=Label("attic"), url="/srv/attic")
    both = spec(WEB, guest("db"), repositories=(attic, VAULT))
    known = facts(*THREE)
    lost = RepositoryFacts(name="attic", state=state)
    known = replace(known, backups=replace(known.backups, repositories=(
        lost, *known.backups.repositories
    )))  # fmt: skip
    (trouble,) = unusable(both, known)
    plan = plan_forget(both, known, replace(WISH, several=True))
    assert (len(plan.certain), plan.refusals, plan.notes) == (1, (), (trouble.note,))
    # Who names guests is told that not all of it can be done.
    assert plan_forget(both, known, WISH).refusals == (trouble,)
    alone = replace(known, backups=replace(known.backups, repositories=(lost,)))
    assert plan_forget(both, alone, replace(WISH, several=True)).refusals == (trouble,)


def test_the_last_that_is_proven_stays() -> None:
    known = facts(*THREE, proofs=(proof(OLD), proof(MIDDLE, proven=False)))
    (step,) = plan_forget(SPEC, known, WISH).certain
    assert step.what.endswith(f"vault: {MIDDLE}")
    elsewhere = facts(*THREE, proofs=(replace(proof(OLD), repository="attic"),))
    (step,) = plan_forget(SPEC, elsewhere, WISH).certain
    assert step.what.endswith(f"{OLD}, {MIDDLE}")


def test_verdicts_on_backups_that_are_gone_go_as_well_but_for_the_last() -> None:
    gone, failed = proof("20261101T0000Z"), proof("20261102T0000Z", proven=False)
    proofs = (gone, proof(LAST), failed, replace(gone, repository="attic"))
    kept = facts(entry(LAST), proofs=proofs, last=(last("web", LAST),))
    (step,) = plan_forget(SPEC, kept, WISH).steps
    assert step.what == "remove 2 verdicts on backups that are forgotten"
    (line,) = commands(plan_forget(SPEC, kept, WISH))
    place = "/var/lib/kvmkeep/proofs/web/2026110"
    assert line == (
        f"rm --force -- {place}1T0000Z.json {place}1T0000Z.screen "
        f"{place}2T0000Z.json {place}2T0000Z.screen"
    )
    newest = replace(kept, backups=replace(kept.backups, proofs=(gone, failed)))
    (line,) = commands(plan_forget(SPEC, newest, WISH))
    assert "20261102T" not in line, "what is known to fail stays told"
    for known in ((), (last("web", "20261126T0000Z"),)):
        other = replace(kept, backups=replace(kept.backups, last=known))
        assert plan_forget(SPEC, other, WISH).steps == (), "it may be another repository"


def test_caches_of_killed_checks_are_removed_before_the_next_one() -> None:
    caches = ("/var/cache/kvmkeep/restic/restic-check-cache-1",)
    (step,) = plan_verify(SPEC, facts(caches=caches), "now", 0).steps
    lines = [str(action) for action in step.actions]
    assert lines[1] == f"rm --recursive --force -- {caches[0]}"
    assert "check --no-lock" in lines[2]


def test_nothing_is_deleted_from_a_repository_that_is_append_only() -> None:
    closed = spec(WEB, guest("db"), repositories=(replace(VAULT, append_only=True),))
    plan = plan_forget(closed, facts(*THREE), WISH)
    assert (plan.steps, plan.refusals) == ((), ())
    (note,) = plan.notes
    assert (note.subject, "2 of its backups stay longer" in note.text) == ("repository vault", True)
    assert plan_forget(closed, facts(entry(LAST)), WISH).notes == ()
    (refusal,) = plan_forget(closed, facts(*THREE), replace(WISH, moment=OLD)).refusals
    assert refusal.subject == f"backup web@{OLD}"
    assert refusal.reason == "repository vault is append-only"
    assert "append_only: false" in refusal.hint
    assert plan_forget(closed, facts(*THREE), replace(WISH, moment="20200101T0000Z")).empty
    pruned = plan_prune(closed, facts(*THREE), WISH.now)
    assert (pruned.steps, pruned.refusals) == ((), ())
    assert pruned.notes[0].text.startswith("it is append-only, so nothing is deleted there")
    assert plan_prune(SPEC, facts(*THREE), WISH.now).notes == ()


def test_only_what_this_host_made_of_guests_of_the_spec_is_forgotten() -> None:
    others = (
        entry("20250101T0000Z", host="other.example.org"),
        entry("20250102T0000Z", guest="gone", identity="gone"),
        entry("20250103T0000Z", guest="db", identity="db"),
    )
    whole = replace(WISH, guests=(GuestName("web"), GuestName("db"), GuestName("gone")))
    assert plan_forget(SPEC, facts(*others, entry(LAST)), whole).empty
    renamed = entry(OLD, guest="www")
    (step,) = plan_forget(SPEC, facts(renamed, entry(LAST)), WISH).certain
    assert step.what.endswith(f"vault: {OLD}")


def test_what_a_killed_run_left_goes_as_well() -> None:
    disk = StoredDisk(disk="root", object="torn", path="/web-root.raw", size=Size(1))
    torn = Fragment(repository="vault", host=HOST, guest="web", moment=OLD, disks=(disk,))
    strange = replace(torn, guest="gone")
    sending = replace(torn, host="other.example.org")  # perhaps another host just stores it
    plan = plan_forget(SPEC, facts(entry(LAST), fragments=(torn, strange, sending)), WISH)
    assert commands(plan) == ["unlock", "forget -- torn"]
    named = plan_forget(SPEC, facts(entry(LAST), fragments=(torn,)), replace(WISH, moment=OLD))
    assert commands(named) == ["unlock", "forget -- torn"]
    other = replace(WISH, moment=MIDDLE)
    assert plan_forget(SPEC, facts(entry(LAST), fragments=(torn,)), other).empty


def torn(guest_name: str, identity: str, **changes: object) -> Fragment:
    disk = StoredDisk(disk="root", object=f"{guest_name}-{identity}", path="/x", size=Size(1))
    made = Fragment(
        repository="vault", host=HOST, guest=guest_name, moment=OLD, disks=(disk,),
        identity=identity,
    )  # fmt: skip
    return replace(made, **changes)


SHOP = guest("shop", identity=GuestName("web"), backup=ONE)
RENAMED = spec(SHOP, guest("db"), repositories=(VAULT,))


@pytest.mark.parametrize("moment", ["", OLD])
@pytest.mark.parametrize(
    ("fragment", "goes"),
    [
        (torn("web", "web"), True),
        (torn("shop", "web"), True),
        (torn("between", "web"), True),
        (torn("shop", "shop"), False),  # another guest once had the name
        (torn("gone", "gone"), False),
        (torn("db", "db"), False),
        (torn("web", "web", host="other.example.org"), False),
        # Older disks tell no identity.
        (torn("web", ""), True),
        (torn("shop", ""), True),
        (torn("between", ""), False),
        (torn("db", ""), False),
    ],
)
def test_what_a_killed_run_left_is_known_by_the_identity_of_its_guest(
    moment: str, fragment: Fragment, *, goes: bool
) -> None:
    wish = replace(WISH, guests=(GuestName("shop"),), moment=moment)
    plan = plan_forget(RENAMED, facts(entry(LAST), fragments=(fragment,)), wish)
    (disk,) = fragment.disks
    assert commands(plan) == (["unlock", f"forget -- {disk.object}"] if goes else [])


def test_of_two_guests_an_older_disk_is_of_the_one_that_has_its_name_now() -> None:
    both = spec(SHOP, guest(identity=GuestName("web-2"), backup=ONE), repositories=(VAULT,))
    known = facts(entry(LAST), fragments=(torn("web", ""), torn("web", "web", moment=MIDDLE)))
    assert commands(plan_forget(both, known, WISH)) == ["unlock", "forget -- web-"]
    shop = replace(WISH, guests=(GuestName("shop"),))
    assert commands(plan_forget(both, known, shop)) == ["unlock", "forget -- web-web"]


def test_what_a_killed_run_left_of_a_guest_that_is_no_more_goes_by_its_name_alone() -> None:
    known = facts(entry(LAST), fragments=(torn("gone", "was"),))
    wish = replace(WISH, guests=(GuestName("gone"),), moment=OLD)
    assert commands(plan_forget(RENAMED, known, wish)) == ["unlock", "forget -- gone-was"]
    assert plan_forget(RENAMED, known, replace(wish, guests=(GuestName("was"),))).empty


def test_one_that_is_named() -> None:
    named = replace(WISH, moment=OLD)
    known = facts(*THREE, entry(OLD, guest="db", identity="db"))
    assert commands(plan_forget(SPEC, known, named)) == [
        "unlock",
        f"forget -- manifest-{OLD}",
        "unlock",
        f"forget -- disk-{OLD}",
    ]
    assert plan_forget(SPEC, facts(entry(LAST)), named).empty


@pytest.mark.parametrize(
    ("moment", "proofs", "told"),
    [
        (LAST, (), "it is the last one that repository vault has"),
        (OLD, (proof(OLD),), "it is the last one that is known to start"),
    ],
)
def test_what_nothing_else_stands_for_is_not_forgotten(
    moment: str, proofs: tuple[Proof, ...], told: str
) -> None:
    known = facts(*THREE, proofs=proofs)
    (refusal,) = plan_forget(SPEC, known, replace(WISH, moment=moment)).refusals
    assert refusal.subject == f"backup web@{moment}"
    assert told in refusal.reason
    assert "kvmkeep backup" in refusal.hint


def test_one_that_did_not_hold_when_it_was_tried_again_is_not_forgotten() -> None:
    doubted = replace(proof(MIDDLE, proven=False), proven_before="2026-11-25T06:00:00Z")
    known = facts(*THREE, proofs=(proof(OLD), doubted))
    assert plan_forget(SPEC, known, WISH).steps == ()
    for moment in (OLD, MIDDLE):
        (refusal,) = plan_forget(SPEC, known, replace(WISH, moment=moment)).refusals
        assert "the last one that is known to start" in refusal.reason


def test_one_that_lacks_a_disk_stands_for_nothing_and_may_go() -> None:
    broken = entry(LAST, whole=False)
    known = facts(entry(OLD), entry(MIDDLE), broken, proofs=(proof(OLD), proof(LAST)))
    assert len(plan_forget(SPEC, known, replace(WISH, moment=LAST)).certain) == 1
    for moment in (MIDDLE, OLD):
        assert plan_forget(SPEC, known, replace(WISH, moment=moment)).refusals != ()


def test_what_comes_from_the_future_stands_for_nothing_and_may_go() -> None:
    future = "20360101T0000Z"
    known = facts(*THREE, entry(future), proofs=(proof(OLD), proof(future)))
    assert len(plan_forget(SPEC, known, replace(WISH, moment=future)).certain) == 1
    for moment in (LAST, OLD):
        assert plan_forget(SPEC, known, replace(WISH, moment=moment)).refusals != ()


def test_a_guest_of_that_name_on_another_host_stands_for_nothing_of_ours() -> None:
    known = facts(entry(MIDDLE), entry(LAST, host="other.example.org", manifest="other"))
    (refusal,) = plan_forget(SPEC, known, replace(WISH, moment=MIDDLE)).refusals
    assert "it is the last one that repository vault has" in refusal.reason


ATTIC = replace(VAULT, name=Label("attic"), url="/srv/attic")
NEW = "20261130T0000Z"


def moved(*proven: str) -> tuple[Spec, Facts]:
    """Return a guest that is backed up to attic since NEW, and to vault before."""
    wanted = guest(backup=replace(ONE, repository=ATTIC.name))
    proofs = (proof(MIDDLE), *(replace(proof(one), repository="attic") for one in proven))
    known = facts(*THREE, proofs=proofs)
    attic = RepositoryFacts(
        name="attic", state=RepositoryState.READY, entries=(entry(NEW, repository="attic"),)
    )
    backups = replace(known.backups, repositories=(*known.backups.repositories, attic))
    return spec(wanted, repositories=(VAULT, ATTIC)), replace(known, backups=backups)


LATER = replace(WISH, now="2026-12-31T12:00:00+00:00")


def test_what_the_present_repository_has_stands_for_what_the_one_before_has() -> None:
    unproven, proven = moved(), moved(NEW)
    assert plan_forget(*unproven, replace(LATER, moment=LAST)).refusals == ()
    (refusal,) = plan_forget(*unproven, replace(LATER, moment=MIDDLE)).refusals
    assert "known to start" in refusal.reason
    for moment in (OLD, MIDDLE, LAST):
        plan = plan_forget(*proven, replace(LATER, moment=moment))
        assert (len(plan.certain), plan.refusals) == (1, ())
    (last_of_all,) = plan_forget(*proven, replace(LATER, moment=NEW)).refusals
    assert "the last one that repository vault, attic has" in last_of_all.reason


def test_of_one_repository_alone_nobody_knows_what_stands_for_it() -> None:
    wanted, known = moved(NEW)
    alone = replace(known.backups, repositories=known.backups.repositories[:1])
    wish = replace(LATER, moment=LAST, named=("vault",))
    (refusal,) = plan_forget(wanted, replace(known, backups=alone), wish).refusals
    assert refusal.hint.startswith("leave --repository out; or make a newer one first")


def test_what_a_guest_has_where_it_was_backed_up_before_goes_once_that_is_named() -> None:
    wanted, known = moved(NEW)
    plan = plan_forget(wanted, known, LATER)
    assert plan.steps == ()
    (note,) = plan.notes
    assert note.text.startswith("repository vault has 3 of its backups, which stay there")
    assert note.text.endswith("kvmkeep backup forget web --repository vault")
    (step,) = plan_forget(wanted, known, replace(LATER, named=("vault",))).certain
    assert step.what == f"forget 1 of its backups in repository vault: {OLD}"


def test_of_a_guest_that_is_not_backed_up_any_more_the_last_one_may_go() -> None:
    off = spec(guest("web"), repositories=(VAULT,))
    known = facts(*THREE, proofs=(proof(MIDDLE),))
    (note,) = plan_forget(off, known, WISH).notes
    assert note.text.endswith("they go one by one: kvmkeep backup forget web@TIME")
    assert plan_forget(off, facts(), WISH).notes == ()
    assert plan_forget(off, known, replace(WISH, moment=LAST)).refusals == ()
    (refusal,) = plan_forget(off, known, replace(WISH, moment=MIDDLE)).refusals
    assert "known to start" in refusal.reason
    alone = facts(entry(MIDDLE), proofs=(proof(MIDDLE),))
    assert plan_forget(off, alone, replace(WISH, moment=MIDDLE)).refusals == ()


def test_of_a_guest_that_is_no_more_even_the_last_one_may_go() -> None:
    gone = entry(LAST, guest="gone", identity="gone")
    wish = replace(WISH, guests=(GuestName("gone"),), moment=LAST)
    plan = plan_forget(SPEC, facts(gone), wish)
    assert (len(plan.certain), plan.refusals) == (1, ())


def test_a_repository_that_can_not_be_used_is_refused() -> None:
    known = facts(*THREE, state=RepositoryState.WRONG_PASSWORD)
    for plan in (
        plan_forget(SPEC, known, WISH),
        plan_prune(SPEC, known, "now"),
        plan_verify(SPEC, known, "now", 0),
    ):
        (refusal,) = plan.refusals
        assert "is not its password" in refusal.reason


def prune(wanted: Spec, known: Facts) -> Plan:
    return plan_prune(wanted, known, "2026-11-27T12:00:00+00:00")


def test_a_repository_that_lists_nothing_and_should_is_not_pruned() -> None:
    last = LastBackup(identity="web", repository="vault", moment=LAST, level="off")
    (refusal,) = prune(SPEC, facts(last=(last,))).refusals
    assert refusal.reason == "it lists nothing, though the last backup of web went there"
    assert prune(SPEC, facts(entry(OLD), last=(last,))).refusals == ()
    elsewhere = replace(last, repository="other")
    assert prune(SPEC, facts(last=(elsewhere,))).refusals == ()
    assert plan_verify(SPEC, facts(last=(last,)), "now", 0).refusals == ()


def test_one_that_can_not_be_used_keeps_no_other_waiting() -> None:
    attic = replace(VAULT, name=Label("attic"), url="/srv/attic")
    both = replace(SPEC, repositories=(VAULT, attic))
    last = LastBackup(identity="web", repository="vault", moment=LAST, level="off")
    known = facts(last=(last,))
    fine = RepositoryFacts(name="attic", state=RepositoryState.READY)
    seen = (*known.backups.repositories, fine)
    emptied = replace(known, backups=replace(known.backups, repositories=seen))
    plan = prune(both, emptied)
    assert plan.refusals == ()
    assert [(step.subject, step.isolated) for step in plan.steps] == [
        ("guest web", False),
        ("repository attic", False),
    ]
    assert [note.subject for note in plan.notes] == ["guest web", "repository vault"]
    assert [one.note for one in passed_over(both, emptied, pruning=True)] == [*plan.notes[1:]]
    checks = plan_verify(both, emptied, "now", 0).steps[1:]
    assert [step.isolated for step in checks] == [True, True]
    lost = replace(known.backups.repositories[0], state=RepositoryState.UNSEEN, said="no route")
    away = replace(known, backups=replace(known.backups, repositories=(lost, fine)))
    for plan in (prune(both, away), plan_verify(both, away, "now", 0)):
        assert (plan.refusals, [one.subject for one in plan.steps]) == ((), ["repository attic"])
        assert "no route" in plan.notes[0].text
    gone = replace(fine, state=RepositoryState.ABSENT)
    away = replace(known, backups=replace(known.backups, repositories=(lost, gone)))
    assert len(prune(both, away).refusals) == 2


def test_of_an_append_only_one_that_lists_nothing_nobody_fears_a_prune() -> None:
    closed = replace(SPEC, repositories=(replace(VAULT, append_only=True),))
    last = LastBackup(identity="web", repository="vault", moment=LAST, level="off")
    plan = prune(closed, facts(last=(last,)))
    assert (plan.refusals, [note.subject for note in plan.notes]) == (
        (),
        ["guest web", "repository vault"],
    )
    assert [step.what for step in plan.steps] == [
        f"note that repository vault does not list {LAST} any more"
    ]


def test_upkeep_is_done_once_for_each_wish() -> None:
    assert commands(prune(SPEC, facts()))[:2] == ["unlock", "prune"]
    done = Upkeep(repository="vault", pruned="2026-11-27T12:00:00+00:00", verified="now")
    assert prune(SPEC, facts(upkeep=(done,))).empty
    of_another = replace(done, repository="attic")
    assert prune(SPEC, facts(upkeep=(of_another,))).steps
    assert plan_verify(SPEC, facts(upkeep=(of_another,)), "now", 5).steps
    # A clock that was wrong keeps nothing from being done.
    future = replace(done, pruned="2036-11-27T12:00:00+00:00")
    assert not prune(SPEC, facts(upkeep=(future,))).empty
    assert plan_verify(SPEC, facts(upkeep=(done,)), "now", 5).empty
    assert commands(plan_verify(SPEC, facts(), "now", 0))[1] == "check --no-lock"


def verified(known: Facts, percent: int) -> tuple[str, str, bytes]:
    """Return what is said to be read, how the engine is asked, and what is remembered."""
    (step,) = plan_verify(SPEC, known, "now", percent).steps
    (begun, check, memo) = step.actions
    assert isinstance(begun, WriteFile)
    assert (begun.path, begun.content) == ("/var/lib/kvmkeep/backups/vault.begun", b"now\n")
    assert isinstance(memo, WriteFile)
    assert memo.path == "/var/lib/kvmkeep/backups/vault.verified"
    told = step.what.removeprefix("have the engine check what it has")
    return told, str(check).partition("--no-lock")[2].strip(), memo.content


def test_parts_of_the_data_are_read_in_turn_until_all_of_it_was_read() -> None:
    parts: tuple[Part, ...] = ()
    read: list[str] = []
    for _ in range(21):
        known = facts(upkeep=(Upkeep(repository="vault", verified="before", parts=parts),))
        told, words, memo = verified(known, 5)
        part = parse_part(memo.decode().splitlines()[1])
        assert told == f", and read part {part.number} of 20 of the data"
        parts = (part,)
        read.append(words.removeprefix("--read-data-subset="))
    assert read == [*(f"{number}/20" for number in range(1, 21)), "1/20"]


def test_who_reads_another_part_in_between_does_not_begin_anew() -> None:
    parts = (Part(number=7, of=20),)
    known = facts(upkeep=(Upkeep(repository="vault", parts=parts),))
    assert verified(known, 0) == ("", "", b"now\n7/20\n")
    assert verified(known, 100) == (
        ", and read all of the data", "--read-data-subset=1/1", b"now\n7/20\n"
    )  # fmt: skip
    assert verified(known, 60) == verified(known, 100)
    assert verified(known, 30) == (
        ", and read part 1 of 3 of the data", "--read-data-subset=1/3", b"now\n7/20\n1/3\n",
    )  # fmt: skip
    assert verified(known, 5)[2] == b"now\n8/20\n"


def test_an_engine_that_reads_no_parts_is_said_to_read_all() -> None:
    wanted = spec(WEB, repositories=(replace(VAULT, engine=Engine.BORG),))
    (step,) = plan_verify(wanted, facts(), "now", 5).steps
    assert step.what == "have the engine check what it has, and read all of the data"
    (*_, memo) = step.actions
    assert isinstance(memo, WriteFile)
    assert memo.content == b"now\n"


def test_the_last_backup_is_remembered_if_it_is_not_yet() -> None:
    last = LastBackup(identity="www", repository="vault", moment=LAST, level="frozen")
    (step,) = missing_memo_steps(facts(), "web", last)
    assert (step.subject, step.what) == ("guest web", f"remember that {LAST} is its last backup")
    assert missing_memo_steps(facts(last=(last,)), "web", last) == ()
    assert missing_memo_steps(facts(last=(last,)), "web", replace(last, since=OLD)) == ()


NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)  # a Friday


def test_a_guest_that_was_renamed_comes_back_once_and_under_its_last_name() -> None:
    before, after = entry(LAST), entry("20261127T0100Z", guest="shop")
    old, other = entry(OLD), entry(MIDDLE, guest="db", identity="db")
    known = (after, old, other, before, entry(LAST, guest="far", host="other.example.org"))
    assert last_backups(known, HOST, NOW) == {"shop": after, "db": other}
    # Another guest may have the name that it had.
    new = entry("20261127T0200Z", identity="web-2")
    assert last_backups((*known, new), HOST, NOW) == {"shop": after, "db": other, "web": new}
    gone = entry(OLD, guest="shop", identity="shop")
    assert last_backups((*known, gone), HOST, NOW) == {"shop": after, "db": other}
    # Nor does one go in silence whose name another one has by now.
    assert outdone((after, old, other, gone), NOW) == (gone,)
    assert outdone((after, old, other, before, new), NOW) == ()


def last(identity: str, moment: str) -> LastBackup:
    return LastBackup(identity=identity, repository="vault", moment=moment, level="frozen")


def test_whose_schedule_has_come_is_due_and_the_oldest_goes_first() -> None:
    wanted = spec(
        WEB, guest("db", backup=POLICY), guest("new", backup=POLICY), guest("plain"),
        guest("rare", backup=replace(POLICY, schedule="Mon *-02-29")), repositories=(VAULT,),
    )  # fmt: skip
    known = BackupFacts(
        last=(last("web", "20261126T2359Z"), last("db", "20261101T0000Z"), last("rare", OLD))
    )
    assert due_backups(wanted, known, NOW) == ("new", "db", "web")
    fresh = BackupFacts(last=tuple(last(name, LAST) for name in ("web", "db", "new", "rare")))
    assert due_backups(wanted, fresh, NOW) == ()
    future = BackupFacts(last=(last("web", "20300101T0000Z"),))
    assert "web" in due_backups(wanted, future, NOW)


def test_whose_proof_is_due() -> None:
    wanted = spec(WEB, guest("db", backup=POLICY), guest("plain"), repositories=(VAULT,))
    nothing = BackupFacts()
    assert due_proofs(wanted, nothing, NOW) == ()
    known = BackupFacts(last=(last("web", LAST), last("db", LAST)))
    assert due_proofs(wanted, known, NOW) == ("db", "web")
    known = replace(known, proofs=(proof(OLD, time="2026-11-22T06:00:00Z"),))
    assert due_proofs(wanted, known, NOW) == ("db", "web")
    known = replace(known, proofs=(proof(OLD, time="2026-11-23T06:00:00Z"),))
    assert due_proofs(wanted, known, NOW) == ("db",)


def test_a_proof_in_the_repository_of_before_does_not_count() -> None:
    wanted = spec(WEB, guest("db"), repositories=(VAULT,))
    proofs = (proof(OLD, time="2026-11-26T06:00:00Z"),)
    known = BackupFacts(last=(replace(last("web", LAST), repository="attic"),), proofs=proofs)
    assert due_proofs(wanted, known, NOW) == ("web",)
    there = replace(known, proofs=(*proofs, replace(proof(MIDDLE), repository="attic")))
    assert due_proofs(wanted, there, NOW) == ()
