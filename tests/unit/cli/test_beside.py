"""What a plan goes by beside the facts is seen through the run's own door, and told its journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.stages import HostStages

from kvmkeep.apply.journal import digest
from kvmkeep.cli.beside import Beside
from kvmkeep.host.door import Door, ProgressWatcher, Result
from kvmkeep.host.run import Setting
from kvmkeep.model.command import Command
from kvmkeep.model.way import Way
from tests.unit.cli.backup_site import BackupSite


class Marked:
    """A door that notes what is asked through it."""

    def __init__(self, door: object, asked: list[str]) -> None:
        self._door = door
        self._asked = asked

    def __getattr__(self, name: str) -> object:
        return getattr(self._door, name)

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        self._asked.append(str(command))
        return self._door.run(command, watch)  # type: ignore[attr-defined,no-any-return]

    def way(self, directory: str) -> Way:
        self._asked.append(f"way {directory}")
        return self._door.way(directory)  # type: ignore[attr-defined,no-any-return]

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        self._asked.append(f"read {path}")
        return self._door.read(path, limit)  # type: ignore[attr-defined,no-any-return]

    def names(self, directory: str) -> tuple[str, ...]:
        self._asked.append(f"names {directory}")
        return self._door.names(directory)  # type: ignore[attr-defined,no-any-return]


@dataclass
class Doors(HostStages):
    """Tells what was asked through the door of a run, which shares the run's request to stop."""

    asked: list[str] = field(default_factory=list)

    def door(self, setting: Setting | None = None) -> Door:
        door = super().door(setting)
        return door if setting is None else Marked(door, self.asked)  # type: ignore[return-value]


@pytest.fixture
def site(tmp_path: Path) -> BackupSite:
    made = BackupSite(tmp_path)
    made.with_vault()
    assert made.line("backup", "run", "web") == 0
    made.stages = Doors(made.door, tmp_path, made.observe)
    return made


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (("backup", "prove", "web"), " snapshots --json"),
        (("backup", "prove", "web"), "names /var/lib/kvmkeep/proof/web/"),
        (("backup", "restore", "web", "--disk", "root", "--to", "/srv/x.raw"), "way /srv"),
        (("inspect", "web"), "read /run/kvmkeep/inside/web.txt"),
        (("copy-out", "web", "/etc/hosts", "/srv"), "names /srv"),
        (("backup", "copy-out", "web", "/etc/hosts", "/srv"), "names /srv"),
    ],
)
def test_a_request_to_stop_reaches_it(site: BackupSite, line: tuple[str, ...], asked: str) -> None:
    assert isinstance(site.stages, Doors)
    site.line(*line, "--dry-run")
    assert site.stages.asked == []
    site.line(*line)
    assert [one for one in site.stages.asked if asked in one], site.stages.asked


def test_each_look_sees_anew_and_is_told_for_the_journal() -> None:
    answers = [None, ("seen", 1)]
    beside = Beside(lambda _door: answers.pop())
    door: Door = None  # type: ignore[assignment]
    first = beside.look(door)
    assert beside.seen == ("seen", 1)
    second = beside.look(door)
    assert beside.seen is None
    assert digest(first) != digest(second)
