"""The middle of `backup run`: disks and definition go into the repository, the manifest last.

It needs no more of the host than the set of snapshots, and is done beside other runs. What comes
from the sending (which object the engine made of a disk) is read from the files that it left, so
the manifest is planned in the round after.
"""

from __future__ import annotations

import posixpath

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kvmkeep import __version__
from kvmkeep.model.backup import (
    DOMAIN_XML,
    GUEST_SPEC,
    HOST_SPEC,
    MANIFEST,
    MANIFEST_FORMAT,
    NVRAM,
    DiskRecord,
    LastBackup,
    Manifest,
    Repository,
    RepositoryFacts,
    SentDisk,
    StagedSet,
    StoredDisk,
    Versions,
    blocks_name,
    disk_path,
)
from kvmkeep.model.backup_tags import disk_tags, manifest_tags
from kvmkeep.model.command import Action, Command, Progress, WriteFile
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import lv_path, staging_dir
from kvmkeep.model.plan import Noun, Plan, Refusal, Step
from kvmkeep.model.snapshot import SnapshotSet, disk_of
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import guards, programs
from kvmkeep.planning.aside import aside
from kvmkeep.planning.backup_memo import remember, remembered
from kvmkeep.planning.backup_take import backup_refusals, set_for_backup
from kvmkeep.planning.commands import long_enough
from kvmkeep.planning.engine import Driver, driver
from kvmkeep.planning.scene import Scene, aliases, make_scene
from kvmkeep.planning.snapshot_remove import still_ours

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


class _Work(Struct, frozen=True, kw_only=True):
    """What the steps are made of; `program` is kvmkeep's path."""

    scene: Scene
    guest: Guest
    domain: Domain | None
    repository: Repository
    seen: RepositoryFacts
    one: SnapshotSet
    staged: StagedSet
    program: str
    spec_dir: str

    @property
    def words(self) -> Driver:
        return driver(self.repository, self.program)

    @property
    def subject(self) -> str:
        return f"guest {self.guest.name}"

    @property
    def folder(self) -> str:
        return staging_dir(self.guest.name, self.one.name)

    @property
    def host(self) -> str:
        return self.scene.spec.host.name

    @property
    def nvram(self) -> str:
        return "" if self.domain is None else self.domain.nvram


def plan_send(spec: Spec, facts: Facts, storing: Storing) -> Plan:
    """Plan until the repository lists a backup of that set. `facts` have the repository."""
    scene = make_scene(spec, facts, ())
    guest = scene.every_guest.get(storing.guest)
    refusals = backup_refusals(spec, facts, storing.guest)
    if guest is None or guest.backup is None or refusals:
        return Plan(refusals=refusals)
    repository = spec.repository(guest.backup.repository)
    seen = facts.backups.repository(repository.name)
    one = set_for_backup(spec, facts, guest, storing.moment)
    if one is None or one.trouble:
        return Plan(refusals=(_lost(guest, one),))
    entries = () if seen is None else seen.entries
    mine = (guest.name, one.name, spec.host.name)
    staged = _staged(facts, guest, one)
    made = any((e.guest, e.moment, e.host) == mine for e in entries)
    if made and MANIFEST not in staged.names:
        return Plan(refusals=(_not_ours(guest, repository, one),))
    if seen is None or made:
        last = _last(guest, repository, one)
        return Plan(steps=remembered(facts, guest.name, last) if made else ())
    work = _Work(
        scene=scene,
        guest=guest,
        domain=scene.own_domain(guest),
        repository=repository,
        seen=seen,
        one=one,
        staged=staged,
        program=facts.units.command,
        spec_dir=storing.spec_dir,
    )
    left = [member for member in one.members if _sent(work, member) is None]
    steps = (*_prepare(work), *(_send(work, member) for member in left))
    missing = () if left else _unlisted(work)
    steps = (*steps, *(() if missing else (_commit(work, assumes=_UNTOLD if left else ""),)))
    return Plan(
        steps=steps,
        refusals=(
            *guards.blind_for(scene, (guest,)),
            *programs.missing_tools(scene, steps),
            *missing,
        ),
    )


def _last(guest: Guest, repository: Repository, one: SnapshotSet) -> LastBackup:
    """Return what is remembered: what this host knows, and nothing that a listing tells."""
    return LastBackup(
        identity=guest.identity, repository=repository.name, moment=one.name, level=one.level
    )


def _lost(guest: Guest, one: SnapshotSet | None) -> Refusal:
    """Say why the set can't be read any more; what was stored of it is no backup."""
    reason = "the set that was taken for its backup is gone"
    hint = "somebody removed it; run this again"
    if one is not None:
        reason = f"the set {one.name} that was taken for its backup is no good: {one.trouble}"
        full = any(member.invalid for member in one.members)
        hint = (
            "a snapshot was full before it was read: make room in the volume group, or have it "
            "grow meanwhile (kvmkeep snapshot watch)"
            if full
            else "run this again"
        )
    return Refusal(subject=f"guest {guest.name}", reason=reason, hint=hint)


def _not_ours(guest: Guest, repository: Repository, one: SnapshotSet) -> Refusal:
    """Refuse to take for its backup what was stored without a manifest of this host."""
    reason = f"repository {repository.name} has a backup {one.name} that this run did not make"
    hint = "see that no other host has this one's name (`host.name`), and run this again"
    return Refusal(subject=f"guest {guest.name}", reason=reason, hint=hint)


def _staged(facts: Facts, guest: Guest, one: SnapshotSet) -> StagedSet:
    found = (s for s in facts.backups.staged if (s.guest, s.moment) == (guest.name, one.name))
    nothing = StagedSet(guest=guest.name, moment=one.name, names=(), sent=())
    return next(found, nothing)


def _sent(work: _Work, member: Volume) -> SentDisk | None:
    """Return what the sending of a disk left, if that is whole."""
    disk = disk_of(member)
    found = next((one for one in work.staged.sent if one.disk == disk), None)
    return found if blocks_name(disk) in work.staged.names else None


def _prepare(work: _Work) -> tuple[Step, ...]:
    """Return what keeps all of the guest that is not a disk, as it is now."""
    names = {DOMAIN_XML, GUEST_SPEC, HOST_SPEC} | ({NVRAM} if work.nvram else set())
    if names <= set(work.staged.names):
        return ()
    mine = (work.guest.name, work.host)
    old = [one for one in work.seen.fragments if (one.guest, one.host) == mine]
    left = () if work.repository.append_only else old
    objects = tuple(disk.object for one in left for disk in one.disks)
    why = "a run that did not end well left it: it never became a backup"
    file = posixpath.basename(work.guest.place.file)
    copies = [
        (f"{work.spec_dir}/guests/{file}", GUEST_SPEC),
        (f"{work.spec_dir}/host.yaml", HOST_SPEC),
    ]
    copies += [(work.nvram, NVRAM)] if work.nvram else []
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


def _send(work: _Work, member: Volume) -> Step:
    disk = disk_of(member)
    size = work.scene.volumes[member.origin].size
    tags = disk_tags(work.guest.name, work.one.name, disk, size)
    rate, words = work.repository.rate, work.words
    slowest = min(_SLOWEST, rate // 2) if rate else _SLOWEST
    send = Command(
        argv=aside((
            work.program, "blocks", "send", lv_path(member.vg, member.name),
            f"--blocks={work.folder}/{blocks_name(disk)}", f"--size={size.bytes}",
            *((f"--rate={rate}",) if rate else ()),
            *(() if words.ends_by == "INT" else (f"--ends-by={words.ends_by}",)), "--",
            *words.put(disk_path(work.guest.name, disk), work.host, tags),
        )),
        why="read the snapshot, and have the engine store it",
        timeout=words.waits + long_enough(size, slowest),
        progress=Progress.BLOCKS,
        total_bytes=size.bytes,
    )  # fmt: skip
    return Step(
        noun=Noun.STORAGE,
        subject=work.subject,
        what=f"store its disk {disk}, {size}, as it was at {work.one.name}",
        why=f"it goes into repository {work.repository.name}; blocks that it has are not sent",
        probe=still_ours(work.one, member),
        actions=(*_unnoted(work, disk), send),
    )


def _unnoted(work: _Work, disk: str) -> tuple[Command, ...]:
    """Return what takes out a disk of this set that a killed run has stored, but not noted."""
    if work.repository.append_only:
        return ()
    old = tuple(one.object for one in _own_objects(work) if one.disk == disk)
    why = "a run that was killed has stored it, and kept nothing about it"
    return (work.words.forget(old, why),) if old else ()


def _own_objects(work: _Work) -> tuple[StoredDisk, ...]:
    """Return what the repository lists of the set."""
    mine = (work.guest.name, work.one.name, work.host)
    seen = work.seen.fragments
    own = (one for one in seen if (one.guest, one.moment, one.host) == mine)
    return tuple(disk for one in own for disk in one.disks)


def _unlisted(work: _Work) -> tuple[Refusal, ...]:
    """Refuse where the repository does not list what the engine said that it stored."""
    return tuple(
        Refusal(
            subject=f"repository {work.repository.name}",
            reason=f"the object of disk {disk_of(member)} that was just stored is not listed",
            hint=f"look at it: {work.words.check()}",
        )
        for member in work.one.members
        if not _object(work, disk_of(member), _known(work, member))
    )


def _known(work: _Work, member: Volume) -> SentDisk:
    found = _sent(work, member)
    if found is None:
        raise AssertionError(f"{member.name} was not sent")
    return found


def _object(work: _Work, disk: str, sent: SentDisk) -> str:
    """Return the engine's full name of a disk's object; the engine may have told a short one."""
    objects = (each.object for each in _own_objects(work) if each.disk == disk)
    found = (one for one in objects if sent.object and one.startswith(sent.object))
    return next(found, "")


def _commit(work: _Work, assumes: str) -> Step:
    """Return what makes it a backup: the manifest, with all that lies beside it."""
    what = f"store the manifest: from then on {work.one.name} is a backup"
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
            remember(_last(work.guest, work.repository, work.one)),
        ),
    )


def _manifest(work: _Work) -> Manifest:
    guest, facts = work.guest, work.scene.facts
    records = tuple(_record(work, member) for member in work.one.members)
    sent = [_known(work, member) for member in work.one.members]
    return Manifest(
        format=MANIFEST_FORMAT,
        host=work.host,
        guest=guest.name,
        identity=guest.identity,
        uuid=guest.uuid,
        moment=work.one.name,
        level=work.one.level,
        disks=records,
        xml=DOMAIN_XML,
        nvram=NVRAM if work.nvram else "",
        guest_spec=GUEST_SPEC,
        host_spec=HOST_SPEC,
        versions=Versions(
            kvmkeep=__version__,
            engine=work.seen.version or work.repository.engine,
            libvirt=facts.libvirt,
            emulator=facts.emulator,
        ),
        started=min(one.started for one in sent),
        ended=max(one.ended for one in sent),
    )


def _record(work: _Work, member: Volume) -> DiskRecord:
    disk, sent = disk_of(member), _known(work, member)
    return DiskRecord(
        disk=disk,
        source=_source(work, member),
        size=sent.size,
        object=_object(work, disk, sent),
        path=disk_path(work.guest.name, disk),
        blocks=blocks_name(disk),
        blocks_sha256=sent.sha256,
        read=sent.read,
        added=sent.added,
    )


def _source(work: _Work, member: Volume) -> str:
    """Return how the guest's definition names a disk; the spec may not have it any more."""
    volume = work.scene.volumes[member.origin]
    names = {*aliases(volume.vg, volume.name, volume.device)}
    disks = () if work.domain is None else work.domain.disks
    found = (one.source for one in disks if {one.source, one.device} & names)
    return next(found, lv_path(volume.vg, volume.name))
