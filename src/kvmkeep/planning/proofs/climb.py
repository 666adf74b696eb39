"""A proof on its way: what all of its steps go by, and what the guest that it starts is made of."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.backup import BackupEntry
from kvmkeep.model.proof import (
    OVERLAY,
    VARIABLES,
    Ladder,
    proof_bridge,
    proof_console,
    proof_lv,
    proof_run_dir,
    proof_uuid,
)
from kvmkeep.model.units import Size
from kvmkeep.planning.proofs.domain import Likeness, ProofDisk, memory_of
from kvmkeep.planning.proofs.parts import Parts, results_dir
from kvmkeep.planning.scene import Scene, aliases


class Climb(Struct, frozen=True, kw_only=True):
    """A proof on its way. `asked` is when it was asked for (ISO 8601), `run` its directory's name.

    `program` is kvmkeep's path. `patience` is in seconds: how long the guest may take to be up.
    `check` is the user's own command in the guest; empty for none. `memory` is the most that the
    guest may have. `proven_before` is when this backup was last proven; empty for never.
    """

    scene: Scene
    parts: Parts
    entry: BackupEntry
    xml: str
    asked: str
    run: str
    program: str
    patience: int
    check: tuple[str, ...]
    memory: Size
    ladder: Ladder
    proven_before: str

    @property
    def guest(self) -> str:
        """Whose backup it is."""
        return self.parts.guest

    @property
    def subject(self) -> str:
        """What the steps are about."""
        return f"backup {self.guest}@{self.entry.moment}"

    @property
    def little(self) -> str:
        """How much of its memory the guest gets, where that is less than all."""
        wanted = memory_of(self.xml)
        return f"{self.memory} of {wanted}" if self.memory < wanted else ""

    @property
    def results(self) -> str:
        """Where the results are kept meanwhile."""
        return results_dir(self.guest, self.run)

    @property
    def overlays(self) -> tuple[str, ...]:
        """The names of the overlays' LVs."""
        return tuple(proof_lv(self.guest, one.disk) for one in self.parts.content.disks)


def given(climb: Climb) -> tuple[str, ...]:
    """Return the rungs by which the guest is given what is in the backup: without, no start."""
    return (*opened(climb), VARIABLES) if climb.parts.content.nvram else opened(climb)


def opened(climb: Climb) -> tuple[str, ...]:
    """Return the rungs by which its disks can be opened, with what is written beside them."""
    return tuple(OVERLAY + one.disk for one in climb.parts.content.disks)


def likeness(climb: Climb) -> Likeness:
    """Return what the guest that is started is made of."""
    parts = climb.parts
    disks = tuple(
        ProofDisk(
            sources=_names(one.source),
            overlay=parts.overlay(one.disk),
            backing=parts.data(one.disk),
        )
        for one in parts.content.disks
    )
    return Likeness(
        guest=climb.guest,
        xml=climb.xml,
        uuid=proof_uuid(parts.host, climb.guest),
        disks=disks,
        memory=climb.memory,
        cpus=climb.scene.facts.cpus,
        bridge=proof_bridge(climb.guest),
        console=proof_console(climb.guest),
        nvram=nvram_copy(climb),
    )


def _names(source: str) -> tuple[str, ...]:
    """Return the names of a disk in a definition: an LV has two."""
    words = source.removeprefix("/dev/").split("/")
    return aliases(words[0], words[1], "") if len(words) == 2 else (source,)


def nvram_copy(climb: Climb) -> str:
    """Return where it has its own variables of its firmware; empty where the backup has none."""
    content = climb.parts.content
    return f"{proof_run_dir(climb.guest)}/nvram.fd" if content.nvram else ""
