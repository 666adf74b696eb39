"""Names of runs: in which order they stand, which go, and which may be unfinished."""

from __future__ import annotations

from datetime import UTC, datetime

from kvmkeep.model.journal import KEPT_RUNS, oldest_first, outlived, run_name, unanswered

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def name(day: str, verb: str) -> str:
    return f"2026{day}T000000.000000Z-{verb}-7"


def test_a_name_sorts_by_time_and_tells_the_verb() -> None:
    assert run_name(NOW, "snapshot create", 7) == "20261124T120000.000000Z-snapshot-create-7"


def test_what_is_still_to_come_is_the_oldest() -> None:
    now = run_name(NOW, "apply", 7)
    assert oldest_first([name("1101", "start"), name("1201", "recover"), now], NOW) == (
        name("1201", "recover"), name("1101", "start"), now,
    )  # fmt: skip


def test_of_each_kind_so_many_are_kept() -> None:
    typed = tuple(name(f"{one:04d}", "rename") for one in range(KEPT_RUNS))
    often = tuple(name(f"{one:04d}", "backup-run-web") for one in range(KEPT_RUNS))
    names = oldest_first((*typed, *often, "odd"), NOW)
    assert set(outlived(names, name("1124", "watch"))) == {"odd", often[0]}
    assert list(outlived(typed[1:], name("1124", "apply"))) == []


def test_what_may_be_unfinished_is_the_last_of_its_verb_and_not_long_ago() -> None:
    names = (
        name("1201", "clone"),  # a clock was ahead
        name("1101", "remove"),  # long ago
        name("1120", "apply"),
        name("1121", "rename"),
        name("1121", "shutdown---host"),
        name("1122", "apply"),
        name("1123", "backup-run-web"),
        name("1124", "watch"),
    )
    assert list(unanswered(names, NOW)) == [names[7], names[5], names[3]]
    assert list(unanswered(names[:6], NOW)) == [names[5], names[3]]
    assert list(unanswered((), NOW)) == []
