"""A plan as text, for a tired person: what, why, what it risks, and what to type next."""

from __future__ import annotations

import textwrap
from itertools import groupby

from kvmkeep.model.command import Action, Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.plan import Note, Plan, Refusal, Risk, Step
from kvmkeep.model.text import one_line
from kvmkeep.report.shell_words import shell_line, shell_word

NARROWEST = 40
_WIDEST = 100

_RISKS = {
    Risk.NETWORK: "changes interfaces of the uplink; rolled back unless it proves good",
    Risk.GUEST: "starts, stops or changes a guest",
}


def plan_text(
    plan: Plan, *, typed: str, then: str = "", explain: bool = False, width: int = 80
) -> str:
    """Return the plan for a terminal of this width; `explain` shows each command as it is run.

    `typed` is the line that it was asked for by, `then` the one that runs it, if that is another.
    """
    width = max(NARROWEST, min(width, _WIDEST))
    blocks: list[list[str]] = []
    if plan.refusals:
        blocks.append(refusal_lines(plan.refusals, width))
    numbered = enumerate(plan.steps, 1)
    for subject, steps in groupby(numbered, key=lambda pair: pair[1].subject):
        lines = wrapped(subject, width)
        assumed = ""
        for number, step in steps:
            news = step.assumes != assumed
            lines += _step_lines(number, step, explain=explain, width=width, news=news)
            assumed = step.assumes
        blocks.append(lines)
    if plan.notes:
        blocks.append(_note_lines(plan.notes, width))
    blocks.append(_last_lines(plan, typed, then, width))
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Return harmless lines of at most this width; long words, such as paths, stay whole.

    `first` and `rest` begin the first line and the others.
    """
    line = one_line(text)
    if line and line == line.strip() and len(first) + len(line) <= width:
        return [first + line]
    return textwrap.wrap(
        line,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def refusal_lines(refusals: tuple[Refusal, ...], width: int) -> list[str]:
    """Return all refusals, with what to do about each."""
    count = len(refusals)
    until = (
        "1 reason. Nothing is done until it is"
        if count == 1
        else (f"{count} reasons. Nothing is done until all are")
    )
    lines = wrapped(f"Refused, for {until} mended:", width)
    for refusal in refusals:
        lines += wrapped(f"{refusal.subject}: {refusal.reason}", width, "  ", "    ")
        if refusal.hint:
            lines += wrapped(refusal.hint, width, "    -> ", "       ")
    return lines


def _note_lines(notes: tuple[Note, ...], width: int) -> list[str]:
    lines = ["Worth knowing:"]
    for note in notes:
        lines += wrapped(f"{note.subject}: {note.text}", width, "  ", "    ")
    return lines


def _step_lines(number: int, step: Step, *, explain: bool, width: int, news: bool) -> list[str]:
    """Return a step's lines; `news` when it rests on another assumption than the one before."""
    head = f"{number:3d}. "
    indent = " " * len(head)
    told = [f"because {step.why}"] if step.why else []
    if step.risk in _RISKS:
        told.append(f"risk: {_RISKS[step.risk]}")
    if step.assumes and news:
        told.append(f"from here on as if {step.assumes}; planned anew once that is known")
    lines = wrapped(step.what, width, head, indent)
    for text in told:
        lines += wrapped(text, width, indent, indent)
    if explain:
        lines += [indent + line for line in _explained(step)]
    return lines


def _explained(step: Step) -> list[str]:
    """Return the commands exactly as they are run: not wrapped, so that they can be copied."""
    lines: list[str] = []
    if step.probe is not None:
        lines.append(f"? {command_line(step.probe)}")
    for action in step.all_actions:
        lines += action_lines(action)
    lines += [f"$ {command_line(command)}   # in any case" for command in step.ends]
    return lines


def action_lines(action: Action) -> list[str]:
    """Return what an action does, a command a line."""
    match action:
        case Command():
            return [f"$ {command_line(action)}"]
        case WriteFile():
            size = len(action.content)
            return [one_line(f"write {action.path} ({size} bytes, mode {action.mode:04o})")]
        case Poll():
            until = f"until it succeeds, at most {action.limit:.0f} s"
            return [f"$ {command_line(action.command)}   # {until}"]
        case Checkpoint():
            inner = [f"$ {command_line(command)}" for command in action.body]
            inner += [line for poll in action.verify for line in action_lines(poll)]
            kept = [f"$ {command_line(p.command)}   # if it did before" for p in action.keeps]
            return [
                *(line for one in action.undo.arm for line in action_lines(one)),
                f"$ {command_line(action.create())}",
                f"$ {command_line(action.watch('CHECKPOINT'))}",
                *("  " + line for line in (*inner, *kept)),
                f"  # else: $ {command_line(action.undo.run)}",
                f"$ {command_line(action.destroy('CHECKPOINT'))}",
                *(f"$ {command_line(command)}" for command in action.undo.disarm),
                f"$ {command_line(action.undo.settle)}",
            ]


def command_line(command: Command) -> str:
    """Return a command as one types it; its stdin is only named."""
    line = shell_line(command.argv)
    if command.stdin:
        what = "secret input" if command.secret_stdin else "input"
        line += f"   < ({what}, {len(command.stdin)} bytes)"
    if command.stdout_to:
        line += f" > {shell_word(command.stdout_to)}"
    return line


def _last_lines(plan: Plan, typed: str, then: str, width: int) -> list[str]:
    if plan.refusals:
        return _inviting("Mend what is named above, then type:", typed, width)
    if not plan.steps:
        return ["Nothing to do: the host is as the spec says." if then else "Nothing to do."]
    parts = [_counted(len(plan.steps), "step")]
    for risk, what in ((Risk.NETWORK, "the network"), (Risk.GUEST, "guests")):
        number = sum(step.risk is risk for step in plan.steps)
        if number:
            parts.append(f"{number} of them {'touches' if number == 1 else 'touch'} {what}")
    later = len(plan.steps) - len(plan.certain)
    if later:
        parts.append(f"{later} planned anew once what is assumed is known")
    said = f"{', '.join(parts)}."
    return _inviting(f"{said} To run it, type:", then, width) if then else wrapped(said, width)


def _inviting(text: str, line: str, width: int) -> list[str]:
    """Return what is to be typed behind a text, or below it: never wrapped, so it can be copied."""
    lines = wrapped(text, width)
    line = one_line(line)
    if len(lines[-1]) + 1 + len(line) <= width:
        return [*lines[:-1], f"{lines[-1]} {line}"]
    return [*lines, f"  {line}"]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
