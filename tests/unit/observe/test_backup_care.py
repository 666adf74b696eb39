"""What is remembered of backups, read back; what is not whole is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from fakes.host import FakeHost

from kvmkeep.model.backup import LastBackup, Part, Upkeep
from kvmkeep.observe.backup_care import last_backups, observe_memos, proofs, upkeep
from kvmkeep.observe.notebook import Notebook
from tests.unit.planning.build import VAULT

NOW = datetime(2026, 11, 27, tzinfo=UTC)
MADE = {"identity": "web", "repository": "vault", "moment": "20261127T0000Z", "level": "frozen"}
PROVEN = {
    "repository": "vault", "guest": "web", "moment": "20261126T0000Z",
    "time": "2026-11-26T06:00:00Z", "proven": True, "rungs": [],
}  # fmt: skip


def put(host: FakeHost, path: str, value: object) -> None:
    host.put(f"/var/lib/kvmkeep/{path}", json.dumps(value).encode())


def test_the_last_backup_of_each_guest() -> None:
    host = FakeHost()
    put(host, "backups/web.json", MADE)
    put(host, "backups/db.json", MADE)  # somebody else's name
    put(host, "backups/torn.json", {"identity": "torn"})
    put(host, "backups/odd.json", MADE | {"identity": "odd", "moment": "yesterday"})
    host.put("/var/lib/kvmkeep/backups/text.json", b"\xff")
    assert tuple(last_backups(Notebook(host))) == (LastBackup(**MADE),)
    assert observe_memos(host, NOW).last == (LastBackup(**MADE),)


def test_the_last_proof_or_all_of_them() -> None:
    host = FakeHost()
    for day in ("20261124T0000Z", "20261126T0000Z"):
        put(host, f"proofs/web/{day}.json", PROVEN | {"moment": day})
    host.put("/var/lib/kvmkeep/proofs/web/20261126T0000Z.screen", b"login:")
    for name, wrong in (
        ("a", {"guest": "other"}), ("b", {"time": "at noon"}), ("c", {"proven": "perhaps"}),
    ):  # fmt: skip
        put(host, f"proofs/{name}/20261126T0000Z.json", PROVEN | {"guest": name} | wrong)
    (one,) = proofs(Notebook(host), NOW)
    assert one.moment == "20261126T0000Z"
    assert len(tuple(proofs(Notebook(host)))) == 2
    assert observe_memos(host, NOW).proof_of("web", NOW) == one
    future = {"moment": "20360101T0000Z"}
    put(host, "proofs/web/20360101T0000Z.json", PROVEN | future)  # a clock was wrong
    assert tuple(proofs(Notebook(host), NOW)) == (one,)


def test_proofs_lie_below_the_identity_of_their_guest() -> None:
    host = FakeHost()
    put(host, "proofs/web/20261126T0000Z.json", PROVEN | {"guest": "shop", "identity": "web"})
    put(host, "proofs/shop/20261125T0000Z.json", PROVEN | {"guest": "shop", "identity": "web"})
    (one,) = proofs(Notebook(host))
    assert (one.guest, one.whose) == ("shop", "web")


def test_the_upkeep_of_repositories() -> None:
    host = FakeHost()
    assert tuple(upkeep(Notebook(host), (VAULT,))) == (Upkeep(repository="vault"),)
    host.put("/var/lib/kvmkeep/backups/vault.pruned", b"2026-11-27T12:00:00+00:00\n")
    host.put("/var/lib/kvmkeep/backups/vault.verified", b"never")
    (one,) = upkeep(Notebook(host), (VAULT,))
    assert one == Upkeep(repository="vault", pruned="2026-11-27T12:00:00+00:00")
    host.put("/var/lib/kvmkeep/backups/vault.begun", b"2026-11-28T12:00:00+00:00\n")
    (one,) = upkeep(Notebook(host), (VAULT,))
    assert one.begun == "2026-11-28T12:00:00+00:00"
    place = "/var/lib/kvmkeep/backups/vault.verified"
    host.put(place, b"2026-11-27T12:00:00+00:00\n7/20\n1/2\n")
    (one,) = upkeep(Notebook(host), (VAULT,))
    assert one.verified == "2026-11-27T12:00:00+00:00"
    assert one.parts == (Part(number=7, of=20), Part(number=1, of=2))
    for odd in (b"0/20", b"21/20", b"1/101", b"7", b"x/y", b"\xff", b""):
        host.put(place, b"2026-11-27T12:00:00+00:00\n" + odd)
        (one,) = upkeep(Notebook(host), (VAULT,))
        assert (one.verified, one.parts) == ("2026-11-27T12:00:00+00:00", ())
