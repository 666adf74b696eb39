"""What only one thing may have: VLANs, names of interfaces and guests, addresses, LVs, files."""

from __future__ import annotations

from kvmkeep.model.spec import Address, Place
from kvmkeep.spec.mistakes import Mistakes


class Claims:
    """Remembers who has what; a second claim is a mistake that names the first one.

    With `shared`, an adopted guest may have the identity of another one, as in what an older
    kvmkeep took for good.
    """

    def __init__(self, mistakes: Mistakes, *, shared: bool = False) -> None:
        self._mistakes = mistakes
        self.shared = shared
        self._held: dict[tuple[str, str], tuple[str, Place]] = {}

    def _claim(self, kind: str, value: str, place: Place, owner: str, hint: str) -> bool:
        """Return whether nobody else has it."""
        held = self._held.setdefault((kind, value), (owner, place))
        if held != (owner, place):
            first, where = held
            self._mistakes.add(
                place, f"{kind} {value} is that of {first} already, at {where} ({hint})"
            )
        return held == (owner, place)

    def vlan(self, vlan: int, place: Place, owner: str) -> None:
        """Claim a VLAN's tag."""
        self._claim("the VLAN", str(vlan), place, owner, "one network for each VLAN")

    def interface(self, name: str, place: Place, owner: str) -> None:
        """Claim the name of a network interface of the host."""
        self._claim("the interface", name, place, owner, "choose another name")

    def mac(self, mac: str, place: Place, owner: str) -> None:
        """Claim a MAC address."""
        self._claim("the MAC address", mac, place, owner, "give one of them another with mac")

    def address(self, network: str, address: Address, place: Place, owner: str) -> None:
        """Claim an address in a network."""
        # The same private range may be used in two VLANs; they don't see each other.
        kind = f"in network {network}, the address"
        self._claim(kind, str(address), place, owner, "choose another address")

    def volume(self, lv: str, place: Place, owner: str) -> None:
        """Claim the name of a logical volume."""
        self._claim("the logical volume", lv, place, owner, "rename the guest or the disk")

    def file(self, path: str, place: Place, owner: str) -> None:
        """Claim the path of a disk that is a file."""
        self._claim("the file", path, place, owner, "two disks in one file destroy each other")

    def identity(self, name: str, place: Place, owner: str, hint: str) -> bool:
        """Claim the name that a guest's UUID and MACs are derived from, and its backups go by."""
        return self._claim("the identity", name, place, owner, hint)

    def uuid(self, uuid: str, place: Place, owner: str) -> None:
        """Claim a domain's UUID."""
        self._claim("the UUID", uuid, place, owner, "each guest needs its own")

    def guest(self, name: str, place: Place, owner: str) -> None:
        """Claim the name of a guest."""
        self._claim("the guest name", name, place, owner, "each guest needs its own")
