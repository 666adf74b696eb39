"""Mistakes in the sense of the guest files: what was changed, and what is said about it."""

from __future__ import annotations

import base64

import pytest

from tests.unit.spec.texts import BARE, HASH, HOST, KEY, WEB, changed, mistakes

NIC = "{network: internal, address: 10.5.68.237/24}"
KEYS = f'ssh_keys: ["{KEY}"]'
GUEST = "(1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit"
LABEL = "(1 to 32 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit)"
NO_HASH = (
    "not a password hash of crypt(5), beginning with $y$ or $6$ "
    "(mkpasswd or openssl passwd -6 makes one)"
)
DAMAGED = "the SSH key is damaged (copy the .pub file's line again)"


def told(old: str, new: str) -> list[str]:
    lines = mistakes({"host.yaml": HOST, "guests/web.yaml": changed(WEB, old, new)})
    return [line.removeprefix("guests/web.yaml:") for line in lines]


def told_of(guests: dict[str, str], host: str = HOST) -> list[str]:
    files = {f"guests/{name}": text for name, text in guests.items()}
    return mistakes({"host.yaml": host} | files)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("image: rocky9", "image: rocky8",
         ["1:8: image: there is no image 'rocky8' in host.yaml (known: rocky9)"]),
        ("image: rocky9", "image: ../x", [f"1:8: image: '../x' can't be a name here {LABEL}"]),
        ("memory: 16GiB", "memory: 63MiB",
         ["3:9: memory: 63 MiB is too little for a guest (at least 64 MiB)"]),
        ("memory: 16GiB", "memory: 16GB",
         ["3:9: memory: '16GB' is not a whole number of MiB (write 16GiB, or else 15259MiB)"]),
        ("memory: 16GiB", "memory: 16GiB\nmemory_max: 15GiB",
         ["4:13: memory_max: it is less than memory (16 GiB)"]),
        ("memory: 16GiB", "memory: 16GiB\nmemory_max: 17",
         ["4:13: memory_max: a number stands here, but text is wanted (write a unit, such as 20GiB)"]),
        ("vcpus: 4\n", "vcpus: 4\nvcpus_max: 3\n",
         ["3:12: vcpus_max: it is less than vcpus (4)"]),
        ("memory: 16GiB", "memory: 100000.5KiB",
         ["3:9: memory: '100000.5KiB' is not a whole number of MiB (write 98MiB)"]),
        ("memory: 16GiB", "memory: -5G", [
            "3:9: memory: '-5G' is not a size (write a number and a unit, such as 20GiB)"]),
        ("root: 20GiB", "root: 1e3G", [
            "4:15: root: '1e3G' is not a size (write a number and a unit, such as 20GiB)"]),
        ("root: 20GiB", "root: 10GB",
         ["4:15: root: '10GB' is not a whole number of MiB (write 10GiB, or else 9537MiB)"]),
        ("root: 20GiB", "root: 10 G", [
            "4:15: root: '10 G' has no known unit "
            "(one of B, KiB, MiB, GiB, TiB, KB, MB, GB, TB; letter case matters)"]),
        ("root: 20GiB", "root: 2000000TiB", ["4:15: root: '2000000TiB' is too large"]),
        ("root: 20GiB, ", "",
         ["4:8: disks: the disk root is missing (such as disks: {root: 20GiB})"]),
        ("data: 100GiB", "Data: 100GiB", [f"4:22: 'Data' can't be a name here {LABEL}"]),
        ("data: 100GiB", "x_tdata: 100GiB",
         ["4:22: the LV name vm-web-x_tdata holds a word that LVM reserves"]),
        ("vcpus: 4\n", "vcpus: 4\nhostname: a_b\n", [
            "3:11: hostname: 'a_b' can't be a hostname "
            "(letters, digits and '-', parts joined by '.')"]),
        ("vcpus: 4\n", f"vcpus: 4\nhostname: {'a.' * 33}a\n",
         ["3:11: hostname: a hostname of 67 characters is too long (Linux allows 64)"]),
        ("vcpus: 4\n", 'vcpus: 4\ndescription: "a\\eb"\n',
         ["3:14: description: control characters can't stand in a description"]),
        ("vcpus: 4\n", f"vcpus: 4\ndescription: {'a' * 1001}\n",
         ["3:14: description: longer than 1000 characters"]),
        ("vcpus: 4\n", "vcpus: 4\nname: Web\n", [f"3:7: name: 'Web' can't be a guest's name {GUEST})"]),
        ("vcpus: 4\n", "vcpus: 4\nname: [web]\n",
         ["3:7: name: a list stands here, but text is wanted"]),
        ("vcpus: 4\n", "vcpus: 4\nname: snapshot1\n", [
            "3:7: name: snapshot1 begins with a word that LVM reserves (choose another name)"]),
        ("vcpus: 4\n", "vcpus: 4\nfirst_boot: none\n",
         ["8:1: login has no effect with first_boot: none (remove it)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {ready: tcp:0}\n",
         ["3:14: ready: '0' is not a TCP port (1 to 65535)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {ready: tcp:65536}\n",
         ["3:14: ready: '65536' is not a TCP port (1 to 65535)"]),
        ("address: 10.5.68.237/24}\n", "address: dhcp}\nrun: {ready: tcp:22}\n",
         ["7:14: ready: tcp needs a static address on a NIC (use agent or console:REGEX)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {ready: tcp}\n", [
            "3:14: ready: 'tcp' is not known "
            "(one of agent, tcp:PORT, console:REGEX, delay:SECONDS)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {ready: agent:1}\n", [
            "3:14: ready: 'agent:1' is not known "
            "(one of agent, tcp:PORT, console:REGEX, delay:SECONDS)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {ready: 'console:['}\n",
         ["3:14: ready: its regular expression is none: a [ is not closed (try it with grep -E)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {ready: 'console: '}\n",
         ["3:14: ready: console: needs a regular expression of one line behind it"]),
        ("vcpus: 4\n", 'vcpus: 4\nrun: {ready: "console:a\\nb"}\n',
         ["3:14: ready: console: needs a regular expression of one line behind it"]),
        ("vcpus: 4\n", f"vcpus: 4\nrun: {{ready: 'console:{'a' * 501}'}}\n",
         ["3:14: ready: console: needs a regular expression of one line behind it"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {ready: delay:1.5}\n",
         ["3:14: ready: '1.5' is not a duration (seconds, or text such as 10min)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {ready: delay:600}\n",
         ["3:14: ready: the delay is not shorter than start_timeout, 600 s"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {ready: delay:700, start_timeout: 0}\n",
         ["3:40: start_timeout: 0 s is out of range (from 1 s to a day)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {start_timeout: 25h}\n",
         ["3:22: start_timeout: 90000 s is out of range (from 1 s to a day)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {start_timeout: -5}\n",
         ["3:22: start_timeout: '-5' is not a duration (seconds, or text such as 10min)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {needs: [web]}\n",
         ["3:15: needs: a guest can't need itself"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {needs: [dns, -x, 5]}\n", [
            "3:15: needs: there is no guest 'dns' "
            "(see guests/*.yaml; a mount is named by its absolute path)",
            f"3:20: needs: '-x' can't be a guest's name {GUEST})",
            "3:24: needs: a number stands here, but text is wanted (put it in quotes)"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {needs: [/, /data]}\n",
         ["3:15: needs: the root directory can't be used here"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {stop_timeout: never, on_fail: stop}\n", [
            "3:21: stop_timeout: 'never' is not a duration (seconds, or text such as 10min)",
            "3:37: on_fail: not a known word (one of hold, continue)"]),
        ("vcpus: 4\n", "vcpus: 4\nlabels: [a b]\n",
         [f"3:10: labels: 'a b' can't be a name here {LABEL}"]),
    ],
)  # fmt: skip
def test_a_guest(old: str, new: str, lines: list[str]) -> None:
    assert told(old, new) == lines


@pytest.mark.parametrize(
    ("nic", "lines"),
    [
        ("{network: internal}", ["6:5: address is missing (such as address: 10.5.68.237/24)"]),
        ("{network: extern, address: dhcp}", [
            "6:15: network: there is no network 'extern' in host.yaml "
            "(known: public, internal)"]),
        ("{network: A, address: dhcp}", [f"6:15: network: 'A' can't be a name here {LABEL}"]),
        ("{network: internal, address: 10.5.68.237}", [
            "6:34: address: '10.5.68.237' is not an address with a prefix length "
            "(write dhcp, or an address such as 10.5.68.237/24)"]),
        ("{network: internal, address: 10.5.68.256/24}", [
            "6:34: address: '10.5.68.256/24' is not an address with a prefix length "
            "(write dhcp, or an address such as 10.5.68.237/24)"]),
        ("{network: internal, address: 10.5.68.237/0.0.0.255}", [
            "6:34: address: '10.5.68.237/0.0.0.255' is not an address with a prefix length "
            "(write dhcp, or an address such as 10.5.68.237/24)"]),
        ("{network: internal, address: DHCP}", [
            "6:34: address: 'DHCP' is not an address with a prefix length "
            "(write dhcp, or an address such as 10.5.68.237/24)"]),
        ("{network: internal, address: []}",
         ["6:34: address: the list is empty (write dhcp or an address)"]),
        ("{network: internal, address: [dhcp, 10.5.68.9/24]}",
         ["6:34: address: dhcp and addresses can't be mixed (choose one of them)"]),
        ("{network: internal, address: 10.5.67.9/24}",
         ["6:34: address: 10.5.67.9 is outside of network internal, 10.5.68.0/24"]),
        ("{network: internal, address: 10.5.68.9/16}",
         ["6:34: address: network internal is 10.5.68.0/24 (write 10.5.68.9/24)"]),
        ("{network: internal, address: 10.5.68.0/24}", [
            "6:34: address: 10.5.68.0/24 is the address of the network 10.5.68.0/24 itself "
            "(choose another address)"]),
        ("{network: internal, address: 10.5.68.255/24}", [
            "6:34: address: 10.5.68.255/24 is the broadcast address of 10.5.68.0/24 "
            "(choose another address)"]),
        ("{network: internal, address: '2001:db8::/64'}", [
            "6:34: address: 2001:db8::/64 is the address of the network 2001:db8::/64 itself "
            "(choose another address)"]),
        ("{network: internal, address: 127.0.0.2/8}",
         ["6:34: address: 127.0.0.2 can't be the address of a machine on a network"]),
        ("{network: public, address: [132.230.223.9/24, 132.230.223.254/24]}",
         ["6:51: address: 132.230.223.254 is the gateway of network public"]),
        ("{network: internal, address: [10.5.68.9/24, 10.5.68.9/24]}", [
            "6:49: in network internal, the address 10.5.68.9 is that of guest web already, "
            "at guests/web.yaml:6:35 (choose another address)"]),
        ("{network: internal, address: dhcp, mac: 53:54:00:12:34:56}", [
            "6:45: mac: 53:54:00:12:34:56 is a multicast address (the first byte must be even)"]),
        ("{network: internal, address: dhcp, mac: fe:54:00:12:34:56}", [
            "6:45: mac: fe:54:00:12:34:56 begins with fe, which libvirt keeps for itself "
            "(write 52 instead)"]),
        ("{network: internal, address: dhcp, mac: 525400123456}",
         ["6:45: mac: a number stands here, but text is wanted (put it in quotes)"]),
        ("{network: internal, address: dhcp, gateway: true}",
         ["6:49: gateway: network internal has no gateway (write its address)"]),
        ("{network: internal, address: dhcp, gateway: 10.5.67.1}",
         ["6:49: gateway: 10.5.67.1 is not in a network of this NIC"]),
        ("{network: internal, address: 10.5.68.9/24, gateway: 'yes'}", [
            "6:57: gateway: 'yes' is not an address "
            "(such as 10.5.68.254, without a prefix length)"]),
        ("{network: internal, address: dhcp, dns: [a], search: ['-']}", [
            "6:46: dns: 'a' is not an address (such as 10.5.68.254, without a prefix length)",
            "6:59: search: '-' is not a domain (such as example.org)"]),
        ("{network: internal, address: dhcp, routes: [{to: 10.0.0.0/8, via: 10.5.67.1}]}",
         ["6:71: via: 10.5.67.1 is not in a network of this NIC"]),
        ("{network: internal, address: dhcp, routes: [{to: 0.0.0.0/0, via: 10.5.68.1}]}",
         ["6:54: to: this is the default route (use gateway for it)"]),
        ("{network: internal, address: dhcp, routes: [{to: '2001:db8::/32', via: 10.5.68.1}]}",
         ["6:76: via: a route and its router must both be IPv4 or both IPv6"]),
        ("{network: internal, address: 10.5.68.9/24, gateway: [10.5.68.1, 10.5.68.2]}",
         ["6:69: gateway: a second router of IPv4 (one of each protocol)"]),
        ("{network: internal, address: 10.5.68.9/24, gateway: [10.5.68.1, 'fe80::1']}",
         ["6:69: gateway: fe80::1 is not in a network of this NIC"]),
        ("{network: internal, address: 10.5.68.9/24, gateway: [x]}",
         ["6:58: gateway: 'x' is not an address "
          "(such as 10.5.68.254, without a prefix length)"]),
        ("{network: internal, address: dhcp, gateway: 'fe80::1'}",
         ["6:49: gateway: fe80::1 needs a static IPv6 address on this NIC (DHCP is IPv4's)"]),
        ("{network: internal, address: dhcp, routes: [{to: '2001:db8::/32', via: 'fe80::1'}]}", [
            "6:76: via: fe80::1 is link-local, and no seed can say over which NIC that is "
            "(write a global address of the router)"]),
        ("{network: internal, address: dhcp, routes: [5, {to: 10.0.0.0/8}]}", [
            "6:49: routes: a number stands here, but keys with values is wanted",
            "6:52: via is missing (such as via: 10.5.68.254)"]),
    ],
)  # fmt: skip
def test_nics(nic: str, lines: list[str]) -> None:
    assert told(NIC, nic) == lines


@pytest.mark.parametrize(
    ("gateway", "address"),
    [("10.5.69.254", "10.5.68.9/24"), ("'2001:db8:1::1'", "'2001:db8::9/64'")],
)
def test_a_gateway_that_nothing_reaches_is_no_gateway(gateway: str, address: str) -> None:
    host = changed(HOST, "cidr: 10.5.68.0/24}", f"gateway: {gateway}}}")
    nic = f"{{network: internal, address: {address}}}"
    (line,) = told_of({"web.yaml": changed(WEB, NIC, nic)}, host)
    assert line == (
        f"guests/web.yaml:6:34: address: the gateway {gateway.strip(chr(39))} of network internal is out of its "
        "reach (write another address, or gateway: false)"
    )


def test_one_default_route_for_each_family() -> None:
    nic = "{network: public, address: dhcp, gateway: true}"
    assert told(NIC, f"{nic}\n  - {nic}") == [
        "7:47: gateway: the default route goes over another NIC already (one gateway for a guest)"
    ]


@pytest.mark.parametrize(
    ("login", "lines"),
    [
        ("{user: centos}",
         ["7:8: login: nobody could log in (add ssh_keys or password_hash)"]),
        ("{user: centos, ssh_keys: []}",
         ["7:33: ssh_keys: nobody could log in (add a key or password_hash)"]),
        (f"{{user: Centos, password_hash: {HASH}}}", [
            "7:15: user: 'Centos' can't be a user's name "
            "(1 to 32 of a-z, 0-9, '_' and '-', beginning with a letter or '_')"]),
        (f"{{user: {'a' * 33}, password_hash: {HASH}}}", [
            f"7:15: user: '{'a' * 33}' can't be a user's name "
            "(1 to 32 of a-z, 0-9, '_' and '-', beginning with a letter or '_')"]),
        (f"{{password_hash: {HASH}}}", ["7:8: user is missing (such as user: centos)"]),
        ("{user: a, password_hash: hunter2}", [f"7:33: password_hash: {NO_HASH}"]),
        ("{user: a, password_hash: $1$salt$UsdFqFVB.FsuinRDK5eE..}",
         [f"7:33: password_hash: {NO_HASH}"]),
        ("{user: a, password_hash: $6$salt$short}", [f"7:33: password_hash: {NO_HASH}"]),
        ("{user: a, password_hash: ''}", [f"7:33: password_hash: {NO_HASH}"]),
        ("{user: a, ssh_keys: [ssh-dss AAAA]}", [
            "7:29: ssh_keys: not a public SSH key (it begins with one of ssh-ed25519, ssh-rsa, "
            "ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ecdsa-sha2-nistp521, "
            "sk-ssh-ed25519@openssh.com, sk-ecdsa-sha2-nistp256@openssh.com)"]),
        ("{user: a, ssh_keys: [ssh-ed25519 hunter2]}", [f"7:29: ssh_keys: {DAMAGED}"]),
        ("{user: a, ssh_keys: [ssh-ed25519 ä]}", [f"7:29: ssh_keys: {DAMAGED}"]),
        ("{user: a, ssh_keys: [ssh-ed25519]}", [f"7:29: ssh_keys: {DAMAGED}"]),
        # The type in the blob is another one, and a blob that was cut off.
        (f"{{user: a, ssh_keys: [ssh-rsa {KEY.split()[1]}]}}", [f"7:29: ssh_keys: {DAMAGED}"]),
        (f"{{user: a, ssh_keys: [ssh-ed25519 {KEY.split()[1][:-4]}]}}",
         [f"7:29: ssh_keys: {DAMAGED}"]),
        (f'{{user: a, ssh_keys: ["{KEY}\\n{KEY}"]}}',
         ["7:29: ssh_keys: a key is one line of printable text"]),
        ('{user: a, ssh_keys: ["-----BEGIN OPENSSH PRIVATE KEY-----\\nb3Bl"]}', [
            "7:29: ssh_keys: this is a private key "
            "(the .pub file is wanted; make a new pair)"]),
    ],
)  # fmt: skip
def test_login(login: str, lines: list[str]) -> None:
    assert told(f"{{user: centos, {KEYS}, sudo: true}}", login) == lines


@pytest.mark.parametrize(
    "text",
    [
        "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
        "$6$rounds=5000$salt$" + "a" * 86,
        "$6$salt$" + "a" * 86,
        "$5$rounds=5000$salt$" + "a" * 43,
        "$2b$12$" + "a" * 53,
        "$7$CU..../....2Q9obwLhin8qvQl6sisAO/$E1HizYWxBmnIH4sdPkWDPUPnoEcBsjzEqqeZHMtQ7lB",
    ],
)
def test_hashes_of_crypt(text: str) -> None:
    login = f"{{user: a, password_hash: '{text}', ssh_key: a}}"
    assert told(f"{{user: centos, {KEYS}, sudo: true}}", login) == [
        f"7:{37 + len(text)}: unknown key 'ssh_key' (did you mean ssh_keys?)"
    ]


def test_keys_of_the_other_types() -> None:
    for kind in ("ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com"):
        blob = len(kind).to_bytes(4, "big") + kind.encode() + b"\0\0\0\x02ab"
        key = f"{kind} {base64.b64encode(blob).decode()}"
        assert told(KEYS, f"ssh_keys: ['{key}', x]")[0].startswith("7:")
        assert len(told(KEYS, f"ssh_keys: ['{key}', x]")) == 1


def test_a_guest_without_login() -> None:
    text = BARE.replace("first_boot: none\n", "")
    assert told_of({"web.yaml": text}) == [
        "guests/web.yaml:1:1: login is missing: nobody could log in "
        "(such as login: {user: admin, ssh_keys: [...]}, or first_boot: none)"
    ]
    assert told_of({"web.yaml": f"{text}first_boot: 5\n"}) == [
        "guests/web.yaml:5:13: first_boot: a number stands here, but text is wanted "
        "(put it in quotes)"
    ]


def test_names_of_files_become_names_of_guests() -> None:
    assert told_of({
        "Web.yaml": BARE, "web.yaml": BARE, "..yaml": BARE, "-rf.yaml": BARE,
        "a\x1b[31m.yaml": BARE, f"{'a' * 300}.yaml": BARE, ".web.yaml": "not read", "README": "-",
        "web.yaml~": "not read", "#web.yaml#": "not read",
    }) == [
        f"guests/-rf.yaml:1:1: '-rf' can't be a guest's name {GUEST}; rename the file, or add name)",
        f"guests/Web.yaml:1:1: 'Web' can't be a guest's name {GUEST}; rename the file, or add name)",
        f"guests/a\\x1b[31m.yaml:1:1: 'a\\\\x1b[31m' can't be a guest's name {GUEST}; "
        "rename the file, or add name)",
        f"guests/{'a' * 300}.yaml:1:1: '{'a' * 57}...' can't be a guest's name {GUEST}; "
        "rename the file, or add name)",
    ]  # fmt: skip


def test_files_that_look_like_guests() -> None:
    assert told_of({"web.yml": BARE, "db.YAML": BARE, "x.json": "{}"}) == [
        f"guests/{name}:1:1: this file is not read (its name must end in .yaml)"
        for name in ("db.YAML", "web.yml", "x.json")
    ]


def test_two_guests_of_one_name() -> None:
    assert told_of({"a.yaml": BARE, "b.yaml": f"{BARE}name: a\n"}) == [
        "guests/b.yaml:4:9: the logical volume vm-a is that of disk root of guest a already, "
        "at guests/a.yaml:4:9 (rename the guest or the disk)",
        "guests/b.yaml:6:1: the guest name a is that of guests/a.yaml already, "
        "at guests/a.yaml:1:1 (each guest needs its own)",
    ]


def test_disks_of_two_guests_with_one_volume() -> None:
    assert told_of({
        "a.yaml": changed(BARE, "{root: 4GiB}", "{root: 4GiB, b-c: 1GiB}"),
        "a-b.yaml": changed(BARE, "{root: 4GiB}", "{root: 4GiB, c: 1GiB}"),
    }) == [
        "guests/a.yaml:4:21: the logical volume vm-a-b-c is that of disk c of guest a-b already, "
        "at guests/a-b.yaml:4:21 (rename the guest or the disk)",
    ]  # fmt: skip


def test_a_volume_whose_name_device_mapper_can_not_hold() -> None:
    # LVM doubles each '-': 62 times "a-" and "b" is 63 characters, and 31 more with the doubling.
    name = "a-" * 31 + "b"
    disk = "d-" * 10 + "e"
    text = changed(BARE, "{root: 4GiB}", f"{{root: 4GiB, {disk}: 1GiB}}")
    assert told_of({f"{name}.yaml": text}) == [
        f"guests/{name}.yaml:4:21: the volume rl_build/vm-{name}-{disk} has a name too long for "
        "device mapper (shorten the guest's or the disk's name)"
    ]


def test_addresses_and_macs_of_two_guests() -> None:
    nic = "nics: [{network: internal, address: 10.5.68.9/24, mac: 52:54:00:00:00:aA}]\n"
    assert told_of({"a.yaml": BARE + nic, "b.yaml": BARE + nic.replace("aA", "Aa")}) == [
        "guests/b.yaml:6:37: in network internal, the address 10.5.68.9 is that of guest a "
        "already, at guests/a.yaml:6:37 (choose another address)",
        "guests/b.yaml:6:56: the MAC address 52:54:00:00:00:aa is that of guest a, NIC 1 already, "
        "at guests/a.yaml:6:56 (give one of them another with mac)",
    ]


def test_a_nic_of_a_guest_without_a_name() -> None:
    nic = "nics: [{network: internal, address: 10.5.68.9/24}]\n"
    assert told_of({"A.yaml": BARE + nic, "b.yaml": BARE + nic}) == [
        f"guests/A.yaml:1:1: 'A' can't be a guest's name {GUEST}; rename the file, or add name)",
        "guests/b.yaml:6:37: in network internal, the address 10.5.68.9 is that of "
        "guests/A.yaml already, at guests/A.yaml:6:37 (choose another address)",
    ]


def needs(*names: str) -> str:
    return f"{BARE}run: {{needs: [{', '.join(names)}]}}\n"


def test_needs_that_go_in_a_circle() -> None:
    assert told_of({
        "a.yaml": needs("b"), "b.yaml": needs("d", "c"), "c.yaml": needs("a"), "d.yaml": needs(),
    }) == ["guests/c.yaml:6:15: needs: needs go in a circle: a -> b -> c -> a "
        "(take one of them out)"]  # fmt: skip
    assert told_of({"a.yaml": needs("a", "b"), "b.yaml": needs("c"), "c.yaml": needs("b")}) == [
        "guests/a.yaml:6:15: needs: a guest can't need itself",
        "guests/c.yaml:6:15: needs: needs go in a circle: b -> c -> b (take one of them out)",
    ]


def test_a_long_circle_is_shown_short() -> None:
    guests = {f"g{n:04}.yaml": needs(f"g{(n + 1) % 300:04}") for n in range(300)}
    assert told_of(guests) == [
        "guests/g0299.yaml:6:15: needs: needs go in a circle: "
        "g0000 -> g0001 -> g0002 -> g0003 -> ... -> g0298 -> g0299 -> g0000 "
        "(take one of them out)"
    ]


def test_a_need_of_a_guest_with_mistakes_is_known() -> None:
    lines = told_of({"a.yaml": needs("b", "c"), "b.yaml": "x: [", "c.yaml": "vcpus: 0"})
    assert [line for line in lines if line.startswith("guests/a.yaml")] == []


def test_a_bad_host_file_hides_no_mistake_of_a_guest() -> None:
    nic = "nics: [{network: any, address: 10.5.68.0/24}]\n"
    assert told_of({"a.yaml": BARE + nic}, "host: {name: h}\nstorage: {vg: v}\nuplink: 5\n") == [
        "guests/a.yaml:1:8: image: there is no image 'rocky9' in host.yaml (known: none)",
        "guests/a.yaml:6:18: network: there is no network 'any' in host.yaml (known: none)",
        "guests/a.yaml:6:32: address: 10.5.68.0/24 is the address of the network 10.5.68.0/24 "
        "itself (choose another address)",
        "host.yaml:3:9: uplink: a number stands here, but text is wanted (put it in quotes)",
    ]
