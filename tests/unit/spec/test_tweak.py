"""Files of changes: what they say, and what is wrong with them."""

from __future__ import annotations

import base64
from ipaddress import ip_address

import pytest

from kvmkeep.errors import SpecError
from kvmkeep.model.tweak import NewFile, Password, SshKeys, Tweak
from kvmkeep.spec.tweak import Given, flag_tweak, load_tweak, merged
from kvmkeep.spec.tweak_document import PasswordSection, TweakFile
from tests.unit.planning.build import nic

HASH = "$6$salt$" + "x" * 86
KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x02xx").decode()
FILES = {
    "/pw": b"correct horse\r\n",
    "/empty": b"",
    "/two": b"a\nb\n",
    "/umlaut": "ü".encode(),
    "/keys": f"# mine\n\n{KEY} a\n{KEY} a\n".encode(),
    "/large": b"x" * ((1 << 20) + 1),
}


def read(path: str) -> bytes | None:
    if path == "/forbidden":
        raise PermissionError(13, "Permission denied")
    return FILES.get(path)


GIVEN = Given(read=read, hashed=lambda word: f"hash of {word.decode()}", nics=(nic("web"),))


def load(text: str, given: Given = GIVEN) -> Tweak:
    return load_tweak("t.yaml", text.encode(), given)


def test_everything() -> None:
    found = load(
        f"""
passwords:
  root: {{file: /pw}}
  admin: {{hash: "{HASH}"}}
ssh_keys:
  root: [/keys, "{KEY} b"]
sudo: [admin]
hostname: web.example.org
serial_console: true
addresses:
  - {{mac: "52:54:00:AA:BB:01", address: 10.5.68.7/24, gateway: 10.5.68.254, dns: [192.0.2.53],
      search: [example.org], routes: [{{to: 10.9.0.0/16, via: 10.5.68.1}}]}}
  - {{mac: "52:54:00:aa:bb:02", address: dhcp}}
  - {{mac: "52:54:00:aa:bb:03", address: [10.5.69.7/24, "2001:db8::7/64"],
      gateway: [10.5.69.254, "fe80::1"]}}
cloud_init: false
datasources: [NoCloud, None]
files:
  /etc/motd: {{content: "hello\\n", mode: "0600", owner: admin}}
  /etc/pw: {{file: /pw}}
run: ["echo $HOME"]
replace: true
"""
    )
    first, second, third = found.nics
    assert (first.mac, str(first.gateway), str(first.routes[0].to)) == (
        "52:54:00:aa:bb:01", "10.5.68.254", "10.9.0.0/16",
    )  # fmt: skip
    assert (second.dhcp, second.addresses) == (True, ())
    assert len(third.addresses) == 2
    assert third.gateways == (ip_address("10.5.69.254"), ip_address("fe80::1"))
    assert found == Tweak(
        passwords=(
            Password(user="root", hash="hash of correct horse"), Password(user="admin", hash=HASH),
        ),
        ssh_keys=(SshKeys(user="root", keys=(f"{KEY} a", f"{KEY} b")),),
        sudo=("admin",), hostname="web.example.org", serial_console=True, nics=found.nics,
        cloud_init=False, datasources=("NoCloud", "None"),
        files=(
            NewFile(path="/etc/motd", content=b"hello\n", mode=0o600, owner="admin"),
            NewFile(path="/etc/pw", content=b"correct horse\r\n"),
        ),
        commands=("echo $HOME",), replace=True,
    )  # fmt: skip


def test_the_addresses_of_the_spec() -> None:
    assert load("addresses: spec").nics == GIVEN.nics
    none = Given(read=read, hashed=GIVEN.hashed, nics=None)
    with pytest.raises(SpecError, match="the spec has no interfaces of it"):
        load("addresses: spec", none)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x: 1", "t.yaml:1:1: unknown key 'x'"),
        ("- a", "keys with values"),
        ("x: [", "t.yaml:2:1: this is not YAML"),
        ("passwords: {Root: {file: /pw}}", "1:13: 'Root' can't be a user's name"),
        ("passwords: {root: {}}", "one of `file` and `hash`"),
        (f"passwords: {{root: {{file: /pw, hash: '{HASH}'}}}}", "one of `file` and `hash`"),
        ("passwords: {root: {hash: secret}}", "not a password hash"),
        ("passwords: {root: secret}", "keys with values"),
        ("passwords: {root: {file: /empty}}", "one line of 1 to 128"),
        ("passwords: {root: {file: /two}}", "one line of 1 to 128"),
        ("passwords: {root: {file: /umlaut}}", "one line of 1 to 128"),
        ("passwords: {root: {file: /nothing}}", "there is no file '/nothing'"),
        ("passwords: {root: {file: /forbidden}}", "can't be read: Permission denied"),
        ("passwords: {root: {file: pw}}", "no absolute path"),
        ("passwords: {root: {file: /large}}", "larger than 1 MiB"),
        ("ssh_keys: {root: [nonsense]}", "not a public SSH key"),
        ("ssh_keys: {root: [1]}", "text"),
        ("ssh_keys: {root: []}", "there is no key"),
        ("ssh_keys: {root: [/empty]}", "there is no key"),
        ("ssh_keys: {root: x}", "a list"),
        ("ssh_keys: {'a b': [/keys]}", "can't be a user's name"),
        ("sudo: ['a b']", "can't be a user's name"),
        ("hostname: a_b", "can't be a hostname"),
        ("cloud_init: off", "true or false"),
        ("datasources: ['a b']", "is no datasource"),
        ("files: {etc/motd: {content: x}}", "no path inside a guest"),
        ("files: {/etc/../motd: {content: x}}", "no path inside a guest"),
        ("files: {//motd: {content: x}}", "no path inside a guest"),
        ("files: {/motd: {}}", "one of `file` and `content`"),
        ("files: {/motd: x}", "keys with values"),
        ("files: {/motd: {file: /nothing}}", "there is no file"),
        ("files: {/motd: {content: x, mode: 0644}}", "put it in quotes"),
        ("files: {/motd: {content: x, mode: '99'}}", "is no mode"),
        ("files: {/motd: {content: x, owner: 'a b'}}", "can't be a user's name"),
        ("run: ['']", "one line of printable text"),
        ('run: ["a\\nb"]', "one line of printable text"),
        ("addresses: all", "`spec` or a list"),
        ("addresses: [x]", "keys with values"),
        ("addresses: [{address: dhcp}]", "mac"),
        ("addresses: [{mac: x, address: dhcp}]", "is not a MAC address"),
        ("addresses: [{mac: '52:54:00:aa:bb:01', address: x}]", "is not an address"),
        (
            "addresses: [{mac: '52:54:00:aa:bb:01', address: []}]",
            "address: the list is empty (write dhcp or an address)",
        ),
        (
            "addresses: [{mac: '52:54:00:aa:bb:01', address: 10.0.0.1/24, gateway: 10.1.0.1}]",
            "is not in a network of this interface",
        ),
        (
            "addresses: [{mac: '52:54:00:aa:bb:01', address: dhcp},"
            " {mac: '52:54:00:AA:bb:01', address: dhcp}]",
            "the same MAC address",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(text)
    assert said in caught.value.message
    assert "secret" not in caught.value.message


def test_a_file_that_is_no_text() -> None:
    with pytest.raises(SpecError, match="not UTF-8"):
        load_tweak("t.yaml", b"\xff", GIVEN)


def test_flags_add_to_a_file_and_count_where_they_differ() -> None:
    one = load(f"hostname: a\nsudo: [x]\ncloud_init: true\nssh_keys: {{root: ['{KEY}']}}")
    other = flag_tweak(TweakFile(hostname="b", sudo=("y",), replace=True), GIVEN)
    both = merged(one, other)
    assert (both.hostname, both.sudo, both.cloud_init, both.replace) == (
        "b",
        ("x", "y"),
        True,
        True,
    )
    assert both.ssh_keys == one.ssh_keys
    assert merged(other, one).hostname == "a"


def test_a_document_does_not_show_its_hashes() -> None:
    assert HASH not in repr(TweakFile(passwords={"root": PasswordSection(hash=HASH)}))
