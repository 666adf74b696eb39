"""What a domain's own metadata keep of how it is to run: they survive a power cut."""

from __future__ import annotations

from msgspec import Struct


class RunMark(Struct, frozen=True, kw_only=True):
    """The element of `names.RUN_URI`; all of it may be missing.

    `starts` when the guest starts with the host by kvmkeep's unit, instead of by libvirt's own
    flag. `wanted` is the last word of an administrator that differs from that: whether it is to
    run; None where there is none. `restarts` counts how often it was started again after it had
    died, since it last ran well for long; `last` is when that was last done (`second_stamp`), and
    `tries` how often in a row, since it last ran: not each start brings it up.
    `held` when it died so often that it is not started again.
    """

    starts: bool = False
    wanted: bool | None = None
    restarts: int = 0
    last: str = ""
    tries: int = 0
    held: bool = False


NO_RUN_MARK = RunMark()
