"""Hosts with disks that are looked into."""

from __future__ import annotations

from fakes.host import CLOUD, FakeHost, FakeImage

from kvmkeep.model.spec import Spec
from kvmkeep.planning.offline.inspect import Question
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import reach

ASKED = Question(name="web", asked="20261123T071034Z")


def site(*, running: bool = True) -> tuple[FakeHost, Spec]:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", 2 * GIB, CLOUD))
    wanted = spec(guest())
    reach(host, wanted)
    if not running:
        host.libvirt.domains["web"].live = None
    return host, wanted
