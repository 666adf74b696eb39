"""Commands of LVM that more than one plan is made of.

Every `lvremove` of this program is built here, with the full name of one LV and the tags that it
must still wear; lvremove(8) leaves alone what `--select` does not match.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Command, Poll
from kvmkeep.model.facts import Volume
from kvmkeep.model.units import Size

WHERE_IS_IT = "pvs; vgs; cat /proc/mdstat; on EL: vgimportdevices VG"
"""What tells why a volume group is not there: LVM shows none of which it sees no disk.

Where it has a devices file, as on EL, it sees no disk of another server (lvmdevices(8)).
"""
_NOT_FOUND = 5
"""What LVM's tools end with where there is no such LV."""


def create(vg: str, name: str, size: Size, tags: Iterable[str], why: str) -> Command:
    """Return what makes an LV of so many bytes, with its tags from the first moment on."""
    # Without --yes and --wipesignatures, lvcreate asks about what it finds on used extents.
    return Command(
        argv=(
            "lvcreate", "--yes", "--wipesignatures", "y", "--zero", "y", "--type", "linear",
            "--name", name, "--size", f"{size.bytes}b",
            *(word for tag in tags for word in ("--addtag", tag)), vg,
        ),
        why=why,
    )  # fmt: skip


def activate(lv: str, why: str = "activate the LV") -> Command:
    """Return what makes the device of an LV appear."""
    return Command(argv=("lvchange", "--activate", "y", lv), why=why)


def selection(tags: Iterable[str]) -> str:
    """Return what selects LVs with all of these tags (lvmreport(7), "Selection")."""
    quoted = " && ".join(f'"{tag}"' for tag in tags)
    return f"lv_tags={{{quoted}}}"


def selected(lv: str, select: str, why: str) -> Command:
    """Succeed only while there is this LV, and it is as `select` says."""
    return Command(
        argv=("lvs", "--noheadings", "--options", "lv_name", "--select", select, lv),
        why=why,
        expect=lv.rpartition("/")[2],
    )


def wears(volume: Volume, tags: Iterable[str], why: str, *, unused: bool = False) -> Command:
    """Succeed only while the LV has these tags; `unused`: and nothing has it open."""
    select = selection(tags) + (" && lv_device_open!=open" if unused else "")
    return selected(volume.full_name, select, why)


def same_tags(volume: Volume) -> Command:
    """Succeed only while the LV has just the tags that it was seen with, in their order."""
    return Command(
        argv=("lvs", "--noheadings", "--options", "lv_tags", volume.full_name),
        why="see that it wears the same tags as before",
        expect=",".join(volume.tags),
    )


def absent(lv: str, why: str = "see that there is still no LV of that name") -> Command:
    """Succeed only while there is no such LV."""
    argv = ("lvs", "--noheadings", "--options", "lv_name", lv)
    return Command(argv=argv, why=why, ok=(_NOT_FOUND,))


def who_has(lv: str) -> str:
    """Return the hint that finds out who has an LV open."""
    return (
        f"see who: lsblk /dev/{lv}; lsof /dev/{lv} "
        "(kpartx -d removes mappings, mdadm --stop arrays)"
    )


def until_let_go(command: Command, lv: str) -> Poll:
    """Wait until nothing has an LV open, as `command` tells."""
    return Poll(
        # What QEMU has closed is looked at by udev for a moment.
        command=command,
        limit=30.0,
        message=f"nothing to have {lv} open",
        otherwise=who_has(lv),
        every=1.0,
    )


def retag(volume: Volume, option: str, tags: Iterable[str], why: str) -> Command:
    """Return what gives an LV tags (`--addtag`) or takes them away (`--deltag`); lvchange(8)."""
    words = (word for tag in tags for word in (option, tag))
    return Command(argv=("lvchange", *words, volume.full_name), why=why)


def remove(lv: str, tags: Iterable[str], why: str) -> Command:
    """Return what removes an LV if it has these tags; it is no error if it is gone already."""
    # lvremove asks about an active LV, and only then.
    return Command(
        argv=("lvremove", "--select", selection(tags), lv),
        why=why,
        stdin=b"y\n",
        ok=(0, _NOT_FOUND),
        timeout=120.0,
    )


def removal(lv: str, tags: Iterable[str], why: str) -> tuple[Command, Command]:
    """Return what removes an LV if it has these tags, and sees that it is gone."""
    return remove(lv, tags, why), absent(lv, "see that it is gone")
