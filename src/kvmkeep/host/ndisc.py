"""Asking a neighbour by IPv6 on an interface that has no address: as one who looks for a free one.

A bridge of ours has no IP at all, so neither ping(8) nor the kernel's neighbour discovery can ask
there. A solicitation from `::` can (RFC 4862, 5.4.2), as arping(8) -D does for IPv4: who has the
address must object, to all nodes (RFC 4861, 7.2.4).
"""

from __future__ import annotations

import socket
import struct
import time
from ipaddress import IPv6Address
from typing import Protocol

_ETH_P_IPV6 = 0x86DD
_ICMPV6 = 58
_SOLICITATION, _ADVERTISEMENT = 135, 136
_HOPS = 255
"""What was forwarded by a router has less (RFC 4861, 7.1.2)."""
_HEADER = struct.Struct("!IHBB16s16s")
_ETHERNET = 14
_EVERY = 0.7
_LARGEST = 2048
_SOL_PACKET, _ADD_MEMBERSHIP, _ALLMULTI = 263, 1, 2
"""packet(7)."""


class Wire(Protocol):
    """An interface, as frames come from it and go to it."""

    mac: bytes

    def send(self, frame: bytes) -> None:
        """Send a frame; raises OSError."""

    def receive(self, seconds: float) -> bytes | None:
        """Return the next frame, or None where none came in time; raises OSError."""


class PacketWire:
    """A `Wire` of the kernel (packet(7)); needs CAP_NET_RAW. Raises OSError."""

    def __init__(self, interface: str) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_IPV6))
        try:
            self._socket.bind((interface, _ETH_P_IPV6))
            number = socket.if_nametoindex(interface)
            request = struct.pack("iHH8s", number, _ALLMULTI, 0, b"")
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
        except OSError:
            self._socket.close()
            raise
        self.mac: bytes = self._socket.getsockname()[4]

    def send(self, frame: bytes) -> None:
        """Send a frame; raises OSError."""
        self._socket.send(frame)

    def receive(self, seconds: float) -> bytes | None:
        """Return the next frame, or None where none came in time; raises OSError."""
        self._socket.settimeout(max(seconds, 0.001))
        try:
            return self._socket.recv(_LARGEST)
        except TimeoutError:
            return None

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def neighbour_answers(wire: Wire, target: IPv6Address, seconds: float) -> bool:
    """Whether somebody has an address, within so many seconds; raises OSError."""
    until = time.monotonic() + seconds
    again = 0.0
    while (now := time.monotonic()) < until:
        if now >= again:
            wire.send(solicitation(wire.mac, target))
            again = now + _EVERY
        frame = wire.receive(min(again, until) - now)
        if frame is not None and advertises(frame, target):
            return True
    return False


def solicitation(mac: bytes, target: IPv6Address) -> bytes:
    """Return the frame that asks who has an address, from nobody's own."""
    tail = target.packed[-3:]
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + tail)
    nobody = IPv6Address("::")
    question = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + target.packed
    checked = _checksum(nobody, group, question)
    question = question[:2] + struct.pack("!H", checked) + question[4:]
    header = _HEADER.pack(6 << 28, len(question), _ICMPV6, _HOPS, nobody.packed, group.packed)
    ethernet = b"\x33\x33\xff" + tail + mac[:6] + struct.pack("!H", _ETH_P_IPV6)
    return ethernet + header + question


def advertises(frame: bytes, target: IPv6Address) -> bool:
    """Whether a frame is the word of somebody who has the address (RFC 4861, 7.1.2)."""
    if len(frame) < _ETHERNET + _HEADER.size + 24:
        return False
    first, length, kind, hops, source, to = _HEADER.unpack_from(frame, _ETHERNET)
    answer = frame[_ETHERNET + _HEADER.size :][:length]
    if (first >> 28, kind, hops) != (6, _ICMPV6, _HOPS) or length < 24 or len(answer) < length:
        return False
    if answer[0] != _ADVERTISEMENT or answer[8:24] != target.packed:
        return False
    return _checksum(IPv6Address(source), IPv6Address(to), answer) == 0


def _checksum(source: IPv6Address, to: IPv6Address, text: bytes) -> int:
    """Return the Internet checksum over text and pseudo-header (RFC 8200, 8.1); 0 if it fits."""
    whole = source.packed + to.packed + struct.pack("!II", len(text), _ICMPV6) + text
    whole += b"\0" * (len(whole) % 2)
    total: int = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
