"""A guest's seed: what it reads at its first boot, as the files of a ConfigDrive or NoCloud disk.

Formats are those of cloud-init's data sources and of OpenStack's config drive. All is JSON, which
is YAML without its traps: to YAML 1.1, a MAC address may be a number.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from ipaddress import ip_network
from typing import Any

import msgspec
from msgspec.structs import replace

from kvmkeep.model.image_facts import Contents
from kvmkeep.model.names import FIRST_BOOT_DONE
from kvmkeep.model.spec import FirstBoot, Guest, Network, Nic
from kvmkeep.model.units import Label

Json = dict[str, Any]

CACHE_FILE = "/etc/cloud/cloud.cfg.d/99-zz-kvmkeep-cache.cfg"
NETWORK_FILE = "/etc/cloud/cloud.cfg.d/99-zz-kvmkeep-network.cfg"
HOSTNAME_FILE = "/etc/cloud/cloud.cfg.d/99-zz-kvmkeep-hostname.cfg"
"""What keeps cloud-init off the network and the name that were set from outside."""
DROP_IN_FILE = "/etc/cloud/cloud.cfg.d/99-zz-kvmkeep.cfg"
DROP_IN = "datasource_list: [ConfigDrive, NoCloud, None]\n"
"""One line: ds-identify reads no other form of a list."""

_SITE = ip_network("fc00::/7")
_APPENDED = frozenset({"runcmd", "write_files", "packages", "users"})

_CONSOLE = (
    "if command -v grubby >/dev/null; then"
    " grubby --update-kernel=ALL --args='console=tty0 console=ttyS0,115200n8';"
    " elif command -v update-grub >/dev/null && [ -d /etc/default/grub.d ]; then"
    " echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX console=tty0 console=ttyS0,115200n8\"'"
    " >/etc/default/grub.d/60-kvmkeep-serial.cfg; update-grub; fi"
)
_NO_CONSOLE_YET = "grep -q console=ttyS0 /proc/cmdline || { " + _CONSOLE + "; } || true"


class SeedKind(StrEnum):
    """Which of cloud-init's data sources a seed is for; the value is its volume label."""

    CONFIG_DRIVE = "config-2"
    NOCLOUD = "CIDATA"


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """A seed's kind and files, with their paths inside it.

    `drop_in` when the image would not look for any seed unless told so beforehand.
    """

    kind: SeedKind
    files: tuple[tuple[str, str], ...]
    drop_in: bool
    waits: bool
    """Whether the guest will say that its first boot is done: only cloud-init does."""


def make_seed(guest: Guest, contents: Contents, networks: dict[Label, Network]) -> Seed:
    """Return the seed that suits the guest and what its image holds."""
    kind, drop_in = seed_kind(guest, contents)
    user_data = "#cloud-config\n" + _yaml(_user_data(guest, contents))
    if kind is SeedKind.CONFIG_DRIVE:
        top = "openstack/latest"
        meta = {"uuid": guest.uuid, "hostname": guest.hostname, "name": guest.name}
        files = (
            (f"{top}/meta_data.json", _text(meta)),
            (f"{top}/network_data.json", _text(_network_data(guest, networks))),
            (f"{top}/user_data", user_data),
        )
    else:
        meta = {"instance-id": guest.uuid, "local-hostname": guest.hostname}
        files = (
            ("meta-data", _yaml(meta)),
            ("network-config", _yaml(_network_config(guest, networks))),
            ("user-data", user_data),
        )
    return Seed(kind=kind, files=files, drop_in=drop_in, waits=contents.cloud_init)


def as_clone(guest: Guest) -> Guest:
    """Return a guest as its seed is to see it where its disks are copies: none is formatted."""
    data = json.loads(guest.user_data) if guest.user_data else {}
    kept = {key: value for key, value in data.items() if key not in {"disk_setup", "fs_setup"}}
    return replace(guest, user_data=json.dumps(kept, sort_keys=True) if kept else "")


def done_line(guest: Guest) -> str:
    """Return what the guest writes to its serial port as the last act of its first boot."""
    return f"{FIRST_BOOT_DONE} {guest.uuid}"


def seed_kind(guest: Guest, contents: Contents) -> tuple[SeedKind, bool]:
    """Return a guest's kind of seed, and whether its image would not look for that."""
    known = contents.datasources
    if guest.first_boot is FirstBoot.CONFIG_DRIVE:
        return SeedKind.CONFIG_DRIVE, bool(known) and "ConfigDrive" not in known
    if guest.first_boot is FirstBoot.NOCLOUD:
        return SeedKind.NOCLOUD, bool(known) and "NoCloud" not in known
    if not known or "ConfigDrive" in known:
        nocloud = beyond_a_drive(guest) and (not known or "NoCloud" in known)
        return (SeedKind.NOCLOUD if nocloud else SeedKind.CONFIG_DRIVE), False
    if "NoCloud" in known:
        return SeedKind.NOCLOUD, False
    return SeedKind.CONFIG_DRIVE, True


def beyond_a_drive(guest: Guest) -> tuple[str, ...]:
    """Return what a guest is to get that a config drive has no place for."""
    searches, declines = any(nic.search for nic in guest.nics), declines_a_route(guest)
    return (*["search domains"] * searches, *["DHCP without its default route"] * declines)


def declines_a_route(guest: Guest) -> bool:
    """Return whether DHCP is to bring a guest no default route over one of its NICs."""
    return any(_declines(guest, nic) for nic in guest.nics)


def _declines(guest: Guest, nic: Nic) -> bool:
    """Whether a NIC takes no routes from DHCP, here IPv4's: another one has the default route."""
    taken = any(one.gateway_of(4) is not None for one in guest.nics)
    return nic.dhcp and not nic.gateways and taken


def without_ipv6_router(guest: Guest) -> tuple[str, ...]:
    """Return the IPv6 addresses of a guest that has no default route of that protocol.

    Of a config drive, cloud-init has a static address take no router advertisements (its
    sources/helpers/openstack.py, "accept-ra"), and NetworkManager's `manual` takes none either.
    Addresses of the site alone (RFC 4193) may well do without.
    """
    if any(nic.gateway_of(6) is not None for nic in guest.nics):
        return ()
    found = (one for nic in guest.nics for one in nic.addresses if one.version == 6)
    return tuple(str(one) for one in found if not (one.ip in _SITE or one.is_link_local))


def _switch_on(unit: str) -> list[str]:
    """Enable a unit that isn't, and start it.

    Enabling one that is static or enabled is not free: systemctl(1) hands a unit that also has a
    SysV script to the distribution's own program, which looks through all of those.
    """
    line = f"systemctl is-enabled --quiet {unit} || systemctl enable {unit}; systemctl start {unit}"
    return ["sh", "-c", f"{{ {line}; }} || true"]


def _user_data(guest: Guest, contents: Contents) -> Json:
    ours: Json = {
        "hostname": guest.hostname,
        "preserve_hostname": False,
        # So that the guest knows its own name without any DNS.
        "manage_etc_hosts": "localhost",
        "users": [_user(guest)],
        "ssh_pwauth": False,
        "growpart": {"mode": "auto", "devices": ["/"]},
        "resize_rootfs": True,
        # An image may bring settings that format a second disk: of these three, lists are
        # replaced by lists, but a mapping is only replaced by null.
        "disk_setup": None,
        "fs_setup": [],
        "mounts": [],
        "write_files": [
            {
                "path": CACHE_FILE,
                "content": "# The seed is gone after the first boot; that is no new machine.\n"
                "manual_cache_clean: true\n",
                "owner": "root:root",
                "permissions": "0644",
            }
        ],
        "runcmd": [
            _switch_on("serial-getty@ttyS0.service"),
            ["sh", "-c", _NO_CONSOLE_YET],
            _switch_on("qemu-guest-agent.service"),
        ],
    }
    if "." in guest.hostname:
        ours["fqdn"] = guest.hostname
        ours["hostname"] = guest.hostname.partition(".")[0]
    if guest.login.user == "root":
        ours["disable_root"] = False
    if not contents.agent:
        ours["package_update"] = True
        ours["packages"] = ["qemu-guest-agent"]
    merged = _merged(ours, json.loads(guest.user_data) if guest.user_data else {})
    # Last of all, so that it tells the truth. The seed is deleted then: after a power cut, nothing
    # would give again what was not on the disk yet.
    last = ["sh", "-c", f"sync; printf '\\n%s\\n' '{done_line(guest)}' >/dev/ttyS0"]
    merged["runcmd"] = [*merged["runcmd"], last]
    return merged


def _user(guest: Guest) -> Json:
    login = guest.login
    user: Json = {"name": login.user, "lock_passwd": not login.password_hash}
    if login.user != "root":
        user["shell"] = "/bin/bash"
    if login.password_hash:
        user["hashed_passwd"] = login.password_hash
    if login.ssh_keys:
        user["ssh_authorized_keys"] = list(login.ssh_keys)
    if login.sudo and login.user != "root":
        user["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
    return user


def _merged(ours: Json, theirs: Json) -> Json:
    """Lay the site's settings over ours: deeply, with some lists of both one after the other."""
    merged = dict(ours)
    for key, value in theirs.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merged(old, value)
        elif isinstance(old, list) and isinstance(value, list) and key in _APPENDED:
            merged[key] = [*old, *value]
        else:
            merged[key] = value
    # The site may have set it to something else than a list; ours must run nevertheless.
    for key in _APPENDED & ours.keys():
        if not isinstance(merged[key], list):
            merged[key] = ours[key]
    return merged


def _network_data(guest: Guest, networks: dict[Label, Network]) -> Json:
    """Return OpenStack's network_data.json: links are matched by MAC and not renamed."""
    links: list[Json] = []
    found: list[Json] = []
    for number, nic in enumerate(guest.nics):
        link: Json = {"id": f"nic{number}", "type": "phy", "ethernet_mac_address": nic.mac}
        if networks[nic.network].mtu:
            link["mtu"] = networks[nic.network].mtu
        links.append(link)
        found.extend(_networks_of(nic, number))
    services = [_dns(server) for server in dict.fromkeys(_all_dns(guest))]
    return {"links": links, "networks": found, "services": services}


def _networks_of(nic: Nic, number: int) -> list[Json]:
    found: list[Json] = []
    link = f"nic{number}"
    if nic.dhcp:
        found.append({"id": f"{link}-dhcp", "link": link, "type": "ipv4_dhcp"})
    taken: set[int] = set()
    for position, address in enumerate(nic.addresses):
        entry: Json = {"id": f"{link}-{position}", "link": link, "type": f"ipv{address.version}"}
        if address.version == 4:
            entry["ip_address"] = str(address.ip)
            entry["netmask"] = str(address.network.netmask)
        else:
            entry["ip_address"] = str(address)
        routes: list[Json] = []
        if address.version not in taken:
            taken.add(address.version)
            entry["services"] = [_dns(str(one)) for one in nic.dns]
            routes = _routes(nic, address.version)
            gateway = nic.gateway_of(address.version)
            if gateway is not None:
                # As a route, it would be set with route(8) by images with ifupdown: without
                # net-tools, the guest would silently have none.
                entry["gateway"] = str(gateway)
        entry["routes"] = routes
        found.append(entry)
    return found


def _routes(nic: Nic, version: int) -> list[Json]:
    return [
        _route(str(route.to.network_address), str(route.to.netmask), str(route.via))
        for route in nic.routes
        if route.to.version == version
    ]


def _route(network: str, netmask: str, gateway: str) -> Json:
    return {"network": network, "netmask": netmask, "gateway": gateway}


def _network_config(guest: Guest, networks: dict[Label, Network]) -> Json:
    """Return version 2 of cloud-init's network configuration.

    Without `set-name`, some renderers rename the interface to its key here.
    """
    ethernets: Json = {}
    for number, nic in enumerate(guest.nics):
        name = f"eth{number}"
        entry: Json = {"match": {"macaddress": nic.mac}, "set-name": name, "dhcp4": nic.dhcp}
        if networks[nic.network].mtu:
            entry["mtu"] = networks[nic.network].mtu
        if _declines(guest, nic):
            entry["dhcp4-overrides"] = {"use-routes": False}
        if nic.addresses:
            entry["addresses"] = [str(address) for address in nic.addresses]
        routes = [{"to": str(route.to), "via": str(route.via)} for route in nic.routes]
        for gateway in nic.gateways:
            if any(one.version == gateway.version for one in nic.addresses):
                # As a route, images with ifupdown would set it with route(8): without net-tools,
                # the guest would silently have none, and a link-local router is one of no
                # interface.
                entry[f"gateway{gateway.version}"] = str(gateway)
            else:
                anywhere = "0.0.0.0/0" if gateway.version == 4 else "::/0"
                routes.insert(0, {"to": anywhere, "via": str(gateway)})
        if routes:
            entry["routes"] = routes
        if nic.dns or nic.search:
            servers = [str(server) for server in nic.dns]
            entry["nameservers"] = {"addresses": servers, "search": list(nic.search)}
        ethernets[name] = entry
    return {"version": 2, "ethernets": ethernets}


def _dns(address: str) -> Json:
    return {"type": "dns", "address": address}


def _all_dns(guest: Guest) -> list[str]:
    return [str(server) for nic in guest.nics for server in nic.dns]


def _text(value: Json) -> str:
    return msgspec.json.format(json.dumps(value), indent=1) + "\n"


def _yaml(value: Json) -> str:
    """Return JSON that is YAML as well.

    JSON writes what lies beyond U+FFFF as two surrogates, which YAML does not put together again
    (YAML 1.2, 5.7): a key with an emoji in its comment would never be written.
    """
    text = msgspec.json.format(json.dumps(value, ensure_ascii=False), indent=1)
    return re.sub(r"[^\x00-\x7e]", _escaped, text) + "\n"


def _escaped(character: re.Match[str]) -> str:
    code = ord(character[0])
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
