"""The look of `adopt`: what is there, what the spec would have to say of it, and the plan."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.flow import Look
from kvmkeep.planning.adoption.adopt import plan_adopt
from kvmkeep.planning.adoption.choice import left_out, taking
from kvmkeep.report.json import encoded
from kvmkeep.spec.found_files import spec_files, with_files
from kvmkeep.spec.load import HOST_FILE, load
from kvmkeep.spec.starter import host_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec
    from kvmkeep.planning.adoption.choice import AdoptRequest


class Takeover(Struct, frozen=True, kw_only=True):
    """The spec as it will be, what is there, and the plan from one to the other."""

    spec: Spec
    facts: Facts
    plan: Plan


def looker(wish: AdoptRequest, ctx: Context) -> Callable[[Door], Look]:
    """Return the look of a run."""

    def look(door: Door) -> Look:
        directory = posixpath.abspath(ctx.spec_dir)

        def observe(spec: Spec | None) -> Facts:
            return ctx.observe(spec, door=door, others_files=True)

        found = look_at(directory, door, observe, wish)
        return Look(spec=encoded(found.spec), facts=encoded(found.facts), plan=found.plan)

    return look


def look_at(
    directory: str, door: Door, observe: Callable[[Spec | None], Facts], wish: AdoptRequest
) -> Takeover:
    """Look and plan; where there is no spec yet, one is made up from what is found."""
    texts: dict[str, bytes] = {}
    if door.read(f"{directory}/{HOST_FILE}") is None:
        texts[HOST_FILE] = host_text(observe(None), {}).encode()
    before = load(directory, door, texts)
    facts = observe(before)
    if texts:
        texts[HOST_FILE] = host_text(facts, left_out(before, facts)).encode()
        before = load(directory, door, texts)
    found = taking(before, facts, wish)
    files, wrong = spec_files(before, found, door, directory, texts)
    after, unfit = with_files(before, files, door, directory)
    plan = plan_adopt(after, facts, found, files, (*wrong, *unfit))
    return Takeover(spec=after, facts=facts, plan=plan)
