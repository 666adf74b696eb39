"""Images of the spec: which files are there, what they are, and what was found out about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from kvmkeep.host.image_header import HEAD_SIZE, read_header
from kvmkeep.model.command import Command
from kvmkeep.model.first_look import parse_first_look
from kvmkeep.model.image_facts import Contents, Header, ImageFacts, ImageFile
from kvmkeep.model.look import LOOK_LIMIT
from kvmkeep.model.names import IMAGE_DIR, STATE_DIR
from kvmkeep.model.spec import Checksum, ChecksumList, Image, Packing
from kvmkeep.model.store import (
    LIST_LIMIT,
    fetched_path,
    list_path,
    look_path,
    part_path,
    unpacked_path,
    verified_memo,
    verified_path,
)
from kvmkeep.model.units import Size
from kvmkeep.observe.notebook import Notebook
from kvmkeep.observe.sums import Found, find_sum

_FILE = "file"
_PLACES = (IMAGE_DIR, STATE_DIR, "/var/lib", "/var")
_ARMOR = b"-----BEGIN PGP "
_BYTES = re.compile("[0-9]{1,18}")


def observe_images(notebook: Notebook, images: tuple[Image, ...]) -> tuple[ImageFacts, ...]:
    """Return what is known of each image; only regular files are opened."""
    return tuple(_image(notebook, image) for image in images)


def free_for(
    notebook: Notebook, images: tuple[Image, ...], known: tuple[ImageFacts, ...]
) -> Size | None:
    """Return what is free where images are brought; None where none is to be, or df is silent.

    Then nothing is refused: a full filesystem stops the step as well, only later. What a killed
    run left of these images counts as free: it is written again from the beginning.
    """
    if all(image.usable is not None for image in known):
        return None
    place = next((one for one in _PLACES if notebook.look(one) is not None), "/")
    argv = ("df", "--block-size=1", "--output=avail", "--", place)
    answer = notebook.door.run(Command(argv=argv, why="see what is free", timeout=5.0))
    free = answer.text.split()[-1:]
    if not (answer.ok and free and _BYTES.fullmatch(free[0])):
        return None
    parts = (part_path(path) for path in _to_come(images, known))
    # What a program writes to its stdout gets the name of the part only when it is complete.
    parts = (path for part in parts for path in (part, part_path(part)))
    return Size(int(free[0]) + sum(_taken(notebook, part) for part in parts))


def _to_come(images: tuple[Image, ...], known: tuple[ImageFacts, ...]) -> Iterator[str]:
    """Give the files that are still to be brought or unpacked."""
    for image, one in zip(images, known, strict=True):
        if image.remote and one.original is None:
            yield fetched_path(image)
        elif one.original is not None and one.usable is None:
            yield unpacked_path(image, one.original.fingerprint)


def _taken(notebook: Notebook, path: str) -> int:
    """Return what a file takes on the disk: with holes, less than its size."""
    if notebook.look(path) is None:
        return 0
    argv = ("du", "--block-size=1", "--", path)
    answer = notebook.door.run(Command(argv=argv, why="see what a killed run left", timeout=5.0))
    taken = answer.text.split()[:1]
    return int(taken[0]) if answer.ok and taken and _BYTES.fullmatch(taken[0]) else 0


def _image(notebook: Notebook, image: Image) -> ImageFacts:
    original = notebook.look(fetched_path(image) if image.remote else image.source)
    usable = original
    if image.packing is not Packing.NONE:
        usable = None
        if original is not None and original.kind == _FILE:
            usable = notebook.look(unpacked_path(image, original.fingerprint))
    wanted = _wanted(notebook, image)
    return ImageFacts(
        name=image.name,
        original=original,
        usable=usable,
        header=_header(notebook, usable),
        contents=_contents(notebook, usable),
        digest_wanted=wanted.digest,
        digest_problem=wanted.problem,
        verified=_verified(notebook, original, wanted.digest),
        keyring_is_text=wanted == Found() and _armored(notebook, image),
    )


def _armored(notebook: Notebook, image: Image) -> bool:
    keyring = image.check.keyring if isinstance(image.check, ChecksumList) else ""
    head = notebook.read(keyring, len(_ARMOR)) if keyring else None
    return head == _ARMOR


def _wanted(notebook: Notebook, image: Image) -> Found:
    if isinstance(image.check, Checksum):
        return Found(digest=f"{image.check.algorithm}:{image.check.digest.lower()}")
    path = list_path(image)
    content = notebook.read(path, LIST_LIMIT) if path else None
    if content is None:
        return Found()
    return find_sum(content.decode("utf-8", "replace"), _basename(image))


def _basename(image: Image) -> str:
    path = unquote(urlsplit(image.source).path) if image.remote else image.source
    return path.rpartition("/")[2]


def _header(notebook: Notebook, usable: ImageFile | None) -> Header | None:
    if usable is None or usable.kind != _FILE:
        return None
    head = notebook.read(usable.path, HEAD_SIZE)
    return None if head is None else read_header(head, usable.fingerprint.size)


def _contents(notebook: Notebook, usable: ImageFile | None) -> Contents | None:
    if usable is None:
        return None
    answer = notebook.read(look_path(usable.fingerprint), LOOK_LIMIT)
    if answer is None:
        return None
    try:
        return parse_first_look(answer.decode("utf-8", "replace"))
    except ValueError:
        return None  # it is looked into again


def _verified(notebook: Notebook, original: ImageFile | None, digest: str) -> bool:
    if original is None or not digest:
        return False
    memo = notebook.read(verified_path(original.fingerprint, digest), 4096)
    return memo == verified_memo(digest)
