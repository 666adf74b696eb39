"""The exit code of several runs in one command."""

from __future__ import annotations

import pytest

from kvmkeep.cli.ended import together


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 9], 9),
        ([4, 4], 4),
        ([7], 7),
        # Codes 2 to 6 promise that nothing was touched.
        ([0, 4], 7),
        ([9, 5], 7),
        ([4, 5], 7),
        ([7, 9], 7),
    ],
)
def test_the_code_of_several_runs(codes: list[int], code: int) -> None:
    assert together(codes) == code
