"""A disk into a repository, again after 1 % of it changed, and back: beside what one would type.

On this machine, with a file for the disk: half of it zeros, a quarter text, a quarter random. Each
side has its own repository, and sees the same disk.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from bench.clock import child, interleaved
from bench.figure import BenchError, Figure, compared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PART = "backups"
GOAL_AGAIN = 0.2
"""The second run was to take a fifth of what one would type."""

_MIB = 1 << 20
_SIZE = 512 * _MIB
_CHANGED = 5
"""MiB that change between the runs."""
_MOST = 3
_RESTIC = "restic backup --stdin"
_BORG = "borg create --read-special"
_DUMP = "restic dump | dd"
_DD = "bs=4M conv=fsync status=none"


def measure(place: Path, repetitions: int) -> list[Figure]:
    """Measure both runs; borg takes part where it is installed."""
    if shutil.which("restic") is None:
        raise BenchError("restic is not installed")
    disk = place / "disk"
    (place / "password").write_text("bench\n")
    _make(disk)
    lines: dict[str, Callable[[str], str]] = {
        "kvmkeep": lambda name: _kvmkeep(place, name),
        _RESTIC: lambda name: f"{_restic(place, name)} < {disk}",
    }
    if shutil.which("borg") is not None:
        lines[_BORG] = lambda name: _borg(place, name)
    times = max(1, min(_MOST, repetitions))
    first = interleaved({name: _first(place, name, line) for name, line in lines.items()}, times)
    numbers = {name: iter(range(times)) for name in lines}
    _change(disk)
    again = interleaved(
        {name: _again(name, line, numbers[name]) for name, line in lines.items()}, times
    )
    back = interleaved(
        {
            "kvmkeep": lambda: _back(place, _received(place)),
            _DUMP: lambda: _back(place, f"{_dump(place)} | dd of={place}/back {_DD}"),
        },
        times,
    )
    others = [name for name in lines if name != "kvmkeep"]
    size = f"{_SIZE // _MIB} MiB, half of it zeros"
    return [
        *(compared(PART, f"{size}; first", n, first["kvmkeep"], first[n]) for n in others),
        *(
            compared(
                PART, f"{size}; 1 % changed", n, again["kvmkeep"], again[n], limit=GOAL_AGAIN,
                remark="each run reads and hashes the whole disk, as the other side does",
            )
            for n in others
        ),
        compared(
            PART, f"{size}; restored", _DUMP, back["kvmkeep"], back[_DUMP],
            remark="each block is compared with its checksum before it is written, and read back "
            "and compared again; the other side compares nothing",
        ),
    ]  # fmt: skip


def _received(place: Path) -> str:
    """Return what a restore runs: write what is right, then read it back."""
    ours = f"{shlex.quote(sys.executable)} -m kvmkeep blocks"
    checked = f"--blocks={place}/kvmkeep-0.blocks --size={_SIZE}"
    receive = f"{ours} receive {place}/back {checked} -- {_dump(place)}"
    return f"{receive}; {ours} verify {place}/back {checked}"


def _dump(place: Path) -> str:
    return f"{_options(place, 'kvmkeep-0')} dump latest /web/root.raw"


def _back(place: Path, line: str) -> float:
    (place / "back").unlink(missing_ok=True)
    return _typed(f"set -e; {line}")


def _make(disk: Path) -> None:
    with disk.open("wb") as file:
        file.truncate(_SIZE)
        for number in range(0, _SIZE, 16 * _MIB):
            file.seek(number)
            file.write(os.urandom(4 * _MIB))
            file.write((b"line %d of a log file with words in it\n" % number * 110_000)[: 4 * _MIB])


def _change(disk: Path) -> None:
    with disk.open("r+b") as file:
        for number in range(_CHANGED):
            file.seek((7 + 97 * number) % (_SIZE // _MIB) * _MIB)
            file.write(os.urandom(_MIB))


def _first(place: Path, name: str, line: Callable[[str], str]) -> Callable[[], float]:
    count = iter(range(_MOST))

    def run() -> float:
        number = f"{name.partition(' ')[0]}-{next(count)}"
        _init(place, number)
        return _typed(line(number))

    return run


def _again(name: str, line: Callable[[str], str], count: object) -> Callable[[], float]:
    return lambda: _typed(line(f"{name.partition(' ')[0]}-{next(count)}"))  # type: ignore[call-overload]


def _init(place: Path, number: str) -> None:
    line = f"{_options(place, number)} init"
    if number.startswith("borg"):
        line = f"borg init --encryption=repokey {place}/{number}"
    _typed(line)


def _typed(line: str) -> float:
    return child(["bash", "-o", "pipefail", "-c", f"export BORG_PASSPHRASE=bench; {line}"]).seconds


def _options(place: Path, number: str) -> str:
    return (
        f"restic --repo={place}/{number} --password-file={place}/password"
        f" --cache-dir={place}/cache-{number}"
    )


def _restic(place: Path, number: str) -> str:
    return f"{_options(place, number)} backup --json --stdin --stdin-filename=/web/root.raw"


def _kvmkeep(place: Path, number: str) -> str:
    ours = f"{shlex.quote(sys.executable)} -m kvmkeep blocks send {place}/disk"
    return f"{ours} --blocks={place}/{number}.blocks --size={_SIZE} -- {_restic(place, number)}"


def _borg(place: Path, number: str) -> str:
    name = f"{place}/{number}::$(date +%s%N)"
    return f"borg create --read-special --chunker-params=fixed,4194304 {name} {place}/disk"
