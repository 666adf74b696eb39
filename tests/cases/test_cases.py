"""A spec and facts give a plan: one directory for each case, grouped by noun.

`spec/` is what the administrator wrote, `facts.json` what was observed, `plan.txt` the whole plan
with every command and file, and `NAME.xml` the XML of each guest that is defined.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.spec import load_text

from kvmkeep.model.command import Action, Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.plan import Plan
from kvmkeep.planning.plan import make_plan
from kvmkeep.report.json import decode_facts

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/*/facts.json"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: str(path.relative_to(HERE)))
def test_case(case: Path, request: pytest.FixtureRequest) -> None:
    top = case / "spec"
    files = {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*.*"))}
    plan = make_plan(load_text(files), decode_facts((case / "facts.json").read_bytes()))
    made = {"plan.txt": "\n".join(plan_lines(plan)) + "\n"}
    made.update(xml_files(plan))
    if request.config.getoption("--regenerate"):
        for old in case.glob("*.xml"):
            old.unlink()
        for name, text in made.items():
            (case / name).write_text(text)
    wanted = {path.name: path.read_text() for path in (*case.glob("*.xml"), case / "plan.txt")}
    assert made == wanted


def test_there_are_cases() -> None:
    assert len(CASES) >= 15


def xml_files(plan: Plan) -> dict[str, str]:
    return {
        action.path.rpartition("/")[2]: action.content.decode()
        for step in plan.steps
        for action in step.all_actions
        if isinstance(action, WriteFile) and action.path.endswith(".xml")
    }


def plan_lines(plan: Plan) -> list[str]:
    lines = [f"refused: {one.subject}: {one.reason}\n  ({one.hint})" for one in plan.refusals]
    lines += [f"note: {one.subject}: {one.text}" for one in plan.notes]
    for step in plan.steps:
        lines += ["", f"[{step.noun}] {step.subject}: {step.what}", f"  because {step.why}"]
        lines += [f"  risk: {step.risk}"] if step.risk != "none" else []
        lines += [f"  assuming that {step.assumes}"] if step.assumes else []
        lines += [f"  probe: {command_text(step.probe)}"] if step.probe else []
        for action in step.all_actions:
            lines += [f"  {line}" for line in action_lines(action)]
        lines += [f"  $ {command_text(command)} (in any case)" for command in step.ends]
    return lines


def action_lines(action: Action) -> list[str]:
    match action:
        case Command():
            return [f"$ {command_text(action)}"]
        case WriteFile():
            head = f"write {action.path} {action.mode:o} (in {action.dir_mode:o})"
            secret = " secret" if action.secret else ""
            if action.path.endswith(".xml"):
                return [head + secret]
            return [head + secret, *(f"  | {line}" for line in text_lines(action.content))]
        case Poll():
            return [f"wait up to {action.limit:g} s for {action.message}",
                    f"  $ {command_text(action.command)}"]  # fmt: skip
        case Checkpoint():
            lines = [f"checkpoint of {', '.join(action.devices)} for {action.timeout} s"]
            for one in action.undo.arm:
                lines += [f"  {line}" for line in action_lines(one)]
            for one in (action.watch("CHECKPOINT"), *action.body, *action.verify):
                lines += [f"  {line}" for line in action_lines(one)]
            for poll in action.keeps:
                lines += [f"  {line} (if it did before)" for line in action_lines(poll)]
            for one in (*action.undo.disarm, action.undo.settle):
                lines += [f"  {line}" for line in action_lines(one)]
            return [*lines, f"  else $ {command_text(action.undo.run)}"]


def command_text(command: Command) -> str:
    text = str(command)
    text += f" -> ends with {command.ok}" if command.ok != (0,) else ""
    text += f" -> prints {command.expect}" if command.expect else ""
    text += f" > {command.stdout_to}" if command.stdout_to else ""
    if command.stdin and command.argv[0] == "guestfish" and "--ro" in command.argv:
        return text + " < (the look)"
    return text + (f" < {command.stdin.decode()!r}" if command.stdin else "")


def text_lines(content: bytes) -> list[str]:
    return content.decode().splitlines()
