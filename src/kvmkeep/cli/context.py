"""What every verb is given: the global options, the streams, and the way to the other stages.

All imports of the stages are made when they are needed: libvirt, YAML and the rest cost more time
than most verbs take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import SpecError, Unready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kvmkeep import flow
    from kvmkeep.apply.journal import Journals
    from kvmkeep.apply.sight import Sight
    from kvmkeep.apply.ui import Ui
    from kvmkeep.cli.goal import Goal
    from kvmkeep.cli.stages import Stages
    from kvmkeep.cli.streams import Streams
    from kvmkeep.flow import Confirm
    from kvmkeep.host.door import Door
    from kvmkeep.host.libvirt import Libvirt, State
    from kvmkeep.host.lock import Lock
    from kvmkeep.model.backup import RepositoryFacts
    from kvmkeep.model.facts import Facts, Problem, Volume
    from kvmkeep.model.plan import Report
    from kvmkeep.model.spec import Spec
    from kvmkeep.model.trash import TrashEntry
    from kvmkeep.model.vitals import Vitals


def unready(problem: Problem) -> Unready:
    """Return the error of a verb that can't do without what was not seen."""
    return Unready(f"{problem.what}: {problem.reason}", hint=problem.hint)


class Context(Struct, frozen=True, kw_only=True):
    """The options that every verb takes.

    `spec_dir` is the spec's directory, `connect` libvirt's URI. `json` asks for JSON, `verbose`
    for each command. `argv` is the command line, for the journal. `hasty_door` and `hasty_libvirt`
    stand in the place of the stages' own where a look has to end: see `hurried`.
    """

    spec_dir: str
    connect: str
    json: bool
    verbose: bool
    debug: bool
    streams: Streams
    stages: Stages
    argv: tuple[str, ...] = ()
    hasty_door: Door | None = None
    hasty_libvirt: Libvirt | None = None

    def door(self) -> Door:
        """Return the door to the machine."""
        return self.hasty_door or self.stages.door()

    def hurried(self, limit: float) -> Context:
        """Return what looks at the same machine, and ends within `limit` seconds in all."""
        from msgspec.structs import replace

        from kvmkeep.host.hurried import HASTY, HurriedDoor

        of_libvirt = limit / 4
        door = HurriedDoor(self.stages.door(HASTY), limit - of_libvirt)
        libvirt = self.stages.libvirt(self.connect, limit=of_libvirt)
        return replace(self, hasty_door=door, hasty_libvirt=libvirt)

    def libvirt(self) -> Libvirt:
        """Return the connection to libvirt; it is made when it is first used."""
        return self.hasty_libvirt or self.stages.libvirt(self.connect)

    def run_goal(
        self,
        goal: Goal,
        ui: Ui,
        confirm: Confirm,
        *,
        patience: float = 0.0,
        unattended: bool = False,
        fallback_spec: Spec | None = None,
        sight: Sight | None = None,
    ) -> Report:
        """Reach a goal; see `flow.run_goal`.

        `patience`, `unattended`, `fallback_spec` and `sight` are for runs that nobody attends to:
        see `flow.RunSettings`.
        """
        from msgspec.structs import replace

        from kvmkeep.apply.sight import Sight

        context = replace(
            self._flow(ui, goal.lock),
            reading=goal.reading,
            dry_run=goal.dry_run,
            agents=goal.agents,
            repositories=goal.repositories,
            beside=None if goal.beside is None else goal.beside.look,
            patience=patience,
            unattended=unattended,
            fallback_spec=fallback_spec,
            sight=sight or Sight(),
        )
        return self.stages.run_goal(context, goal.verb, goal.planner, confirm)

    def reach(
        self, ui: Ui, verb: str, look: Callable[[Door], flow.Look], confirm: Confirm
    ) -> Report:
        """Reach a goal of its own kind of look; see `flow.reach`."""
        from kvmkeep.flow import reach

        run = self._flow(ui)
        return reach(run, verb, lambda: look(run.door), confirm)

    def reading(self, *, exclusive: bool = False) -> Lock:
        """Return the lock of who reads data out of a repository; `exclusive` is for who deletes.

        Engines that read take no lock of their own: a repository may be read-only. What is
        forgotten or pruned meanwhile they would miss.
        """
        from kvmkeep.model.names import READING_LOCK

        return self.stages.lock(READING_LOCK, shared=not exclusive)

    def _flow(self, ui: Ui, lock: Lock | None = None) -> flow.RunSettings:
        """Return what a run works with: one request to stop, shared by run and door."""
        from kvmkeep import flow
        from kvmkeep.cli.consent import answers
        from kvmkeep.host.run import Setting
        from kvmkeep.host.stop import Stop
        from kvmkeep.model.names import LOCK_FILE

        stop = Stop()
        return flow.RunSettings(
            spec_dir=self.spec_dir,
            door=self.hasty_door or self.stages.door(Setting(stop=stop)),
            libvirt=self.libvirt(),
            ui=ui,
            stop=stop,
            lock=lock or self.stages.lock(LOCK_FILE),
            journals=self.journals(),
            argv=("kvmkeep", *self.argv),
            typed=answers(),
        )

    def spec(self) -> Spec:
        """Return the spec, or raise SpecError with all its mistakes."""
        from kvmkeep.spec.load import load

        try:
            return load(self.spec_dir, self.door())
        except OSError as error:
            raise Unready(
                f"the spec in {self.spec_dir} can't be read: {error.strerror}",
                hint="run it as root, or name another directory with --spec",
            ) from error

    def unattended_spec(self, ui: Ui, fallback_spec: Spec | None) -> Spec:
        """Return the spec that a run goes by which nobody attends to; see `flow.RunSettings`."""
        from msgspec.structs import replace

        from kvmkeep.flow import load_spec

        return load_spec(replace(self._flow(ui), unattended=True, fallback_spec=fallback_spec))

    def spec_with(self, file: str, content: bytes, hint: str) -> Spec:
        """Return the spec as it will be with a guest's file back; raises SpecError with `hint`."""
        from kvmkeep.spec.load import load

        try:
            return load(self.spec_dir, self.door(), also={file: content})
        except SpecError as error:
            text = f"with the guest's file back, the spec would have mistakes:\n{error.message}"
            raise SpecError(text, hint=hint) from error

    def has_spec(self) -> bool:
        """Whether there is a spec at all."""
        return "host.yaml" in self._names(self.spec_dir)

    def spec_or_none(self) -> Spec | None:
        """Return the spec, or None where there is none at all."""
        return self.spec() if self.has_spec() else None

    def guest_names(self) -> tuple[str, ...]:
        """Return the names of the spec's guests without parsing it: of each file, its name.

        A guest whose file gives it another name is known by the line that does so.
        """
        from kvmkeep.cli.guests import named_in

        folder = f"{self.spec_dir}/guests"
        files = [name for name in self._names(folder) if name.endswith(".yaml") and name[0] != "."]
        return tuple(named_in(self._content(f"{folder}/{name}"), name) for name in files)

    def states(self) -> tuple[State, ...]:
        """Return name and state of each domain that is a guest: the fast look."""
        from kvmkeep.model.proof import is_proof_domain

        return tuple(one for one in self.libvirt().states() if not is_proof_domain(one.name))

    def observe(
        self,
        spec: Spec | None,
        agents: tuple[str, ...] = (),
        door: Door | None = None,
        *,
        others_files: bool = False,
        repositories: tuple[str, ...] = (),
    ) -> Facts:
        """Return what is found on the host; `spec` names the images to look at.

        `agents` names the guests whose agents are asked. `others_files`: files that are disks of
        guests beside the spec are looked at as well. `repositories` names those that are listed.
        """
        return self.stages.observe(
            door or self.door(),
            self.libvirt(),
            spec,
            agents=agents,
            others_files=others_files,
            repositories=repositories,
        )

    def vitals(self, spec: Spec) -> Vitals:
        """Return the signs of the host's health, without its runs and its guests' answers."""
        return self.stages.vitals(self.door(), self.spec_dir, spec.trusted)

    def volumes(self) -> tuple[Volume, ...]:
        """Return the logical volumes, and look at nothing else; raises Unready."""
        from kvmkeep.host.tools import Unanswered

        try:
            return self.stages.volumes(self.door())
        except Unanswered as error:
            raise unready(error.problem) from error

    def repositories(self, spec: Spec, names: Iterable[str]) -> tuple[RepositoryFacts, ...]:
        """Return what those repositories hold, and look at nothing else."""
        return self.stages.repositories(self.door(), spec, names)

    def trash(self, spec: Spec) -> tuple[TrashEntry, ...]:
        """Return what lies in the trash; raises Unready."""
        from kvmkeep.model.trash import trash_entries
        from kvmkeep.observe.notebook import Notebook
        from kvmkeep.observe.trash import observe_trash

        notebook = Notebook(self.door())
        folders = observe_trash(notebook)
        for problem in notebook.problems:
            raise unready(problem)
        return trash_entries(self.volumes(), spec.storage.vg, folders)

    def journals(self) -> Journals:
        """Return the journals of earlier runs."""
        return self.stages.journals()

    def print_json(self, value: Mapping[str, object], *, foreign: bool = False) -> None:
        """Print a versioned JSON document; see `Streams` for what is `foreign`."""
        import json

        from kvmkeep.report.json import JSON_VERSION

        document = {"version": JSON_VERSION, **value}
        self.streams.json(json.dumps(document, indent=2, ensure_ascii=False), foreign=foreign)

    def tell_problems(self, facts: Facts) -> None:
        """Say on stderr what could not be observed."""
        for problem in facts.problems:
            hint = f" ({problem.hint})" if problem.hint else ""
            self.streams.talk(f"not seen: {problem.what}: {problem.reason}{hint}")

    def _names(self, directory: str) -> tuple[str, ...]:
        try:
            return self.door().names(directory)
        except PermissionError:
            self.streams.talk(f"{directory} can't be read: without it the spec is not known")
            return ()
        except OSError as error:
            raise Unready(f"{directory} can't be read: {error.strerror}") from error

    def _content(self, path: str) -> bytes:
        try:
            return self.door().read(path) or b""
        except OSError:
            return b""
