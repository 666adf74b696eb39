"""The plan of `inspect`: ask a disk what is in it, and keep the answer where it can be read."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.inside import Inside, inside_script
from kvmkeep.model.look import look_argv
from kvmkeep.model.names import INSIDE_DIR
from kvmkeep.model.plan import Noun, Plan, Refusal, Step
from kvmkeep.model.spec import Format, Guest, Image, Spec
from kvmkeep.model.units import Label
from kvmkeep.planning import guards, programs
from kvmkeep.planning.commands import same_file
from kvmkeep.planning.offline.disk import leftovers, reading, reading_refusals
from kvmkeep.planning.scene import Scene, make_scene

LOOK_TIME = 1200.0
"""Seconds that a look may take; without KVM the appliance needs minutes."""


class Question(Struct, frozen=True, kw_only=True):
    """Which guest or image is asked, and when (`second_stamp`)."""

    name: str
    asked: str

    @property
    def path(self) -> str:
        """Where the answer is kept."""
        return f"{INSIDE_DIR}/{self.name}.txt"


def plan_inspect(spec: Spec, facts: Facts, question: Question, known: Inside | None) -> Plan:
    """Plan to look into a guest's disk or an image; `known` is the answer that lies there."""
    guest = spec.guest(question.name)
    scene = make_scene(spec, facts, (guest,) if guest is not None else ())
    answered = known is not None and known.asked == question.asked
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...]
    if guest is not None:
        refusals = reading_refusals(scene, guest) if not answered else ()
        steps = leftovers(scene, guest)
        if not answered and not refusals:
            steps = (*steps, guest_step(scene, guest, question))
    else:
        image = spec.image(Label(question.name))
        refusals = () if answered else image_refusals(scene, image)
        if not answered and not refusals:
            steps = (_image_step(scene, image, question),)
    return Plan(
        steps=steps,
        refusals=(*guards.unseen(scene), *programs.missing_tools(scene, steps), *refusals),
    )


def guest_step(scene: Scene, guest: Guest, question: Question) -> Step:
    """Return what looks into a guest's root disk."""
    source = reading(scene, guest)
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"look into its disk {guest.root.lv}{source.through}",
        why="you asked for what is in it",
        probe=source.probe,
        actions=(*source.before, _ask(source.path, Format.RAW, question)),
        finally_=source.after,
    )


def _image_step(scene: Scene, image: Image, question: Question) -> Step:
    usable = scene.image_facts[image.name].usable
    assert usable is not None  # noqa: S101 - refused before
    same = same_file(usable.path, usable.fingerprint)
    return Step(
        noun=Noun.IMAGES,
        subject=f"image {image.name}",
        what=f"look into {usable.path}",
        why="you asked for what is in it",
        probe=same,
        actions=(_ask(usable.path, image.format, question),),
    )


def image_refusals(scene: Scene, image: Image) -> tuple[Refusal, ...]:
    """Return why an image can't be looked into."""
    subject = f"image {image.name}"
    known = scene.image_facts.get(image.name)
    if known is None or known.usable is None or known.header is None:
        hint = "kvmkeep apply brings it for a guest that is made from it"
        return (
            Refusal(subject=subject, reason="it is not on this host yet", hint=hint, unready=True),
        )
    if known.header.refused or known.header.format != image.format:
        reason = known.header.refused or f"it is {known.header.format}, not {image.format}"
        return (Refusal(subject=subject, reason=reason, hint="correct the spec, or the image"),)
    return ()


def _ask(path: str, form: Format, question: Question) -> Command:
    return Command(
        argv=look_argv(path, form),
        why="ask it in a small virtual machine, which writes nothing to it",
        stdin=inside_script(form, question.asked),
        stdout_to=question.path,
        timeout=LOOK_TIME,
    )
