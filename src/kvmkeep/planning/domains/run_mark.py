"""How a guest's mark of how it is to run is written: model.run_mark.RunMark, as an element."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.names import RUN_KEY, RUN_URI
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.run_mark import NO_RUN_MARK, RunMark
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.scene import Known


def keep_mark(guest: Known, mark: RunMark, why: str) -> Command:
    """Return what keeps `mark` in a domain's definition, or takes the element away."""
    # A running domain's own copy is left: only the definition survives.
    argv = ("virsh", "metadata", "--domain", guest.name, "--uri", RUN_URI)
    if mark == NO_RUN_MARK:
        return Command(argv=(*argv, "--remove", "--config"), why=why)
    return Command(argv=(*argv, "--key", RUN_KEY, "--set", _element(mark), "--config"), why=why)


def with_word(domain: Domain, *, on: bool) -> RunMark:
    """Return a domain's mark after the word that it is to run, or to stay off.

    That it is to run is not kept where that holds anyhow; that it is to stay off always is, since
    who does not start with the host is started for those that need it. Either word forgets how
    often it died.
    """
    return RunMark(starts=domain.run_mark.starts, wanted=None if on and domain.starts else on)


def anew(domain: Domain) -> RunMark:
    """Return a domain's mark without how often it died."""
    return RunMark(starts=domain.run_mark.starts, wanted=domain.run_mark.wanted)


def starting_with_host(
    guest: Known, domain: Domain | None, *, on: bool, by_units: bool, stays_off: bool = False
) -> tuple[Command, ...]:
    """Return what has a guest start with the host, or not: by kvmkeep's unit, or by libvirt.

    What is to hold comes before what is to go, so that nothing is lost in between. A domain that
    is only to be defined has nothing of it yet. `stays_off` is a word that it is off until somebody
    starts it.
    """
    flagged = domain is not None and domain.autostart
    kept = NO_RUN_MARK if domain is None else domain.run_mark
    flag, starts = on and not by_units, on and by_units
    wanted = False if stays_off else kept.wanted
    mark = replace(kept, starts=starts, wanted=None if on and wanted else wanted)
    commands: list[Command] = []
    if flag != flagged:
        argv = ("virsh", "autostart", *(() if flag else ("--disable",)), "--", guest.name)
        why = f"it {'starts' if flag else 'no longer starts'} with the host"
        commands.append(Command(argv=argv, why=why if flag == on else "libvirt leaves it alone"))
    if mark != kept:
        why = "kvmkeep starts it with the host" if starts else "kvmkeep leaves it alone"
        why = "it stays off until somebody starts it" if mark.wanted is False else why
        command = keep_mark(guest, mark, why)
        commands = [command, *commands] if starts else [*commands, command]
    return tuple(commands)


def autostart_step(
    guest: Known, actions: tuple[Command, ...], *, on: bool, why: str, assumes: str = ""
) -> Step:
    """Return the step that has a guest start with the host, or not, by some actions."""
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"have it {'start' if on else 'not start'} with the host",
        why=why,
        probe=is_guest(guest),
        actions=actions,
        assumes=assumes,
    )


def _element(mark: RunMark) -> str:
    words = {
        "starts": "yes" if mark.starts else "",
        "wanted": {True: "on", False: "off", None: ""}[mark.wanted],
        "restarts": str(mark.restarts or ""),
        "last": mark.last,
        "tries": str(mark.tries or ""),
        "held": "yes" if mark.held else "",
    }
    element = ET.Element("run", {key: text for key, text in words.items() if text})
    return ET.tostring(element, encoding="unicode")
