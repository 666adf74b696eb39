"""Disks in files that are made larger: their room is taken before a guest may write there."""

from __future__ import annotations

from kvmkeep.model.command import Command
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.spec import FileDisk, Guest
from kvmkeep.planning.commands import long_enough
from kvmkeep.planning.disks.files import on_mount
from kvmkeep.planning.scene import Scene

TAKE_ROOM = (
    'said=$(fallocate --keep-size --offset "$2" --length "$3" -- "$1" 2>&1) && exit; '
    "case $said in *unsupported | *'not supported') ;; *) echo \"$said\" >&2; exit 1 ;; esac; "
    'free=$(df --block-size=1 --output=avail -- "$1" | tail -n 1); [ $free -ge "$3" ] || '
    '{ echo "only $free bytes are free there, $3 are needed" >&2; exit 1; }'
)
"""Takes the room behind the end of file `$1`: from `$2` on, `$3` bytes.

Where a filesystem has no such room (NFS; it says so), as much has at least to be free.
"""


def file_step(guest: Guest, disk: FileDisk) -> Step:
    """Return what makes the file of a guest larger that does not run with it."""
    resize = Command(
        argv=(
            "qemu-img", "resize", "-f", "raw", "--preallocation=falloc", disk.path,
            str(disk.size.bytes),
        ),
        why="make the file larger; it is never made smaller without --shrink",
        timeout=long_enough(disk.size),
    )  # fmt: skip
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"make {disk.path} larger: {disk.size}",
        why="the spec says so",
        probe=on_mount(disk),
        actions=(resize,),
    )


def room_taken(scene: Scene, disk: FileDisk) -> Command:
    """Return what takes the room of a file that QEMU is to make larger: it would take none itself.

    The file keeps its size until then, so that a run which ends here has done nothing.
    """
    size = scene.disk_files[disk.path].fingerprint.size
    more = disk.size.bytes - size
    return Command(
        argv=("sh", "-c", TAKE_ROOM, "kvmkeep", disk.path, str(size), str(more)),
        why="take all of its room now: a guest must not meet a full filesystem later",
        timeout=long_enough(disk.size),
    )
