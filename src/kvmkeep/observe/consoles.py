"""Lines on guests' consoles that tell that they are ready: the logs are dropped before long."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.host.door import Door
from kvmkeep.model.command import Command
from kvmkeep.model.console import has_said, line_argv
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.run import ReadyConsole
from kvmkeep.model.spec import Spec
from kvmkeep.observe.agents import AT_ONCE, LIMIT


def said(
    door: Door, spec: Spec, domains: Iterable[Domain], names: frozenset[str]
) -> tuple[str, ...]:
    """Return which guests of these names have said the line of their spec, and don't keep it."""
    running = {one.name: one for one in domains if one.state is DomainState.RUNNING}
    asked = {
        guest.name: Command(argv=line_argv(guest.name, wanted.pattern), why="see if it is ready")
        for guest in spec.guests
        if guest.name in names
        and isinstance(wanted := guest.run.ready, ReadyConsole)
        and (domain := running.get(guest.name)) is not None
        and not has_said(guest, domain)
    }
    results = door.run_all(tuple(asked.values()), limit=LIMIT, at_once=AT_ONCE) if asked else ()
    return tuple(name for name, one in zip(asked, results, strict=True) if one.ok)
