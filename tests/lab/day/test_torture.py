"""Power cuts at random moments: a round of what `make torture` does as often as it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sites

from lab.machine import Lab
from tests.torture.oath import Oath
from tests.torture.round import Draw, begin, play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

SEED = "make test"


@pytest.fixture(scope="module")
def sworn(the_lab: Lab) -> Iterator[tuple[Host, Oath]]:
    the_lab.down()
    lab = Lab(f"{the_lab.name}-cut", forgetful=True)
    try:
        host = sites.day(lab)
        yield host, begin(host)
    finally:
        lab.down()


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2, 3))]
)
def test_whenever_the_power_goes_all_comes_back(sworn: tuple[Host, Oath], number: int) -> None:
    host, oath = sworn
    draw = Draw.of(SEED, number)
    ended = play(host, oath, draw)
    assert not ended.wrong, f"{draw}: {ended.word}: {'; '.join(ended.wrong)}"
