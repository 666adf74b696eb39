"""Changes of a disk, checked: from a file, or from flags that say the same."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from msgspec import Struct

from kvmkeep.model.spec import Interface, Nic
from kvmkeep.model.text import printable
from kvmkeep.model.tweak import NewFile, Password, SshKeys, Tweak
from kvmkeep.model.units import Label, parse_mac
from kvmkeep.spec.addresses import (
    in_reach,
    parse_hostname,
    parse_interface_address,
)
from kvmkeep.spec.convert import convert
from kvmkeep.spec.login import parse_password_hash, parse_ssh_key, parse_user
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.networks import resolve_dns, resolve_gateways, resolve_search
from kvmkeep.spec.nics import resolve_routes
from kvmkeep.spec.nodes import decode, read_tree
from kvmkeep.spec.source import Path, Source
from kvmkeep.spec.tweak_document import (
    FileSection,
    PasswordSection,
    TweakFile,
    TweakNicSection,
)

LARGEST = 1 << 20
"""Bytes of the largest file that is written; `copy-in` takes larger ones."""

FLAGS = "command line"
"""Stands for the file's name where the changes come from flags."""

_SOURCE = re.compile(r"[A-Za-z0-9]{1,40}")
_MODE = re.compile(r"[0-7]{3,4}")
_LONGEST_PASSWORD = 128


class Given(Struct, frozen=True, kw_only=True):
    """What the outside gives: how a file is read (None: there is none), how a password is hashed.

    `nics` are the guest's interfaces as the spec has them; None where it is no guest.
    """

    read: Callable[[str], bytes | None]
    hashed: Callable[[bytes], str]
    nics: tuple[Nic, ...] | None


def load_tweak(file: str, content: bytes, given: Given) -> Tweak:
    """Return the changes that a file asks for; raises SpecError with all its mistakes."""
    mistakes = Mistakes()
    text = decode(file, content, mistakes)
    node = None if text is None else read_tree(file, text, mistakes)
    source = convert(file, node, TweakFile, mistakes)
    return _resolved(source, given)


def flag_tweak(document: TweakFile, given: Given) -> Tweak:
    """Return the changes that flags ask for; raises SpecError with all their mistakes."""
    return _resolved(Source(file=FLAGS, document=document, mistakes=Mistakes()), given)


def merged(one: Tweak, other: Tweak) -> Tweak:
    """Return the changes of both; where they differ, those of the other count."""
    return Tweak(
        passwords=one.passwords + other.passwords,
        ssh_keys=one.ssh_keys + other.ssh_keys,
        sudo=one.sudo + other.sudo,
        hostname=other.hostname or one.hostname,
        serial_console=one.serial_console or other.serial_console,
        nics=other.nics or one.nics,
        cloud_init=one.cloud_init if other.cloud_init is None else other.cloud_init,
        datasources=other.datasources or one.datasources,
        files=one.files + other.files,
        commands=one.commands + other.commands,
        replace=one.replace or other.replace,
    )


def _resolved(source: Source[TweakFile], given: Given) -> Tweak:
    document = source.document or TweakFile()
    passwords = [
        _password(source, user, section, given) for user, section in document.passwords.items()
    ]
    keys = [_keys(source, user, texts, given) for user, texts in document.ssh_keys.items()]
    sudo = [
        source.parse(("sudo", number), parse_user, user)
        for number, user in enumerate(document.sudo)
    ]
    sources = [
        source.parse(("datasources", number), _parse_source, name)
        for number, name in enumerate(document.datasources)
    ]
    files = [_file(source, path, section, given) for path, section in document.files.items()]
    commands = [
        source.parse(("run", number), _parse_command, text)
        for number, text in enumerate(document.run)
    ]
    hostname = source.parse(("hostname",), parse_hostname, document.hostname)
    nics = _nics(source, document.addresses, given)
    source.mistakes.stop_if_any()
    return Tweak(
        passwords=tuple(one for one in passwords if one is not None),
        ssh_keys=tuple(one for one in keys if one is not None),
        sudo=tuple(one for one in sudo if one is not None),
        hostname=hostname or "",
        serial_console=document.serial_console,
        nics=nics,
        cloud_init=document.cloud_init,
        datasources=tuple(one for one in sources if one is not None),
        files=tuple(one for one in files if one is not None),
        commands=tuple(one for one in commands if one is not None),
        replace=document.replace,
    )


def _user(source: Source[TweakFile], path: Path) -> str | None:
    try:
        return parse_user(str(path[-1]))
    except ValueError as error:
        source.wrong_key(path, str(error))
        return None


def _password(
    source: Source[TweakFile], name: str, section: PasswordSection | None, given: Given
) -> Password | None:
    path = ("passwords", name)
    user = _user(source, path)
    if section is None or user is None:
        return None
    if (section.file is None) == (section.hash is None):
        source.wrong(path, "one of `file` and `hash` is wanted")
        return None
    if section.hash is not None:
        found = source.parse((*path, "hash"), parse_password_hash, section.hash)
        return None if found is None else Password(user=user, hash=found)
    content = _content(source, (*path, "file"), str(section.file), given)
    word = content.removesuffix(b"\n").removesuffix(b"\r") if content is not None else b""
    if content is None:
        return None
    if (
        not 0 < len(word) <= _LONGEST_PASSWORD
        or not word.isascii()
        or not word.decode().isprintable()
    ):
        source.wrong((*path, "file"), "a password is one line of 1 to 128 ASCII characters")
        return None
    return Password(user=user, hash=given.hashed(word))


def _keys(
    source: Source[TweakFile], name: str, texts: tuple[str | None, ...] | None, given: Given
) -> SshKeys | None:
    user = _user(source, ("ssh_keys", name))
    keys: list[str] = []
    for number, text in enumerate(texts or ()):
        path = ("ssh_keys", name, number)
        if text is None:
            continue
        lines = [text]
        if text.startswith("/"):
            content = _content(source, path, text, given) or b""
            said = content.decode("utf-8", "replace").splitlines()
            lines = [one for one in said if one.strip() and not one.startswith("#")]
        found = [source.parse(path, parse_ssh_key, one) for one in lines]
        keys += [one for one in found if one is not None]
    if texts is not None and not keys and ("ssh_keys", name) not in source.broken:
        source.wrong(("ssh_keys", name), "there is no key")
    return SshKeys(user=user, keys=tuple(dict.fromkeys(keys))) if user and keys else None


def _content(source: Source[TweakFile], path: Path, file: str, given: Given) -> bytes | None:
    if not file.startswith("/") and file != "-":
        source.wrong(path, f"{printable(file)} is no absolute path (begin it with /)")
        return None
    try:
        content = given.read(file)
    except OSError as error:
        source.wrong(path, f"{printable(file)} can't be read: {error.strerror}")
        return None
    if content is None:
        source.wrong(path, f"there is no file {printable(file)}")
    elif len(content) > LARGEST:
        source.wrong(path, f"{printable(file)} is larger than 1 MiB (use kvmkeep copy-in)")
        return None
    return content


def _file(
    source: Source[TweakFile], target: str, section: FileSection | None, given: Given
) -> NewFile | None:
    path = ("files", target)
    good = target.startswith("/") and target.isprintable() and posixpath.normpath(target) == target
    if not good or target.startswith("//") or len(target) > 1000:
        source.wrong_key(path, f"{printable(target)} is no path inside a guest (begin it with /)")
        return None
    if section is None:
        return None
    mode = source.parse((*path, "mode"), parse_mode, section.mode)
    owner = source.parse((*path, "owner"), parse_user, section.owner)
    if (section.file is None) == (section.content is None):
        source.wrong(path, "one of `file` and `content` is wanted")
        return None
    content: bytes | None = (section.content or "").encode()
    if section.file is not None:
        content = _content(source, (*path, "file"), section.file, given)
    if content is None or mode is None or owner is None:
        return None
    return NewFile(path=target, content=content, mode=mode, owner=owner)


def _nics(
    source: Source[TweakFile],
    wanted: str | tuple[TweakNicSection | None, ...] | None,
    given: Given,
) -> tuple[Nic, ...]:
    path = ("addresses",)
    if wanted is None:
        return ()
    if isinstance(wanted, str):
        if wanted != "spec":
            source.wrong(path, "`spec` or a list of interfaces is wanted")
        elif not given.nics:
            source.wrong(path, "the spec has no interfaces of it (write a list of them)")
        return given.nics or ()
    found = [_nic(source, number, section) for number, section in enumerate(wanted)]
    macs = [nic.mac for nic in found if nic is not None]
    if len(set(macs)) < len(macs):
        source.wrong(path, "two interfaces have the same MAC address")
    return tuple(nic for nic in found if nic is not None)


def _nic(source: Source[TweakFile], number: int, section: TweakNicSection | None) -> Nic | None:
    path: Path = ("addresses", number)
    if section is None:
        return None
    mac = source.parse((*path, "mac"), parse_mac, section.mac)
    texts = (section.address,) if isinstance(section.address, str) else section.address or ()
    if section.address == ():
        source.wrong((*path, "address"), "the list is empty (write dhcp or an address)")
    dhcp = texts == ("dhcp",)
    addresses: list[Interface] = []
    for text in () if dhcp else texts:
        address = source.parse((*path, "address"), parse_interface_address, text)
        addresses += [] if address is None else [address]
    gateways = resolve_gateways(source, (*path, "gateway"), section.gateway)
    for where, one in gateways:
        if not in_reach(one, [own.network for own in addresses]):
            source.wrong(where, f"{one} is not in a network of this interface")
    gateway, second_gateway, *_ = (*(one for _, one in gateways), None, None)
    if mac is None or not (dhcp or addresses):
        return None
    return Nic(
        network=Label(""),
        mac=mac,
        dhcp=dhcp,
        addresses=tuple(addresses),
        gateway=gateway,
        second_gateway=second_gateway,
        routes=tuple(route for _, route in resolve_routes(source, path, section.routes)),
        dns=resolve_dns(source, (*path, "dns"), section.dns),
        search=resolve_search(source, (*path, "search"), section.search),
    )


def parse_mode(text: str) -> int:
    """Accept the mode of a file in octal."""
    if _MODE.fullmatch(text) is None:
        raise ValueError(f"{printable(text)} is no mode (3 or 4 octal digits, such as 0644)")
    return int(text, 8)


def _parse_source(text: str) -> str:
    if _SOURCE.fullmatch(text) is None:
        raise ValueError(f"{printable(text)} is no datasource (such as NoCloud or ConfigDrive)")
    return text


def _parse_command(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 4000:
        raise ValueError("a command is one line of printable text")
    return text
