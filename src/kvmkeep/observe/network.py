"""The network: interfaces of the kernel, NetworkManager, and how the host is reached."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.host import iproute, nmcli
from kvmkeep.host.door import Door
from kvmkeep.model.facts import LINKS, NETWORK_MANAGER, NO_NM, Link, Management, Nm, Undoing
from kvmkeep.model.names import UNDO_BOOT, UNDO_DIR, UNDO_FILE, UNDO_LINK
from kvmkeep.observe.notebook import Notebook

_COPY = re.compile(rf"{re.escape(UNDO_DIR)}/(\S+)")
"""A profile as it was before, in the unit that puts it back; it is named by its UUID."""


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
    """Return what an unfinished change of the network has left.

    A unit that has lost what it is to put back undoes nothing, and never ends well.
    """
    unit = door.read(UNDO_FILE)
    copies = door.names(UNDO_DIR)
    if unit is not None and set(_COPY.findall(unit.decode("utf-8", "replace"))) <= set(copies):
        return Undoing.ARMED
    left = any(door.look(path) is not None for path in (UNDO_FILE, UNDO_LINK, UNDO_BOOT))
    return Undoing.LEFT if left or copies else Undoing.NOTHING


def _management(door: Door) -> Management | None:
    route = iproute.default_route(door)
    if route is None:
        return None
    interface, gateway = route
    answers = iproute.answers(door, interface, gateway)
    peers = iproute.ssh_peers(door)
    return Management(interface=interface, gateway=gateway, answers=answers, peers=peers)
