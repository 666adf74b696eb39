"""One lab for all tests of a run; each module says in which state it needs the host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import sites

from lab.machine import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

LONGEST = (
    "main_job", "faults", "recover", "refusals", "change", "disks", "snapshots", "remove", "network",
)  # fmt: skip
"""Modules that begin first, so that no worker is left with a long one in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the long modules run first."""
    rank = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def the_lab() -> Iterator[Lab]:
    """Name one lab, and take it away whatever happens."""
    lab = Lab(f"test-{os.getpid()}")
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def host(the_lab: Lab) -> Iterator[Host]:
    """Return a pristine host with kvmkeep on it and foreign things planted.

    At the end of each module the foreign things must be just as they were.
    """
    host = sites.bare(the_lab)
    before = host.foreign_things()
    yield host
    assert host.foreign_things() == before
