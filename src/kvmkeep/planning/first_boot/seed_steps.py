"""What makes a guest's seed, has it in the guest's drive while it is needed, and deletes it."""

from __future__ import annotations

from kvmkeep.model.command import Action, Command, WriteFile
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.names import SEED_DIR, STATE_DIR, seed_path
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import GuestName
from kvmkeep.planning.commands import remove_tree
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.domains.xml import CDROM
from kvmkeep.planning.first_boot.seed import Seed
from kvmkeep.planning.scene import Scene, active


def make_seed_actions(guest: Guest, seed: Seed) -> list[Action]:
    """Return what makes a seed of its files, as the file that QEMU reads."""
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


def insert_seed(guest: Guest) -> Command:
    """Return what puts a guest's seed into its drive."""
    # --update, not --insert: it also does where an interrupted run has inserted a seed before.
    return Command(
        argv=(
            "virsh", "change-media", "--domain", guest.name, "--path", CDROM,
            "--source", seed_path(guest.name), "--update", "--config",
        ),
        why="put the seed into the drive",
    )  # fmt: skip


def eject_seed(guest: Guest, *, live: bool) -> Command:
    """Return what takes a guest's seed out of its drive."""
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


def seed_removal(scene: Scene, guest: Guest) -> Step | None:
    """Delete a seed that a guest in service still has on the host: it may hold a password hash."""
    if guest.name not in scene.seeds or fresh(scene, guest):
        return None
    domain = scene.own_domain(guest)
    actions: list[Action] = []
    if domain is not None and has_seed(guest, domain):
        actions.append(eject_seed(guest, live=active(domain)))
    actions.append(remove_seed(guest.name))
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="delete the seed that is left over",
        why="the guest's first boot is done",
        actions=tuple(actions),
    )


def has_seed(guest: Guest, domain: Domain) -> bool:
    """Whether a domain has the guest's seed in a drive."""
    return any(disk.source == seed_path(guest.name) for disk in domain.disks)
