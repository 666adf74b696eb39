"""A vendor's checksum file: GNU and BSD lines, as coreutils and BSD's digest tools write them."""

from __future__ import annotations

import re

from msgspec import Struct

from kvmkeep.model.spec import Algorithm
from kvmkeep.model.text import printable

_GNU = re.compile(r"(?P<hex>[0-9A-Fa-f]{32,128}) [ *](?P<name>\S.*)")
_BSD = re.compile(r"(?P<tag>[A-Z0-9/-]{2,12}) \((?P<name>.+)\) = (?P<hex>[0-9A-Fa-f]{32,128})")

_BY_LENGTH = {64: Algorithm.SHA256, 128: Algorithm.SHA512}
# BSD lines name the algorithm: SHA512/256 and BLAKE2 have the lengths of others.
_TAGS = {"SHA256": Algorithm.SHA256, "SHA512": Algorithm.SHA512}


class Found(Struct, frozen=True, kw_only=True):
    """The checksum that a list asks for (`algorithm:hex`), or why it gives none."""

    digest: str = ""
    problem: str = ""


def find_sum(text: str, name: str) -> Found:
    """Return the checksum of the file of that name; directories in the list do not matter.

    There must be exactly one, or one of each algorithm: then the longer one counts.
    """
    found: dict[Algorithm, set[str]] = {}
    weak = False
    for line in text.splitlines():
        entry = _entry(line.rstrip())
        if entry is None or entry[0].rpartition("/")[2] != name:
            continue
        algorithm, digest = entry[1], entry[2]
        if algorithm is None:
            weak = True
        else:
            found.setdefault(algorithm, set()).add(digest)
    shown = printable(name)
    if any(len(digests) > 1 for digests in found.values()):
        return Found(problem=f"the checksum list gives more than one checksum for {shown}")
    for algorithm in (Algorithm.SHA512, Algorithm.SHA256):
        for digest in found.get(algorithm, ()):
            return Found(digest=f"{algorithm}:{digest}")
    if weak:
        return Found(
            problem=f"the checksum list has no SHA-256 or SHA-512 of {shown}; only these count"
        )
    return Found(problem=f"the checksum list does not name {shown}")


def _entry(line: str) -> tuple[str, Algorithm | None, str] | None:
    """Return a line's name, algorithm (None: one that does not count) and checksum."""
    if match := _BSD.fullmatch(line):
        algorithm = _TAGS.get(match["tag"])
    elif match := _GNU.fullmatch(line):
        algorithm = _BY_LENGTH.get(len(match["hex"]))
    else:
        return None
    digest = match["hex"].lower()
    if algorithm is not None and _BY_LENGTH.get(len(digest)) is not algorithm:
        return None
    return match["name"], algorithm, digest
