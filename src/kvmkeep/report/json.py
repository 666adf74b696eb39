"""Values as JSON, and facts back from it. Each document begins with its version."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection

import msgspec

from kvmkeep.model.command import Action, Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.facts import FACTS_VERSION, Facts
from kvmkeep.model.plan import Failure, Note, Plan, Report, Step, StepReport

JSON_VERSION = 1

Json = dict[str, object]


def encoded(value: object) -> bytes:
    """Return any value of the model as JSON; equal values give equal bytes."""
    return msgspec.json.encode(value, enc_hook=str)


def facts_json(facts: Facts) -> str:
    """Return the facts, whole, for `plan --facts`."""
    return msgspec.json.format(encoded(facts), indent=2).decode()


def decode_facts(content: bytes) -> Facts:
    """Return the facts that `facts_json` wrote; raises ValueError with a sentence."""
    try:
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != FACTS_VERSION:
            raise ValueError(f"they have version {version}, this kvmkeep reads {FACTS_VERSION}")
        return msgspec.json.decode(content, type=Facts)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


class _Versioned(msgspec.Struct, frozen=True):
    version: int


def plan_json(plan: Plan) -> str:
    """Return the plan with each command and file; secrets are left out."""
    return _document({"plan": plan_value(plan)})


def report_json(report: Report, notes: Collection[Note] | None = None) -> str:
    """Return what a run did, with the notes of one that tells such; secrets are left out."""
    value = {
        "ok": report.ok,
        "total": report.total,
        "journal": report.journal,
        "steps": [_step_report_value(step) for step in report.steps],
    }
    told = {} if notes is None else {"notes": [_note_value(note) for note in notes]}
    return _document({"report": value, **told})


def plan_value(plan: Plan) -> Json:
    """Return the plan as JSON objects."""
    return {
        "empty": plan.empty,
        "certain": len(plan.certain),
        "steps": [_step_value(step) for step in plan.steps],
        "refusals": [
            {"subject": one.subject, "reason": one.reason, "hint": one.hint}
            for one in plan.refusals
        ],
        "notes": [_note_value(note) for note in plan.notes],
    }


def _document(content: Json) -> str:
    return json.dumps({"version": JSON_VERSION, **content}, indent=2, ensure_ascii=False)


def _step_value(step: Step) -> Json:
    return {
        "noun": step.noun,
        "subject": step.subject,
        "what": step.what,
        "why": step.why,
        "risk": step.risk,
        "assumes": step.assumes,
        "probe": _action_value(step.probe) if step.probe is not None else None,
        "actions": [_action_value(action) for action in step.all_actions],
        "finally": [_action_value(command) for command in step.ends],
    }


def _note_value(note: Note) -> Json:
    return {"subject": note.subject, "text": note.text, "pending": note.pending}


def _action_value(action: Action) -> Json:
    match action:
        case Command():
            return _command_value(action)
        case WriteFile():
            return {
                "kind": "file",
                "path": action.path,
                "mode": f"{action.mode:04o}",
                "why": action.why,
                "secret": action.secret,
                "content": None if action.secret else _bytes_value(action.content),
            }
        case Poll():
            return {
                "kind": "poll",
                "message": action.message,
                "otherwise": action.otherwise,
                "limit": action.limit,
                "every": action.every,
                "command": _command_value(action.command),
            }
        case Checkpoint():
            return {
                "kind": "checkpoint",
                "why": action.why,
                "devices": action.devices,
                "timeout": action.timeout,
                "keeps": [_action_value(poll) for poll in action.keeps],
                "arm": [_action_value(one) for one in action.undo.arm],
                "watch": _command_value(action.watch("CHECKPOINT")),
                "body": [_command_value(command) for command in action.body],
                "verify": [_action_value(poll) for poll in action.verify],
                "undo": _command_value(action.undo.run),
                "disarm": [
                    _command_value(command) for command in (*action.undo.disarm, action.undo.settle)
                ],
            }


def _command_value(command: Command) -> Json:
    return {
        "kind": "command",
        "argv": command.argv,
        "why": command.why,
        "timeout": command.timeout,
        "ok": command.ok,
        "expect": command.expect,
        "stdout_to": command.stdout_to,
        "secret": command.secret_stdin,
        "stdin": None if command.secret_stdin else _bytes_value(command.stdin),
    }


def _bytes_value(content: bytes) -> Json:
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _step_report_value(report: StepReport) -> Json:
    return {
        "subject": report.step.subject,
        "what": report.step.what,
        "outcome": report.outcome,
        "seconds": round(report.seconds, 3),
        "detail": report.detail,
        "failure": _failure_value(report.failure) if report.failure is not None else None,
    }


def _failure_value(failure: Failure) -> Json:
    return {
        "doing": failure.doing,
        "command": _command_value(failure.command) if failure.command is not None else None,
        "code": failure.code,
        "timed_out": failure.timed_out,
        "said": failure.said,
        "problem": failure.problem,
        "aftermath": failure.aftermath,
        "left": failure.left.value,
    }
