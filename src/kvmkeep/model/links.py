"""What interfaces rest upon each other."""

from __future__ import annotations

from kvmkeep.model.facts import Facts
from kvmkeep.model.network_facts import Link

_TEAMS = ("bond", "team")


def rests_on(facts: Facts, interface: str, *, tagged: bool = True) -> set[str]:
    """Return an interface and all that it rests on: ports of a bridge or bond, a VLAN's parent.

    Without `tagged`, what it has as a VLAN alone does not count.
    """
    found: set[str] = set()
    left = [interface]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        left += [link.name for link in facts.links if link.master == name]
        if tagged:
            left += [link.parent for link in facts.links if link.name == name and link.parent]
    return found


def is_team(link: Link) -> bool:
    """Whether an interface is made of others that carry its frames (bond, team)."""
    return link.kind in _TEAMS


def team_of(facts: Facts, link: Link) -> str:
    """Return the bond or team that an interface is a port of, or nothing.

    A bridge is none: what comes with a tag reaches a port's VLAN before its bridge
    (__netif_receive_skb_core() in Linux' net/core/dev.c). A bond may have any of its ports rest.
    """
    master = facts.link(link.master)
    return master.name if master is not None and is_team(master) else ""
