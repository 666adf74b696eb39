"""The figures that are worth a graph, or an alert on how they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kvmkeep.model.facts import Facts
from kvmkeep.model.health import Measure, Sample
from kvmkeep.model.names import stamped_time
from kvmkeep.model.snapshot import Level, snapshot_sets
from kvmkeep.model.spec import Spec
from kvmkeep.model.times import utc
from kvmkeep.model.trash import is_trash
from kvmkeep.model.trend import CHECKS
from kvmkeep.model.vitals import PhysicalDisk, Vitals
from kvmkeep.planning.guards import promised
from kvmkeep.planning.scene import active


def measures(spec: Spec, facts: Facts, vitals: Vitals) -> tuple[Measure, ...]:
    """Return all figures; one whose thing is not there, or was not seen, has no samples."""
    vg = spec.storage.vg
    sets = snapshot_sets(facts.volumes, vg)
    guests = {guest.name: guest for guest in spec.guests}
    domains = [domain for domain in facts.domains if domain.name in guests]
    total = sum(size.bytes for size in promised(facts.domains).values())
    trash = sum(one.size.bytes for one in facts.volumes if one.vg == vg and is_trash(one))
    clock = () if vitals.synchronized is None else (Sample(value=vitals.synchronized),)
    return (
        _each(
            "array_missing_members",
            "Members that an MD array runs without",
            ((one.missing, ("array", one.name)) for one in facts.arrays),
        ),
        _each(
            "array_mismatched_sectors",
            "Sectors that the last check found to differ between members",
            (
                (one.sectors, ("array", one.array))
                for one in vitals.mismatches
                if one.action in CHECKS
            ),
        ),
        *_disks(vitals.disks or ()),
        _each(
            "group_size_bytes",
            "Size of a volume group",
            ((one.size.bytes, ("group", one.name)) for one in facts.groups),
        ),
        _each(
            "group_free_bytes",
            "What no logical volume takes of a volume group",
            ((one.free.bytes, ("group", one.name)) for one in facts.groups),
        ),
        Measure(
            name="snapshot_filled_ratio",
            help="How full the fullest snapshot of a set is, where one can get full",
            samples=tuple(
                Sample(
                    value=one.filled_percent / 100, labels=(("guest", one.guest), ("set", one.name))
                )
                for one in sets
                if one.can_overflow
            ),
        ),
        _each(
            "guest_running",
            "Whether a guest of the spec has a QEMU process",
            ((active(one), ("guest", one.name)) for one in domains),
        ),
        _each(
            "guest_autostart",
            "Whether a guest of the spec is to run whenever the host does",
            ((one.run.autostart, ("guest", one.name)) for one in spec.guests),
        ),
        _each(
            "guest_ready",
            "Whether a running guest is ready, as its spec defines that",
            ((one.ready, ("guest", one.guest)) for one in vitals.inside if one.ready is not None),
        ),
        _one("memory_bytes", "Memory of the host", facts.memory.bytes),
        _one(
            "memory_promised_bytes",
            "Memory promised to domains that run or start with the host",
            total,
        ),
        Measure(
            name="trash_bytes",
            help="What the trash takes of the volume group",
            samples=(Sample(value=trash),) if vg else (),
        ),
        *_backups(spec, facts),
        Measure(
            name="clock_synchronized",
            help="Whether somebody keeps the host's clock right",
            samples=clock,
        ),
    )


def _backups(spec: Spec, facts: Facts) -> tuple[Measure, ...]:
    """Return what is remembered of backups; a guest without one has no figure."""
    last = ((guest, facts.backups.last_of(guest.identity)) for guest in spec.guests)
    now = facts.now
    known = ((guest, facts.backups.proof_of(guest.identity, now)) for guest in spec.guests)
    proofs = [(guest, proof) for guest, proof in known if proof]
    made = [(guest, one) for guest, one in last if one is not None]
    times = ((guest, stamped_time(one.moment)) for guest, one in made)
    return (
        _each(
            "backup_last_timestamp_seconds",
            "When the last backup of a guest was taken, in seconds since 1970",
            (
                (time.timestamp(), ("guest", guest.name))
                for guest, time in times
                if time is not None
            ),
        ),
        _each(
            "backup_frozen",
            "Whether a guest's filesystems were frozen for that backup, or it was off",
            ((one.level != Level.CRASH, ("guest", guest.name)) for guest, one in made),
        ),
        _each(
            "backup_proof_timestamp_seconds",
            "When a backup of a guest was last started to prove it, in seconds since 1970",
            ((utc(one.time).timestamp(), ("guest", guest.name)) for guest, one in proofs),
        ),
        _each(
            "backup_proven",
            "Whether that backup did start as it should",
            ((one.proven, ("guest", guest.name)) for guest, one in proofs),
        ),
        _each(
            "repository_verified_timestamp_seconds",
            "When a repository was last found sound, in seconds since 1970",
            (
                (utc(one.verified).timestamp(), ("repository", one.repository))
                for one in facts.backups.upkeep
                if one.verified
            ),
        ),
        _each(
            "backup_wanted",
            "Whether the spec has a guest backed up",
            ((guest.backup is not None, ("guest", guest.name)) for guest in spec.guests),
        ),
    )


def _disks(disks: tuple[PhysicalDisk, ...]) -> tuple[Measure, ...]:
    """Return what disks tell of themselves; one that does not count a thing has no figure."""
    figures: tuple[tuple[str, str, Callable[[PhysicalDisk], float | None]], ...] = (
        ("disk_healthy", "Whether a disk says of itself that it is well", lambda d: d.passed),
        ("disk_pending_sectors", "Sectors that can't be read", lambda d: d.pending),
        (
            "disk_reallocated_sectors",
            "Sectors that were replaced by spare ones, over a disk's life",
            lambda d: d.reallocated,
        ),
        (
            "disk_uncorrectable_errors",
            "Errors that lost data, over a disk's life",
            lambda d: d.uncorrectable,
        ),
        (
            "disk_worn_ratio",
            "The part of a flash disk's life that is over; may pass 1",
            lambda d: None if d.worn_percent is None else d.worn_percent / 100,
        ),
        ("disk_temperature_celsius", "Temperature of a disk", lambda d: d.celsius),
    )
    return tuple(
        _each(
            name,
            text,
            ((value, ("disk", disk.name)) for disk in disks if (value := figure(disk)) is not None),
        )
        for name, text, figure in figures
    )


def _one(name: str, text: str, value: float) -> Measure:
    return Measure(name=name, help=text, samples=(Sample(value=value),))


def _each(name: str, text: str, pairs: Iterable[tuple[float, tuple[str, str]]]) -> Measure:
    """Return a measure with a sample for each thing; of two with one name, the first counts."""
    found: dict[tuple[str, str], float] = {}
    for value, label in pairs:
        found.setdefault(label, value)
    samples = (Sample(value=value, labels=(label,)) for label, value in found.items())
    return Measure(name=name, help=text, samples=tuple(samples))
