"""The kernel's network as `ip -j` tells it (ip(8))."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

import msgspec

from kvmkeep.host.door import Door
from kvmkeep.host.tools import Unanswered, ask, decode
from kvmkeep.model.network_facts import Link

LINKS = ("ip", "-json", "-details", "address", "show")
ROUTES = ("ip", "-json", "route", "show", "default")
ROUTES6 = ("ip", "-json", "-6", "route", "show", "default")

SESSIONS = (
    "ss", "--no-header", "--numeric", "--tcp", "--processes",
    "state", "listening", "state", "established",
)  # fmt: skip
_SSH_PORT = "22"
_SERVERS = ('"sshd"', '"sshd-session"')

_FOUND = frozenset({"REACHABLE", "DELAY", "PROBE"})
"""States of a neighbour that answered for its address (ip-neighbour(8))."""

_HZ = 100
"""The kernel tells a bridge's times in hundredths of a second (USER_HZ)."""


_Number = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 32) - 1)]


class _Data(msgspec.Struct):
    id: _Number = -1
    ageing_time: _Number = -1
    forward_delay: _Number = -1
    stp_state: _Number = 0
    topology_change: _Number = 0


class _PortData(msgspec.Struct):
    state: str = ""


class _Info(msgspec.Struct):
    info_kind: str = ""
    info_data: msgspec.Raw = msgspec.Raw(b"{}")
    info_slave_kind: str = ""
    info_slave_data: msgspec.Raw = msgspec.Raw(b"{}")


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


class _Via(msgspec.Struct):
    host: str = ""


class _Hop(msgspec.Struct):
    gateway: str = ""
    dev: str = ""
    via: _Via = msgspec.field(default_factory=_Via)
    """A gateway of the other family (ip-route(8), "via")."""


class _Route(_Hop):
    metric: _Number = 0
    nexthops: list[_Hop] = []


class _Neighbour(msgspec.Struct):
    state: list[str] = []


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A login by SSH: the addresses of its two ends."""

    local: str
    peer: str


def links(door: Door) -> tuple[Link, ...]:
    """Return all interfaces; raises Unanswered."""
    what = "network interfaces"
    text = ask(door, what, LINKS)
    # Older versions of ip print an empty object for what a filter left out.
    return tuple(_link(row) for row in decode(text, list[_Link], what, "ip") if row.ifname)


def default_routes(door: Door) -> tuple[tuple[str, str], ...]:
    """Return interface and gateway of the preferred default route by IPv4, then by IPv6.

    Raises Unanswered; where there is one by IPv4, one by IPv6 need not be seen.
    """
    found: list[tuple[str, str]] = []
    for argv in (ROUTES, ROUTES6):
        try:
            hop = _preferred(door, argv)
        except Unanswered:
            if not found:
                raise
            continue
        if hop is not None:
            found.append(hop)
    return tuple(found)


def _preferred(door: Door, argv: tuple[str, ...]) -> tuple[str, str] | None:
    what = "default route"
    text = ask(door, what, argv).strip() or "[]"
    routes = decode(text, list[_Route], what, "ip")
    for route in sorted(routes, key=lambda route: route.metric):
        for hop in (route, *route.nexthops):
            gateway = hop.gateway or hop.via.host
            if gateway and hop.dev:
                return hop.dev, gateway
    return None


def answers(door: Door, interface: str, gateway: str) -> bool:
    """Whether a gateway is there: it answers a ping within two seconds, or else on its link.

    Many drop pings. None can be reached without answering for its address.
    """
    try:
        ask(door, "the gateway", ("ping", "-c", "1", "-w", "2", "-I", interface, gateway))
    except Unanswered:
        return _is_neighbour(door, interface, gateway)
    return True


def _is_neighbour(door: Door, interface: str, gateway: str) -> bool:
    """Whether the kernel, which had to find the gateway for the ping, has found it.

    Where it knew it from before, it asks again only five seconds later (arp(7)); a gateway that
    died meanwhile is told by the next look.
    """
    what = "the gateway on its link"
    argv = ("ip", "-json", "neighbour", "show", "to", gateway, "dev", interface)
    try:
        rows = decode(ask(door, what, argv).strip() or "[]", list[_Neighbour], what, "ip")
    except Unanswered:
        return False
    return any(not _FOUND.isdisjoint(row.state) for row in rows)


def ssh_sessions(door: Door) -> tuple[Session, ...]:
    """Return who is logged in by SSH, and over which of the host's addresses (ss(8)).

    sudo(8) hides SSH_CONNECTION, so the kernel is asked. Where it can't be, there are none. The
    server may listen on another port than usual; ss tells root alone which program does.
    """
    try:
        lines = ask(door, "SSH connections", SESSIONS).splitlines()
    except Unanswered:
        return ()
    # State, Recv-Q, Send-Q, local address and port, peer's, programs.
    rows = [row for row in (line.split(maxsplit=5) for line in lines) if len(row) >= 5]
    ports = {_SSH_PORT} | {
        row[3].rpartition(":")[2]
        for row in rows
        if row[0] == "LISTEN" and any(name in row[-1] for name in _SERVERS)
    }
    found = {
        Session(local=_address(row[3]), peer=_address(row[4]))
        for row in rows
        if row[0] == "ESTAB" and row[3].rpartition(":")[2] in ports
    }
    known = (one for one in found if one.local and one.peer)
    return tuple(sorted(known, key=lambda one: (one.peer, one.local)))


def _address(text: str) -> str:
    """Return the address of an end of a connection; of the host itself, or of none, nothing."""
    # "%" and an interface follow what is bound to one: that of a link-local address, or a VRF.
    host, _, interface = re.sub(r"[][]", "", text.rpartition(":")[0]).partition("%")
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if address.version == 6 else None
    address = address if mapped is None else mapped
    if address.version == 6 and address.is_link_local and interface:
        return f"{address}%{interface}"
    return "" if address.is_loopback else str(address)


def _link(row: _Link) -> Link:
    kind, what = row.linkinfo.info_kind, f"details of interface {row.ifname}"
    data, port = _Data(), _PortData()
    # Only these are understood: other kinds use the same words for other things.
    if kind in {"vlan", "bridge"}:
        data = decode(_text(row.linkinfo.info_data), _Data, what, "ip")
    if row.linkinfo.info_slave_kind == "bridge":
        port = decode(_text(row.linkinfo.info_slave_data), _PortData, what, "ip")
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
        port_state=port.state,
        addresses=tuple(f"{address.local}/{address.prefixlen}" for address in row.addr_info),
    )


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")


def _seconds(hundredths: int) -> int:
    return -1 if hundredths < 0 else -(-hundredths // _HZ)
