"""`adopt` and `release`, from the command line down to a host in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.host import FakeHost
from fakes.stages import HostStages
from faults.plans import SPEC_DIR, by_hand

from kvmkeep.cli.main import main
from kvmkeep.model.host_units import UNIT_DIR
from kvmkeep.planning.units.install import plan_install
from kvmkeep.spec.load import load
from tests.unit.cli.site import Site as SiteOfFiles
from tests.unit.planning.rounds import reach


class Site:
    """A host that somebody built by hand; its spec lies in memory as well."""

    def __init__(self, directory: Path) -> None:
        self.host: FakeHost = by_hand()
        self.stages = HostStages(self.host, directory, self.host.facts)

    def line(self, *words: str) -> int:
        return main([*words, "--spec", SPEC_DIR], self.stages)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_taken_over_looked_at_and_let_go(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    before = {*site.host.files}
    assert site.line("adopt", "--show", "old") == 0
    shown = capsys.readouterr().out
    assert f"# --- {SPEC_DIR}/host.yaml" in shown
    assert "adopted: true" in shown
    assert site.line("adopt", "--dry-run", "old") == 0
    assert "mark its domain as ours" in capsys.readouterr().out
    assert {*site.host.files} == before
    assert site.line("adopt", "--yes", "old") == 0
    assert "stays as it is: graphics vnc" in capsys.readouterr().out
    assert site.line("plan", "--exit-code") == 0
    assert site.line("validate") == 0
    assert site.line("show", "old") == 0
    assert site.line("adopt", "--yes", "old") == 0
    assert "Nothing to do." in capsys.readouterr().out
    assert site.line("release", "--dry-run", "old") == 0
    reach(site.host, load(SPEC_DIR, site.host), plan_install)
    assert site.line("release", "--yes", "--all") == 4
    assert "take them away first: kvmkeep uninstall-units" in capsys.readouterr().err
    host_yaml = site.host.files.pop(f"{SPEC_DIR}/host.yaml")
    assert site.line("uninstall-units", "--dry-run") == 0
    assert site.line("uninstall-units", "--yes") == 0
    assert not [path for path in site.host.files if path.startswith(UNIT_DIR)]
    site.host.files[f"{SPEC_DIR}/host.yaml"] = host_yaml
    assert site.line("release", "--yes", "--all") == 0
    assert not [path for path in site.host.files if path.endswith(".yaml")]
    assert site.line("release", "--yes", "--all") == 0
    assert "Nothing to do." in capsys.readouterr().out


def test_the_files_are_shown_as_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("adopt", "--show", "old", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert not shown["written"]
    assert "adopted: true" in shown["files"][f"{SPEC_DIR}/guests/old.yaml"]
    site.host.lvm.volumes["web-root-data"].origin = "root"
    assert site.line("adopt", "--show", "old", "--json") == 4
    assert json.loads(capsys.readouterr().out)["plan"]["refusals"]


def test_a_change_by_hand_is_named_and_taken_in(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("adopt", "--yes", "old") == 0
    site.host.libvirt.domains["old"].autostart = True
    site.host.nm.profiles["b0"].settings["bridge.ageing-time"] = "300"
    site.host.nm.links["br-guests"].ageing_time = 300
    capsys.readouterr()
    assert site.line("plan", "--exit-code") == 9
    said = " ".join(capsys.readouterr().out.split())
    assert "change bridge.ageing-time of br-guests from 300 to 0" in said
    assert "have it not start with the host" in said
    assert site.line("adopt", "--yes", "old", "--network", "vlan7") == 0
    assert site.line("plan", "--exit-code") == 0
    assert b"ageing_time: 300" in site.host.files[f"{SPEC_DIR}/host.yaml"].content


@pytest.mark.parametrize("line", ["adopt --show", "adopt --yes", "release --all --yes"])
def test_a_spec_that_can_not_be_read_is_no_bug(
    tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = SiteOfFiles(tmp_path)
    site.door.forbidden = True
    assert site.line(*line.split()) == 5
    assert "can't be read: Permission denied" in capsys.readouterr().err


def test_what_can_not_be_taken_over_is_refused_by_name(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("adopt", "--show", "nobody") == 4
    assert "no domain of that name" in capsys.readouterr().out
    assert site.line("adopt", "--dry-run", "nobody") == 4
    assert site.line("adopt", "--yes", "nobody") == 4
    assert site.line("adopt", "old") == 2
    assert site.line("release") == 2
    assert "name the guests, or say --all" in capsys.readouterr().err
    assert site.line("release", "--all", "old") == 2
    assert "--all is about all guests: leave the names out" in capsys.readouterr().err
