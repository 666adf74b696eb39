"""Where the images' working files lie in the image directory: derived, so that both sides agree.

A file is complete exactly when it bears its name: until then it ends in `.part`. Each name holds
a short hash of what the file was made from, so a changed spec never meets an old file.
"""

from __future__ import annotations

import hashlib

from kvmkeep.model.image_facts import Fingerprint
from kvmkeep.model.names import IMAGE_DIR
from kvmkeep.model.spec import Checksum, ChecksumList, Image

PART = ".part"
"""Ending of a file that is not complete yet; it may be written again from the beginning."""

LIST_LIMIT = 16 << 20
"""Bytes of a checksum list that are fetched and read at the most."""
VERIFIED_DIR = IMAGE_DIR + "/verified"
LOOK_DIR = IMAGE_DIR + "/looks"


def part_path(path: str) -> str:
    """Return where a file is written until it is complete."""
    return path + PART


def fetched_path(image: Image) -> str:
    """Return where the download of a remote image lies.

    It depends on the name, the URL and the checksum in the spec: a maker may publish another file
    under the same URL.
    """
    origin = image.source
    if isinstance(image.check, Checksum):
        origin += f"\n{image.check.algorithm}:{image.check.digest.lower()}"
    return f"{IMAGE_DIR}/{image.name}-{_short(origin)}.fetched"


def found_path(image: Image) -> str:
    """Return where the checksum that an image's file has is kept until it has been compared."""
    return f"{IMAGE_DIR}/{image.name}.found"


def list_path(image: Image) -> str:
    """Return where the verified checksum list lies, or nothing where the spec names no list.

    It depends on everything that vouches for the list: its source, signature and keyring.
    """
    if not isinstance(image.check, ChecksumList):
        return ""
    check = image.check
    origin = f"{image.source}\n{check.source}\n{check.signature}\n{check.keyring}"
    return f"{IMAGE_DIR}/{image.name}-{_short(origin)}.sums"


def unpacked_path(image: Image, original: Fingerprint) -> str:
    """Return where the unpacked copy of a packed image lies, given the packed file's fingerprint.

    The packing belongs to the name: the same bytes unpacked otherwise are another file.
    """
    return f"{IMAGE_DIR}/{image.name}-{_short(f'{image.packing}/{original}')}.img"


def verified_path(file: Fingerprint, digest: str) -> str:
    """Return the memo that just this file had just this checksum (`algorithm:hex`).

    Its content is the checksum and a newline; a memo with another content does not count.
    """
    return f"{VERIFIED_DIR}/{_long(f'{file}/{digest}')}"


def verified_memo(digest: str) -> bytes:
    """Return the content of the memo for a checksum."""
    return digest.encode() + b"\n"


def look_path(file: Fingerprint) -> str:
    """Return where the answer of the look into just this file is kept."""
    return f"{LOOK_DIR}/{_long(str(file))}.txt"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _long(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
