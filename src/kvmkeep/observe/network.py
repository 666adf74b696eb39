"""The network: interfaces of the kernel, NetworkManager, and how the host is reached."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.host import iproute, nmcli
from kvmkeep.host.door import Door
from kvmkeep.model.facts import Link, Management, Nm
from kvmkeep.observe.notebook import Notebook

_NO_NM = Nm(running=False, profiles=(), device_paths=())


class Network(Struct, frozen=True, kw_only=True):
    """What the host's network is."""

    links: tuple[Link, ...]
    nm: Nm
    management: Management | None


def observe_network(notebook: Notebook) -> Network:
    """Return the network as far as it can be seen."""
    return Network(
        links=notebook.ask("network interfaces", iproute.links, ()),
        nm=notebook.ask("NetworkManager", nmcli.network_manager, _NO_NM),
        management=notebook.ask("default route", _management, None),
    )


def _management(door: Door) -> Management | None:
    route = iproute.default_route(door)
    if route is None:
        return None
    interface, gateway = route
    answers = iproute.answers(door, interface, gateway)
    return Management(interface=interface, gateway=gateway, answers=answers)
