"""The middle of `backup run`: disks and definition go into the repository, the manifest last.

It needs no more of the host than the set of snapshots, and is done beside other runs. What comes
from the sending (which object the engine made of a disk) is read from the files that it left, so
the manifest is planned in the round after.
"""

from __future__ import annotations

import posixpath
from typing import assert_never

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kvmkeep import __version__
from kvmkeep.model.backup import LastBackup, StagedSet, blocks_name
from kvmkeep.model.backup_manifest import (
    DOMAIN_XML,
    GUEST_SPEC,
    HOST_SPEC,
    MANIFEST,
    MANIFEST_FORMAT,
    NVRAM,
    TEMPLATE,
    DiskRecord,
    Manifest,
    Versions,
)
from kvmkeep.model.backup_tags import disk_tags, manifest_tags
from kvmkeep.model.command import Action, Command, Progress, WriteFile
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import lv_path
from kvmkeep.model.plan import Noun, Plan, Refusal, Step
from kvmkeep.model.snapshot import SnapshotSet, disk_of
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import guards, programs
from kvmkeep.planning.aside import aside
from kvmkeep.planning.backups.init import looked_at
from kvmkeep.planning.backups.memo import missing_memo_steps, remember
from kvmkeep.planning.backups.owner import is_meant
from kvmkeep.planning.backups.take import backup_refusals, set_for_backup
from kvmkeep.planning.backups.vanished import noticing_steps
from kvmkeep.planning.backups.work import (
    BackupWork,
    Reached,
    known,
    object_of,
    own_objects,
    reached,
    to_send,
    unlisted,
)
from kvmkeep.planning.commands import long_enough
from kvmkeep.planning.repositories.full import FULL
from kvmkeep.planning.scene import aliases, make_scene
from kvmkeep.planning.snapshots.removal import still_ours

_SLOWEST = 1 << 20
"""Bytes of a second: what is slower than this counts as standing still."""
_IF_POSSIBLE = (0, 1, 2, 3)
"""Where nothing may be deleted, what dead runs left has to stay, and keeps no backup from being."""
_UNTOLD = "what the engine makes of the disks"


class Storing(Struct, frozen=True, kw_only=True):
    """What is asked for: the set of that moment, with the spec from that directory."""

    guest: GuestName
    moment: str
    spec_dir: str


def plan_send(spec: Spec, facts: Facts, storing: Storing) -> Plan:
    """Plan until the repository lists a backup of that set. `facts` have the repository."""
    scene = make_scene(spec, facts, ())
    guest = scene.every_guest.get(storing.guest)
    refusals = backup_refusals(spec, facts, storing.guest)
    if guest is None or guest.backup is None or refusals:
        return Plan(refusals=refusals)
    repository = spec.repository(guest.backup.repository)
    taken = set_for_backup(spec, facts, guest, storing.moment)
    if taken is None or taken.trouble:
        return Plan(refusals=(_lost(guest, taken),))
    work = BackupWork(
        scene=scene,
        guest=guest,
        domain=scene.own_domain(guest),
        repository=repository,
        seen=looked_at(facts, repository),
        taken=taken,
        staged=_staged(facts, guest, taken),
        spec_dir=storing.spec_dir,
        asked=storing.moment,
    )
    return _plan_from(work)


def _plan_from(work: BackupWork) -> Plan:
    stage = reached(work)
    match stage:
        case Reached.FOREIGN:
            return Plan(refusals=(_not_ours(work),))
        case Reached.COMMITTED:
            return Plan(steps=missing_memo_steps(work.scene.facts, work.guest.name, _last(work)))
        case Reached.SENDING:
            sends = (_send(work, member) for member in to_send(work))
            first = (*_noticing(work), *_prepare(work))
            return _guarded(work, (*first, *sends, _commit(work, assumes=_UNTOLD)))
        case Reached.UNLISTED:
            return _guarded(work, _prepare(work), _not_listed(work))
        case Reached.SENT:
            return _guarded(work, (*_prepare(work), _commit(work, assumes="")))
        case _:  # pragma: no cover - the type checker proves it
            assert_never(stage)


def _guarded(work: BackupWork, steps: tuple[Step, ...], refusals: tuple[Refusal, ...] = ()) -> Plan:
    return Plan(
        steps=steps,
        refusals=(
            *guards.blind_for(work.scene, (work.guest,)),
            *programs.missing_tools(work.scene, steps),
            *refusals,
        ),
    )


def _noticing(work: BackupWork) -> tuple[Step, ...]:
    """Return what notes that a backup is gone, before a newer one hides it."""
    return noticing_steps(work.scene.spec, work.scene.facts, work.asked)


def _last(work: BackupWork) -> LastBackup:
    """Return what is remembered: what this host knows, and nothing that a listing tells."""
    known = work.scene.facts.backups.last_of(work.guest.identity)
    elsewhere = known is not None and known.repository != work.repository.name
    return LastBackup(
        identity=work.guest.identity,
        repository=work.repository.name,
        moment=work.taken.name,
        level=work.taken.level,
        since=work.taken.name if known is None or elsewhere else known.first,
    )


def _lost(guest: Guest, taken: SnapshotSet | None) -> Refusal:
    """Say why the set can't be read any more; what was stored of it is no backup."""
    reason = "the set that was taken for its backup is gone"
    hint = "somebody removed it; run this again"
    if taken is not None:
        reason = f"the set {taken.name} that was taken for its backup is no good: {taken.trouble}"
        full = any(member.invalid for member in taken.members)
        hint = (
            "a snapshot was full before it was read: make room in the volume group, or have it "
            "grow meanwhile (kvmkeep snapshot watch)"
            if full
            else "run this again"
        )
    return Refusal(subject=f"guest {guest.name}", reason=reason, hint=hint)


def _not_ours(work: BackupWork) -> Refusal:
    """Refuse to take for its backup what was stored without a manifest of this host."""
    where, name = work.repository.name, work.taken.name
    reason = f"repository {where} has a backup {name} that this run did not make"
    hint = "see that no other host has this one's name (`host.name`), and run this again"
    return Refusal(subject=work.subject, reason=reason, hint=hint)


def _staged(facts: Facts, guest: Guest, taken: SnapshotSet) -> StagedSet:
    found = (s for s in facts.backups.staged if (s.guest, s.moment) == (guest.name, taken.name))
    nothing = StagedSet(guest=guest.name, moment=taken.name, names=(), sent=())
    return next(found, nothing)


def _prepare(work: BackupWork) -> tuple[Step, ...]:
    """Return what keeps all of the guest that is not a disk, as it is now."""
    if work.prepared:
        return ()
    old = (one for one in work.seen.fragments if one.host == work.host)
    mine = [one for one in old if is_meant(work.scene.spec, one, work.guest.name)]
    left = () if work.repository.append_only else mine
    objects = tuple(disk.object for one in left for disk in one.disks)
    why = "a run that did not end well left it: it never became a backup"
    file = posixpath.basename(work.guest.place.file)
    # A guest need not have variables, so they do not come last: that tells that all was kept.
    copies = [
        *([(work.nvram, NVRAM)] if work.nvram else []),
        (f"{work.spec_dir}/guests/{file}", GUEST_SPEC),
        (f"{work.spec_dir}/host.yaml", HOST_SPEC),
    ]
    actions: list[Action] = [
        *work.words.unlock(),
        *((replace(work.words.forget(objects, why), ok=_IF_POSSIBLE),) if objects else ()),
        Command(
            argv=("install", "--directory", "--mode=0700", work.folder),
            why="make room for what is stored with the disks",
        ),
        Command(
            argv=("virsh", "dumpxml", "--inactive", "--", work.guest.name),
            why="keep the guest's definition",
            stdout_to=f"{work.folder}/{DOMAIN_XML}",
        ),
        *_template(work),
        *(
            Command(argv=("cp", "--", source, f"{work.folder}/{name}"), why=f"keep {source}")
            for source, name in copies
        ),
    ]
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=work.subject,
            what="keep its definition and its spec, to be stored with its disks",
            why="a disk alone is no machine",
            actions=tuple(actions),
        ),
    )


def _template(work: BackupWork) -> tuple[WriteFile, ...]:
    """Return what keeps the site's own template: without it, the host file can't be read."""
    text = work.scene.spec.template
    path, why = f"{work.folder}/{TEMPLATE}", "keep the site's template, which host.yaml names"
    return (WriteFile(path=path, content=text.encode(), why=why, dir_mode=0o700),) if text else ()


def _send(work: BackupWork, member: Volume) -> Step:
    disk = disk_of(member)
    size = work.scene.volumes[member.origin].size
    name, identity = work.guest.name, work.guest.identity
    tags = disk_tags(name, work.taken.name, disk, size, identity=identity)
    rate, words = work.repository.rate, work.words
    slowest = min(_SLOWEST, rate // 2) if rate else _SLOWEST
    send = Command(
        argv=aside((
            work.program, "blocks", "send", lv_path(member.vg, member.name),
            f"--blocks={work.folder}/{blocks_name(disk)}", f"--size={size.bytes}",
            *((f"--rate={rate}",) if rate else ()),
            *(() if words.ends_by == "INT" else (f"--ends-by={words.ends_by}",)), "--",
            *words.put(words.place(name, disk), work.host, tags),
        )),
        why="read the snapshot, and have the engine store it",
        timeout=words.waits + long_enough(size, slowest),
        progress=Progress.BLOCKS,
        total_bytes=size.bytes,
        meanings=FULL,
    )  # fmt: skip
    return Step(
        noun=Noun.STORAGE,
        subject=work.subject,
        what=f"store its disk {disk}, {size}, as it was at {work.taken.name}",
        why=f"it goes into repository {work.repository.name}; blocks that it has are not sent",
        probe=still_ours(work.taken, member),
        actions=(*_unnoted(work, disk), send),
    )


def _unnoted(work: BackupWork, disk: str) -> tuple[Command, ...]:
    """Return what takes out a disk of this set that a killed run has stored, but not noted."""
    if work.repository.append_only:
        return ()
    old = tuple(one.object for one in own_objects(work) if one.disk == disk)
    why = "a run that was killed has stored it, and kept nothing about it"
    return (work.words.forget(old, why),) if old else ()


def _not_listed(work: BackupWork) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            subject=f"repository {work.repository.name}",
            reason=f"the object of disk {disk} that was just stored is not listed",
            hint=f"look at it: {work.words.check()}",
        )
        for disk in unlisted(work)
    )


def _commit(work: BackupWork, assumes: str) -> Step:
    """Return what makes it a backup: the manifest, with all that lies beside it."""
    what = f"store the manifest: from then on {work.taken.name} is a backup"
    why = "a set without it is no backup, and is never listed as one"
    if assumes:
        return Step(
            noun=Noun.STORAGE,
            subject=work.subject,
            what=what,
            why=why,
            actions=(),
            assumes=assumes,
        )
    made = _manifest(work)
    text = msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"
    return Step(
        noun=Noun.STORAGE,
        subject=work.subject,
        what=what,
        why=why,
        actions=(
            WriteFile(
                path=f"{work.folder}/{MANIFEST}",
                content=text,
                why="say what the backup is made of",
                dir_mode=0o700,
            ),
            work.words.put_files(
                work.folder, work.host, manifest_tags(made), "store it, and all beside it"
            ),
            remember(_last(work)),
        ),
    )


def _manifest(work: BackupWork) -> Manifest:
    guest, facts = work.guest, work.scene.facts
    records = tuple(_record(work, member) for member in work.taken.members)
    told = [known(work, member) for member in work.taken.members]
    return Manifest(
        format=MANIFEST_FORMAT,
        host=work.host,
        guest=guest.name,
        identity=guest.identity,
        uuid=guest.uuid,
        moment=work.taken.name,
        level=work.taken.level,
        disks=records,
        xml=DOMAIN_XML,
        nvram=NVRAM if work.keeps_nvram else "",
        guest_spec=GUEST_SPEC,
        host_spec=HOST_SPEC,
        template=TEMPLATE if work.keeps_template else "",
        versions=Versions(
            kvmkeep=__version__,
            engine=work.seen.version or work.repository.engine,
            libvirt=facts.libvirt,
            emulator=facts.emulator,
        ),
        started=min(one.started for one in told),
        ended=max(one.ended for one in told),
    )


def _record(work: BackupWork, member: Volume) -> DiskRecord:
    disk, told = disk_of(member), known(work, member)
    return DiskRecord(
        disk=disk,
        source=_source(work, member),
        size=told.size,
        object=object_of(work, disk, told),
        path=work.words.place(work.guest.name, disk),
        blocks=blocks_name(disk),
        blocks_sha256=told.sha256,
        read=told.read,
        added=told.added,
    )


def _source(work: BackupWork, member: Volume) -> str:
    """Return how the guest's definition names a disk; the spec may not have it any more."""
    volume = work.scene.volumes[member.origin]
    names = {*aliases(volume.vg, volume.name, volume.device)}
    disks = () if work.domain is None else work.domain.disks
    found = (one.source for one in disks if {one.source, one.device} & names)
    return next(found, lv_path(volume.vg, volume.name))
