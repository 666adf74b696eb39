"""What is written into the domain of a guest in service: labels, description, NICs and files."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain, GivenNic
from kvmkeep.model.plan import Note, Noun, Step
from kvmkeep.model.spec import Guest, Nic, Spec
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.domains.born import keep_born
from kvmkeep.planning.domains.metadata import files_of, mark_commands, record, settings_of

_TOLD_LATER = "where the spec says otherwise later on, that is told"


def record_steps(spec: Spec, guest: Guest, domain: Domain) -> tuple[Step, ...]:
    """Return what writes labels, NICs and description into a domain, where they differ."""
    wanted = record(spec, guest, {nic.mac: nic.settings for nic in domain.given})
    live = domain.live is not None
    steps: list[Step] = []
    files, running = files_of(guest), live_files(guest, domain)
    marking = mark_commands(guest, wanted, files, running if live else None)
    kept = {*domain.files} == {*files} and (not live or {*domain.live_files} == {*running})
    if domain.labels != guest.labels:
        what = f"label it {', '.join(guest.labels)}" if guest.labels else "take its labels away"
        steps.append(_step(guest, what, *marking))
    elif not _remembered(guest, domain, wanted):
        steps.append(_step(guest, "remember its NICs", *marking))
    elif not kept:
        steps.append(_step(guest, "remember which files are its disks", *marking))
    if guest.description and domain.description.strip() != guest.description:
        command = Command(
            argv=(
                "virsh", "desc", "--domain", guest.name, "--config",
                *(("--live",) if live else ()), "--new-desc", guest.description,
            ),
            why="put it into the domain",
        )  # fmt: skip
        steps.append(_step(guest, "describe it as the spec does", command))
    return tuple(steps)


def live_files(guest: Guest, domain: Domain) -> tuple[str, ...]:
    """Return which files the running process is to remember: also those that it still has."""
    own = files_of(guest)
    has = {disk.source for disk in domain.disks if disk.attached}
    return (*own, *(path for path in domain.live_files if path in has and path not in own))


def _remembered(guest: Guest, domain: Domain, wanted: tuple[GivenNic, ...]) -> bool:
    """Whether the domain remembers what it has to; an adopted guest needs fewer entries.

    Nobody has to remember for it what its spec says until that changes.
    """
    known = {nic.mac: nic for nic in domain.given}
    missing = [nic for nic in wanted if known.pop(nic.mac, None) != nic]
    return not known and (not missing or guest.adopted)


def given_steps(
    spec: Spec, guest: Guest, domain: Domain, nics: tuple[Nic, ...]
) -> tuple[Step, ...]:
    """Return what has a domain remember that just these NICs were set up inside, and how.

    NICs that the spec does not name any more stay remembered, since they are still to go.
    """
    named = {nic.mac for nic in guest.nics}
    to_go = tuple(one for one in domain.given if one.mac not in named)
    wanted = (*record(spec, guest, {nic.mac: settings_of(nic) for nic in nics}), *to_go)
    if {*wanted} == {*domain.given}:
        return ()
    as_it_is = replace(guest, labels=domain.labels)
    live = None if domain.live is None else domain.live_files
    marking = mark_commands(as_it_is, wanted, domain.files, live)
    step = _step(guest, "remember what its NICs have inside", *marking)
    return (replace(step, why=_TOLD_LATER),)


def named_steps(guest: Guest, domain: Domain, hostname: str) -> tuple[Step, ...]:
    """Return what has a domain remember the name that its guest was given since; may be empty."""
    born = domain.born
    if born is None or not born.hostname or hostname in {"", born.hostname}:
        return ()
    command = keep_born(guest, replace(born, hostname=hostname), "put it into its definition")
    step = _step(guest, "remember what it is called inside", command)
    return (replace(step, why=_TOLD_LATER),)


def given_notes(guest: Guest, domain: Domain) -> tuple[Note, ...]:
    """Return where the spec says other network settings than the guest was given."""
    given = {nic.mac: dict(nic.settings) for nic in domain.given if nic.settings}
    notes: list[Note] = []
    for nic in guest.nics:
        if nic.mac not in given:
            continue
        before, now = given[nic.mac], dict(settings_of(nic))
        told = [
            f"{key} {before.get(key, 'none')} (the spec says {now.get(key, 'none')})"
            for key in sorted({*before, *now})
            if before.get(key) != now.get(key)
        ]
        if told:
            text = (
                f"its NIC {nic.mac} on network {nic.network} was given {'; '.join(told)}: what it "
                f"has inside is its own; change it there, or while it is off with "
                f"`kvmkeep tweak {guest.name} --addresses`"
            )
            notes.append(Note(subject=f"guest {guest.name}", text=text))
    return tuple(notes)


def _step(guest: Guest, what: str, *commands: Command) -> Step:
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=what,
        why="the spec says so",
        probe=is_guest(guest),
        actions=commands,
    )
