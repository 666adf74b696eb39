"""The verdict of a proof: what the rungs mean together, and where that is kept."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from kvmkeep.model.command import WriteFile
from kvmkeep.model.names import VERDICT_DIR
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.proof import (
    AGENT,
    BLOCKS,
    CHECK,
    DISKS,
    FILESYSTEMS,
    LOGIN,
    MEMORY,
    MOUNTS,
    PARTITIONS,
    REPOSITORY,
    SCREEN,
    START,
    Proof,
    Rung,
    filesystems,
    last_screen,
    missing_mounts,
)
from kvmkeep.planning.commands import remove_tree
from kvmkeep.planning.proofs.climb import Climb, given, likeness
from kvmkeep.planning.proofs.domain import beside

_LAST = (START, AGENT, LOGIN, MOUNTS, CHECK)


def evidence_step(climb: Climb, assumes: str) -> Step:
    """Return what keeps the verdict."""
    proof = verdict(climb)
    place = _evidence(climb)
    screen = last_screen(climb.ladder.said.get(SCREEN, "").encode())
    return Step(
        noun=Noun.STORAGE,
        subject=climb.subject,
        what=f"keep the verdict in {place}.json",
        why="it is the evidence, with the times and the console's last screen",
        actions=(
            WriteFile(
                path=proof.screen, content=screen.encode(), why="keep the screen", dir_mode=0o700
            ),
            WriteFile(
                path=f"{place}.json",
                content=msgspec.json.encode(proof),
                why="keep how far it got",
                dir_mode=0o700,
            ),
            remove_tree(climb.results, "the results are in it"),
        ),
        assumes=assumes,
    )


def verdict(climb: Climb) -> Proof:
    """Return the proof: proven if each rung held.

    A guest whose agent answers is up, whether or not its console asks for a login.
    """
    ladder = climb.ladder
    disks = tuple(BLOCKS + one.disk for one in climb.parts.content.disks)
    made = given(climb)
    names = (REPOSITORY, *disks, PARTITIONS, *made, FILESYSTEMS, *_LAST)
    found = [rung for name in names if (rung := ladder.rung(name)) is not None]
    found = [rung for rung in found if not rung.passed or rung.name not in made]
    if ladder.passed(AGENT):
        found = [rung for rung in found if rung.passed or rung.name != LOGIN]
    rungs = (*_lacking(climb), *(_judged(climb, rung) for rung in found))
    proven = bool(found) and all(rung.passed for rung in rungs)
    return Proof(
        repository=climb.entry.repository,
        guest=climb.guest,
        moment=climb.entry.moment,
        time=climb.asked,
        proven=proven,
        rungs=rungs,
        screen=f"{_evidence(climb)}.screen",
        identity=climb.entry.identity,
        little=ladder.said.get(MEMORY, "").strip(),
        proven_before="" if proven else climb.proven_before,
    )


def _lacking(climb: Climb) -> tuple[Rung, ...]:
    """Return the rung that falls where the guest has disks beside those of the backup."""
    sources = {name for one in likeness(climb).disks for name in one.sources}
    found = beside(climb.xml, sources)
    text = f"not in the backup: {', '.join(found)}"
    return (Rung(name=DISKS, passed=False, seconds=0.0, detail=text),) if found else ()


def _evidence(climb: Climb) -> str:
    """Return where the verdict is kept, without an ending."""
    return f"{VERDICT_DIR}/{climb.entry.identity}/{climb.entry.moment}"


def _judged(climb: Climb, rung: Rung) -> Rung:
    """Return a rung with what its output means."""
    said = climb.ladder.said
    if rung.name == PARTITIONS and rung.passed and not filesystems(said.get(PARTITIONS, "")):
        return replace(rung, passed=False, detail="no filesystem was found on its disks")
    if rung.name == MOUNTS and rung.passed:
        detail = missing_mounts(said.get(FILESYSTEMS, ""), said.get(MOUNTS, ""))
        return replace(rung, passed=not detail, detail=detail)
    return rung
