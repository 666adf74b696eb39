"""Since when a guest waits for its first backup."""

from __future__ import annotations

from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.backup import AwaitedBackup, LastBackup
from kvmkeep.model.facts import Facts, Problem
from kvmkeep.model.host_units import BACKUP_TIMER, HostUnits, UnitFile
from kvmkeep.model.names import BACKUP_MEMO_DIR
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.planning.backups.awaited import awaiting_steps
from kvmkeep.planning.running.watch import plan_look_after
from tests.unit.planning.build import POLICY, VAULT, guest, spec
from tests.unit.planning.rounds import reach

WANTED = spec(guest("web", backup=POLICY), guest("db"), repositories=(VAULT,))
WITHOUT = spec(guest("web"), guest("db"), repositories=(VAULT,))
LAST = LastBackup(identity="web", repository="vault", moment="20261127T0000Z", level="off")


def timed(facts: Facts) -> Facts:
    return replace(facts, units=HostUnits(files=(UnitFile(name=BACKUP_TIMER, text="x"),)))


def look_after(wanted: Spec, facts: Facts) -> Plan:
    return plan_look_after(wanted, timed(facts))


def known(host: FakeHost) -> list[str]:
    return [one.identity for one in host.facts(WANTED).backups.awaited]


def whats(facts: Facts) -> list[str]:
    return [step.what for step in awaiting_steps(WANTED, facts)]


def test_the_watch_notes_it_once_and_forgets_it_when_the_spec_wants_none() -> None:
    host = FakeHost()
    assert plan_look_after(WANTED, host.facts(WANTED)).steps == (), "there is no timer"
    reach(host, WANTED, look_after)
    assert known(host) == ["web"]
    assert look_after(WANTED, host.facts(WANTED)).steps == ()
    reach(host, WITHOUT, look_after)
    assert known(host) == []


def test_nobody_waits_once_there_is_one() -> None:
    facts = timed(FakeHost().facts(WANTED))
    made = replace(facts.backups, last=(LAST,))
    assert whats(replace(facts, backups=made)) == []
    noted = replace(made, awaited=(AwaitedBackup(identity="web", moment="20261101T0000Z"),))
    (what,) = whats(replace(facts, backups=noted))
    assert what == "forget since when it waits for its first backup"


def test_what_can_not_be_seen_is_not_taken_for_missing() -> None:
    facts = timed(FakeHost().facts(WANTED))
    hole = Problem(what=BACKUP_MEMO_DIR, reason="an I/O error", hint="look at the disk")
    assert whats(replace(facts, problems=(hole,))) == []
