"""The plan of `rename`: one guest gets another name, and stays the machine it is.

Its UUID and MAC addresses were derived from its old name, so the spec keeps that one as the
guest's `identity`. The spec's file is renamed last: until then the guest is known by its old name,
and a run that was killed goes on where it was.
"""

from __future__ import annotations

import posixpath
import shlex

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.command import Action, Command
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import RUN_DIR, TAG_DISK, TAG_GUEST, TAG_OURS, console_log, lv_path
from kvmkeep.model.plan import Noun, Plan, Reason, Refusal, Risk, Step, refused
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.trash import is_trash
from kvmkeep.model.units import GuestName
from kvmkeep.planning import groups, guards, programs
from kvmkeep.planning.commands import has_state, is_guest, moved, synced
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.disks.storage import half_removed
from kvmkeep.planning.domains.firmware import with_variables_named
from kvmkeep.planning.domains.kept_xml import by_hand_path, holds, keep_definition, kept_path
from kvmkeep.planning.domains.new_lv import new_disk, new_lv
from kvmkeep.planning.domains.new_name import Renaming, wrong_names
from kvmkeep.planning.domains.redefine import (
    edited,
    may_have_password,
    value_edit,
    variables_edit,
    with_value,
    written,
)
from kvmkeep.planning.lvm import wears, who_has
from kvmkeep.planning.running.saved import saved_reasons
from kvmkeep.planning.scene import Scene, active, aliases, disks_in, make_scene


class _Work(Struct, frozen=True, kw_only=True):
    """The guest under both names, and the domain that is one of them."""

    scene: Scene
    renaming: Renaming
    before: Guest
    after: Guest
    domain: Domain


def plan_rename(spec: Spec, facts: Facts, renaming: Renaming) -> Plan:
    """Plan to rename a guest that is off: domain, LVs and their snapshots, XML file, spec."""
    by_name = {guest.name: guest for guest in spec.guests}
    before = by_name.get(renaming.old)
    if before is None:
        return _done(by_name.get(renaming.new), renaming)
    scene = make_scene(spec, facts, (before,))
    domain = scene.domains_by_uuid.get(before.uuid)
    refusals = (*guards.unseen(scene), *_unfit(scene, before, domain, renaming))
    if domain is None or refusals:
        return Plan(refusals=refusals)
    disks = tuple(new_disk(scene, renaming.old, renaming.new, disk) for disk in before.disks)
    work = _Work(
        scene=scene,
        renaming=renaming,
        before=before,
        after=replace(before, name=renaming.new, disks=disks),
        domain=domain,
    )
    steps = (
        *_firmware_steps(work),
        *_domain_steps(work),
        *_volume_steps(work),
        *_xml_steps(work),
        _spec_step(work),
    )
    refusals = (
        *programs.missing_tools(scene, steps),
        *groups.whole_group(scene, steps),
        *_volume_refusals(work),
        *refused(f"guest {before.name}", (*_unnamed(work), *_unchangeable(work))),
    )
    return Plan(steps=steps, refusals=refusals)


def _done(after: Guest | None, renaming: Renaming) -> Plan:
    """Return the empty plan if there is a guest of the new name: the spec is renamed last."""
    if after is not None:
        return Plan()
    reason = "there is no guest of that name in the spec"
    hint = "`kvmkeep list` shows the names"
    return Plan(refusals=(Refusal(subject=f"guest {renaming.old}", reason=reason, hint=hint),))


def _unfit(
    scene: Scene, guest: Guest, domain: Domain | None, renaming: Renaming
) -> tuple[Refusal, ...]:
    """Return why the guest can't be renamed, or not to that name."""
    found = (*wrong_names(scene, guest, renaming), *_wrong_state(scene, guest, domain, renaming))
    return refused(f"guest {guest.name}", found)


def _wrong_state(
    scene: Scene, guest: Guest, domain: Domain | None, renaming: Renaming
) -> list[Reason]:
    found: list[Reason] = []
    if domain is None:
        found.append(("libvirt does not know it yet", "make it first: kvmkeep apply"))
    elif domain.name not in {renaming.old, renaming.new} and domain.ours:
        hint = f"finish that first: kvmkeep rename {renaming.old} {shlex.quote(domain.name)}"
        found.append((f"it was being renamed to {domain.name}", hint))
    elif not domain.ours:
        hint = f"look at: virsh dumpxml {shlex.quote(domain.name)}"
        found.append((f"its UUID is that of the domain {domain.name}, which is not ours", hint))
    elif active(domain):
        hint = f"shut it down first: kvmkeep shutdown {domain.name}"
        found.append(("it runs, and libvirt renames only guests that are off", hint))
    elif domain.name == renaming.old and fresh(scene, guest):
        found.append(("its first boot is not done yet", "finish that: kvmkeep apply"))
    return [*found, *saved_reasons(domain)]


def _volume_refusals(work: _Work) -> tuple[Refusal, ...]:
    """Return why the LVs can't be renamed: lost, being reverted, or the new name is taken."""
    found: list[Reason] = []
    vg = work.scene.spec.storage.vg
    for before, after in zip(work.before.volumes, work.after.volumes, strict=True):
        tags = {TAG_OURS, TAG_DISK + before.name}
        there = (work.scene.volumes.get(name) for name in (before.lv, after.lv))
        own = [one for one in there if one is not None and tags <= {*one.tags}]
        if any(is_trash(one) for one in own):
            found.append(half_removed(work.before, own[0]))
        elif not own:
            hint = f"look at: lvs -o +lv_tags {vg}"
            found.append((f"its LV {vg}/{before.lv} is gone, or is not ours", hint))
    for volume in _volumes(work.scene, work.renaming.old):
        wanted = _new_lv(work, volume)
        if volume.merging:
            hint = "wait until that is done: lvs -a -o +lv_merging"
            found.append((f"{vg}/{volume.name} is being reverted to a snapshot", hint))
        if volume.opened:
            found.append((f"something has {vg}/{volume.name} open", who_has(volume.full_name)))
        if wanted != volume.name and wanted in work.scene.volumes:
            found.append((f"there is an LV {vg}/{wanted}", "choose another name"))
    return refused(f"guest {work.renaming.old}", found)


def _volumes(scene: Scene, guest: GuestName) -> tuple[Volume, ...]:
    """Return all LVs that wear our mark for a guest: disks and snapshots."""
    marks = {TAG_OURS, TAG_GUEST + guest}
    return tuple(
        volume
        for volume in scene.volumes.values()
        if marks <= {*volume.tags} and not is_trash(volume)
    )


def _definition(work: _Work) -> str:
    """Return its definition, which names its firmware's variables before it gets its new name."""
    domain = work.domain
    return with_variables_named(domain) if domain.name == work.renaming.old else domain.xml


def _firmware_steps(work: _Work) -> tuple[Step, ...]:
    text = _definition(work)
    if text == work.domain.xml:
        return ()
    path = work.domain.variables
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {work.renaming.old}",
            what=f"define it with the place of its firmware's variables: {path}",
            why="libvirt finds them by its name alone, and would begin with new ones",
            probe=has_state(work.before, DomainState.SHUTOFF),
            actions=_define(
                work,
                text,
                (variables_edit(work.domain.xml, path),),
                "have libvirt keep to that file",
            ),
            risk=Risk.GUEST,
        ),
    )


def _define(work: _Work, text: str, edits: tuple[str, ...], why: str) -> tuple[Action, ...]:
    path = f"{RUN_DIR}/{work.renaming.new}.xml"
    secret = may_have_password(text)
    return (
        # By its UUID: it may have either name.
        *(edited(work.before.uuid, path, edits) if secret else written(path, text)),
        Command(argv=("virsh", "define", "--validate", "--", path), why=why),
        Command(argv=("rm", "--force", "--", path), why="leave no copy"),
    )


def _domain_steps(work: _Work) -> tuple[Step, ...]:
    old, new = work.renaming.old, work.renaming.new
    if work.domain.name == new:
        return ()
    # The link that starts it with the host is renamed by libvirt as well.
    rename = Command(argv=("virsh", "domrename", old, new), why="give the domain its new name")
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {old}",
            what=f"rename the domain to {new}",
            why="you asked for it",
            probe=has_state(work.before, DomainState.SHUTOFF),
            actions=(rename,),
            risk=Risk.GUEST,
        ),
    )


def _volume_steps(work: _Work) -> tuple[Step, ...]:
    return tuple(_volume_step(work, volume) for volume in _volumes(work.scene, work.renaming.old))


def _volume_step(work: _Work, volume: Volume) -> Step:
    old, new = work.renaming.old, work.renaming.new
    vg, name = work.scene.spec.storage.vg, _new_lv(work, volume)
    actions: list[Action] = []
    if name != volume.name:
        rename = ("lvrename", f"{vg}/{volume.name}", f"{vg}/{name}")
        actions.append(Command(argv=rename, why="give the LV its new name"))
    retag = (
        "lvchange", "--deltag", TAG_GUEST + old, "--addtag", TAG_GUEST + new, f"{vg}/{name}",
    )  # fmt: skip
    actions.append(Command(argv=retag, why="the LV is the guest's under its new name"))
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {old}",
        what=f"rename LV {vg}/{volume.name} to {name}",
        why="LVs are named after their guest",
        probe=wears(volume, (TAG_OURS, TAG_GUEST + old), "see that the LV is still this guest's"),
        actions=tuple(actions),
    )  # fmt: skip


def _new_lv(work: _Work, volume: Volume) -> str:
    return new_lv(work.scene, work.before, work.renaming.new, volume)


def _unnamed(work: _Work) -> list[Reason]:
    """Return which disk of the domain its new definition would name by a path that is gone."""
    scene, vg = work.scene, work.scene.spec.storage.vg
    text = _new_definition(work)
    found: list[Reason] = []
    for before, after in zip(work.before.volumes, work.after.volumes, strict=True):
        named = any(f"={q}{lv_path(vg, after.lv)}{q}" in text for q in "'\"")
        for one in () if named else disks_in(scene, work.domain, before):
            path = lv_path(vg, before.lv)
            hint = f"name it as {path} there: virsh edit {shlex.quote(work.domain.name)}"
            found.append((f"its definition names {path} as {one.source}", hint))
    return found


def _unchangeable(work: _Work) -> list[Reason]:
    """Return why its firmware's variables can't be named in a text that is not seen whole."""
    domain = work.domain
    if _definition(work) == domain.xml or not may_have_password(domain.xml):
        return []
    hint = f"write <nvram>{domain.variables}</nvram> there: virsh edit {shlex.quote(domain.name)}"
    known = variables_edit(domain.xml, domain.variables)
    return [] if known else [("its definition has no <os>, or more than one", hint)]


def _new_definition(work: _Work) -> str:
    """Return its definition with the new names; all else in it stays, to the byte."""
    old, new = work.renaming.old, work.renaming.new
    text = _definition(work).replace(f"<name>{old}</name>", f"<name>{new}</name>", 1)
    for value in _values(work):
        text = with_value(text, *value)
    return text


def _values(work: _Work) -> tuple[tuple[str, str, str], ...]:
    """Return which attributes change in its definition, from what to what."""
    vg = work.scene.spec.storage.vg
    return (
        *(
            (attribute, path, lv_path(vg, after.lv))
            for before, after in zip(work.before.volumes, work.after.volumes, strict=True)
            if before.lv != after.lv
            for path in aliases(vg, before.lv, "")
            for attribute in ("dev", "file")
        ),
        ("file", console_log(work.renaming.old), console_log(work.renaming.new)),
    )


def _xml_steps(work: _Work) -> tuple[Step, ...]:
    """Return what tells libvirt of the LVs' new names."""
    old, new = work.renaming.old, work.renaming.new
    text = _new_definition(work)
    if text == work.domain.xml:
        return ()
    edits = tuple(value_edit(*value) for value in _values(work))
    actions = (
        # 1 also where there is none, or where an interrupted run has moved it.
        replace(moved(console_log(old), console_log(new), "keep the console's log"), ok=(0, 1)),
        *_define(work, text, edits, "have libvirt use the LVs under their new names"),
    )
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {old}",
            what="define it with the new names of its disks and console log",
            why="its definition names them",
            probe=has_state(work.after, DomainState.SHUTOFF),
            actions=actions,
            risk=Risk.GUEST,
        ),
    )


def _spec_step(work: _Work) -> Step:
    scene, renaming = work.scene, work.renaming
    old_xml = kept_path(scene.spec, work.before)
    # Appends a line, and drops the one that an interrupted run, or an earlier renaming, wrote.
    keep = ("-e", rf"$a\identity: {work.before.identity}", "-e", "/^identity:/d")
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {renaming.old}",
        what=f"rename {renaming.file} to {posixpath.basename(renaming.new_file)}",
        why="the guest is called as its file is; with `identity` it stays the same machine",
        probe=is_guest(work.after),
        actions=(
            *_by_hand(work),
            keep_definition(scene.spec, work.after),
            Command(argv=("rm", "--force", "--", old_xml), why="that guest is no more"),
            Command(
                argv=("sed", "--in-place", *keep, "--", renaming.file),
                why="keep what its UUID and MAC addresses are derived from",
            ),
            synced(renaming.file),
            Command(
                argv=("mv", "--no-target-directory", "--", renaming.file, renaming.new_file),
                why="from now on it is the guest's new name",
            ),
        ),
    )


def _by_hand(work: _Work) -> tuple[Command, ...]:
    """Return what keeps a file that somebody has left where the guest's is to be."""
    saved = work.scene.saved.get(work.renaming.new)
    if saved is None or holds(saved, work.domain):
        return ()
    aside = by_hand_path(work.scene.spec, work.after)
    return (moved(saved.path, aside, "keep what lies there"),)
