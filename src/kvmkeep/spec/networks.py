"""The networks of the host file, and the interfaces they need on the host."""

from __future__ import annotations

from typing import Any

from kvmkeep.model.spec import Address, Network, Prefix
from kvmkeep.model.units import Label, parse_interface
from kvmkeep.spec.addresses import (
    in_reach,
    parse_address,
    parse_domain,
    parse_prefix,
    unusable,
)
from kvmkeep.spec.claims import Claims
from kvmkeep.spec.host_document import HostFile, NetworkSection
from kvmkeep.spec.source import Path, Source


def resolve_networks(
    source: Source[HostFile], host: HostFile, claims: Claims
) -> dict[str, Network | None]:
    """Return the networks by the names they were given; None stands for a wrong one."""
    uplink = source.parse(("uplink",), parse_interface, host.uplink)
    if uplink is not None:
        claims.interface(uplink, source.place("uplink"), "the uplink")
    networks: dict[str, Network | None] = {}
    for name, section in host.networks.items():
        path: Path = ("networks", name)
        label = source.label(path)
        networks[name] = None
        if section is not None:
            networks[name] = _network(
                source, path, label=label, uplink=uplink, section=section, claims=claims
            )
    return networks


def _network(
    source: Source[HostFile],
    path: Path,
    *,
    label: Label | None,
    uplink: str | None,
    section: NetworkSection,
    claims: Claims,
) -> Network | None:
    prefix = source.parse((*path, "cidr"), parse_prefix, section.cidr)
    gateways = resolve_gateways(source, (*path, "gateway"), section.gateway)
    for where, one in gateways:
        # Where there are two, the range is that of one protocol.
        if prefix is not None and (len(gateways) < 2 or one.version == prefix.version):
            _check_gateway(source, where, one, prefix)
    gateway, second_gateway, *_ = (*(one for _, one in gateways), None, None)
    if section.stp and section.forward_delay < 2:
        source.wrong((*path, "forward_delay"), "at least 2 with stp (or write stp: false)")
    if 0 < section.mtu < 576:
        source.wrong((*path, "mtu"), f"{section.mtu} is too small (at least 576, or 0)")
    bridge, vlan_interface = _interfaces(source, path, uplink, section, claims)
    dns = resolve_dns(source, (*path, "dns"), section.dns)
    search = resolve_search(source, (*path, "search"), section.search)
    if label is None or section.vlan is None or bridge is None or vlan_interface is None:
        return None
    return Network(
        name=label,
        vlan=section.vlan,
        bridge=bridge,
        vlan_interface=vlan_interface,
        prefix=prefix,
        gateway=gateway,
        second_gateway=second_gateway,
        dns=dns,
        search=search,
        ageing_time=section.ageing_time,
        stp=section.stp,
        forward_delay=section.forward_delay,
        mtu=section.mtu,
        place=source.key(*path),
    )


def _check_gateway(source: Source[HostFile], path: Path, gateway: Address, prefix: Prefix) -> None:
    if not in_reach(gateway, (prefix,)):
        source.wrong(path, f"{gateway} is outside of {prefix}")
    elif reason := unusable(gateway, prefix):
        source.wrong(path, f"{gateway} {reason}")


def _interfaces(
    source: Source[HostFile],
    path: Path,
    uplink: str | None,
    section: NetworkSection,
    claims: Claims,
) -> tuple[str | None, str | None]:
    """Return the names of bridge and VLAN interface, given or derived, and claim them."""
    if section.vlan is not None:
        claims.vlan(section.vlan, source.place(*path, "vlan"), f"network {path[-1]}")
    names: list[str | None] = []
    for field, given, base in (
        ("bridge", section.bridge, "virbr1"),
        ("vlan_interface", section.vlan_interface, uplink),
    ):
        name = source.parse((*path, field), parse_interface, given)
        if name is None and (*path, field) not in source.broken and section.vlan and base:
            name = f"{base}.{section.vlan}"
            if len(name) > 15:
                source.wrong_key(
                    path,
                    f"the interface name {name} has {len(name)} characters, Linux allows 15 "
                    f"(give a shorter one with {field})",
                )
                name = None
        if name is not None:
            claims.interface(name, source.place(*path, field), f"the {field} of {path[-1]}")
        names.append(name)
    return names[0], names[1]


def resolve_gateways(
    source: Source[Any], path: Path, given: str | tuple[str | None, ...] | None
) -> tuple[tuple[Path, Address], ...]:
    """Return default routers with their places: one of each protocol at most."""
    texts = given if isinstance(given, tuple) else (given,)
    found: list[tuple[Path, Address]] = []
    for position, text in enumerate(texts):
        where = (*path, position) if isinstance(given, tuple) else path
        one = source.parse(where, parse_address, text)
        if one is None:
            continue
        if any(one.version == other.version for _, other in found):
            source.wrong(where, f"a second router of IPv{one.version} (one of each protocol)")
        else:
            found.append((where, one))
    return tuple(found)


def resolve_dns(
    source: Source[Any], path: Path, texts: tuple[str | None, ...]
) -> tuple[Address, ...]:
    """Return addresses of name servers; wrong ones are told and left out."""
    found = (
        source.parse((*path, position), parse_address, text) for position, text in enumerate(texts)
    )
    return tuple(address for address in found if address is not None)


def resolve_search(
    source: Source[Any], path: Path, texts: tuple[str | None, ...]
) -> tuple[str, ...]:
    """Return search domains; wrong ones are told and left out."""
    found = (
        source.parse((*path, position), parse_domain, text) for position, text in enumerate(texts)
    )
    return tuple(domain for domain in found if domain is not None)
