"""What disks tell, as smartctl printed it; the disks are other people's, without their numbers."""

from __future__ import annotations

import json

import pytest
from adapters.replay import Replay, captured, ended
from msgspec.structs import replace

from kvmkeep.host import smart
from kvmkeep.host.door import Result
from kvmkeep.host.run import not_run
from kvmkeep.model.command import NOT_STARTED
from kvmkeep.model.vitals import PhysicalDisk
from kvmkeep.observe.vitals import observe_vitals

HUNG = replace(ended(-9), timed_out=True)


def host(**answers: str | Result) -> Replay:
    """Return a host with these disks and their answers."""
    door = Replay({}, {f"/sys/block/{name}/removable": b"0\n" for name in answers})
    for name, told in answers.items():
        result = ended(stdout=told.encode()) if isinstance(told, str) else told
        door.answers[*smart.SMARTCTL, f"/dev/{name}"] = result
    return door


def disk(kind: str) -> PhysicalDisk:
    found = smart.disks(host(sda=captured("smartctl", kind)))
    assert found is not None
    return found[0]


def test_a_disk_whose_turn_did_not_come_hangs_not() -> None:
    late = not_run(NOT_STARTED, "smartctl: no time was left to begin it", timed_out=True)
    found = smart.disks(host(sda=HUNG, sdb=late))
    assert found is not None
    assert [(one.name, one.hangs, one.asked) for one in found] == [
        ("sda", True, True),
        ("sdb", False, False),
    ]


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (
            "ata-well",
            PhysicalDisk(
                name="sda", model="HGST HUS726020ALE614", passed=True, reallocated=0, pending=0,
                uncorrectable=0, celsius=27,
            ),
        ),
        (
            "ata-failing",
            PhysicalDisk(
                name="sda", model="Hitachi HDS721050DLE630", passed=False, reallocated=1975,
                pending=8, uncorrectable=0, celsius=25,
            ),
        ),
        (
            "nvme",
            PhysicalDisk(
                name="sda", model="Samsung SSD 970 EVO 500GB", passed=True, uncorrectable=7,
                worn_percent=3, celsius=35,
            ),
        ),
        (
            "scsi",
            PhysicalDisk(
                name="sda", model="SEAGATE ST4000NM0043", passed=True, reallocated=56,
                uncorrectable=0, celsius=34,
            ),
        ),
        ("raid", PhysicalDisk(name="sda", model="Intel Raid 1 Volume", silent="it has no SMART")),
        ("none", PhysicalDisk(name="sda", silent="/dev/vda: Unable to detect device type")),
    ],
)  # fmt: skip
def test_what_disks_tell(kind: str, found: PhysicalDisk) -> None:
    assert disk(kind) == found


def test_the_number_that_is_printed_on_a_disk() -> None:
    told = '{"model_name": "Disk 1", "serial_number": " BTYF1 \\u001b", "smart_status": {"passed": true}}'
    (found,) = smart.disks(host(sda=told)) or ()
    assert (found.model, found.serial) == ("Disk 1", "BTYF1 ?")


@pytest.mark.parametrize(
    ("value", "passed", "hot", "warnings"),
    [
        (0x02, True, True, ()),
        (0x08, False, False, ("it is read-only",)),
        (0x03, False, True, ("its spare cells are nearly used up",)),
        (0x40, False, False, ("a warning that is not known here",)),
        (0x00, False, False, ()),
    ],
)
def test_what_an_nvme_disk_warns_of(
    value: int, passed: object, hot: object, warnings: tuple[str, ...]
) -> None:
    """smartctl says that it fails whichever of its critical warnings there is."""
    told = captured("smartctl", "nvme").replace(
        '"smart_status": {"passed": true, "nvme": {"value": 0}}',
        f'"smart_status": {{"passed": false, "nvme": {{"value": {value}}}}}',
    )
    (found,) = smart.disks(host(sda=told)) or ()
    assert (found.passed, found.hot, found.warnings) == (passed, hot, warnings)


def sata(**changes: object) -> str:
    """Return what a SATA SSD tells, as smartctl 7.2 has it."""
    table = [
        {"id": 5, "name": "Reallocated_Sector_Ct", "raw": {"value": 0}},
        {"id": 187, "name": "Uncorrectable_Error_Cnt", "raw": {"value": 57}},
        {"id": 198, "name": "Host_Reads_GiB", "raw": {"value": 81920}},
    ]
    pages = [
        {"number": 1, "table": [{"offset": 8, "value": 20}]},
        {"number": 7, "table": [{"offset": 16, "value": 5}, {"offset": 8, "value": 99}]},
    ]
    told: dict[str, object] = {
        "smart_status": {"passed": True},
        "ata_smart_attributes": {"table": table},
        "ata_device_statistics": {"pages": pages},
    }
    return json.dumps(told | changes)


def test_the_wear_of_a_sata_ssd_and_what_it_lost() -> None:
    (found,) = smart.disks(host(sda=sata())) or ()
    assert (found.worn_percent, found.uncorrectable) == (99, 57), "198 is something else here"


@pytest.mark.parametrize(
    ("changes", "worn"),
    [
        ({"endurance_used": {"current_percent": 1}}, 99),
        ({"ata_device_statistics": {"pages": []}}, None),
        ({"ata_device_statistics": {"pages": [{}]}, "endurance_used": {"current_percent": 95}}, 95),
        ({"ata_device_statistics": {"pages": [{"number": 7, "table": [{"offset": 8}]}]}}, None),
    ],
)
def test_wear_is_its_own_figure_before_a_guess(changes: dict[str, object], worn: object) -> None:
    (found,) = smart.disks(host(sda=sata(**changes))) or ()
    assert found.worn_percent == worn


def test_the_wear_of_a_sas_ssd() -> None:
    told = json.loads(captured("smartctl", "scsi"))
    told["scsi_percentage_used_endurance_indicator"] = 91
    (found,) = smart.disks(host(sda=json.dumps(told))) or ()
    assert found.worn_percent == 91


def test_the_exit_code_tells_of_the_disk_not_of_the_command() -> None:
    failing = ended(216, captured("smartctl", "ata-failing").encode())
    found = smart.disks(host(sda=failing))
    assert found is not None
    assert found[0].passed is False


def test_only_hardware_is_asked() -> None:
    door = host(sda=captured("smartctl", "ata-well"), nvme0n1=captured("smartctl", "nvme"))
    others = ("vda", "md0", "dm-3", "loop0", "sr0", "sda1", "nvme0c0n1")
    door.files |= {f"/sys/block/{name}/removable": b"0\n" for name in others}
    door.files["/sys/block/sdb/removable"] = b"1\n"  # a stick
    found = smart.disks(door)
    assert found is not None
    assert [one.name for one in found] == ["nvme0n1", "sda"]
    assert len(door.ran) == 2


def test_a_host_without_disks_of_its_own_needs_no_tool() -> None:
    door = host()
    door.files["/sys/block/vda/removable"] = b"0\n"
    assert (smart.disks(door), door.ran) == ((), [])


def test_without_the_tool_nobody_is_asked() -> None:
    found = observe_vitals(host(sda=ended(127), sdb=ended(127)), "/etc/kvmkeep")
    assert found.disks is None
    assert "disks" not in [one.what for one in found.problems]


def test_a_disk_that_hangs_hides_no_other() -> None:
    found = smart.disks(host(sda=HUNG, sdb=captured("smartctl", "ata-well")))
    assert found is not None
    assert [(one.name, one.hangs, one.passed) for one in found] == [
        ("sda", True, None),
        ("sdb", False, True),
    ]
    assert found[0].silent == "did not answer within 5 s"


@pytest.mark.parametrize(
    "told",
    [
        "", "[]", "{", "\x1b[2J", '{"smart_status": {"passed": "maybe"}}',
        '{"temperature": {"current": 99999}}', '{"scsi_grown_defect_list": -1}',
        '{"ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": 1e300}}]}}',
    ],
)  # fmt: skip
def test_an_answer_that_makes_no_sense(told: str) -> None:
    found = smart.disks(host(sda=told))
    assert found is not None
    assert found[0].passed is None
    assert found[0].silent.isprintable()
    assert found[0].silent


@pytest.mark.parametrize(
    ("state", "gone"),
    [(b"running\n", ""), (b"offline\n", "offline"), (b"dead\n", "dead"), (b"live\n", "")],
)
def test_a_disk_that_the_kernel_gave_up(state: bytes, gone: str) -> None:
    late = not_run(NOT_STARTED, "smartctl: no time was left to begin it", timed_out=True)
    for told in (captured("smartctl", "none"), late):
        door = host(sda=told)
        door.files["/sys/block/sda/device/state"] = state
        (found,) = smart.disks(door) or ()
        assert (found.gone, found.asked) == (gone, bool(gone) or told is not late)


def test_one_odd_figure_hides_no_other() -> None:
    told = json.loads(captured("smartctl", "nvme"))
    told["smart_status"]["passed"] = False
    told["nvme_smart_health_information_log"]["media_errors"] = 2**64
    told["temperature"]["current"] = -273
    told["serial_number"] = 7
    (found,) = smart.disks(host(sda=json.dumps(told))) or ()
    assert (found.passed, found.worn_percent, found.silent) == (False, 3, "")
    assert (found.uncorrectable, found.celsius, found.serial) == (None, None, "")
    odd = {"id": 197, "name": "Current_Pending_Sector", "raw": {"value": 2**63}}
    well = {"id": 5, "name": "Reallocated_Sector_Ct", "raw": {"value": 3}}
    (found,) = smart.disks(host(sda=sata(ata_smart_attributes={"table": [odd, {}]}))) or ()
    assert (found.passed, found.worn_percent) == (True, 99)
    (found,) = smart.disks(host(sda=sata(ata_smart_attributes={"table": [odd, well]}))) or ()
    assert (found.pending, found.reallocated) == (None, 3)


def test_a_name_that_is_hostile() -> None:
    told = '{"model_name": "\\u001b[2Jx", "smartctl": {"messages": [{"string": "a\\nb\\u001b"}]}}'
    (found,) = smart.disks(host(sda=told)) or ()
    assert (found.model, found.silent) == ("?[2Jx", "a b?")
