"""LVs by their marks: what may be looked at again, and what alone may be removed.

Every `lvremove` of this program is built here, with the full name of one LV and the tags that it
must still wear; lvremove(8) leaves alone what `--select` does not match.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Volume

LVM_NOT_FOUND = 5


def selection(tags: Iterable[str]) -> str:
    """Return what selects LVs with all of these tags (lvmreport(7), "Selection")."""
    quoted = " && ".join(f'"{tag}"' for tag in tags)
    return f"lv_tags={{{quoted}}}"


def full_name(volume: Volume) -> str:
    """Return an LV's name as LVM's tools take it."""
    return f"{volume.vg}/{volume.name}"


def wears(volume: Volume, tags: Iterable[str], why: str, *, unused: bool = False) -> Command:
    """Succeed only while the LV has these tags; `unused`: and nothing has it open."""
    select = selection(tags) + (" && lv_device_open!=open" if unused else "")
    return Command(
        argv=(
            "lvs", "--noheadings", "--options", "lv_name", "--select", select, full_name(volume),
        ),
        why=why,
        expect=volume.name,
    )  # fmt: skip


def same_tags(volume: Volume) -> Command:
    """Succeed only while the LV has just the tags that it was seen with, in their order."""
    return Command(
        argv=("lvs", "--noheadings", "--options", "lv_tags", full_name(volume)),
        why="see that it wears the same tags as before",
        expect=",".join(volume.tags),
    )


def retag(volume: Volume, option: str, tags: Iterable[str], why: str) -> Command:
    """Return what gives an LV tags (`--addtag`) or takes them away (`--deltag`); lvchange(8)."""
    words = (word for tag in tags for word in (option, tag))
    return Command(argv=("lvchange", *words, full_name(volume)), why=why)


def removal(lv: str, tags: Iterable[str], why: str) -> tuple[Command, Command]:
    """Return what removes an LV if it has these tags, and sees that it is gone.

    `lv` is its full name. It is not an error if it is gone already.
    """
    # lvremove asks about an active LV, and only then.
    return (
        Command(
            argv=("lvremove", "--select", selection(tags), lv),
            why=why,
            stdin=b"y\n",
            ok=(0, LVM_NOT_FOUND),
            timeout=120.0,
        ),
        Command(
            argv=("lvs", "--noheadings", "--options", "lv_name", lv),
            why="see that it is gone",
            ok=(LVM_NOT_FOUND,),
        ),
    )
