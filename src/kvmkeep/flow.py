"""The order of the stages, and nothing else: load, observe, plan, apply, and look again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from kvmkeep import __version__
from kvmkeep.apply.checkpoint import wait_for_others
from kvmkeep.apply.executor import apply_plan
from kvmkeep.apply.journal import Journal, Journals, digest
from kvmkeep.apply.sight import Lookout, Sight
from kvmkeep.apply.ui import SteadyUi, Ui
from kvmkeep.errors import (
    Declined,
    Interrupted,
    KvmkeepError,
    NotConverged,
    Refused,
    SpecError,
    StepFailed,
    Unready,
)
from kvmkeep.host.clock import utc_now
from kvmkeep.host.environment import invoker
from kvmkeep.host.lock import Lock
from kvmkeep.host.machine_door import host_name
from kvmkeep.host.stop import Stop
from kvmkeep.model.plan import Outcome, Plan, Report, strands
from kvmkeep.observe.machine import observe
from kvmkeep.report.json import encoded
from kvmkeep.report.outcome import (
    again_text,
    counted,
    failure_text,
    leftover_text,
    refusal_text,
    shows_text,
    unfinished_text,
)
from kvmkeep.spec.good import keep_last, stand_in
from kvmkeep.spec.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmkeep.host.door import Door
    from kvmkeep.host.libvirt import Libvirt
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.spec import Spec

ROUNDS = 6
"""How often a run plans at most: anew after what was assumed is known, and after a failed try."""
TRIES = 3
"""How often a step that is `isolated` is tried; more often as long as another has tries left."""
PAUSE = 5.0
"""Seconds before it is tried again; more after each try."""
READING_PATIENCE = 1800.0
"""Seconds that who deletes from a repository waits for who reads it, and the other way round."""

Planner = Callable[["Spec", "Facts"], Plan]
"""From what is wanted and what is to the steps: a goal, such as apply, start or shutdown."""

Confirm = Callable[[Plan], bool]
"""Asks whether this plan may run; asked again when a later round plans something else."""


class RunSettings(Struct, frozen=True, kw_only=True):
    """What a run works with. `argv` is the command line as the administrator typed it.

    `agents` names the guests whose agents are asked with each look, `repositories` those whose
    backups are listed; `beside` looks at what else the planner goes by, and returns it for the
    journal. `reading` is a lock that is held besides, and taken first. `door` must share `stop`:
    `MachineDoor(Setting(stop=stop))`. A run waits `patience` seconds for another one to end.
    `dry_run` tells whether the verb takes --dry-run, `typed` whether it has a terminal.

    Where the host starts or goes down, nobody is there to mend what is in the way (`unattended`):
    then a run goes by the last good spec where the present one has mistakes, and by the
    `fallback_spec` where none was kept either; it goes on where its journal can't be kept, waits
    for nobody else's change of the network, and looks again for what can't be seen (`sight`).
    """

    spec_dir: str
    door: Door
    libvirt: Libvirt
    ui: Ui = field(default_factory=Ui)
    stop: Stop = field(default_factory=Stop)
    lock: Lock = field(default_factory=Lock)
    reading: Lock | None = None
    journals: Journals = field(default_factory=Journals)
    argv: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    beside: Callable[[Door], bytes] | None = None
    patience: float = 0.0
    dry_run: bool = True
    typed: bool = False
    unattended: bool = False
    fallback_spec: Spec | None = None
    sight: Sight = Sight()


def load_spec(ctx: RunSettings, seen: dict[str, bytes] | None = None) -> Spec:
    """Return what the administrator wants; raises SpecError with all mistakes.

    `seen` takes the content of its files, as long as it is without mistakes.
    """
    files: dict[str, bytes] = {}
    try:
        spec = load(ctx.spec_dir, ctx.door, seen=files)
    except SpecError as error:
        if not ctx.unattended:
            raise
        other = stand_in(error, ctx.spec_dir, ctx.door, ctx.fallback_spec)
        if other is None:
            raise
        spec, told = other
        ctx.ui.warn(told)
        files = {}
    if seen is not None:
        seen.clear()
        seen.update(files)
    return spec


def observe_host(ctx: RunSettings, spec: Spec) -> Facts:
    """Return what is, without changing anything; `spec` names the images to look at."""
    return observe(ctx.door, ctx.libvirt, spec, agents=ctx.agents, repositories=ctx.repositories)


def look_beside(ctx: RunSettings) -> bytes:
    """Look at what the planner goes by beside spec and facts; return it for the journal."""
    return b"" if ctx.beside is None else ctx.beside(ctx.door)


def run_goal(
    ctx: RunSettings, verb: str, planner: Planner, confirm: Confirm | None = None
) -> Report:
    """Reach a goal under the lock, and prove it: afterwards the planner finds nothing to do.

    Raises Busy, Unready, Refused and Declined when nothing was touched; StepFailed, Interrupted
    and NotConverged otherwise. All steps rest on facts that were observed under the same lock,
    and no step is run that rests on an assumption: once the certain ones are done, the host is
    observed and planned for anew. So is the spec read anew: a verb such as `rename` changes it.
    """
    files: dict[str, bytes] = {}

    def look() -> Look:
        spec = load_spec(ctx, files)
        facts = observe_host(ctx, spec)
        seen = encoded(facts) + look_beside(ctx)
        return Look(spec=encoded(spec), facts=seen, plan=planner(spec, facts))

    report = reach(ctx, verb, look, confirm)
    keep_spec(ctx, files)
    return report


def keep_spec(ctx: RunSettings, files: dict[str, bytes]) -> None:
    """Keep the files of the spec that a run was made by, for a time when they have a mistake."""
    time = utc_now().isoformat(timespec="seconds")
    seen = ctx.typed and not ctx.unattended
    trouble = keep_last(ctx.spec_dir, files, time, ctx.door, seen=seen) if files else ""
    if trouble:
        ctx.ui.warn(trouble)


class Look(Struct, frozen=True, kw_only=True):
    """A look: spec and facts (as JSON, for the journal), and the plan made from them."""

    spec: bytes
    facts: bytes
    plan: Plan


def reach(ctx: RunSettings, verb: str, look: Callable[[], Look], confirm: Confirm | None) -> Report:
    """Look and act, under the lock, until a look finds nothing to do; see `run_goal`."""
    run = _Run(ctx, verb, look, confirm)
    reading = (
        nullcontext()
        if ctx.reading is None
        else ctx.reading.hold(verb, ctx.argv, patience=READING_PATIENCE, waits=run.waits)
    )
    lock = ctx.lock.hold(verb, ctx.argv, patience=ctx.patience, waits=run.waits)
    with ctx.stop.listening(), reading, lock:
        ctx.stop.announce = run.ui.stopping
        with run.told():
            return run.reach()


class _Run:
    """One run on its way: what was agreed to, and what was done so far."""

    def __init__(
        self,
        ctx: RunSettings,
        verb: str,
        look: Callable[[], Look],
        confirm: Confirm | None,
    ) -> None:
        self.ui = SteadyUi(ctx.ui)
        self._ctx = ctx
        self._verb = verb
        self._sight = Lookout(ctx.sight, ctx.door, self.ui, ctx.stop)
        self._look_now = look
        self._confirm = confirm
        self._agreed: frozenset[tuple[str, str]] = frozenset()
        self._journal: Journal | None = None
        self._report = Report(steps=(), total=0, journal="")
        self._tries: Counter[tuple[str, str]] = Counter()

    def waits(self, message: str, seconds: float, limit: float) -> None:
        """Show that another run is waited for; raises Declined where somebody asks to stop."""
        if self._ctx.stop.requested:
            raise Declined("stopped on request")
        self._sight.waited(seconds)
        self.ui.waiting(message, seconds, limit)

    def reach(self) -> Report:
        """Go round by round: observe, plan, refuse or agree, run the certain steps."""
        look = self._look(1)
        for number in range(1, ROUNDS + 1):
            plan = look.plan
            if plan.refusals:
                raise self._refused(plan)
            if plan.empty:
                break
            if not plan.certain:
                raise self._not_converged(plan)
            self._agree(plan)
            report = self._run(look)
            if not report.ok:
                tries = self._count_tries(report)
                if plan.once or tries >= TRIES or number == ROUNDS:
                    text = unfinished_text(report, self._again, tried_again=tries > 1)
                    raise StepFailed(text)
                self._ctx.door.sleep(PAUSE * tries)
            look = self._look(number + 1)
            whole = report.ok and len(plan.certain) == len(plan.steps)
            if whole and not look.plan.empty and not self._arose(look.plan):
                raise self._not_converged(look.plan)
        if not look.plan.empty:
            raise self._not_converged(look.plan)
        self._record(look)
        return self._done()

    def _arose(self, plan: Plan) -> bool:
        """Whether all that is left came up meanwhile, and nobody is there to type for it."""
        done = {(report.step.subject, report.step.what) for report in self._report.steps}
        left = {(step.subject, step.what) for step in plan.steps}
        return self._ctx.unattended and not plan.refusals and not left & done

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell the journal and the screen how the run ended."""
        outcome = "ended by an unexpected error"
        try:
            yield
            outcome = "done"
        except KvmkeepError as error:
            outcome = f"{type(error).__name__}: {error.message}"
            raise
        finally:
            if self._journal is not None:
                self._journal.ends(outcome)
            self.ui.run_ends(self._report)

    def _look(self, number: int) -> Look:
        self.ui.round_begins(number)
        try:
            if not self._ctx.unattended:
                wait_for_others(self._ctx.door, self.ui, self._ctx.stop)
            look = self._sight.until_seen(self._look_now, lambda found: found.plan)
        except KvmkeepError as error:
            if not self._touched or isinstance(error, Interrupted):
                raise
            # Its own exit code would promise that nothing was touched.
            message = f"After {self._count} the host can't be looked at again: {error.message}"
            raise StepFailed(message, hint=error.hint) from error
        self._ctx.stop.tick()
        if self._ctx.stop.requested:
            raise self._stopped()
        return look

    def _done(self) -> Report:
        self._report = replace(self._report, total=len(self._report.steps))
        return self._report

    def _agree(self, plan: Plan) -> None:
        """Ask, unless every step was in a plan that was agreed to."""
        steps = frozenset((step.subject, step.what) for step in plan.steps)
        looks = plan.certain != plan.steps and all(step.looks for step in plan.certain)
        if self._confirm is None or steps <= self._agreed or looks:
            return
        try:
            with self._ctx.stop.deaf():
                agreed = self._confirm(plan)
        except KeyboardInterrupt:
            agreed = False
        if not agreed:
            raise self._stopped()
        self._agreed |= steps

    def _run(self, look: Look) -> Report:
        """Return what was done in this round; raises where a step strands the others."""
        plan = look.plan
        journal = self._told_journal(look)
        done = self._report.steps
        report = apply_plan(plan, self._ctx.door, journal, self.ui, self._ctx.stop, done=len(done))
        total = len(done) + len(plan.steps)
        self._report = replace(report, steps=done + report.steps, total=total)
        if report.steps and strands(report.steps[-1]):
            text = failure_text(self._report, self._again)
            if report.steps[-1].outcome is Outcome.INTERRUPTED:
                raise Interrupted(text) if self._touched else Declined(text)
            failure = report.steps[-1].failure
            command = failure.command if failure is not None else None
            raise StepFailed(text, argv=command.argv if command is not None else ())
        return report

    def _count_tries(self, report: Report) -> int:
        """Return how often each step was tried by now that failed in this round, at least.

        One that stays dead takes no try from those that were reached after it.
        """
        failed = [
            (one.step.subject, one.step.what)
            for one in report.steps
            if one.outcome not in {Outcome.DONE, Outcome.SKIPPED}
        ]
        self._tries.update(failed)
        return min(self._tries[one] for one in failed)

    def _record(self, look: Look) -> None:
        """Keep the notes of a plan that does nothing, where that is to be known later."""
        if self._journal is None and look.plan.recorded and look.plan.notes:
            self._told_journal(look)

    def _told_journal(self, look: Look) -> Journal:
        """Return the run's journal, begun if need be and told of this look's plan."""
        if self._journal is None:
            self._journal = self._ctx.journals.begin(
                self._verb,
                self._ctx.argv,
                user=invoker(),
                version=__version__,
                host=host_name(),
                troubled=self.ui.warn,
                needed=not self._ctx.unattended,
            )
        self._journal.planned(look.plan, digest(look.spec), digest(look.facts))
        return self._journal

    @property
    def _again(self) -> str:
        return again_text(self._verb, self._ctx.argv)

    @property
    def _count(self) -> str:
        return counted(self._report.steps)

    @property
    def _touched(self) -> bool:
        return any(
            step.outcome is not Outcome.INTERRUPTED or step.failure is not None
            for step in self._report.steps
        )

    def _stopped(self) -> KvmkeepError:
        if self._touched:
            return Interrupted(f"stopped on request after {self._count}")
        return Declined("stopped on request")

    def _refused(self, plan: Plan) -> KvmkeepError:
        text = refusal_text(plan)
        if not self._touched or all(report.step.looks for report in self._report.steps):
            return Unready(text) if plan.unready else Refused(text)
        return StepFailed(
            f"After {self._count} the host shows that the rest can't be done.\n{text}"
        )

    def _not_converged(self, plan: Plan) -> KvmkeepError:
        shows = shows_text(self._verb, self._ctx.argv) if self._ctx.dry_run else ""
        return NotConverged(leftover_text(plan), hint=shows)
