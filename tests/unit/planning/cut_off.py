"""Hosts whose guests a power cut has ended."""

from __future__ import annotations

from fakes.host import CLOUD, FakeHost, FakeImage

from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import reach

DB = (GuestName("db"),)


DNS = (GuestName("dns"),)


def site(**of_db: object) -> tuple[FakeHost, Spec]:
    """Three guests after a power cut: web needs db, db needs dns; lone needs nobody."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(
        guest("lone"), guest("web", needs=DB), guest("db", needs=DNS, **of_db), guest("dns")
    )
    host.mounts.update(mount for one in wanted.guests for mount in one.run.mounts)
    reach(host, wanted)
    cut(host)
    return host, wanted


def cut(host: FakeHost) -> None:
    for domain in host.libvirt.domains.values():
        domain.end()
    host.calls.clear()
