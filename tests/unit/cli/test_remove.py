"""`remove` and `trash`, from the command line down to a host in memory, with a real spec."""

from __future__ import annotations

import io
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from kvmkeep.cli.age import stamp_age
from kvmkeep.cli.trash_list import state
from kvmkeep.host.door import Result
from kvmkeep.model.command import Command
from kvmkeep.model.facts import Volume
from kvmkeep.model.trash import TrashEntry
from kvmkeep.model.trash_folder import TrashFolder
from kvmkeep.model.units import Size
from tests.unit.cli.conftest import Terminal
from tests.unit.cli.site import GUEST_YAML, HASH, Door, Site


class MovingDoor(Door):
    """Moves the spec's real files as well."""

    def run(self, command: Command, watch: object = None) -> Result:
        words = command.argv
        if words[0] == "sync":
            real = [word for word in words if word.startswith(self._spec_dir)]
            assert all(Path(one).exists() for one in real)
            command = replace(command, argv=tuple(word for word in words if word not in real))
        moves = words[0] == "mv" and self._spec_dir in words[-1] + words[-2]
        if moves and words[-2].startswith(self._spec_dir):
            self.host.put(words[-2], Path(words[-2]).read_bytes())
        result = super().run(command, watch)
        if moves and words[-2].startswith(self._spec_dir):
            Path(words[-2]).unlink()
        elif moves:
            Path(words[-1]).write_bytes(self.host.files.pop(words[-1]).content)
        return result


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """Return a host with the guests web, which is off, and db."""
    made = Site(tmp_path)
    made.door.__class__ = MovingDoor
    text = GUEST_YAML.replace("HASH", HASH).replace(".37", ".38")
    Path(made.spec_dir, "guests/db.yaml").write_text(text)
    assert made.line("apply", "--yes") == 0
    made.host.libvirt.domains["web"].live = None
    capsys.readouterr()
    return made


def entry(site: Site, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert site.line("trash", "list", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["entries"]
    return one


def types(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(text))


def test_a_guest_goes_and_comes_back_with_its_file(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(site.spec_dir, "guests/web.yaml")
    content = file.read_bytes()
    assert site.line("trash", "list") == 0
    assert "The trash is empty." in capsys.readouterr().err
    assert site.line("trash", "list", "--names") == 0
    assert site.line("remove", "web", "--dry-run") == 0
    assert "undefine it" in capsys.readouterr().out
    assert site.line("remove", "web", "--yes") == 0
    assert not file.exists()
    assert site.line("plan", "--exit-code") == 0
    assert site.line("status") == 0
    assert "20 GiB in the trash" in capsys.readouterr().out
    one = entry(site, capsys)
    name = str(one["name"])
    assert (one["guest"], one["spec_file"], one["definition"]) == ("web", "web.yaml", True)
    assert one["size"] == 20 << 30
    assert site.line("trash", "list") == 0
    assert "whole" in capsys.readouterr().out
    assert site.line("trash", "list", "--names") == 0
    assert capsys.readouterr().out == f"{name}\n"
    assert site.line("trash", "restore", name, "--dry-run") == 0
    assert site.line("trash", "restore", name, "--yes") == 0
    assert file.read_bytes() == content
    assert site.line("plan", "--exit-code") == 0
    assert "web" in site.host.libvirt.domains


def test_what_there_is_nothing_of_is_a_usage_error(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ("remove", "nobody", "--yes"),
        ("remove", "web", "--disk", "data", "--yes"),
        ("remove", "../web", "--yes"),
        ("remove", "web", "--disk", "/", "--yes"),
        ("remove", "web", "--disk", "data", "--shutdown", "--yes"),
        ("remove", "web", "--limit", "0", "--yes"),
        ("trash", "restore", "web-20261123T0710Z", "--yes"),
        ("trash", "empty", "web-20261123T0710Z", "--really", "web"),
        ("trash", "empty"),
        ("trash", "empty", "--older", "soon"),
    ):
        assert site.line(*words) == 2, words
    assert "Nothing was touched" in capsys.readouterr().err
    assert {*site.host.libvirt.domains} == {"web", "db"}


def test_a_running_guest_and_a_protected_one_are_refused(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("remove", "db", "--yes") == 4
    assert "--shutdown" in capsys.readouterr().err
    file = Path(site.spec_dir, "guests/db.yaml")
    file.write_text(file.read_text() + "protect: true\n")
    assert site.line("remove", "db", "--yes", "--shutdown") == 4
    assert "protect: true" in capsys.readouterr().err
    assert site.host.libvirt.domains["db"].state == "running"
    file.write_text(file.read_text().replace("protect: true", "protect: false"))
    assert site.line("remove", "db", "--yes", "--shutdown") == 0


def test_a_disk_that_the_spec_dropped_goes_alone(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = ("kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=data")
    site.host.lvm.add("vm-web-data", 1 << 30, *tags)
    assert site.line("remove", "web", "--disk", "data", "--yes") == 0
    assert entry(site, capsys)["volumes"][0]["was"] == "rl_build/vm-web-data".partition("/")[2]
    assert site.line("trash", "list") == 0
    assert "disk only" in capsys.readouterr().out


def test_a_file_that_the_spec_can_not_have_any_more_is_not_brought_back(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("remove", "web", "--yes") == 0
    name = str(entry(site, capsys)["name"])
    host = Path(site.spec_dir, "host.yaml")
    text = host.read_text()
    host.write_text(text.replace("debian:", "rocky:"))
    Path(site.spec_dir, "guests/db.yaml").unlink()
    assert site.line("trash", "restore", name, "--yes") == 3
    said = capsys.readouterr().err
    assert "with the guest's file back, the spec would have mistakes" in said
    assert "guests/web.yaml" in said
    assert site.host.libvirt.domains.keys() == {"db"}
    host.write_text(text)
    new = GUEST_YAML.replace("HASH", HASH)
    Path(site.spec_dir, "guests/web.yaml").write_text(new)
    assert site.line("trash", "restore", name, "--yes") == 4
    assert "now" in capsys.readouterr().err


def test_a_kept_file_that_vanishes_is_no_reason_to_end(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("remove", "web", "--yes") == 0
    name = str(entry(site, capsys)["name"])
    file = f"/var/lib/kvmkeep/trash/{name}/web.yaml"
    read = site.door.read
    site.door.read = lambda path, limit=1 << 20: None if path == file else read(path, limit)  # type: ignore[method-assign]
    assert site.line("trash", "restore", name, "--dry-run") == 0


def test_only_just_the_guests_name_destroys(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("remove", "web", "--yes") == 0
    name = str(entry(site, capsys)["name"])
    before = {*site.host.lvm.volumes}
    monkeypatch.setattr(sys, "stdin", io.StringIO("web\n"))
    assert site.line("trash", "empty", name) == 2
    assert "--really" in capsys.readouterr().err
    for text in ("\n", "y\n", "yes\n", "db\n", "web db\n"):
        types(monkeypatch, text)
        assert site.line("trash", "empty", name) == 130
        assert "type the name of each guest (web)" in capsys.readouterr().err
    assert site.line("trash", "empty", name, "--really", "db") == 2
    assert site.line("trash", "empty", name, "--really", "web", "--really", "db") == 2
    assert site.line("trash", "empty", name, "--dry-run") == 0
    assert "DESTROY LV rl_build/trash-" in capsys.readouterr().out
    assert site.line("trash", "empty", "--older", "1h", "--really", "web") == 0
    assert "Nothing in the trash is that old." in capsys.readouterr().err
    assert {*site.host.lvm.volumes} == before
    types(monkeypatch, "web\n")
    assert site.line("trash", "empty", name) == 0
    assert {*site.host.lvm.volumes} == {"vm-db"}


def test_what_is_old_is_destroyed_by_its_age(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = {"kvmkeep", "kvmkeep.guest=old", "kvmkeep.trash=20200101T0000Z", "kvmkeep.was=vm-old"}
    site.host.lvm.add("trash-20200101T0000Z-vm-old", 1 << 30, *tags)
    assert site.line("remove", "web", "--yes") == 0
    assert site.line("trash", "empty", "--older", "4w", "--really", "old") == 0
    assert entry(site, capsys)["guest"] == "web"


def test_what_can_not_be_read_makes_the_host_not_ready(site: Site) -> None:
    def denied(directory: str) -> tuple[str, ...]:
        raise PermissionError(13, os.strerror(13), directory)

    site.host.names = denied  # type: ignore[method-assign]
    assert site.line("trash", "list") == 5


@pytest.mark.parametrize(
    ("tags", "folder", "word"),
    [
        ((), None, "ON ITS WAY"),
        (("kvmkeep.was=vm-web",), None, "disk only"),
        (("kvmkeep.was=vm-web", "kvmkeep.state=emptying"), None, "DESTROYED IN PART"),
        (("kvmkeep.was=vm-web",), TrashFolder(name="x", files=(), domain=None), "whole"),
    ],
)
def test_the_state_of_an_entry_is_told(
    tags: tuple[str, ...], folder: TrashFolder | None, word: str
) -> None:
    volume = Volume(
        vg="rl_build", name="trash-x", size=Size(1), tags=tags, active=True, opened=False,
        device="", attributes="-wi-a-----",
    )  # fmt: skip
    one = TrashEntry(guest="web", stamp="20261123T0710Z", volumes=(volume,), folder=folder)
    assert state(one) == word


def test_the_age_of_an_entry_is_told_in_hours_and_then_in_days() -> None:
    then = datetime(2026, 11, 23, 7, 10, tzinfo=UTC)
    later = [then + timedelta(**{unit: 5}) for unit in ("minutes", "hours", "days")]
    told = [stamp_age("20261123T0710Z", now) for now in later]
    assert told == ["0 h", "5 h", "5 d"]
    assert stamp_age("20269923T0710Z", then) == "-"


def test_what_was_removed_by_a_clock_that_is_ahead_has_no_age_yet() -> None:
    now = datetime(2026, 11, 23, 7, 9, tzinfo=UTC)
    assert stamp_age("20261123T0710Z", now) == "future"
