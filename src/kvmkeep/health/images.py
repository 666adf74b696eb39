"""Files of images that nothing uses any more."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.names import IMAGE_DIR
from kvmkeep.model.spec import Image, Packing
from kvmkeep.model.store import fetched_path, list_path, unpacked_path

_OURS = re.compile(r"(.+)-[0-9a-f]{8}\.(?:fetched|img|sums)(?:\.[a-z]+)*")
"""What `model/store.py` makes; a file of another name was put there by somebody."""


def image_findings(patient: Patient) -> Iterator[Finding]:
    """Return the files that were fetched or unpacked for an image as it no longer is.

    Not while a run is at work, which makes such files, nor where the packed file that an unpacked
    one is of can't be seen: it may come back.
    """
    images = patient.spec.images
    used = {path for image in images for path in _paths(patient, image)}
    hidden = {one.name for one in images if _packed(one) and _original(patient, one) is None}
    left = [
        path
        for path, name in _found(patient.vitals.image_files)
        if path not in used and name not in hidden
    ]
    if left and not patient.vitals.working:
        yield Finding(
            name="images-left",
            severity=Severity.OK,
            subject=f"images in {IMAGE_DIR}",
            what=f"{len(left)} files there are of no image as the spec has it now",
            why="they take room of the host's own filesystem",
            todo=f"rm -- {shlex.join(left)}",
        )


def _found(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Return the path of each file of ours, and the name of the image that it was made for."""
    for name in names:
        if match := _OURS.fullmatch(name):
            yield f"{IMAGE_DIR}/{name}", match[1]


def _paths(patient: Patient, image: Image) -> Iterator[str]:
    """Return where the files of an image lie as it is now."""
    yield image.source
    yield fetched_path(image)
    yield list_path(image)
    original = _original(patient, image)
    if _packed(image) and original is not None:
        yield unpacked_path(image, original.fingerprint)


def _packed(image: Image) -> bool:
    return image.packing is not Packing.NONE


def _original(patient: Patient, image: Image) -> ImageFile | None:
    known = patient.facts.image(image.name)
    return None if known is None else known.original
