"""What makes a file of secrets one that is not to be used."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kvmkeep.model.secret_file import SecretFile

GOOD = SecretFile(path="/root/pw", kind="file", mode=0o600)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_root_alone_is_well(mode: int) -> None:
    assert replace(GOOD, mode=mode).trouble == ()


@pytest.mark.parametrize(
    ("changes", "reason", "hint"),
    [
        ({"mode": 0o644}, "is not for root alone (its mode is 0644)", "chmod 600 /root/pw"),
        ({"mode": 0o620}, "is not for root alone (its mode is 0620)", "chmod 600 /root/pw"),
        ({"mode": 0o601}, "is not for root alone (its mode is 0601)", "chmod 600 /root/pw"),
        ({"owner": 1000}, "not belong to root, but to the user 1000", "chown root:root /root/pw"),
        ({"kind": ""}, "is missing", "chmod 600 /root/pw"),
        ({"kind": "fifo", "mode": 0o666}, "is no file, but a fifo", "correct its path"),
        ({"blank": True}, "is empty", "write into it"),
        ({"kind": "", "error": "Input/output error"}, "can't be read: Input/", "ls -l /root/pw"),
    ],
)
def test_each_other_one_is_told_with_what_to_type(
    changes: dict[str, object], reason: str, hint: str
) -> None:
    ((told, todo),) = replace(GOOD, **changes).trouble
    assert told.startswith("/root/pw ")
    assert reason in told
    assert hint in todo


@pytest.mark.parametrize(
    ("unit", "hint"),
    [
        ("kvmkeep-backup.service", "a unit that always runs"),
        ("kvmkeep-secrets.service", "systemctl start kvmkeep-secrets.service"),
    ],
)
def test_a_credential_is_there_only_while_its_unit_runs(unit: str, hint: str) -> None:
    ((told, todo),) = SecretFile(path=f"/run/credentials/{unit}/vault").trouble
    assert told == f"/run/credentials/{unit}/vault is there only while {unit} runs"
    assert hint in todo


def test_all_is_told_at_once_and_a_path_can_be_typed() -> None:
    one = replace(GOOD, path="/root/a b", owner=7, mode=0o666, blank=True)
    assert len(one.trouble) == 3
    assert one.trouble[1][1] == "chmod 600 '/root/a b'"
