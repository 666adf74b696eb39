"""What is kept of a removed guest besides its LVs."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.run_mark import NO_RUN_MARK, RunMark


class KeptDomain(Struct, frozen=True, kw_only=True):
    """The definition of a removed guest. `sources` are those of its disks; `ours` as of Domain.

    `variables` is the file that libvirt takes for those of its firmware, if it has any.
    """

    name: str
    uuid: str
    ours: bool
    sources: tuple[str, ...]
    variables: str = ""
    run_mark: RunMark = NO_RUN_MARK


class TrashFolder(Struct, frozen=True, kw_only=True):
    """A folder of the trash: `name` is GUEST-STAMP, `files` are names.

    `domain` is None where no definition was kept, or it can't be read: then `problem` says why.
    """

    name: str
    files: tuple[str, ...]
    domain: KeptDomain | None
    problem: str = ""
