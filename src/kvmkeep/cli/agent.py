"""What a guest's agent tells of its addresses: asked for briefly, and believed in nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kvmkeep.model.command import Command

if TYPE_CHECKING:
    from kvmkeep.host.door import Door

LIMIT = 2
"""Seconds that the agent gets to answer."""

_QUESTION = '{"execute":"guest-network-get-interfaces"}'
_MOST = 64


def ask_addresses(door: Door, uri: str, guest: str) -> tuple[str, ...]:
    """Return `interface address` pairs that the guest claims to have; none without an answer."""
    argv = ("virsh", "--connect", uri, "qemu-agent-command", "--timeout", str(LIMIT), "--", guest)
    command = Command(argv=(*argv, _QUESTION), why="ask the guest agent", timeout=LIMIT + 1.0)
    result = door.run(command)
    return parse_addresses(result.text) if result.ok else ()


def parse_addresses(answer: str) -> tuple[str, ...]:
    """Return the pairs of an answer (qemu-ga-ref(7)); what is not of its form is left out."""
    try:
        interfaces = json.loads(answer)["return"]
        found = [
            f"{interface['name']} {address['ip-address']}/{address['prefix']}"
            for interface in interfaces
            if interface["name"] != "lo"
            for address in interface.get("ip-addresses", ())
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(text[:80] for text in found[:_MOST])
