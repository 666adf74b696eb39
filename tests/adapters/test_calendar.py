"""systemd itself says when the times come that the spec gives (systemd-analyze(1), "calendar")."""

from __future__ import annotations

import re
import subprocess  # noqa: TID251 - systemd itself
from datetime import UTC, datetime, timedelta

import pytest

from kvmkeep.model.calendar import parse_calendar

BASE = datetime(2026, 11, 27, 12, 30, 15, tzinfo=UTC)
TEXTS = (
    "minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly",
    "annually", "01:30", "Fri", "Sat,Sun 06:00", "Mon..Fri *-*-* 01:30", "*-*-31", "02-29",
    "*-*-* 0/6:15", "*-*-* 13..20/2:00", "*-*-* *:*:20", "*-1..6/2-5,15 4:05:06", "Tue *-*-1..7 02:00",
    "*-*-* 03,15:10/25", "*-*-1/30", "0/23:00", "10/13:00", "*:0/59",
)  # fmt: skip
NEXT = re.compile(r"^ *(?:Next elapse|Iter\. #[0-9]+): ... (.*) UTC$", re.MULTILINE)


@pytest.mark.machine
@pytest.mark.parametrize("text", TEXTS)
def test_our_times_are_those_of_systemd(text: str) -> None:
    base = BASE.strftime("%Y-%m-%d %H:%M:%S UTC")
    done = subprocess.run(
        ["/usr/bin/systemd-analyze", "calendar", f"--base-time={base}", "--iterations=4", text],
        capture_output=True, text=True, check=True, timeout=60, env={"TZ": "UTC", "LC_ALL": "C"},
    )  # fmt: skip
    times = [datetime.fromisoformat(f"{one}+00:00") for one in NEXT.findall(done.stdout)]
    assert len(times) == 4
    calendar = parse_calendar(text)
    for before, after in zip([BASE, *times], times, strict=False):
        assert calendar.last(after) == after
        earlier = calendar.last(after - timedelta(seconds=1))
        assert earlier is not None
        assert earlier == before or earlier <= before == BASE


@pytest.mark.machine
@pytest.mark.parametrize(
    "text",
    [
        "sometimes",
        "25:00",
        "Mon Tue",
        "*-13-01",
        "*-*-* 0/0:00",
        "*/6:00",
        "*-*-*/2",
        "*:*/15",
        "0:0/60",
        "*:0/999",
        "10/14:00",
        "*-*-1/31",
        "5,*:00",
    ],
)
def test_systemd_refuses_what_we_refuse(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        parse_calendar(text)
    done = subprocess.run(
        ["/usr/bin/systemd-analyze", "calendar", text],
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0


@pytest.mark.machine
@pytest.mark.parametrize("text", ["*-02-30", "*-4,6-31", "2020-01-01"])
def test_what_never_comes_again_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no month|comes again"):
        parse_calendar(text)
    done = subprocess.run(
        ["/usr/bin/systemd-analyze", "calendar", text],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "Next elapse: never" in done.stdout
