"""The plan of `apply`: all steps from what is to what is wanted, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from kvmkeep.model.facts import LIBVIRT, LINKS, NETWORK_MANAGER, VOLUMES, Facts
from kvmkeep.model.plan import Plan, Refusal, Step
from kvmkeep.model.spec import Guest, Network, Spec
from kvmkeep.model.units import GuestName, Label
from kvmkeep.planning import groups, guards, programs
from kvmkeep.planning.backups.inherited import inherited_notes
from kvmkeep.planning.disks.astray import path_steps
from kvmkeep.planning.disks.change import attach_steps, disk_notes
from kvmkeep.planning.disks.edited import edited_refusals
from kvmkeep.planning.disks.files import file_refusals, file_steps
from kvmkeep.planning.disks.grow import (
    grow_notes,
    grow_refusals,
    grow_steps,
    later_grow_steps,
    use_steps,
)
from kvmkeep.planning.disks.leaving import undefine_disk_steps, unplug_disk_steps
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.disks.storage import data_steps, root_steps, storage_refusals
from kvmkeep.planning.disks.taken import taken_refusals
from kvmkeep.planning.domains.change import change_notes, change_refusals, change_steps
from kvmkeep.planning.domains.firmware import firmware_refusals
from kvmkeep.planning.domains.guest import (
    begin_steps,
    drop_in,
    finish_steps,
    guest_work,
)
from kvmkeep.planning.domains.kept_xml import kept_step
from kvmkeep.planning.domains.nic_places import place_refusals
from kvmkeep.planning.domains.stranded import moves, stranded_refusals
from kvmkeep.planning.domains.undefined import define_again_step, is_undefined, later_look_steps
from kvmkeep.planning.domains.xml import TemplateError
from kvmkeep.planning.first_boot.not_given import seed_notes
from kvmkeep.planning.images.bootable import boot_notes, boot_refusals
from kvmkeep.planning.images.image import ImageWork, image_notes, image_refusals, image_works
from kvmkeep.planning.networks.bridges import network_notes, network_steps
from kvmkeep.planning.networks.leftover import leftover_notes
from kvmkeep.planning.networks.refusals import network_refusals
from kvmkeep.planning.networks.taps import tap_steps
from kvmkeep.planning.running.order import in_order, unwilling_needs
from kvmkeep.planning.scene import Scene, make_scene
from kvmkeep.planning.units.install import unit_notes
from kvmkeep.planning.unnamed import double_refusals, unnamed_notes


def make_plan(spec: Spec, facts: Facts, only: Iterable[str] = ()) -> Plan:
    """Plan to make the host as the spec says.

    `only` restricts the plan to some guests, their networks and images; empty means everything.
    What can't be seen refuses the plan, and no step is for it: it only seems to be missing.
    The same spec and facts give the same plan. Steps that are certain come before those that rest
    on an assumption, so that each round gets as far as it can.
    """
    names = tuple(GuestName(name) for name in only)
    order = in_order(spec, names or (guest.name for guest in spec.guests))
    scene = make_scene(spec, facts, () if facts.unseen(VOLUMES) else order.guests)
    networks = _networks(scene) if names else spec.networks
    if facts.unseen(LINKS, NETWORK_MANAGER):
        networks = ()
    works = image_works(scene)
    image_steps = [step for work in works.values() for step in work.steps]
    certain = tuple(step for step in image_steps if not step.assumes)
    assumed = tuple(step for step in image_steps if step.assumes)
    of_networks = network_steps(scene, networks)
    first, rest, broken = _guest_steps(scene, works)
    steps = (
        *certain,
        *of_networks,
        *tap_steps(scene),
        *_moves(scene, of_networks),
        *(step for step in first if not step.assumes),
        *assumed,
        *(step for step in first if step.assumes),
        *rest,
        *(step for guest in scene.guests for step in later_look_steps(scene, guest)),
        *(step for guest in scene.guests for step in later_grow_steps(scene, guest)),
        *(
            step
            for guest in scene.guests
            if not is_undefined(scene, guest)
            for step in use_steps(scene, guest)
        ),
        *(step for guest in scene.guests for step in unplug_disk_steps(scene, guest)),
    )
    refusals = (
        *order.refusals,
        *guards.unseen(scene),
        *programs.missing_tools(scene, steps),
        *image_refusals(scene, works),
        *network_refusals(scene, networks),
        *stranded_refusals(scene, networks),
        *groups.sound_group(scene, steps),
        *storage_refusals(scene),
        *taken_refusals(scene),
        *file_refusals(scene),
        *grow_refusals(scene),
        *guards.identities(scene),
        *double_refusals(scene),
        *firmware_refusals(scene),
        *place_refusals(scene),
        *edited_refusals(scene),
        *change_refusals(scene),
        *guards.shared_disks(scene),
        *guards.capacity(scene),
        *guards.memory(scene, starting=[one for one in scene.guests if fresh(scene, one)]),
        *guards.first_boots(scene, works),
        *boot_refusals(scene, works),
        *broken,
    )
    notes = (
        *image_notes(scene, works),
        *boot_notes(scene, works),
        *network_notes(scene, networks),
        *disk_notes(scene),
        *grow_notes(scene),
        *(note for guest in scene.guests for note in change_notes(scene, guest)),
        *seed_notes(scene, works),
        *inherited_notes(scene),
        *unwilling_needs(spec, scene.guests),
        *unit_notes(spec, facts),
        *(() if names else (*unnamed_notes(scene), *leftover_notes(scene))),
    )
    if facts.unseen(LIBVIRT):  # all others are for guests
        steps = (*certain, *of_networks, *assumed)
    return Plan(steps=steps, refusals=tuple(dict.fromkeys(refusals)), notes=notes)


def _networks(scene: Scene) -> tuple[Network, ...]:
    used = {nic.network for guest in scene.guests for nic in guest.nics}
    return tuple(network for network in scene.spec.networks if network.name in used)


def _moves(scene: Scene, networks: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the moves of all guests' NICs, which rest on what the steps of networks rest on."""
    found = tuple(step for guest in scene.guests for step in moves(scene, guest))
    return _assuming(found, next((step.assumes for step in networks if step.assumes), ""))


def _guest_steps(
    scene: Scene, works: dict[Label, ImageWork]
) -> tuple[list[Step], list[Step], tuple[Refusal, ...]]:
    """Return the guests' steps up to the first wait, the others, and what is wrong with them.

    Guests come in the order of their needs. A guest that needs one whose steps rest on an
    assumption rests on it as well. First boots overlap, as many as the host has CPUs and at least
    two; but a guest is ready before one that needs it begins.
    """
    first: list[Step] = []
    rest: list[Step] = []
    steps = first
    assumed: dict[GuestName, str] = {}
    waiting: dict[GuestName, tuple[Step, ...]] = {}
    for guest in scene.guests:
        try:
            begin, finish = _steps_of(scene, guest, works)
        except TemplateError as error:
            hint = "correct the base template, or leave it out to use the built-in one"
            return [], [], (Refusal(subject="base template", reason=str(error), hint=hint),)
        text = next((step.assumes for step in (*begin, *finish) if step.assumes), "")
        text = text or next((assumed[name] for name in guest.run.needs if name in assumed), "")
        if text:
            assumed[guest.name] = text
            begin, finish = (_assuming(one, text) for one in (begin, finish))
        due = [need for need in guest.run.needs if need in waiting]
        if not due and len(waiting) >= scene.facts.boots_at_once:
            due = [next(iter(waiting))]
        if due:
            steps = rest
        for name in due:
            steps.extend(waiting.pop(name))
        steps.extend(begin)
        if fresh(scene, guest):
            waiting[guest.name] = finish
        else:
            steps.extend(finish)
    rest.extend(step for finish in waiting.values() for step in finish)
    return first, rest, ()


def _steps_of(
    scene: Scene, guest: Guest, works: dict[Label, ImageWork]
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return what begins a guest's work, and what ends it after its first boot."""
    if is_undefined(scene, guest):
        return (define_again_step(scene, guest),), ()
    image = works.get(guest.image)
    source = image.source if image is not None and fresh(scene, guest) else None
    work = guest_work(scene, guest, source)
    root = root_steps(scene, guest, source, drop_in(scene, work)) if source is not None else ()
    begin = (*root, *_data_steps(scene, guest, work.assumes), *begin_steps(scene, work))
    if not fresh(scene, guest):
        attached = (*undefine_disk_steps(scene, guest), *attach_steps(scene, guest))
        begin = (
            *begin,
            *path_steps(scene, guest),
            *attached,
            *grow_steps(scene, guest),
            *change_steps(scene, guest),
        )
    finish = finish_steps(scene, work)
    kept = kept_step(scene, guest, (*moves(scene, guest), *begin, *finish), work.assumes)
    return begin, finish if kept is None else (*finish, kept)


def _data_steps(scene: Scene, guest: Guest, assumes: str) -> tuple[Step, ...]:
    return (*data_steps(scene, guest, assumes), *file_steps(scene, guest, assumes))


def _assuming(steps: tuple[Step, ...], text: str) -> tuple[Step, ...]:
    return tuple(step if step.assumes else replace(step, assumes=text) for step in steps)
