"""The memory of proofs that run beside the guests, and how it is had back."""

from __future__ import annotations

from kvmkeep.model.facts import Facts
from kvmkeep.model.host_units import PROVE
from kvmkeep.model.units import Size

HOW_TO_END = (
    f"wait until it is over, or end it: ^C twice where it was typed, or systemctl stop {PROVE}; "
    "what a killed one has left, kvmkeep watch takes down"
)


def proofs_memory(facts: Facts) -> Size:
    """Return what guests that were started from backups have."""
    return Size(sum(one.memory.bytes for one in facts.proofs))


def proofs_text(facts: Facts) -> str:
    """Return whose backups are proven just now, and the memory of that."""
    guests = ", ".join(one.guest for one in facts.proofs)
    return f"the proof of a backup of {guests} has {proofs_memory(facts)}"
