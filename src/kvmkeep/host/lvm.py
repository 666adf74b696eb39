"""LVM's reports: explicit columns, bytes, JSON (lvmreport(7)). Hidden LVs are not asked for."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from kvmkeep.host.door import Door
from kvmkeep.host.tools import ask, decode
from kvmkeep.model.facts import Volume, VolumeGroup
from kvmkeep.model.names import STATE_SPARE
from kvmkeep.model.units import Size
from kvmkeep.model.vitals import MetadataBackup

# Since 2.03.26, LVM itself has its errors in the JSON on stdout, and none on stderr (lvmreport(7)).
_PLAIN_ERRORS = "log/report_command_log=0"
_FORM = (
    "--config", _PLAIN_ERRORS, "--reportformat", "json", "--units", "b", "--nosuffix", "--options",
)  # fmt: skip
_AS_ROOT = "run it as root; `{}` says more"


_LARGEST = 1 << 60
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]
_Number = Annotated[int, msgspec.Meta(ge=-1, le=1 << 32)]
_Percent = Annotated[str, msgspec.Meta(pattern=r"^(\d{1,3}\.\d{1,4})?$")]
"""Empty where it does not apply."""
_Extent = Annotated[int, msgspec.Meta(ge=512, le=_LARGEST)]


class _Lv(msgspec.Struct):
    vg_name: str
    lv_name: str
    lv_size: _Bytes
    lv_tags: str
    lv_active: str
    lv_device_open: str
    lv_kernel_major: _Number
    lv_kernel_minor: _Number
    lv_attr: str
    origin: str
    data_percent: _Percent
    lv_snapshot_invalid: str
    lv_merging: str
    lv_merge_failed: str


class _Vg(msgspec.Struct):
    vg_name: str
    vg_uuid: str
    vg_extent_size: _Extent
    vg_size: _Bytes
    vg_free: _Bytes
    vg_missing_pv_count: _Number
    pv_name: str


class _Lvs(msgspec.Struct):
    lv: list[_Lv]


class _Vgs(msgspec.Struct):
    vg: list[_Vg]


class _LvReport(msgspec.Struct):
    report: list[_Lvs]


class _VgReport(msgspec.Struct):
    report: list[_Vgs]


def _argv(program: str, row: type[msgspec.Struct]) -> tuple[str, ...]:
    return (program, *_FORM, ",".join(row.__struct_fields__))


class _Segment(msgspec.Struct):
    vg_name: str
    lv_name: str
    seg_pe_ranges: str


class _Segments(msgspec.Struct):
    lv: list[_Segment]


class _SegmentReport(msgspec.Struct):
    report: list[_Segments]


class _Name(msgspec.Struct):
    vg_name: str
    lv_name: str


class _Names(msgspec.Struct):
    lv: list[_Name]


class _NameReport(msgspec.Struct):
    report: list[_Names]


class _State(msgspec.Struct):
    vg_name: str
    vg_seqno: _Number


class _States(msgspec.Struct):
    vg: list[_State]


class _StateReport(msgspec.Struct):
    report: list[_States]


LVS = _argv("lvs", _Lv)
VGS = _argv("vgs", _Vg)
STATES = _argv("vgs", _State)

BACKUPS = "/etc/lvm/backup"
"""Where LVM keeps the newest state of each group (lvm.conf(5), `backup/backup_dir`)."""
ARCHIVE = "/etc/lvm/archive"
"""Where it keeps the older ones (`backup/archive_dir`)."""
_SEQNO = re.compile(r"^\tseqno = ([0-9]{1,9})$", re.MULTILINE)
_ARCHIVED = re.compile(r"(.+)_([0-9]{5,9})-[0-9]+\.vg")


def volumes(door: Door) -> tuple[Volume, ...]:
    """Return all logical volumes that are not LVM's own parts; raises Unanswered."""
    what = "logical volumes"
    text = ask(door, what, LVS, hint=_AS_ROOT.format("lvs"))
    rows = [row for part in decode(text, _LvReport, what, "lvs").report for row in part.lv]
    return tuple(
        Volume(
            vg=row.vg_name,
            name=row.lv_name,
            size=Size(row.lv_size),
            tags=tuple(tag for tag in row.lv_tags.split(",") if tag),
            active=row.lv_active != "",
            opened=row.lv_device_open == "open",
            device=f"{row.lv_kernel_major}:{row.lv_kernel_minor}"
            if row.lv_kernel_major >= 0
            else "",
            attributes=row.lv_attr,
            origin=row.origin,
            filled_percent=float(row.data_percent or 0),
            # Where it does not apply, LVM says `unknown`; else nothing, or the flag in words.
            invalid=row.lv_snapshot_invalid == "snapshot invalid",
            merging=row.lv_merging == "merging",
            merge_failed=row.lv_merge_failed == "merge failed",
            # The kernel's table has no snapshot-merge then, and so no percentage.
            merge_waits=row.lv_merging == "merging" and row.data_percent == "",
        )
        for row in rows
    )


def extents(door: Door) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the ranges of physical extents of spare LVs by group and name; raises Unanswered."""
    what = "extents of logical volumes"
    argv = (*_argv("lvs", _Segment), "--select", f'lv_tags="{STATE_SPARE}"')
    rows = [
        row
        for part in decode(ask(door, what, argv), _SegmentReport, what, "lvs").report
        for row in part.lv
    ]
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in rows:
        key = (row.vg_name, row.lv_name)
        found[key] = found.get(key, ()) + tuple(row.seg_pe_ranges.split())
    return found


def striped(door: Door) -> frozenset[tuple[str, str]]:
    """Return group and name of each LV of which any part is striped; raises Unanswered."""
    what = "striped logical volumes"
    # Of the layout, any word may fit; the letters of lv_attr have none for it (lvs(8)).
    argv = (*_argv("lvs", _Name), "--select", 'lv_layout="striped"')
    return frozenset(
        (row.vg_name, row.lv_name)
        for part in decode(ask(door, what, argv), _NameReport, what, "lvs").report
        for row in part.lv
    )


def groups(door: Door) -> tuple[VolumeGroup, ...]:
    """Return all volume groups; raises Unanswered."""
    what = "volume groups"
    text = ask(door, what, VGS, hint=_AS_ROOT.format("vgs"))
    rows = [row for part in decode(text, _VgReport, what, "vgs").report for row in part.vg]
    # One row for each physical volume, since its name is asked for: vgs(8).
    return tuple(
        VolumeGroup(
            name=row.vg_name,
            extent=Size(row.vg_extent_size),
            size=Size(row.vg_size),
            free=Size(row.vg_free),
            pvs=tuple(
                one.pv_name
                for one in rows
                # LVM prints a lost one as `[unknown]`.
                if one.vg_name == row.vg_name and one.pv_name.startswith("/")
            ),
            missing_pvs=row.vg_missing_pv_count,
            uuids=tuple(dict.fromkeys(one.vg_uuid for one in rows if one.vg_name == row.vg_name)),
        )
        for row in {one.vg_name: one for one in rows}.values()
    )


def backups(door: Door) -> tuple[MetadataBackup, ...]:
    """Return how each volume group's state is kept; raises Unanswered or OSError."""
    what = "states of volume groups"
    text = ask(door, what, STATES, hint=_AS_ROOT.format("vgs"))
    rows = [row for part in decode(text, _StateReport, what, "vgs").report for row in part.vg]
    older: dict[str, list[int]] = {}
    for match in map(_ARCHIVED.fullmatch, door.names(ARCHIVE)):
        if match is not None:
            older.setdefault(match[1], []).append(int(match[2]))
    return tuple(
        MetadataBackup(
            vg=row.vg_name,
            seqno=row.vg_seqno,
            saved=_saved(door, row.vg_name),
            archived=len(older.get(row.vg_name, ())),
            index=max(older.get(row.vg_name, ()), default=0),
        )
        for row in rows
    )


def _saved(door: Door, vg: str) -> int:
    content = door.read(f"{BACKUPS}/{vg}", 1 << 16) if "/" not in vg else None
    # The group's own number comes first; LVs have none.
    found = _SEQNO.search((content or b"").decode("utf-8", "replace"))
    return -1 if found is None else int(found[1])
