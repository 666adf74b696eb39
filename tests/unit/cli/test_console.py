from __future__ import annotations

import pytest

from kvmkeep.cli.console import clean
from kvmkeep.errors import Unready
from kvmkeep.host.console import become, console_command


def test_a_guests_log_can_do_nothing_to_the_terminal() -> None:
    log = b"\x1b[2J\x1b]0;title\x07boot\r\n\x1b[1;31mred\x1b[0m\x07\x9b1m\x00ok\tx\xff\x1bc\rend\n"
    said = clean(log)
    assert said.splitlines()[0] == "boot"
    assert "red" in said
    assert "title" not in said
    assert not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in said)


def test_the_console_is_virshs_with_the_name_behind_two_dashes() -> None:
    argv = console_command("qemu:///system", "web")
    assert argv[:3] == ("virsh", "--connect", "qemu:///system")
    assert argv[-2:] == ("--", "web")
    assert "console" in argv


def test_a_missing_virsh_is_told() -> None:
    with pytest.raises(Unready, match="can't be run"):
        become(("/nonexistent/virsh",))
