"""Files that set up a guest's interfaces, for whatever its system uses; each matched by its MAC.

Pure text from addresses: for a change of a disk that is off, and for whoever else needs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import assert_never

from msgspec import Struct

from kvmkeep.model.inside import Renderer
from kvmkeep.model.names import nic_uuid
from kvmkeep.model.spec import Interface, Nic

NETPLAN_DIR = "/etc/netplan"
NM_DIR = "/etc/NetworkManager/system-connections"
NETWORKD_DIR = "/etc/systemd/network"
IFCFG_DIR = "/etc/sysconfig/network-scripts"
NO_DNS = "/etc/NetworkManager/conf.d/99-cloud-init.conf"
"""Has NetworkManager leave resolv.conf alone: cloud-init writes it on EL when it has name servers
(its cloudinit/net/sysconfig.py, _render_networkmanager_conf), and resolv.conf itself."""
INTERFACES = "/etc/network/interfaces"
NAMES_SCRIPT = "/etc/network/kvmkeep-names"
RESOLV_CONF = "/etc/resolv.conf"

_MARK = "# Written by kvmkeep. What was here before lies in /var/lib/kvmkeep-old.\n"
_ETHERNET = "/e*"
_NOBODY = "kvmkeep-none"
_OWN = re.compile(r"(?:05-)?kvmkeep[0-9]+\.(?:nmconnection|network)")
_NAMES = f"""\
#!/bin/sh
# For interfaces(5): print the name of the stanza of an interface, found by its MAC address.
read -r address < "/sys/class/net/$1/address"
while read -r mac name; do
    [ "$mac" = "$address" ] && {{ echo "$name"; exit 0; }}
done
echo {_NOBODY}
"""
_PRIORITY = 999
"""nm-settings(5): the highest autoconnect-priority; cloud-init's own profiles have 120."""


class NetworkFile(Struct, frozen=True, kw_only=True):
    """A file inside the guest."""

    path: str
    content: str
    mode: int


def network_files(renderer: Renderer, nics: tuple[Nic, ...]) -> tuple[NetworkFile, ...]:
    """Return the files that set up all of `nics`."""
    match renderer:
        case Renderer.NETPLAN:
            return (_netplan(nics), *_resolv_conf(nics))
        case Renderer.NETWORK_MANAGER:
            return tuple(_keyfile(number, nic) for number, nic in enumerate(nics))
        case Renderer.NETWORKD:
            files = (_networkd(number, nic) for number, nic in enumerate(nics))
            return (*files, *_resolv_conf(nics))
        case Renderer.IFCFG:
            some = (_ifcfg(number, nic) for number, nic in enumerate(nics))
            return tuple(file for files in some for file in files)
        case Renderer.IFUPDOWN:
            names = NetworkFile(path=NAMES_SCRIPT, content=_NAMES, mode=0o755)
            return (names, _interfaces(nics), *_resolv_conf(nics))
        case _:  # pragma: no cover - the type checker proves it
            assert_never(renderer)


def directories(renderer: Renderer) -> tuple[str, ...]:
    """Return where files may lie that would work against the new ones."""
    match renderer:
        case Renderer.NETPLAN:
            return (NETPLAN_DIR,)
        case Renderer.NETWORK_MANAGER:
            return (NM_DIR, IFCFG_DIR)
        case Renderer.NETWORKD:
            return (NETWORKD_DIR,)
        case Renderer.IFCFG:
            return (IFCFG_DIR,)
        case Renderer.IFUPDOWN:
            return ()
        case _:  # pragma: no cover - the type checker proves it
            assert_never(renderer)


def in_the_way(directory: str, names: Iterable[str], new: Collection[str]) -> tuple[str, ...]:
    """Return the files of a directory that would work against the `new` ones, by their names.

    netplan(5) merges all its files, and legacy scripts start each `ifcfg-*`. Of the others only
    those of cloud-init go: networkd takes the first file that fits, and ours is the first;
    NetworkManager takes the profile of the highest priority. Ours go as well, of an interface that
    had another number before or is not named any more.
    """
    found: list[str] = []
    for name in sorted(names):
        if directory == NETPLAN_DIR:
            gone = name.endswith(".yaml")
        elif directory == IFCFG_DIR:
            gone = name.startswith(("ifcfg-", "route-", "route6-")) and name != "ifcfg-lo"
        else:
            gone = "cloud-init" in name or _OWN.fullmatch(name) is not None
        if gone and f"{directory}/{name}" not in new:
            found.append(f"{directory}/{name}")
    return tuple(found)


def _name(number: int) -> str:
    return f"kvmkeep{number}"


def _split(nic: Nic) -> tuple[list[Interface], list[Interface]]:
    """Return the IPv4 and the IPv6 addresses."""
    four: list[Interface] = [one for one in nic.addresses if one.version == 4]
    six: list[Interface] = [one for one in nic.addresses if one.version == 6]
    return four, six


def _gateway(nic: Nic, version: int) -> str:
    return str(nic.gateway_of(version) or "")


def _netplan(nics: tuple[Nic, ...]) -> NetworkFile:
    lines = ["network:", "  version: 2", "  ethernets:"]
    for number, nic in enumerate(nics):
        lines += [f"    {_name(number)}:", f'      match: {{macaddress: "{nic.mac}"}}']
        if nic.dhcp:
            lines.append("      dhcp4: true")
        if nic.addresses:
            lines.append(f"      addresses: {_flow(nic.addresses)}")
        routes = [(str(route.to), str(route.via)) for route in nic.routes]
        for version, default in ((4, "0.0.0.0/0"), (6, "::/0")):
            if _gateway(nic, version):
                routes.insert(0, (default, _gateway(nic, version)))
        if routes:
            lines.append("      routes:")
            lines += [f'        - {{to: "{to}", via: "{via}"}}' for to, via in routes]
        if nic.dns or nic.search:
            names = [f"addresses: {_flow(nic.dns)}"] if nic.dns else []
            names += [f"search: {_flow(nic.search)}"] if nic.search else []
            lines.append(f"      nameservers: {{{', '.join(names)}}}")
    content = _MARK + "\n".join(lines) + "\n"
    return NetworkFile(path=f"{NETPLAN_DIR}/60-kvmkeep.yaml", content=content, mode=0o600)


def _flow(values: Iterable[object]) -> str:
    return json.dumps([str(value) for value in values])


def _keyfile(number: int, nic: Nic) -> NetworkFile:
    four, six = _split(nic)
    lines = [
        "[connection]", f"id={_name(number)}", f"uuid={nic_uuid(nic.mac)}",
        "type=ethernet", f"autoconnect-priority={_PRIORITY}", "",
        "[ethernet]", f"mac-address={nic.mac.upper()}",
    ]  # fmt: skip
    for version, addresses in ((4, four), (6, six)):
        lines += ["", f"[ipv{version}]", f"method={'manual' if addresses else 'auto'}"]
        lines += [f"address{place}={one}" for place, one in enumerate(addresses, 1)]
        if _gateway(nic, version):
            lines.append(f"gateway={_gateway(nic, version)}")
        elif addresses:
            lines.append("never-default=true")
        routes = [route for route in nic.routes if route.to.version == version]
        lines += [f"route{place}={r.to},{r.via}" for place, r in enumerate(routes, 1)]
        names = [str(one) for one in nic.dns if one.version == version]
        if names:
            lines.append(f"dns={';'.join(names)};")
        if nic.search and (addresses or version == 4):
            lines.append(f"dns-search={';'.join(nic.search)};")
        if addresses and version == 4:
            lines.append("may-fail=false")
    path = f"{NM_DIR}/{_name(number)}.nmconnection"
    return NetworkFile(path=path, content=_MARK + "\n".join(lines) + "\n", mode=0o600)


def _networkd(number: int, nic: Nic) -> NetworkFile:
    lines = ["[Match]", f"MACAddress={nic.mac}", "", "[Network]"]
    lines += ["DHCP=yes"] * nic.dhcp
    lines += [f"Address={address}" for address in nic.addresses]
    lines += [f"Gateway={gateway}" for gateway in nic.gateways]
    lines += [f"DNS={one}" for one in nic.dns]
    lines += [f"Domains={' '.join(nic.search)}"] if nic.search else []
    for route in nic.routes:
        lines += ["", "[Route]", f"Destination={route.to}", f"Gateway={route.via}"]
    # systemd.network(5): the first file in the order of names that fits an interface counts.
    path = f"{NETWORKD_DIR}/05-{_name(number)}.network"
    return NetworkFile(path=path, content=_MARK + "\n".join(lines) + "\n", mode=0o644)


def _ifcfg(number: int, nic: Nic) -> tuple[NetworkFile, ...]:
    four, six = _split(nic)
    name = _name(number)
    pairs = [
        ("NAME", name), ("TYPE", "Ethernet"), ("HWADDR", nic.mac.upper()), ("ONBOOT", "yes"),
        ("BOOTPROTO", "dhcp" if nic.dhcp else "none"),
        ("DEFROUTE", "yes" if nic.dhcp or nic.gateways else "no"),
    ]  # fmt: skip
    for place, one in enumerate(four):
        pairs += [(f"IPADDR{place}", str(one.ip)), (f"PREFIX{place}", str(one.network.prefixlen))]
    pairs += [("GATEWAY", _gateway(nic, 4))] if _gateway(nic, 4) else []
    if six:
        pairs += [("IPV6INIT", "yes"), ("IPV6_AUTOCONF", "no"), ("IPV6ADDR", str(six[0]))]
    if six[1:]:
        pairs.append(("IPV6ADDR_SECONDARIES", " ".join(str(one) for one in six[1:])))
    pairs += [("IPV6_DEFAULTGW", _gateway(nic, 6))] if _gateway(nic, 6) else []
    pairs += [(f"DNS{place}", str(one)) for place, one in enumerate(nic.dns, 1)]
    pairs += [("DOMAIN", " ".join(nic.search))] if nic.search else []
    content = _MARK + "".join(f'{key}="{value}"\n' for key, value in pairs)
    files = [NetworkFile(path=f"{IFCFG_DIR}/ifcfg-{name}", content=content, mode=0o644)]
    for version, prefix in ((4, "route"), (6, "route6")):
        routes = [f"{r.to} via {r.via}\n" for r in nic.routes if r.to.version == version]
        if routes:
            path = f"{IFCFG_DIR}/{prefix}-{name}"
            files.append(NetworkFile(path=path, content="".join(routes), mode=0o644))
    return tuple(files)


def _interfaces(nics: tuple[Nic, ...]) -> NetworkFile:
    # interfaces(5): a mapping finds the stanza by what its script prints. The shorter
    # `auto mac/...=NAME` is not known to `ifup --allow=hotplug IFACE`, as udev calls it, and
    # `ifup -a` may come before the kernel knows the interface.
    lines = ["auto lo", "iface lo inet loopback", "", f"auto {_ETHERNET}"]
    lines += [
        f"allow-hotplug {_ETHERNET}",
        f"mapping {_ETHERNET[1:]}",
        f"    script {NAMES_SCRIPT}",
    ]
    lines += [f"    map {nic.mac} {_name(number)}" for number, nic in enumerate(nics)]
    lines += ["", f"iface {_NOBODY} inet manual"]
    for number, nic in enumerate(nics):
        lines += ["", *_stanzas(_name(number), nic)]
    return NetworkFile(path=INTERFACES, content=_MARK + "\n".join(lines) + "\n", mode=0o644)


def _stanzas(name: str, nic: Nic) -> list[str]:
    """Return a stanza for each address. A route comes up with the first of its own protocol."""
    found: list[tuple[int, list[str]]] = []
    if nic.dhcp:
        found.append((4, [f"iface {name} inet dhcp"]))
    for address in nic.addresses:
        version = address.version
        lines = [
            f"iface {name} {'inet' if version == 4 else 'inet6'} static",
            f"    address {address}",
        ]
        alone = all(one.version != version for one in nic.addresses[: nic.addresses.index(address)])
        if alone and _gateway(nic, version):
            lines.append(f"    gateway {_gateway(nic, version)}")
        found.append((version, lines))
    for route in nic.routes:
        fit = [lines for version, lines in found if version == route.to.version]
        for lines in (fit or [lines for _, lines in found[-1:]])[:1]:
            # ip-route(8): a link-local router is one of an interface.
            device = " dev $IFACE" if route.via.is_link_local else ""
            lines.append(f"    up ip route add {route.to} via {route.via}{device} || true")
    if nic.addresses and nic.dns:
        _, lines = found[1 if nic.dhcp else 0]
        lines.append(f"    dns-nameservers {' '.join(str(one) for one in nic.dns)}")
        lines += [f"    dns-search {' '.join(nic.search)}"] if nic.search else []
    return [line for _, lines in found for line in lines]


def _resolv_conf(nics: tuple[Nic, ...]) -> tuple[NetworkFile, ...]:
    """Return what knows the name servers where no other program cares for them."""
    servers = dict.fromkeys(str(one) for nic in nics for one in nic.dns if nic.addresses)
    if not servers:
        return ()
    search = dict.fromkeys(name for nic in nics for name in nic.search)
    lines = [f"search {' '.join(search)}\n"] if search else []
    # resolv.conf(5): MAXNS.
    lines += [f"nameserver {one}\n" for one in list(servers)[:3]]
    return (NetworkFile(path=RESOLV_CONF, content=_MARK + "".join(lines), mode=0o644),)
