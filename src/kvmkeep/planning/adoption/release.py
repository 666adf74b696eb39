"""The plan of `release`: our marks go, guests and networks go on, the spec's files are put aside.

What is let go is found by its marks, not by the spec: of a run that was killed, there may be no
more of the spec left than of the marks. The file of a guest goes last, and that of a guest before
those of the guests that it needs: so the spec is whole at any moment.
"""

from __future__ import annotations

from msgspec import Struct, field
from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import (
    GOOD_SPEC,
    METADATA_URI,
    NM_MARK,
    TAG_GUEST,
    TAG_HELD,
    TAG_OURS,
    TAG_REVERT,
    TAG_START,
    TAG_STATE,
    TAG_TRASH,
)
from kvmkeep.model.network_facts import Profile
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Step
from kvmkeep.model.run_mark import NO_RUN_MARK
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.domains.born import keep_born
from kvmkeep.planning.domains.kept_xml import holds, keep_definition, kept_path
from kvmkeep.planning.domains.run_mark import keep_mark, starting_with_host
from kvmkeep.planning.guards import holes
from kvmkeep.planning.lvm import retag, same_tags
from kvmkeep.planning.programs import tools_of
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.scene import active

_UNFINISHED = (TAG_STATE, TAG_HELD, TAG_START, TAG_REVERT)
"""Tags of something that is not done yet: without them, nobody could finish it."""


class Letting(Struct, frozen=True, kw_only=True):
    """Which guests are let go; `everything` is all of them, the networks and the host's file.

    `released` are guests whose file was put aside before. `host_file` is the host's file, empty
    where there is none.
    """

    guests: tuple[str, ...]
    everything: bool
    released: frozenset[str] = frozenset()
    host_file: str = ""


class _Work(Struct):
    """A plan in the making."""

    spec: Spec | None
    facts: Facts
    steps: list[Step] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def guest(self, name: str) -> Guest | None:
        """Return a guest of the spec, as far as there is one."""
        return None if self.spec is None else self.spec.guest(name)


def plan_release(spec: Spec | None, facts: Facts, letting: Letting) -> Plan:
    """Plan to let guests go, or all that is ours."""
    work = _Work(spec=spec, facts=facts)
    work.refusals.extend(holes(facts))
    names = _names(work, letting)
    _check_needs(work, names)
    for name in names:
        _release_guest(work, name, letting)
    if letting.everything:
        _release_host(work, letting)
    work.refusals.extend(tools_of({tool.name: tool for tool in facts.tools}, work.steps))
    return Plan(steps=tuple(work.steps), refusals=tuple(work.refusals), notes=tuple(work.notes))


def _names(work: _Work, letting: Letting) -> tuple[str, ...]:
    """Return who is let go: guests before those that they need."""
    known = () if work.spec is None else work.spec.guests
    names = dict.fromkeys(letting.guests)
    if letting.everything:
        names |= dict.fromkeys(guest.name for guest in known)
        names |= dict.fromkeys(domain.name for domain in work.facts.domains if domain.ours)
        tagged = (tag_value(volume, TAG_GUEST) for volume in work.facts.volumes if _ours(volume))
        names |= dict.fromkeys(name for name in tagged if name)
    if work.spec is None:
        return tuple(names)
    mine = [guest.name for guest in known if guest.name in names]
    order = in_order(work.spec, mine)
    work.refusals.extend(order.refusals)
    ordered = [guest.name for guest in reversed(order.guests)]
    return (*ordered, *(name for name in names if name not in ordered))


def _check_needs(work: _Work, names: tuple[str, ...]) -> None:
    for guest in () if work.spec is None else work.spec.guests:
        wanted = [name for name in guest.run.needs if name in names]
        if wanted and guest.name not in names:
            hint = f"take that out of {guest.place.file}, or let {guest.name} go as well"
            reason = f"it is needed by {guest.name}"
            work.refusals.extend(
                Refusal(subject=f"guest {name}", reason=reason, hint=hint) for name in wanted
            )


def _release_guest(work: _Work, name: str, letting: Letting) -> None:
    guest = work.guest(name)
    domain = work.facts.domain(name)
    volumes = [
        volume
        for volume in work.facts.volumes
        if _ours(volume)
        and tag_value(volume, TAG_GUEST) == name
        and not tag_value(volume, TAG_TRASH)
    ]
    if guest is None and domain is None and not volumes and name not in letting.released:
        reason = "there is no guest of that name"
        hint = "`kvmkeep list` shows the names"
        work.refusals.append(Refusal(subject=f"guest {name}", reason=reason, hint=hint))
        return
    work.refusals.extend(_unfinished(name, volumes))
    if domain is not None and domain.ours:
        work.steps.append(_domain_step(domain))
    work.steps.extend(_volume_step(name, volume) for volume in volumes)
    snapshots = [volume.name for volume in volumes if volume.origin]
    if snapshots:
        text = f"its snapshots stay, and are yours from then on: {', '.join(snapshots)}"
        work.notes.append(Note(subject=f"guest {name}", text=text))
    if guest is not None:
        keep = _keep_step(work, guest, domain)
        work.steps.extend([keep] if keep is not None else [])
        work.steps.append(_aside_step(f"guest {name}", guest.place.file))


def _unfinished(name: str, volumes: list[Volume]) -> list[Refusal]:
    return [
        Refusal(
            subject=f"guest {name}",
            reason=f"something is not done yet: {volume.full_name} wears {tag}",
            hint="finish that first: kvmkeep plan, kvmkeep snapshot list",
        )
        for volume in volumes
        for tag in volume.tags
        if tag.startswith(_UNFINISHED)
    ]


def _domain_step(domain: Domain) -> Step:
    live = ("--live",) if active(domain) else ()
    on = domain.starts
    given_back = starting_with_host(domain, domain, on=on, by_units=False)
    no_word = keep_mark(domain, NO_RUN_MARK, "take what kvmkeep remembers of it out as well")
    forgotten = keep_born(domain, None, "take out what it was given at its first boot as well")
    unborn = () if domain.born is None else (forgotten,)
    kept = () if domain.run_mark == NO_RUN_MARK else (*given_back, no_word)
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {domain.name}",
        what="take our mark from its domain",
        why="you asked for it; the guest doesn't see it",
        probe=is_guest(domain),
        actions=(
            *kept,
            *unborn,
            Command(
                argv=(
                    "virsh", "metadata", "--domain", domain.name, "--uri", METADATA_URI,
                    "--remove", "--config", *live,
                ),
                why="take our element out of its metadata",
            ),
        ),
    )  # fmt: skip


def _volume_step(name: str, volume: Volume) -> Step:
    lv = volume.full_name
    tags = [tag for tag in volume.tags if tag == TAG_OURS or tag.startswith(f"{TAG_OURS}.")]
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {name}",
        what=f"take our marks from LV {lv}",
        why="you asked for it; tags are only LVM's own notes",
        probe=same_tags(volume),
        actions=(retag(volume, "--deltag", tags, "take our tags away"),),
    )


def _keep_step(work: _Work, guest: Guest, domain: Domain | None) -> Step | None:
    """Keep the definition once more: from the file, our mark would come back."""
    saved = next((one for one in work.facts.saved if one.guest == guest.name), None)
    if work.spec is None or domain is None or saved is None:
        return None
    if not domain.ours and not saved.torn and holds(saved, domain):
        return None
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"keep its definition in {kept_path(work.spec, guest)}",
        why="our mark is not to come back by it",
        actions=(keep_definition(work.spec, guest),),
    )


def _release_host(work: _Work, letting: Letting) -> None:
    units = [file.name for file in work.facts.units.files if file.ours]
    if units:
        more = f" and {len(units) - 1} more" if units[1:] else ""
        reason = f"its units still look after the guests: {units[0]}{more}"
        hint = "take them away first: kvmkeep uninstall-units"
        work.refusals.append(Refusal(subject="host", reason=reason, hint=hint))
    trash = [volume.name for volume in work.facts.volumes if tag_value(volume, TAG_TRASH)]
    if trash:
        reason = f"there is something in the trash: {', '.join(trash)}"
        hint = "restore or empty it first: kvmkeep trash list"
        work.refusals.append(Refusal(subject="trash", reason=reason, hint=hint))
    work.steps.extend(
        _profile_step(profile)
        for profile in work.facts.nm.profiles
        if profile.setting("connection.stable-id") == NM_MARK
    )
    if letting.host_file:
        # Before the file: a run that was killed between the two does both again.
        forget = Command(
            argv=("rm", "--force", "--", GOOD_SPEC),
            why="have nothing go by the last good spec any more",
        )
        aside = _aside_step("spec", letting.host_file)
        work.steps.append(replace(aside, actions=(forget, *aside.actions)))


def _profile_step(profile: Profile) -> Step:
    return Step(
        noun=Noun.NETWORK,
        subject=f"profile {profile.name}",
        what=f"take our mark from the profile of {profile.interface}",
        why="you asked for it; nothing is activated or taken down",
        probe=Command(
            argv=(
                "nmcli", "--get-values", "connection.stable-id", "connection", "show", "uuid",
                profile.uuid,
            ),
            why="see that it still wears it",
            expect=NM_MARK,
        ),
        actions=(
            Command(
                argv=(
                    "nmcli", "connection", "modify", "uuid", profile.uuid,
                    "connection.stable-id", "",
                ),
                why="has no effect but to be seen",
            ),
        ),
    )  # fmt: skip


def _aside_step(subject: str, file: str) -> Step:
    aside = f"{file}.released"
    return Step(
        noun=Noun.DOMAINS,
        subject=subject,
        what=f"put {file} aside as {aside}",
        why="what is in the spec is managed",
        actions=(
            Command(
                argv=("mv", "--backup=numbered", "--no-target-directory", "--", file, aside),
                why="keep what it says, under a name that is not read",
            ),
        ),
    )


def _ours(volume: Volume) -> bool:
    return TAG_OURS in volume.tags
