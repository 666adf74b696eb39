"""What lies ready of backups that are on their way."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from fakes.host import FakeHost

from kvmkeep.model.backup import RepositoryState, SentDisk, StagedSet
from kvmkeep.model.units import Size
from kvmkeep.observe.backups import observe_backups
from kvmkeep.observe.notebook import Notebook
from tests.unit.planning.build import VAULT, spec

NOW = datetime(2026, 11, 27, tzinfo=UTC)
FOLDER = "/var/lib/kvmkeep/backup/web/20261123T0710Z"
DONE = {
    "disk": "root", "object": "a1", "size": {"bytes": 4096}, "sha256": "ab", "read": {"bytes": 1},
    "added": {"bytes": 2}, "started": "s", "ended": "e",
}  # fmt: skip


def staged(host: FakeHost) -> tuple[StagedSet, ...]:
    notebook = Notebook(host)
    found = observe_backups(notebook, None, (), "/usr/bin/kvmkeep", NOW)
    assert notebook.problems == ()
    assert found.repositories == ()
    return found.staged


def test_a_disk_that_was_sent() -> None:
    host = FakeHost()
    host.put(f"{FOLDER}/root.blocks", b"x")
    host.put(f"{FOLDER}/root.blocks.done", json.dumps(DONE).encode())
    (one,) = staged(host)
    assert (one.guest, one.moment) == ("web", "20261123T0710Z")
    assert one.names == ("root.blocks", "root.blocks.done")
    assert one.sent == (
        SentDisk(
            disk="root", object="a1", size=Size(4096), sha256="ab", read=Size(1), added=Size(2),
            started="s", ended="e",
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"[]", b'{"disk": "root"}',
        json.dumps({**DONE, "size": {"bytes": -1}}).encode(),
        json.dumps({**DONE, "size": {"bytes": 1 << 70}}).encode(),
        json.dumps({**DONE, "disk": "data"}).encode(),
    ],
)  # fmt: skip
def test_what_is_not_whole_counts_as_not_sent(content: bytes) -> None:
    host = FakeHost()
    host.put(f"{FOLDER}/root.blocks.done", content)
    assert staged(host)[0].sent == ()


def test_a_folder_that_is_none_of_ours() -> None:
    host = FakeHost()
    host.put("/var/lib/kvmkeep/backup/web/notes/x", b"x")
    assert staged(host) == ()


def test_only_repositories_that_are_asked_for_are_looked_into() -> None:
    host = FakeHost()
    wanted = spec(repositories=(VAULT,))
    assert observe_backups(Notebook(host), wanted, (), "k", NOW).repositories == ()
    assert host.calls == []
    (seen,) = observe_backups(Notebook(host), wanted, ("vault", "other"), "k", NOW).repositories
    assert (seen.name, seen.state) == ("vault", RepositoryState.ABSENT)


def test_whether_another_run_is_at_it() -> None:
    host = FakeHost()
    assert observe_backups(Notebook(host), None, (), "k", NOW).running is False
    host.backup_running = True
    assert observe_backups(Notebook(host), None, (), "k", NOW).running is True
    assert observe_backups(Notebook(host), None, (), "k", NOW).proving is False
    host.proof.running = True
    assert observe_backups(Notebook(host), None, (), "k", NOW).proving is True


def test_caches_that_killed_checks_have_left() -> None:
    host = FakeHost()
    place = "/var/cache/kvmkeep/restic"
    for name in ("restic-check-cache-1/index/a", "1234abcd/index/b", "CACHEDIR.TAG"):
        host.put(f"{place}/{name}", b"x")
    found = observe_backups(Notebook(host), None, (), "/usr/bin/kvmkeep", NOW)
    assert found.caches == (f"{place}/restic-check-cache-1",)
