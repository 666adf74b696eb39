"""What a spec says otherwise than the host, as changes of the spec: what `adopt` takes into it."""

from __future__ import annotations

from collections.abc import Callable

from kvmkeep.model.found import FoundGuest, Key, SpecChange
from kvmkeep.model.network_facts import Profile
from kvmkeep.model.spec import NO_HEADROOM, Disk, FileDisk, Guest, LvDisk, Network
from kvmkeep.model.units import Size


def differences(
    guest: Guest, found: FoundGuest, rounded: Callable[[Size], Size]
) -> tuple[SpecChange, ...]:
    """Return what a guest's file says otherwise than libvirt and LVM.

    `rounded` is what LVM makes of a size.
    """
    pairs: tuple[tuple[Key, int | Size | bool, int | Size | bool], ...] = (
        (("vcpus",), guest.vcpus, found.vcpus),
        (("memory",), guest.memory, found.memory),
        (("run", "autostart"), guest.run.autostart, found.autostart),
    )
    changes = tuple(
        SpecChange(key=key, value=now, what=f"{key[-1]} from {_shown(was)} to {_shown(now)}")
        for key, was, now in pairs
        if was != now
    )
    return (
        *changes,
        *_shape_changes(guest, found),
        *_disk_changes(guest, found, rounded),
        *_nic_changes(guest, found),
    )


def _shape_changes(guest: Guest, found: FoundGuest) -> list[SpecChange]:
    """Return what the most says otherwise that a guest may be given without another start."""
    most: tuple[tuple[str, int | Size, bool, int | Size | None, int | Size], ...] = (
        ("vcpus_max", guest.vcpus_max, guest.vcpus_headroom > 0, found.vcpus_max, found.vcpus),
        (
            "memory_max", guest.memory_max, guest.memory_headroom != NO_HEADROOM,
            found.memory_max, found.memory,
        ),
    )  # fmt: skip
    changes: list[SpecChange] = []
    for key, was, said, now, least in most:
        if now is None and said:
            what = f"{key} is gone: it is the {least} that it has"
            changes.append(SpecChange(key=(key,), value=None, what=what))
        elif now is not None and now != was:
            what = f"{key} from {was} to {now}"
            changes.append(SpecChange(key=(key,), value=now, what=what))
    return changes


def _disk_changes(
    guest: Guest, found: FoundGuest, rounded: Callable[[Size], Size]
) -> list[SpecChange]:
    changes: list[SpecChange] = []
    known = {_place(disk): disk for disk in guest.disks}
    there = {_place(disk): disk for disk in found.disks}
    for place, disk in there.items():
        old = known.get(place)
        if old is None:
            what = f"disk {disk.name} ({place}) is new"
            changes.append(SpecChange(key=("disks", disk.name), value=disk, what=what))
        elif disk.size != (rounded(old.size) if isinstance(old, LvDisk) else old.size):
            long = isinstance(old, FileDisk) or old.named
            key: Key = ("disks", old.name, *(("size",) if long else ()))
            what = f"disk {old.name} from {old.size} to {disk.size}"
            changes.append(SpecChange(key=key, value=disk.size, what=what))
    changes.extend(
        SpecChange(key=("disks", disk.name), value=None, what=f"disk {disk.name} ({place}) is gone")
        for place, disk in known.items()
        if place not in there
    )
    return changes


def _place(disk: Disk) -> str:
    """Return the LV or the file that a disk is."""
    return disk.lv if isinstance(disk, LvDisk) else disk.path


def _nic_changes(guest: Guest, found: FoundGuest) -> list[SpecChange]:
    there = {nic.mac: nic for nic in found.nics}
    changes: list[SpecChange] = []
    gone: list[SpecChange] = []
    for position, nic in enumerate(guest.nics):
        now = there.pop(nic.mac, None)
        if now is None:
            gone.append(
                SpecChange(key=("nics", position), value=None, what=f"NIC {nic.mac} is gone")
            )
        elif now.network != nic.network:
            what = f"NIC {nic.mac} from network {nic.network} to {now.network}"
            changes.append(
                SpecChange(key=("nics", position, "network"), value=now.network, what=what)
            )
    changes.extend(
        SpecChange(
            key=("nics", len(guest.nics) + number),
            value=nic,
            what=f"NIC {nic.mac} on network {nic.network} is new",
        )
        for number, nic in enumerate(there.values())
    )
    # From the last one on: the positions of those before it stay right.
    return [*changes, *reversed(gone)]


def settings(network: Network, profile: Profile) -> tuple[SpecChange, ...]:
    """Return what host.yaml says otherwise than the profile of a network's bridge."""
    told = profile.setting
    wanted = (
        ("ageing_time", network.ageing_time, _number(told("bridge.ageing-time"))),
        ("stp", network.stp, {"yes": True, "no": False}.get(told("bridge.stp"))),
        ("forward_delay", network.forward_delay, _number(told("bridge.forward-delay"))),
    )
    return tuple(
        SpecChange(
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
