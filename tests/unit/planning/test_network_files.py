"""The files for each system, to the letter."""

from __future__ import annotations

import re
import subprocess  # noqa: TID251 - runs the script that a guest would run
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest
from msgspec.structs import replace

from kvmkeep.model.inside import Renderer
from kvmkeep.model.spec import Route
from kvmkeep.model.units import Mac
from kvmkeep.planning.first_boot.network_files import directories, in_the_way, network_files
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import read_tree
from tests.unit.planning.build import nic

FIRST = replace(
    nic("web"),
    mac=Mac("52:54:00:aa:bb:01"),
    addresses=(
        ip_interface("10.223.0.20/24"), ip_interface("2001:db8::20/64"),
        ip_interface("10.223.0.21/24"), ip_interface("2001:db8::21/64"),
    ),
    gateway=ip_address("10.223.0.254"),
    dns=(ip_address("192.0.2.53"), ip_address("2001:db8::53")),
    search=("example.org", "example.net"),
    routes=(
        Route(to=ip_network("10.9.0.0/16"), via=ip_address("10.223.0.1")),
        Route(to=ip_network("2001:db8:9::/48"), via=ip_address("2001:db8::1")),
    ),
)  # fmt: skip
SECOND = replace(
    nic("web"), mac=Mac("52:54:00:aa:bb:02"), dhcp=True, addresses=(), gateway=None, dns=(),
)  # fmt: skip
SIX = replace(
    FIRST, addresses=(ip_interface("2001:db8::20/64"),), gateway=ip_address("2001:db8::1"),
    routes=(), dns=(ip_address("2001:db8::53"),), search=(),
)  # fmt: skip
BOTH = (FIRST, SECOND)


def texts(renderer: Renderer, *nics: object) -> dict[str, str]:
    found = network_files(renderer, nics)  # type: ignore[arg-type]
    for file in found:
        marked = file.content.startswith(("# Written by kvmkeep", "#!/bin/sh"))
        assert marked or "/route" in file.path
    return {file.path: re.sub(r"^#.*\n", "", file.content) for file in found}


@pytest.mark.parametrize(
    ("renderer", "lines"),
    [
        (Renderer.NETPLAN, ['{to: "0.0.0.0/0", via: "10.223.0.254"}', '{to: "::/0", via: "fe80::1"}']),
        (Renderer.NETWORK_MANAGER, ["gateway=10.223.0.254\n", "gateway=fe80::1\n"]),
        (Renderer.NETWORKD, ["Gateway=10.223.0.254\n", "Gateway=fe80::1\n"]),
        (Renderer.IFCFG, ['GATEWAY="10.223.0.254"\n', 'IPV6_DEFAULTGW="fe80::1"\n']),
        (Renderer.IFUPDOWN, ["    gateway 10.223.0.254\n", "    gateway fe80::1\n"]),
    ],
)  # fmt: skip
def test_default_routes_of_both_protocols(renderer: Renderer, lines: list[str]) -> None:
    both = replace(FIRST, second_gateway=ip_address("fe80::1"))
    text = "".join(texts(renderer, both).values())
    assert [text.count(line) for line in lines] == [1, 1]


def test_ifupdown_names_the_interface_of_a_link_local_router() -> None:
    route = Route(to=ip_network("2001:db8:9::/48"), via=ip_address("fe80::1"))
    (text,) = (
        text
        for path, text in texts(Renderer.IFUPDOWN, replace(SIX, routes=(route,))).items()
        if path.endswith("interfaces")
    )
    assert "up ip route add 2001:db8:9::/48 via fe80::1 dev $IFACE || true\n" in text


def test_netplan() -> None:
    found = texts(Renderer.NETPLAN, *BOTH)
    assert "nameserver 192.0.2.53\n" in found["/etc/resolv.conf"]
    text = found["/etc/netplan/60-kvmkeep.yaml"]
    assert text == (
        "network:\n"
        "  version: 2\n"
        "  ethernets:\n"
        "    kvmkeep0:\n"
        '      match: {macaddress: "52:54:00:aa:bb:01"}\n'
        '      addresses: ["10.223.0.20/24", "2001:db8::20/64", "10.223.0.21/24",'
        ' "2001:db8::21/64"]\n'
        "      routes:\n"
        '        - {to: "0.0.0.0/0", via: "10.223.0.254"}\n'
        '        - {to: "10.9.0.0/16", via: "10.223.0.1"}\n'
        '        - {to: "2001:db8:9::/48", via: "2001:db8::1"}\n'
        '      nameservers: {addresses: ["192.0.2.53", "2001:db8::53"],'
        ' search: ["example.org", "example.net"]}\n'
        "    kvmkeep1:\n"
        '      match: {macaddress: "52:54:00:aa:bb:02"}\n'
        "      dhcp4: true\n"
    )
    mistakes = Mistakes()
    assert read_tree("x", text, mistakes) is not None
    text = texts(Renderer.NETPLAN, SIX)["/etc/netplan/60-kvmkeep.yaml"]
    assert '        - {to: "::/0", via: "2001:db8::1"}\n' in text
    file, _ = network_files(Renderer.NETPLAN, BOTH)
    assert (file.path, file.mode) == ("/etc/netplan/60-kvmkeep.yaml", 0o600)


def test_network_manager() -> None:
    folder = "/etc/NetworkManager/system-connections"
    found = texts(Renderer.NETWORK_MANAGER, *BOTH)
    first = re.sub(r"uuid=[0-9a-f-]{36}", "uuid=U", found[f"{folder}/kvmkeep0.nmconnection"])
    assert first == (
        "[connection]\nid=kvmkeep0\nuuid=U\ntype=ethernet\nautoconnect-priority=999\n\n"
        "[ethernet]\nmac-address=52:54:00:AA:BB:01\n\n"
        "[ipv4]\nmethod=manual\naddress1=10.223.0.20/24\naddress2=10.223.0.21/24\n"
        "gateway=10.223.0.254\nroute1=10.9.0.0/16,10.223.0.1\ndns=192.0.2.53;\n"
        "dns-search=example.org;example.net;\nmay-fail=false\n\n"
        "[ipv6]\nmethod=manual\naddress1=2001:db8::20/64\naddress2=2001:db8::21/64\n"
        "never-default=true\nroute1=2001:db8:9::/48,2001:db8::1\ndns=2001:db8::53;\n"
        "dns-search=example.org;example.net;\n"
    )
    second = found[f"{folder}/kvmkeep1.nmconnection"]
    assert second.endswith("[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n")
    assert {file.mode for file in network_files(Renderer.NETWORK_MANAGER, BOTH)} == {0o600}
    (six,) = texts(Renderer.NETWORK_MANAGER, SIX).values()
    assert six.endswith(
        "[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=manual\naddress1=2001:db8::20/64\n"
        "gateway=2001:db8::1\ndns=2001:db8::53;\n"
    )


def test_networkd() -> None:
    found = texts(Renderer.NETWORKD, *BOTH)
    assert found["/etc/systemd/network/05-kvmkeep0.network"] == (
        "[Match]\nMACAddress=52:54:00:aa:bb:01\n\n[Network]\n"
        "Address=10.223.0.20/24\nAddress=2001:db8::20/64\nAddress=10.223.0.21/24\n"
        "Address=2001:db8::21/64\nGateway=10.223.0.254\nDNS=192.0.2.53\nDNS=2001:db8::53\n"
        "Domains=example.org example.net\n\n"
        "[Route]\nDestination=10.9.0.0/16\nGateway=10.223.0.1\n\n"
        "[Route]\nDestination=2001:db8:9::/48\nGateway=2001:db8::1\n"
    )
    assert found["/etc/systemd/network/05-kvmkeep1.network"].endswith("[Network]\nDHCP=yes\n")


def test_ifcfg() -> None:
    found = texts(Renderer.IFCFG, *BOTH)
    folder = "/etc/sysconfig/network-scripts"
    assert found[f"{folder}/ifcfg-kvmkeep0"] == (
        'NAME="kvmkeep0"\nTYPE="Ethernet"\nHWADDR="52:54:00:AA:BB:01"\nONBOOT="yes"\n'
        'BOOTPROTO="none"\nDEFROUTE="yes"\nIPADDR0="10.223.0.20"\nPREFIX0="24"\n'
        'IPADDR1="10.223.0.21"\nPREFIX1="24"\nGATEWAY="10.223.0.254"\nIPV6INIT="yes"\n'
        'IPV6_AUTOCONF="no"\nIPV6ADDR="2001:db8::20/64"\n'
        'IPV6ADDR_SECONDARIES="2001:db8::21/64"\nDNS1="192.0.2.53"\nDNS2="2001:db8::53"\n'
        'DOMAIN="example.org example.net"\n'
    )
    assert found[f"{folder}/route-kvmkeep0"] == "10.9.0.0/16 via 10.223.0.1\n"
    assert found[f"{folder}/route6-kvmkeep0"] == "2001:db8:9::/48 via 2001:db8::1\n"
    assert 'BOOTPROTO="dhcp"\nDEFROUTE="yes"\n' in found[f"{folder}/ifcfg-kvmkeep1"]
    (six,) = texts(Renderer.IFCFG, SIX).values()
    assert 'IPV6_DEFAULTGW="2001:db8::1"\n' in six


def test_ifupdown() -> None:
    found = texts(Renderer.IFUPDOWN, *BOTH)
    assert found["/etc/network/interfaces"] == (
        "auto lo\niface lo inet loopback\n\nauto /e*\nallow-hotplug /e*\nmapping e*\n"
        "    script /etc/network/kvmkeep-names\n    map 52:54:00:aa:bb:01 kvmkeep0\n"
        "    map 52:54:00:aa:bb:02 kvmkeep1\n\niface kvmkeep-none inet manual\n\n"
        "iface kvmkeep0 inet static\n    address 10.223.0.20/24\n    gateway 10.223.0.254\n"
        "    up ip route add 10.9.0.0/16 via 10.223.0.1 || true\n"
        "    dns-nameservers 192.0.2.53 2001:db8::53\n    dns-search example.org example.net\n"
        "iface kvmkeep0 inet6 static\n    address 2001:db8::20/64\n"
        "    up ip route add 2001:db8:9::/48 via 2001:db8::1 || true\n"
        "iface kvmkeep0 inet static\n    address 10.223.0.21/24\n"
        "iface kvmkeep0 inet6 static\n    address 2001:db8::21/64\n\n"
        "iface kvmkeep1 inet dhcp\n"
    )
    assert found["/etc/resolv.conf"] == (
        "search example.org example.net\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"
    )
    assert texts(Renderer.IFUPDOWN, SIX)["/etc/resolv.conf"] == "nameserver 2001:db8::53\n"
    assert texts(Renderer.IFUPDOWN, SECOND).keys() == {
        "/etc/network/kvmkeep-names", "/etc/network/interfaces",
    }  # fmt: skip


def test_ifupdown_has_routes_come_with_an_address_of_their_protocol_or_else_the_last() -> None:
    leased = replace(SECOND, routes=FIRST.routes)
    text = texts(Renderer.IFUPDOWN, leased)["/etc/network/interfaces"]
    assert text.endswith(
        "iface kvmkeep0 inet dhcp\n    up ip route add 10.9.0.0/16 via 10.223.0.1 || true\n"
        "    up ip route add 2001:db8:9::/48 via 2001:db8::1 || true\n"
    )
    mixed = replace(FIRST, dhcp=True, addresses=FIRST.addresses[1:2], gateway=None, dns=())
    text = texts(Renderer.IFUPDOWN, mixed)["/etc/network/interfaces"]
    assert text.endswith(
        "iface kvmkeep0 inet dhcp\n    up ip route add 10.9.0.0/16 via 10.223.0.1 || true\n"
        "iface kvmkeep0 inet6 static\n    address 2001:db8::20/64\n"
        "    up ip route add 2001:db8:9::/48 via 2001:db8::1 || true\n"
    )
    without = replace(FIRST, addresses=(), gateway=None, dns=())
    assert "ip route" not in texts(Renderer.IFUPDOWN, without)["/etc/network/interfaces"]


def test_the_script_that_finds_an_interface_by_its_mac_address(tmp_path: Path) -> None:
    script = network_files(Renderer.IFUPDOWN, BOTH)[0]
    assert script.mode == 0o755
    (tmp_path / "eth7").mkdir()
    (tmp_path / "eth7/address").write_text("52:54:00:aa:bb:02\n")
    text = script.content.replace("/sys/class/net", str(tmp_path))

    def name(maps: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", text, "names", "eth7"], input=maps, text=True,
            capture_output=True, check=True, timeout=20,
        )  # fmt: skip
        return done.stdout

    assert name("52:54:00:aa:bb:01 kvmkeep0\n52:54:00:aa:bb:02 kvmkeep1\n") == "kvmkeep1\n"
    assert name("52:54:00:aa:bb:01 kvmkeep0\n") == "kvmkeep-none\n"


def test_what_would_work_against_them_goes_and_ours_stays() -> None:
    def gone(renderer: Renderer, names: tuple[str, ...]) -> list[str]:
        found = [in_the_way(directory, names, new) for directory in directories(renderer)]
        return [path for some in found for path in some]

    new = {
        "/etc/netplan/60-kvmkeep.yaml", "/etc/sysconfig/network-scripts/ifcfg-kvmkeep0",
        "/etc/systemd/network/05-kvmkeep0.network",
    }  # fmt: skip
    names = (
        "60-kvmkeep.yaml", "50-cloud-init.yaml", "01-netcfg.yaml", "README", "ifcfg-lo",
        "ifcfg-eth0", "route-eth0", "cloud-init-eth0.nmconnection", "mine.nmconnection",
        "10-cloud-init-eth0.network", "20-mine.network", "ifcfg-kvmkeep0",
        "05-kvmkeep0.network", "05-kvmkeep1.network", "my-kvmkeep.network",
    )  # fmt: skip
    assert gone(Renderer.NETPLAN, names) == [
        "/etc/netplan/01-netcfg.yaml", "/etc/netplan/50-cloud-init.yaml",
    ]  # fmt: skip
    networkd = gone(Renderer.NETWORKD, names)
    assert {"05-kvmkeep1.network", "10-cloud-init-eth0.network"} <= {
        path.removeprefix("/etc/systemd/network/") for path in networkd
    }
    for name in ("20-mine.network", "05-kvmkeep0.network", "my-kvmkeep.network"):
        assert f"/etc/systemd/network/{name}" not in networkd
    assert gone(Renderer.IFCFG, names) == [
        "/etc/sysconfig/network-scripts/ifcfg-eth0", "/etc/sysconfig/network-scripts/route-eth0",
    ]  # fmt: skip
    assert "/etc/NetworkManager/system-connections/mine.nmconnection" not in gone(
        Renderer.NETWORK_MANAGER, names
    )
    assert gone(Renderer.IFUPDOWN, names) == []


@pytest.mark.parametrize("renderer", list(Renderer))
def test_the_same_addresses_give_the_same_files(renderer: Renderer) -> None:
    assert network_files(renderer, BOTH) == network_files(renderer, BOTH)
