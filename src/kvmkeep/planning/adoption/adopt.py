"""The plan of `adopt`: the spec says what others made, and what they made wears our marks.

Nothing is started, stopped, defined or activated. Before the first mark, the plan that `apply`
would make afterwards is looked at: what it would do is told, and where it would do more to a
guest than that, the guest is not taken over.
"""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.command import Action, Command, WriteFile
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.found import Found, SpecEdit
from kvmkeep.model.names import NM_MARK, lv_tags
from kvmkeep.model.network_facts import Profile
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Risk, Step
from kvmkeep.model.spec import Guest, LvDisk, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import guards, programs
from kvmkeep.planning.adoption.choice import unmarked
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.domains.kept_xml import by_hand_path, holds, kept_path, kept_step
from kvmkeep.planning.domains.metadata import files_of, mark_commands
from kvmkeep.planning.domains.xml import sha256
from kvmkeep.planning.lvm import retag, same_tags
from kvmkeep.planning.networks.bridges import network_steps
from kvmkeep.planning.networks.refusals import network_refusals
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.scene import Scene, active, make_scene, owned


def plan_adopt(
    spec: Spec,
    facts: Facts,
    found: Found,
    files: tuple[SpecEdit, ...],
    wrong: tuple[Refusal, ...] = (),
) -> Plan:
    """Plan to take guests and networks over.

    `spec` is the one with `files` written. `wrong` is why they can't be: then it is without them.
    """
    by_name = {guest.name: guest for guest in spec.guests}
    guests = tuple(by_name[name] for name in found.guests if name in by_name)
    scene = make_scene(spec, facts, guests)
    networks = tuple(network for network in spec.networks if network.name in found.networks)
    marks = [
        *(step for network in networks for step in _network_steps(scene, network.name)),
        *(step for guest in guests for step in _guest_steps(scene, guest)),
    ]
    steps = (*(_file_step(file) for file in files), *marks)
    afterwards = _marked(scene, found)
    later = make_plan(spec, afterwards, [guest.name for guest in guests]) if guests else Plan()
    scene_then = make_scene(spec, afterwards, guests)
    alone = Plan(
        steps=network_steps(scene_then, networks), refusals=network_refusals(scene_then, networks)
    )
    left = [step for step in (*later.steps, *alone.steps) if not _keeps(step)]
    refusals = (
        *found.refusals,
        *wrong,
        *guards.unseen(scene),
        *programs.missing_tools(scene, steps),
        *later.refusals,
        *alone.refusals,
        *(_too_much(step) for step in left if _touches(step, by_name)),
    )
    notes = (
        *found.notes,
        *later.notes,
        *(
            Note(subject=step.subject, text=f"afterwards, `kvmkeep apply` would: {step.what}")
            for step in dict.fromkeys(left)
        ),
    )
    return Plan(
        steps=steps,
        refusals=tuple(dict.fromkeys(refusals)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _file_step(file: SpecEdit) -> Step:
    unchanged = Command(
        argv=("sha256sum", "--check", "--strict", "--quiet"),
        why="see that nobody else has changed it by now",
        stdin=f"{sha256(file.before)}  {file.path}\n".encode(),
    )
    absent = Command(
        argv=("test", "!", "-e", file.path), why="see that there is still no such file"
    )
    return Step(
        noun=Noun.DOMAINS,
        subject=file.subject,
        what=file.what,
        why="the spec is to say what is there",
        probe=unchanged if file.before else absent,
        actions=(
            # A file of the spec may hold the hash of a password, or come to.
            WriteFile(
                path=file.path,
                content=file.text.encode(),
                why="write the spec",
                dir_mode=0o700,
                secret=bool(file.before),
            ),
        ),
    )


def _network_steps(scene: Scene, name: str) -> tuple[Step, ...]:
    network = next(one for one in scene.spec.networks if one.name == name)
    return tuple(
        Step(
            noun=Noun.NETWORK,
            subject=f"network {name}",
            what=f"mark the profile {profile.name} of {profile.interface} as ours",
            why="only what wears our mark is changed later; nothing is activated now",
            probe=Command(
                argv=(
                    "nmcli", "--get-values", "connection.interface-name", "connection", "show",
                    "uuid", profile.uuid,
                ),
                why="see that it still is that profile",
                expect=profile.interface,
            ),
            actions=(
                Command(
                    argv=(
                        "nmcli", "connection", "modify", "uuid", profile.uuid,
                        "connection.stable-id", NM_MARK,
                    ),
                    why="has no effect but to be seen, where the host gets no addresses by it",
                ),
            ),
        )
        for profile in unmarked(scene, network)
    )  # fmt: skip


def _guest_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    domain = scene.domains[guest.name]
    aside = _aside_step(scene, guest, domain)
    steps = [aside] if aside is not None else []
    steps += [
        _volume_step(guest, disk, volume)
        for disk in guest.volumes
        if (volume := scene.volume(disk)) is not None and not owned(volume, guest, disk)
    ]
    if not domain.ours:
        steps.append(_domain_step(guest, domain))
    keep = kept_step(scene, guest, steps, "")
    return (*steps, keep) if keep is not None else tuple(steps)


def _volume_step(guest: Guest, disk: LvDisk, volume: Volume) -> Step:
    lv = volume.full_name
    tags = lv_tags(guest.name, disk.name)
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"mark LV {lv} as its disk {disk.name}",
        why="only what wears our mark is changed later",
        probe=same_tags(volume),
        actions=(retag(volume, "--addtag", tags, "tags change nothing but LVM's own notes"),),
    )


def _domain_step(guest: Guest, domain: Domain) -> Step:
    files = files_of(guest)
    live = files if active(domain) else None
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="mark its domain as ours",
        why="only what wears our mark is changed later; the guest doesn't see it",
        probe=is_guest(guest),
        actions=mark_commands(replace(guest, labels=()), (), files, live),
    )


def _aside_step(scene: Scene, guest: Guest, domain: Domain) -> Step | None:
    """Return what keeps the file that somebody wrote by hand where ours is to be."""
    aside = f"{guest.name}.by-hand"
    saved = scene.saved.get(guest.name)
    if domain.ours or saved is None or aside in scene.saved or holds(saved, domain):
        return None
    path = kept_path(scene.spec, guest)
    other = by_hand_path(scene.spec, guest)
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"keep {path} of today as {other}",
        why="from now on the file is what libvirt has",
        actions=(
            Command(
                argv=("ln", "--no-target-directory", "--", path, other), why="give it a second name"
            ),
        ),
    )


def _marked(scene: Scene, found: Found) -> Facts:
    """Return the facts as they are once all marks are there."""
    facts = scene.facts
    tags = {
        disk.lv: lv_tags(guest.name, disk.name) for guest in scene.guests for disk in guest.volumes
    }
    profiles = {
        profile.uuid
        for network in scene.spec.networks
        if network.name in found.networks
        for profile in unmarked(scene, network)
    }
    return replace(
        facts,
        volumes=tuple(
            replace(volume, tags=(*volume.tags, *tags[volume.name]))
            if volume.vg == scene.spec.storage.vg and volume.name in tags
            else volume
            for volume in facts.volumes
        ),
        domains=tuple(
            _with_domain_mark(domain, scene.every_guest.get(GuestName(domain.name)))
            if not domain.ours and domain.name in found.guests
            else domain
            for domain in facts.domains
        ),
        nm=replace(
            facts.nm,
            profiles=tuple(
                _with_mark(profile) if profile.uuid in profiles else profile
                for profile in facts.nm.profiles
            ),
        ),
    )


def _with_domain_mark(domain: Domain, guest: Guest | None) -> Domain:
    files = () if guest is None else files_of(guest)
    return replace(domain, ours=True, files=files, live_files=files if active(domain) else ())


def _with_mark(profile: Profile) -> Profile:
    others = (pair for pair in profile.settings if pair[0] != "connection.stable-id")
    return replace(profile, settings=(*others, ("connection.stable-id", NM_MARK)))


def _keeps(step: Step) -> bool:
    """Whether a step only keeps a definition: that is done here already."""
    return all(_reads(action) for action in step.all_actions)


def _reads(action: Action) -> bool:
    return isinstance(action, Command) and action.argv[:2] in {
        ("virsh", "dumpxml"),
        ("mkdir", "--parents"),
    }


def _touches(step: Step, guests: dict[GuestName, Guest]) -> bool:
    """Whether a step would write to a disk, or start or stop a guest that was taken over."""
    adopted = {f"guest {name}" for name, guest in guests.items() if guest.adopted}
    return step.subject in adopted and (step.noun is Noun.STORAGE or step.risk is Risk.GUEST)


def _too_much(step: Step) -> Refusal:
    return Refusal(
        subject=step.subject,
        reason=f"afterwards, `kvmkeep apply` would: {step.what}",
        hint="make the spec say what is there, then take it over",
    )
