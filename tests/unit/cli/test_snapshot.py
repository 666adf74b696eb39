"""The verbs about snapshots, from the command line down to a host in memory."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from unit.cli.test_verbs import Site

from kvmkeep.cli.moment import span, utc_now
from kvmkeep.errors import UsageError
from kvmkeep.model.names import second_stamp


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
    assert site.line("snapshot", "list", "other") == 0
    assert "No snapshots." in capsys.readouterr().err


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
