from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from fakes.stages import DoorStages

from kvmkeep.cli.main import main
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.command import Command
from kvmkeep.model.proof import Rung

pytestmark = pytest.mark.machine


def rung(into: Path, *words: str) -> Rung:
    assert main(["rung", *words[:1], f"--into={into}", *words[1:]], DoorStages(MachineDoor())) == 0
    return msgspec.json.decode((into / f"{words[0]}.json").read_bytes(), type=Rung)


def test_what_ends_well_holds_and_what_it_said_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "run"
    found = rung(into, "blocks-root", "--", "echo", "--", "all well")
    assert (found.name, found.passed, found.detail) == ("blocks-root", True, "")
    assert (into / "blocks-root.out").read_text() == "-- all well\n"
    assert (into.stat().st_mode & 0o777, (into / "blocks-root.json").stat().st_mode & 0o777) == (
        0o700, 0o600,
    )  # fmt: skip
    assert capsys.readouterr().out == "blocks-root: held\n"


def test_what_ends_badly_does_not_hold_and_says_why(tmp_path: Path) -> None:
    found = rung(tmp_path, "a", "--", "ls", "/nowhere\x1b[2J")
    assert not found.passed
    assert "No such file or directory" in found.detail
    assert "\x1b" not in found.detail
    assert rung(tmp_path, "b", "--", "false").detail == "it ended with 1"
    assert rung(tmp_path, "c", "--limit=1", "--", "sleep", "60").detail == (
        "it did not end within its time limit"
    )
    assert "not found" in rung(tmp_path, "d", "--", "no-such-program").detail


def test_one_that_needs_another_is_not_tried_in_vain(tmp_path: Path) -> None:
    rung(tmp_path, "start", "--", "false")
    found = rung(tmp_path, "agent", "--needs=start", "--", "touch", str(tmp_path / "tried"))
    assert (found.passed, found.detail) == (False, "not tried: start did not hold")
    assert not (tmp_path / "tried").exists()
    assert not rung(tmp_path, "more", "--needs=never-tried", "--", "true").passed
    rung(tmp_path, "start", "--", "true")
    assert rung(tmp_path, "agent", "--needs=start", "--", "true").passed


def test_it_is_tried_again_for_a_while(tmp_path: Path) -> None:
    place = tmp_path / "there"
    script = f"test -e {place} || {{ touch {place}; exit 1; }}"
    assert not rung(tmp_path, "once", "--", "sh", "-c", script).passed
    place.unlink()
    found = rung(tmp_path, "again", "--patience=20", "--", "sh", "-c", script)
    assert found.passed
    assert found.seconds >= 1


def test_stdin_is_passed_on_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"run\n")))
    rung(tmp_path, "fish", "--stdin", "--", "cat")
    assert (tmp_path / "fish.out").read_bytes() == b"run\n"


def test_how_far_a_comparison_is_is_passed_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "echo 123 of 456 bytes; sleep 2; echo 456 of 456 bytes"
    assert rung(tmp_path, "blocks-root", "--size=456", "--", "sh", "-c", script).passed
    told = capsys.readouterr().out.splitlines()
    assert "123 of 456 bytes" in told
    assert told[-2:] == ["456 of 456 bytes", "blocks-root: held"]


@pytest.mark.parametrize("words", [["A/b"], ["good", "--needs", "../x"]])
def test_names_are_names(words: list[str], tmp_path: Path) -> None:
    assert main(["rung", *words, f"--into={tmp_path}", "--", "true"]) == 2


def test_where_nothing_can_be_kept_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    stages = DoorStages(MachineDoor())
    assert main(["rung", "good", f"--into={tmp_path}/file", "--", "true"], stages) == 7
    assert "good.out can't be written" in capsys.readouterr().err


class Agent(MachineDoor):
    """A door behind which an agent answers; an answer that is no text is said by virsh."""

    def __init__(self, *answers: object) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[dict[str, object]] = []
        self.now = 0.0

    def run(self, command: Command, watch: object = None):  # noqa: ANN201, ARG002
        self.asked.append(json.loads(command.argv[-1]))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            return super().run(Command(argv=("sh", "-c", f"echo '{answer}' >&2; exit 1"), why=""))
        text = answer if isinstance(answer, str) else json.dumps({"return": answer})
        return super().run(Command(argv=("printf", "%s", text), why=""))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


def guest_run(*answers: object, words: Sequence[str] = ("check", "--all")) -> tuple[int, Agent]:
    door = Agent(*answers)
    return main(["guest-run", "--limit=9", "proof", "--", *words], DoorStages(door)), door


def ended(code: object, **data: str) -> dict[str, object]:
    told = {f"{key}-data": base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"exited": True, "exitcode": code, **told}


def test_a_program_in_the_guest_ends_as_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    code, door = guest_run({"pid": 7}, {"exited": False}, ended(0, out="all well\x1b[2J\n"))
    assert code == 0
    assert capsys.readouterr().out == "all well\\x1b[2J\n"
    assert door.asked[0] == {
        "execute": "guest-exec",
        "arguments": {"path": "check", "arg": ["--all"], "capture-output": True},
    }
    assert door.asked[-1]["arguments"] == {"pid": 7}
    assert guest_run({"pid": 7}, ended(3, err="broken"))[0] == 3
    assert "broken" in capsys.readouterr().out


@pytest.mark.parametrize("code", [None, "0", -1, 256, True])
def test_an_end_that_is_none_is_a_bad_one(code: object) -> None:
    assert guest_run({"pid": 7}, ended(code))[0] == 1


def test_output_that_is_not_base64_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert guest_run({"pid": 7}, {"exited": True, "exitcode": 0, "out-data": "é"})[0] == 0
    assert capsys.readouterr().out.strip() == ""


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (({"pid": "7"},), "which process"),
        (({},), "which process"),
        (([],), "nothing that can be read"),
        (("{",), "nothing that can be read"),
        (("[]",), "nothing that can be read"),
        ((ValueError("guest agent is not connected"),), "not connected"),
        (({"pid": 7}, {"exited": False}), "still runs in the guest after 9 s"),
    ],
)
def test_an_agent_that_does_not_do_it(
    answers: tuple[object, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guest_run(*answers)[0] == 5
    assert says in capsys.readouterr().err
