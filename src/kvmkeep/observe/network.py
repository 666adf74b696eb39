"""The network: interfaces of the kernel, NetworkManager, and how the host is reached."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.host import iproute, nmcli
from kvmkeep.host.door import Door
from kvmkeep.model.facts import LINKS, NETWORK_MANAGER
from kvmkeep.model.names import UNDO_BOOT, UNDO_DIR, UNDO_FILE, UNDO_LINK
from kvmkeep.model.network_facts import NO_NM, Link, Management, Nm, Undoing
from kvmkeep.observe.notebook import Notebook

_COPY = re.compile(rf"{re.escape(UNDO_DIR)}/(\S+)")
"""A profile as it was before, in the unit that puts it back; it is named by its UUID."""

_MOST_PEERS = 3


class Network(Struct, frozen=True, kw_only=True):
    """What the host's network is."""

    links: tuple[Link, ...]
    nm: Nm
    management: Management | None


def observe_network(notebook: Notebook) -> Network:
    """Return the network as far as it can be seen."""
    none: tuple[Link, ...] = ()
    links = notebook.ask(LINKS, iproute.links, none)
    return Network(
        links=links,
        nm=replace(
            notebook.ask(NETWORK_MANAGER, nmcli.network_manager, NO_NM),
            undoing=notebook.ask("undo of a network change", undoing, Undoing.NOTHING),
        ),
        management=notebook.ask("default route", lambda door: _management(door, links), None),
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


def _management(door: Door, links: tuple[Link, ...]) -> Management | None:
    routes = iproute.default_routes(door)
    sessions = iproute.ssh_sessions(door)
    peers = tuple(dict.fromkeys(one.peer for one in sessions))[:_MOST_PEERS]
    used = [link.name for link in links if any(_is_end(link, one) for one in sessions)]
    if not routes:
        # Static routes or a table of its own (ip-rule(8)): who is logged in came over something.
        if not used:
            return None
        first, *others = used
        return Management(
            interface=first, gateway="", answers=False, peers=peers, others=tuple(others)
        )
    (interface, gateway), *second = routes
    interface6, gateway6 = second[0] if second else ("", "")
    return Management(
        interface=interface,
        gateway=gateway,
        answers=iproute.answers(door, interface, gateway),
        peers=peers,
        others=tuple(name for name in used if name != interface),
        interface6=interface6,
        gateway6=gateway6,
    )


def _is_end(link: Link, session: iproute.Session) -> bool:
    """Whether a session comes in over an interface; link-local addresses name theirs."""
    address, _, interface = session.local.partition("%")
    has = any(one.partition("/")[0] == address for one in link.addresses)
    return has and interface in {"", link.name}
