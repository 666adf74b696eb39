"""A plan as a bash script: exactly its commands and files, for who would rather run them by hand.

The script stops at the first command that does not end as expected. It holds the certain steps
only; those that rest on an assumption are comments, and are printed anew by the next plan.
"""

from __future__ import annotations

from kvmkeep.errors import Refused, Unready
from kvmkeep.model.command import Action, Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.plan import Plan, Step
from kvmkeep.model.text import one_line
from kvmkeep.report.bash import (
    captured,
    command_lines,
    condition_lines,
    file_lines,
    indented,
    say,
)
from kvmkeep.report.shell_words import shell_line, shell_word

# virsh would ask the libvirt of VIRSH_DEFAULT_CONNECT_URI before the other (virsh(1)).
_HEAD = """\
set -eu -o pipefail
umask 077
export LC_ALL=C.UTF-8 HOME=/root LIBGUESTFS_BACKEND=direct
export LIBVIRT_DEFAULT_URI=qemu:///system
unset VIRSH_DEFAULT_CONNECT_URI
export PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin"
exec </dev/null

kvmkeep_stop() {
  printf '%s\\n' "stopped: $1" >&2
  exit 7
}

kvmkeep_trim() {
  local text=$1
  text=${text#"${text%%[![:space:]]*}"}
  printf '%s' "${text%"${text##*[![:space:]]}"}"
}
"""


def plan_script(plan: Plan) -> str:
    """Return the script of a plan; the same plan gives the same script."""
    lines = ["#!/bin/bash", *_about(plan)]
    if plan.refusals:
        lines += [_comment(f"Refused: {one.subject}: {one.reason}") for one in plan.refusals]
        lines += ["echo 'This plan is refused; type: kvmkeep plan' >&2"]
        lines.append(f"exit {(Unready if plan.unready else Refused).exit_code}")
        return "\n".join(lines) + "\n"
    lines += _HEAD.split("\n")
    total = len(plan.steps)
    for number, step in enumerate(plan.certain, 1):
        lines += _step_lines(number, total, step)
    later = plan.steps[len(plan.certain) :]
    if later:
        lines += [_comment("Not yet, since it rests on an assumption:")]
        lines += [_comment(f"  {step.subject}: {step.what}") for step in later]
        text = "There is more to do once this is known. Print the rest: kvmkeep plan --script"
        lines.append(say(text))
    return "\n".join(lines) + "\n"


def holds_secrets(plan: Plan) -> bool:
    """Whether the script of this plan must be kept from others."""
    actions = [action for step in plan.certain for action in step.all_actions]
    inner = [one for action in actions for one in _commands(action)]
    files = [action for action in actions if isinstance(action, WriteFile)]
    return any(one.secret_stdin for one in inner) or any(file.secret for file in files)


def _commands(action: Action) -> tuple[Command, ...]:
    match action:
        case Command():
            return (action,)
        case WriteFile():
            return ()
        case Poll():
            return (action.command,)
        case Checkpoint():
            polls = (*action.verify, *action.keeps)
            return (*action.body, *(poll.command for poll in polls))


def _about(plan: Plan) -> list[str]:
    lines = [
        "# Made by kvmkeep plan --script: what kvmkeep apply would run, and in this order.",
        "# It holds for the host as it was when this was printed. Run it as root, once.",
    ]
    if holds_secrets(plan):
        lines.append("# It holds secrets (a password hash, perhaps): keep it at mode 0600.")
    return lines


def _step_lines(number: int, total: int, step: Step) -> list[str]:
    lines = [
        _comment(f"Step {number} of {total}, {step.subject}: {step.what}"),
        _comment(f"because {step.why}"),
        say(f"[{number}/{total}] {step.subject}: {step.what}"),
    ]
    if step.probe is not None:
        text = f"the host has changed since this was printed: not begun: {step.what}"
        lines += ["kvmkeep_probe() {", *indented(condition_lines(step.probe)), "}"]
        lines.append(f"kvmkeep_probe || kvmkeep_stop {shell_word(one_line(text))}")
    if step.ends:
        lines += ["kvmkeep_finally() {", "  trap - EXIT INT TERM HUP"]
        for command in step.ends:
            lines += [f"  {_comment(command.why)}", *indented(command_lines(command))]
        lines += ["}", "trap kvmkeep_finally EXIT", "trap 'exit 130' INT TERM HUP"]
    for action in step.all_actions:
        lines += _action_lines(action)
    if step.ends:
        lines.append("kvmkeep_finally")
    return [*lines, ""]


def _action_lines(action: Action) -> list[str]:
    match action:
        case Command():
            return [_comment(action.why), *command_lines(action)]
        case WriteFile():
            return [_comment(action.why), *file_lines(action)]
        case Poll():
            return _poll_lines(action)
        case Checkpoint():
            return _checkpoint_lines(action)


def _poll_lines(poll: Poll) -> list[str]:
    """Return a loop with a limit; the command itself may not hang longer than its own."""
    limit = max(1, round(poll.limit))
    timeout = max(1, round(min(poll.command.timeout, poll.limit)))
    text = f"it took longer than {limit} s: {poll.message}. {poll.otherwise}".rstrip(" .")
    return [
        say(f"waiting at most {limit} s: {poll.message}"),
        "kvmkeep_holds() {",
        *indented(condition_lines(poll.command, prefix=f"timeout -k 5 {timeout} ")),
        "}",
        f"deadline=$((SECONDS + {limit}))",
        "until kvmkeep_holds >/dev/null 2>&1; do",
        f'  [ "$SECONDS" -lt "$deadline" ] || kvmkeep_stop {shell_word(one_line(text))}',
        f"  sleep {min(max(poll.every, 0.05), limit):g}",
        "done",
    ]


def _checkpoint_lines(checkpoint: Checkpoint) -> list[str]:
    path = '"$checkpoint"'
    roll_back = _with_variable(checkpoint.roll_back("CHECKPOINT"), path)
    destroy = _with_variable(checkpoint.destroy("CHECKPOINT"), path)
    by_itself = f"NetworkManager rolls the network back by itself within {checkpoint.timeout} s"
    undo = checkpoint.undo
    lines = [line for poll in enumerate(checkpoint.keeps, 1) for line in _held_lines(*poll)]
    disarm = [f"{shell_line(command.argv)} || true" for command in (*undo.disarm, undo.settle)]
    lines += ["kvmkeep_disarm() {", "  trap - EXIT INT TERM HUP", *indented(disarm), "}"]
    lines += ["trap kvmkeep_disarm EXIT", "trap 'exit 130' INT TERM HUP"]
    lines += [line for action in undo.arm for line in _action_lines(action)]
    lines += [
        _comment(checkpoint.why),
        f"checkpoint={captured(checkpoint.create())}",
        'checkpoint=${checkpoint#o \\"}',
        'checkpoint=${checkpoint%\\"}',
        'case $checkpoint in /*) ;; *) kvmkeep_stop "no checkpoint: $checkpoint" ;; esac',
        "kvmkeep_roll_back() {",
        "  trap - EXIT INT TERM HUP",
        "  " + say("rolling the network back"),
        f"  if {shell_line(undo.run.argv)}; then",
        f"    {destroy} || true",
        f"    {shell_line(undo.settle.argv)} || true",
        "    return",
        "  fi",
        f"  {roll_back} || {say(by_itself)}",
        "}",
        "trap kvmkeep_roll_back EXIT",
    ]
    for command in checkpoint.body:
        lines += _action_lines(command)
    for poll in checkpoint.verify:
        lines += _poll_lines(poll)
    for number, poll in enumerate(checkpoint.keeps, 1):
        lines += [f'if [ "$kept_{number}" = yes ]; then', *_poll_lines(poll), "fi"]
    lines += [destroy]
    return [*lines, "kvmkeep_disarm"]


def _held_lines(number: int, poll: Poll) -> list[str]:
    """Return what notes whether something holds before the change."""
    return [
        _comment(f"is it so before the change: {poll.message}"),
        "kvmkeep_holds() {",
        *indented(condition_lines(poll.command)),
        "}",
        f"kept_{number}=no",
        f"if kvmkeep_holds >/dev/null 2>&1; then kept_{number}=yes; fi",
    ]


def _with_variable(command: Command, variable: str) -> str:
    words = [variable if word == "CHECKPOINT" else shell_word(word) for word in command.argv]
    return " ".join(words)


def _comment(text: str) -> str:
    return f"# {one_line(text)}".rstrip()
