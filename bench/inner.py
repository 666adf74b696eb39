"""What needs kvmkeep itself, in a process of its own: facts made up, stages timed one by one.

`python -m bench.inner bare SPEC FILE` writes the facts of a host without guests, `... made SPEC
FILE` those of one that is as the spec says; `... stages SPEC FILE` plans from them, and prints
the seconds that each stage took as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench.facts import bare_host, made_host
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.planning.plan import make_plan
from kvmkeep.report.json import decode_facts, facts_json
from kvmkeep.report.text import plan_text
from kvmkeep.spec.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
WIDTH = 80


def main(arguments: list[str]) -> int:
    """Do one of the three."""
    what, directory, file = arguments
    if what == "stages":
        print(json.dumps(stages(directory, Path(file))))
        return 0
    spec = load(directory, MachineDoor())
    facts = bare_host(spec) if what == "bare" else made_host(spec)
    Path(file).write_text(facts_json(facts))
    return 0


def stages(directory: str, file: Path) -> dict[str, float]:
    """Return the processor time of each stage of `plan --facts`, in seconds.

    The stages compute and wait for nothing, so other work on the machine does not count.
    """
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        begin = time.process_time()
        result = work()
        seconds[name] = time.process_time() - begin
        return result

    spec = timed("load", lambda: load(directory, MachineDoor()))
    facts = timed("decode facts", lambda: decode_facts(file.read_bytes()))
    plan = timed("make_plan", lambda: make_plan(spec, facts))
    timed("text", lambda: plan_text(plan, typed="kvmkeep plan", width=WIDTH))
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
