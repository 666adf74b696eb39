"""An engine whose store has fallen silent: it is given up, and has stored nothing."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from kvmkeep.errors import NotStored, StepFailed
from kvmkeep.host.engine_output import EngineOutput
from kvmkeep.host.engine_process import EngineProcess

SOON = 0.2
BLOCK = b"x" * (4 << 20)


def hanging(place: Path, script: str) -> tuple[str, ...]:
    return ("bash", "-c", f"echo $$ > {place}; {script}")


def is_gone(place: Path) -> bool:
    with suppress(ProcessLookupError):
        os.kill(int(place.read_text()), 0)
        return False
    return True


def test_one_that_takes_nothing_any_more(tmp_path: Path) -> None:
    argv = hanging(tmp_path / "pid", "head --bytes=100000 > /dev/null; exec sleep 600")
    with (
        pytest.raises(NotStored, match="bash took nothing for 0 minutes"),
        EngineProcess(argv, signal.SIGKILL, SOON) as engine,
    ):
        engine.feed(BLOCK)
    assert is_gone(tmp_path / "pid")


def test_one_that_took_all_and_never_stores_it(tmp_path: Path) -> None:
    argv = hanging(tmp_path / "pid", "cat > /dev/null; exec sleep 600")

    def stored() -> None:
        with EngineProcess(argv, signal.SIGKILL, SOON) as engine:
            engine.feed(b"x")
            engine.finish()

    with pytest.raises(NotStored, match="bash had not stored what it took for 0 minutes"):
        stored()
    assert is_gone(tmp_path / "pid")


def test_one_that_is_slow_has_time() -> None:
    argv = ("bash", "-c", "while read -r -N 1000000 -t 5 _; do sleep 0.1; done; echo stored")
    with EngineProcess(argv, signal.SIGKILL, 30) as engine:
        engine.feed(BLOCK)
        assert engine.finish() == b"stored\n"


def test_one_that_gives_nothing_any_more(tmp_path: Path) -> None:
    argv = hanging(tmp_path / "pid", "echo begin; exec sleep 600")
    with (
        pytest.raises(StepFailed, match="bash gave nothing for 0 minutes"),
        EngineOutput(argv, SOON) as engine,
    ):
        engine.fill(memoryview(bytearray(100)))
    assert is_gone(tmp_path / "pid")
