"""What comes back of a guest besides its disks: definition, firmware's variables, file of the spec.

Only what is not there comes back, and after the disks: a guest of the spec without disks would be
made from its image.
"""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.plan import Noun, Risk, Step
from kvmkeep.model.spec import Guest
from kvmkeep.planning.backups.fetch import Subject, tidy
from kvmkeep.planning.backups.returned_domain import Returned
from kvmkeep.planning.commands import no_domain
from kvmkeep.planning.domains.kept_xml import keep_definition
from kvmkeep.planning.domains.run_mark import starting_with_host
from kvmkeep.planning.repositories.engine import driver
from kvmkeep.planning.scene import Scene

_VARIABLES = 64 << 20
"""Bytes that a firmware's variables may have; those of OVMF are half a MiB to some MiB."""


class Lost(Struct, frozen=True, kw_only=True):
    """A guest of which something may be lost. `file` and `content` are those of its file.

    `stays_off`: it is not started before somebody says so, though it starts with the host.
    """

    subject: Subject
    guest: Guest
    definition: Returned
    folder: str
    file: str
    content: bytes
    stays_off: bool


def return_steps(scene: Scene, lost: Lost) -> tuple[Step, ...]:
    """Return what brings back what is not there."""
    return (*_definition_steps(scene, lost), *_spec_steps(scene, lost))


def _definition_steps(scene: Scene, lost: Lost) -> tuple[Step, ...]:
    guest = lost.guest
    if guest.name in scene.domains:
        return ()
    path = f"{lost.folder}/domain.xml"
    write = WriteFile(
        path=path,
        content=lost.definition.xml.encode(),
        why="write its definition to a file",
        dir_mode=0o700,
    )
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {guest.name}",
            what="define it as it was at the backup",
            why="libvirt does not know it; it stays off: kvmkeep start starts it",
            probe=no_domain(guest.name),
            actions=(
                *_variables(scene, lost),
                write,
                Command(argv=("virsh", "define", "--", path), why="define it in libvirt again"),
                *starting_with_host(
                    guest,
                    None,
                    on=guest.run.autostart,
                    by_units=scene.facts.units.take_over,
                    stays_off=lost.stays_off,
                ),
                keep_definition(scene.spec, guest),
            ),
            finally_=(tidy(lost.folder),),
            risk=Risk.GUEST,
        ),
    )


def _variables(scene: Scene, lost: Lost) -> tuple[Command, ...]:
    """Return what puts the firmware's variables back; those that are there are kept beside."""
    path, subject = lost.definition.nvram, lost.subject
    if not path or not subject.manifest.nvram:
        return ()
    entry, name = subject.entry, subject.manifest.nvram
    words = driver(subject.repository, scene.facts.units.command)
    aside = ("mv", "--backup=numbered", "--no-target-directory", "--", path, f"{path}.old")
    return (
        # 1: there are none.
        Command(argv=aside, why="keep what is left of its firmware's variables", ok=(0, 1)),
        words.fetch(
            entry.manifest, f"{entry.path}/{name}", path, _VARIABLES,
            "put its firmware's variables back",
        ),
    )  # fmt: skip


def _spec_steps(scene: Scene, lost: Lost) -> tuple[Step, ...]:
    guest = lost.guest
    if not lost.file or any(one.name == guest.name for one in scene.spec.guests):
        return ()
    file = WriteFile(
        path=lost.file,
        content=lost.content,
        why="from now on it is a guest of the spec again",
        secret=guest.secret,
    )
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {guest.name}",
            what=f"write {lost.file} as it was at the backup",
            why="the spec does not have it",
            actions=(file,),
        ),
    )
