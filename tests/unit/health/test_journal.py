"""The journal: where no run can be written down, none that somebody types begins."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kvmkeep.model.health import Severity
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.model.vitals import SpecFileStat
from kvmkeep.spec.login import NO_LOGIN
from tests.unit.health.build import ROOT, SPEC, WEB, findings, only

CRITICAL = Severity.CRITICAL


def test_a_journal_that_can_not_be_written() -> None:
    found = only(CRITICAL, "journal-unwritable", journal="root can't write into it")
    assert (found.subject, found.what) == ("journal", "root can't write into it")
    assert "lsattr -d /var/lib/kvmkeep/journal" in found.todo
    # These go on without a journal: nobody is there to mend what is in the way.
    assert "watch, recover and shutdown --host go on" in found.why


@pytest.mark.parametrize("full", [{"free": Size(0)}, {"inodes_free": 0}])
def test_a_journal_on_a_filesystem_that_is_full(full: dict[str, object]) -> None:
    var = replace(ROOT, mount="/var", **full)
    names = {one.name: one for one in findings(spaces=(ROOT, var))}
    assert names.keys() == {"journal-unwritable", "filesystem-full"}
    found = names["journal-unwritable"]
    assert (found.what, found.severity) == ("its filesystem /var is full", CRITICAL)
    assert "kvmkeep" not in found.todo
    elsewhere = replace(ROOT, mount="/boot", **full)
    assert "journal-unwritable" not in {one.name for one in findings(spaces=(ROOT, elsewhere))}
    beside = replace(ROOT, mount="/var/lib/kvm", **full)
    assert "journal-unwritable" not in {one.name for one in findings(spaces=(ROOT, beside))}
    own = replace(ROOT, mount="/var/lib/kvmkeep")
    assert "journal-unwritable" not in {one.name for one in findings(spaces=(var, own))}


def test_a_filesystem_without_inodes_is_not_full() -> None:
    assert findings(spaces=(replace(ROOT, inodes=0, inodes_free=0),)) == ()
    assert findings(spaces=()) == ()


def spec_file(name: str, kind: str = "file", mode: int = 0o644) -> SpecFileStat:
    return SpecFileStat(path=f"/etc/kvmkeep/{name}", owner=0, mode=mode, kind=kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("guests/web.yaml~", "file"), ("guests/web.yaml.bak", "file"), ("guests/web", "file"),
        ("guests/old", "directory"), ("guests/my file", "file"),
    ],
)  # fmt: skip
def test_what_lies_with_the_guests_and_is_not_read(name: str, kind: str) -> None:
    found = only(Severity.OK, "spec-file-not-read", spec_files=(spec_file(name, kind),))
    assert found.subject == f"file /etc/kvmkeep/{name}"
    assert found.todo.endswith(
        "/root/" if " " not in name else "'/etc/kvmkeep/guests/my file' /root/"
    )


FILE = "/etc/kvmkeep/guests/web.yaml"
FOLDERS = (spec_file("guests", "directory", 0o755),)


HASH = replace(NO_LOGIN, password_hash="$6$a$b")


def with_file(**changes: object) -> Spec:
    one = replace(WEB, login=NO_LOGIN, place=replace(WEB.place, file=FILE))
    return replace(SPEC, guests=(replace(one, **changes),))


@pytest.mark.parametrize("secret", [{"user_data": "{}"}, {"login": HASH}])
def test_a_secret_that_everybody_may_read(secret: dict[str, object]) -> None:
    files = (*FOLDERS, spec_file("guests/web.yaml"))
    (found,) = findings(with_file(**secret), spec_files=files)
    assert (found.name, found.severity) == ("spec-readable", Severity.WARNING)
    assert (found.subject, found.todo) == (f"file {FILE}", f"chmod o-r {FILE}")


def test_a_file_that_is_no_secret_or_is_kept() -> None:
    open_file = (*FOLDERS, spec_file("guests/web.yaml"))
    assert findings(with_file(), spec_files=open_file) == ()
    kept = (*FOLDERS, spec_file("guests/web.yaml", mode=0o640))
    closed = (spec_file("guests", "directory", 0o750), spec_file("guests/web.yaml"))
    for files in (kept, closed):
        assert findings(with_file(login=HASH), spec_files=files) == ()


def test_what_belongs_there() -> None:
    names = (
        "guests/web.yaml", "guests/web.yaml.released", "guests/example.yaml.sample",
        "guests/.web.yaml.swp", "notes.txt", "host.yaml",
    )  # fmt: skip
    folders = (spec_file("guests", "directory"), spec_file("templates", "directory"))
    assert findings(spec_files=(*folders, *(spec_file(name) for name in names))) == ()
