"""Backups that this host made, and that their repositories do not list any more.

Who keeps a store can take the last of them away, or put an older copy of it in its place, and needs
no password for that. An engine's own check calls what is left sound, a newer backup hides it, and a
restore takes an older one. So what is remembered here is compared with each listing.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.backup import (
    BackupFacts,
    RepositoryFacts,
    RepositoryState,
    VanishedBackup,
    moment_order,
)
from kvmkeep.model.command import Action, Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Note, Noun, Step
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning.backups.memo import forget_memo, forget_vanished, note_vanished
from kvmkeep.planning.backups.owner import identity_of


def vanished(
    known: BackupFacts, seen: Iterable[RepositoryFacts], now: str = ""
) -> tuple[VanishedBackup, ...]:
    """Return what repositories that can be seen should list, and do not.

    That is the last backup of each guest, and what was noticed before: `noticed` is `now` for what
    was not.
    """
    listings = {one.name: _listed(one) for one in seen if one.state is RepositoryState.READY}
    made = (
        *known.vanished,
        *(
            VanishedBackup(
                identity=one.identity, repository=one.repository, moment=one.moment, noticed=now
            )
            for one in known.last
        ),
    )
    found: dict[tuple[str, str, str], VanishedBackup] = {}
    for one in made:
        listing = listings.get(one.repository)
        if listing is not None and (one.identity, one.moment) not in listing:
            found.setdefault((one.identity, one.repository, one.moment), one)
    return tuple(found.values())


def vanished_note(name: str, one: VanishedBackup, seen: Iterable[RepositoryFacts]) -> Note:
    """Tell of a backup that is gone, and what is left of its guest there; `name` means it."""
    listed = (entry for each in seen if each.name == one.repository for entry in each.entries)
    mine = (entry.moment for entry in listed if entry.identity == one.identity)
    last = max(mine, key=moment_order, default="")
    left = f"the last that it lists is of {last}" if last else "it lists none of the guest"
    text = (
        f"this host made {name}@{one.moment}, which repository {one.repository} does not list any "
        f"more; {left}. Ask who keeps that store; if it was meant to go: "
        f"kvmkeep backup forget {name}@{one.moment}"
    )
    return Note(subject=f"guest {name}", text=text)


def vanished_notes(spec: Spec, facts: Facts) -> tuple[Note, ...]:
    """Tell of all that is gone of guests of the spec, in the repositories of the facts."""
    seen = facts.backups.repositories
    missed = vanished(facts.backups, seen)
    names = {str(guest.identity): guest.name for guest in spec.guests}
    return tuple(
        vanished_note(names[one.identity], one, seen) for one in missed if one.identity in names
    )


def noticing_steps(spec: Spec, facts: Facts, now: str) -> tuple[Step, ...]:
    """Return what remembers what is gone of guests of the spec, and forgets what is listed again.

    `now` is a time of ISO 8601.
    """
    known, seen = facts.backups, facts.backups.repositories
    gone = vanished(known, seen, now)
    ready = {one.name for one in seen if one.state is RepositoryState.READY}
    steps: list[Step] = []
    for guest in spec.guests:
        noted = known.vanished_of(guest.identity)
        new = [one for one in gone if one.identity == guest.identity and one != noted]
        for one in new:
            what = f"note that repository {one.repository} does not list {one.moment} any more"
            why = "it is a backup that this host made, and did not forget"
            steps.append(_step(guest.name, what, why, note_vanished(one)))
        if noted is not None and noted.repository in ready and noted not in gone and not new:
            what = f"note that repository {noted.repository} lists {noted.moment} again"
            steps.append(_step(guest.name, what, "it was missed", forget_vanished(guest.identity)))
    return tuple(steps)


def let_go_steps(
    spec: Spec, facts: Facts, seen: RepositoryFacts, name: GuestName, moment: str
) -> tuple[Step, ...]:
    """Return what has a backup of that moment be missed no more, where it is gone already."""
    identity = identity_of(spec, name)
    missed = vanished(facts.backups, (seen,))
    if (identity, moment) not in {(one.identity, one.moment) for one in missed}:
        return ()
    noted = facts.backups.vanished_of(identity)
    actions = forget_memos(facts, seen.name, identity, (moment,))
    if noted is not None and (noted.repository, noted.moment) == (seen.name, moment):
        actions = (*actions, forget_vanished(identity))
    what = f"miss its backup {moment} no more"
    why = f"repository {seen.name} does not list it, and that is meant to be so"
    return (_step(name, what, why, *actions),)


def lost_sight_of(known: BackupFacts, identity: str, moment: str) -> VanishedBackup | None:
    """Return the backup of that moment that was noticed to be gone, if no listing tells of it.

    The spec has its repository no more, or it can't be used.
    """
    noted = known.vanished_of(identity)
    if noted is None or noted.moment != moment:
        return None
    seen = known.repository(noted.repository)
    return noted if seen is None or seen.state is not RepositoryState.READY else None


def let_go_unseen_steps(spec: Spec, facts: Facts, name: GuestName, moment: str) -> tuple[Step, ...]:
    """Return what has a backup be missed no more of which no listing can tell."""
    noted = lost_sight_of(facts.backups, identity_of(spec, name), moment)
    if noted is None:
        return ()
    memos = forget_memos(facts, noted.repository, noted.identity, (moment,))
    what = f"miss its backup {moment} no more"
    why = f"repository {noted.repository} did not list it when it was last seen, and that is well"
    return (_step(name, what, why, *memos, forget_vanished(noted.identity)),)


def forget_memos(
    facts: Facts, repository: str, identity: str, moments: Iterable[str]
) -> tuple[Command, ...]:
    """Return what has a guest's last backup be forgotten here too, if it is one of those."""
    last = facts.backups.last_of(identity)
    there = last is not None and last.repository == repository and last.moment in {*moments}
    return (forget_memo(identity),) if there else ()


def _listed(one: RepositoryFacts) -> frozenset[tuple[str, str]]:
    return frozenset((entry.identity, entry.moment) for entry in one.entries)


def _step(name: str, what: str, why: str, *actions: Action) -> Step:
    return Step(
        noun=Noun.STORAGE, subject=f"guest {name}", what=what, why=why, actions=tuple(actions)
    )
