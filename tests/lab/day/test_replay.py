"""The power goes at moments of each deed, by the log of its writes: all comes back, and goes on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import sites

from lab.machine import Lab
from tests.replay.deeds import DEEDS
from tests.replay.story import Story

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long

POINTS = 1


@pytest.fixture(scope="module")
def story(the_lab: Lab) -> Iterator[Story]:
    the_lab.down()
    lab = Lab(f"{the_lab.name}-replay")
    try:
        yield Story(sites.day(lab))
    finally:
        lab.down()


@pytest.mark.parametrize("name", [deed.name for deed in DEEDS])
def test_whatever_was_written_when_the_power_went_is_gone_on_from(story: Story, name: str) -> None:
    (told,) = (told for told in story.told if told.deed.name == name)
    dice = random.Random(name)  # noqa: S311 - it must be the same again
    wrong = {
        moment: found
        for moment in story.drawn(told, POINTS, dice)
        if (found := story.cut(told, moment))
    }
    assert not wrong, "\n".join(
        f"after entry {moment}: {'; '.join(found)}" for moment, found in wrong.items()
    )
