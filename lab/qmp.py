"""Talk to a running QEMU through its control socket."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any, Self

from lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Qmp:
    """A connection to QEMU's control socket."""

    def __init__(self, path: Path, *, limit: float = 60) -> None:
        """Connect and leave the greeting behind."""
        end = time.monotonic() + limit
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(limit)
        while True:
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.monotonic() > end:
                    message = f"QEMU does not answer on {path}"
                    raise LabError(message) from error
                time.sleep(0.05)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self.call("qmp_capabilities")

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()

    def call(self, command: str, **arguments: object) -> Any:  # noqa: ANN401  (QEMU's answers are JSON)
        """Send a command and return its answer."""
        request = {
            "execute": command,
            "arguments": {key.replace("_", "-"): value for key, value in arguments.items()},
        }
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while line := self._lines.readline():
                answer = json.loads(line)
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    message = f"QEMU refused {command}: {answer['error']['desc']}"
                    raise LabError(message)
        except OSError as error:
            message = f"QEMU did not answer to {command}: {error}"
            raise LabError(message) from error
        message = f"QEMU ended before it answered to {command}"
        raise LabError(message)

    def human(self, line: str) -> str:
        """Give a line to QEMU's own monitor."""
        return str(self.call("human-monitor-command", command_line=line))

    def wait_for_status(self, *wanted: str, limit: float) -> None:
        """Wait until the machine has one of the states."""
        end = time.monotonic() + limit
        while (status := self.call("query-status")["status"]) not in wanted:
            if time.monotonic() > end:
                message = f"QEMU is still in the state {status!r} after {limit:.0f} s"
                raise LabError(message)
            time.sleep(0.05)
