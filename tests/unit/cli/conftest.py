"""What the tests of the command line share: streams to look at, and a way to run one line."""

from __future__ import annotations

import io
import os
import subprocess  # noqa: TID251 - the whole program is what is tested
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal() -> Terminal:
    """Return a stream that says it is a terminal."""
    return Terminal()


def _program(
    *words: str, env: dict[str, str] | None = None, then: str = "", stdin: str = ""
) -> Ended:
    """Run the real program in a process of its own; `then` is what follows it in bash."""
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "LC_ALL": "C.UTF-8"}
    argv = [sys.executable, "-m", "kvmkeep", *words]
    if then:
        argv = ["bash", "-c", f'"$@" {then}', "bash", *argv]
    done = subprocess.run(
        argv,
        env={**base, **(env or {})},
        input=stdin.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Ended(
        code=done.returncode,
        out=done.stdout.decode("utf-8", "backslashreplace"),
        err=done.stderr.decode("utf-8", "backslashreplace"),
    )


@pytest.fixture
def program() -> Callable[..., Ended]:
    """Return a way to run the real program in a process of its own."""
    return _program
