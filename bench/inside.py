"""Runs inside the lab: carries out jobs from stdin on a cold cache, and prints their seconds.

A job is what a plan's action says: a command line (with stdin, a file for its stdout, and the
exit codes that are good) or a file to write. `before` is not timed.
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


def main() -> int:
    """Read the jobs, run them, and print the seconds of each timed one."""
    work = json.load(sys.stdin)
    for job in work["before"]:
        run(job)
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    seconds = []
    for job in work["timed"]:
        begin = time.monotonic()
        run(job)
        seconds.append(time.monotonic() - begin)
    print(json.dumps(seconds))
    return 0


def run(job: dict[str, Any]) -> None:
    """Carry out one job; end with its message when it fails."""
    if "path" in job:
        write(Path(job["path"]), base64.b64decode(job["content"]))
        return
    data = base64.b64decode(job.get("stdin", ""))
    done = subprocess.run(job["argv"], input=data, capture_output=True, check=False)
    if done.returncode not in job.get("ok", [0]):
        sys.exit(f"{job['argv']} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    if job.get("stdout_to"):
        write(Path(job["stdout_to"]), done.stdout)


def write(path: Path, content: bytes) -> None:
    """Write a file with its directories, onto the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())


if __name__ == "__main__":
    sys.exit(main())
