"""Addresses, ranges and names of the network, parsed from text.

Stricter than `ipaddress`, which takes netmasks, hostmasks, scopes and numbers as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_interface, ip_network

from kvmkeep.model.spec import Address, Interface, Prefix
from kvmkeep.model.text import printable

_BARE = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_WITH_PREFIX = re.compile(r"[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}")
_HOST_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def parse_address(text: str) -> Address:
    """Accept an IPv4 or IPv6 address of a single machine."""
    try:
        address = ip_address(text if _BARE.fullmatch(text) else "")
    except ValueError:
        raise ValueError(
            f"{printable(text)} is not an address (such as 10.5.68.254, without a prefix length)"
        ) from None
    _check_unicast(address)
    return address


def parse_interface_address(text: str) -> Interface:
    """Accept an address with its prefix length, as a machine in that network may have it."""
    try:
        interface = ip_interface(text if _WITH_PREFIX.fullmatch(text) else "")
    except ValueError:
        raise ValueError(
            f"{printable(text)} is not an address with a prefix length "
            "(write dhcp, or an address such as 10.5.68.237/24)"
        ) from None
    _check_unicast(interface.ip)
    reason = unusable(interface.ip, interface.network)
    if reason:
        raise ValueError(f"{interface} {reason} (choose another address)")
    return interface


def parse_prefix(text: str) -> Prefix:
    """Accept an address range, without bits behind its prefix length."""
    if _WITH_PREFIX.fullmatch(text):
        try:
            return ip_network(text)
        except ValueError:
            pass
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            pass
        else:
            raise ValueError(f"{text} is an address in a range (write {meant})")
    raise ValueError(f"{printable(text)} is not an address range (such as 10.5.68.0/24)")


def unusable(address: Address, network: Prefix) -> str:
    """Return why no machine can have this address of a network, or nothing.

    The last two lengths have no network or broadcast address (RFC 3021, RFC 6164).
    """
    if network.max_prefixlen - network.prefixlen < 2:
        return ""
    if address == network.network_address:
        return f"is the address of the network {network} itself"
    if network.version == 4 and address == network.broadcast_address:
        return f"is the broadcast address of {network}"
    return ""


def in_reach(router: Address, ranges: Iterable[Prefix]) -> bool:
    """Whether a machine with addresses of these networks reaches a router without another one.

    A link-local IPv6 address, as most routers announce it, is in reach of all that speak IPv6.
    """
    everywhere = of_one_link(router)
    return any(router in one or (everywhere and one.version == 6) for one in ranges)


def of_one_link(router: Address) -> bool:
    """Whether an IPv6 address means something only together with an interface."""
    return router.version == 6 and router.is_link_local


def parse_hostname(text: str) -> str:
    """Accept a hostname of RFC 1123, of at most 64 characters (HOST_NAME_MAX of Linux)."""
    if len(text) > 64:
        raise ValueError(f"a hostname of {len(text)} characters is too long (Linux allows 64)")
    if not all(_HOST_LABEL.fullmatch(label) for label in text.split(".")):
        raise ValueError(
            f"{printable(text)} can't be a hostname (letters, digits and '-', parts joined by '.')"
        )
    return text


def parse_domain(text: str) -> str:
    """Accept a domain that short names are looked up in."""
    bare = text.removesuffix(".")
    if len(bare) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in bare.split(".")):
        raise ValueError(f"{printable(text)} is not a domain (such as example.org)")
    return bare


def _check_unicast(address: Address) -> None:
    """Refuse addresses that no single machine can have on a network."""
    if address.is_unspecified or address.is_loopback or address.is_multicast:
        raise ValueError(f"{address} can't be the address of a machine on a network")
