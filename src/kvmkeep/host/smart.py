"""What disks tell of their own health, asked with smartctl(8).

Its exit code is a set of bits that describe the disk, not the command ("EXIT STATUS"); the JSON
says the same, so only the JSON is read.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from kvmkeep.host.door import Door, Result
from kvmkeep.host.tools import Unanswered, clean, decode
from kvmkeep.model.command import NOT_FOUND, NOT_STARTED, Command
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


class _Message(msgspec.Struct):
    string: str


class _Smartctl(msgspec.Struct):
    messages: list[_Message] = []


class _Warning(msgspec.Struct, frozen=True):
    value: _Count = 0


class _Status(msgspec.Struct):
    passed: bool
    nvme: _Warning = _Warning()


class _Raw(msgspec.Struct):
    value: _Count


class _Attribute(msgspec.Struct):
    id: int
    raw: _Raw
    name: str = ""


class _Attributes(msgspec.Struct):
    table: list[_Attribute] = []


class _Statistic(msgspec.Struct):
    offset: int
    value: _Count | None = None


class _Page(msgspec.Struct):
    number: int = -1
    table: list[_Statistic] = []


class _Statistics(msgspec.Struct):
    pages: list[_Page] = []


class _Used(msgspec.Struct):
    current_percent: _Count | None = None


class _Nvme(msgspec.Struct):
    media_errors: _Count | None = None
    percentage_used: _Count | None = None


class _Errors(msgspec.Struct):
    total_uncorrected_errors: _Count = 0


class _ErrorLog(msgspec.Struct):
    read: _Errors | None = None
    write: _Errors | None = None


class _Temperature(msgspec.Struct):
    current: _Celsius | None = None


class _Answer(msgspec.Struct):
    smartctl: _Smartctl | None = None
    model_name: str = ""
    scsi_model_name: str = ""
    serial_number: str = ""
    smart_status: _Status | None = None
    ata_smart_attributes: _Attributes | None = None
    ata_device_statistics: _Statistics | None = None
    nvme_smart_health_information_log: _Nvme | None = None
    scsi_percentage_used_endurance_indicator: _Count | None = None
    endurance_used: _Used | None = None
    scsi_grown_defect_list: _Count | None = None
    scsi_error_counter_log: _ErrorLog | None = None
    temperature: _Temperature | None = None


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
    return tuple(_disk(name, result) for name, result in zip(names, results, strict=True))


def _disk(name: str, result: Result) -> PhysicalDisk:
    if result.timed_out and result.code == NOT_STARTED:
        return PhysicalDisk(name=name, asked=False)
    if result.timed_out:
        return PhysicalDisk(name=name, hangs=True, silent=f"did not answer within {LIMIT:.0f} s")
    try:
        told = decode(result.text, _Answer, name, "smartctl")
    except Unanswered as error:
        return PhysicalDisk(name=name, silent=error.problem.reason)
    status, counts = told.smart_status, _counts(told)
    warned = status.nvme.value if status is not None else 0
    known = status is not None or bool(counts)
    return PhysicalDisk(
        name=name,
        model=clean(told.model_name or told.scsi_model_name)[:100],
        serial=clean(told.serial_number).strip()[:100],
        passed=status.passed or warned == _TOO_HOT if status is not None else None,
        hot=bool(warned & _TOO_HOT),
        warnings=tuple(text for bits, text in _WARNINGS if warned & bits),
        reallocated=counts.get(_REALLOCATED),
        pending=counts.get(_PENDING),
        uncorrectable=max((counts[one] for one in _LOST & counts.keys()), default=None),
        worn_percent=_worn(told),
        celsius=told.temperature.current if told.temperature is not None and known else None,
        silent="" if known else _why(told),
    )


def _counts(told: _Answer) -> dict[int, int]:
    """Return what ATA's attributes count, and what SCSI and NVMe count alike."""
    table = told.ata_smart_attributes.table if told.ata_smart_attributes is not None else []
    counts = {
        one.id: one.raw.value
        for one in table
        if one.id not in _LOST or re.search("unc|_ue", one.name, re.IGNORECASE)
    }
    if told.scsi_grown_defect_list is not None:
        counts[_REALLOCATED] = told.scsi_grown_defect_list
    log, nvme = told.scsi_error_counter_log, told.nvme_smart_health_information_log
    if log is not None:
        sides = [side for side in (log.read, log.write) if side is not None]
        counts[_REPORTED] = sum(side.total_uncorrected_errors for side in sides)
    if nvme is not None and nvme.media_errors is not None:
        counts[_REPORTED] = nvme.media_errors
    return counts


def _worn(told: _Answer) -> int | None:
    """Return the part of a flash disk's life that is over: its own figure before smartctl's.

    `endurance_used` is smartctl's since 7.5, which may guess it from a vendor's attribute.
    """
    nvme, used = told.nvme_smart_health_information_log, told.endurance_used
    pages = told.ata_device_statistics.pages if told.ata_device_statistics is not None else []
    figures = [
        nvme.percentage_used if nvme is not None else None,
        *(
            one.value
            for page in pages
            for one in page.table
            if (page.number, one.offset) == (_SSD_PAGE, _USED)
        ),
        told.scsi_percentage_used_endurance_indicator,
        used.current_percent if used is not None else None,
    ]
    return next((figure for figure in figures if figure is not None), None)


def _why(told: _Answer) -> str:
    """Return why a disk tells nothing, in smartctl's words where it has some."""
    said = [one.string for one in told.smartctl.messages] if told.smartctl is not None else []
    return clean(" / ".join(said))[:300].replace("\n", " ") or "it has no SMART"
