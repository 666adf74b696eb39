from __future__ import annotations

import pytest
from fakes.host import FakeHost

from kvmkeep.observe.notebook import Notebook
from kvmkeep.observe.trash import observe_trash

TRASH = "/var/lib/kvmkeep/trash"
XML = (
    b"<domain><name>web</name><uuid>u</uuid><metadata>"
    b"<k:guest xmlns:k='urn:kvmkeep:guest:1'/></metadata>"
    b"<os><nvram> /srv/web.fd\n</nvram></os><devices>"
    b"<disk><source dev='/dev/rl_build/vm-web'/></disk><disk><source file='/srv/x.iso'/></disk>"
    b"<disk device='cdrom'/></devices></domain>"
)


def test_only_folders_with_a_name_of_ours_are_looked_into() -> None:
    host = FakeHost()
    host.put(f"{TRASH}/web-20261123T0710Z/domain.xml", XML)
    host.put(f"{TRASH}/web-20261123T0710Z/web.yaml", b"x")
    host.put(f"{TRASH}/old-20261122T0710Z/old.yaml", b"x")
    host.put(f"{TRASH}/notes/domain.xml", b"x")
    notebook = Notebook(host)
    old, web = observe_trash(notebook)
    assert notebook.problems == ()
    assert (old.name, old.files, old.domain) == ("old-20261122T0710Z", ("old.yaml",), None)
    assert web.files == ("domain.xml", "web.yaml")
    assert web.domain is not None
    assert (web.domain.name, web.domain.uuid, web.domain.ours) == ("web", "u", True)
    assert web.domain.sources == ("/dev/rl_build/vm-web",)
    assert web.domain.variables == "/srv/web.fd"


UTF_16 = (
    '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY a "web">]>'
    "<domain><name>&a;</name></domain>"
).encode("utf-16")


@pytest.mark.parametrize(
    "text", [b"<domain", b"\xff", b"<!DOCTYPE x><domain/>", b"<a/>", b"", UTF_16]
)
def test_a_definition_that_can_not_be_read_is_a_problem_of_that_entry_alone(text: bytes) -> None:
    host = FakeHost()
    host.put(f"{TRASH}/web-20261123T0710Z/domain.xml", text)
    notebook = Notebook(host)
    (web,) = observe_trash(notebook)
    assert web.domain is None
    assert "domain.xml can't be read" in web.problem
    assert notebook.problems == ()


def test_an_encoding_that_nobody_knows_is_utf_8() -> None:
    host = FakeHost()
    text = b'<?xml version="1.0" encoding="foo"?>' + XML
    host.put(f"{TRASH}/web-20261123T0710Z/domain.xml", text)
    (web,) = observe_trash(Notebook(host))
    assert web.domain is not None
    assert web.domain.name == "web"
