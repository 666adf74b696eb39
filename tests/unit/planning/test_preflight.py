"""What a host's past tells at its start: nothing of it keeps a guest off."""

from __future__ import annotations

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.backup import BackupFacts, LastBackup
from kvmkeep.model.facts import Facts
from kvmkeep.model.vitals import LastRun
from kvmkeep.planning.running.preflight import preflight

RUN = LastRun(
    name="20260101T000000.500000Z-apply-77", command_line="kvmkeep apply", outcome="", alive=False
)


def facts(*moments: str) -> Facts:
    last = tuple(
        LastBackup(identity="web", repository="vault", moment=one, level="off") for one in moments
    )
    seen = FakeHost().facts(None)
    return replace(seen, time="2026-01-01T00:00:00Z", backups=BackupFacts(last=last))


def test_a_run_that_was_killed_is_told_with_what_to_type() -> None:
    (note,) = preflight(facts(), RUN)
    assert note.subject == "run 20260101T000000.500000Z-apply-77"
    assert note.text == (
        "it was killed, so what it was to do is done in part: kvmkeep journal "
        "20260101T000000.500000Z-apply-77; then run it again: kvmkeep apply"
    )


@pytest.mark.parametrize(
    "run", [None, replace(RUN, outcome="done"), replace(RUN, alive=True), replace(RUN, name="x",
    outcome="StepFailed: no room")]
)  # fmt: skip
def test_where_none_was_killed_and_the_clock_goes_on_nothing_is_told(run: LastRun | None) -> None:
    assert preflight(facts("20251231T2359Z", "of no time"), run) == ()


@pytest.mark.parametrize(
    ("run", "moments", "what"),
    [
        (replace(RUN, name="20260101T000001.000000Z-apply-7", outcome="done"), (), "the last run"),
        (None, ("20251231T2359Z", "20260101T0001Z"), "a backup"),
    ],
)
def test_a_clock_that_went_back_is_told(
    run: LastRun | None, moments: tuple[str, ...], what: str
) -> None:
    (note,) = preflight(facts(*moments), run)
    assert note.subject == "clock"
    assert note.text.startswith(f"it says 2026-01-01T00:00:00Z, but {what}")
