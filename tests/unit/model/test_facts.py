"""What facts tell of themselves."""

from __future__ import annotations

import pytest

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Array, ArrayState


def test_states_are_known_by_the_words_of_virsh() -> None:
    """As `virsh domstate` prints them (virsh-domain-monitor.c), in the order of libvirt-domain.h."""
    assert [state.virsh for state in DomainState] == [
        "no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "pmsuspended",
    ]  # fmt: skip


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
