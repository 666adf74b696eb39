"""What facts tell of themselves."""

from __future__ import annotations

import pytest

from kvmkeep.model.facts import Array, ArrayState


@pytest.mark.parametrize(
    ("name", "device", "holds"),
    [
        ("md0", "/dev/md0", True),
        ("md126", "/dev/md126p3", True),
        ("md1", "/dev/md127", False),
        ("md1", "/dev/md1p", False),
        ("md1", "/dev/mapper/md1", False),
        ("md_data", "/dev/md_data", True),
        ("md_data", "/dev/md_data2", True),
        ("md_data", "/dev/md_data-old", False),
        ("md_a.", "/dev/md_ab", False),
    ],
)
def test_a_device_is_an_array_or_a_partition_of_it(name: str, device: str, *, holds: bool) -> None:
    array = Array(name=name, level="raid1", state=ArrayState.CLEAN, members=(), detail="")
    assert array.holds(device) is holds
