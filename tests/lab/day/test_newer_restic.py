"""Debian's next restic goes on in a repository that this one's has begun."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import sites
from backing_up import LONG, backups, fails, nothing_is_left, ours, store

from lab.debs import install_debs

if TYPE_CHECKING:
    from labhost import Host

pytestmark = pytest.mark.long

NEWER = "restic/trixie"


def test_both_versions_read_and_prove_what_either_has_stored(site: Host) -> None:
    process = site.qemu_pid("alpha")
    site.ssh("root", sites.ALPHA, "echo precious > /root/mark; sync")
    site.must("umask 077; echo of-the-repository > /root/vault.password; echo x > /root/wrong")
    store(site, url="/srv/vault")
    ours(site, "backup", "init", "vault")
    ours(site, "backup", "run", "alpha")
    before = site.must("restic version").split()[1]

    install_debs(site.lab, NEWER)
    assert site.must("restic version").split()[1] != before
    ours(site, "backup", "run", "alpha")
    first, second = backups(site)
    assert second["added"] < 24 << 20
    assert json.loads(ours(site, "backup", "show", "alpha", "--json"))["manifest"]["versions"][
        "engine"
    ].startswith("restic 0.1")
    nothing_is_left(site)
    site.must("mkdir -p /root/out")
    for entry in (first, second):
        which = f"alpha@{entry['moment']}"
        site.must("rm -f /root/out/*")
        ours(site, "backup", "copy-out", which, "/root/mark", "/root/out")
        assert site.must("cat /root/out/mark").strip() == "precious"
        ours(site, "backup", "prove", which)
        ours(site, "backup", "restore", which, "--disk", "logs", "--to", "/root/out/logs.raw")
        site.must("test $(stat -c %s /root/out/logs.raw) = $((32 << 20))")
    nothing_is_left(site)

    store(site, url="/srv/vault", password_file="/root/wrong")
    said = fails(site, 5, "backup", "run", "alpha")
    assert "is not its password" in said
    assert "{" not in said
    store(site, url="/srv/elsewhere")
    assert "kvmkeep backup init vault" in fails(site, 5, "backup", "run", "alpha")
    store(site, url="/srv/vault")
    ours(site, "backup", "verify", "--data", "100")
    ours(site, "backup", "forget", "--all", "--yes")
    ours(site, "backup", "prune")
    assert [one["moment"] for one in backups(site)] == [second["moment"]]
    site.must("kvmkeep shutdown alpha", limit=LONG)
    ours(site, "backup", "restore", "alpha", "--yes")
    site.must("kvmkeep start alpha", limit=LONG)
    assert site.ssh("root", sites.ALPHA, "cat /root/mark").strip() == "precious"
    assert site.qemu_pid("alpha") != process
    nothing_is_left(site)
