"""The verb that writes a page about the host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.host import FakeFile

from kvmkeep.model.facts import Facts
from tests.unit.cli.site import Site
from tests.unit.cli.test_check import degraded, site

__all__ = ["site"]


def test_the_page_tells_what_check_finds(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.files["/srv"] = FakeFile(content=b"", inode=1, stamp=1, kind="directory")
    site.change = degraded
    assert site.line("report", "--html", "/srv/host.html") == 0
    assert capsys.readouterr().out == "/srv/host.html: build.example.org is critical\n"
    file = site.host.files["/srv/host.html"]
    assert file.mode == 0o600
    assert b"critical: array md0: it is degraded" in file.content
    assert site.line("report", "--json", "--html", "/srv/host.html") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["status"]) == ("/srv/host.html", "critical")


def test_what_to_type_names_the_spec(site: Site) -> None:
    site.host.files["/srv"] = FakeFile(content=b"", inode=1, stamp=1, kind="directory")
    file = Path(site.spec_dir, "guests/web.yaml")
    file.write_text(file.read_text() + "description: the new one\n")
    assert site.line("report", "--html", "/srv/host.html") == 0
    said = site.host.files["/srv/host.html"].content.decode()
    assert f"kvmkeep --spec {site.spec_dir} plan" in said


def test_what_hangs_is_not_waited_for(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    def hang(_facts: Facts) -> Facts:
        raise TimeoutError(110, "no answer within 20 s", "/srv/debian.raw")

    site.change = hang
    assert site.line("report", "--html", "/srv/host.html") == 5
    assert "/srv/debian.raw: no answer within 20 s" in capsys.readouterr().err


def test_guests_are_asked(site: Site) -> None:
    site.host.files["/srv"] = FakeFile(content=b"", inode=1, stamp=1, kind="directory")
    site.host.libvirt.silent_agents.add("web")
    assert site.line("report", "--html", "/srv/host.html") == 0
    assert b"its agent did not answer within 2 s" in site.host.files["/srv/host.html"].content


def test_a_page_goes_into_no_directory_that_is_not_there(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("report", "--html", "/src/host.html") == 5
    assert "there is no directory /src" in capsys.readouterr().err
    assert "/src/host.html" not in site.host.files


def test_without_a_file_there_is_nothing_to_do(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("report") == 2
    assert "--html" in capsys.readouterr().err
