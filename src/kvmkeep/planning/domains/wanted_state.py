"""The word of an administrator, whether a guest is to run: kept before it is acted upon."""

from __future__ import annotations

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.run_mark import RunMark
from kvmkeep.model.spec import Guest
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.domains.kept_xml import is_kept, keep_definition
from kvmkeep.planning.domains.run_mark import keep_mark, with_word
from kvmkeep.planning.scene import Scene


def word(scene: Scene, guest: Guest, *, on: bool) -> tuple[Command, ...]:
    """Return what keeps the word that a guest is to run, or to stay off; nothing if it stands.

    A guest whose first boot is not done has no word: it is up to `apply`.
    """
    domain = scene.own_domain(guest)
    if domain is None or fresh(scene, guest):
        return ()
    why = f"have it {'run' if on else 'stay off'} after a power cut as well"
    return marking(scene, guest, domain, with_word(domain, on=on), why)


def marking(
    scene: Scene, guest: Guest, domain: Domain, mark: RunMark, why: str
) -> tuple[Command, ...]:
    """Return what keeps a mark in the definition, and in its kept file, where it differs."""
    if mark != domain.run_mark:
        return keep_mark(guest, mark, why), keep_definition(scene.spec, guest)
    # A run that was killed between both has left an old file.
    stale = guest.name in scene.saved and not is_kept(scene, guest)
    return (keep_definition(scene.spec, guest),) if stale else ()


def word_step(scene: Scene, guest: Guest, *, on: bool) -> Step | None:
    """Return the step that only keeps the word about a guest that already is as it says."""
    actions = word(scene, guest, on=on)
    if not actions:
        return None
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"remember that it is to {'run' if on else 'stay off'}",
        why="you asked for it",
        probe=is_guest(guest),
        actions=actions,
    )
