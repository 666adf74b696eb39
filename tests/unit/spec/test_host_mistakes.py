"""Mistakes in the sense of the host file: what was changed, and what is said about it."""

from __future__ import annotations

import pytest

from tests.unit.spec.texts import BARE, HOST, changed, mistakes

INTERNAL = "internal: {vlan: 2368, cidr: 10.5.68.0/24}"
IMAGE = "{file: /srv/images/rocky9.raw.zst}"
NAME = "(1 to 32 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit)"
SOURCE = "https://images.example.org/a.qcow2"
CHECKED = f'"{SOURCE}", sha256: "{"0" * 64}"'


def told(old: str, new: str) -> list[str]:
    lines = mistakes({"host.yaml": changed(HOST, old, new)})
    return [line.removeprefix("host.yaml:") for line in lines]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("build.example.org", "-rf", [
            "2:9: name: '-rf' can't be a hostname (letters, digits and '-', parts joined by '.')"]),
        ("build.example.org", "a" * 65, [
            "2:9: name: a hostname of 65 characters is too long (Linux allows 64)"]),
        ("build.example.org", "a..b", [
            "2:9: name: 'a..b' can't be a hostname (letters, digits and '-', parts joined by '.')"]),
        ("build.example.org\n", "a\n  reserve: {memory: 2, storage: 10GB}\n", [
            "3:21: memory: a number stands here, but text is wanted (write a unit, such as 20GiB)",
            "3:33: storage: '10GB' is not a whole number of MiB (write 10GiB, or else 9537MiB)"]),
        ("host:\n  name: build.example.org\n", "", ["1:1: host is missing (add it)"]),
        ("storage: {vg: rl_build}\n", "", ["1:1: storage is missing (add it)"]),
        ("uplink: ens802f1\n", "", ["1:1: uplink is missing (such as uplink: ens802f1)"]),
        ("host:\n  name: build.example.org\n", "host: {}\n",
         ["1:7: name is missing (such as name: build.galaxyproject.eu)"]),
        ("vg: rl_build", "vg: ..", ["3:15: vg: '..' can't be the name of a volume group"]),
        ("vg: rl_build", "vg: -rf", ["3:15: vg: '-rf' can't be the name of a volume group"]),
        ("vg: rl_build", f"vg: {'a' * 128}",
         [f"3:15: vg: '{'a' * 57}...' can't be the name of a volume group"]),
        ("vg: rl_build", "vg: a, lv_prefix: -x",
         ["3:29: lv_prefix: '-x' can't begin the name of a logical volume"]),
        ("vg: rl_build", f"vg: a, lv_prefix: {'x' * 33}",
         [f"3:29: lv_prefix: '{'x' * 33}' can't begin the name of a logical volume"]),
        ("uplink: ens802f1", "uplink: ens802f1ens802f1", [
            "4:9: uplink: 'ens802f1ens802f1' can't be an interface's name "
            "(1 to 15 letters, digits, '.', '_' or '-')"]),
        ("uplink: ens802f1", "uplink: enp129s0f0np0", [
            "7:3: the interface name enp129s0f0np0.2368 has 18 characters, Linux allows 15 "
            "(give a shorter one with vlan_interface)",
            "6:3: the interface name enp129s0f0np0.223 has 17 characters, Linux allows 15 "
            "(give a shorter one with vlan_interface)"][::-1]),
        ("uplink: ens802f1", "uplink: virbr1.223", [
            "6:11: the interface virbr1.223 is that of the uplink already, at host.yaml:4:9 "
            "(choose another name)"]),
        ("uplink: ens802f1\n", "uplink: ens802f1\nxml_dir: root/kvm\n",
         ["5:10: xml_dir: 'root/kvm' is not an absolute path (such as /root/kvm)"]),
        ("uplink: ens802f1\n", "uplink: ens802f1\nxml_dir: /root/..\n",
         ["5:10: xml_dir: the root directory can't be used here"]),
        ("uplink: ens802f1\n", "uplink: ens802f1\ntemplate: t.xml\n",
         ["5:11: template: there is no file /etc/kvmkeep/t.xml"]),
        ("uplink: ens802f1\n", "uplink: ens802f1\ntemplate: nbd:x\n",
         ["5:11: template: not a path (it begins with a word and ':')"]),
    ],
)  # fmt: skip
def test_the_server(old: str, new: str, lines: list[str]) -> None:
    assert sorted(told(old, new)) == sorted(lines)


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        ("Internal: {vlan: 5}", [f"7:3: 'Internal' can't be a name here {NAME}"]),
        ("'..': {vlan: 5}", [f"7:3: '..' can't be a name here {NAME}"]),
        ("public: {vlan: 5}", ["7:3: the key 'public' stands here twice (see line 6)"]),
        ("internal:", ["7:3: internal: there is no value (write one, or remove the key)"]),
        ("internal: {}", ["7:13: vlan is missing (such as vlan: 223)"]),
        ("internal: {vlan: 0}", ["7:20: vlan: 0 is out of range (from 1 to 4094)"]),
        ("internal: {vlan: 4095}", ["7:20: vlan: 4095 is out of range (from 1 to 4094)"]),
        ("internal: {vlan: 4096}", ["7:20: vlan: 4096 is out of range (from 1 to 4094)"]),
        ("internal: {vlan: 223, bridge: b, vlan_interface: v}", [
            "7:20: the VLAN 223 is that of network public already, at host.yaml:6:18 "
            "(one network for each VLAN)"]),
        ("internal: {vlan: 5, bridge: virbr1.223}", [
            "7:31: the interface virbr1.223 is that of the bridge of public already, "
            "at host.yaml:6:11 (choose another name)"]),
        ("internal: {vlan: 5, bridge: b, vlan_interface: b}", [
            "7:50: the interface b is that of the bridge of internal already, at host.yaml:7:31 "
            "(choose another name)"]),
        ("internal: {vlan: 5, bridge: a/b}", [
            "7:31: bridge: 'a/b' can't be an interface's name "
            "(1 to 15 letters, digits, '.', '_' or '-')"]),
        ("internal: {vlan: 5, cidr: 10.5.68.0}",
         ["7:29: cidr: '10.5.68.0' is not an address range (such as 10.5.68.0/24)"]),
        ("internal: {vlan: 5, cidr: 10.5.68.1/24}",
         ["7:29: cidr: 10.5.68.1/24 is an address in a range (write 10.5.68.0/24)"]),
        ("internal: {vlan: 5, cidr: 10.5.68.0/33}",
         ["7:29: cidr: '10.5.68.0/33' is not an address range (such as 10.5.68.0/24)"]),
        ("internal: {vlan: 5, cidr: 10.5.68.0/255.255.255.0}", [
            "7:29: cidr: '10.5.68.0/255.255.255.0' is not an address range "
            "(such as 10.5.68.0/24)"]),
        ("internal: {vlan: 5, cidr: 10.5.68.0/24, gateway: 10.5.67.254}",
         ["7:52: gateway: 10.5.67.254 is outside of 10.5.68.0/24"]),
        ("internal: {vlan: 5, cidr: 10.5.68.0/24, gateway: '2001:db8::1'}",
         ["7:52: gateway: 2001:db8::1 is outside of 10.5.68.0/24"]),
        ("internal: {vlan: 5, cidr: 10.5.68.0/24, gateway: [10.5.67.254, 'fe80::1']}",
         ["7:53: gateway: 10.5.67.254 is outside of 10.5.68.0/24"]),
        ("internal: {vlan: 5, cidr: 10.5.68.0/24, gateway: 'fe80::1'}",
         ["7:52: gateway: fe80::1 is outside of 10.5.68.0/24"]),
        ("internal: {vlan: 5, cidr: 169.254.1.0/24, gateway: 169.254.2.1}",
         ["7:54: gateway: 169.254.2.1 is outside of 169.254.1.0/24"]),
        ("internal: {vlan: 5, cidr: 10.5.68.0/24, gateway: 10.5.68.255}",
         ["7:52: gateway: 10.5.68.255 is the broadcast address of 10.5.68.0/24"]),
        ("internal: {vlan: 5, cidr: 10.5.68.0/24, gateway: 10.5.68.0}",
         ["7:52: gateway: 10.5.68.0 is the address of the network 10.5.68.0/24 itself"]),
        ("internal: {vlan: 5, gateway: 10.5.68.254/24}", [
            "7:32: gateway: '10.5.68.254/24' is not an address "
            "(such as 10.5.68.254, without a prefix length)"]),
        ("internal: {vlan: 5, dns: [127.0.0.1, 'fe80::1%eth0', 224.0.0.1, 0.0.0.0]}", [
            "7:29: dns: 127.0.0.1 can't be the address of a machine on a network",
            "7:40: dns: 'fe80::1%eth0' is not an address "
            "(such as 10.5.68.254, without a prefix length)",
            "7:56: dns: 224.0.0.1 can't be the address of a machine on a network",
            "7:67: dns: 0.0.0.0 can't be the address of a machine on a network"]),
        ("internal: {vlan: 5, dns: 10.0.0.1}",
         ["7:28: dns: text stands here, but a list is wanted (write [a, b])"]),
        ("internal: {vlan: 5, search: [a_b, '']}", [
            "7:32: search: 'a_b' is not a domain (such as example.org)",
            "7:37: search: '' is not a domain (such as example.org)"]),
        ("internal: {vlan: 5, forward_delay: 1}",
         ["7:38: forward_delay: at least 2 with stp (or write stp: false)"]),
        ("internal: {vlan: 5, forward_delay: 31}",
         ["7:38: forward_delay: 31 is out of range (from 0 to 30)"]),
        ("internal: {vlan: 5, ageing_time: -1}",
         ["7:36: ageing_time: -1 is out of range (from 0 to 1000000)"]),
        ("internal: {vlan: 5, mtu: 100}",
         ["7:28: mtu: 100 is too small (at least 576, or 0)"]),
        ("internal: {vlan: 5, mtu: 65536}",
         ["7:28: mtu: 65536 is out of range (from 0 to 65535)"]),
    ],
)  # fmt: skip
def test_networks(new: str, lines: list[str]) -> None:
    assert told(INTERNAL, new) == lines


@pytest.mark.parametrize(
    ("entry", "lines"),
    [
        ("{}", ["9:3: an image needs either file or url, and not both"]),
        (f"{{file: /a.raw, url: {CHECKED}}}",
         ["9:3: an image needs either file or url, and not both"]),
        ("{file: 5}",
         ["9:18: file: a number stands here, but text is wanted (put it in quotes)"]),
        ("{file: ''}", ["9:18: file: '' can't be a path"]),
        ('{file: "/a\\nb.raw"}', ["9:18: file: '/a\\nb.raw' can't be a path"]),
        ("{file: /srv/}", ["9:18: file: '/srv/' is a directory (a file is wanted)"]),
        ("{file: /..}", ["9:18: file: '/..' is a directory (a file is wanted)"]),
        ("{file: /dev/sda}",
         ["9:18: file: '/dev/sda' is not an ordinary file (copy it to one)"]),
        ("{file: /srv/../dev/sda}",
         ["9:18: file: '/srv/../dev/sda' is not an ordinary file (copy it to one)"]),
        ("{file: '../../dev/sda'}",
         ["9:18: file: '../../dev/sda' is not an ordinary file (copy it to one)"]),
        ("{file: 'json:{\"driver\": \"nbd\"}'}",
         ["9:18: file: not a path (it begins with a word and ':')"]),
        ("{file: 'nbd:localhost:10809'}",
         ["9:18: file: not a path (it begins with a word and ':')"]),
        ("{file: 'https://me:secret@example.org/a.raw'}",
         ["9:18: file: not a path (it begins with a word and ':')"]),
        ("{file: /srv/a.vmdk}", [
            "9:18: file: the name's ending tells no format "
            "(add format: raw or format: qcow2)"]),
        ("{file: /srv/a.zst}", [
            "9:18: file: the name's ending tells no format "
            "(add format: raw or format: qcow2)"]),
        ("{file: /srv/a, format: vmdk}",
         ["9:34: format: not a known word (one of raw, qcow2)"]),
        ("{file: /srv/a.raw, compression: bz2}",
         ["9:43: compression: not a known word (one of none, gz, xz, zst)"]),
        ("{file: /a.raw, sha256: abc}",
         ["9:34: sha256: 3 hex digits are not a sha256 checksum (it has 64)"]),
        (f"{{file: /a.raw, sha256: '{'0' * 128}'}}",
         ["9:34: sha256: 128 hex digits are not a sha256 checksum (it has 64)"]),
        (f"{{file: /a.raw, sha512: '{'g' * 128}'}}",
         ["9:34: sha512: not a sha512 checksum (128 hex digits and nothing else)"]),
        (f"{{file: /a.raw, sha256: '{'a' * 64}', sha512: '{'a' * 128}'}}",
         ["9:3: one of sha256 and sha512 is enough (remove the other)"]),
        ("{file: /a.raw, checksums: {signature: inline, keyring: /k}}",
         ["9:37: source is missing (such as source: https://images.example.org/CHECKSUM)"]),
        ("{file: /a.raw, checksums: {source: /s, signature: inline}}",
         ["9:26: signature and keyring need each other (add the missing one)"]),
        ("{file: /a.raw, checksums: {source: /s, keyring: /k}}",
         ["9:26: signature and keyring need each other (add the missing one)"]),
        ("{file: /a.raw, checksums: {source: 'ftp://a/b', signature: 'nbd:x', keyring: 'a:b'}}", [
            "9:46: source: the URL has another scheme than http or https",
            "9:70: signature: not a path (it begins with a word and ':')",
            "9:88: keyring: not a path (it begins with a word and ':')"]),
        ("{file: /a.raw, write_rate: 5}", [
            "9:38: write_rate: a number stands here, but text is wanted "
            "(write a unit, such as 20GiB)"]),
        ("{file: /a.raw, write_rate: fast}", [
            "9:38: write_rate: 'fast' is not a size "
            "(write a number and a unit, such as 20GiB)"]),
        (f'{{url: "{SOURCE}"}}', [
            "9:3: an image from a URL needs a checksum (add sha256, sha512 or checksums)"]),
        (f"{{url: {CHECKED.replace('https', 'ftp')}}}",
         ["9:17: url: the URL has another scheme than http or https"]),
        (f"{{url: {CHECKED.replace('https', 'HTTPS')}}}", [
            "9:17: url: not a URL (such as https://images.example.org/rocky9.qcow2)"]),
        (f"{{url: {CHECKED.replace('//', '//me:secret@')}}}", [
            "9:17: url: the URL holds a user or password (a secret has no place in a spec)"]),
        (f"{{url: {CHECKED.replace('.org', '.org:0')}}}",
         ["9:17: url: the URL's host or port is wrong"]),
        (f"{{url: {CHECKED.replace('.org', '.org:http')}}}",
         ["9:17: url: the URL's host or port is wrong"]),
        (f"{{url: {CHECKED.replace('images.', '-')}}}",
         ["9:17: url: the URL's host or port is wrong"]),
        (f"{{url: {CHECKED.replace('images.example.org', '[::1')}}}",
         ["9:17: url: the URL's host or port is wrong"]),
        (f"{{url: {CHECKED.replace('.qcow2', '.qcow2#x')}}}",
         ["9:17: url: the URL holds a '#' (remove it and what follows)"]),
        (f"{{url: {CHECKED.replace('a.qcow2', 'a b.qcow2')}}}", [
            "9:17: url: not a URL (such as https://images.example.org/rocky9.qcow2)"]),
        (f"{{url: {CHECKED.replace('a.qcow2', 'a' * 2000)}}}", [
            "9:17: url: not a URL (such as https://images.example.org/rocky9.qcow2)"]),
        (f"{{url: {CHECKED.replace('.qcow2', '.iso')}}}", [
            "9:17: url: the name's ending tells no format "
            "(add format: raw or format: qcow2)"]),
    ],
)  # fmt: skip
def test_images(entry: str, lines: list[str]) -> None:
    assert told(IMAGE, entry) == lines


def test_an_image_has_a_name() -> None:
    assert told("rocky9:", "../x:") == [f"9:3: '../x' can't be a name here {NAME}"]
    assert told(f"rocky9: {IMAGE}", "rocky9:") == [
        "9:3: rocky9: there is no value (write one, or remove the key)"
    ]


def test_a_broken_part_is_not_missed_elsewhere() -> None:
    """What refers to something that has mistakes is not told as a mistake itself."""
    web = changed(
        BARE,
        "first_boot: none\n",
        "first_boot: none\nnics:\n  - {network: internal, address: dhcp}\n",
    )
    for old, new in (
        ("networks:", "networks: 5\nx:"),
        ("images:\n  rocky9: {file: /srv/images/rocky9.raw.zst}\n", "images: [rocky9]\n"),
        ("uplink: ens802f1\n", "uplink: [a]\n"),
        (INTERNAL, "internal: 5"),
        ("storage: {vg: rl_build}", "storage: 5"),
        ("  name: build.example.org", "  name: [a]"),
        ("host:\n  name: build.example.org", "host: 5"),
        ("host:", "\tx"),
    ):
        lines = mistakes({"host.yaml": changed(HOST, old, new), "guests/web.yaml": web})
        assert [line for line in lines if not line.startswith("host.yaml:")] == []
