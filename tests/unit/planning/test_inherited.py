"""A guest that is made anew under a name whose backups are remembered."""

from __future__ import annotations

from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.backup import BackupFacts, LastBackup
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Note
from kvmkeep.model.spec import Spec
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import reach

WANTED = spec(guest("web"))
LAST = LastBackup(identity="web", repository="vault", moment="20261127T0000Z", level="frozen")


def facts(host: FakeHost, wanted: Spec = WANTED) -> Facts:
    return replace(host.facts(wanted), backups=BackupFacts(last=(LAST,)))


def told(host: FakeHost, wanted: Spec = WANTED) -> list[Note]:
    notes = make_plan(wanted, facts(host, wanted)).notes
    return [one for one in notes if one.text.startswith("an earlier web has backups")]


def test_it_is_told_before_it_is_made_and_not_of_one_that_is_there() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    (note,) = told(host)
    assert note.subject == "guest web"
    assert "the last of 20261127T0000Z in vault" in note.text
    assert "kvmkeep backup restore web" in note.text
    assert "(such as web-2)" in note.text
    own = spec(replace(guest("web"), identity="web-2"))
    assert told(host, own) == []
    reach(host, WANTED)
    assert told(host) == []
