"""The stages of a host in memory, in the place of the machine's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from kvmkeep import flow
from kvmkeep.apply.journal import Journals
from kvmkeep.cli.stages import Stages
from kvmkeep.host.append import AppendFolder
from kvmkeep.host.door import Door
from kvmkeep.host.libvirt import Libvirt
from kvmkeep.host.lock import Lock, Waits
from kvmkeep.host.run import Setting
from kvmkeep.model.backup import RepositoryFacts
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.plan import Report
from kvmkeep.model.spec import Spec
from kvmkeep.model.vitals import Vitals
from kvmkeep.observe.consoles import said
from kvmkeep.observe.disks import with_disks_to_go


class DoorStages(Stages):
    """The machine's stages, with this door to it."""

    def __init__(self, door: object) -> None:
        self._door: Door = door  # type: ignore[assignment]

    def door(self, setting: Setting | None = None) -> Door:  # noqa: ARG002
        return self._door


class LibvirtStages(DoorStages):
    """The machine's stages, with this door to it and this libvirt."""

    def __init__(self, libvirt: object, door: object = None) -> None:
        super().__init__(door or Stages().door())
        self._libvirt: Libvirt = libvirt  # type: ignore[assignment]

    def libvirt(self, uri: str, *, limit: float = 30.0) -> Libvirt:  # noqa: ARG002
        return self._libvirt


class JournalStages(Stages):
    """The machine's stages, with the journals of that directory."""

    def __init__(self, directory: Path) -> None:
        self._journals = Journals(AppendFolder(str(directory)))

    def journals(self) -> Journals:
        return self._journals


class HastyLock(Lock):
    """A lock that nobody waits for."""

    @contextmanager
    def hold(
        self,
        verb: str,
        argv: tuple[str, ...] = (),
        *,
        patience: float = 0.0,  # noqa: ARG002
        waits: Waits | None = None,
    ) -> Iterator[None]:
        with super().hold(verb, argv, waits=waits):
            yield


@dataclass
class HostStages(Stages):
    """What `look` finds, as far as it was asked for.

    Locks and journals lie in `directory`; nobody waits for a lock that is `hasty`.
    """

    host: object
    directory: Path
    look: Callable[[Spec | None], Facts]
    signs: Callable[[], Vitals] = Vitals
    asked_libvirt: object = field(default_factory=object)
    hasty: bool = False

    def door(self, setting: Setting | None = None) -> Door:  # noqa: ARG002
        return self.host  # type: ignore[return-value]

    def libvirt(self, uri: str, *, limit: float = 30.0) -> Libvirt:  # noqa: ARG002
        return self.asked_libvirt  # type: ignore[return-value]

    def lock(self, path: str, *, shared: bool = False) -> Lock:
        kind = HastyLock if self.hasty else Lock
        return kind(str(self.directory / Path(path).name), shared=shared)

    def journals(self) -> Journals:
        return Journals(AppendFolder(str(self.directory / "journal")))

    def observe(
        self,
        door: Door,  # noqa: ARG002
        libvirt: Libvirt,  # noqa: ARG002
        spec: Spec | None,
        *,
        agents: Iterable[str] = (),
        others_files: bool = False,  # noqa: ARG002
        repositories: Iterable[str] = (),
    ) -> Facts:
        facts, asked, listed = self.look(spec), frozenset(agents), frozenset(repositories)
        if spec is not None:
            asked |= with_disks_to_go(spec, facts.domains, facts.volumes)
        seen = tuple(one for one in facts.backups.repositories if one.name in listed)
        return replace(
            facts,
            agents=tuple(one for one in facts.agents if one.guest in asked),
            said=() if spec is None else said(self.door(), spec, facts.domains, frozenset(agents)),
            backups=replace(facts.backups, repositories=seen),
        )

    def vitals(self, door: Door, spec_dir: str, trusted: tuple[str, ...]) -> Vitals:  # noqa: ARG002
        return self.signs()

    def volumes(self, door: Door) -> tuple[Volume, ...]:  # noqa: ARG002
        return self.look(None).volumes

    def repositories(
        self,
        door: Door,  # noqa: ARG002
        spec: Spec,
        names: Iterable[str],
    ) -> tuple[RepositoryFacts, ...]:
        listed = frozenset(names)
        seen = self.look(spec).backups.repositories
        return tuple(one for one in seen if one.name in listed)

    def run_goal(
        self, ctx: flow.RunSettings, verb: str, planner: flow.Planner, confirm: flow.Confirm | None
    ) -> Report:
        def look() -> flow.Look:
            spec = flow.load_spec(ctx)
            facts = self.observe(
                ctx.door, ctx.libvirt, spec, agents=ctx.agents, repositories=ctx.repositories
            )
            seen = flow.look_beside(ctx)
            return flow.Look(spec=b"", facts=seen, plan=planner(spec, facts))

        return flow.reach(ctx, verb, look, confirm)
