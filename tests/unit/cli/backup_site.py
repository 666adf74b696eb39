"""A host in memory with a guest that is to be backed up, for the verbs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.site import Site

KEYS = """\
repositories: {vault: {url: /srv/vault, password_file: /root/pw}}
"""


class BackupSite(Site):
    """A host with a running guest that is to be backed up."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.host.lvm.size <<= 2
        self.add("host.yaml", KEYS)
        self.add("guests/web.yaml", "backup: {repository: vault}\n")
        for name in ("host.yaml", "guests/web.yaml"):
            self.host.put(f"{self.spec_dir}/{name}", b"x: y\n")

    def with_vault(self) -> None:
        """Have the guest run, with an agent, and the repository made."""
        assert self.line("apply", "--yes") == 0
        self.host.libvirt.domains["web"].agent = True
        assert self.line("backup", "init", "vault") == 0

    def add(self, name: str, text: str) -> None:
        with (Path(self.spec_dir) / name).open("a") as file:
            file.write(text)


def listed(site: Site, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert site.line("backup", "list", "--json") == 0
    return json.loads(capsys.readouterr().out)["backups"]
