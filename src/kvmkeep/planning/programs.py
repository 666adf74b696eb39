"""Programs that a plan runs and the host lacks: told before the first step, by their packages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from kvmkeep.model.command import Action, Checkpoint, Command, Poll, WriteFile, innermost
from kvmkeep.model.facts import Tool
from kvmkeep.model.plan import Note, Refusal, Step
from kvmkeep.planning.aside import ASIDE
from kvmkeep.planning.proofs import lock as proof_lock
from kvmkeep.planning.repositories.apart import APART
from kvmkeep.planning.scene import Scene

_STARTING = frozenset({"program virsh", "program lvs", "program lvchange"})


def missing_tools(scene: Scene, steps: Iterable[Step]) -> tuple[Refusal, ...]:
    """Refuse where a program that a step runs is known to be missing."""
    return tools_of(scene.tools, steps)


def unstartable(scene: Scene, steps: Iterable[Step]) -> tuple[Refusal, ...]:
    """Refuse only where a program is missing without which no guest starts."""
    return tuple(one for one in missing_tools(scene, steps) if one.subject in _STARTING)


def incapable(scene: Scene, steps: Iterable[Step]) -> tuple[Note, ...]:
    """Tell of the other programs that are missing: their own steps fail, and no others."""
    missing = missing_tools(scene, steps)
    return tuple(one.note for one in missing if one.subject not in _STARTING)


def tools_of(tools: Mapping[str, Tool], steps: Iterable[Step]) -> tuple[Refusal, ...]:
    """Refuse the same where there is no spec to make a scene of."""
    absent = {name: tool for name, tool in tools.items() if not tool.path}
    found: dict[str, Refusal] = {}
    for step in steps if absent else ():
        for command in _commands(step):
            for program in _programs(command.argv):
                if program in absent:
                    found.setdefault(program, _missing(absent[program], step))
    return tuple(found.values())


def _commands(step: Step) -> Iterable[Command]:
    if step.probe is not None:
        yield step.probe
    for action in (*step.all_actions, *step.ends):
        yield from _commands_of(action)


def _commands_of(action: Action) -> tuple[Command, ...]:
    match action:
        case Command():
            return (action,)
        case Poll():
            return (action.command,)
        case Checkpoint():
            armed = (one for one in action.undo.arm if isinstance(one, Command))
            proof = (poll.command for poll in (*action.verify, *action.keeps))
            return (*armed, action.create(), action.watch(""), *action.body, *proof)
        case WriteFile():
            return ()
        case _:  # pragma: no cover - the type checker proves it
            assert_never(action)


def _programs(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the programs that a command line runs: one may run another, behind its own words."""
    argv = innermost(argv)
    first = argv[0]
    behind = {"prlimit": 3, "flock": len(proof_lock.WORDS), "choom": 3, "ionice": 2}.get(first, 0)
    for words in (ASIDE, APART):
        if argv[: len(words)] == words:
            behind = len(words)
    return (first, *(_programs(argv[behind:]) if behind else ()))


def _missing(tool: Tool, step: Step) -> Refusal:
    return Refusal(
        subject=f"program {tool.name}",
        reason=f"it is not installed, and needed to: {step.what}",
        hint=f"install the package {tool.package}",
        unready=True,
    )
