"""Room for images: what is brought here must not fill the filesystem that the host runs from."""

from __future__ import annotations

from kvmkeep.model.command import SPARE, Meaning
from kvmkeep.model.facts import Facts
from kvmkeep.model.image_facts import ImageFacts
from kvmkeep.model.names import IMAGE_DIR
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Image, Packing
from kvmkeep.model.units import Size

SLACK = Size(1 << 30)
"""What an image file may be larger than the largest root disk: the metadata of qcow2."""


def within(facts: Facts, limit: Size) -> Size:
    """Return how much may be written to an image's file: `limit`, or less where less is free."""
    free = facts.images_free
    return limit if free is None else min(limit, free.minus(SPARE))


def stopped(facts: Facts, limit: Size) -> Meaning:
    """Return what a stop may mean: the disk sets the limit, or the filesystem."""
    most = within(facts, limit)
    if most >= limit:
        return outgrown(limit)
    sentence = (
        f"No more than {most} of it may be written, or {IMAGE_DIR} would have less than {SPARE}"
        f" free. If it is larger, make room there: df -h {IMAGE_DIR}"
    )
    return Meaning(words="", sentence=sentence)


def outgrown(limit: Size) -> Meaning:
    """Return what a stop may mean where the disk sets the limit: gzip and zstd say nothing."""
    sentence = (
        f"No more than {limit} of it is written: the largest root disk of its guests and {SLACK}."
        " If the image is larger, make disks.root larger."
    )
    return Meaning(words="", sentence=sentence)


def room_refusals(facts: Facts, image: Image, known: ImageFacts) -> tuple[Refusal, ...]:
    """Refuse an image that is to be brought here and can't fit, whatever it holds.

    How much it holds is not known before; what is packed holds hardly less than its own size.
    """
    free = facts.images_free
    if free is None or not comes(image, known):
        return ()
    least = known.original.fingerprint.size if known.original is not None else 0
    if free >= Size(least) + SPARE:
        return ()
    larger = f" and it is larger than {Size(least)}" if least else ""
    reason = (
        f"it is brought to {IMAGE_DIR}{larger}, but there {free} are free, of which {SPARE} stay so"
    )
    hint = f"make room on that filesystem; see: df -h {IMAGE_DIR}; ls -lh {IMAGE_DIR}"
    return (Refusal(subject=f"image {image.name}", reason=reason, hint=hint),)


def comes(image: Image, known: ImageFacts) -> bool:
    """Whether a file of the image is still to be brought or unpacked."""
    fetched = image.remote and known.original is None
    return fetched or (image.packing is not Packing.NONE and known.usable is None)
