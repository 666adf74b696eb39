"""A guest with a backup in a repository, on the fake host, and how a proof of it is asked for."""

from __future__ import annotations

from fakes.host import CLOUD, FakeHost, FakeImage
from fakes.virsh import xml_text
from msgspec.structs import replace

from kvmkeep.model.backup import BackupEntry, flat_path
from kvmkeep.model.backup_manifest import DiskRecord, Manifest, Versions
from kvmkeep.model.backup_policy import BackupPolicy, Engine, Keep, Repository
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import second_stamp
from kvmkeep.model.plan import Plan
from kvmkeep.model.proof import Proof
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Label
from kvmkeep.observe.proof import kept_proof, look_at_run
from kvmkeep.planning.backups.fetch import Subject
from kvmkeep.planning.proofs.prove import Proving, plan_prove
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import reach

ASKED = "2026-11-27T12:40:00Z"
MOMENT = "20261127T0130Z"
VAULT = Repository(
    name=Label("vault"),
    engine=Engine.RESTIC,
    url="/srv/vault",
    password_file="/root/backup.password",
)
POLICY = BackupPolicy(
    repository=VAULT.name, schedule="daily", keep=Keep(last=3, daily=7, weekly=5, monthly=12),
    prove="weekly", check=(),
)  # fmt: skip
PLACE = f"/var/lib/kvmkeep/backup/web/{MOMENT}"


def wanted(**changes: object) -> Spec:
    one = guest(data=GIB, backup=replace(POLICY, **changes))
    return spec(one, repositories=(VAULT,))


def a_backup(host: FakeHost, site: Spec) -> Subject:
    """Put a backup of web into the repository, as it is just now."""
    (one,) = site.guests
    disks = tuple(
        DiskRecord(
            disk=disk.name, source=f"/dev/rl_build/{disk.lv}", size=disk.size,
            object=f"0{number}" * 32, path=flat_path("web", disk.name),
            blocks=f"{disk.name}.blocks", blocks_sha256="ab" * 32, read=disk.size, added=disk.size,
        )
        for number, disk in enumerate(one.volumes)
    )  # fmt: skip
    xml = xml_text(host.libvirt.domains["web"].xml)
    manifest = Manifest(
        format=1, host=site.host.name, guest="web", identity="web", uuid=one.uuid, moment=MOMENT,
        level="frozen", disks=disks, xml="domain.xml", nvram="", guest_spec="guest.yaml",
        host_spec="host.yaml", started=ASKED, ended=ASKED,
        versions=Versions(kvmkeep="1", engine="restic 0.14", libvirt="9", emulator="7"),
    )  # fmt: skip
    entry = BackupEntry(
        repository="vault", guest="web", identity="web", moment=MOMENT, level="frozen",
        manifest="ff" * 32, path=PLACE, time=ASKED, host=site.host.name, size=disks[0].size,
        added=disks[0].size, disks=(),
    )  # fmt: skip
    objects = {one.object: {one.path: one.disk.encode()} for one in disks}
    objects[entry.manifest] = {f"{PLACE}/{one.blocks}": b"list" for one in disks}
    objects[entry.manifest][f"{PLACE}/nvram.fd"] = b"variables"
    host.proof.repository.objects = objects
    return Subject(repository=VAULT, entry=entry, manifest=manifest, xml=xml)


def site_with_backup(
    host: FakeHost | None = None, **changes: object
) -> tuple[FakeHost, Spec, Subject]:
    """Return a host with web running, and a backup of it."""
    made = FakeHost() if host is None else host
    made.add_image(IMAGE.source, FakeImage("raw", 2 * GIB, CLOUD))
    site = wanted(**changes)
    reach(made, site)
    return made, site, a_backup(made, site)


def proving(host: FakeHost, subject: Subject, asked: str = ASKED) -> Proving:
    """Look how far a proof is."""
    run = second_stamp(asked)
    seen = look_at_run(host, "web", run)
    return Proving(
        subject=subject, asked=asked, run=run, ladder=seen.ladder, stray=seen.stray,
        known=kept_proof(host, "web", subject.entry.moment),
    )  # fmt: skip


def prover(host: FakeHost, subject: Subject, asked: str = ASKED):  # noqa: ANN201 - a planner
    def plan(site: Spec, facts: Facts) -> Plan:
        return plan_prove(site, facts, proving(host, subject, asked))

    return plan


def prove(host: FakeHost, site: Spec, subject: Subject, asked: str = ASKED) -> Proof:
    """Prove a backup to the end, and return the verdict."""
    reach(host, site, prover(host, subject, asked))
    kept = kept_proof(host, "web", subject.entry.moment)
    assert kept is not None
    return kept


def leftovers(host: FakeHost) -> list[str]:
    """Return what there is of a proof beside its verdict."""
    names = [one for one in host.lvm.volumes if "proof" in one]
    names += [one for one in host.libvirt.domains if "proof" in one]
    names += [one for one in host.nm.links if "kkproof" in one]
    names += [*host.proof.services, *(one for one in host.mounts if "proof" in one)]
    return names + [path for path in host.files if "/proof/" in path or "-proof-" in path]
