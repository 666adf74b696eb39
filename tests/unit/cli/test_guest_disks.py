"""Disks of a guest as `show` tells them: files, and LVs that the spec does not name any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.site import Site

GIB = 1 << 30
FAR = "far: {file: /data/far.img, mount: /data, size: 1GiB}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    file = tmp_path / "spec/guests/web.yaml"
    text = file.read_text()
    assert "{root: 20GiB}" in text
    file.write_text(text.replace("{root: 20GiB}", f"{{root: 20GiB, data: 1GiB, {FAR}}}"))
    made.host.mounts.add("/data")
    assert made.line("apply", "--yes") == 0
    return made


def test_files_and_what_is_kept_are_told(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("show", "web") == 0
    assert "/data/far.img         1 GiB" in capsys.readouterr().out
    file = tmp_path / "spec/guests/web.yaml"
    file.write_text(file.read_text().replace("data: 1GiB, ", ""))
    del site.host.files["/data/far.img"]
    assert site.line("show", "web") == 0
    told = capsys.readouterr().out
    assert "/data/far.img         absent" in told
    assert "rl_build/vm-web-data  1 GiB, kept: the spec does not name it" in told
    site.host.mounts.clear()
    assert site.line("show", "web") == 0
    assert "nothing is mounted at /data" in capsys.readouterr().out
    site.host.lvm.volumes["vm-web-data"].tags.add("kvmkeep.trash=20261123T0710Z")
    assert site.line("show", "web") == 0
    assert "vm-web-data  1 GiB" not in capsys.readouterr().out
    assert site.host.lvm.volumes["vm-web-data"].size == GIB
