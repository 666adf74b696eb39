"""A round is not good where only the watch brought the guests up, after a recovery that failed."""

from __future__ import annotations

import pytest

from tests.torture.recovery import judged

TABLE = "GUEST  STATE  READY AT\nalpha  up     2026-11-23T07:10:00+00:00\n"
BUG = "kvmkeep: this is a bug in kvmkeep: KeyError: 'alpha'\n"


def how(code: int, status: int) -> str:
    return f"ExecMainCode={code}\nExecMainStatus={status}\n"


@pytest.mark.parametrize("status", [0, 9])
def test_a_recovery_that_ran_to_its_end_is_good(status: int) -> None:
    assert judged(how(1, status), TABLE) == ()


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        (1, 7, "a step failed\n"),
        (1, 1, BUG),
        (1, 0, BUG + TABLE),
        (2, 9, "Main process exited, code=killed, status=9/KILL\n"),
    ],
)
def test_any_other_end_is_told_with_what_it_said(code: int, status: int, said: str) -> None:
    (text,) = judged(how(code, status), said)
    assert f"ended with {status}" in text
    assert said.strip() in text


def test_of_a_long_story_the_end_is_told() -> None:
    story = "".join(f"line {number}\n" for number in range(100))
    (text,) = judged(how(1, 5), story)
    assert "line 99" in text
    assert "line 79" not in text
