"""`kvmkeep list` against libvirt's test driver: as complete as virsh, with 10 and 1,000 guests."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from kvmkeep.cli.main import main

DOMAIN = """\
<domain type='test'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>256</memory><vcpu>2</vcpu><os><type arch='i686'>hvm</type></os></domain>
"""


def connection(directory: Path, count: int) -> str:
    """Write a host with so many domains for the test driver, and return its URI."""
    domains = "".join(
        DOMAIN.format(name=f"guest{number}", uuid=uuid.UUID(int=number + 1))
        for number in range(count)
    )
    file = directory / "host.xml"
    file.write_text(f"<node>{domains}<cpu><nodes>1</nodes></cpu></node>", "utf-8")
    return f"test://{file}"


@pytest.mark.parametrize("count", [0, 10, 1000])
def test_list_names_every_domain(
    tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["list", "--json", "--spec", str(tmp_path / "none")]
    assert main([*words, "--connect", connection(tmp_path, count)]) == 0
    guests = json.loads(capsys.readouterr().out)["guests"]
    assert {guest["name"] for guest in guests} == {f"guest{n}" for n in range(count)}
    assert {guest["state"] for guest in guests} <= {"running"}
    assert {guest["memory"] for guest in guests} <= {256 << 20}
    assert {guest["vcpus"] for guest in guests} <= {2}
    assert not any(guest["in_spec"] for guest in guests)


def test_names_come_one_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["list", "--names", "--spec", str(tmp_path / "none")]
    assert main([*words, "--connect", connection(tmp_path, 3)]) == 0
    assert capsys.readouterr().out.split() == ["guest0", "guest1", "guest2"]


def test_a_libvirt_that_does_not_answer_is_exit_code_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "list",
        "--spec",
        str(tmp_path),
        "--connect",
        "qemu+unix:///system?socket=/nonexistent",
    ]
    assert main(words) == 5
    assert "Nothing was touched." in capsys.readouterr().err
