"""The lab's host, where LVs, RAID and guests exist: files, specs, plans and timed commands."""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figure import BenchError
from lab.debs import install_debs
from lab.errors import LabError
from lab.install import install
from lab.machine import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Action = dict[str, Any]
"""A command, file or poll as `plan --json` prints it; `bench.inside` carries it out."""

Step = dict[str, Any]
"""A step as `plan --json` prints it."""

_INSIDE = "/root/bench-inside.py"
_LIMIT = 1800.0


class LabHost:
    """A running lab with kvmkeep on it."""

    def __init__(self, lab: Lab) -> None:
        """Put our part for the inside into the lab."""
        self._lab = lab
        lab.copy_in([Path(__file__).with_name("inside.py")], _INSIDE)

    def must(self, line: str, *, text: str | None = None, limit: float = _LIMIT) -> str:
        """Run a line of shell that must succeed; return what it printed."""
        try:
            argv = ["bash", "-c", line]
            return self._lab.run(argv, input=text, timeout=limit, check=True).stdout
        except LabError as error:
            raise BenchError(error.message[-3000:]) from error

    def quietly(self, line: str) -> None:
        """Run a line of shell whatever comes of it: for what may not be there to be undone."""
        self.must(f"({line}) >/dev/null 2>&1 || true")

    def cut_and_boot(self) -> None:
        """Cut the power, and switch on again; returns once one can log in."""
        try:
            self._lab.cut()
            self._lab.boot()
        except LabError as error:
            raise BenchError(error.message[-3000:]) from error

    def put(self, path: str, text: str) -> None:
        """Write a file."""
        parent = shlex.quote(str(Path(path).parent))
        self.must(f"mkdir -p {parent} && cat > {shlex.quote(path)}", text=text)

    def key_pair(self, place: str) -> str:
        """Make a directory with a key pair for SSH, `key`; return the public one."""
        self.must(f"mkdir -p {place} && ssh-keygen -q -t ed25519 -N '' -C bench -f {place}/key")
        return self.must(f"cat {place}/key.pub").strip()

    def install(self, *packages: str) -> None:
        """Install Debian packages that the lab's host lacks."""
        try:
            install_debs(self._lab, *packages)
        except LabError as error:
            raise BenchError(error.message[-3000:]) from error

    def plan(self, spec: str, guest: str) -> list[Step]:
        """Return the steps of the plan for one guest, as `plan --json` prints them."""
        words = shlex.join(["kvmkeep", "--spec", spec, "plan", "--json", guest])
        plan = json.loads(self.must(words))["plan"]
        steps: list[Step] = plan["steps"]
        return steps

    def time(
        self, timed: Sequence[Action], before: Sequence[Action] = (), *, cold: bool = True
    ) -> list[float]:
        """Return the seconds that each action takes, beginning on an empty page cache or not."""
        work = json.dumps({"before": list(before), "timed": list(timed), "cold": cold})
        seconds: list[float] = json.loads(self.must(f"python3 {_INSIDE}", text=work))
        return seconds


def shell(line: str) -> Action:
    """Return the action of a line of shell."""
    return {"kind": "command", "argv": ["bash", "-o", "pipefail", "-c", line]}


def actions_of(steps: Sequence[Step]) -> list[Action]:
    """Return what apply runs for some steps, the probes included."""
    found: list[Action] = []
    for step in steps:
        found += [step["probe"]] if step["probe"] else []
        found += step["actions"]
    return found


@contextmanager
def opened(name: str, *, keep: bool) -> Iterator[LabHost]:
    """Bring a lab up with kvmkeep on it, and take it away in the end."""
    lab = Lab(name)
    try:
        lab.up()
        try:
            install(lab)
            yield LabHost(lab)
        finally:
            if not keep:
                lab.down()
    except LabError as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise BenchError(f"{error.message}{hint}") from error
