"""What it means when the host does not let QEMU open a disk."""

from __future__ import annotations

import pytest

from kvmkeep.apply.hands import failure_of
from kvmkeep.host.door import Result
from kvmkeep.planning.commands import DENIED, start_command
from tests.unit.health.build import domain


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (b"error: Could not open '/data/vm/web.img': Permission denied", DENIED.sentence),
        (b"error: Requested operation is not valid: domain is already running", ""),
    ],
)
def test_a_start_that_selinux_denies_names_its_booleans(said: bytes, sentence: str) -> None:
    end = Result(code=1, stdout=b"", stderr=said, seconds=0.1, timed_out=False, ok=False)
    assert failure_of(start_command(domain()), end).problem == sentence
