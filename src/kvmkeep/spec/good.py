"""The last spec without mistakes, kept beside: what there is to go by when nobody is there.

It holds the files as they were written, byte by byte, for root alone: they may hold passwords'
hashes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

import msgspec

from kvmkeep.errors import SpecError
from kvmkeep.host.door import Door
from kvmkeep.model.command import WriteFile
from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.names import GOOD_SPEC
from kvmkeep.model.spec import Spec
from kvmkeep.spec.load import GUEST_DIR, load_bytes

_LARGEST = 256 << 20


class GoodSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a spec by their paths in its `directory`, and when they were last used.

    The directory is an absolute path, however it was typed.
    """

    directory: str
    time: str
    files: dict[str, bytes]


def keep_good(directory: str, files: Mapping[str, bytes], time: str, door: Door) -> bool:
    """Keep the files of a spec that was just loaded, if they differ; raises OSError.

    `time` is ISO 8601. Returns whether they were kept anew.
    """
    directory = posixpath.abspath(directory)
    kept = _kept(door)
    if kept is not None and kept.directory == directory and kept.files == dict(files):
        return False
    good = GoodSpec(directory=directory, time=time, files=dict(files))
    content = msgspec.json.encode(good)
    why = "have a spec to go by when the next one has a mistake"
    door.write(WriteFile(path=GOOD_SPEC, content=content, why=why, mode=0o600, secret=True))
    return True


def loses_guests(files: Mapping[str, bytes], door: Door) -> bool:
    """Whether the spec that is kept has guests, and these files have none; raises OSError."""
    if _has_guests(files):
        return False
    kept = _kept(door)
    return kept is not None and _has_guests(kept.files)


def last_good(directory: str, door: Door) -> tuple[Spec, str] | None:
    """Return the spec that was kept of this directory, and when, if there is one that loads.

    Places in it name the directory as it was typed, as those of `load` do.
    """
    try:
        kept = _kept(door)
    except OSError:
        return None
    if kept is None or kept.directory != posixpath.abspath(directory):
        return None
    try:
        # An older kvmkeep let adopted guests share an identity: their host still has to come up.
        return load_bytes(kept.files, kept.directory, shown=directory, shared=True), kept.time
    except SpecError:  # another version of kvmkeep took it
        return None


def stand_in(
    error: SpecError, directory: str, door: Door, fallback: Spec | None
) -> tuple[Spec, str] | None:
    """Return what to go by where the spec of this directory has mistakes, and how that is told."""
    good = last_good(directory, door)
    if good is not None:
        spec, time = good
        instead = f"so this goes by the last good one, of {time}"
    elif fallback is not None:
        spec = fallback
        instead = "and no good one is kept, so this goes by the guests' own marks alone"
    else:
        return None
    first = error.message.splitlines()[0]
    told = f"the spec has mistakes, {instead}; kvmkeep validate tells all; the first is: {first}"
    return spec, told


def keep_last(
    directory: str, files: Mapping[str, bytes], time: str, door: Door, *, seen: bool
) -> str:
    """Keep the files of the spec that a run was made by; returns what is to be told, if anything.

    `seen` is whether somebody saw what the run did.
    """
    try:
        # An empty mount point looks like a spec whose guests were all removed.
        if not seen and loses_guests(files, door):
            return (
                "the spec has no guests any more: the last good one stays as it was, with some; "
                f"look whether {directory}/guests is mounted"
            )
        keep_good(directory, files, time, door)
    except OSError as error:
        return f"the spec could not be kept in {GOOD_SPEC}: {error.strerror}"
    return ""


def _has_guests(files: Mapping[str, bytes]) -> bool:
    return any(posixpath.dirname(path) == GUEST_DIR for path in files)


def _kept(door: Door) -> GoodSpec | None:
    content = door.read(GOOD_SPEC, _LARGEST)
    return None if content is None else decoded_or_none(content, GoodSpec)
