"""What is changed in a definition by sed is what is changed in the text that libvirt shows."""

from __future__ import annotations

from pathlib import Path

from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.command import Command
from kvmkeep.planning.domains.redefine import (
    edited,
    may_have_password,
    value_edit,
    variables_edit,
    with_value,
)

XML = """<domain type='kvm'>
  <name>web</name>
  <os>
    <type>hvm</type>
  </os>
  <devices>
    <disk><source file="/dev/vg.a/vm-web" dev='/dev/vg.a/vm-web' index='1'/></disk>
    <disk><source dev='/dev/vg_a/vm-web'/><x xdev='/dev/vg.a/vm-web'/></disk>
    <disk><source dev='/dev/vg.a/vm-web-data'/></disk>
    <graphics type='vnc' passwd='a&amp;b'/>
  </devices>
</domain>
"""
VALUE = ("/dev/vg.a/vm-web", "/dev/vg.a/vm-shop")


def by_sed(tmp_path: Path, *edits: str) -> str:
    path = tmp_path / "x.xml"
    path.write_text(XML)
    dump, sed = edited("UUID", str(path), edits)
    assert isinstance(dump, Command)
    assert isinstance(sed, Command)
    assert dump.stdout_to == str(path)
    assert MachineDoor().run(sed).ok
    return path.read_text()


def test_values_change_just_as_in_the_text_that_is_shown(tmp_path: Path) -> None:
    wanted = with_value(with_value(XML, "dev", *VALUE), "file", *VALUE)
    assert wanted.count("vm-shop") == 2
    edits = (value_edit("dev", *VALUE), value_edit("file", *VALUE))
    assert by_sed(tmp_path, *edits) == wanted


def test_the_file_of_the_variables_comes_into_os(tmp_path: Path) -> None:
    edit = variables_edit(XML, "/nvram/web_VARS.fd")
    wanted = XML.replace("  </os>", "    <nvram>/nvram/web_VARS.fd</nvram>\n  </os>")
    assert by_sed(tmp_path, edit) == wanted
    assert variables_edit(XML.replace("  </os>", "</os>"), "/x") == ""


def test_who_may_have_a_password() -> None:
    assert may_have_password(XML)
    assert not may_have_password(XML.replace("vnc", "dbus"))
