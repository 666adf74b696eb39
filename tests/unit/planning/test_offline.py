from __future__ import annotations

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.spec import Spec
from kvmkeep.planning.offline.disk import unused, writing_refusals
from kvmkeep.planning.scene import make_scene
from tests.unit.planning.looked_into import site


def reasons(host: FakeHost, wanted: Spec, *, opened: bool = False) -> list[str]:
    facts = host.facts(wanted)
    volumes = tuple(replace(one, opened=opened) for one in facts.volumes)
    scene = make_scene(wanted, replace(facts, volumes=volumes), wanted.guests)
    return [refusal.reason for refusal in writing_refusals(scene, wanted.guests[0])]


@pytest.mark.parametrize("running", [True, False])
def test_only_a_guest_that_is_off_is_written_to(*, running: bool) -> None:
    host, wanted = site(running=running)
    assert reasons(host, wanted) == (
        ["it is not off; its disk can't be changed beside it"] * running
    )


def test_a_disk_in_use_or_not_ours_is_not_written_to() -> None:
    host, wanted = site(running=False)
    assert "open" in reasons(host, wanted, opened=True)[0]
    host.lvm.volumes["vm-web"].tags.discard("kvmkeep")
    assert "is not ours" in reasons(host, wanted)[0]
    host.libvirt.domains.clear()
    assert "has lost its definition" in reasons(host, wanted)[0]


def test_the_probe_sees_a_disk_that_was_opened_meanwhile() -> None:
    host, wanted = site(running=False)
    probe = unused(make_scene(wanted, host.facts(wanted), wanted.guests), wanted.guests[0])
    assert host.run(probe).ok
    host.lvm.is_open = lambda name: name == "vm-web"
    assert not host.run(probe).ok
