"""Scripts in the place of programs of the lab's host."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from labhost import Host


def plant(host: Host, script: str, programs: Iterable[str]) -> None:
    """Put a script in the place of each program, which is called `PROGRAM.real` then."""
    for program in programs:
        # LVM's programs are told apart by their names, so each keeps its own.
        host.must(
            f"path=$(command -v {program}); test -e $path.real || mv $path $path.real;"
            "cat > $path && chmod 755 $path",
            text=script,
        )
