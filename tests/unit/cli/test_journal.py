from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.stages import JournalStages

from kvmkeep.cli.main import main
from kvmkeep.cli.stages import Stages

RUN = [
    {"time": "2026-11-24T10:00:00.000+00:00", "kind": "begin", "v": 1, "verb": "apply",
     "argv": ["kvmkeep", "apply"], "user": "root", "pid": 7},
    {"time": "2026-11-24T10:00:01.000+00:00", "kind": "step", "number": 1, "total": 2,
     "subject": "guest web", "what": "make the LV"},
    {"time": "2026-11-24T10:00:01.000+00:00", "kind": "command", "argv": ["lvcreate", "-n", "x"],
     "why": "y"},
    {"time": "2026-11-24T10:00:02.000+00:00", "kind": "ended", "code": 5, "ok": False,
     "said": "no \x1b[2Jroom"},
    {"time": "2026-11-24T10:00:02.000+00:00", "kind": "step-ended", "outcome": "failed",
     "seconds": 1.0},
    {"time": "2026-11-24T10:00:02.000+00:00", "kind": "step"},
    {"time": "2026-11-24T10:00:03.000+00:00", "kind": "end", "outcome": "StepFailed: no room"},
]  # fmt: skip


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    for name in ("20261124T090000Z-start-1", "20261124T100000Z-apply-7"):
        lines = "\n".join(json.dumps(line) for line in RUN)
        (tmp_path / f"{name}.jsonl").write_text(lines + "\ntorn")
    return JournalStages(tmp_path)


def test_runs_are_listed_the_newest_first(
    stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal"], stages) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("20261124T100000Z-apply-7")
    assert lines[2].startswith("20261124T090000Z-start-1")
    assert "no room" in lines[1]


@pytest.mark.parametrize("word", ["last", "LAST", "20261124T10", "20261124T100000Z-apply-7"])
def test_a_run_is_told(stages: Stages, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", word], stages) == 0
    out = capsys.readouterr().out
    assert "[1/2] make the LV" in out
    assert "$ lvcreate -n x" in out
    assert "no \\u001b[2Jroom" in out
    assert "StepFailed: no room" in out
    assert "1 lines of this journal can't be read" in out


@pytest.mark.parametrize("word", ["nonsense", "2026"])
def test_a_run_that_is_not_or_not_the_only_one(
    stages: Stages, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal", word], stages) == 2
    assert "kvmkeep journal" in capsys.readouterr().err


def test_json(stages: Stages, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "--json"], stages) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
    assert main(["journal", "last", "--json"], stages) == 0
    assert json.loads(capsys.readouterr().out)["entries"][1]["what"] == "make the LV"


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = JournalStages(tmp_path / "none")
    assert main(["journal"], stages) == 0
    assert "No runs yet." in capsys.readouterr().err
    assert main(["journal", "last"], stages) == 2
