"""What stands between a verb and the machine: the other stages, and what they work with.

All imports of the stages are made when they are needed: libvirt, YAML and the rest cost more time
than most verbs take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kvmkeep import flow
    from kvmkeep.apply.journal import Journals
    from kvmkeep.host.door import Door
    from kvmkeep.host.libvirt import Libvirt
    from kvmkeep.host.lock import Lock
    from kvmkeep.host.run import Setting
    from kvmkeep.model.backup import RepositoryFacts
    from kvmkeep.model.facts import Facts, Volume
    from kvmkeep.model.plan import Report
    from kvmkeep.model.spec import Spec
    from kvmkeep.model.vitals import Vitals


class Stages:
    """The ways from a verb to the machine; tests put other stages in their place."""

    def door(self, setting: Setting | None = None) -> Door:
        """Return the door to the machine."""
        from kvmkeep.host.machine_door import MachineDoor

        return MachineDoor(setting)

    def libvirt(self, uri: str, *, limit: float = 30.0) -> Libvirt:
        """Return the connection to libvirt, whose answers are waited for `limit` seconds.

        It is made when it is first used.
        """
        from kvmkeep.host.libvirt import Libvirt

        return Libvirt(uri, limit=limit)

    def lock(self, path: str, *, shared: bool = False) -> Lock:
        """Return the lock of that file."""
        from kvmkeep.host.lock import Lock

        return Lock(path, shared=shared)

    def journals(self) -> Journals:
        """Return the journals of earlier runs."""
        from kvmkeep.apply.journal import Journals

        return Journals()

    def observe(
        self,
        door: Door,
        libvirt: Libvirt,
        spec: Spec | None,
        *,
        agents: Iterable[str] = (),
        others_files: bool = False,
        repositories: Iterable[str] = (),
    ) -> Facts:
        """Return the host as it is; see `observe.machine`."""
        from kvmkeep.observe.machine import observe

        return observe(
            door,
            libvirt,
            spec,
            agents=agents,
            others_files=others_files,
            repositories=repositories,
        )

    def vitals(self, door: Door, spec_dir: str, trusted: tuple[str, ...]) -> Vitals:
        """Return the signs of the host's health; see `observe.vitals`."""
        from kvmkeep.observe.vitals import observe_vitals

        return observe_vitals(door, spec_dir, trusted)

    def volumes(self, door: Door) -> tuple[Volume, ...]:
        """Return the logical volumes, and look at nothing else; raises Unanswered."""
        from kvmkeep.host.lvm import volumes

        return volumes(door)

    def repositories(
        self, door: Door, spec: Spec, names: Iterable[str]
    ) -> tuple[RepositoryFacts, ...]:
        """Return what those repositories hold, and look at nothing else."""
        from kvmkeep.host.repositories import look
        from kvmkeep.model.host_units import PROGRAM

        program, wanted = door.which(PROGRAM), frozenset(names)
        return tuple(look(door, one, program) for one in spec.repositories if one.name in wanted)

    def run_goal(
        self, ctx: flow.RunSettings, verb: str, planner: flow.Planner, confirm: flow.Confirm | None
    ) -> Report:
        """Reach a goal; see `flow.run_goal`."""
        from kvmkeep.flow import run_goal

        return run_goal(ctx, verb, planner, confirm)
