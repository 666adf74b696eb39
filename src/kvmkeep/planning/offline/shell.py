"""The plans of `shell`: have a disk stand ready for somebody at a terminal, and put it away again.

The shell itself may last for hours, so it runs between two plans, without the lock. While it
runs, a tag tells so, on the LV or on the snapshot that it looks through; a tag counts only as
long as the LV is open, so a shell that was killed keeps nobody out.
"""

from __future__ import annotations

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import TAG_SHELL
from kvmkeep.model.plan import Noun, Plan, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.planning import guards, programs
from kvmkeep.planning.disks.storage import activation
from kvmkeep.planning.offline.disk import (
    leftovers,
    look_snapshot,
    reading,
    reading_refusals,
    unused,
    writing_refusals,
)
from kvmkeep.planning.scene import Scene, active, make_scene


def plan_open(spec: Spec, facts: Facts, name: str, run: str, *, read_only: bool) -> Plan:
    """Plan to have a disk stand ready; `run` names this run. Empty once `open_disk` finds it."""
    scene, guest = _scene(spec, facts, name)
    if open_disk(spec, facts, name, run):
        return Plan()
    refuse = reading_refusals if read_only else writing_refusals
    refusals = (*guards.unseen(scene), *refuse(scene, guest))
    if refusals:
        return Plan(refusals=refusals)
    tag = TAG_SHELL + run
    source = reading(scene, guest, tag)
    domain = scene.own_domain(guest)
    if domain is not None and active(domain):
        step = Step(
            noun=Noun.STORAGE,
            subject=f"guest {guest.name}",
            what=f"have its disk {guest.root.lv} as it is now, in a snapshot",
            why="you asked for a shell in it, and it runs",
            probe=source.probe,
            actions=source.before,
        )
        return _checked(scene, (*leftovers(scene, guest), step))
    old = _shell_tags(scene.volume(guest.root))
    words = [word for one in old for word in ("--deltag", one)]
    mark = ("lvchange", *words, "--addtag", tag, scene.full_name(guest.root.lv))
    step = Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"mark its disk {guest.root.lv}",
        why="you asked for a shell in it; nobody may start it meanwhile",
        probe=unused(scene, guest),
        actions=(
            *activation(scene, guest),
            Command(argv=mark, why="tell others that somebody is in it"),
        ),
    )
    return _checked(scene, (step,))


def plan_close(spec: Spec, facts: Facts, name: str, run: str) -> Plan:
    """Plan to take the snapshot or the mark away after the shell."""
    scene, guest = _scene(spec, facts, name)
    found = open_disk(spec, facts, name, run)
    if not found:
        return Plan(refusals=guards.unseen(scene))
    if found != scene.path(guest.root):
        return _checked(scene, leftovers(scene, guest))
    unmark = ("lvchange", "--deltag", TAG_SHELL + run, scene.full_name(guest.root.lv))
    step = Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"take the mark from its disk {guest.root.lv}",
        why="the shell has ended",
        actions=(Command(argv=unmark, why="nobody is in it any more"),),
    )
    return _checked(scene, (step,))


def open_disk(spec: Spec, facts: Facts, name: str, run: str) -> str:
    """Return the path of the disk that stands ready for this run; nothing if there is none."""
    scene, guest = _scene(spec, facts, name)
    tag = TAG_SHELL + run
    snapshot, root = look_snapshot(scene, guest), scene.volume(guest.root)
    if snapshot is not None and tag in snapshot.tags:
        return f"/dev/{snapshot.full_name}"
    return scene.path(guest.root) if root is not None and tag in root.tags else ""


def shell_argv(path: str, *, read_only: bool) -> tuple[str, ...]:
    """Return the command that is a shell in a disk (virt-rescue(1))."""
    return ("virt-rescue", "--ro" if read_only else "--rw", "--format=raw", "-a", path, "-i")


def _scene(spec: Spec, facts: Facts, name: str) -> tuple[Scene, Guest]:
    guest = next(one for one in spec.guests if one.name == name)
    return make_scene(spec, facts, (guest,)), guest


def _checked(scene: Scene, steps: tuple[Step, ...]) -> Plan:
    return Plan(steps=steps, refusals=programs.missing_tools(scene, steps))


def _shell_tags(volume: Volume | None) -> tuple[str, ...]:
    return tuple(tag for tag in volume.tags if tag.startswith(TAG_SHELL)) if volume else ()
