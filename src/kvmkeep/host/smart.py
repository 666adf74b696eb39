"""What disks tell of their own health, asked with smartctl(8).

Its exit code is a set of bits that describe the disk, not the command ("EXIT STATUS"); the JSON
says the same, so only the JSON is read.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec.structs import replace

from kvmkeep.host.door import Door, Result
from kvmkeep.host.tools import Unanswered, decode, whole
from kvmkeep.model.command import NOT_FOUND, NOT_STARTED, Command
from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.text import masked_lines
from kvmkeep.model.vitals import PhysicalDisk

SMARTCTL = (
    "smartctl", "--json", "--info", "--health", "--attributes", "--log=ssd", "--nocheck=standby",
)  # fmt: skip
"""A disk that sleeps is not woken. `ssd` is page 7 of an ATA disk's statistics: where it has none,
smartctl goes on (smartctl(8), "-l ssd"). NVMe and SCSI disks tell of their wear anyway."""
LIMIT = 5.0
"""Seconds for all disks: the kernel itself may try for minutes to reach one that died."""
AT_ONCE = 16

_DISK = re.compile(r"sd[a-z]{1,3}|nvme\d{1,4}n\d{1,4}")
"""Hardware. A virtual disk (`vda`) has nothing to tell."""
_GONE = frozenset({"offline", "transport-offline", "dead"})
"""`device/state` of what the kernel has given up (drivers/scsi/scsi_sysfs.c, "sdev_states";
drivers/nvme/host/sysfs.c, "nvme_sysfs_show_state"). smartctl's errors are no sign of that: bridges
and RAID controllers refuse its questions with the same words."""
_REALLOCATED, _PENDING = 5, 197
"""Attributes whose raw values count sectors, with all vendors."""
_REPORTED, _OFFLINE = 187, 198
_LOST = frozenset({_REPORTED, _OFFLINE})
"""What was lost: most SSDs tell 187 alone, hard disks 198. Some vendors use either number for
something else, and smartctl's database has another name for it then (drivedb.h)."""
_SSD_PAGE, _USED = 7, 8
"""ACS-3, "Solid State Device Statistics": "Percentage Used Endurance Indicator"."""

_TOO_HOT = 0x02
_WARNINGS = (
    (0x01, "its spare cells are nearly used up"),
    (0x04, "it is not reliable any more"),
    (0x08, "it is read-only"),
    (0x10, "the power that its cache needs in a power cut has failed"),
    (0x20, "its persistent memory is not reliable any more"),
    (0xC0, "a warning that is not known here"),
)
"""Bits of an NVMe disk's critical warning, beside the heat (NVM Express Base Specification, "SMART
/ Health Information"). smartctl calls the disk failing with any of them, be it the heat alone."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
_Celsius = Annotated[int, msgspec.Meta(ge=-100, le=1000)]
_Part = msgspec.Raw
"""Decoded by itself: some firmwares count 2^64 errors, and that must hide nothing else."""
_NONE = _Part()


class _Message(msgspec.Struct):
    string: str


class _Smartctl(msgspec.Struct):
    messages: list[_Message] = []


class _Warning(msgspec.Struct):
    value: _Count = 0


class _Status(msgspec.Struct):
    passed: bool
    nvme: _Part = _NONE


class _Raw(msgspec.Struct, frozen=True):
    value: _Part = _NONE


class _Attribute(msgspec.Struct):
    id: int
    name: str = ""
    raw: _Raw = _Raw()


class _Attributes(msgspec.Struct):
    table: list[_Attribute] = []


class _Statistic(msgspec.Struct):
    offset: int
    value: _Part = _NONE


class _Page(msgspec.Struct):
    number: int = -1
    table: list[_Statistic] = []


class _Statistics(msgspec.Struct):
    pages: list[_Page] = []


class _Used(msgspec.Struct):
    current_percent: _Part = _NONE


class _Nvme(msgspec.Struct):
    media_errors: _Part = _NONE
    percentage_used: _Part = _NONE


class _Errors(msgspec.Struct):
    total_uncorrected_errors: _Count = 0


class _ErrorLog(msgspec.Struct):
    read: _Errors | None = None
    write: _Errors | None = None


class _Temperature(msgspec.Struct):
    current: _Celsius | None = None


class _Answer(msgspec.Struct):
    smartctl: _Part = _NONE
    model_name: _Part = _NONE
    scsi_model_name: _Part = _NONE
    serial_number: _Part = _NONE
    smart_status: _Part = _NONE
    ata_smart_attributes: _Part = _NONE
    ata_device_statistics: _Part = _NONE
    nvme_smart_health_information_log: _Part = _NONE
    scsi_percentage_used_endurance_indicator: _Part = _NONE
    endurance_used: _Part = _NONE
    scsi_grown_defect_list: _Part = _NONE
    scsi_error_counter_log: _Part = _NONE
    temperature: _Part = _NONE


def disks(door: Door) -> tuple[PhysicalDisk, ...] | None:
    """Return what each disk tells, or None where there are disks and no smartctl.

    Raises OSError. A disk that does not answer is among them, with the reason, and so is one whose
    turn did not come.
    """
    names = tuple(name for name in door.names("/sys/block") if _DISK.fullmatch(name))
    names = tuple(
        name for name in names if (door.read(f"/sys/block/{name}/removable", 2) or b"")[:1] != b"1"
    )
    commands = [
        Command(argv=(*SMARTCTL, f"/dev/{name}"), why="see how disks are", timeout=LIMIT)
        for name in names
    ]
    results = door.run_all(commands, limit=LIMIT, at_once=AT_ONCE) if commands else ()
    if any(result.code == NOT_FOUND for result in results):
        return None
    found = (_disk(name, result) for name, result in zip(names, results, strict=True))
    return tuple(_as_seen(door, disk) for disk in found)


def _as_seen(door: Door, disk: PhysicalDisk) -> PhysicalDisk:
    """Return a disk with what the kernel thinks of it."""
    state = (door.read(f"/sys/block/{disk.name}/device/state", 64) or b"").decode(
        "ascii", "replace"
    )
    return replace(disk, asked=True, gone=state.strip()) if state.strip() in _GONE else disk


def _disk(name: str, result: Result) -> PhysicalDisk:
    if result.timed_out and result.code == NOT_STARTED:
        return PhysicalDisk(name=name, asked=False)
    if result.timed_out:
        return PhysicalDisk(name=name, hangs=True, silent=f"did not answer within {LIMIT:.0f} s")
    try:
        told = decode(whole(result, name, "smartctl"), _Answer, name, "smartctl")
    except Unanswered as error:
        return PhysicalDisk(name=name, silent=error.problem.reason)
    status, counts = decoded_or_none(told.smart_status, _Status), _counts(told)
    nvme = decoded_or_none(status.nvme, _Warning) if status is not None else None
    warned = nvme.value if nvme is not None else 0
    known = status is not None or bool(counts)
    heat = decoded_or_none(told.temperature, _Temperature)
    return PhysicalDisk(
        name=name,
        model=_text(told.model_name) or _text(told.scsi_model_name),
        serial=_text(told.serial_number),
        passed=status.passed or warned == _TOO_HOT if status is not None else None,
        hot=bool(warned & _TOO_HOT),
        warnings=tuple(text for bits, text in _WARNINGS if warned & bits),
        reallocated=counts.get(_REALLOCATED),
        pending=counts.get(_PENDING),
        uncorrectable=max((counts[one] for one in _LOST & counts.keys()), default=None),
        worn_percent=_worn(told),
        celsius=heat.current if heat is not None and known else None,
        silent="" if known else _why(told),
    )


def _text(part: _Part) -> str:
    return masked_lines(decoded_or_none(part, str) or "").strip()[:100]


def _counts(told: _Answer) -> dict[int, int]:
    """Return what ATA's attributes count, and what SCSI and NVMe count alike."""
    attributes = decoded_or_none(told.ata_smart_attributes, _Attributes) or _Attributes()
    figures = {
        one.id: decoded_or_none(one.raw.value, _Count)
        for one in attributes.table
        if one.id not in _LOST or re.search("unc|_ue", one.name, re.IGNORECASE)
    }
    if told.scsi_grown_defect_list:
        figures[_REALLOCATED] = decoded_or_none(told.scsi_grown_defect_list, _Count)
    log = decoded_or_none(told.scsi_error_counter_log, _ErrorLog)
    if log is not None:
        sides = [side for side in (log.read, log.write) if side is not None]
        figures[_REPORTED] = sum(side.total_uncorrected_errors for side in sides)
    nvme = decoded_or_none(told.nvme_smart_health_information_log, _Nvme)
    if nvme is not None:
        figures[_REPORTED] = decoded_or_none(nvme.media_errors, _Count)
    return {which: figure for which, figure in figures.items() if figure is not None}


def _worn(told: _Answer) -> int | None:
    """Return the part of a flash disk's life that is over: its own figure before smartctl's.

    `endurance_used` is smartctl's since 7.5, which may guess it from a vendor's attribute.
    """
    nvme = decoded_or_none(told.nvme_smart_health_information_log, _Nvme) or _Nvme()
    statistics = decoded_or_none(told.ata_device_statistics, _Statistics) or _Statistics()
    used = decoded_or_none(told.endurance_used, _Used) or _Used()
    parts = [
        nvme.percentage_used,
        *(
            one.value
            for page in statistics.pages
            for one in page.table
            if (page.number, one.offset) == (_SSD_PAGE, _USED)
        ),
        told.scsi_percentage_used_endurance_indicator,
        used.current_percent,
    ]
    figures = (decoded_or_none(part, _Count) for part in parts)
    return next((figure for figure in figures if figure is not None), None)


def _why(told: _Answer) -> str:
    """Return why a disk tells nothing, in smartctl's words where it has some."""
    said = decoded_or_none(told.smartctl, _Smartctl) or _Smartctl()
    words = " / ".join(one.string for one in said.messages)
    return masked_lines(words)[:300].replace("\n", " ") or "it has no SMART"
