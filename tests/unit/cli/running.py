"""What running guests of a host in memory answer."""

from __future__ import annotations

from kvmkeep.host.libvirt import State
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.units import Size
from tests.unit.cli.site import Site

ANSWERS = {
    "guest-get-host-name": '{"return":{"host-name":"shop\\u001b[2J"}}',
    "guest-network-get-interfaces": '{"return":[{"name":"e1","hardware-address":"MAC",'
    '"ip-addresses":[{"ip-address":"10.0.0.5","prefix":24}]}]}',
    "guest-get-fsinfo": '{"return":[{"name":"vda1","mountpoint":"/","type":"ext4",'
    '"used-bytes":64,"total-bytes":100,"disk":[{"serial":"vm-web","dev":"/dev/vda1"}]},'
    '{"name":"sr0","mountpoint":"/mnt","type":"iso9660","disk":[]}]}',
}


class Libvirt:
    """Tells the states of the domains in memory, as libvirt does."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def states(self) -> tuple[State, ...]:
        return tuple(
            State(
                name=one.name, uuid=one.uuid, state=DomainState(one.state), autostart=True,
                persistent=True, vcpus=1, memory=Size(1 << 30),
            )
            for one in self._site.host.libvirt.domains.values()
        )  # fmt: skip
