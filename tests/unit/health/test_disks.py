"""What disks tell of themselves, and what to do about it."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.health import Severity
from kvmkeep.model.vitals import PhysicalDisk
from tests.unit.health.build import ARRAY, findings, only

WELL = PhysicalDisk(
    name="sda", model="Disk 1", passed=True, reallocated=0, pending=0, uncorrectable=0
)


def test_disks_that_are_well_are_not_told() -> None:
    assert findings(disks=(WELL, replace(WELL, name="sdb", worn_percent=89))) == ()


def test_that_nobody_asks_is_told_once() -> None:
    found = only(Severity.OK, "disks-not-asked", disks=None)
    assert "smartmontools" in found.todo


def test_a_disk_that_is_failing_is_replaced_without_losing_the_other_copy() -> None:
    array = replace(ARRAY, members=("sda2", "sdb2"))
    failing = (replace(WELL, passed=False),)
    found = only(Severity.CRITICAL, "disk-failing", disks=failing, arrays=(array,))
    assert found.subject == "disk sda"
    assert "(Disk 1)" in found.what
    assert "mdadm /dev/md0 --replace /dev/sda2" in found.todo
    dead = replace(array, faulty=("sda2",))
    found = findings(disks=failing, arrays=(dead,))[0]
    assert "mdadm /dev/md0 --remove /dev/sda2; mdadm /dev/md0 --add /dev/DISK2" in found.todo
    nvme = (PhysicalDisk(name="nvme0n1", passed=False),)
    array = replace(ARRAY, members=("nvme0n1p3", "nvme0n10p3"))
    found = only(Severity.CRITICAL, "disk-failing", disks=nvme, arrays=(array,))
    assert "--replace /dev/nvme0n1p3" in found.todo
    found = only(Severity.CRITICAL, "disk-failing", disks=failing, arrays=())
    assert "copy what lies on it" in found.todo


def test_a_disk_tells_in_which_way_it_is_failing() -> None:
    failing = (replace(WELL, passed=False, warnings=("it is read-only", "it is not reliable")),)
    found = only(Severity.CRITICAL, "disk-failing", disks=failing)
    assert found.what.endswith("is failing: it is read-only, it is not reliable (Disk 1)")


def test_a_hot_disk_is_not_taken_out_of_its_array() -> None:
    hot = replace(WELL, hot=True, celsius=86)
    found = only(Severity.WARNING, "disk-hot", disks=(hot,))
    assert found.what.endswith("may be: 86 degrees Celsius (Disk 1)")
    assert "mdadm" not in found.todo
    found = only(Severity.WARNING, "disk-hot", disks=(replace(hot, celsius=None),))
    assert found.what.endswith("may be (Disk 1)")


def test_a_disk_is_named_by_what_is_printed_on_it() -> None:
    failing = replace(WELL, passed=False, serial="BTYF1")
    found = only(Severity.CRITICAL, "disk-failing", disks=(failing,))
    assert found.what.endswith("failing (Disk 1, serial BTYF1)")
    found = only(Severity.CRITICAL, "disk-failing", disks=(replace(failing, model=""),))
    assert found.what.endswith("failing (serial BTYF1)")


def test_a_failing_disk_is_moved_in_each_array_that_has_a_part_of_it() -> None:
    lvm = replace(ARRAY, name="md126", members=("sda3", "sdb3"))
    boot = replace(ARRAY, name="md127", members=("sda2", "sdb2"))
    other = replace(ARRAY, name="md5", members=("sdaa1", "sdab1"))
    failing = (replace(WELL, name="sdb", passed=False, pending=1),)
    found, unreadable = findings(disks=failing, arrays=(lvm, boot, other))
    assert found.todo == (
        "smartctl --xall /dev/sdb; add another disk and move over: "
        "partition the new one as docs/how-to/replace-a-disk.md says; "
        "mdadm /dev/md126 --add /dev/DISK3; mdadm /dev/md126 --replace /dev/sdb3; "
        "mdadm /dev/md127 --add /dev/DISK2; mdadm /dev/md127 --replace /dev/sdb2; "
        "put the boot loader on it"
    )
    assert unreadable.todo.startswith(
        "have the array write them anew: echo check > /sys/block/md126/md/sync_action; "
        "echo check > /sys/block/md127/md/sync_action; if they stay"
    )


def test_sectors_that_cannot_be_read() -> None:
    pending = (replace(WELL, pending=8),)
    found = only(Severity.WARNING, "disk-unreadable", disks=pending)
    assert found.what == "8 of its sectors can't be read (Disk 1)"
    assert "echo check > /sys/block/md0/md/sync_action" in found.todo
    assert (
        "read all of it" in only(Severity.WARNING, "disk-unreadable", disks=pending, arrays=()).todo
    )


def test_a_disk_that_is_worn() -> None:
    found = only(Severity.WARNING, "disk-worn", disks=(replace(WELL, worn_percent=104),))
    assert "104 % of its life" in found.what


def test_counts_that_never_go_back_are_no_alarm() -> None:
    found = only(Severity.OK, "disk-had-errors", disks=(replace(WELL, reallocated=3),))
    assert found.what == "over its life, 3 sectors were replaced by spare ones"
    found = only(
        Severity.OK, "disk-had-errors", disks=(replace(WELL, reallocated=3, uncorrectable=1),)
    )
    assert found.what.endswith("3 sectors were replaced by spare ones and 1 errors lost data of it")


def test_a_disk_that_the_kernel_gave_up_is_no_silent_one() -> None:
    silent = "/dev/sda: open device failed: No such device"
    gone = PhysicalDisk(name="sda", silent=silent, gone="offline")
    found = only(Severity.CRITICAL, "disk-gone", disks=(gone,))
    assert found.what == "the kernel gave it up: it is offline"
    assert found.todo.endswith(
        "replace it: mdadm /dev/md0 --fail /dev/sda --remove /dev/sda; mdadm /dev/md0 --add /dev/DISK"
    )
    found = only(Severity.CRITICAL, "disk-gone", disks=(gone,), arrays=())
    assert found.todo.endswith("else replace it")


def test_disks_that_were_never_asked_are_unknown() -> None:
    late = tuple(PhysicalDisk(name=name, asked=False) for name in ("sdq", "sdr"))
    found = only(Severity.UNKNOWN, "not-seen", disks=late)
    assert found.subject == "disk sdq, sdr"
    assert "smartctl --xall /dev/sdq" in found.todo


def test_a_disk_that_tells_nothing_is_known_one_that_hangs_is_not_well() -> None:
    silent = PhysicalDisk(name="sda", silent="it has no SMART")
    assert "RAID controller" in only(Severity.OK, "disk-tells-nothing", disks=(silent,)).todo
    hangs = PhysicalDisk(name="sda", silent="did not answer within 5 s", hangs=True)
    found = only(Severity.WARNING, "disk-hangs", disks=(hangs,))
    assert found.what == "it did not answer within 5 s"
