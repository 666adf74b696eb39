"""How far a long command is: read from what it prints, or from the file it writes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from kvmkeep.model.command import Command, Progress
from kvmkeep.model.store import part_path

_QEMU_IMG = re.compile(rb"\((\d{1,3}\.\d\d)/100%\)")
_BLOCKS = re.compile(rb"^(\d{1,18}) of \d{1,18} bytes$", re.MULTILINE)
_KEPT = 64
_OUTPUT_OPTIONS = ("-o", "--output")


class ProgressReader:
    """Follows one command. `saw` takes its stdout; `done` is the number of bytes done."""

    def __init__(self, command: Command) -> None:
        self._kind = command.progress
        self._total = command.total_bytes
        self._file = written_file(command) if self._kind is Progress.FILE_SIZE else ""
        self._rest = b""
        self._done = 0

    def saw(self, output: bytes) -> None:
        """Read progress from a piece of stdout; a number may be cut in two."""
        if self._kind not in {Progress.QEMU_IMG, Progress.BLOCKS}:
            return
        self._rest += output
        if self._kind is Progress.BLOCKS:
            if lines := _BLOCKS.findall(self._rest[: self._rest.rfind(b"\n") + 1]):
                self._done = min(int(lines[-1]), self._total)
        elif found := _QEMU_IMG.findall(self._rest):
            self._done = int(self._total * min(float(found[-1]), 100.0) / 100.0)
        self._rest = self._rest[-_KEPT:]

    def tell(self, watch: Callable[[int, int], None]) -> None:
        """Tell the watcher, unless the command shows no progress."""
        if self._kind is Progress.NONE:
            return
        if self._file:
            self._done = _size(self._file)
        watch(self._done, self._total)


def written_file(command: Command) -> str:
    """Return the file a command writes: `stdout_to`'s part, after -o or --output, or its last."""
    if command.stdout_to:
        return part_path(command.stdout_to)
    for position, word in enumerate(command.argv[:-1]):
        if word in _OUTPUT_OPTIONS:
            return command.argv[position + 1]
    return command.argv[-1]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
