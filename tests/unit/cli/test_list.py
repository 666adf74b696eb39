from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.stages import LibvirtStages

from kvmkeep.cli.guests import named_in
from kvmkeep.cli.main import main
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.units import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    name: str
    state: DomainState = DomainState.RUNNING
    autostart: bool = True
    vcpus: int = 2
    memory: Size = field(default_factory=lambda: Size(1 << 30))


class Libvirt:
    """Answers with these states; has nothing else, so that nothing slower can be asked for."""

    def __init__(self, *states: State) -> None:
        self._states = states

    def states(self) -> tuple[State, ...]:
        return self._states


@pytest.fixture
def spec(tmp_path: Path) -> str:
    guests = tmp_path / "guests"
    guests.mkdir()
    (tmp_path / "host.yaml").write_text("this is not read: {{{")
    (guests / "web.yaml").write_text("image: x\n")
    (guests / "later.yaml").write_text("name: database\nimage: x\n")
    (guests / "notes.txt").write_text("no guest")
    return str(tmp_path)


STAGES = LibvirtStages(
    Libvirt(
        State(name="web"),
        State(name="foreign\x1b[2J", state=DomainState.SHUTOFF, autostart=False),
        State(name="kvmkeep-proof-web"),
    )
)


def test_a_table_of_spec_and_libvirt(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--spec", spec], STAGES) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[1:]]
    assert rows[0] == ["database", "absent", "no", "yes", "-", "-"]
    assert rows[1][:1] == ["foreign\\u001b[2J"]
    assert rows[1][1:4] == ["shut", "off", "no"]
    assert rows[2] == ["web", "running", "yes", "yes", "2", "1", "GiB"]


def test_json_holds_the_same(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json", "--spec", spec], STAGES) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1
    assert [guest["name"] for guest in document["guests"]] == ["database", "foreign\x1b[2J", "web"]
    assert document["guests"][2]["memory"] == 1 << 30
    assert document["guests"][2]["in_spec"] is True


def test_names_are_only_those_that_a_shell_may_have(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "--names", "--spec", spec], STAGES) == 0
    assert capsys.readouterr().out == "database\nweb\n"


def test_filters(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "--json", "--state", "absent", "--spec", spec], STAGES)
    assert [g["name"] for g in json.loads(capsys.readouterr().out)["guests"]] == ["database"]
    main(["list", "web", "nobody", "--json", "--spec", spec], STAGES)
    said = capsys.readouterr()
    assert [g["name"] for g in json.loads(said.out)["guests"]] == ["web"]
    assert "no such guest: nobody" in said.err
    main(["list", "web", "--state", "absent", "--spec", spec], STAGES)
    assert capsys.readouterr().err == "No guests.\n", "there is one, in another state"
    main(["list", "-l", "web", "--state", "absent", "--spec", spec], STAGES)
    assert "no such guest" not in capsys.readouterr().err
    assert main(["list", "--state", "runing", "--spec", spec], STAGES) == 2
    said = capsys.readouterr()
    assert "'runing' is no state of a guest" in said.err
    assert "running" in said.err


def test_without_a_spec_and_without_guests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = LibvirtStages(Libvirt())
    assert main(["list", "--spec", str(tmp_path / "none")], stages) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "No guests." in said.err


def test_a_narrow_terminal_gets_blocks(
    spec: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    main(["list", "--spec", spec], STAGES)
    out = capsys.readouterr().out
    assert "web\n  state: running\n" in out
    assert max(len(line) for line in out.splitlines()) <= 40


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"image: x\n", "file"),
        (b"image: x\nname: other # comment\n", "other"),
        (b"name: 'other'\r\n", "other"),
        (b"disks:\n  name: 1GiB\n", "file"),
        (b"name: BAD NAME\n", "file"),
    ],
)
def test_a_guests_name_is_found_without_parsing(content: bytes, name: str) -> None:
    assert named_in(content, "file.yaml") == name
