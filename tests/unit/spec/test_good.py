"""The last good spec: kept as it was written, used where the present one has a mistake."""

from __future__ import annotations

import pytest
from fakes.host import FakeHost

from kvmkeep.errors import SpecError
from kvmkeep.model.names import GOOD_SPEC
from kvmkeep.spec.good import keep_good, last_good, stand_in
from kvmkeep.spec.load import load
from tests.unit.cli.site import GUEST_YAML, HASH, HOST_YAML

DIRECTORY = "/etc/kvmkeep"
THEN, LATER = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"


def host() -> FakeHost:
    made = FakeHost()
    made.put(f"{DIRECTORY}/host.yaml", HOST_YAML.encode() + b"template: base.xml\n")
    made.put(f"{DIRECTORY}/base.xml", b"<domain type='kvm'/>")
    made.put(f"{DIRECTORY}/guests/web.yaml", GUEST_YAML.replace("HASH", HASH).encode())
    return made


def keep(host: FakeHost, time: str) -> bool:
    seen: dict[str, bytes] = {}
    load(DIRECTORY, host, seen=seen)
    return keep_good(DIRECTORY, seen, time, host)


def test_it_is_the_same_spec_from_the_files_as_they_were() -> None:
    site = host()
    before = load(DIRECTORY, site)
    assert last_good(DIRECTORY, site) is None
    assert keep(site, THEN)
    assert not keep(site, LATER), "nothing has changed"
    site.put(f"{DIRECTORY}/guests/web.yaml", b"vcpus: many\n")
    with pytest.raises(SpecError):
        load(DIRECTORY, site)
    good = last_good(DIRECTORY, site)
    assert good is not None
    assert good[1] == THEN
    assert [(one.name, one.disks, one.run) for one in good[0].guests] == [
        (one.name, one.disks, one.run) for one in before.guests
    ]
    assert good[0].template == before.template
    assert [one.place.file for one in good[0].guests] == [one.place.file for one in before.guests]
    assert site.files[GOOD_SPEC].mode == 0o600


def test_one_that_an_older_kvmkeep_took_for_good_brings_the_host_up() -> None:
    """It let an adopted guest that was renamed, and a new one of its old name, share an identity."""
    site = host()
    old = (
        b"adopted: true\nuuid: 2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01\nidentity: web\nvcpus: 1\n"
        b"memory: 1GiB\ndisks: {root: 4GiB}\n"
    )
    site.put(f"{DIRECTORY}/guests/web-old.yaml", old)
    with pytest.raises(SpecError, match="the identity web is that of"):
        load(DIRECTORY, site)
    names = ("host.yaml", "base.xml", "guests/web.yaml", "guests/web-old.yaml")
    files = {name: site.files[f"{DIRECTORY}/{name}"].content for name in names}
    keep_good(DIRECTORY, files, THEN, site)
    good = last_good(DIRECTORY, site)
    assert good is not None
    assert [one.name for one in good[0].guests] == ["web", "web-old"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"directory":1}',
        b"[]",
        b'{"directory":"/e\xf4c/kvmkeep"}',
        b'{"other":' * 100_000,
    ],
    ids=["empty", "torn", "form", "list", "bit", "deep"],
)
def test_what_is_torn_or_foreign_is_none(content: bytes) -> None:
    site = host()
    site.put(GOOD_SPEC, content)
    assert last_good(DIRECTORY, site) is None
    assert keep(site, THEN)
    assert last_good("/elsewhere", site) is None
    assert last_good(DIRECTORY, site) is not None


def test_a_directory_is_the_same_however_it_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    site = host()
    seen: dict[str, bytes] = {}
    load(DIRECTORY, site, seen=seen)
    monkeypatch.chdir("/")
    assert keep_good("etc/kvmkeep/", seen, THEN, site)
    assert not keep_good("/etc/../etc/kvmkeep", seen, LATER, site)
    for typed in ("./etc/kvmkeep", DIRECTORY):
        good = last_good(typed, site)
        assert good is not None
        assert good[0].guests[0].place.file == f"{typed}/guests/web.yaml"
    assert last_good("kvmkeep", site) is None


def test_what_can_not_be_read_is_none() -> None:
    class Forbidden(FakeHost):
        def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
            del limit
            raise PermissionError(13, "Permission denied", path)

    assert last_good(DIRECTORY, Forbidden()) is None


def test_what_this_version_does_not_take_is_none() -> None:
    site = host()
    assert keep_good(DIRECTORY, {"host.yaml": b"uplink: [of, another, version]\n"}, THEN, site)
    assert last_good(DIRECTORY, site) is None


def test_what_stands_in_for_a_spec_with_mistakes_is_told_with_the_first_of_them() -> None:
    site = host()
    mistakes = SpecError("guests/web.yaml:1: no\nhost.yaml:2: no")
    end = "kvmkeep validate tells all; the first is: guests/web.yaml:1: no"
    assert stand_in(mistakes, DIRECTORY, site, None) is None
    fallback = load(DIRECTORY, site)
    spec, told = stand_in(mistakes, DIRECTORY, site, fallback) or (None, "")
    assert spec is fallback
    assert told == (
        "the spec has mistakes, and no good one is kept, so this goes by the guests' own marks "
        f"alone; {end}"
    )
    assert keep(site, THEN)
    spec, told = stand_in(mistakes, DIRECTORY, site, None) or (None, "")
    assert spec is not None
    assert told == f"the spec has mistakes, so this goes by the last good one, of {THEN}; {end}"
