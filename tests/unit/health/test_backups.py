"""Backups as `check` sees them: missing, late, failing, not proven."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from kvmkeep.cli.verdict import text
from kvmkeep.health.backups import age, passed
from kvmkeep.health.judge import judge
from kvmkeep.health.measures import measures
from kvmkeep.model.backup import AwaitedBackup, BackupFacts, LastBackup, Upkeep, VanishedBackup
from kvmkeep.model.domain_facts import DomainDisk, DomainState
from kvmkeep.model.facts import Problem
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.host_units import (
    BACKUP,
    BACKUP_TIMER,
    PROVE,
    PROVE_TIMER,
    PRUNE,
    PRUNE_TIMER,
    SYSTEMD,
    UNIT_DIR,
    HostUnits,
)
from kvmkeep.model.host_units import UnitFile as File
from kvmkeep.model.names import lv_tags
from kvmkeep.model.plan import Plan
from kvmkeep.model.proof import LATE, Proof, Rung
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.units import GuestName, Label
from kvmkeep.planning.units.backup_units import backup_texts
from kvmkeep.planning.units.files import Program
from kvmkeep.report.metrics import metrics_text
from tests.unit.health.build import FACTS, SPEC, VITALS, domain, volume
from tests.unit.planning.build import POLICY, VAULT

NOW = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)  # a Tuesday, as FACTS say
WEB = replace(SPEC.guests[0], backup=POLICY)
WANTED = replace(SPEC, guests=(WEB,), repositories=(VAULT,))
LAST = LastBackup(identity="web", repository="vault", moment="20261124T000310Z", level="frozen")
PROOF = Proof(
    repository="vault", guest="web", moment="20261123T0003Z", time="2026-11-23T06:00:00Z",
    proven=True, rungs=(), screen="/var/lib/x.screen",
)  # fmt: skip
UNITS = HostUnits(
    files=tuple(
        File(name=name, text=text, enabled=True, active=name.endswith(".timer"))
        for name, text in backup_texts(Program(path="/usr/bin/kvmkeep"), WANTED).items()
    ),
    program="/usr/bin/kvmkeep",
)


def units(name: str, **changes: object) -> HostUnits:
    files = (replace(one, **changes) if one.name == name else one for one in UNITS.files)
    return replace(UNITS, files=tuple(files))


def found(
    last: LastBackup | None = LAST,
    proof: Proof | None = PROOF,
    units: HostUnits = UNITS,
    problems: tuple[Problem, ...] = (),
    *,
    vanished: tuple[VanishedBackup, ...] = (),
    awaited: tuple[AwaitedBackup, ...] = (),
) -> list[Finding]:
    backups = BackupFacts(
        last=(last,) if last is not None else (),
        proofs=(proof,) if proof is not None else (),
        vanished=vanished,
        awaited=awaited,
    )
    facts = replace(FACTS, backups=backups, units=units, problems=problems)
    told = judge(WANTED, facts, Plan(), VITALS)
    assert all("|" not in one.what + one.todo for one in told)
    return [one for one in told if one.name.startswith("backup")]


def disk(source: str) -> DomainDisk:
    return DomainDisk(
        target="vda", bus="virtio", kind="disk", source=source, device="", format="raw"
    )


def only(**changes: object) -> tuple[str, Severity]:
    (one,) = found(**changes)  # type: ignore[arg-type]
    return one.name, one.severity


def test_what_is_well_is_not_told() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("moment", "severity"),
    [
        ("20261123T000000Z", None),
        ("20261122T235959Z", Severity.WARNING),
        ("20261121T0000Z", Severity.WARNING),
        ("20261120T2359Z", Severity.CRITICAL),
        ("20250101T0000Z", Severity.CRITICAL),
    ],
)
def test_a_backup_is_late_when_two_of_its_times_have_passed(
    moment: str, severity: Severity | None
) -> None:
    told = [(one.name, one.severity) for one in found(replace(LAST, moment=moment))]
    assert told == ([("backup-late", severity)] if severity else [])


def test_one_that_was_taken_away_is_told_whatever_newer_one_there_is() -> None:
    gone = VanishedBackup(
        identity="web", repository="vault", moment="20261123T0003Z", noticed="2026-11-23T06:00:00Z"
    )
    (one,) = found(vanished=(replace(gone, identity="stranger"), gone))
    assert (one.name, one.severity) == ("backup-vanished", Severity.CRITICAL)
    assert "its backup 20261123T0003Z" in one.what
    assert one.todo.endswith("kvmkeep backup forget web@20261123T0003Z")


def test_one_that_was_made_without_a_freeze_is_told_where_an_agent_answers() -> None:
    crash = replace(LAST, level="crash")
    assert only(last=crash) == ("backup-not-frozen", Severity.WARNING)
    (one,) = found(last=crash)
    assert one.todo.startswith("kvmkeep backup run web --consistency frozen")
    for changes in ({"agent": False}, {"state": DomainState.SHUTOFF}, {"ours": False}):
        facts = replace(
            FACTS, backups=BackupFacts(last=(crash,)), domains=(domain("web", **changes),)
        )
        told = judge(WANTED, facts, Plan(), VITALS)
        assert "backup-not-frozen" not in {one.name for one in told}


def test_what_is_still_to_come_tells_nothing_about_what_would_be_lost() -> None:
    ahead = found(replace(LAST, moment="20271124T0003Z"), replace(PROOF, time="2027-11-23T06:00Z"))
    assert [(one.name, one.severity) for one in ahead] == [
        ("backup-late", Severity.WARNING),
        ("backup-proof-late", Severity.WARNING),
    ]
    assert ahead[0].what == "its last backup is of 2027-11-24 00:03 UTC, which is still to come"
    assert ahead[1].what == "its last proof is of 2027-11-23 06:00 UTC, which is still to come"
    assert all(one.todo.startswith("timedatectl") for one in ahead)


@pytest.fixture
def japan(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be nine hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("japan")
def test_times_of_a_schedule_are_local() -> None:
    policy = replace(POLICY, schedule="Mon..Fri *-*-* 8..18:00", prove="Tue *-*-* 17,18:00")
    wanted = replace(WANTED, guests=(replace(WEB, backup=policy),))
    last = replace(LAST, moment="20261124T090010Z")  # at six in the evening
    proof = replace(PROOF, moment=last.moment, time="2026-11-24T09:05:00Z")
    for until, names in (("2026-11-24T20:00:00Z", []), ("2026-11-25T00:00:00Z", ["backup-late"])):
        backups = BackupFacts(last=(last,), proofs=(proof,))
        facts = replace(FACTS, backups=backups, units=UNITS, time=until)
        told = judge(wanted, facts, Plan(), VITALS)
        late = [one.name for one in told if one.name.endswith("-late")]
        assert late == names


def test_a_guest_without_a_backup() -> None:
    assert only(last=None) == ("backup-missing", Severity.WARNING)
    for moment, severity in (("20261120T0000Z", "critical"), ("20261121T0000Z", "warning")):
        awaited = (AwaitedBackup(identity="web", moment=moment),)
        assert only(last=None, awaited=awaited) == ("backup-missing", Severity(severity))
    assert only(last=replace(LAST, identity="db")) == ("backup-missing", Severity.WARNING)
    assert only(last=replace(LAST, moment="20269999T0000Z")) == ("backup-missing", Severity.WARNING)
    old = replace(PROOF, repository="old")
    told = only(last=replace(LAST, repository="old"), proof=old)
    assert told == ("backup-elsewhere", Severity.WARNING)


def test_proofs() -> None:
    assert only(proof=None) == ("backup-unproven", Severity.OK)
    waited = replace(LAST, since="20261114T0003Z")
    assert only(last=waited, proof=None) == ("backup-unproven", Severity.WARNING)
    once = replace(LAST, since="20261117T0003Z")
    assert only(last=once, proof=None) == ("backup-unproven", Severity.OK)
    (elsewhere,) = found(proof=replace(PROOF, repository="attic"))
    assert elsewhere.what.startswith("no backup of it in vault was started yet")
    late = replace(PROOF, time="2026-11-15T06:00:00Z")
    assert only(proof=late) == ("backup-proof-late", Severity.WARNING)
    bad = replace(PROOF, proven=False)
    assert only(proof=bad) == ("backup-proof-failed", Severity.CRITICAL)
    rungs = (
        Rung(name="start", passed=True, seconds=1.0),
        Rung(name="login", passed=False, seconds=9.0),
    )
    (one,) = found(proof=replace(bad, rungs=rungs, screen=""))
    assert one.what.endswith("(login)")
    slow = replace(bad, rungs=(Rung(name="blocks-root", passed=False, seconds=9.0, detail=LATE),))
    (once,) = found(proof=replace(slow, proven_before="2026-11-16T06:00:00Z"))
    assert once.severity is Severity.WARNING
    assert once.what.endswith("(blocks-root, at its time limit); it did at 2026-11-16T06:00:00Z")
    (unknown,) = found(proof=slow)
    assert (unknown.severity, unknown.why.split(":")[0]) == (
        Severity.WARNING, "nobody knows whether it is good",
    )  # fmt: skip
    assert (
        found(proof=replace(slow, rungs=(*slow.rungs, rungs[1])))[0].severity is Severity.CRITICAL
    )
    (poor,) = found(proof=replace(bad, little="300 MiB of 2 GiB"))
    assert poor.what.endswith("did not prove good; it had 300 MiB of 2 GiB of memory")
    assert one.todo == "look at the journal; kvmkeep backup prove web"


def test_a_proof_that_selinux_denies_says_nothing_about_the_backup() -> None:
    denied = "error: Could not open '/run/kvmkeep/proof/web/root': Permission denied"
    rungs = (
        Rung(name="filesystems", passed=True, seconds=1.0),
        Rung(name="start", passed=False, seconds=1.0, detail=denied),
        Rung(name="login", passed=False, seconds=0.0, detail="not tried: start did not hold"),
    )
    proof = replace(PROOF, proven=False, rungs=rungs)
    (one,) = found(proof=proof)
    assert (one.name, one.severity) == ("backup-proof-failed", Severity.WARNING)
    assert "could not be tried to the end (start, which this host does not let QEMU" in one.what
    assert one.todo.startswith("with SELinux: setsebool -P virt_use_fusefs on; kvmkeep backup")
    assert "could NOT be tried to the end." in text(proof)
    assert "QEMU may not read it; with SELinux: setsebool -P virt_use_fusefs on" in text(proof)


def test_nobody_makes_them() -> None:
    told = [(one.name, one.severity) for one in found(proof=None, units=HostUnits())]
    assert told == [
        ("backup-unproven", Severity.WARNING),
        ("backups-not-scheduled", Severity.WARNING),
    ]
    weekly = UNITS.files[1].text.replace("daily", "weekly")
    (one,) = found(units=units(BACKUP_TIMER, text=weekly))
    assert "at other times than the spec says (kvmkeep-backup.timer)" in one.what
    (one,) = found(units=units(BACKUP_TIMER, stale=True))
    assert "(kvmkeep-backup.timer)" in one.what, "systemd goes by what it read before"
    (one,) = found(units=replace(UNITS, program="/usr/local/bin/kvmkeep"))
    assert f"({BACKUP}, {PROVE}, {PRUNE})" in one.what


@pytest.mark.parametrize("name", [BACKUP, PROVE, PRUNE])
def test_a_run_that_failed(name: str) -> None:
    files = tuple(replace(one, failed=one.name == name) for one in UNITS.files)
    (one,) = found(units=replace(UNITS, files=files))
    assert (one.name, one.severity, one.subject) == ("backup-run-failed", Severity.CRITICAL, name)
    assert one.todo == f"systemctl status {name}; kvmkeep journal; then: systemctl start {name}"
    assert ("prune or check" in one.what) is (name == PRUNE)


@pytest.mark.parametrize(
    ("verified", "severity"),
    [
        ("", None),
        ("2026-11-22T12:00:00+00:00", None),
        ("2026-11-01T12:00:00+00:00", Severity.WARNING),
        ("2026-05-03T12:00:00+00:00", Severity.CRITICAL),
    ],
)
def test_a_repository_that_was_not_found_sound_for_long(
    verified: str, severity: Severity | None
) -> None:
    upkeep = (Upkeep(repository="vault", verified=verified),)
    backups = BackupFacts(last=(LAST,), proofs=(PROOF,), upkeep=upkeep)
    told = judge(WANTED, replace(FACTS, backups=backups, units=UNITS), Plan(), VITALS)
    kinds = [one.severity for one in told if one.name == "repository-not-verified"]
    assert kinds == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("begun", "verified", "running", "told"),
    [
        ("2026-11-22T12:00:00+00:00", "2026-11-15T12:00:00+00:00", False, True),
        ("2026-11-22T12:00:00+00:00", "", False, True),
        ("2026-11-22T12:00:00+00:00", "", True, False),
        ("2026-11-22T12:00:00+00:00", "2026-11-22T12:00:00+00:00", False, False),
        ("", "2026-11-22T12:00:00+00:00", False, False),
    ],
)
def test_a_check_that_did_not_end_well_is_told_over_a_boot(
    begun: str, verified: str, *, running: bool, told: bool
) -> None:
    upkeep = (Upkeep(repository="vault", begun=begun, verified=verified),)
    backups = BackupFacts(last=(LAST,), proofs=(PROOF,), upkeep=upkeep, running=running)
    found = judge(WANTED, replace(FACTS, backups=backups, units=UNITS), Plan(), VITALS)
    names = [one.name for one in found if one.severity is Severity.WARNING]
    assert ("repository-check-failed" in names) is told


def test_a_set_that_a_dead_run_left_is_told_unless_another_is_at_work() -> None:
    tags = (*lv_tags(GuestName("web"), Label("root")), "kvmkeep.set=20261123T0710Z")
    tags += ("kvmkeep.time=20261123T071034Z", "kvmkeep.backup=vault")
    snapshot = volume("vm-web-20261123T0710Z", origin="vm-web", tags=tags)
    facts = replace(FACTS, units=UNITS, volumes=(*FACTS.volumes, snapshot))
    for running in (False, True):
        backups = BackupFacts(last=(LAST,), proofs=(PROOF,), running=running)
        told = judge(WANTED, replace(facts, backups=backups), Plan(), VITALS)
        assert ("backup-left" in {one.name for one in told}) is not running


@pytest.mark.parametrize(
    ("changes", "severity", "todo"),
    [
        ({"mode": 0o644}, Severity.CRITICAL, "chmod 600 /root/pw"),
        ({"kind": ""}, Severity.CRITICAL, "bring it back, then: chmod 600 /root/pw"),
        ({"error": "Permission denied"}, Severity.UNKNOWN, "look at it: ls -l /root/pw"),
    ],
)
def test_a_password_that_is_not_to_be_used_is_told_with_what_to_type(
    changes: dict[str, object], severity: Severity, todo: str
) -> None:
    good = SecretFile(path="/root/pw", kind="file", mode=0o600)
    for file, expected in ((good, []), (replace(good, **changes), [(severity, todo)])):
        backups = BackupFacts(last=(LAST,), proofs=(PROOF,), secrets=(file,))
        told = judge(WANTED, replace(FACTS, backups=backups, units=UNITS), Plan(), VITALS)
        mine = [one for one in told if one.name == "backup-secret"]
        assert [(one.severity, one.todo) for one in mine] == expected
        assert {one.subject for one in mine} <= {"repository vault"}


@pytest.mark.parametrize(
    ("unit", "mode", "severity"),
    [
        ("kvmkeep-backup.service", 0, Severity.WARNING),
        ("kvmkeep-secrets.service", 0, Severity.CRITICAL),
        ("kvmkeep-backup.service", 0o444, Severity.CRITICAL),
    ],
)
def test_a_credential_that_is_there_for_backups_alone_is_told(
    unit: str, mode: int, severity: Severity
) -> None:
    path = f"/run/credentials/{unit}/vault"
    spec = replace(WANTED, repositories=(replace(VAULT, password_file=path),))
    file = SecretFile(path=path, kind="file" if mode else "", mode=mode)
    backups = BackupFacts(last=(LAST,), proofs=(PROOF,), secrets=(file,))
    told = judge(spec, replace(FACTS, backups=backups, units=UNITS), Plan(), VITALS)
    assert [one.severity for one in told if one.name == "backup-secret"] == [severity]


def test_a_spec_without_backups_has_none_of_it() -> None:
    told = judge(SPEC, FACTS, Plan(), VITALS)
    assert not [one for one in told if one.name.startswith("backup")]


def test_metrics() -> None:
    backups = BackupFacts(last=(LAST,), proofs=(PROOF, replace(PROOF, moment="20261122T0003Z")))
    text = metrics_text((), measures(WANTED, replace(FACTS, backups=backups), VITALS), NOW).decode()
    assert 'kvmkeep_backup_last_timestamp_seconds{guest="web"} 1795478590\n' in text
    assert 'kvmkeep_backup_proof_timestamp_seconds{guest="web"} 1795413600\n' in text
    assert 'kvmkeep_backup_proven{guest="web"} 1\n' in text
    assert 'kvmkeep_backup_wanted{guest="web"} 1\n' in text
    assert 'kvmkeep_backup_frozen{guest="web"} 1\n' in text
    upkeep = (
        Upkeep(repository="attic"),
        Upkeep(repository="vault", verified="2026-11-22T12:00:00+00:00"),
    )
    backups = BackupFacts(upkeep=upkeep)
    text = metrics_text((), measures(WANTED, replace(FACTS, backups=backups), VITALS), NOW).decode()
    stamps = [one for one in text.splitlines() if one.startswith("kvmkeep_repository_")]
    assert stamps == [
        'kvmkeep_repository_verified_timestamp_seconds{repository="vault"} 1795348800'
    ]


def test_passed_counts_four_at_most_and_ages_are_for_people() -> None:
    assert passed("minutely", NOW - timedelta(days=9), NOW) == 4
    assert passed("Mon *-02-29", NOW - timedelta(days=9), NOW) == 0
    assert passed("daily", NOW, NOW) == 0
    assert [age(timedelta(hours=hours)) for hours in (-3, 0, 5, 49)] == [
        "future", "0 h", "5 h", "2 d",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [BACKUP_TIMER, PROVE_TIMER, PRUNE_TIMER])
@pytest.mark.parametrize("changes", [{"active": False}, {"enabled": False}])
def test_each_timer_counts(name: str, changes: dict[str, object]) -> None:
    (one,) = found(units=units(name, **changes))
    assert (one.name, one.todo) == ("backups-not-scheduled", "kvmkeep install-units")
    assert f"({name} is not at work, or does not begin with the host)" in one.what


def test_of_units_that_can_not_be_seen_nothing_follows() -> None:
    silent = Problem(what=SYSTEMD, reason="no answer", hint="wait")
    idle = replace(UNITS, files=tuple(replace(one, active=False) for one in UNITS.files))
    assert found(units=idle, problems=(silent,)) == []
    (one,) = found(proof=None, units=idle, problems=(silent,))
    assert (one.name, one.severity) == ("backup-unproven", Severity.OK)
    closed = Problem(what=f"{UNIT_DIR}/{BACKUP}", reason="Input/output error", hint="look at it")
    files = tuple(replace(one, enabled=False, text="") for one in UNITS.files[1:])
    assert found(units=replace(UNITS, files=files), problems=(closed,)) == []


def test_a_disk_that_no_backup_has_is_told() -> None:
    outside = replace(domain(), disks=(disk("/dev/rl_build/vm-web"), disk("/srv/extra.qcow2")))
    for mine, names in ((outside, ["backup-lacks-disk"]), (replace(outside, ours=False), [])):
        facts = replace(
            FACTS, domains=(mine,), units=UNITS, backups=BackupFacts(last=(LAST,), proofs=(PROOF,))
        )
        told = judge(WANTED, facts, Plan(), VITALS)
        assert [one.name for one in told if one.name.startswith("backup")] == names
        assert [one.what for one in told if one.name == "backup-lacks-disk"] == [
            "it has /srv/extra.qcow2, which is in no backup of it"
        ] * len(names)
