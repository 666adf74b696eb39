"""The plans of `backup prune` and `backup verify`: the engine tidies up, or checks what it has.

When that was done for the last time is remembered on this host: an engine does not tell.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from kvmkeep.model.backup import MOST_PARTS, Part, RepositoryFacts, RepositoryState, Upkeep
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import BACKUP_MEMO_DIR
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Step
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Label
from kvmkeep.planning import guards, programs
from kvmkeep.planning.aside import aside
from kvmkeep.planning.backups.init import CLOSED, OPENED, repository_refusals
from kvmkeep.planning.backups.vanished import noticing_steps, vanished_notes
from kvmkeep.planning.repositories.engine import Driver, driver
from kvmkeep.planning.scene import make_scene


def plan_prune(spec: Spec, facts: Facts, asked: str) -> Plan:
    """Plan to free the room of what was forgotten, in the repositories of the facts.

    `asked` is the time of this wish, in ISO 8601 and UTC: what was done for it is not done again.
    """
    closed = _closed(spec)

    def step(words: Driver, seen: RepositoryFacts) -> Step | None:
        if facts.backups.upkeep_of(seen.name).pruned == asked:
            return None
        return Step(
            noun=Noun.STORAGE,
            subject=f"repository {seen.name}",
            what="free the room of what was forgotten",
            why="the engine keeps data until somebody asks it to look for what nothing needs",
            actions=(
                *words.unlock(),
                _aside(words.prune()),
                _remember(f"{seen.name}.pruned", asked),
            ),
        )

    looked = (one.name for one in facts.backups.repositories if one.name in closed)
    notes = (Note(subject=f"repository {name}", text=f"{CLOSED}; {OPENED}") for name in looked)
    plan = _of_each(spec, facts, step, asked, pruning=True)
    return replace(plan, notes=(*plan.notes, *notes))


def passed_over(spec: Spec, facts: Facts, *, pruning: bool) -> tuple[Refusal, ...]:
    """Return why repositories of the facts can't be pruned, or checked; others can all the same."""
    asked = _asked(spec, facts, pruning=pruning)
    return tuple(one for seen in asked for one in _trouble(spec, facts, seen, pruning=pruning))


def _closed(spec: Spec) -> frozenset[str]:
    return frozenset(one.name for one in spec.repositories if one.append_only)


def _asked(spec: Spec, facts: Facts, *, pruning: bool) -> list[RepositoryFacts]:
    """Return the repositories in which something is to be done."""
    closed = _closed(spec) if pruning else frozenset()
    return [one for one in facts.backups.repositories if one.name not in closed]


def _trouble(
    spec: Spec, facts: Facts, seen: RepositoryFacts, *, pruning: bool
) -> tuple[Refusal, ...]:
    emptied = _emptied(spec, facts, seen) if pruning else None
    trouble = repository_refusals(facts, spec.repository(Label(seen.name)))
    return trouble if emptied is None else (*trouble, emptied)


def _emptied(spec: Spec, facts: Facts, seen: RepositoryFacts) -> Refusal | None:
    """Refuse to have all data deleted of a repository that lists nothing, and should.

    Engines list what their directory of manifests holds, and call an empty or lost one well.
    """
    if seen.state is not RepositoryState.READY or seen.entries or seen.fragments:
        return None
    last = ((guest.name, facts.backups.last_of(guest.identity)) for guest in spec.guests)
    names = [name for name, one in last if one is not None and one.repository == seen.name]
    if not names:
        return None
    reason = f"it lists nothing, though the last backup of {', '.join(names)} went there"
    hint = (
        "its data may still be whole: have the engine check it before anything is deleted; if it "
        f"is meant to be empty, fill it again: kvmkeep backup run {names[0]}"
    )
    return Refusal(subject=f"repository {seen.name}", reason=reason, hint=hint)


def plan_verify(spec: Spec, facts: Facts, asked: str, percent: int) -> Plan:
    """Plan to have the engine check its repositories, and read `percent` of the data.

    That is done in parts, the one after that which was last read: so all of it gets its turn.
    """

    def step(words: Driver, seen: RepositoryFacts) -> Step | None:
        known = facts.backups.upkeep_of(seen.name)
        if known.verified == asked:
            return None
        part = _next_part(known, percent)
        parted = words.by_parts and part is not None and part.of > 1
        return Step(
            noun=Noun.STORAGE,
            subject=f"repository {seen.name}",
            what=f"have the engine check what it has{_reading(part, parted=parted)}",
            why="what has gone bad is better known before it is needed",
            actions=(
                # First: one that fails, or is killed, leaves no other trace that outlives a boot.
                _remember(f"{seen.name}.begun", asked),
                *_room(facts.backups.caches),
                _aside(words.check(part)),
                _remember(f"{seen.name}.verified", asked, _read(known, part if parted else None)),
            ),
        )

    return _of_each(spec, facts, step, asked, pruning=False)


def _room(caches: tuple[str, ...]) -> tuple[Command, ...]:
    """Return what removes the caches of killed checks: no other runs, be it of this plan."""
    why = "checks that were killed left them, each as large as what it had read of the index"
    argv = ("rm", "--recursive", "--force", "--", *caches)
    return (Command(argv=argv, why=why),) if caches else ()


def _next_part(known: Upkeep, percent: int) -> Part | None:
    """Return which part of the data is read: as many percent as were asked for, or more."""
    if not percent:
        return None
    of = MOST_PARTS // percent
    last = next((one.number for one in known.parts if one.of == of), 0)
    return Part(number=last % of + 1, of=of)


def _reading(part: Part | None, *, parted: bool) -> str:
    if part is None:
        return ""
    which = f"part {part.number} of {part.of}" if parted else "all"
    return f", and read {which} of the data"


def _read(known: Upkeep, part: Part | None) -> tuple[Part, ...]:
    """Return the parts that were read last; those of other divisions keep their turn."""
    if part is None:
        return known.parts
    return (*(one for one in known.parts if one.of != part.of), part)


def _aside(command: Command) -> Command:
    return replace(command, argv=aside(command.argv))


def _of_each(
    spec: Spec,
    facts: Facts,
    step: Callable[[Driver, RepositoryFacts], Step | None],
    now: str,
    *,
    pruning: bool,
) -> Plan:
    """Plan a step for each repository; it is refused only where none of them can be used."""
    scene = make_scene(spec, facts, ())
    asked = _asked(spec, facts, pruning=pruning)
    trouble = passed_over(spec, facts, pruning=pruning)
    bad = {one.subject for one in trouble}
    sound = [one for one in asked if f"repository {one.name}" not in bad]
    words = (driver(spec.repository(Label(one.name)), facts.units.command) for one in sound)
    made = (step(each, seen) for each, seen in zip(words, sound, strict=True))
    # What fails in one of several keeps no other waiting.
    several = len(sound) > 1
    steps = (
        *noticing_steps(spec, facts, now),
        *(replace(one, isolated=several) for one in made if one is not None),
    )
    return Plan(
        steps=steps,
        refusals=(
            *guards.unseen_beside_files(scene),
            *programs.missing_tools(scene, steps),
            *(() if sound else trouble),
        ),
        notes=(*vanished_notes(spec, facts), *(one.note for one in trouble if sound)),
        once=True,
    )


def _remember(name: str, asked: str, parts: tuple[Part, ...] = ()) -> WriteFile:
    return WriteFile(
        path=f"{BACKUP_MEMO_DIR}/{name}",
        content="".join(f"{line}\n" for line in (asked, *parts)).encode(),
        why="remember when that was",
        dir_mode=0o700,
    )
