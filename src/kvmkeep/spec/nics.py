"""A guest's network interfaces, and over which of them its default route goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.names import guest_mac
from kvmkeep.model.spec import Address, Interface, Network, Nic, Prefix, Route
from kvmkeep.model.text import printable
from kvmkeep.model.units import GuestName, Mac, parse_label, parse_mac
from kvmkeep.spec.addresses import (
    in_reach,
    of_one_link,
    parse_address,
    parse_interface_address,
    parse_prefix,
)
from kvmkeep.spec.claims import Claims
from kvmkeep.spec.guest_document import GuestFile, NicSection, RouteSection
from kvmkeep.spec.networks import resolve_dns, resolve_gateways, resolve_search
from kvmkeep.spec.source import Path, Source

_DHCP = "dhcp"

Networks = Mapping[str, Network | None]


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a guest's NICs are checked against.

    `networks` is None where the host file has none to speak of, because of mistakes in it; a
    network in it is None where it has mistakes of its own.
    """

    host: str
    networks: Networks | None
    claims: Claims


class _Draft(Struct, frozen=True, kw_only=True):
    """A NIC that still lacks its gateway."""

    path: Path
    section: NicSection
    network: Network
    nic: Nic

    @property
    def ranges(self) -> tuple[Prefix, ...]:
        """The networks in which a router can be reached over this NIC."""
        if self.nic.addresses:
            return tuple(interface.network for interface in self.nic.addresses)
        return () if self.network.prefix is None else (self.network.prefix,)

    def reaches(self, router: Address) -> bool:
        """Whether a router is in reach; with DHCP and no known range, any may be.

        DHCP is IPv4's: a link-local router is set along with a static address of IPv6 only.
        """
        if self.nic.dhcp and of_one_link(router):
            return False
        return not self.ranges or in_reach(router, self.ranges)


def resolve_nics(
    source: Source[GuestFile],
    guest: GuestName | None,
    identity: GuestName | None,
    sections: tuple[NicSection | None, ...],
    around: Surroundings,
) -> tuple[Nic, ...]:
    """Return a guest's NICs; those with mistakes are told and left out."""
    drafts = [
        _draft(source, guest, position, section, around=around, identity=identity)
        for position, section in enumerate(sections)
        if section is not None
    ]
    return _with_gateways(source, [draft for draft in drafts if draft is not None])


def _draft(
    source: Source[GuestFile],
    guest: GuestName | None,
    position: int,
    section: NicSection,
    *,
    around: Surroundings,
    identity: GuestName | None,
) -> _Draft | None:
    path: Path = ("nics", position)
    adopted = source.document is not None and source.document.adopted
    if not adopted and not source.has(*path, "address"):
        here = source.place(*path)
        source.mistakes.add(here, "address is missing (such as address: 10.5.68.237/24)")
    owner = f"guest {guest}" if guest else source.file
    network = _network(source, (*path, "network"), section.network, around.networks)
    dhcp, addresses = _addresses(
        source, (*path, "address"), section, network=network, owner=owner, claims=around.claims
    )
    mac = source.parse((*path, "mac"), parse_mac, section.mac)
    if mac is None and identity is not None and (*path, "mac") not in source.broken:
        mac = guest_mac(around.host, identity, position)
    if mac is not None:
        around.claims.mac(mac, source.place(*path, "mac"), f"{owner}, NIC {position + 1}")
    dns = None if section.dns is None else resolve_dns(source, (*path, "dns"), section.dns)
    own_search = section.search
    search = None if own_search is None else resolve_search(source, (*path, "search"), own_search)
    routes = resolve_routes(source, path, section.routes)
    if network is None:
        return None
    nic = Nic(
        network=network.name,
        mac=mac or Mac(""),
        dhcp=dhcp,
        addresses=addresses,
        gateway=None,
        routes=tuple(route for _, route in routes),
        dns=network.dns if dns is None else dns,
        search=network.search if search is None else search,
        named=section.mac is not None,
    )
    draft = _Draft(path=path, section=section, network=network, nic=nic)
    for where, route in routes:
        if of_one_link(route.via):
            wrong = "no seed can say over which NIC that is (write a global address of the router)"
            source.wrong((*where, "via"), f"{route.via} is link-local, and {wrong}")
        elif not draft.reaches(route.via):
            source.wrong((*where, "via"), f"{route.via} is not in a network of this NIC")
    return draft


def _network(
    source: Source[GuestFile], path: Path, name: str | None, networks: Networks | None
) -> Network | None:
    if name is None or networks is None:
        return None
    if source.parse(path, parse_label, name) is not None and name not in networks:
        known = ", ".join(networks) or "none"
        source.wrong(path, f"there is no network {printable(name)} in host.yaml (known: {known})")
    return networks.get(name)


def _addresses(
    source: Source[GuestFile],
    path: Path,
    section: NicSection,
    *,
    network: Network | None,
    owner: str,
    claims: Claims,
) -> tuple[bool, tuple[Interface, ...]]:
    """Return whether the NIC uses DHCP, and its static addresses."""
    given = section.address
    if given is None:
        return False, ()
    texts = (given,) if isinstance(given, str) else given
    if not texts:
        source.wrong(path, "the list is empty (write dhcp or an address)")
    if _DHCP in texts:
        if len(texts) > 1:
            source.wrong(path, "dhcp and addresses can't be mixed (choose one of them)")
        return True, ()
    found: list[Interface] = []
    for position, text in enumerate(texts):
        where = path if isinstance(given, str) else (*path, position)
        interface = source.parse(where, parse_interface_address, text)
        if interface is None:
            continue
        found.append(interface)
        if network is not None:
            _check_address(source, where, interface, network)
        claims.address(section.network or "?", interface.ip, source.place(*where), owner)
    return False, tuple(found)


def _check_address(
    source: Source[GuestFile], path: Path, interface: Interface, network: Network
) -> None:
    """Note an address that does not belong to its network, or belongs to the router."""
    address, prefix = interface.ip, network.prefix
    if address in network.gateways:
        source.wrong(path, f"{address} is the gateway of network {network.name}")
    if prefix is None or prefix.version != interface.version:
        return
    if address not in prefix:
        source.wrong(path, f"{address} is outside of network {network.name}, {prefix}")
    elif interface.network != prefix:
        source.wrong(
            path, f"network {network.name} is {prefix} (write {address}/{prefix.prefixlen})"
        )


def resolve_routes(
    source: Source[Any], path: Path, sections: tuple[RouteSection | None, ...]
) -> list[tuple[Path, Route]]:
    """Return routes with their places; wrong ones are told and left out."""
    routes: list[tuple[Path, Route]] = []
    for position, section in enumerate(sections):
        if section is None:
            continue
        where: Path = (*path, "routes", position)
        to = source.parse((*where, "to"), parse_prefix, section.to)
        via = source.parse((*where, "via"), parse_address, section.via)
        if to is None or via is None:
            continue
        if to.prefixlen == 0:
            source.wrong((*where, "to"), "this is the default route (use gateway for it)")
        elif to.version != via.version:
            source.wrong((*where, "via"), "a route and its router must both be IPv4 or both IPv6")
        else:
            routes.append((where, Route(to=to, via=via)))
    return routes


def _with_gateways(source: Source[GuestFile], drafts: list[_Draft]) -> tuple[Nic, ...]:
    """Give the default route to the NICs that ask for it, or else to the first that can."""
    chosen: dict[int, tuple[Address, ...]] = {}
    asked = False
    taken: set[int] = set()
    for position, draft in enumerate(drafts):
        asked = asked or draft.section.gateway not in {None, False}
        gateways = _asked(source, draft)
        if any(one.version in taken for one in gateways):
            source.wrong(
                (*draft.path, "gateway"),
                "the default route goes over another NIC already (one gateway for a guest)",
            )
        taken.update(one.version for one in gateways)
        chosen[position] = gateways
    if not asked:
        willing = [(at, one) for at, one in enumerate(drafts) if one.section.gateway is None]
        for position, draft in willing:
            defaults = tuple(one for one in draft.network.gateways if draft.reaches(one))
            if defaults:
                chosen[position] = defaults
                break
        else:
            _tell_out_of_reach(source, [draft for _, draft in willing])
    return tuple(
        _over(draft.nic, chosen.get(position, ())) for position, draft in enumerate(drafts)
    )


def _over(nic: Nic, gateways: tuple[Address, ...]) -> Nic:
    first, second, *_ = (*gateways, None, None)
    return replace(nic, gateway=first, second_gateway=second)


def _tell_out_of_reach(source: Source[GuestFile], drafts: list[_Draft]) -> None:
    """Note NICs whose network has a gateway that none of their addresses reaches.

    An address of a network with a `cidr` was judged by that. One of the other protocol is none of
    the gateway's business: its router may announce itself.
    """
    for draft in drafts:
        network, addresses = draft.network, draft.nic.addresses
        for gateway in network.gateways if network.prefix is None else ():
            if any(address.version == gateway.version for address in addresses):
                source.wrong(
                    (*draft.path, "address"),
                    f"the gateway {gateway} of network {network.name} is out of its reach "
                    "(write another address, or gateway: false)",
                )


def _asked(source: Source[GuestFile], draft: _Draft) -> tuple[Address, ...]:
    """Return the routers that a NIC asks for; wrong ones are told and left out."""
    path: Path = (*draft.path, "gateway")
    asked = draft.section.gateway
    if asked is None or asked is False:
        return ()
    if asked is not True:
        given = resolve_gateways(source, path, asked)
        return tuple(one for where, one in given if _reaches(source, where, draft, one))
    known = draft.network.gateways
    if not known:
        source.wrong(path, f"network {draft.network.name} has no gateway (write its address)")
    reached = tuple(one for one in known if draft.reaches(one))
    # Of two, it takes that of its own protocol.
    return reached or tuple(one for one in known if _reaches(source, path, draft, one))


def _reaches(source: Source[GuestFile], path: Path, draft: _Draft, gateway: Address) -> bool:
    """Whether a router that a NIC asks for is in its reach; it is told if it isn't."""
    if draft.nic.dhcp and of_one_link(gateway):
        source.wrong(path, f"{gateway} needs a static IPv6 address on this NIC (DHCP is IPv4's)")
    elif not draft.reaches(gateway):
        source.wrong(path, f"{gateway} is not in a network of this NIC")
    else:
        return True
    return False
