"""What is read from the guest's clock."""

from __future__ import annotations

import pytest

from bench.figure import BenchError
from bench.guard import p99


def said(*seconds: float) -> str:
    return "".join(f"write 1795855253.000000 {1795855253 + one:.6f}\n" for one in seconds)


def test_the_slowest_hundredth_begins_at_the_99th_percentile() -> None:
    assert p99(said(*(number / 1000 for number in range(1, 1001)))) == pytest.approx(0.99)


def test_of_too_few_writes_nothing_is_told() -> None:
    with pytest.raises(BenchError, match="only 3 writes"):
        p99(said(0.1, 0.2, 0.3))
