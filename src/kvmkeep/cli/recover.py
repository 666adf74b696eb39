"""`kvmkeep recover`: after the host's start, have all guests up in the order of their needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.apply.ui import SteadyUi
from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, reach_unattended, tell_notes
from kvmkeep.model.plan import Outcome

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable
    from datetime import datetime

    from kvmkeep.apply.ui import Ui
    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan, Step, StepReport
    from kvmkeep.model.spec import Spec
    from kvmkeep.planning.running.recover import Recovery

VERB = "recover"


class Args(Struct, frozen=True, kw_only=True):
    """Whether only to show the steps."""

    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_dry_run(parser)


class Row(Struct, frozen=True, kw_only=True):
    """How it went with one guest: `at` is when it was seen to be ready in this run, if it was.

    `why` tells why it is not up, or what went wrong.
    """

    guest: str
    state: str
    at: str
    needs: tuple[str, ...]
    why: str


UP, HELD, NOT_UP = "up", "held back", "not up"


class Watching(SteadyUi):
    """Notes how the last step of each guest ended, and when; `done` since the last plan.

    At the first look, when this run has the lock, it calls `begun`.
    """

    def __init__(self, ui: Ui, now: Callable[[], datetime], begun: Callable[[], None]) -> None:
        super().__init__(ui)
        self._begun = begun
        self.last: dict[str, tuple[StepReport, datetime]] = {}
        self.done: set[Step] = set()
        self._now = now

    def round_begins(self, number: int) -> None:
        """Tell that it has begun, and pass it on."""
        if number == 1:
            self._begun()
        super().round_begins(number)

    def step_ends(self, number: int, total: int, report: StepReport) -> None:
        """Note it, and pass it on."""
        self.last[report.step.subject] = (report, self._now())
        if report.outcome is Outcome.DONE:
            self.done.add(report.step)
        super().step_ends(number, total, report)


def run(args: Args, ctx: Context) -> int:
    """Bring them up, as nobody is there at night to be asked; tell how each of them stands."""
    from kvmkeep.apply.sight import Sight
    from kvmkeep.cli.examine import last_run
    from kvmkeep.host.clock import utc_now
    from kvmkeep.host.service import tell_ready
    from kvmkeep.observe.notebook import Notebook
    from kvmkeep.planning.running.preflight import preflight
    from kvmkeep.planning.running.recover import recovery
    from kvmkeep.planning.units.files import PATIENCE, RECOVERY_PATIENCE

    # Before this run is one itself.
    before = Notebook(ctx.door()).ask("the journal", last_run, None)
    looks: list[Recovery] = []
    screens: list[Watching] = []

    def planner(spec: Spec, facts: Facts) -> Plan:
        found = recovery(spec, facts)
        notes = (*found.plan.notes, *preflight(facts, before))
        looks.append(replace(found, plan=replace(found.plan, notes=notes)))
        for screen in screens:
            screen.done.clear()
        return looks[-1].plan

    def watching(ui: Ui) -> Ui:
        screens.append(Watching(ui, utc_now, tell_ready))
        return screens[-1]

    def tells() -> bool:
        if not looks or looks[-1].plan.refusals:
            return False
        tell(looks[-1], screens[-1], ctx)
        return bool(looks[-1].held_back or looks[-1].strays)

    return reach_unattended(
        Goal(verb=VERB, planner=planner),
        ctx,
        dry_run=args.dry_run,
        tells=tells,
        patience=RECOVERY_PATIENCE,
        sight=Sight(seconds=PATIENCE),
        seen=watching,
    )


def rows(found: Recovery, watching: Watching) -> tuple[Row, ...]:
    """Return how each guest stands that is to run with the host, in the order of the needs."""
    # The last round is not looked at again where something of it has failed.
    left = {step.subject for step in found.plan.steps if step not in watching.done}
    held = {one.subject: one.text for one in found.held_back}
    made: list[Row] = []
    for guest in found.guests:
        subject = f"guest {guest.name}"
        report, moment = watching.last.get(subject, (None, None))
        good = report is None or report.outcome is Outcome.DONE
        state = HELD if subject in held else UP if good and subject not in left else NOT_UP
        at = moment.isoformat(timespec="seconds") if moment is not None and state == UP else ""
        why = held.get(subject, "" if report is None or good else report.detail)
        needs = (*guest.run.needs, *guest.run.mounts)
        made.append(Row(guest=guest.name, state=state, at=at, needs=needs, why=why))
    for one in found.strays:
        name = one.subject.removeprefix("guest ")
        made.append(Row(guest=name, state=HELD, at="", needs=(), why=one.text))
    return tuple(made)


def tell(found: Recovery, watching: Watching, ctx: Context) -> None:
    """Print the report: on a terminal and in the unit's log, or as JSON."""
    from msgspec import to_builtins

    from kvmkeep.cli.table import table
    from kvmkeep.host.upkeep import synchronized
    from kvmkeep.model.text import one_line
    from kvmkeep.observe.notebook import Notebook
    from kvmkeep.planning.running.preflight import UNKEPT

    made = rows(found, watching)
    held = {one.subject for one in (*found.held_back, *found.strays)}
    notes = [note for note in found.plan.notes if note.subject not in held]
    if not Notebook(ctx.door()).ask("the clock", synchronized, default=True):
        notes.append(UNKEPT)
    if ctx.json:
        ctx.print_json({
            "guests": to_builtins(made),
            "notes": [{"subject": note.subject, "text": note.text} for note in notes],
        })  # fmt: skip
        return
    if not made:
        ctx.streams.result("No guest is to run with the host.")
    else:
        cells = [(row.guest, row.state, row.at or "-", ", ".join(row.needs) or "-") for row in made]
        head = ("GUEST", "STATE", "READY AT", "NEEDS")
        ctx.streams.result(table(head, cells, ctx.streams.width))
    for row in made:
        if row.why:
            ctx.streams.talk(f"{row.state}: guest {row.guest}: {one_line(row.why)}")
    tell_notes(notes, ctx)
