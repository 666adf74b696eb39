"""How far a proof is, and what others have left: its results, each in a file of its own."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.host.door import Door
from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.names import PROOF_RUN_DIR, VERDICT_DIR
from kvmkeep.model.proof import (
    FILESYSTEMS,
    MEMORY,
    MOUNTS,
    PARTITIONS,
    SCREEN,
    Ladder,
    Proof,
    last_screen,
    parse_rung,
)
from kvmkeep.model.units import GuestName, parse_guest_name

_LIMIT = 256 << 10
_SAID = (PARTITIONS, FILESYSTEMS, MEMORY, MOUNTS, SCREEN)


class Progressed(Struct, frozen=True, kw_only=True):
    """What is there of a run of a proof; `stray` are guests and runs of others."""

    ladder: Ladder
    stray: tuple[tuple[str, str], ...]


def look_at_run(door: Door, guest: str, run: str) -> Progressed:
    """Return how far a run is; raises OSError where its files can't be read."""
    place = f"{PROOF_RUN_DIR}/{guest}/{run}"
    names = door.names(place)
    rungs = (
        parse_rung(door.read(f"{place}/{name}", _LIMIT) or b"")
        for name in names
        if name.endswith(".json")
    )
    said = {
        name: (door.read(f"{place}/{name}.out", _LIMIT) or b"").decode("utf-8", "replace")
        for name in _SAID
        if f"{name}.out" in names
    }
    return Progressed(
        ladder=Ladder(rungs=tuple(one for one in rungs if one is not None), said=said),
        stray=tuple(
            (other, one)
            for other in _guests(door)
            for one in door.names(f"{PROOF_RUN_DIR}/{other}")
            if (other, one) != (guest, run)
        ),
    )


def _guests(door: Door) -> tuple[GuestName, ...]:
    found: list[GuestName] = []
    for name in door.names(PROOF_RUN_DIR):
        try:
            found.append(parse_guest_name(name))
        except ValueError:
            continue  # not ours
    return tuple(found)


def kept_proof(door: Door, identity: str, moment: str) -> Proof | None:
    """Return the verdict on a guest's backup, or None where there is none that can be read."""
    try:
        content = door.read(f"{VERDICT_DIR}/{identity}/{moment}.json", _LIMIT) or b""
    except OSError:
        return None
    return decoded_or_none(content, Proof)


def kept_screen(door: Door, identity: str, moment: str) -> str:
    """Return what the console showed last in a proof, harmless; empty where it can't be read."""
    try:
        content = door.read(f"{VERDICT_DIR}/{identity}/{moment}.screen", _LIMIT) or b""
    except OSError:
        return ""
    return last_screen(content)
