"""systemd itself reads the units that `install-units` writes (systemd-analyze(1))."""

from __future__ import annotations

import subprocess  # noqa: TID251 - systemd itself
from pathlib import Path

import pytest

from kvmkeep.model.host_units import UNITS
from kvmkeep.planning.units.backup_units import backup_texts
from kvmkeep.planning.units.files import Program, unit_texts
from tests.unit.planning.build import POLICY, guest, spec


@pytest.mark.machine
def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path) -> None:
    program = tmp_path / "kvmkeep"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    caller = Program(path=str(program))
    texts = unit_texts(caller, start=660, stop=400)
    texts |= backup_texts(caller, spec(guest(backup=POLICY)))
    assert texts.keys() == {*UNITS}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["/usr/bin/systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if "kvmkeep" in line]
    assert (done.returncode, told) == (0, []), done.stderr
