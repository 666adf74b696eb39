"""A disk fed to an engine: real processes, with a file for the disk."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess  # noqa: TID251 - the whole program is what is ended
import sys
import time
from pathlib import Path

import pytest

from kvmkeep.cli.main import main
from kvmkeep.errors import StepFailed
from kvmkeep.host.blocks_send import Sending, send
from kvmkeep.model.blocks import BLOCK, parse_blocks
from kvmkeep.model.units import Size

pytestmark = pytest.mark.machine

STORE = """
import json, pathlib, sys
data = sys.stdin.buffer.read()
pathlib.Path(sys.argv[1]).write_bytes(data)
print(json.dumps({"message_type": "status", "bytes_done": 1}))
print(json.dumps({"message_type": "summary", "snapshot_id": "841bce93", "data_added": 4096}))
"""
"""What stores all of its stdin, and says so as restic does."""

FIRST = bytes(range(256)) * (BLOCK // 256)
LAST = b"end " * 128


def engine(script: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script, *words)


def disk(tmp_path: Path, content: bytes = FIRST + bytes(BLOCK) + LAST) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(content)
    return path


def sending(tmp_path: Path, *argv: str, **changes: object) -> Sending:
    found = {
        "device": str(tmp_path / "disk"),
        "blocks": str(tmp_path / "stage/root.blocks"),
        "size": Size((tmp_path / "disk").stat().st_size),
        "rate": 0,
        "engine": argv or engine(STORE, str(tmp_path / "stored")),
    }
    return Sending(**{**found, **changes})  # type: ignore[arg-type]


def silent(_done: int) -> None:
    return


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "stage").glob("*"))


def test_all_of_it_arrives_with_a_list_of_its_blocks(tmp_path: Path) -> None:
    path, told = disk(tmp_path), []
    sent = send(sending(tmp_path), told.append)
    assert (tmp_path / "stored").read_bytes() == path.read_bytes()
    text = (tmp_path / "stage/root.blocks").read_text()
    blocks = parse_blocks(text)
    sums = (hashlib.sha256(FIRST).hexdigest(), "0", hashlib.sha256(LAST).hexdigest())
    assert (blocks.size, blocks.sums) == (sent.size, sums)
    assert (sent.disk, sent.object, sent.added) == ("root", "841bce93", Size(4096))
    assert sent.read == Size(BLOCK + len(LAST))
    assert sent.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert json.loads((tmp_path / "stage/root.blocks.done").read_bytes())["object"] == "841bce93"
    assert told[-1] == sent.size.bytes
    assert (tmp_path / "stage/root.blocks.done").stat().st_mode & 0o77 == 0


def test_a_disk_of_another_size_is_not_the_one(tmp_path: Path) -> None:
    disk(tmp_path)
    with pytest.raises(StepFailed, match="is not what was looked at"):
        send(sending(tmp_path, size=Size(BLOCK)), silent)
    assert left(tmp_path) == []


def test_a_disk_that_is_not_there(tmp_path: Path) -> None:
    disk(tmp_path)
    with pytest.raises(StepFailed, match="can't be opened: No such file"):
        send(sending(tmp_path, device=str(tmp_path / "other")), silent)


def test_an_engine_that_fails_is_told_with_its_code(tmp_path: Path) -> None:
    disk(tmp_path)
    with pytest.raises(StepFailed, match=r"python.* ended with 3 before it had stored"):
        send(sending(tmp_path, *engine("raise SystemExit(3)")), silent)
    late = engine("import sys; sys.stdin.buffer.read(); raise SystemExit(4)")
    with pytest.raises(StepFailed, match="ended with 4"):
        send(sending(tmp_path, *late), silent)
    killed = engine("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(StepFailed, match="ended by signal 9"):
        send(sending(tmp_path, *killed), silent)
    assert left(tmp_path) == []


def test_an_engine_that_says_nothing_has_stored_nothing(tmp_path: Path) -> None:
    disk(tmp_path)
    quiet = engine("import sys; sys.stdin.buffer.read(); print('{}')")
    with pytest.raises(StepFailed, match="told of nothing that it stored"):
        send(sending(tmp_path, *quiet), silent)
    assert left(tmp_path) == []


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    disk(tmp_path)
    with pytest.raises(StepFailed, match="can't be started: No such file"):
        send(sending(tmp_path, "/nonexistent/restic"), silent)


def test_where_the_disk_can_not_be_read_the_engine_stores_nothing(tmp_path: Path) -> None:
    """The disk gets shorter while it is read; the engine must never see the end of its stdin."""
    path = disk(tmp_path, FIRST * 12)
    begun = tmp_path / "begun"
    script = """
import pathlib, sys
data = sys.stdin.buffer.read(1)
pathlib.Path(sys.argv[1]).touch()
sys.stdin.buffer.read()
pathlib.Path(sys.argv[2]).touch()
"""
    stored = tmp_path / "stored"
    slow = sending(tmp_path, *engine(script, str(begun), str(stored)), rate=2 * BLOCK)

    def tell(_done: int) -> None:
        os.truncate(path, 2 * BLOCK)

    with pytest.raises(StepFailed, match=r"can't be read at byte"):
        send(slow, tell)
    assert begun.exists()
    assert not stored.exists()
    assert left(tmp_path) == []


def test_no_faster_than_asked(tmp_path: Path) -> None:
    disk(tmp_path, FIRST * 3)
    began = time.monotonic()
    send(sending(tmp_path, rate=8 * BLOCK), silent)
    assert time.monotonic() - began >= 3 / 8


@pytest.mark.parametrize("ends_by", ["INT", "TERM"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_ends_it_ends_the_engine_before_it_stores_anything(
    tmp_path: Path, number: signal.Signals, ends_by: str
) -> None:
    disk(tmp_path, FIRST * 20)
    script = """
import pathlib, signal, sys
def asked(*_):
    pathlib.Path(sys.argv[1]).touch()
    sys.exit(130)
signal.signal(getattr(signal, "SIG" + sys.argv[4]), asked)
pathlib.Path(sys.argv[3]).touch()
sys.stdin.buffer.read()
pathlib.Path(sys.argv[2]).touch()
"""
    asked, stored, listens = tmp_path / "asked", tmp_path / "stored", tmp_path / "listens"
    argv = [
        sys.executable, "-m", "kvmkeep", "blocks", "send", str(tmp_path / "disk"),
        f"--blocks={tmp_path}/stage/root.blocks", f"--size={20 * BLOCK}", f"--rate={4 * BLOCK}",
        *(() if ends_by == "INT" else ("--ends-by=TERM",)),
        "--", *engine(script, str(asked), str(stored), str(listens), ends_by),
    ]  # fmt: skip
    with subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "src"},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert b" of " in process.stdout.readline()
        limit = time.monotonic() + 30
        while not listens.exists():  # until then, the signal would just end the engine
            assert time.monotonic() < limit, "the engine did not begin within 30 s"
            time.sleep(0.02)
        os.killpg(process.pid, number)  # as a run that is asked to stop does
        _, said = process.communicate(timeout=30)
    assert process.returncode == 7
    assert f"ended by {number.name}\nNothing was stored.".encode() in said
    assert asked.exists()
    assert not stored.exists()
    assert left(tmp_path) == []


def test_the_words_of_the_engine_arrive_as_they_are(tmp_path: Path) -> None:
    disk(tmp_path)
    script = "import json, sys; sys.stdin.buffer.read(); sys.exit(sys.argv[1:] != ['--', 'a'])"
    argv = ["blocks", "send", str(tmp_path / "disk"), f"--blocks={tmp_path}/stage/root.blocks"]
    argv += [f"--size={(tmp_path / 'disk').stat().st_size}", "--", *engine(script, "--", "a")]
    done = subprocess.run(
        [sys.executable, "-m", "kvmkeep", *argv],
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        check=False,
    )
    assert b"told of nothing that it stored" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--blocks=/x.blocks", "--size=0"], "take a number of bytes"),
        (["--blocks=/x.blocks", "--size=1", "--rate=-1"], "take a number of bytes"),
        (["--blocks=x.blocks", "--size=1"], "an absolute path that ends in .blocks"),
        (["--blocks=/x", "--size=1"], "an absolute path that ends in .blocks"),
    ],
)
def test_wrong_words(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blocks", "send", "/dev/null", *words, "--", "true"]) == 2
    assert said in capsys.readouterr().err


def test_a_block_list_that_can_not_be_written(tmp_path: Path) -> None:
    disk(tmp_path)
    (tmp_path / "stage").write_text("a file")
    with pytest.raises(StepFailed, match="can't be written"):
        send(sending(tmp_path), silent)
