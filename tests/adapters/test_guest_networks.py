"""What guests' own programs make of our network files, and what cloud-init leaves in their way."""

from __future__ import annotations

import configparser
import re

import pytest
from adapters.replay import captured_files

from kvmkeep.model.inside import Renderer
from kvmkeep.planning.first_boot.network_files import directories, in_the_way, network_files
from tests.unit.planning.test_network_files import BOTH, FIRST, SECOND

ADDRESSES = [str(one) for one in FIRST.addresses]


def read_back(name: str) -> dict[str, str]:
    """Return what a program made of our files; it must have been given those of today."""
    files = {path: text.decode() for path, text in captured_files(name, "guest").items()}
    today = {file.path: file.content for rest in Renderer for file in network_files(rest, BOTH)}
    given = {path[2:]: text for path, text in files.items() if path.startswith("in/")}
    assert given
    for path, text in given.items():
        assert text == today[path], f"capture {name} anew"
    return {path[4:]: text for path, text in files.items() if path.startswith("out/")}


def values(text: str, key: str) -> list[str]:
    return re.findall(rf"(?m)^{key}=(.*)$", text)


def test_netplan_makes_of_it_what_is_wanted() -> None:
    first, second = read_back("netplan").values()
    assert values(first, "PermanentMACAddress") == [FIRST.mac]
    assert sorted(values(first, "Address")) == sorted(ADDRESSES)
    assert list(zip(values(first, "Destination"), values(first, "Gateway"), strict=True)) == [
        ("0.0.0.0/0", "10.223.0.254"),
        *((str(route.to), str(route.via)) for route in FIRST.routes),
    ]
    assert values(first, "DNS") == [str(one) for one in FIRST.dns]
    assert values(first, "Domains") == ["example.org example.net"]
    assert values(first, "DHCP") == []
    assert values(second, "PermanentMACAddress") == [SECOND.mac]
    assert (values(second, "DHCP"), values(second, "Address")) == (["ipv4"], [])


def test_networkmanager_reads_it_as_it_is_meant() -> None:
    first, second = (configparser.ConfigParser(interpolation=None, delimiters=("=",)) for _ in BOTH)
    texts = read_back("nmcli-offline")
    for parser, text in zip((first, second), texts.values(), strict=True):
        parser.read_string(text)
    assert first["ethernet"]["mac-address"].lower() == FIRST.mac
    four, six = first["ipv4"], first["ipv6"]
    assert (four["method"], six["method"]) == ("manual", "manual")
    assert four["address1"] == "10.223.0.20/24,10.223.0.254"
    assert [four["address2"], six["address1"], six["address2"]] == [
        "10.223.0.21/24", "2001:db8::20/64", "2001:db8::21/64",
    ]  # fmt: skip
    assert four["route1"] == "10.9.0.0/16,10.223.0.1"
    assert six["route1"] == "2001:db8:9::/48,2001:db8::1"
    assert (four["dns"], six["dns"]) == ("192.0.2.53;", "2001:db8::53;")
    assert four["dns-search"] == six["dns-search"] == "example.org;example.net;"
    assert second["ethernet"]["mac-address"].lower() == SECOND.mac
    assert (second["ipv4"]["method"], dict(second["ipv4"]).keys()) == ("auto", {"method"})


def test_ifup_brings_up_all_of_it_in_an_order_that_works() -> None:
    first, second = read_back("ifupdown").values()
    done = [line.strip() for line in first.splitlines()]
    at = {
        address: next(
            number for number, line in enumerate(done)
            if re.match(rf"ip (-6 )?addr add {re.escape(address.split('/')[0])}/", line)
        )
        for address in ADDRESSES
    }  # fmt: skip
    assert "ip route add default via 10.223.0.254  dev eth0 onlink" in done
    # A route can't come before an address of its own protocol.
    for route, address in zip(FIRST.routes, ("10.223.0.20/24", "2001:db8::20/64"), strict=True):
        assert done.index(f"ip route add {route.to} via {route.via} || true") > at[address]
    assert "dhclient -4" in second
    assert "addr add" not in second


@pytest.mark.parametrize("renderer", list(Renderer))
def test_what_cloud_init_has_written_does_not_work_against_it(renderer: Renderer) -> None:
    found = [
        path.removeprefix(renderer.value)
        for path in captured_files("cloud-init", "guest")
        if path.startswith(f"{renderer.value}/")
    ]
    assert found
    gone: list[str] = []
    new = [file.path for file in network_files(renderer, BOTH)]
    for directory in directories(renderer):
        names = [path.rpartition("/")[2] for path in found if path.startswith(f"{directory}/")]
        gone += in_the_way(directory, names, new)
    left = [path for path in found if path not in gone]
    # ifupdown's own file names no other one any more; the rest names no interface's addresses.
    harmless = ("/etc/udev/rules.d/", "/etc/network/interfaces.d/")
    assert [path for path in left if not path.startswith(harmless)] in (
        [], ["/etc/sysconfig/network"],
    )  # fmt: skip
    if renderer is Renderer.IFUPDOWN:
        own = next(f for f in network_files(renderer, BOTH) if f.path == "/etc/network/interfaces")
        assert "source" not in own.content
