"""What a command line runs in the end."""

from __future__ import annotations

import pytest

from kvmkeep.model.command import innermost


@pytest.mark.parametrize(
    "around",
    [
        "",
        "env TZ=UTC BORG_BASE_DIR=/var ",
        "/usr/bin/kvmkeep with-environment --file=/root/keys -- ",
        "/usr/bin/kvmkeep with-environment --file=/root/keys --rest=URL -- env TZ=UTC ",
    ],
)
def test_a_program_is_seen_behind_what_gives_it_its_environment(around: str) -> None:
    argv = tuple(f"{around}borg create -- a=b".split())
    assert innermost(argv) == ("borg", "create", "--", "a=b")
