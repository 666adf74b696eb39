"""What is read from dd's words in the guest."""

from __future__ import annotations

import pytest

from bench.figure import BenchError
from bench.guard import p99


def said(*seconds: float) -> str:
    return "".join(
        f"1+0 records in\n1+0 records out\n4096 bytes (4.0KB) copied, {one:.6f} seconds, 1.2MB/s\n"
        for one in seconds
    )


def test_the_slowest_hundredth_begins_at_the_99th_percentile() -> None:
    assert p99(said(*(number / 1000 for number in range(1, 1001)))) == 0.99


def test_of_too_few_writes_nothing_is_told() -> None:
    with pytest.raises(BenchError, match="only 3 writes"):
        p99(said(0.1, 0.2, 0.3))
