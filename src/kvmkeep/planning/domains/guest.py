"""Guests: defined, seeded, started once, and kept as the spec says.

A guest that somebody shut down is not started again here: that is the verb `start`.
"""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.command import Action, Command, WriteFile
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.plan import Noun, Risk, Step
from kvmkeep.model.spec import FirstBoot, Guest
from kvmkeep.planning.commands import has_state, is_guest, moved, no_domain, start_command
from kvmkeep.planning.disks.files import mounted
from kvmkeep.planning.disks.stage import Stage, cloned_from, fresh, needs_seed, stage
from kvmkeep.planning.disks.storage import activation, put_in_service
from kvmkeep.planning.disks.taken import let_go
from kvmkeep.planning.domains.kept_xml import by_hand_path, kept_domain, kept_path
from kvmkeep.planning.domains.run_mark import autostart_step, starting_with_host
from kvmkeep.planning.domains.xml import domain_xml, sha256
from kvmkeep.planning.first_boot.before_boot import tell_of_seed
from kvmkeep.planning.first_boot.seed import Seed, as_clone, make_seed
from kvmkeep.planning.first_boot.seed_steps import (
    eject_seed,
    has_seed,
    insert_seed,
    make_seed_actions,
    remove_seed,
    seed_removal,
)
from kvmkeep.planning.images.image import ASSUMED, ImageSource
from kvmkeep.planning.running.waiting import first_boot_done, ready
from kvmkeep.planning.scene import Scene, active


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
    steps.append(seed_removal(scene, guest))
    return tuple(step for step in steps if step is not None)


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
        actions.extend(make_seed_actions(guest, work.seed))
        actions.append(insert_seed(guest))
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
    if guest.first_boot is FirstBoot.NONE or domain is None or not has_seed(guest, domain):
        return False
    known = scene.image_facts.get(guest.image)
    if known is None or known.contents is None:
        return True
    return known.contents.cloud_init


def _finish_step(scene: Scene, work: GuestWork) -> Step:
    guest = work.guest
    domain = scene.own_domain(guest)
    actions: list[Action] = []
    if work.seed is not None or (domain is not None and has_seed(guest, domain)):
        actions.append(eject_seed(guest, live=True))
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
