"""What others made on this host, as far as a spec can say it: what `adopt` is about."""

from __future__ import annotations

from msgspec import Struct, field

from kvmkeep.model.plan import Note, Refusal
from kvmkeep.model.spec import Disk
from kvmkeep.model.units import GuestName, Label, Mac, Size

Key = tuple[str | int, ...]
"""The keys and positions that lead to a part of a file of the spec: `("disks", "root")`."""


class FoundNic(Struct, frozen=True, kw_only=True):
    """A NIC on the bridge of a network of the spec."""

    network: Label
    mac: Mac


class FoundGuest(Struct, frozen=True, kw_only=True):
    """A domain as the spec would say it. `ready` is in the spec's words.

    `remarks` tells what stays as it is, since the spec has no words for it. `memory_max` and
    `vcpus_max` are told where they are more than what the guest has.
    """

    name: GuestName
    uuid: str
    description: str
    vcpus: int
    memory: Size
    disks: tuple[Disk, ...]
    nics: tuple[FoundNic, ...]
    autostart: bool
    ready: str
    remarks: tuple[str, ...]
    memory_max: Size | None = None
    vcpus_max: int | None = None
    agent_unseen: bool = False
    """It is off, and may have an agent."""


class SpecChange(Struct, frozen=True, kw_only=True):
    """A part of a file of the spec that is to say something else; `what` tells it to a person.

    A value of None takes the part out.
    """

    key: Key
    value: str | int | bool | Size | Disk | FoundNic | None
    what: str


class Found(Struct, frozen=True, kw_only=True):
    """What is to be taken over: guests and networks, and what the spec has to say of them.

    `new` are guests that the spec does not have yet. `changed` is what it says otherwise by now,
    by the guest; `settings` the same of host.yaml, by the network.
    """

    guests: tuple[GuestName, ...] = ()
    networks: tuple[Label, ...] = ()
    new: tuple[FoundGuest, ...] = ()
    changed: dict[GuestName, tuple[SpecChange, ...]] = field(default_factory=dict)
    settings: dict[Label, tuple[SpecChange, ...]] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[Note, ...] = ()


class SpecEdit(Struct, frozen=True, kw_only=True):
    """A file of the spec that is written. `before` is what it held; empty where it is new."""

    path: str
    subject: str
    text: str
    before: str
    what: str
