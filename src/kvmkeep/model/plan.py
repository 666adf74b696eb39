"""A plan: steps in order, what refuses it, and what is worth knowing."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct, field

from kvmkeep.model.command import Action, Command


class Risk(StrEnum):
    """The worst that a step can do, in the words of the plan."""

    NONE = "none"
    NETWORK = "network"
    """Changes the uplink's interfaces; rolled back unless it proves good."""
    GUEST = "guest"
    """Starts, stops or changes a guest."""


class Noun(StrEnum):
    """What a step is about; the same words name the files of each stage."""

    IMAGES = "images"
    NETWORK = "network"
    STORAGE = "storage"
    DOMAINS = "domains"


class Step(Struct, frozen=True, kw_only=True):
    """One change with a name, made of actions in order.

    `subject` is what it is about (`guest influxdb`, `network public`, `image rocky9`). `what` is
    the sentence of the plan, `why` its reason. `probe` runs first: when it does not end as
    expected, the world has changed since the plan was made, and the run stops before the step.
    `assumes`, if not empty, says what the step takes for granted that nobody knows yet, such as
    what is in an image: it is shown, but never run; it is planned again when that is known.
    `looks` marks a step that only looks, so that others can be planned: nobody is asked before it.

    `place` are run after the actions, and put the result in its place: where an action fails, and
    the end is well, nothing is left of the step. Empty where something may be left.

    `always` and then `finally_` are run after all of them, in order, however these ended, and also
    when somebody asks to stop: each of `always`, whatever became of the one before, and `finally_`
    as long as none has failed. They must do no harm where an action before them was not reached.
    Nothing runs them where kvmkeep itself is killed: a step that may leave a guest stopped has to
    prepare for that by itself.

    A step that ends badly ends the run, unless it is `isolated`: then only the steps of the same
    subject and those `after` that subject are left out, and the run looks again and tries again.
    """

    noun: Noun
    subject: str
    what: str
    why: str
    actions: tuple[Action, ...]
    place: tuple[Action, ...] = ()
    always: tuple[Command, ...] = ()
    finally_: tuple[Command, ...] = ()
    probe: Command | None = None
    risk: Risk = Risk.NONE
    assumes: str = ""
    looks: bool = False
    isolated: bool = field(default=False, name="alone")
    after: tuple[str, ...] = ()

    @property
    def all_actions(self) -> tuple[Action, ...]:
        """What the step does, in order."""
        return (*self.actions, *self.place)

    @property
    def ends(self) -> tuple[Command, ...]:
        """What is run behind that in any case, in order."""
        return (*self.always, *self.finally_)


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a guard refuses the plan, about which thing, and what to do.

    `unready` where nothing is wrong with what is wanted, but the host can't do it yet: a program,
    a service or a permission is missing. `unseen` where something of the host can't be seen, so
    that whatever else stands in the way may only seem to.
    """

    subject: str
    reason: str
    hint: str
    unready: bool = False
    unseen: bool = False

    @property
    def text(self) -> str:
        """Why, and what to do, on one line."""
        return f"{self.reason} ({self.hint})"

    @property
    def note(self) -> Note:
        """The same, where nothing is refused for it."""
        return Note(subject=self.subject, text=self.text)


Reason = tuple[str, str]
"""Why something can't be done, and what to do about it."""


def refused(subject: str, reasons: Iterable[Reason]) -> tuple[Refusal, ...]:
    """Return a refusal for each of the reasons."""
    return tuple(Refusal(subject=subject, reason=why, hint=hint) for why, hint in reasons)


class Note(Struct, frozen=True, kw_only=True):
    """Something the administrator should know, which changes nothing.

    `pending` when it will come about by itself, at the guest's next start.
    """

    subject: str
    text: str
    pending: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """All steps to the goal. With refusals, nothing of it may run.

    `once` when what fails is not to be tried again by the same run. `recorded` when its notes
    belong into the journal even where there is nothing to do.
    """

    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[Note, ...] = ()
    once: bool = False
    recorded: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing is left to do for this goal, and nothing refuses it."""
        return not self.steps and not self.refusals

    @property
    def unready(self) -> bool:
        """Whether all that surely stands in the way is that the host is not ready."""
        if any(refusal.unseen for refusal in self.refusals):
            return True
        return bool(self.refusals) and all(refusal.unready for refusal in self.refusals)

    @property
    def certain(self) -> tuple[Step, ...]:
        """The steps before the first one that rests on an assumption."""
        for position, step in enumerate(self.steps):
            if step.assumes:
                return self.steps[:position]
        return self.steps


class Outcome(StrEnum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    CHANGED = "changed"
    """The probe found that the world is no longer as it was when the plan was made."""
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    """A step that it comes after did not end well."""


class Left(StrEnum):
    """What a step that did not end well has left of itself."""

    HALF = "half"
    """It may be half done."""
    NOTHING = "nothing"
    """It was not begun."""
    UNDONE = "undone"
    """It was undone."""
    UNDOING = "undoing"
    """It will be undone by itself."""
    DONE = "done"
    """It is done; only its clean-up failed."""


class Failure(Struct, frozen=True, kw_only=True):
    """What stopped a step, for a message that can be acted upon.

    `doing` is what was being done. `command` is the one that ended badly, with its exit code (or
    minus the signal's number, 127 where the program is missing); None where no command is to
    blame. `said` holds the tool's last lines. `problem` is a sentence where the exit code does
    not tell what was wrong (a limit, an unexpected answer, a file). `left` is what there is of the
    step now; `aftermath` tells more of it, where there is more to tell.
    """

    doing: str
    command: Command | None = None
    code: int = 0
    timed_out: bool = False
    said: str = ""
    problem: str = ""
    aftermath: str = ""
    left: Left = Left.HALF


class StepReport(Struct, frozen=True, kw_only=True):
    """How one step ended, after how many seconds, and what its last command said."""

    step: Step
    outcome: Outcome
    seconds: float
    detail: str = ""
    failure: Failure | None = None


def strands(report: StepReport) -> bool:
    """Whether a step's end leaves the steps behind it undone, whatever they are about."""
    if report.outcome in {Outcome.DONE, Outcome.SKIPPED}:
        return False
    return report.outcome is Outcome.INTERRUPTED or not report.step.isolated


class Report(Struct, frozen=True, kw_only=True):
    """What a run did: `steps` ended of `total` planned ones; `journal` is the file that tells."""

    steps: tuple[StepReport, ...]
    total: int
    journal: str

    @property
    def ok(self) -> bool:
        """Whether each step that was begun also ended well, and none is left."""
        return len(self.steps) == self.total and all(s.outcome is Outcome.DONE for s in self.steps)
