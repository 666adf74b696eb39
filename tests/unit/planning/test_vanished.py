"""What this host has made, compared with what its repositories list."""

from __future__ import annotations

from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.backup import (
    BackupEntry,
    BackupFacts,
    LastBackup,
    RepositoryFacts,
    RepositoryState,
    VanishedBackup,
)
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Step
from kvmkeep.model.units import GuestName, Size
from kvmkeep.planning.backups.forget import Forgetting, plan_forget
from kvmkeep.planning.backups.vanished import (
    forget_memos,
    let_go_steps,
    noticing_steps,
    vanished,
    vanished_notes,
)
from tests.unit.planning.build import HOST, POLICY, VAULT, guest, spec

NOW = "2026-11-28T12:00:00+00:00"
OLD, LAST = "20261126T0000Z", "20261127T0000Z"
WEB = guest(backup=POLICY)
SPEC = spec(WEB, guest("db"), repositories=(VAULT,))
MEMO = LastBackup(identity="web", repository="vault", moment=LAST, level="frozen")
MARK = VanishedBackup(identity="web", repository="vault", moment=LAST, noticed=NOW)


def entry(moment: str, **changes: object) -> BackupEntry:
    made = BackupEntry(
        repository="vault", guest="web", identity="web", moment=moment, level="frozen",
        manifest=f"manifest-{moment}", path="/x", time="", host=HOST, size=Size(0), added=Size(1),
        disks=(),
    )  # fmt: skip
    return replace(made, **changes)


def facts(
    *moments: str, state: RepositoryState = RepositoryState.READY, **changes: object
) -> Facts:
    vault = RepositoryFacts(name="vault", state=state, entries=tuple(map(entry, moments)))
    known = replace(BackupFacts(repositories=(vault,)), **changes)
    return replace(FakeHost().facts(None), backups=known)


def lines(steps: tuple[Step, ...]) -> list[str]:
    return [str(getattr(action, "path", action)) for step in steps for action in step.actions]


def test_the_last_backup_has_to_be_listed() -> None:
    def gone(found: Facts) -> tuple[VanishedBackup, ...]:
        return vanished(found.backups, found.backups.repositories, NOW)

    assert gone(facts(OLD, LAST, last=(MEMO,))) == ()
    assert gone(facts(OLD, last=(MEMO,))) == (MARK,)
    assert gone(facts(OLD, last=(replace(MEMO, repository="other"),))) == ()
    assert gone(facts(state=RepositoryState.ABSENT, last=(MEMO,))) == ()
    earlier = replace(MARK, noticed="2026-11-27T12:00:00+00:00")
    assert gone(facts(OLD, last=(MEMO,), vanished=(earlier,))) == (earlier,)
    of_another = replace(MEMO, identity="db")
    assert gone(facts(LAST, last=(of_another,))) == (replace(MARK, identity="db"),)


def test_only_guests_of_the_spec_are_missed_anything_of() -> None:
    stranger = replace(MEMO, identity="stranger")
    found = facts(OLD, last=(stranger, MEMO))
    (note,) = vanished_notes(SPEC, found)
    assert note.subject == "guest web"
    assert lines(noticing_steps(SPEC, found, NOW)) == ["/var/lib/kvmkeep/backups/web.vanished"]


def test_it_is_noted_once_and_a_later_one_takes_the_place() -> None:
    assert noticing_steps(SPEC, facts(OLD, last=(MEMO,), vanished=(MARK,)), NOW) == ()
    later = replace(MEMO, moment="20261128T0000Z")
    assert noticing_steps(SPEC, facts(OLD, last=(later,), vanished=(MARK,)), NOW) != ()


def test_what_is_listed_again_is_missed_no_more_and_what_can_not_be_seen_stays() -> None:
    removed = "rm --force -- /var/lib/kvmkeep/backups/web.vanished"
    assert lines(noticing_steps(SPEC, facts(LAST, vanished=(MARK,)), NOW)) == [removed]
    unseen = facts(state=RepositoryState.UNSEEN, vanished=(MARK,))
    assert noticing_steps(SPEC, unseen, NOW) == ()


def test_one_that_is_listed_again_does_not_take_away_the_note_of_a_later_one() -> None:
    later = replace(MEMO, moment="20261128T0000Z")
    found = facts(LAST, last=(later,), vanished=(MARK,))
    note = "/var/lib/kvmkeep/backups/web.vanished"
    assert lines(noticing_steps(SPEC, found, NOW)) == [note]


def test_what_is_let_go() -> None:
    def let_go(found: Facts, moment: str = LAST, name: str = "web") -> list[str]:
        (seen,) = found.backups.repositories
        return lines(let_go_steps(SPEC, found, seen, GuestName(name), moment))

    memo, mark = (
        f"rm --force -- /var/lib/kvmkeep/backups/web.{end}" for end in ("json", "vanished")
    )
    newer = replace(MEMO, moment="20261128T0000Z")
    assert let_go(facts(OLD, last=(MEMO,))) == [memo]
    assert let_go(facts(OLD, last=(MEMO,), vanished=(MARK,))) == [memo, mark]
    assert let_go(facts("20261128T0000Z", last=(newer,), vanished=(MARK,))) == [mark]
    assert let_go(facts(OLD, last=(newer,), vanished=(MARK,)), "20261128T0000Z") == [memo]
    assert let_go(facts(OLD, last=(MEMO,)), OLD) == []
    assert let_go(facts(LAST, last=(MEMO,))) == []
    assert let_go(facts(last=(replace(MEMO, identity="old"),)), name="old") == [
        "rm --force -- /var/lib/kvmkeep/backups/old.json"
    ]


def test_what_we_forget_ourselves_is_forgotten_here_first() -> None:
    """The last of a guest that is no more may go."""
    found = facts(OLD, LAST, last=(MEMO,))
    wish = Forgetting(guests=(GuestName("web"),), now=NOW, moment=LAST)
    (first,) = plan_forget(spec(guest("db"), repositories=(VAULT,)), found, wish).steps
    assert lines((first,))[0] == "rm --force -- /var/lib/kvmkeep/backups/web.json"
    assert lines((first,))[-1].endswith(f"forget -- manifest-{LAST}")
    assert forget_memos(found, "vault", "web", (OLD,)) == ()
    assert forget_memos(found, "other", "web", (LAST,)) == ()


def test_what_no_listing_can_tell_of_any_more_can_be_let_go() -> None:
    wish = Forgetting(guests=(GuestName("web"),), now=NOW, moment=LAST)
    memo, mark = (
        f"rm --force -- /var/lib/kvmkeep/backups/web.{end}" for end in ("json", "vanished")
    )
    left = facts(last=(MEMO,), vanished=(MARK,), repositories=())
    assert lines(plan_forget(spec(WEB), left, wish).steps) == [memo, mark]
    assert plan_forget(spec(WEB), left, replace(wish, moment=OLD)).steps == ()
    down = facts(state=RepositoryState.UNSEEN, vanished=(MARK,))
    plan = plan_forget(SPEC, down, wish)
    assert (lines(plan.steps), len(plan.refusals)) == ([mark], 1)
    assert mark not in lines(plan_forget(SPEC, facts(OLD, LAST, vanished=(MARK,)), wish).steps)


def test_what_is_gone_from_an_append_only_repository_can_be_let_go_as_well() -> None:
    closed = spec(WEB, repositories=(replace(VAULT, append_only=True),))
    wish = Forgetting(guests=(GuestName("web"),), now=NOW, moment=LAST)
    plan = plan_forget(closed, facts(OLD, last=(MEMO,)), wish)
    assert plan.refusals == ()
    assert lines(plan.steps) == ["rm --force -- /var/lib/kvmkeep/backups/web.json"]
