"""A repository that has no room left: engines say so in one line of many, and not what frees it."""

from __future__ import annotations

from kvmkeep.model.command import Meaning

# strerror(3) as Go writes it, and as Python does; the last is what borg says ahead of that.
FULL = tuple(
    Meaning(
        words=words,
        sentence="Where that is said of the repository, it has no room left, and no backup can be "
        "made until it has: make room there, or take out what need not be kept: "
        "kvmkeep backup forget --all && kvmkeep backup prune. What was sent so far goes with it",
    )
    for words in (
        "no space left on device", "No space left on device",
        "Insufficient free space to complete transaction",
    )
)  # fmt: skip
