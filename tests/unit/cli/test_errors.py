from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from kvmkeep.cli.bug import report_bug
from kvmkeep.cli.main import main, report
from kvmkeep.cli.streams import Streams
from kvmkeep.errors import (
    Busy,
    Declined,
    Interrupted,
    KvmkeepError,
    NotConverged,
    Refused,
    SpecError,
    StepFailed,
    Unready,
    UsageError,
)

TABLE = [
    (UsageError, 2, True),
    (SpecError, 3, True),
    (Refused, 4, True),
    (Unready, 5, True),
    (Busy, 6, True),
    (StepFailed, 7, False),
    (NotConverged, 8, False),
    (Interrupted, 130, False),
    (Declined, 130, True),
]


@pytest.mark.parametrize(("kind", "code", "untouched"), TABLE)
def test_each_error_has_its_code_and_says_whether_anything_was_touched(
    kind: type[KvmkeepError], code: int, *, untouched: bool
) -> None:
    err = io.StringIO()
    assert report(kind("what is wrong", hint="what to do"), Streams(None, err)) == code
    assert "what is wrong" in err.getvalue()
    assert "what to do" in err.getvalue()
    assert ("Nothing was touched." in err.getvalue()) is untouched


def test_a_mistake_of_the_command_line_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json", "--nosuch"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "UsageError"


def test_the_words_of_another_program_ask_for_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blocks", "send", "--nosuch", "--", "restic", "backup", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_a_spec_error_begins_with_the_place() -> None:
    err = io.StringIO()
    report(SpecError("host.yaml:3:7: no"), Streams(None, err))
    assert err.getvalue().startswith("host.yaml:3:7: no\n")


def test_what_a_message_has_told_is_not_told_again() -> None:
    err = io.StringIO()
    report(StepFailed("Stopped in step 2 of 3. Nothing was lost."), Streams(None, err))
    assert err.getvalue().count("Nothing was lost") == 1


def test_json_errors_are_documents() -> None:
    out, err = io.StringIO(), io.StringIO()
    report(Busy("somebody", hint="wait"), Streams(out, err), as_json=True)
    document = json.loads(out.getvalue())
    assert document["version"] == 1
    assert document["error"]["kind"] == "Busy"
    assert document["error"]["exit_code"] == 6


def test_a_json_error_never_follows_another_document() -> None:
    out = io.StringIO()
    streams = Streams(out, io.StringIO())
    streams.json("{}")
    report(Refused("no"), streams, as_json=True)
    assert json.loads(out.getvalue()) == {}


def _raised(text: str) -> Exception:
    try:
        int(text)
    except ValueError as error:
        return error
    return AssertionError("unreachable")


def test_a_bug_keeps_its_traceback_in_a_private_file(tmp_path: Path) -> None:
    err = io.StringIO()
    code = report_bug(_raised("odd"), Streams(None, err), debug=False, directory=str(tmp_path))
    (file,) = tmp_path.iterdir()
    assert code == 1
    assert "Traceback" in file.read_text("utf-8")
    assert file.stat().st_mode & 0o777 == 0o600
    assert str(file) in err.getvalue()
    assert "Traceback" not in err.getvalue()


def test_a_bug_that_a_timer_meets_each_minute_fills_no_disk(tmp_path: Path) -> None:
    for minute in range(60):
        (tmp_path / f"bug-20261127T01{minute:02d}00Z.txt").touch()
    (tmp_path / "20261127T010000.000000Z-watch-1.jsonl").touch()
    report_bug(_raised("odd"), Streams(None, None), debug=False, directory=str(tmp_path))
    kept = sorted(path.name for path in tmp_path.glob("bug-*.txt"))
    assert len(kept) == 20
    assert kept[0] == "bug-20261127T014100Z.txt"
    assert len(list(tmp_path.iterdir())) == 21


def test_a_bug_without_a_place_for_its_traceback_names_debug() -> None:
    err = io.StringIO()
    report_bug(_raised("odd"), Streams(None, err), debug=False, directory="/nonexistent/x")
    assert "--debug" in err.getvalue()


def test_debug_shows_the_traceback() -> None:
    err = io.StringIO()
    report_bug(_raised("odd"), Streams(None, err), debug=True)
    assert "Traceback" in err.getvalue()
