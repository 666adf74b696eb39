"""The plan of `backup forget`: backups that the spec does not keep, or one that was named.

Only backups of guests of the spec are looked at, and only those that were made on this host: a
guest that the spec does not name any more keeps all of its backups.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.backup import BackupEntry, RepositoryFacts, RepositoryState, recency
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import VERDICT_DIR
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Step
from kvmkeep.model.proof import Proof
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.times import utc
from kvmkeep.model.units import GuestName, Label
from kvmkeep.planning import guards, programs
from kvmkeep.planning.backups.init import CLOSED, OPENED, repository_refusals
from kvmkeep.planning.backups.owner import is_meant, owner
from kvmkeep.planning.backups.retention import Retention, retention
from kvmkeep.planning.backups.vanished import (
    forget_memos,
    let_go_steps,
    let_go_unseen_steps,
)
from kvmkeep.planning.repositories.engine import driver
from kvmkeep.planning.scene import make_scene

_AT_ONCE = 500
"""Verdicts that one step removes."""
_GONE = "that the repository lists their manifests no more"


class Forgetting(Struct, frozen=True, kw_only=True):
    """Whose backups are meant: of those guests what the spec does not keep.

    With a `moment`, just that backup of the one guest, which the spec need not name. `now` is a
    time of ISO 8601 in UTC. With `several`, a repository that can't be used keeps no other from it.
    `named` are repositories that were named: also what a guest that is backed up elsewhere has
    there is kept as its spec says, and no longer.
    """

    guests: tuple[GuestName, ...]
    now: str
    moment: str = ""
    several: bool = False
    named: tuple[str, ...] = ()


def unusable(spec: Spec, facts: Facts) -> tuple[Refusal, ...]:
    """Return why repositories of the facts can't be used."""
    seen = (spec.repository(Label(one.name)) for one in facts.backups.repositories)
    return tuple(trouble for one in seen for trouble in repository_refusals(facts, one))


def plan_forget(spec: Spec, facts: Facts, wish: Forgetting) -> Plan:
    """Plan to forget in the repositories of the facts; the room is freed by `backup prune`.

    A backup without its manifest is none: that goes first, so what a killed run leaves is never
    taken for a backup, and the next run takes it away. The disks go once the listing shows that it
    did go: restic 0.17 and 0.18 end well where the store has refused (its issue 5233).
    """
    scene = make_scene(spec, facts, ())
    steps: list[Step] = []
    later: list[Step] = []
    refusals: list[Refusal] = []
    notes: list[Note] = []
    bad: list[Refusal] = []
    sound = False
    if wish.moment:
        steps += let_go_unseen_steps(spec, facts, wish.guests[0], wish.moment)
    for seen in facts.backups.repositories:
        repository = spec.repository(Label(seen.name))
        trouble = repository_refusals(facts, repository)
        if trouble:
            bad += trouble
            continue
        sound = True
        if wish.moment:
            steps += let_go_steps(spec, facts, seen, wish.guests[0], wish.moment)
        if repository.append_only:
            refusals += _closed(repository, _named(spec, seen, wish)) if wish.moment else ()
            notes += [] if wish.moment else _kept_longer(spec, facts, seen, wish)
            continue
        if wish.moment:
            named = _named(spec, seen, wish)
            refusals += _precious(spec, facts, named, wish.now)
            steps += _steps(spec, facts, seen, wish.guests[0], named)
            steps += _left(spec, facts, seen, wish.guests[0], wish.moment)
            later += _then(spec, facts, seen, wish.guests[0], named)
            continue
        for guest in (one for one in spec.guests if one.name in wish.guests):
            found = retained(spec, facts, seen, guest, wish)
            if found is None:
                notes += _out_of_reach(spec, seen, guest)
            else:
                steps += _steps(spec, facts, seen, guest.name, found.forgotten)
                steps += _left(spec, facts, seen, guest.name)
                later += _then(spec, facts, seen, guest.name, found.forgotten)
                steps += _verdicts(facts, seen, guest, wish.now)
    # What is not seen to be proven would be forgotten; of the host, nothing else is needed.
    if wish.several and sound:
        notes += [one.note for one in bad]
    else:
        refusals += bad
    unseen = guards.blind_below(scene, VERDICT_DIR)
    trouble = (*unseen, *programs.missing_tools(scene, steps), *refusals)
    return Plan(steps=(*steps, *later), refusals=trouble, notes=tuple(notes))


def _closed(repository: Repository, named: tuple[BackupEntry, ...]) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            subject=f"backup {one.guest}@{one.moment}",
            reason=f"repository {repository.name} is append-only",
            hint=OPENED,
        )
        for one in named
    )


def _kept_longer(
    spec: Spec, facts: Facts, seen: RepositoryFacts, wish: Forgetting
) -> tuple[Note, ...]:
    """Tell how much a repository keeps that the spec does not ask for."""
    asked = (one for one in spec.guests if one.name in wish.guests)
    found = [kept for one in asked if (kept := retained(spec, facts, seen, one, wish))]
    more = sum(len(one.forgotten) for one in found)
    if not more:
        return ()
    text = f"{CLOSED}: {more} of its backups stay longer than the spec keeps them; {OPENED}"
    return (Note(subject=f"repository {seen.name}", text=text),)


def retained(
    spec: Spec, facts: Facts, seen: RepositoryFacts, guest: Guest, wish: Forgetting
) -> Retention | None:
    """Return what the spec keeps of a guest's backups; None where another repository is meant."""
    if guest.backup is None or seen.name not in {guest.backup.repository, *wish.named}:
        return None
    entries = _entries(spec, seen, guest)
    return retention(
        entries,
        guest.backup.keep,
        proven=_proven(facts, entries),
        once=_once_proven(facts, entries),
        now=utc(wish.now),
    )


def _out_of_reach(spec: Spec, seen: RepositoryFacts, guest: Guest) -> tuple[Note, ...]:
    """Tell of what a guest has in a repository where its spec does not say how long it stays."""
    there = len(_entries(spec, seen, guest))
    if not there:
        return ()
    text = f"repository {seen.name} has {there} of its backups, and the spec has no `keep` for it: "
    text += f"they go one by one: kvmkeep backup forget {guest.name}@TIME"
    if guest.backup is not None:
        text = f"repository {seen.name} has {there} of its backups, which stay there, since it is "
        text += f"backed up to {guest.backup.repository} now; to have its `keep` reach them: "
        text += f"kvmkeep backup forget {guest.name} --repository {seen.name}"
    return (Note(subject=f"guest {guest.name}", text=text),)


def _named(spec: Spec, seen: RepositoryFacts, wish: Forgetting) -> tuple[BackupEntry, ...]:
    (guest,) = wish.guests
    return tuple(
        one
        for one in seen.entries
        if (one.moment, one.host) == (wish.moment, spec.host.name) and is_meant(spec, one, guest)
    )


def _entries(spec: Spec, seen: RepositoryFacts, guest: Guest) -> tuple[BackupEntry, ...]:
    """Return a guest's backups that were made on this host, under whatever name it had."""
    return tuple(
        one for one in seen.entries if one.identity == guest.identity and one.host == spec.host.name
    )


def _proven(facts: Facts, entries: Iterable[BackupEntry]) -> frozenset[str]:
    return _proved(entries, (one for one in facts.backups.proofs if one.proven))


def _once_proven(facts: Facts, entries: Iterable[BackupEntry]) -> frozenset[str]:
    """Return the moments of those that were proven, and not when they were tried again."""
    return _proved(entries, (one for one in facts.backups.proofs if one.proven_before))


def _proved(entries: Iterable[BackupEntry], proofs: Iterable[Proof]) -> frozenset[str]:
    good = {(one.repository, one.guest, one.moment) for one in proofs}
    return frozenset(
        one.moment for one in entries if (one.repository, one.guest, one.moment) in good
    )


def _precious(
    spec: Spec, facts: Facts, doomed: tuple[BackupEntry, ...], now: str
) -> tuple[Refusal, ...]:
    """Refuse to forget what nothing else can stand for, as long as the spec names the guest.

    What another repository has stands for it as well. Of a guest that is not to be backed up any
    more, no newer one will come: its last one may go.
    """
    found: list[Refusal] = []
    order = partial(recency, now=utc(now))
    ready = [one for one in facts.backups.repositories if one.state is RepositoryState.READY]
    names = ", ".join(one.name for one in ready)
    for one in doomed:
        guest = owner(spec, one)
        whose = (one.identity, one.host)
        entries = (each for seen in ready for each in seen.entries if each.whole)
        mine = [each for each in entries if (each.identity, each.host) == whose]
        reason = hint = ""
        if guest is None or not one.whole:
            continue
        if one == max(mine, key=lambda each: order(each.moment)):
            reason = f"it is the last one that repository {names} has of the guest"
            hint = _newer(guest, names)
        elif one.moment in {
            max(_proven(facts, mine), key=order, default=""),
            max(_proven(facts, mine) | _once_proven(facts, mine), key=order, default=""),
        }:
            reason = "it is the last one that is known to start"
            hint = f"prove a newer one first: kvmkeep backup prove {guest.name}"
        if hint:
            subject = f"backup {one.guest}@{one.moment}"
            found.append(Refusal(subject=subject, reason=reason, hint=hint))
    return tuple(found)


def _newer(guest: Guest, names: str) -> str:
    """Return how the last backup gets a newer one; empty where none is wanted."""
    if guest.backup is None:
        return ""
    hint = f"make a newer one first: kvmkeep backup run {guest.name}"
    wanted = guest.backup.repository
    return hint if wanted in names.split(", ") else f"leave --repository out; or {hint}"


def _steps(
    spec: Spec, facts: Facts, seen: RepositoryFacts, name: str, doomed: tuple[BackupEntry, ...]
) -> tuple[Step, ...]:
    if not doomed:
        return ()
    words = driver(spec.repository(Label(seen.name)), facts.units.command)
    moments = ", ".join(one.moment for one in doomed)
    manifests = tuple(one.manifest for one in doomed)
    gone: dict[str, list[str]] = {}
    for one in doomed:
        gone.setdefault(one.identity, []).append(one.moment)
    memos = (forget_memos(facts, seen.name, *each) for each in gone.items())
    why = "the manifests first: without one there is no backup"
    return (
        Step(
            noun=Noun.STORAGE,
            subject=f"guest {name}",
            what=f"forget {len(doomed)} of its backups in repository {seen.name}: {moments}",
            why="nothing asks for them any longer; the engine has their data until it is pruned",
            # Before they go: what is remembered and not listed counts as taken away by others.
            actions=(*chain(*memos), *words.unlock(), words.forget(manifests, why)),
        ),
    )


def _then(
    spec: Spec, facts: Facts, seen: RepositoryFacts, name: str, doomed: tuple[BackupEntry, ...]
) -> tuple[Step, ...]:
    """Return what takes away the disks of what is forgotten first."""
    disks = tuple(disk.object for one in doomed for disk in one.disks)
    return (replace(_disks(spec, facts, seen, name, disks), assumes=_GONE),) if disks else ()


def _left(
    spec: Spec, facts: Facts, seen: RepositoryFacts, name: str, moment: str = ""
) -> tuple[Step, ...]:
    """Return what takes away disks that have no manifest, or none any more."""
    own = (one for one in seen.fragments if one.host == spec.host.name)
    mine = (one for one in own if is_meant(spec, one, name))
    left = tuple(disk.object for one in mine if moment in {"", one.moment} for disk in one.disks)
    return (_disks(spec, facts, seen, name, left),) if left else ()


def _disks(
    spec: Spec, facts: Facts, seen: RepositoryFacts, name: str, disks: tuple[str, ...]
) -> Step:
    words = driver(spec.repository(Label(seen.name)), facts.units.command)
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {name}",
        what=f"forget disks without a manifest in repository {seen.name}",
        why="they never became a backup, or are none any more",
        actions=(*words.unlock(), words.forget(disks, "no manifest names them")),
    )


def _verdicts(facts: Facts, seen: RepositoryFacts, guest: Guest, now: str) -> tuple[Step, ...]:
    """Return what removes verdicts on backups that are gone, but for the last one of the guest.

    Where the last backup is not listed, the repository may be another one than it was.
    """
    listed = {one.moment for one in seen.entries} | {one.moment for one in seen.fragments}
    known = facts.backups.last_of(guest.identity)
    if known is None or known.moment not in listed:
        return ()
    newest = facts.backups.proof_of(guest.identity, utc(now))
    gone = [
        one.moment
        for one in facts.backups.proofs
        if (one.whose, one.repository) == (guest.identity, seen.name)
        and one.moment not in listed
        and one != newest
    ]
    places = [f"{VERDICT_DIR}/{guest.identity}/{moment}" for moment in gone[:_AT_ONCE]]
    paths = [f"{place}{ending}" for place in places for ending in (".json", ".screen")]
    why = "they tell of backups that nobody can bring back any more"
    step = Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"remove {len(places)} verdicts on backups that are forgotten",
        why=why,
        actions=(Command(argv=("rm", "--force", "--", *paths), why=why),),
    )
    return (step,) if paths else ()
