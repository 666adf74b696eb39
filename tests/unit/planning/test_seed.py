# ruff: noqa: ANN401 - JSON of any shape; routes are no sockets
from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
import yaml  # noqa: TID251 - cloud-init reads it by this
from fakes.host import CLOUD
from msgspec.structs import replace

from kvmkeep.model.spec import FirstBoot, Guest, Login, Route
from kvmkeep.planning.first_boot.seed import Seed, SeedKind, make_seed, without_ipv6_router
from tests.unit.planning.build import guest, network, nic

NETWORKS = {n.name: n for n in (network(), network("internal", 2368, mtu=9000))}


def seed(one: Guest, *datasources: str, **contents: Any) -> Seed:
    return make_seed(one, replace(CLOUD, datasources=datasources, **contents), NETWORKS)


def file(found: Seed, name: str) -> Any:
    text = dict(found.files)[name]
    return json.loads(text.removeprefix("#cloud-config\n"))


def user_data(one: Guest, **contents: Any) -> Any:
    return file(seed(one, **contents), "openstack/latest/user_data")


@pytest.mark.parametrize(
    ("datasources", "kind", "drop_in"),
    [
        ((), SeedKind.CONFIG_DRIVE, False),
        (("OpenStack", "ConfigDrive", "None"), SeedKind.CONFIG_DRIVE, False),
        (("NoCloud", "ConfigDrive"), SeedKind.CONFIG_DRIVE, False),
        (("NoCloud", "None"), SeedKind.NOCLOUD, False),
        (("OpenStack",), SeedKind.CONFIG_DRIVE, True),
        (("OpenStack", "None"), SeedKind.CONFIG_DRIVE, True),
    ],
)
def test_seed_suits_what_the_image_looks_for(
    datasources: tuple[str, ...], kind: SeedKind, *, drop_in: bool
) -> None:
    found = seed(guest(), *datasources)
    assert (found.kind, found.drop_in) == (kind, drop_in)


@pytest.mark.parametrize(
    ("first_boot", "datasources", "kind", "drop_in"),
    [
        (FirstBoot.CONFIG_DRIVE, (), SeedKind.CONFIG_DRIVE, False),
        (FirstBoot.CONFIG_DRIVE, ("NoCloud",), SeedKind.CONFIG_DRIVE, True),
        (FirstBoot.NOCLOUD, (), SeedKind.NOCLOUD, False),
        (FirstBoot.NOCLOUD, ("ConfigDrive",), SeedKind.NOCLOUD, True),
    ],
)
def test_spec_decides_over_the_image(
    first_boot: FirstBoot, datasources: tuple[str, ...], kind: SeedKind, *, drop_in: bool
) -> None:
    found = seed(guest(first_boot=first_boot), *datasources)
    assert (found.kind, found.drop_in) == (kind, drop_in)


def test_search_domains_need_nocloud_where_the_image_reads_it() -> None:
    one = guest(nics=(nic("web", search=("example.org",)),))
    assert seed(one).kind is SeedKind.NOCLOUD
    assert seed(one, "ConfigDrive").kind is SeedKind.CONFIG_DRIVE
    config = file(seed(one), "network-config")
    assert config["ethernets"]["eth0"]["nameservers"]["search"] == ["example.org"]


def test_dhcp_without_its_default_route_needs_nocloud_where_the_image_reads_it() -> None:
    lab = nic("web", 1, "internal", dhcp=True, addresses=(), gateway=None, dns=())
    one = guest(nics=(nic("web"), lab))
    assert seed(one).kind is SeedKind.NOCLOUD
    assert seed(one, "ConfigDrive", "NoCloud").kind is SeedKind.NOCLOUD
    assert seed(one, "ConfigDrive").kind is SeedKind.CONFIG_DRIVE
    entry = file(seed(one), "network-config")["ethernets"]["eth1"]
    assert entry["dhcp4-overrides"] == {"use-routes": False}
    assert seed(guest(nics=(lab,))).kind is SeedKind.CONFIG_DRIVE
    assert seed(guest(nics=(nic("web", gateway=None), lab))).kind is SeedKind.CONFIG_DRIVE


def test_both_kinds_carry_the_domains_uuid_and_the_name() -> None:
    one = guest(hostname="web.example.org")
    meta = file(seed(one), "openstack/latest/meta_data.json")
    assert (meta["uuid"], meta["hostname"]) == (one.uuid, "web.example.org")
    meta = file(seed(one, "NoCloud"), "meta-data")
    assert meta == {"instance-id": one.uuid, "local-hostname": "web.example.org"}
    data = user_data(one)
    assert (data["hostname"], data["fqdn"]) == ("web", "web.example.org")
    assert "fqdn" not in user_data(guest())


def test_account_with_keys_password_and_sudo() -> None:
    (user,) = user_data(guest())["users"]
    assert user == {
        "name": "admin",
        "lock_passwd": False,
        "shell": "/bin/bash",
        "hashed_passwd": "$6$canary$hash",
        "ssh_authorized_keys": ["ssh-ed25519 AAAA admin"],
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
    }


def test_locked_account_and_root() -> None:
    plain = Login(user="bob", ssh_keys=(), password_hash="", sudo=False)
    assert user_data(guest(login=plain))["users"] == [
        {"name": "bob", "lock_passwd": True, "shell": "/bin/bash"}
    ]
    root = replace(plain, user="root", sudo=True)
    data = user_data(guest(login=root))
    assert data["disk_setup"] is None
    assert data["disable_root"] is False
    assert data["users"] == [{"name": "root", "lock_passwd": True}]


def test_baked_disk_settings_are_switched_off() -> None:
    data = user_data(guest())
    assert data["disk_setup"] is None, "an empty mapping would merge with the image's"
    assert (data["fs_setup"], data["mounts"]) == ([], [])


def test_agent_is_installed_only_where_it_is_missing() -> None:
    assert "packages" not in user_data(guest())
    data = user_data(guest(), agent=False)
    assert (data["packages"], data["package_update"]) == (["qemu-guest-agent"], True)


def test_done_line_is_the_last_command_whatever_the_site_adds() -> None:
    one = guest(user_data=json.dumps({"runcmd": ["echo mine"], "packages": ["vim"]}))
    data = user_data(one, agent=False)
    assert "echo mine" in data["runcmd"]
    assert data["runcmd"][-1][2].endswith(f"'kvmkeep: first boot done {one.uuid}' >/dev/ttyS0")
    assert data["runcmd"][-1][2].startswith("sync; "), "the seed is deleted once this is said"
    assert data["packages"] == ["qemu-guest-agent", "vim"]
    odd = user_data(guest(user_data=json.dumps({"runcmd": None, "write_files": "x"})))
    assert "first boot done" in odd["runcmd"][-1][2]
    assert odd["write_files"][0]["content"].endswith("manual_cache_clean: true\n")


def test_settings_of_the_site_go_over_ours() -> None:
    extra = {"growpart": {"mode": "off"}, "timezone": "UTC", "mounts": [["/dev/vdb", "/srv"]]}
    data = user_data(guest(user_data=json.dumps(extra)))
    assert data["growpart"] == {"mode": "off", "devices": ["/"]}
    assert data["timezone"] == "UTC"
    assert data["mounts"] == [["/dev/vdb", "/srv"]]


def multihomed() -> Guest:
    addresses = (ip_interface("10.5.68.237/24"), ip_interface("10.5.68.238/24"))
    first = nic(
        "web", on="internal", addresses=addresses, gateway=None,
        routes=(Route(to=ip_network("10.4.0.0/16"), via=ip_address("10.5.68.254")),),
    )  # fmt: skip
    second = nic(
        "web", 1, addresses=(ip_interface("2001:db8::10/64"),), gateway=ip_address("2001:db8::1"),
        dns=(ip_address("2001:db8::53"), ip_address("192.0.2.53")),
    )  # fmt: skip
    third = nic("web", 2, dhcp=True, addresses=(), gateway=None, dns=())
    return guest(nics=(first, second, third))


def test_network_data_of_a_config_drive() -> None:
    one = multihomed()
    data = file(seed(one, "ConfigDrive"), "openstack/latest/network_data.json")
    assert [link["ethernet_mac_address"] for link in data["links"]] == [n.mac for n in one.nics]
    assert [link.get("mtu") for link in data["links"]] == [9000, None, None]
    assert all("name" not in link for link in data["links"]), "a name would rename the interface"
    v4, more, v6, dhcp = data["networks"]
    assert (v4["type"], v4["ip_address"], v4["netmask"]) == (
        "ipv4", "10.5.68.237", "255.255.255.0",
    )  # fmt: skip
    assert v4["routes"] == [
        {"network": "10.4.0.0", "netmask": "255.255.0.0", "gateway": "10.5.68.254"}
    ]
    assert (more["ip_address"], more["routes"]) == ("10.5.68.238", [])
    assert (v6["type"], v6["ip_address"]) == ("ipv6", "2001:db8::10/64")
    assert (v6["gateway"], v6["routes"]) == ("2001:db8::1", [])
    assert "gateway" not in v4
    assert dhcp == {"id": "nic2-dhcp", "link": "nic2", "type": "ipv4_dhcp"}
    assert [s["address"] for s in data["services"]] == ["192.0.2.53", "2001:db8::53"]


def test_default_route_of_ipv4() -> None:
    data = file(seed(guest()), "openstack/latest/network_data.json")
    assert (data["networks"][0]["gateway"], data["networks"][0]["routes"]) == ("10.223.0.254", [])


def test_network_config_of_nocloud() -> None:
    one = multihomed()
    data = file(seed(one, "NoCloud"), "network-config")
    assert data["version"] == 2
    first, second, third = data["ethernets"].values()
    assert first["match"] == {"macaddress": one.nics[0].mac}
    assert [e["set-name"] for e in (first, second, third)] == ["eth0", "eth1", "eth2"]
    assert first["addresses"] == ["10.5.68.237/24", "10.5.68.238/24"]
    assert first["routes"] == [{"to": "10.4.0.0/16", "via": "10.5.68.254"}]
    assert second["gateway6"] == "2001:db8::1"
    assert "routes" not in second
    assert third["dhcp4"] is True
    assert "dhcp4-overrides" not in third, "IPv4's default route is no other NIC's"
    assert "routes" not in third
    assert "nameservers" not in third
    plain = file(seed(guest(), "NoCloud"), "network-config")["ethernets"]["eth0"]
    assert plain["gateway4"] == "10.223.0.254"
    assert "routes" not in plain, "images with ifupdown set a route with net-tools only"
    only_dhcp = guest(nics=(nic("web", dhcp=True, addresses=()),))
    entry = file(seed(only_dhcp, "NoCloud"), "network-config")["ethernets"]["eth0"]
    assert entry["routes"] == [{"to": "0.0.0.0/0", "via": "10.223.0.254"}]


def test_link_local_router_is_said_so_that_each_renderer_knows_its_interface() -> None:
    addresses = (ip_interface("2001:db8::10/64"),)
    one = guest(nics=(nic("web", addresses=addresses, gateway=ip_address("fe80::1")),))
    entry = file(seed(one, "NoCloud"), "network-config")["ethernets"]["eth0"]
    assert entry["gateway6"] == "fe80::1"
    assert "routes" not in entry
    data = file(seed(one), "openstack/latest/network_data.json")["networks"][0]
    assert (data["type"], data["gateway"]) == ("ipv6", "fe80::1")


def test_default_routes_of_both_protocols() -> None:
    addresses = (ip_interface("10.223.0.20/24"), ip_interface("2001:db8::20/64"))
    both = nic("web", addresses=addresses, second_gateway=ip_address("fe80::1"))
    one = guest(nics=(both, nic("web", 1, dhcp=True, addresses=(), gateway=None)))
    entry = file(seed(one, "NoCloud"), "network-config")["ethernets"]["eth0"]
    assert (entry["gateway4"], entry["gateway6"]) == ("10.223.0.254", "fe80::1")
    data = file(seed(one, "ConfigDrive"), "openstack/latest/network_data.json")
    assert [net.get("gateway") for net in data["networks"]] == ["10.223.0.254", "fe80::1", None]


def test_addresses_of_ipv6_without_a_router() -> None:
    four, six = ip_interface("10.223.0.20/24"), ip_interface("2001:db8::20/64")
    alone = guest(nics=(nic("web", addresses=(four, six)),))
    assert without_ipv6_router(alone) == ("2001:db8::20/64",)
    elsewhere = nic("web", 1, addresses=(six,), gateway=ip_address("fe80::1"))
    assert without_ipv6_router(guest(nics=(*alone.nics, elsewhere))) == ()
    inner = (ip_interface("fd00::5/64"), ip_interface("fe80::5/64"))
    assert without_ipv6_router(guest(nics=(nic("web", addresses=(four, *inner)),))) == ()


def test_only_cloud_init_tells_of_its_first_boot() -> None:
    assert seed(guest()).waits
    assert not seed(guest(first_boot=FirstBoot.NOCLOUD), cloud_init=False).waits


def test_what_lies_beyond_the_first_plane_is_yaml_as_well() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI joe@\N{ROCKET} \N{LATIN SMALL LETTER E WITH ACUTE}"
    one = guest()
    found = seed(replace(one, login=replace(one.login, ssh_keys=(key,))), "NoCloud")
    text = dict(found.files)["user-data"]
    assert key in str(yaml.safe_load(text))
    assert text.isascii()
