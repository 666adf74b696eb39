"""What a right spec becomes."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from fakes.spec import load_text

from kvmkeep.model.names import guest_mac, guest_uuid
from kvmkeep.model.run import OnFail, Ready, ReadyAgent, ReadyConsole, ReadyDelay, ReadyTcp, Run
from kvmkeep.model.spec import (
    Algorithm,
    Checksum,
    ChecksumList,
    FirstBoot,
    Format,
    Guest,
    Host,
    Image,
    Login,
    Network,
    Packing,
    Place,
    Route,
    Storage,
)
from kvmkeep.model.units import GuestName, Label, Size
from tests.unit.spec.texts import BARE, HASH, HOST, KEY, WEB, changed

GIB = 1 << 30
NETWORKS = "networks:\n  public: {vlan: 223, cidr: 132.230.223.0/24, gateway: 132.230.223.254, dns: [132.230.200.200]}\n  internal: {vlan: 2368, cidr: 10.5.68.0/24}\n"
IMAGE = "rocky9: {file: /srv/images/rocky9.raw.zst}"


def web(text: str = WEB, host: str = HOST) -> Guest:
    return load_text({"host.yaml": host, "guests/web.yaml": text}).guests[0]


def image(entry: str, directory: str = "/etc/kvmkeep") -> Image:
    files = {"host.yaml": changed(HOST, IMAGE, f"rocky9: {entry}")}
    return load_text(files, directory).images[0]


def test_the_example_of_the_design() -> None:
    host = f"""\
host:
  name: build.galaxyproject.eu
  reserve: {{memory: 16GiB, storage: 100GiB}}    # never given to guests
storage: {{vg: rl_build, lv_prefix: "vm-"}}       # the VG is shared with the OS
uplink: ens802f1
networks:                                       # bridge virbr1.VLAN over ens802f1.VLAN
  public:   {{vlan: 223,  cidr: 132.230.223.0/24, gateway: 132.230.223.254, dns: [132.230.200.200]}}
  internal: {{vlan: 2368, cidr: 10.5.68.0/24}}
images:
  rocky9: {{file: /srv/images/rocky9.raw.zst, sha256: "{"0a" * 32}"}}
"""
    influxdb = f"""\
image: rocky9
vcpus: 4
memory: 16GiB
disks: {{root: 20GiB, data: 100GiB}}              # LVs vm-influxdb, vm-influxdb-data
nics:
  - {{network: internal, address: 10.5.68.237/24}}
  - {{network: public, address: dhcp}}
login: {{user: centos, ssh_keys: [{KEY}], sudo: true}}
run: {{autostart: true, needs: [dns], ready: agent}}
"""
    spec = load_text({"host.yaml": host, "guests/influxdb.yaml": influxdb, "guests/dns.yaml": BARE})
    assert spec.host == Host(
        name="build.galaxyproject.eu",
        memory_reserve=Size(16 * GIB),
        storage_reserve=Size(100 * GIB),
    )
    assert spec.storage == Storage(vg="rl_build", lv_prefix="vm-")
    assert spec.uplink == "ens802f1"
    assert spec.template == ""
    assert spec.xml_dir == "/root/kvm"
    assert spec.networks[0] == Network(
        name=Label("public"),
        vlan=223,
        bridge="virbr1.223",
        vlan_interface="ens802f1.223",
        prefix=ip_network("132.230.223.0/24"),
        gateway=ip_address("132.230.223.254"),
        dns=(ip_address("132.230.200.200"),),
        search=(),
        ageing_time=0,
        stp=True,
        forward_delay=15,
        mtu=0,
        place=Place(file="host.yaml", line=7, column=3),
    )
    assert spec.network(Label("internal")).gateway is None
    assert spec.images == (
        Image(
            name=Label("rocky9"),
            source="/srv/images/rocky9.raw.zst",
            format=Format.RAW,
            packing=Packing.ZSTD,
            check=Checksum(algorithm=Algorithm.SHA256, digest="0a" * 32),
            write_rate=0,
            place=Place(file="host.yaml", line=10, column=3),
        ),
    )
    assert [guest.name for guest in spec.guests] == ["dns", "influxdb"]
    guest = spec.guests[1]
    name = GuestName("influxdb")
    assert guest.uuid == guest_uuid("build.galaxyproject.eu", name)
    assert guest.hostname == "influxdb"
    assert (guest.vcpus, guest.memory) == (4, Size(16 * GIB))
    assert [(disk.name, disk.lv, disk.size.bytes // GIB) for disk in guest.volumes] == [
        ("root", "vm-influxdb", 20),
        ("data", "vm-influxdb-data", 100),
    ]
    first, second = guest.nics
    assert first.mac == guest_mac("build.galaxyproject.eu", name, 0)
    assert (first.dhcp, first.addresses) == (False, (ip_interface("10.5.68.237/24"),))
    assert (first.gateway, first.dns) == (None, ())
    assert (second.dhcp, second.addresses) == (True, ())
    assert second.gateway == ip_address("132.230.223.254")
    assert second.dns == (ip_address("132.230.200.200"),)
    assert guest.login == Login(user="centos", ssh_keys=(KEY,), password_hash="", sudo=True)
    assert guest.run == Run(
        autostart=True, needs=(GuestName("dns"),), ready=ReadyAgent(), start_timeout=600
    )
    assert guest.first_boot is FirstBoot.AUTO
    assert guest.place == Place(file="guests/influxdb.yaml", line=1, column=1)


def test_the_least_that_is_a_spec() -> None:
    spec = load_text({"host.yaml": "host: {name: h}\nstorage: {vg: v}\nuplink: e\n"})
    assert spec.host == Host(name="h", memory_reserve=Size(2 * GIB), storage_reserve=Size(10 * GIB))
    assert (spec.storage.lv_prefix, spec.networks, spec.images, spec.guests) == ("vm-", (), (), ())


def test_every_default_of_a_network_can_be_changed() -> None:
    network = load_text(
        {
            "host.yaml": changed(
                HOST,
                "{vlan: 2368, cidr: 10.5.68.0/24}",
                "{vlan: 2368, cidr: '2001:db8::/64', gateway: '2001:db8::1', dns: ['2001:db8::53'],"
                " search: [example.org, sub.example.org.], bridge: br-int, vlan_interface: vlint,"
                " ageing_time: 300, stp: false, forward_delay: 0, mtu: 9000}",
            )
        }
    ).networks[1]
    assert network == Network(
        name=Label("internal"),
        vlan=2368,
        bridge="br-int",
        vlan_interface="vlint",
        prefix=ip_network("2001:db8::/64"),
        gateway=ip_address("2001:db8::1"),
        dns=(ip_address("2001:db8::53"),),
        search=("example.org", "sub.example.org"),
        ageing_time=300,
        stp=False,
        forward_delay=0,
        mtu=9000,
        place=Place(file="host.yaml", line=7, column=3),
    )


@pytest.mark.parametrize(
    ("entry", "source", "form", "packing"),
    [
        ("{file: /srv/a.raw}", "/srv/a.raw", "raw", "none"),
        ("{file: /srv/a.img}", "/srv/a.img", "raw", "none"),
        ("{file: /srv/a.qcow2}", "/srv/a.qcow2", "qcow2", "none"),
        ("{file: /srv/a.IMG.GZ}", "/srv/a.IMG.GZ", "raw", "gz"),
        ("{file: /srv/a.qcow2.xz}", "/srv/a.qcow2.xz", "qcow2", "xz"),
        ("{file: /srv/a.raw.zst}", "/srv/a.raw.zst", "raw", "zst"),
        ("{file: /srv/a.img, format: qcow2}", "/srv/a.img", "qcow2", "none"),
        ("{file: /srv/a.bin, format: raw}", "/srv/a.bin", "raw", "none"),
        ("{file: /srv/a, format: raw, compression: xz}", "/srv/a", "raw", "xz"),
        ("{file: /srv/a.raw.gz, compression: none}", "/srv/a.raw.gz", "raw", "none"),
        ("{file: images/a.raw}", "/etc/kvmkeep/images/a.raw", "raw", "none"),
        ("{file: ../a.raw}", "/etc/a.raw", "raw", "none"),
        ("{file: //srv/./x/../a.raw}", "/srv/a.raw", "raw", "none"),
    ],
)
def test_format_and_packing_are_told_by_the_name(
    entry: str, source: str, form: str, packing: str
) -> None:
    made = image(entry)
    assert (made.source, made.format, made.packing) == (source, form, packing)
    assert not made.remote


@pytest.mark.parametrize(
    "url",
    [
        "https://images.example.org/a.qcow2",
        "http://192.0.2.1:8080/a.qcow2?version=2",
        "https://[2001:db8::1]/a.qcow2",
    ],
)
def test_an_image_from_a_url(url: str) -> None:
    made = image(f'{{url: "{url}", sha512: "{"0A" * 64}"}}')
    assert made.source == url
    assert made.format is Format.QCOW2
    assert made.remote
    assert made.check == Checksum(algorithm=Algorithm.SHA512, digest="0a" * 64)


def test_a_vendors_list_of_checksums() -> None:
    made = image(
        "{url: 'https://example.org/a.qcow2', checksums: {source: 'https://example.org/CHECKSUM',"
        " signature: inline, keyring: keys/vendor.gpg}}"
    )
    assert made.check == ChecksumList(
        source="https://example.org/CHECKSUM",
        signature="inline",
        keyring="/etc/kvmkeep/keys/vendor.gpg",
    )
    made = image(
        "{file: a.qcow2, checksums: {source: SUMS, signature: SUMS.sign, keyring: /k.gpg}}",
        "/srv/spec",
    )
    assert made.check == ChecksumList(
        source="/srv/spec/SUMS", signature="/srv/spec/SUMS.sign", keyring="/k.gpg"
    )
    made = image("{file: a.qcow2, checksums: {source: SUMS}}")
    assert made.check == ChecksumList(source="/etc/kvmkeep/SUMS", signature="", keyring="")


@pytest.mark.parametrize("rate", ["200MiB", "200MiB/s"])
def test_a_write_rate_is_in_bytes_for_each_second(rate: str) -> None:
    assert image(f"{{file: /a.raw, write_rate: {rate}}}").write_rate == 209715200


def test_everything_a_guest_can_say() -> None:
    guest = web(
        f"""\
name: other
hostname: WWW.example.org
description: |
  Serves pages.
  Don't stop it.
labels: [prod, web-1]
image: rocky9
vcpus: 255
memory: 64MiB
disks: {{data: 1GiB, root: 20GiB}}
nics:
  - network: public
    address: [132.230.223.7/24, "2001:db8::7/64"]
    mac: 52:54:00:12:34:56
    gateway: 132.230.223.253
    routes: [{{to: 10.4.68.0/24, via: 132.230.223.1}}]
    dns: []
    search: [example.org]
  - {{network: internal, address: [dhcp], gateway: false}}
login: {{user: _svc-1, password_hash: {HASH}}}
run: {{autostart: false, ready: tcp:22, start_timeout: 90}}
first_boot: nocloud
user_data: {{b: [1, -2.5, true, null, text], a: {{disk_setup: }}}}
"""
    )
    assert (guest.name, guest.hostname) == ("other", "WWW.example.org")
    assert guest.description == "Serves pages.\nDon't stop it."
    assert guest.labels == ("prod", "web-1")
    assert (guest.vcpus, guest.memory) == (255, Size(64 << 20))
    assert [disk.lv for disk in guest.volumes] == ["vm-other", "vm-other-data"]
    assert guest.root.name == "root"
    nic = guest.nics[0]
    assert nic.mac == "52:54:00:12:34:56"
    assert nic.addresses == (ip_interface("132.230.223.7/24"), ip_interface("2001:db8::7/64"))
    assert nic.gateway == ip_address("132.230.223.253")
    assert nic.routes == (Route(to=ip_network("10.4.68.0/24"), via=ip_address("132.230.223.1")),)
    assert (nic.dns, nic.search) == ((), ("example.org",))
    assert guest.nics[1].dhcp
    assert guest.login == Login(user="_svc-1", ssh_keys=(), password_hash=HASH, sudo=False)
    assert guest.run == Run(autostart=False, needs=(), ready=ReadyTcp(port=22), start_timeout=90)
    assert guest.first_boot is FirstBoot.NOCLOUD
    assert guest.user_data == '{"a":{"disk_setup":null},"b":[1,-2.5,true,null,"text"]}'


@pytest.mark.parametrize(
    ("ready", "wanted"),
    [
        ("agent", ReadyAgent()),
        ("tcp:65535", ReadyTcp(port=65535)),
        ('"console:login: $"', ReadyConsole(pattern="login: $")),
        ("delay:30", ReadyDelay(seconds=30)),
        ("delay:2min", ReadyDelay(seconds=120)),
    ],
)
def test_ready(ready: str, wanted: Ready) -> None:
    assert web(f"{WEB}run: {{ready: {ready}}}\n").run.ready == wanted


@pytest.mark.parametrize(
    ("text", "seconds"), [("1", 1), ("90s", 90), ("10 min", 600), ("'5'", 5), ("24h", 86400)]
)
def test_a_timeout_is_in_seconds(text: str, seconds: int) -> None:
    assert web(f"{WEB}run: {{start_timeout: {text}}}\n").run.start_timeout == seconds


def test_mounts_are_needed_by_their_paths() -> None:
    text = f"{WEB}run: {{needs: [/data/, /data, /srv], on_fail: continue, stop_timeout: 2min}}\n"
    run = web(text).run
    assert (run.needs, run.mounts) == ((), ("/data", "/srv"))
    assert (run.on_fail, run.stop_timeout) == (OnFail.CONTINUE, 120)


def test_a_need_given_twice_counts_once() -> None:
    files = {"host.yaml": HOST, "guests/a.yaml": f"{BARE}run: {{needs: [b, b]}}\n"}
    assert load_text(files | {"guests/b.yaml": BARE}).guests[0].run.needs == ("b",)


def test_a_key_may_have_any_blanks_between_its_words() -> None:
    """As sshd reads it (sshd(8), "AUTHORIZED_KEYS FILE FORMAT")."""
    kind, data = KEY.split()[:2]
    for line in (f"{kind}  {data}   me,  at home ", f"{kind}\\t{data}\\tme,  at home"):
        text = changed(BARE, "first_boot: none", f'login: {{user: me, ssh_keys: ["{line}"]}}')
        assert web(text).login.ssh_keys == (f"{kind} {data} me,  at home",)


def test_user_data_is_the_same_text_for_the_same_content() -> None:
    one = web(f"{WEB}user_data: {{b: ü, a: [0, 80]}}\n").user_data
    two = web(f"{WEB}user_data:\n  a:\n  - 0\n  - 80\n  b: 'ü'\n").user_data
    assert one == two == '{"a":[0,80],"b":"ü"}'
    assert json.loads(one) == {"a": [0, 80], "b": "ü"}
    assert web(f"{WEB}user_data: {{}}\n").user_data == ""


NICS = "nics:\n  - {network: internal, address: 10.5.68.237/24}\n"
BOTH_ROUTED = changed(HOST, "10.5.68.0/24}", "10.5.68.0/24, gateway: 10.5.68.254}")


@pytest.mark.parametrize(
    ("nics", "gateways"),
    [
        # The first one whose network has a gateway.
        ("[{network: internal, address: 10.5.68.7/24}, {network: public, address: dhcp}]",
         ["10.5.68.254", None]),
        ("[{network: public, address: dhcp}, {network: internal, address: 10.5.68.7/24}]",
         ["132.230.223.254", None]),
        # Unless it is told not to.
        ("[{network: internal, address: 10.5.68.7/24, gateway: false}, "
         "{network: public, address: dhcp}]", [None, "132.230.223.254"]),
        # Or another one is told to.
        ("[{network: internal, address: 10.5.68.7/24}, "
         "{network: public, address: dhcp, gateway: true}]", [None, "132.230.223.254"]),
        ("[{network: internal, address: 10.5.68.7/24}, "
         "{network: public, address: 132.230.223.9/24, gateway: 132.230.223.1}]",
         [None, "132.230.223.1"]),
        # A router of another family than the NIC's addresses is out of reach.
        ("[{network: internal, address: '2001:db8::7/64'}, "
         "{network: public, address: 132.230.223.9/24}]", [None, "132.230.223.254"]),
        # One for each family.
        ("[{network: internal, address: '2001:db8::7/64', gateway: '2001:db8::1'}, "
         "{network: public, address: 132.230.223.9/24, gateway: true}]",
         ["2001:db8::1", "132.230.223.254"]),
        ("[{network: internal, address: 10.5.68.7/24, gateway: false}]", [None]),
    ],
)  # fmt: skip
def test_where_the_default_route_goes(nics: str, gateways: list[str | None]) -> None:
    guest = web(changed(WEB, NICS, f"nics: {nics}\n"), BOTH_ROUTED)
    found = [None if nic.gateway is None else str(nic.gateway) for nic in guest.nics]
    assert found == gateways


SIX = "'2001:db8::7/64'"


@pytest.mark.parametrize(
    ("network", "nic"),
    [
        ("{vlan: 2368, cidr: '2001:db8::/64', gateway: 'fe80::1'}", SIX),
        ("{vlan: 2368, gateway: 'fe80::1'}", SIX),
        ("{vlan: 2368, gateway: 'fe80::1'}", f"[10.5.68.7/24, {SIX}]"),
        ("{vlan: 2368, cidr: '2001:db8::/64'}", f"{SIX}, gateway: 'fe80::1'"),
    ],
)
def test_a_link_local_router_is_in_reach_of_all_that_speak_ipv6(network: str, nic: str) -> None:
    host = changed(HOST, "{vlan: 2368, cidr: 10.5.68.0/24}", network)
    guest = web(changed(WEB, NICS, f"nics: [{{network: internal, address: {nic}}}]\n"), host)
    assert guest.nics[0].gateway == ip_address("fe80::1")


@pytest.mark.parametrize(
    ("network", "nics", "gateways"),
    [
        # Both of the network go over the first NIC, as far as its addresses reach them.
        ("[10.5.68.254, '2001:db8::1']", f"[10.5.68.7/24, {SIX}]", ["10.5.68.254 2001:db8::1", ""]),
        ("['fe80::1', 10.5.68.254]", f"[10.5.68.7/24, {SIX}]", ["fe80::1 10.5.68.254", ""]),
        ("[10.5.68.254, 'fe80::1']", "10.5.68.7/24", ["10.5.68.254", ""]),
        ("[10.5.68.254, 'fe80::1']", "10.5.68.7/24, gateway: true", ["10.5.68.254", ""]),
        ("[10.5.68.254, 'fe80::1']", "dhcp", ["10.5.68.254", ""]),
        # The NIC names them, one of a list of one as well.
        ("10.5.68.254", f"[10.5.68.7/24, {SIX}], gateway: [10.5.68.1, 'fe80::1']",
         ["10.5.68.1 fe80::1", ""]),
        ("10.5.68.254", "10.5.68.7/24, gateway: [10.5.68.1]", ["10.5.68.1", ""]),
    ],
)  # fmt: skip
def test_a_router_of_each_protocol(network: str, nics: str, gateways: list[str]) -> None:
    host = changed(HOST, "cidr: 10.5.68.0/24}", f"cidr: 10.5.68.0/24, gateway: {network}}}")
    text = f"nics:\n  - {{network: internal, address: {nics}}}\n"
    text += "  - {network: public, address: 132.230.223.9/24}\n"
    guest = web(changed(WEB, NICS, text), host)
    assert [" ".join(map(str, nic.gateways)) for nic in guest.nics] == gateways


def test_a_link_local_router_is_none_of_dhcps() -> None:
    host = changed(HOST, "cidr: 10.5.68.0/24}", "gateway: 'fe80::1'}")
    guest = web(changed(WEB, NICS, "nics: [{network: internal, address: dhcp}]\n"), host)
    assert guest.nics[0].gateway is None


def test_a_gateway_out_of_reach_may_be_declined() -> None:
    host = changed(HOST, "cidr: 10.5.68.0/24}", "gateway: 10.5.69.254}")
    nics = "nics: [{network: internal, address: 10.5.68.9/24, gateway: false}]\n"
    assert web(changed(WEB, NICS, nics), host).nics[0].gateway is None


def test_a_gateway_of_the_other_protocol_is_none_of_an_addresses_business() -> None:
    host = changed(HOST, "cidr: 10.5.68.0/24}", "gateway: 10.5.68.254}")
    nics = f"nics: [{{network: internal, address: {SIX}}}]\n"
    assert web(changed(WEB, NICS, nics), host).nics[0].gateway is None


def test_a_network_without_a_range_takes_any_address() -> None:
    host = changed(HOST, "internal: {vlan: 2368, cidr: 10.5.68.0/24}", "internal: {vlan: 2368}")
    nic = web(changed(WEB, "237/24}", "237/24, gateway: 10.5.68.1}"), host).nics[0]
    assert nic.gateway == ip_address("10.5.68.1")
    dhcp = changed(WEB, "10.5.68.237/24", "dhcp, gateway: 10.99.0.1")
    assert web(dhcp, host).nics[0].gateway == ip_address("10.99.0.1")


def test_the_same_address_in_two_networks_is_none_of_our_business() -> None:
    host = changed(HOST, NETWORKS, "networks: {a: {vlan: 1}, b: {vlan: 2}}\n")
    nics = "nics: [{network: a, address: 10.0.0.1/24}, {network: b, address: 10.0.0.1/24}]\n"
    assert len(web(changed(WEB, NICS, nics), host).nics) == 2


def test_a_point_to_point_network_has_no_network_address() -> None:
    host = changed(HOST, "10.5.68.0/24", "10.5.68.0/31")
    assert web(changed(WEB, "10.5.68.237/24", "10.5.68.0/31"), host).nics[0].addresses


def test_a_guest_without_configuration_needs_no_login() -> None:
    guest = web(BARE)
    assert guest.login == Login(user="", ssh_keys=(), password_hash="", sudo=False)
    assert guest.nics == ()
    assert guest.description == ""


def test_secrets_are_not_part_of_what_is_printed() -> None:
    guest = web(f"{BARE.replace('first_boot: none', '')}login: {{user: a, password_hash: {HASH}}}")
    assert guest.login.password_hash == HASH
    assert HASH not in repr(guest)
