"""Runs inside the lab: carries out the actions of a plan as JSON, and prints their seconds.

Commands, files and polls as `kvmkeep plan --json` prints them. `before` is not timed; `cold`
empties the page cache before the timed ones.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Action = dict[str, Any]


def main() -> int:
    """Read the actions, carry them out, and print the seconds of each timed one."""
    work = json.load(sys.stdin)
    for action in work["before"]:
        carry_out(action)
    os.sync()
    if work["cold"]:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    seconds = []
    for action in work["timed"]:
        begin = time.monotonic()
        carry_out(action)
        seconds.append(time.monotonic() - begin)
    print(json.dumps(seconds))
    return 0


def carry_out(action: Action) -> None:
    """Carry out one action; end with a message when it fails."""
    if action["kind"] == "file":
        write(Path(action["path"]), content_of(action["content"]))
    elif action["kind"] == "poll":
        while not run(action["command"]):
            time.sleep(action["every"])
    elif not run(action):
        sys.exit(f"failed: {action['argv']}")


def run(command: Action) -> bool:
    """Run a command, and tell whether it ended as it should."""
    data = content_of(command.get("stdin"))
    done = subprocess.run(command["argv"], input=data, stdout=subprocess.PIPE, check=False)
    expected = command.get("expect", "")
    if done.returncode not in command.get("ok", [0]):
        return False
    if expected and done.stdout.decode().strip() != expected:
        return False
    if command.get("stdout_to"):
        write(Path(command["stdout_to"]), done.stdout)
    return True


def content_of(value: dict[str, str] | None) -> bytes:
    """Return the bytes of a stdin or a file."""
    if value is None:
        return b""
    return value["text"].encode() if "text" in value else base64.b64decode(value["base64"])


def write(path: Path, content: bytes) -> None:
    """Write a file with its directories, onto the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())


if __name__ == "__main__":
    sys.exit(main())
