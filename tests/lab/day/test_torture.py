"""Blows at random moments: a round of what `make torture` does as often as it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sites

from lab.machine import Lab
from tests.torture import backups, deeds
from tests.torture.aim import watch
from tests.torture.oath import Oath
from tests.torture.round import Draw, begin, play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

    from tests.torture.deeds import Deed

pytestmark = pytest.mark.long

SEED = "make test"


@pytest.fixture(scope="module")
def host(the_lab: Lab) -> Iterator[Host]:
    the_lab.down()
    lab = Lab(f"{the_lab.name}-cut", forgetful=True)
    try:
        yield sites.day(lab)
    finally:
        lab.down()


@pytest.fixture(scope="module")
def oath(host: Host) -> Oath:
    return begin(host)


def hold(host: Host, oath: Oath, draw: Draw) -> None:
    ended = play(host, oath, draw)
    assert not ended.wrong, f"{draw}: {ended.word}: {'; '.join(ended.wrong)}"


@pytest.mark.parametrize("number", range(4))
def test_whenever_the_power_goes_all_comes_back(host: Host, oath: Oath, number: int) -> None:
    hold(host, oath, Draw.of(SEED, number))


@pytest.mark.parametrize("deed", deeds.DEEDS, ids=lambda deed: deed.name)
def test_whatever_dies_meanwhile_the_goal_is_reached(host: Host, oath: Oath, deed: Deed) -> None:
    hold(host, oath, Draw.of_processes(f"{SEED}: {deed.name}", 0, 3, (deed,)))


@pytest.mark.parametrize("deed", deeds.DEEDS, ids=lambda deed: deed.name)
def test_the_power_goes_in_each_phase(host: Host, oath: Oath, deed: Deed) -> None:
    watch(host)
    hold(host, oath, Draw.of_phases(SEED, deed))


def test_the_power_goes_while_a_guest_is_backed_up_restored_and_proven(host: Host) -> None:
    oath = begin(host, backups.prepare)
    for deed in backups.DEEDS:
        draw = Draw.of(SEED, 0, 2, (deed,))
        ended = play(host, oath, draw)
        assert not ended.wrong, f"{draw}: {ended.word}: {'; '.join(ended.wrong)}"
        oath = ended.oath


def test_the_power_goes_in_each_phase_of_a_backup_a_restore_and_a_proof(host: Host) -> None:
    watch(host)
    oath = begin(host, backups.prepare)
    for deed in backups.DEEDS:
        draw = Draw.of_phases(SEED, deed)
        ended = play(host, oath, draw)
        assert not ended.wrong, f"{draw}: {ended.word}: {'; '.join(ended.wrong)}"
        oath = ended.oath
