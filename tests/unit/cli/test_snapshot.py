"""The verbs about snapshots, from the command line down to a host in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.lvm import FakeVolume

from kvmkeep.cli.moment import span
from kvmkeep.errors import UsageError
from kvmkeep.host.clock import utc_now
from kvmkeep.model.names import second_stamp
from tests.unit.cli.site import Site


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """Return a host with a running guest whose agent is connected."""
    made = Site(tmp_path)
    made.host.lvm.size <<= 2
    assert made.line("apply", "--yes") == 0
    made.host.libvirt.domains["web"].agent = True
    capsys.readouterr()
    return made


def listed(site: Site, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    assert site.line("snapshot", "list", "--json") == 0
    return json.loads(capsys.readouterr().out)["sets"]


def test_a_set_is_taken_and_listed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("snapshot", "list") == 0
    assert "No snapshots." in capsys.readouterr().err
    assert site.line("snapshot", "create", "web", "--dry-run") == 0
    assert "with its filesystems frozen" in capsys.readouterr().out
    assert site.line("snapshot", "create", "web", "--expires", "7d", "--size", "1GiB") == 0
    capsys.readouterr()
    (one,) = listed(site, capsys)
    assert (one["guest"], one["consistency"], one["trouble"]) == ("web", "frozen", "")
    assert one["expired"] is False
    assert one["can_overflow"] is True
    assert site.line("snapshot", "list", "web") == 0
    assert "good" in capsys.readouterr().out
    assert site.line("snapshot", "list", "wbe") == 0
    said = capsys.readouterr().err
    assert "No snapshots of wbe." in said
    assert "the spec has no guest wbe" in said


def test_where_the_agent_does_not_freeze_this_is_said_and_done_without(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.libvirt.stubborn_agents.add("web")
    assert site.line("snapshot", "create", "web", "--consistency", "frozen") == 7
    assert "freeze the guest's filesystems" in capsys.readouterr().err
    assert site.line("snapshot", "create", "web") == 0
    assert "The guest can't be frozen." in capsys.readouterr().err
    assert [one["consistency"] for one in listed(site, capsys)] == ["crash"]
    # A set of this very second would already be there.
    volumes = site.host.lvm.volumes
    site.host.lvm.volumes = {name: one for name, one in volumes.items() if not one.origin}
    site.host.libvirt.silent_agents.add("web")
    assert site.line("snapshot", "create", "web") == 0
    assert "The guest can't be frozen." in capsys.readouterr().err


def test_states_of_a_set_are_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("snapshot", "create", "web", "--size", "1GiB") == 0
    capsys.readouterr()

    def state() -> str:
        assert site.line("snapshot", "list") == 0
        return capsys.readouterr().out

    (volume,) = [one for one in site.host.lvm.volumes.values() if one.origin]
    volume.filled = 75.5
    assert "filling" in state()
    volume.filled = 1.0
    volume.tags.add("kvmkeep.expires=20200101T000000Z")
    assert "expired" in state()
    volume.invalid = True
    assert "INVALID" in state()


def test_disks_that_are_being_reverted_are_told(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    root = site.host.lvm.volumes["vm-web"]
    root.merging = "vm-web-20261123T0710Z"

    def said(*words: str) -> str:
        assert site.line("snapshot", "list", *words) == 0
        return capsys.readouterr().err

    assert "0 % are still to be merged" in said()
    assert "merged" not in said("other")
    root.waits = True
    assert "the merge has not begun" in said("web")
    root.merge_failed = True
    assert "the merge FAILED" in said()


def test_sizes_and_spans_are_checked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("snapshot", "create", "web", "--size", "much") == 2
    assert "--size" in capsys.readouterr().err
    assert site.line("snapshot", "create", "web", "--expires", "soon") == 2
    assert span("2w", "--expires") == timedelta(days=14)
    with pytest.raises(UsageError, match="not a span"):
        span("0d", "--expires")
    assert second_stamp(utc_now().isoformat()).startswith("20")


def test_a_set_is_deleted_by_name(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("snapshot", "create", "web") == 0
    capsys.readouterr()
    (one,) = listed(site, capsys)
    assert site.line("snapshot", "delete", "web", "nonsense", "--yes") == 2
    assert "has no set 'nonsense'" in capsys.readouterr().err
    assert site.line("snapshot", "delete", "web", str(one["set"]), "--dry-run") == 0
    assert site.line("snapshot", "delete", "web", str(one["set"]), "--yes") == 0
    capsys.readouterr()
    assert listed(site, capsys) == []


def test_a_guest_is_taken_back(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("snapshot", "create", "web") == 0
    capsys.readouterr()
    (one,) = listed(site, capsys)
    words = ("snapshot", "revert", "web", str(one["set"]))
    assert site.line("snapshot", "revert", "web", "nonsense", "--yes") == 2
    assert site.line(*words, "--limit", "0") == 2
    assert site.line(*words, "--yes") == 4
    assert site.line(*words, "--shutdown", "--dry-run") == 0
    assert site.line(*words, "--shutdown", "--yes") == 0
    capsys.readouterr()
    assert listed(site, capsys) == []
    assert site.host.libvirt.domains["web"].state == "running"
    site.host.lvm.volumes["vm-web"].tags.add("kvmkeep.start=after-revert")
    assert site.line(*words, "--yes") == 0


def test_the_present_state_is_kept_where_that_is_asked_for(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("snapshot", "create", "web") == 0
    capsys.readouterr()
    (one,) = listed(site, capsys)
    words = ("snapshot", "revert", "web", str(one["set"]), "--shutdown", "--yes", "--keep")
    assert site.line(*words) == 0
    capsys.readouterr()
    (kept,) = listed(site, capsys)
    assert kept["set"] != one["set"]
    assert (kept["consistency"], kept["trouble"], kept["can_overflow"]) == ("off", "", False)


def sized(site: Site, filled: float) -> FakeVolume:
    assert site.line("snapshot", "create", "web", "--size", "1GiB") == 0
    (volume,) = [one for one in site.host.lvm.volumes.values() if one.origin]
    volume.filled = filled
    return volume


def test_a_pass_has_snapshots_grow_and_tells_of_lost_ones(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = sized(site, 80.0)
    capsys.readouterr()
    assert site.line("snapshot", "watch", "--dry-run") == 0
    assert "extend snapshot" in capsys.readouterr().out
    assert site.line("snapshot", "watch", "other") == 0
    assert volume.size == 1 << 30
    assert site.line("snapshot", "watch") == 0
    assert volume.size > 1 << 30
    capsys.readouterr()
    volume.invalid = True
    assert site.line("snapshot", "watch") == 9
    assert "is lost" in capsys.readouterr().err


class Passes:
    """A door that lets so many passes go by, and does something after each."""

    def __init__(self, door: object, *after: Callable[[], object]) -> None:
        self._door = door
        self._after = list(after)
        self.slept: list[float] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._door, name)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self._after:
            raise KeyboardInterrupt
        self._after.pop(0)()


def test_passes_go_on_until_interrupted_and_say_a_thing_once(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = sized(site, 10.0)
    capsys.readouterr()

    def fill() -> None:
        volume.filled = 80.0

    def lose() -> None:
        volume.invalid = True

    def rest() -> None:
        assert "extend snapshot" in capsys.readouterr().out
        volume.filled = 80.0
        site.door.failing = "lvextend"

    def mend() -> None:
        assert "lvextend" in capsys.readouterr().err
        site.door.failing = ""

    door = Passes(site.door, fill, rest, mend, lose, lambda: None)
    site.stages.host = door
    assert site.line("snapshot", "watch", "--every", "5") == 130
    said = capsys.readouterr()
    assert door.slept == [5.0] * 6
    assert said.err.count("is lost") == 1
    assert volume.size > 1 << 30


@pytest.mark.parametrize(
    "words", [("--at", "5"), ("--at", "96"), ("--by", "0"), ("--by", "1001"), ("--every", "-1")]
)
def test_percentages_and_seconds_of_a_watch_are_checked(site: Site, words: tuple[str, ...]) -> None:
    assert site.line("snapshot", "watch", *words) == 2


def test_expired_sets_are_deleted_at_once(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    volume = sized(site, 1.0)
    capsys.readouterr()
    for words in (["web"], [], ["web", "20261123T0710Z", "--expired"]):
        assert site.line("snapshot", "delete", *words, "--yes") == 2
    assert "--expired takes no names of sets" in capsys.readouterr().err
    assert site.line("snapshot", "delete", "--expired", "--yes") == 0
    assert volume.name in site.host.lvm.volumes
    volume.tags.add("kvmkeep.expires=20200101T000000Z")
    assert site.line("snapshot", "delete", "--expired", "other", "--yes") == 0
    assert volume.name in site.host.lvm.volumes
    assert site.line("snapshot", "delete", "--expired", "--yes") == 0
    assert volume.name not in site.host.lvm.volumes
