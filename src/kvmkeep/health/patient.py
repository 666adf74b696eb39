"""What judging looks at: the spec and the facts indexed, the vital signs, and the plan."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from kvmkeep.model.facts import Facts, Problem
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.vitals import Vitals
from kvmkeep.planning.scene import Scene, make_scene


class Patient(Struct, frozen=True, kw_only=True):
    """A host to be judged.

    `now` is when it was observed, in local time, as the schedules of a spec are. `options` are
    those that find the spec.
    """

    scene: Scene
    vitals: Vitals
    plan: Plan
    now: datetime
    options: tuple[str, ...]

    @property
    def spec(self) -> Spec:
        """What is wanted."""
        return self.scene.spec

    @property
    def facts(self) -> Facts:
        """What is."""
        return self.scene.facts

    def unseen(self, what: str) -> bool:
        """Whether something could not be looked at: then its absence means nothing."""
        return any(problem.what == what for problem in self._problems)

    def unseen_in(self, directory: str) -> bool:
        """Whether something in a directory could not be looked at."""
        return any(problem.what.startswith(f"{directory}/") for problem in self._problems)

    @property
    def _problems(self) -> tuple[Problem, ...]:
        return (*self.facts.problems, *self.vitals.problems)


def make_patient(
    spec: Spec, facts: Facts, plan: Plan, vitals: Vitals, options: tuple[str, ...] = ()
) -> Patient:
    """Index what is known of a host."""
    now = facts.now.astimezone()
    scene = make_scene(spec, facts, spec.guests)
    return Patient(scene=scene, vitals=vitals, plan=plan, now=now, options=options)
