"""What `backup rebuild` brings back: guests of a host that its spec does not have any more.

A guest's file comes back last of all of it, so one that the spec has is back already: a run that
was stopped is gone on with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace

from kvmkeep.model.backup import BackupEntry, recency
from kvmkeep.model.command import WriteFile
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import TAG_RESTORE
from kvmkeep.model.plan import Noun, Plan, Refusal, Step
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest, LvDisk, Spec
from kvmkeep.model.units import Size
from kvmkeep.planning.arrays import unfit_arrays
from kvmkeep.planning.backups.restored import is_back, leaving, made
from kvmkeep.planning.backups.unrestorable import MAKE_ROOM
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.recover import Recovery, recovery_of
from kvmkeep.planning.running.start import is_off
from kvmkeep.planning.scene import Scene, make_scene


def last_backups(
    entries: Iterable[BackupEntry], host: str, now: datetime
) -> dict[str, BackupEntry]:
    """Return the last backup of each guest of a host, by the name that the guest had then.

    A guest is known by its identity, which it keeps when it is renamed. A backup that lacks a disk
    is the last only where no whole one is there.
    """
    return {one.guest: one for one in _last_ones((e for e in entries if e.host == host), now)}


def outdone(entries: Iterable[BackupEntry], now: datetime) -> tuple[BackupEntry, ...]:
    """Return the last backups of a host's guests whose name is that of a later guest.

    That is one that was renamed and never backed up since: both can't come back under one name.
    """
    ours = _last_ones(entries, now)
    later = {one.guest: one for one in ours}
    return tuple(one for one in ours if later[one.guest] != one)


def _last_ones(entries: Iterable[BackupEntry], now: datetime) -> list[BackupEntry]:
    ours = sorted(entries, key=lambda one: (one.whole, *recency(one.moment, now)))
    last = {one.identity: one for one in ours}
    return [one for one in ours if last[one.identity] == one]


def bound_for_trash(spec: Spec, facts: Facts, entries: Iterable[BackupEntry]) -> tuple[Volume, ...]:
    """Return the LVs that are there and make room for those of the backups; `spec` as it will be.

    They may be newer than any backup: a host whose spec alone was lost still has them.
    """
    scene = make_scene(spec, facts, ())
    return tuple(
        volume
        for guest, disks in _to_fetch(scene, entries)
        for volume in leaving(scene, guest, disks)
    )


def shortages(spec: Spec, facts: Facts, entries: Iterable[BackupEntry]) -> tuple[Refusal, ...]:
    """Refuse before anything is done what would have the guests fail one by one, after hours."""
    scene = make_scene(spec, facts, ())
    if scene.group is None:
        return ()
    sizes = {
        guest.name: sum(
            scene.rounded(disk.size).bytes
            for disk in disks
            if made(scene, guest, disks, disk) is None
        )
        for guest, disks in _to_fetch(scene, entries)
    }
    arrays = unfit_arrays(scene, urgent=True) if sizes else ()
    needed, reserve = Size(sum(sizes.values())), spec.host.storage_reserve
    free = scene.group.free.minus(reserve)
    if needed <= free:
        return arrays
    each = ", ".join(f"{name} {Size(size)}" for name, size in sizes.items())
    room = Refusal(
        subject=f"volume group {scene.group.name}",
        reason=f"these guests need {needed} beside what is there ({each}), but {free} may be used "
        f"({reserve} are the host's reserve)",
        hint=f"name those that matter most, with what they need; {MAKE_ROOM}",
    )
    return (*arrays, room)


def _to_fetch(
    scene: Scene, entries: Iterable[BackupEntry]
) -> Iterator[tuple[Guest, tuple[LvDisk, ...]]]:
    """Return the disks of each guest, as large as they come back, but for one that has them."""
    guests = {str(guest.name): guest for guest in scene.spec.guests}
    for entry in entries:
        guest, sizes = guests[entry.guest], {one.disk: one.size for one in entry.disks}
        disks = tuple(
            replace(one, size=max(one.size, sizes[one.name]))
            for one in guest.volumes
            if one.name in sizes
        )
        if not is_back(scene, guest, disks, entry.moment):
            yield guest, disks


def plan_host_file(path: str, content: bytes, *, there: bool) -> Plan:
    """Plan to write the host file as it was at a backup; one that is there stays."""
    if there:
        return Plan()
    file = WriteFile(path=path, content=content, why="the host has no spec")
    step = Step(
        noun=Noun.DOMAINS,
        subject="spec",
        what=f"write {path} as it was at the last backup",
        why="networks, storage and repositories are known by it",
        actions=(file,),
    )
    return Plan(steps=(step,))


def rising_again(spec: Spec, facts: Facts, back: Collection[str]) -> Recovery:
    """Find out who is started in the end: those that start with the host, each by itself.

    That is who is `back`, and who came back in a run that was stopped before it started them: off,
    on a disk that a restore has made, and nobody has said that it stays off.
    """
    scene = make_scene(spec, facts, spec.guests)
    names = [
        guest.name
        for guest in spec.guests
        if guest.run.autostart and (guest.name in back or _left_off(scene, guest))
    ]
    found = recovery_of(spec, facts, names)
    return replace(found, plan=replace(found.plan, once=True, recorded=False))


def _left_off(scene: Scene, guest: Guest) -> bool:
    root = scene.volume(guest.root)
    restored = root is not None and bool(tag_value(root, TAG_RESTORE))
    return restored and is_off(scene, guest) and scene.domains[guest.name].wanted


def plan_networks(spec: Spec, facts: Facts) -> Plan:
    """Plan the networks alone: a guest without disks would be made from its image."""
    return make_plan(replace(spec, guests=()), facts)
