"""The verb that asks for an IPv6 address, on the machine's own loopback."""

from __future__ import annotations

import pytest

from kvmkeep.cli.main import main


def test_what_is_no_ipv6_address_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["neighbour", "lo", "10.0.0.1"]) == 2
    assert "'10.0.0.1' is no IPv6 address" in capsys.readouterr().err


@pytest.mark.machine
def test_nobody_answers_and_nowhere_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["neighbour", "--wait", "1", "lo", "fd00:5:68::9"]) == 9
    assert capsys.readouterr().out == "fd00:5:68::9 does not answer on lo\n"
    assert main(["neighbour", "nowhere0", "fd00::1"]) == 5
    assert "nowhere0 can't be asked on: No such device" in capsys.readouterr().err
