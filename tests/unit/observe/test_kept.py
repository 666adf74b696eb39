"""What is kept of guests: each file's checksum, and what is in it where libvirt lost the domain."""

from __future__ import annotations

import hashlib

import pytest
from adapters.replay import lab_host

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import SavedXml
from kvmkeep.model.units import Size
from kvmkeep.observe.kept import observe_kept
from kvmkeep.observe.notebook import Notebook

XML = """<domain type='kvm'><name>web</name><uuid>u</uuid>
<metadata><k:guest xmlns:k='urn:kvmkeep:guest:1'/></metadata>
<memory unit='KiB'>1024</memory><vcpu>2</vcpu></domain>

"""


def kept(text: str | bytes, *known: str, more: tuple[str, ...] = ()) -> tuple[SavedXml, ...]:
    content = text.encode() if isinstance(text, str) else text
    door = lab_host()
    door.files |= {"/root/kvm/web.xml": content, **{f"/root/kvm/{name}": b"" for name in more}}
    return observe_kept(Notebook(door), "/root/kvm", known)


def test_what_a_lost_domain_was_is_read_from_its_file() -> None:
    (found,) = kept(XML, "other")
    assert found.sha256 == hashlib.sha256(XML.encode()).hexdigest()
    domain = found.domain
    assert domain is not None
    assert (domain.name, domain.uuid, domain.ours) == ("web", "u", True)
    assert (domain.memory, domain.vcpus) == (Size(1 << 20), 2)
    assert (domain.state, domain.autostart, domain.xml) == (DomainState.SHUTOFF, False, XML)


def test_the_file_of_a_domain_that_is_there_is_not_read() -> None:
    (found,) = kept(XML, "web")
    assert (found.domain, found.torn) == (None, False)


def test_what_an_interrupted_run_left_is_told() -> None:
    (found,) = kept(XML, "web", more=("web.xml.part", "notes.txt"))
    assert found.torn


@pytest.mark.parametrize(
    "text",
    [
        "",
        XML[:50],
        b"\xff",
        XML.replace(">1024<", ">much<"),
        XML.replace(">1024<", "><"),
        XML.replace("KiB", "GiB"),
        XML.replace("<memory unit='KiB'>1024</memory>", ""),
        XML.replace("<vcpu>2</vcpu>", ""),
        "<!DOCTYPE domain [<!ENTITY a 'b'>]>" + XML,
    ],
)
def test_a_file_that_is_not_whole_is_no_domain(text: str | bytes) -> None:
    (found,) = kept(text)
    assert found.domain is None
