"""The network: interfaces of the kernel, NetworkManager, and how the host is reached."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.host import iproute, nmcli
from kvmkeep.host.door import Door
from kvmkeep.model.facts import LINKS, NETWORK_MANAGER, NO_NM, Link, Management, Nm, Undoing
from kvmkeep.model.names import UNDO_BOOT, UNDO_DIR, UNDO_FILE, UNDO_LINK
from kvmkeep.observe.notebook import Notebook


class Network(Struct, frozen=True, kw_only=True):
    """What the host's network is."""

    links: tuple[Link, ...]
    nm: Nm
    management: Management | None


def observe_network(notebook: Notebook) -> Network:
    """Return the network as far as it can be seen."""
    return Network(
        links=notebook.ask(LINKS, iproute.links, ()),
        nm=replace(
            notebook.ask(NETWORK_MANAGER, nmcli.network_manager, NO_NM),
            undoing=notebook.ask("undo of a network change", undoing, Undoing.NOTHING),
        ),
        management=notebook.ask("default route", _management, None),
    )


def undoing(door: Door) -> Undoing:
    """Return what an unfinished change of the network has left."""
    if door.look(UNDO_FILE) is not None:
        return Undoing.ARMED
    left = any(door.look(path) is not None for path in (UNDO_LINK, UNDO_BOOT))
    return Undoing.LEFT if left or door.names(UNDO_DIR) else Undoing.NOTHING


def _management(door: Door) -> Management | None:
    route = iproute.default_route(door)
    if route is None:
        return None
    interface, gateway = route
    answers = iproute.answers(door, interface, gateway)
    peers = iproute.ssh_peers(door)
    return Management(interface=interface, gateway=gateway, answers=answers, peers=peers)
