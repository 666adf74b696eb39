"""The kernel's network as `ip -j` tells it (ip(8))."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

import msgspec

from kvmkeep.host.door import Door
from kvmkeep.host.tools import Unanswered, ask, decode
from kvmkeep.model.facts import Link

LINKS = ("ip", "-json", "-details", "address", "show")
ROUTES = ("ip", "-json", "route", "show", "default")
ROUTES6 = ("ip", "-json", "-6", "route", "show", "default")

SESSIONS = (
    "ss", "--no-header", "--numeric", "--tcp", "state", "established", "( sport = :ssh )",
)  # fmt: skip
_MOST_PEERS = 3

_HZ = 100
"""The kernel tells a bridge's times in hundredths of a second (USER_HZ)."""


_Number = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 32) - 1)]


class _Data(msgspec.Struct):
    id: _Number = -1
    ageing_time: _Number = -1
    forward_delay: _Number = -1
    stp_state: _Number = 0
    topology_change: _Number = 0


class _Info(msgspec.Struct):
    info_kind: str = ""
    info_data: msgspec.Raw = msgspec.Raw(b"{}")


class _Address(msgspec.Struct):
    local: str = ""
    prefixlen: _Number = 0


class _Link(msgspec.Struct):
    ifname: str = ""
    flags: list[str] = []
    mtu: _Number = 0
    address: str = ""
    master: str = ""
    link: str | None = None
    linkinfo: _Info = msgspec.field(default_factory=_Info)
    addr_info: list[_Address] = []


class _Hop(msgspec.Struct):
    gateway: str = ""
    dev: str = ""


class _Route(msgspec.Struct):
    gateway: str = ""
    dev: str = ""
    metric: _Number = 0
    nexthops: list[_Hop] = []


def links(door: Door) -> tuple[Link, ...]:
    """Return all interfaces; raises Unanswered."""
    what = "network interfaces"
    text = ask(door, what, LINKS)
    # Older versions of ip print an empty object for what a filter left out.
    return tuple(_link(row) for row in decode(text, list[_Link], what, "ip") if row.ifname)


def default_route(door: Door) -> tuple[str, str] | None:
    """Return interface and gateway of the preferred default route; raises Unanswered.

    IPv4 goes first; a host without it is reached over IPv6.
    """
    what = "default route"
    for argv in (ROUTES, ROUTES6):
        text = ask(door, what, argv).strip() or "[]"
        routes = decode(text, list[_Route], what, "ip")
        for route in sorted(routes, key=lambda route: route.metric):
            for hop in (_Hop(gateway=route.gateway, dev=route.dev), *route.nexthops):
                if hop.gateway and hop.dev:
                    return hop.dev, hop.gateway
    return None


def answers(door: Door, interface: str, gateway: str) -> bool:
    """Whether a gateway answers one ping within a second."""
    try:
        ask(door, "the gateway", ("ping", "-c", "1", "-W", "1", "-I", interface, gateway))
    except Unanswered:
        return False
    return True


def ssh_peers(door: Door) -> tuple[str, ...]:
    """Return the addresses, a few at most, from which somebody is logged in by SSH (ss(8)).

    sudo(8) hides SSH_CONNECTION, so the kernel is asked. Where it can't be, there are none.
    """
    try:
        lines = ask(door, "SSH connections", SESSIONS).splitlines()
    except Unanswered:
        return ()
    # Without a column for the state: Recv-Q, Send-Q, local address and port, peer's.
    words = (line.split() for line in lines)
    peers = {_peer(row[3].rpartition(":")[0].strip("[]")) for row in words if len(row) >= 4}
    return tuple(sorted(peers - {""})[:_MOST_PEERS])


def _peer(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if address.version == 6 else None
    address = address if mapped is None else mapped
    return "" if address.is_loopback else str(address)


def _link(row: _Link) -> Link:
    kind = row.linkinfo.info_kind
    data = _Data()
    if kind in {"vlan", "bridge"}:
        # Only these two are understood: other kinds use the same words for other things.
        text = bytes(row.linkinfo.info_data).decode("utf-8", "replace")
        data = decode(text, _Data, f"details of interface {row.ifname}", "ip")
    return Link(
        name=row.ifname,
        kind=kind,
        mac=row.address,
        up="UP" in row.flags,
        carrier="LOWER_UP" in row.flags,
        mtu=row.mtu,
        master=row.master,
        parent=row.link or "",
        vlan_id=data.id,
        ageing_time=_seconds(data.ageing_time),
        stp=data.stp_state != 0,
        forward_delay=_seconds(data.forward_delay),
        topology_change=data.topology_change != 0,
        addresses=tuple(f"{address.local}/{address.prefixlen}" for address in row.addr_info),
    )


def _seconds(hundredths: int) -> int:
    return -1 if hundredths < 0 else -(-hundredths // _HZ)
