"""Whether an image boots under the firmware that its guest is to have.

Where it doesn't, nobody would say so: the firmware finds nothing, and the first boot never ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.model.plan import Note, Refusal
from kvmkeep.model.spec import Firmware, Guest
from kvmkeep.model.units import Label
from kvmkeep.planning.disks.stage import cloned_from, needs_image
from kvmkeep.planning.domains.firmware_choice import firmware_of
from kvmkeep.planning.images.image import ImageWork
from kvmkeep.planning.scene import Scene


def boot_refusals(scene: Scene, works: dict[Label, ImageWork]) -> tuple[Refusal, ...]:
    """Refuse new guests whose image boots by the other firmware alone; a file may insist on it."""
    found: list[Refusal] = []
    for guest, boots in _new(scene, works):
        wanted = firmware_of(scene.spec, guest)
        if guest.firmware is None and boots and wanted not in boots:
            other = boots[0]
            reason = (
                f"image {guest.image} boots by {other.name} alone, and the base template has "
                f"{_a(wanted)}"
            )
            hint = f"write `firmware: {other}` into its file, or use another image"
            found.append(Refusal(subject=f"guest {guest.name}", reason=reason, hint=hint))
    return tuple(found)


def boot_notes(scene: Scene, works: dict[Label, ImageWork]) -> tuple[Note, ...]:
    """Tell of new guests whose firmware seems to find nothing to boot."""
    notes: list[Note] = []
    for guest, boots in _new(scene, works):
        wanted = firmware_of(scene.spec, guest)
        if wanted not in boots and (guest.firmware is not None or not boots):
            text = (
                f"nothing was found in image {guest.image} that {wanted.name} boots: if so, its "
                "first boot never ends, and its console stays empty; more is told by: "
                f"kvmkeep inspect {guest.image}"
            )
            notes.append(Note(subject=f"guest {guest.name}", text=text))
    return tuple(notes)


def _new(
    scene: Scene, works: dict[Label, ImageWork]
) -> Iterator[tuple[Guest, tuple[Firmware, ...]]]:
    """Return guests whose root disk is to be written, and what is known to boot their images."""
    for guest in scene.guests:
        work = works.get(guest.image)
        if work is None or cloned_from(scene, guest) or not needs_image(scene, guest):
            continue
        if work.source.contents.boots is not None:
            yield guest, work.source.contents.boots


def _a(firmware: Firmware) -> str:
    return "a BIOS" if firmware is Firmware.BIOS else "UEFI"
