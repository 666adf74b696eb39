"""The file of a guest that is a copy of another: as that one's, but for what must differ."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf

from msgspec import Struct

from kvmkeep.spec.emit import emit
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import (
    Kind,
    Mapping,
    Mark,
    Node,
    Scalar,
    Sequence,
    decode,
    plain_kind,
    read_tree,
)

_OWN = ("name", "identity", "uuid", "hostname", "protect")
"""Keys that are one guest's own."""
_DHCP = "dhcp"
_NOWHERE = Mark(1, 1)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9./:-]*[A-Za-z0-9]")


class Differences(Struct, frozen=True, kw_only=True):
    """What the copy has of its own: addresses by network, in the order of its NICs there.

    `identity` is empty where its name is one that no guest was born with.
    """

    addresses: MappingOf[str, tuple[str, ...]]
    hostname: str = ""
    identity: str = ""


def copied_file(content: bytes, differences: Differences) -> bytes:
    """Return the file of the copy. Comments are lost.

    Raises ValueError where an address is missing or belongs to no NIC: two guests with one
    address would both be out of reach.
    """
    mistakes = Mistakes()
    text = decode("", content, mistakes)
    tree = None if text is None else read_tree("", text, mistakes)
    mistakes.stop_if_any()
    assert isinstance(tree, Mapping)  # noqa: S101 - the spec was loaded before
    entries = {key: one for key, one in tree.entries.items() if key not in _OWN}
    if differences.identity:
        entries["identity"] = (_NOWHERE, _text(differences.identity))
    if differences.hostname:
        entries["hostname"] = (_NOWHERE, _text(differences.hostname))
    mark, nics = entries.get("nics", (_NOWHERE, Sequence(_NOWHERE)))
    assert isinstance(nics, Sequence)  # noqa: S101 - the spec was loaded before
    mark_of_disks, disks = tree.entries["disks"]
    assert isinstance(disks, Mapping)  # noqa: S101 - the spec was loaded before
    entries["disks"] = (mark_of_disks, _disks(disks))
    entries["nics"] = (mark, Sequence(mark, _nics(nics, differences.addresses)))
    return emit(Mapping(tree.mark, entries)).encode()


def _disks(disks: Mapping) -> Mapping:
    """Return the disks without the names of their LVs."""
    own: dict[str, tuple[Mark, Node]] = dict(disks.entries)
    for key, (mark, disk) in disks.entries.items():
        if isinstance(disk, Mapping):
            kept = {inner: one for inner, one in disk.entries.items() if inner != "lv"}
            own[key] = (mark, Mapping(disk.mark, kept))
    return Mapping(disks.mark, own)


def _nics(nics: Sequence, addresses: MappingOf[str, tuple[str, ...]]) -> list[Node]:
    inside = [nic for nic in nics.items if isinstance(nic, Mapping)]
    networks = [_of(nic, "network") for nic in inside]
    for network in addresses:
        if network not in networks:
            known = ", ".join(dict.fromkeys(networks)) or "none"
            raise ValueError(f"the guest has no NIC in a network {network} (it has: {known})")
    shares = {
        network: _shares(network, networks.count(network), addresses.get(network, ()))
        for network in networks
    }
    return [
        _nic(nic, network, shares[network].pop(0))
        for nic, network in zip(inside, networks, strict=True)
    ]


def _shares(network: str, nics: int, given: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the addresses of each NIC in a network: one each, or all of them for a single one."""
    if nics == 1:
        return [given]
    if len(given) not in {0, nics}:
        raise ValueError(
            f"the guest has {nics} NICs in network {network}: give each one its address, in order"
        )
    return [(address,) for address in given] if given else [()] * nics


def _nic(nic: Mapping, network: str, given: tuple[str, ...]) -> Mapping:
    entries = {key: one for key, one in nic.entries.items() if key != "mac"}
    if given:
        new = [_text(address) for address in given]
        value: Node = new[0] if len(new) == 1 else Sequence(_NOWHERE, list[Node](new))
        entries["address"] = (_NOWHERE, value)
    elif _of(nic, "address") != _DHCP:
        raise ValueError(
            f"its address in network {network} is the guest's own: the clone needs another one "
            f"(--address {network}=ADDRESS/PREFIX)"
        )
    return Mapping(nic.mark, entries)


def _of(nic: Mapping, key: str) -> str:
    """Return a value of a NIC; nothing where it is a list."""
    _, value = nic.entries.get(key, (_NOWHERE, None))
    if isinstance(value, Sequence) and len(value.items) == 1:
        value = value.items[0]
    return value.text if isinstance(value, Scalar) else ""


def _text(text: str) -> Scalar:
    plain = _PLAIN.fullmatch(text) is not None and plain_kind(text) is Kind.TEXT
    return Scalar(_NOWHERE, text, Kind.TEXT, plain=plain)
