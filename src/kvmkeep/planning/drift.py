"""What a spec says otherwise than the host, as changes of the spec: what `adopt` takes into it."""

from __future__ import annotations

from collections.abc import Callable

from kvmkeep.model.facts import Profile
from kvmkeep.model.found import Change, FoundGuest, Key
from kvmkeep.model.spec import Guest, LvDisk, Network
from kvmkeep.model.units import Size


def differences(
    guest: Guest, found: FoundGuest, rounded: Callable[[Size], Size]
) -> tuple[Change, ...]:
    """Return what a guest's file says otherwise than libvirt and LVM.

    `rounded` is what LVM makes of a size.
    """
    pairs: tuple[tuple[Key, int | Size | bool, int | Size | bool], ...] = (
        (("vcpus",), guest.vcpus, found.vcpus),
        (("memory",), guest.memory, found.memory),
        (("run", "autostart"), guest.run.autostart, found.autostart),
    )
    changes = tuple(
        Change(key=key, value=now, what=f"{key[-1]} from {_shown(was)} to {_shown(now)}")
        for key, was, now in pairs
        if was != now
    )
    return (*changes, *_disk_changes(guest, found, rounded), *_nic_changes(guest, found))


def _disk_changes(guest: Guest, found: FoundGuest, rounded: Callable[[Size], Size]) -> list[Change]:
    changes: list[Change] = []
    known = {disk.lv: disk for disk in guest.volumes}
    there = {disk.lv: disk for disk in found.disks if isinstance(disk, LvDisk)}
    for lv, disk in there.items():
        old = known.get(lv)
        if old is None:
            what = f"disk {disk.name} ({lv}) is new"
            changes.append(Change(key=("disks", disk.name), value=disk, what=what))
        elif rounded(old.size) != disk.size:
            key: Key = ("disks", old.name, *(("size",) if old.given else ()))
            what = f"disk {old.name} from {old.size} to {disk.size}"
            changes.append(Change(key=key, value=disk.size, what=what))
    changes.extend(
        Change(key=("disks", disk.name), value=None, what=f"disk {disk.name} ({lv}) is gone")
        for lv, disk in known.items()
        if lv not in there
    )
    return changes


def _nic_changes(guest: Guest, found: FoundGuest) -> list[Change]:
    there = {nic.mac: nic for nic in found.nics}
    changes: list[Change] = []
    gone: list[Change] = []
    for position, nic in enumerate(guest.nics):
        now = there.pop(nic.mac, None)
        if now is None:
            gone.append(Change(key=("nics", position), value=None, what=f"NIC {nic.mac} is gone"))
        elif now.network != nic.network:
            what = f"NIC {nic.mac} from network {nic.network} to {now.network}"
            changes.append(Change(key=("nics", position, "network"), value=now.network, what=what))
    changes.extend(
        Change(
            key=("nics", len(guest.nics) + number),
            value=nic,
            what=f"NIC {nic.mac} on network {nic.network} is new",
        )
        for number, nic in enumerate(there.values())
    )
    # From the last one on: the positions of those before it stay right.
    return [*changes, *reversed(gone)]


def settings(network: Network, profile: Profile) -> tuple[Change, ...]:
    """Return what host.yaml says otherwise than the profile of a network's bridge."""
    told = profile.setting
    wanted = (
        ("ageing_time", network.ageing_time, _number(told("bridge.ageing-time"))),
        ("stp", network.stp, {"yes": True, "no": False}.get(told("bridge.stp"))),
        ("forward_delay", network.forward_delay, _number(told("bridge.forward-delay"))),
    )
    return tuple(
        Change(
            key=("networks", network.name, name),
            value=now,
            what=f"{name} from {_shown(was)} to {_shown(now)}",
        )
        for name, was, now in wanted
        if now is not None and was != now
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _shown(value: int | Size) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
