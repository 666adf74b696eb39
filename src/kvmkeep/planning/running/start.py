"""The plan of `start`: guests that are off, after what they need, each waited for."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from kvmkeep.model.command import Action, Command
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import LIBVIRT, Facts
from kvmkeep.model.names import TAG_REVERT, TAG_SHELL, console_log
from kvmkeep.model.plan import Noun, Plan, Refusal, Risk, Step
from kvmkeep.model.run import ReadyConsole
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import guards, programs
from kvmkeep.planning.backups.coming_back import coming_back
from kvmkeep.planning.commands import has_state, start_command
from kvmkeep.planning.disks.edited import edited
from kvmkeep.planning.disks.files import mounted, unmounted
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.disks.storage import activation, storage_refusals
from kvmkeep.planning.disks.taken import let_go, taken
from kvmkeep.planning.domains.kept_xml import kept_domain, kept_path
from kvmkeep.planning.domains.machine_type import machine_notes
from kvmkeep.planning.domains.wanted_state import word, word_step
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.paused import STILL, how_to_continue, paused_text
from kvmkeep.planning.running.saved import resumed_notes, sleeps
from kvmkeep.planning.running.waiting import ready, set_aside
from kvmkeep.planning.scene import Scene, active, make_scene


def plan_start(spec: Spec, facts: Facts, names: Iterable[str]) -> Plan:
    """Plan to start guests, and before them those that they need; running ones are left alone."""
    named = tuple(names)
    order = in_order(spec, (GuestName(name) for name in named), with_needs=True)
    scene = make_scene(spec, facts, order.guests)
    found = (unfit(scene, guest) for guest in scene.guests)
    reasons = tuple(refusal for refusal in found if refusal is not None)
    off = [guest for guest in scene.guests if is_off(scene, guest)]
    asked = {guest for guest in scene.guests if guest.name in named or guest in off}
    made = (_step(scene, guest) for guest in scene.guests if guest in asked)
    steps = tuple(step for step in made if step is not None)
    refusals = (
        *order.refusals,
        *programs.missing_tools(scene, steps),
        *reasons,
        *_of_storage(scene, off, reasons),
        *guards.shared_disks(scene),
        *guards.memory(scene, starting=off),
    )
    notes = (*resumed_notes(scene, off), *machine_notes(scene, off))
    return Plan(steps=steps, refusals=refusals, notes=notes)


def _of_storage(
    scene: Scene, starting: Iterable[Guest], known: tuple[Refusal, ...]
) -> tuple[Refusal, ...]:
    """Refuse guests whose LVs are lost, or on their way into the trash; each for one reason."""
    subjects = {f"guest {guest.name}" for guest in starting} - {one.subject for one in known}
    return tuple(one for one in storage_refusals(scene) if one.subject in subjects)


def _step(scene: Scene, guest: Guest) -> Step | None:
    if is_off(scene, guest):
        return start_step(scene, guest, before=word(scene, guest, on=True))
    return word_step(scene, guest, on=True)


def not_a_guest(scene: Scene, guest: Guest) -> Refusal | None:
    """Return why a name is not a guest of ours on this host, if that is so."""
    subject = f"guest {guest.name}"
    domain = scene.domain(guest)
    if domain is None:
        half = guards.half_renamed(scene, guest)
        if half is not None:
            return half
        for unseen in guards.blind(scene, LIBVIRT):
            return replace(unseen, subject=subject, reason=f"it can't be seen: {unseen.reason}")
        if kept_domain(scene, guest) is not None:
            hint = f"have it back from {kept_path(scene.spec, guest)}: kvmkeep apply {guest.name}"
            return Refusal(subject=subject, reason="libvirt has lost its definition", hint=hint)
        hint = "make it first: kvmkeep apply"
        return Refusal(subject=subject, reason="libvirt does not know it yet", hint=hint)
    if scene.own_domain(guest) is None:
        hint = f"use virsh for it: virsh dumpxml {guest.name}"
        foreign = Refusal(subject=subject, reason="the domain of that name is not ours", hint=hint)
        return guards.of_another_birth(scene, guest) or foreign
    return None


def unfit(scene: Scene, guest: Guest) -> Refusal | None:
    """Return why a guest can't be started, if that is so."""
    refusal = not_a_guest(scene, guest) or _half_restored(scene, guest) or young(scene, guest)
    if refusal is not None:
        return refusal
    half = _half_reverted(scene, guest) or _lacks_mount(scene, guest) or _entered(scene, guest)
    half = half or _taken(scene, guest) or _edited(scene, guest)
    if half is not None:
        return half
    domain = scene.domains[guest.name]
    if domain.state in STILL:
        hint = how_to_continue(domain)
        return Refusal(subject=f"guest {guest.name}", reason=paused_text(domain), hint=hint)
    return None


def young(scene: Scene, guest: Guest) -> Refusal | None:
    """Return why a guest is left to `apply`: its first boot is before it, or goes on."""
    if not fresh(scene, guest):
        return None
    subject, hint = f"guest {guest.name}", "finish that: kvmkeep apply"
    return Refusal(subject=subject, reason="its first boot is not done yet", hint=hint)


def _half_restored(scene: Scene, guest: Guest) -> Refusal | None:
    """Refuse a guest with a disk, the root disk or another, whose restore did not end."""
    found = (coming_back(scene, guest, disk) for disk in guest.volumes)
    return next((one for one in found if one is not None), None) if is_off(scene, guest) else None


def _half_reverted(scene: Scene, guest: Guest) -> Refusal | None:
    """Refuse a guest with disks that are on their way back to a snapshot, or will be at a boot."""
    subject = f"guest {guest.name}"
    if not is_off(scene, guest):
        return None
    for disk in guest.volumes:
        volume = scene.volume(disk)
        to = "" if volume is None else tag_value(volume, TAG_REVERT)
        if to:
            hint = f"finish that: kvmkeep snapshot revert {guest.name} {to}"
            return Refusal(subject=subject, reason=f"its revert to {to} is not done", hint=hint)
        if volume is not None and volume.merge_waits:
            how = "--refresh" if volume.active else "--activate y"
            hint = f"begin that: lvchange {how} {volume.full_name}"
            reason = f"a merge of a snapshot into {disk.lv} was asked for, and has not begun"
            return Refusal(subject=subject, reason=reason, hint=hint)
    return None


def _lacks_mount(scene: Scene, guest: Guest) -> Refusal | None:
    return unmounted(scene, guest) if is_off(scene, guest) else None


def _entered(scene: Scene, guest: Guest) -> Refusal | None:
    """Refuse a guest in whose disk a shell is open: both would destroy what the other writes."""
    volume = scene.volume(guest.root)
    left = volume is None or not volume.opened or not tag_value(volume, TAG_SHELL)
    if left or not is_off(scene, guest):
        return None
    reason = f"a shell is open in its disk {guest.root.lv}"
    hint = "leave that `kvmkeep shell` first"
    return Refusal(subject=f"guest {guest.name}", reason=reason, hint=hint)


def _taken(scene: Scene, guest: Guest) -> Refusal | None:
    return next(taken(scene, guest), None) if is_off(scene, guest) else None


def _edited(scene: Scene, guest: Guest) -> Refusal | None:
    return next(edited(scene, guest, starting=is_off(scene, guest)), None)


def is_off(scene: Scene, guest: Guest) -> bool:
    """Whether a guest of ours has no QEMU process."""
    domain = scene.own_domain(guest)
    return domain is not None and not active(domain)


def start_step(
    scene: Scene,
    guest: Guest,
    *,
    before: tuple[Command, ...] = (),
    after: tuple[Command, ...] = (),
    state: DomainState | None = None,
) -> Step:
    """Return what runs `before`, starts a guest, waits until it is ready, and runs `after`.

    `state` is the one that it is in by then, if not the observed one.
    """
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="start it, and wait until it is ready",
        why="you asked for it, or a guest that you asked for needs it",
        probe=has_state(guest, state or scene.domains[guest.name].state),
        actions=(*before, *start_actions(scene, guest), *ready(guest), *after),
        risk=Risk.GUEST,
    )


def start_actions(scene: Scene, guest: Guest) -> tuple[Action, ...]:
    """Return what starts a guest: with its mounts, and its LVs active and nobody else's.

    One that goes on from its saved memory does not say again on its console that it is ready.
    """
    actions: list[Action] = [*mounted(guest), *activation(scene, guest), *let_go(scene, guest)]
    again = sleeps(scene.own_domain(guest))
    if isinstance(guest.run.ready, ReadyConsole) and not again:
        log = console_log(guest.name)
        actions += [set_aside(log), set_aside(f"{log}.0")]
    return (*actions, start_command(guest))
