"""What a timer's look keeps for later ones: how the mismatches of arrays went."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvmkeep.cli.context import Context


def remember(ctx: Context) -> None:
    """Keep what arrays' checks counted, where it is new; what goes wrong is only told."""
    from kvmkeep.host.clock import utc_now
    from kvmkeep.model.command import WriteFile
    from kvmkeep.model.names import TRENDS
    from kvmkeep.model.trend import continued, encoded
    from kvmkeep.observe.vitals import observe_trends

    door = ctx.door()
    try:
        before, seen = observe_trends(door)
        after = continued(before, seen, utc_now().isoformat(timespec="seconds"))
        if after != before:
            why = "know at the next check whether the mismatches grow"
            door.write(WriteFile(path=TRENDS, content=encoded(after), why=why))
    except OSError as error:
        ctx.streams.talk(f"mismatches of arrays can't be kept: {error.strerror or error}")
