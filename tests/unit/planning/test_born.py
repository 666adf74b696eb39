"""What only counts at a guest's first boot, and is told where the spec changes it afterwards."""

from __future__ import annotations

import re
import shlex

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Born
from kvmkeep.model.names import BORN_URI
from kvmkeep.model.spec import FirstBoot, Guest
from kvmkeep.model.units import Label
from kvmkeep.planning.domains.born import born_now
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import reach

WEB = guest(user_data='{"bootcmd":["echo canary"]}')
OTHER = replace(IMAGE, name=Label("rocky"))
ALSO = "ssh-ed25519 BBBB colleague"


def site(one: Guest = WEB) -> FakeHost:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(one))
    return host


def notes(host: FakeHost, one: Guest) -> list[str]:
    wanted = spec(one, images=(IMAGE, OTHER))
    plan = make_plan(wanted, host.facts(wanted))
    assert plan.steps == ()
    return [note.text for note in plan.notes]


def test_nothing_is_told_while_the_spec_says_the_same() -> None:
    host = site(WEB)
    assert notes(host, WEB) == []
    keys = (ALSO, *WEB.login.ssh_keys)
    host = site(replace(WEB, login=replace(WEB.login, ssh_keys=keys)))
    assert notes(host, replace(WEB, login=replace(WEB.login, ssh_keys=keys[::-1]))) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (replace(WEB, hostname="shop"), "the hostname web (the spec says shop)"),
        (replace(WEB, user_data=""), "other user_data than the spec has now"),
        (replace(WEB, image=OTHER.name), "it was made from image debian (the spec says rocky)"),
        *(
            (replace(WEB, login=login), "another login than the spec has now")
            for login in (
                replace(WEB.login, user="root"),
                replace(WEB.login, ssh_keys=()),
                replace(WEB.login, ssh_keys=(*WEB.login.ssh_keys, ALSO)),
                replace(WEB.login, password_hash=""),
                replace(WEB.login, sudo=False),
            )
        ),
    ],
)
def test_what_the_spec_says_otherwise_is_told_until_that_is_remembered(
    changed: Guest, told: str
) -> None:
    host = site()
    (text,) = notes(host, changed)
    assert told in text
    typed = re.search(r"no more is told of it after: (virsh .*)$", text)
    assert typed is not None
    host.run(Command(argv=tuple(shlex.split(typed[1])), why=""))
    reach(host, spec(changed, images=(IMAGE, OTHER)))
    assert BORN_URI in host.libvirt.domains["web"].xml.find("metadata")[-1].tag
    assert notes(host, changed) == []


def test_nothing_of_it_can_be_read_in_the_definition() -> None:
    host = site()
    xml = host.facts(spec(WEB)).domains[0].xml
    assert "canary" not in xml
    assert WEB.login.ssh_keys[0] not in xml
    born = host.facts(spec(WEB)).domains[0].born
    assert born == born_now(WEB)
    assert born.image == "debian"
    assert born.hostname == "web"
    assert len(born.login) == len(born.user_data) == 4


def test_a_guest_without_a_seed_has_but_its_image() -> None:
    plain = replace(WEB, first_boot=FirstBoot.NONE, user_data="")
    host = site(plain)
    (domain,) = host.facts(spec(plain)).domains
    assert domain.born == Born(image="debian")
    assert notes(host, replace(plain, hostname="shop")) == []


def test_nothing_is_claimed_of_a_guest_from_before() -> None:
    host = site()
    metadata = host.libvirt.domains["web"].xml.find("metadata")
    metadata.remove(metadata.find(f"{{{BORN_URI}}}born"))
    reach(host, spec(WEB))
    other = replace(WEB, hostname="shop", image=OTHER.name)
    assert notes(host, other) == []
