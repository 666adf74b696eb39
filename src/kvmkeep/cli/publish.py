"""Files that others read: written whole, beside the file and then over it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from kvmkeep.errors import Unready
from kvmkeep.model.command import WriteFile

if TYPE_CHECKING:
    from kvmkeep.cli.context import Context


def publish(ctx: Context, path: str, content: bytes, why: str, mode: int) -> None:
    """Write a file; raises Unready where its directory is not there, or can't be written to."""
    path = str(Path(path).absolute())
    directory = str(Path(path).parent)
    try:
        # The door would make it, and nobody would read what a mistyped path holds.
        if ctx.door().look(directory) is None:
            raise Unready(
                f"there is no directory {directory}",
                hint=f"mkdir {shlex.quote(directory)}, or another FILE",
            )
        ctx.door().write(WriteFile(path=path, content=content, why=why, mode=mode))
    except OSError as error:
        raise Unready(
            f"{path} can't be written: {error.strerror or error}",
            hint="look at the directory's owner and room",
        ) from error
