"""Guests: defined, seeded, started once, and kept as the spec says.

A guest that somebody shut down is not started again here: that is the verb `start`.
"""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.command import Action, Command, WriteFile
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.names import SEED_DIR, STATE_DIR, seed_path
from kvmkeep.model.plan import Noun, Risk, Step
from kvmkeep.model.spec import FirstBoot, Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning.commands import has_state, moved, remove_tree
from kvmkeep.planning.disks.files import mounted
from kvmkeep.planning.disks.stage import Stage, cloned_from, fresh, needs_seed, stage
from kvmkeep.planning.disks.storage import activation, put_in_service
from kvmkeep.planning.disks.taken import let_go
from kvmkeep.planning.domains.run_mark import starting_with_host
from kvmkeep.planning.domains.xml import CDROM, domain_xml, sha256
from kvmkeep.planning.first_boot.before_boot import tell_of_seed
from kvmkeep.planning.first_boot.seed import Seed, as_clone, make_seed
from kvmkeep.planning.images.image import ASSUMED, ImageSource
from kvmkeep.planning.running.waiting import first_boot_done, ready
from kvmkeep.planning.scene import Known, Scene, active, disks_in


class GuestWork(Struct, frozen=True, kw_only=True):
    """A guest with what it is made from: its image and seed, where they still matter."""

    guest: Guest
    source: ImageSource | None
    seed: Seed | None

    @property
    def assumes(self) -> str:
        """What the guest's steps take for granted."""
        return self.source.assumes if self.source is not None else ""


def guest_work(scene: Scene, guest: Guest, source: ImageSource | None) -> GuestWork:
    """Return a guest beside its image, if it still matters, and the seed made for it."""
    seeded = needs_seed(scene, guest)
    if seeded and cloned_from(scene, guest):
        # Any image does: cloud-init of the copy was told where to look for a seed.
        seed = make_seed(as_clone(guest), ASSUMED, scene.networks)
        return GuestWork(guest=guest, source=None, seed=seed)
    if source is None or not seeded:
        return GuestWork(guest=guest, source=source, seed=None)
    seed = make_seed(guest, source.contents, scene.networks)
    return GuestWork(guest=guest, source=source, seed=seed)


def drop_in(scene: Scene, work: GuestWork) -> Command | None:
    """Return what tells cloud-init of a seed, inside the guest's own copy of the image."""
    if work.seed is None or not work.seed.drop_in:
        return None
    return tell_of_seed(scene, work.guest)


def begin_steps(scene: Scene, work: GuestWork) -> tuple[Step, ...]:
    """Return what defines a guest, and begins its first boot."""
    guest = work.guest
    steps = [_define_step(scene, work)]
    if fresh(scene, guest):
        steps.append(_start_step(scene, work))
    return tuple(step for step in steps if step is not None)


def finish_steps(scene: Scene, work: GuestWork) -> tuple[Step, ...]:
    """Return what waits for a guest's first boot, and puts it in service."""
    guest = work.guest
    domain = scene.own_domain(guest)
    steps: list[Step | None] = []
    if fresh(scene, guest):
        steps.extend((_wait_step(scene, work), _finish_step(scene, work)))
    steps.append(_autostart_step(scene, work, domain))
    steps.append(_seed_removal(scene, guest))
    return tuple(step for step in steps if step is not None)


def kept_domain(scene: Scene, guest: Guest) -> Domain | None:
    """Return what a guest in service is defined from again, if libvirt has lost its definition.

    The file of a guest that is to be made anew is of one that is no more.
    """
    saved = scene.saved.get(guest.name)
    kept = saved.domain if saved is not None else None
    there = scene.domain(guest)
    defined = there is not None and there.persistent
    if kept is None or not kept.ours or defined or fresh(scene, guest):
        return None
    names = {disk.source for disk in kept.disks}
    whole = (
        (kept.name, kept.uuid) == (guest.name, guest.uuid)
        and all(disk.format == "raw" for disk in kept.disks if disk.source)
        and all(disks_in(scene, kept, disk) for disk in guest.disks)
        and seed_path(guest.name) not in names
    )
    return kept if whole else None


def kept_path(spec: Spec, guest: Guest) -> str:
    """Return the file that keeps a guest's XML."""
    return f"{spec.xml_dir}/{guest.name}.xml"


def by_hand_path(spec: Spec, guest: Guest) -> str:
    """Return where a file is kept that others have written in the place of that."""
    return f"{spec.xml_dir}/{guest.name}.by-hand.xml"


def start_command(guest: Guest) -> Command:
    """Return what starts a guest."""
    return Command(argv=("virsh", "start", "--", guest.name), why="start the guest", timeout=300.0)


def is_guest(guest: Known) -> Command:
    """Succeed only while the domain of that name is this guest."""
    return Command(
        argv=("virsh", "domuuid", "--", guest.name),
        why="see that the domain is still this guest",
        expect=guest.uuid,
    )


def no_domain(name: str) -> Command:
    """Succeed only while there is no domain of that name."""
    # virsh(1) ends with 1 for each kind of error; then whatever comes next fails as well.
    return Command(
        argv=("virsh", "domuuid", "--", name),
        why="see that there is still no domain of that name",
        ok=(1,),
    )


def _define_step(scene: Scene, work: GuestWork) -> Step | None:
    guest = work.guest
    domain = scene.own_domain(guest)
    if domain is not None and (active(domain) or not fresh(scene, guest)):
        return None
    actions = _define_from_kept(scene, guest) or _define_anew(scene, guest)
    if not actions:
        return None
    path = kept_path(scene.spec, guest)
    probe = is_guest(guest)
    if domain is None:
        probe = no_domain(guest.name)
    lost = stage(scene, guest, guest.root) is Stage.SERVICE
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"define guest {guest.name}" + (f" from {path}" if len(actions) == 1 else ""),
        why="its disks are there, but libvirt does not know it"
        if lost
        else "libvirt runs it from now on",
        probe=probe,
        actions=actions,
        assumes=work.assumes,
    )


def _define_from_kept(scene: Scene, guest: Guest) -> tuple[Action, ...]:
    if kept_domain(scene, guest) is None:
        return ()
    # Without --validate: libvirt prints more than its own schema allows.
    argv = ("virsh", "define", "--", kept_path(scene.spec, guest))
    return (Command(argv=argv, why="make the guest known to libvirt again"),)


def _define_anew(scene: Scene, guest: Guest) -> tuple[Action, ...]:
    """Return nothing where that is done already, or where the guest was not made here."""
    if guest.adopted:
        return ()
    young = fresh(scene, guest)
    xml = domain_xml(scene.spec, guest, scene.networks, scene.facts.emulator, young=young)
    saved = scene.saved.get(guest.name)
    if scene.own_domain(guest) is not None and saved is not None and saved.sha256 == sha256(xml):
        return ()
    path = kept_path(scene.spec, guest)
    return (
        *_unused(scene, guest),
        WriteFile(
            path=path, content=xml.encode(), why="keep the guest's XML at hand", dir_mode=0o700
        ),
        Command(
            argv=("virsh", "define", "--validate", "--", path),
            why="make the guest known to libvirt",
        ),
    )


def _unused(scene: Scene, guest: Guest) -> tuple[Action, ...]:
    """Return what sets the kept file aside of a guest that has lost its definition.

    It does not name what the guest has now, or is torn: but others' work may stand in it.
    """
    saved = scene.saved.get(guest.name)
    if saved is None or fresh(scene, guest) or stage(scene, guest, guest.root) is not Stage.SERVICE:
        return ()
    why = "it is not used, but may tell what others have changed"
    return (moved(saved.path, by_hand_path(scene.spec, guest), why),)


def _start_step(scene: Scene, work: GuestWork) -> Step | None:
    guest = work.guest
    domain = scene.own_domain(guest)
    if domain is not None and active(domain):
        return None
    actions: list[Action] = []
    what = "start it for the first time"
    if work.seed is not None:
        actions.extend(_make_seed(guest, work.seed))
        actions.append(_insert(guest))
        what += f" (seed: {work.seed.kind.name.lower().replace('_', '')})"
    actions.extend((*mounted(guest), *activation(scene, guest), *let_go(scene, guest)))
    actions.append(start_command(guest))
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=what,
        why="it makes itself what the spec says: accounts, keys, addresses",
        probe=has_state(guest, DomainState.SHUTOFF if domain is None else domain.state),
        actions=tuple(actions),
        risk=Risk.GUEST,
        assumes=work.assumes,
    )


def _wait_step(scene: Scene, work: GuestWork) -> Step:
    guest = work.guest
    domain = scene.own_domain(guest)
    waits = work.seed.waits if work.seed is not None else _waits(scene, guest, domain)
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="wait until its first boot is done and it is ready"
        if waits
        else "wait until it is ready",
        why="only then it can do without its seed",
        probe=is_guest(guest),
        actions=((first_boot_done(guest),) if waits else ()) + ready(guest),
        assumes=work.assumes,
    )


def _waits(scene: Scene, guest: Guest, domain: Domain | None) -> bool:
    """Whether a guest that runs already will tell of its first boot: while it has its seed."""
    if guest.first_boot is FirstBoot.NONE or domain is None or not _has_seed(guest, domain):
        return False
    known = scene.image_facts.get(guest.image)
    if known is None or known.contents is None:
        return True
    return known.contents.cloud_init


def _finish_step(scene: Scene, work: GuestWork) -> Step:
    guest = work.guest
    domain = scene.own_domain(guest)
    actions: list[Action] = []
    if work.seed is not None or (domain is not None and _has_seed(guest, domain)):
        actions.append(_eject(guest, live=True))
    if guest.first_boot is not FirstBoot.NONE:
        actions.append(remove_seed(guest.name))
    actions.append(put_in_service(scene, guest))
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="put it in service",
        why="its first boot is done, and the seed holds what nobody else should read",
        probe=is_guest(guest),
        actions=tuple(actions),
        risk=Risk.GUEST,
        assumes=work.assumes,
    )


def _make_seed(guest: Guest, seed: Seed) -> list[Action]:
    work = f"{SEED_DIR}/{guest.name}"
    part = f"{work}/seed.iso"
    # QEMU's user must get through to the seed, but sees no names; the files are root's alone.
    actions: list[Action] = [
        Command(
            argv=("rm", "--recursive", "--force", "--", work, seed_path(guest.name)),
            why="remove what an interrupted run left",
        ),
        Command(
            argv=("install", "--directory", "--mode=0711", "--", STATE_DIR, SEED_DIR),
            why="make the directory for seeds",
        ),
        Command(
            argv=("install", "--directory", "--mode=0700", "--", work),
            why="make a directory that only root can read",
        ),
    ]
    actions.extend(
        WriteFile(
            path=f"{work}/files/{name}",
            content=text.encode(),
            why="what the guest reads at its first boot",
            dir_mode=0o700,
            secret=name.endswith(("user_data", "user-data")),
        )
        for name, text in seed.files
    )
    actions += [
        Command(
            argv=(
                "xorriso", "-as", "mkisofs", "-quiet", "-o", part, "-V", seed.kind.value,
                "-J", "-r", f"{work}/files",
            ),
            why="make a CD-ROM of it",
        ),
        Command(argv=("chmod", "0600", "--", part), why="only root and QEMU may read it"),
        Command(
            argv=("mv", "--no-target-directory", "--", part, seed_path(guest.name)),
            why="now it counts",
        ),
        remove_tree(work, "leave no copy"),
    ]  # fmt: skip
    return actions


def _insert(guest: Guest) -> Command:
    # --update, not --insert: it also does where an interrupted run has inserted a seed before.
    return Command(
        argv=(
            "virsh", "change-media", "--domain", guest.name, "--path", CDROM,
            "--source", seed_path(guest.name), "--update", "--config",
        ),
        why="put the seed into the drive",
    )  # fmt: skip


def _eject(guest: Guest, *, live: bool) -> Command:
    # --force: libvirt gives a guest 5 s to open the drive (CHANGE_MEDIA_TIMEOUT in its
    # qemu_hotplug.c); a busy one takes longer. Nothing is lost: the seed is read-only, and read.
    flags = ("--live", "--force") if live else ()
    return Command(
        argv=(
            "virsh", "change-media", "--domain", guest.name, "--path", CDROM, "--eject",
            "--config", *flags,
        ),
        why="take the seed out of the drive",
    )  # fmt: skip


def remove_seed(name: GuestName) -> Command:
    """Return what deletes a guest's seed, and what an interrupted run left of making it."""
    argv = ("rm", "--recursive", "--force", "--", f"{SEED_DIR}/{name}", seed_path(name))
    return Command(argv=argv, why="delete the seed")


def _seed_removal(scene: Scene, guest: Guest) -> Step | None:
    """Delete a seed that a guest in service still has on the host: it may hold a password hash."""
    if guest.name not in scene.seeds or fresh(scene, guest):
        return None
    domain = scene.own_domain(guest)
    actions: list[Action] = []
    if domain is not None and _has_seed(guest, domain):
        actions.append(_eject(guest, live=active(domain)))
    actions.append(remove_seed(guest.name))
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="delete the seed that is left over",
        why="the guest's first boot is done",
        actions=tuple(actions),
    )


def _has_seed(guest: Guest, domain: Domain) -> bool:
    return any(disk.source == seed_path(guest.name) for disk in domain.disks)


def autostart_step(
    guest: Known, actions: tuple[Command, ...], *, on: bool, why: str, assumes: str = ""
) -> Step:
    """Return the step that has a guest start with the host, or not, by some actions."""
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"have it {'start' if on else 'not start'} with the host",
        why=why,
        probe=is_guest(guest),
        actions=actions,
        assumes=assumes,
    )


def _autostart_step(scene: Scene, work: GuestWork, domain: Domain | None) -> Step | None:
    guest = work.guest
    wanted = guest.run.autostart
    lost = guest.adopted and domain is None and kept_domain(scene, guest) is None
    by_units = scene.facts.units.take_over
    actions = starting_with_host(guest, domain, on=wanted, by_units=by_units)
    if not actions or lost:
        return None
    why = f"the spec says autostart: {'true' if wanted else 'false'}"
    return autostart_step(guest, actions, on=wanted, why=why, assumes=work.assumes)
