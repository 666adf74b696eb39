"""The journal tells what was done, and survives whatever happens to its files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.apply.executor import apply_plan
from kvmkeep.apply.journal import Journals, digest, read_run
from kvmkeep.apply.ui import Ui
from kvmkeep.errors import Unready
from kvmkeep.host.append import AppendFolder
from kvmkeep.host.clock import utc_now
from kvmkeep.model.command import Checkpoint
from kvmkeep.model.journal import KEPT_RUNS
from kvmkeep.model.plan import Plan
from tests.unit.apply.scripted import (
    UNDO,
    MemoryFolder,
    RecordingUi,
    ScriptedDoor,
    command,
    ended,
    new_journal,
    noon,
    step,
)

BEGIN = b'{"time": "2026-01-02T12:00:00+00:00", "kind": "begin", "v": 1, "verb": "apply", "pid": 7}'


def begin(folder: object, ui: RecordingUi | None = None) -> object:
    return Journals(folder, noon).begin(  # type: ignore[arg-type]
        "start",
        ("kvmkeep", "start", "a b"),
        user="alice",
        version="1",
        host="h",
        troubled=(ui or RecordingUi()).warn,
    )


def test_a_run_can_be_read_again(tmp_path: Path) -> None:
    journals = Journals(AppendFolder(str(tmp_path / "j")))
    journal = journals.begin(
        "apply", ("kvmkeep", "apply", "a b"), user="alice", version="1", host="h", troubled=print
    )
    plan = Plan(steps=(step("make it", command("lvcreate x", stdin=b"hello", stdout_to="/o")),))
    journal.planned(plan, digest(b"spec"), digest(b"facts"))
    apply_plan(plan, ScriptedDoor({"lvcreate": lambda _n: ended(stderr="warned")}), journal, Ui())
    journal.ends("done")
    (name,) = journals.names()
    run = journals.read(name)
    assert name == f"{run.name}.jsonl"
    assert name.endswith(".jsonl")
    assert (run.verb, run.user, run.outcome) == ("apply", "alice", "done")
    assert run.command_line == "kvmkeep apply 'a b'"
    assert run.pid > 0
    assert (run.damaged, run.newer) == (0, False)
    planned, begun, told, answer, left, _ = run.entries[1:]
    assert planned.field("spec") == digest(b"spec")
    assert "make it" in planned.field("steps")
    assert begun.field("what") == "make it"
    assert told.field("argv") == "lvcreate x"
    assert (told.field("stdin"), told.field("stdout_to")) == ("hello", "/o")
    assert (answer.field("code"), answer.field("said")) == ("0", "warned")
    assert left.field("outcome") == "done"
    assert left.field("no such field") == ""


def test_the_name_sorts_by_time_and_tells_the_verb() -> None:
    folder = MemoryFolder()
    begin(folder)
    (name,) = folder.names()
    assert name.startswith("20260102T120000.000000Z-start-")


def test_without_a_journal_nothing_begins() -> None:
    folder = MemoryFolder()
    folder.full = True
    with pytest.raises(Unready, match="No space left"):
        begin(folder)


def test_a_place_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unready, match="can't be begun"):
        begin(AppendFolder(str(tmp_path / "file" / "j")))


def test_only_the_last_runs_are_kept() -> None:
    folder = MemoryFolder()
    for number in range(KEPT_RUNS + 20):
        folder.create(f"20250101T{number:06d}Z-apply-1.jsonl")
    folder.create("notes.txt")
    begin(folder)
    kept = [name for name in folder.names() if name.endswith(".jsonl")]
    assert len(kept) == KEPT_RUNS
    assert kept[0] == "20250101T000021Z-apply-1.jsonl"
    assert "notes.txt" in folder.names()


def test_what_timers_do_costs_no_run_that_was_typed() -> None:
    folder = MemoryFolder()
    folder.create("20250101T000000.000000Z-remove-1.jsonl")
    folder.create("20250101T000001.000000Z-recover-1.jsonl")
    often = ("watch", "snapshot-watch", "backup-run-web", "backup-forget", "backup-prune")
    for number in range(KEPT_RUNS + 20):
        folder.create(f"20250102T{number:06d}.000000Z-{often[number % 5]}-1.jsonl")
    begin(folder)
    kept = folder.names()
    assert kept[:2] == folder.names()[:2]
    assert ["remove" in kept[0], "recover" in kept[1], "-start-" in kept[-1]] == [True] * 3
    assert len(kept) == KEPT_RUNS + 3


def test_a_run_of_a_clock_that_was_ahead_is_the_oldest_once_it_is_right() -> None:
    folder = MemoryFolder()
    ahead = "20360101T000000.000000Z-recover-1.jsonl"
    folder.create(ahead)
    for number in range(KEPT_RUNS - 1):
        folder.create(f"20250101T{number:06d}.000000Z-apply-1.jsonl")
    assert Journals(folder, noon).names()[0] == ahead
    begin(folder)
    assert ahead not in folder.names()
    assert len(folder.names()) == KEPT_RUNS


def test_a_clock_that_was_set_back_does_not_cost_the_run_its_journal() -> None:
    folder = MemoryFolder()
    for number in range(KEPT_RUNS):
        folder.create(f"20991231T{number:06d}Z-apply-1.jsonl")
    begin(folder)
    assert any("-start-" in name for name in folder.names())
    assert len(folder.names()) == KEPT_RUNS


class Unreadable(MemoryFolder):
    def names(self) -> tuple[str, ...]:
        raise PermissionError(13, "Permission denied")

    def read(self, name: str) -> bytes:
        raise OSError(5, f"Input/output error: {name}")


def test_what_can_not_be_read_is_said_and_does_not_stop_a_run() -> None:
    folder = Unreadable()
    begin(folder)
    with pytest.raises(Unready, match="Permission denied"):
        Journals(folder).names()
    with pytest.raises(Unready, match="Input/output"):
        Journals(folder).read("x.jsonl")


def test_a_torn_last_line_is_counted() -> None:
    run = read_run("x", BEGIN + b'\n{"time": "t", "kind": "step", "wh')
    assert run.verb == "apply"
    assert run.pid == 7
    assert (len(run.entries), run.damaged, run.outcome) == (1, 1, "")


def test_an_empty_file_tells_nothing() -> None:
    run = read_run("x", b"")
    assert (run.entries, run.damaged, run.verb, run.started) == ((), 0, "", "")


def test_a_newer_version_is_noticed() -> None:
    assert read_run("x", BEGIN.replace(b'"v": 1', b'"v": 2')).newer
    assert not read_run("x", BEGIN).newer


@pytest.mark.parametrize(
    "line",
    [
        b"[1]", b"null", b"\xff\xfe", b'{"kind": "x"}', b'{"time": 1, "kind": "x"}',
        b'{"time": "t", "kind": 2}', b"[" * 100_000, b"\0" * 50,
    ],
)  # fmt: skip
def test_foreign_lines_are_not_believed(line: bytes) -> None:
    run = read_run("x", line + b"\n" + BEGIN)
    assert run.damaged == 1
    assert run.verb == "apply"


def test_fields_of_any_kind_become_text() -> None:
    line = b'{"time": "t", "kind": "k", "list": ["a b", "c"], "mixed": [1], "no": null, "d": {}}'
    (entry,) = read_run("x", line).entries
    assert dict(entry.fields) == {"list": "'a b' c", "mixed": "[1]", "no": "null", "d": "{}"}


@given(st.binary())
def test_no_content_breaks_the_reader(content: bytes) -> None:
    assert read_run("x", content).damaged >= 0


@given(st.integers(0, len(BEGIN) * 2))
def test_a_file_cut_anywhere_still_tells_its_whole_lines(length: int) -> None:
    content = (BEGIN + b"\n") * 2
    run = read_run("x", content[:length])
    assert len(run.entries) == sum(length >= end for end in (len(BEGIN), 2 * len(BEGIN) + 1))


def test_a_checkpoint_is_told() -> None:
    folder = MemoryFolder()
    checkpoint = Checkpoint(undo=UNDO, devices=(), timeout=60, body=(), verify=(), why="x")
    new_journal(folder).checkpoint("made", checkpoint, "/c/1")
    (lines,) = folder.files.values()
    assert b'"made"' in lines.lines[-1]


def test_the_wall_clock_is_utc() -> None:
    assert utc_now().tzname() == "UTC"
