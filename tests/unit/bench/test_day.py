"""What the benchmark of a day reads from others' output."""

from __future__ import annotations

import pytest

from bench.day import _stood_still
from bench.figure import BenchError

# virsh 9.0.0: event --event lifecycle --loop --timestamp
EVENTS = """\
2026-11-27 18:20:37.637+0000: event 'lifecycle' for domain 'bench-day': Suspended Paused
2026-11-27 18:20:46.952+0000: event 'lifecycle' for domain 'bench-day': Resumed Unpaused
"""


def test_how_long_a_guest_stood_still_is_read_from_libvirts_events() -> None:
    assert _stood_still(EVENTS) == pytest.approx(9.315)


def test_no_events_are_no_pause_of_zero() -> None:
    with pytest.raises(BenchError, match="told of no suspending"):
        _stood_still(EVENTS.replace("bench-day", "other"))
