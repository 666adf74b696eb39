"""`kvmkeep start`: start guests and wait until they are ready, in the order they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmkeep.cli.of_guests import Args, OfGuests

if TYPE_CHECKING:
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec

__all__ = ["Args", "add", "run"]


def _plan(spec: Spec, facts: Facts, names: tuple[str, ...]) -> Plan:
    from kvmkeep.planning.running.start import plan_start

    return plan_start(spec, facts, names)


_VERB = OfGuests(verb="start", what="start", plan=_plan)
add, run = _VERB.add, _VERB.run
