"""What a proof is made of: the repository as files, overlays, a bridge, and how all of it goes.

The overlays' LVs are made before anything else and removed last, so they tell of a proof that was
killed. Everything here can be done twice, and where nothing of it is there.
"""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.backup_manifest import Manifest
from kvmkeep.model.command import Command
from kvmkeep.model.names import PROOF_RUN_DIR, TAG_OURS, lv_path
from kvmkeep.model.proof import (
    TAG_PROOF,
    proof_bridge,
    proof_console,
    proof_lv,
    proof_run_dir,
    proof_unit,
    proof_uuid,
)
from kvmkeep.model.units import Size
from kvmkeep.planning.lvm import removal
from kvmkeep.planning.repositories.engine import Driver
from kvmkeep.planning.repositories.files import Shown, hide

_SHARE = 10
_LEAST = Size(256 << 20)
"""An overlay's size: a tenth of the disk, but not less than this; the disk's own if that is less.

A guest that writes more gets errors from its disk, and the host is not filled.
"""
_HEADER = Size(8 << 20)
"""Room for a qcow2's own tables, of a small disk."""


class Parts(Struct, frozen=True, kw_only=True):
    """The names of all that a proof is made of. `manifest` is the engine's object."""

    host: str
    vg: str
    guest: str
    driver: Driver
    object: str
    path: str
    content: Manifest
    group: int

    @property
    def shown(self) -> Shown:
        """How the repository is seen as files: by root and QEMU alone."""
        return _shown(self.guest, self.group)

    def data(self, disk: str) -> str:
        """Return where the data of a disk is seen."""
        one = next(one for one in self.content.disks if one.disk == disk)
        return self.driver.mounted(self.shown.tree, one.object, one.path)

    def beside(self, name: str) -> str:
        """Return where a file is seen that is stored with the manifest."""
        return self.driver.mounted(self.shown.tree, self.object, f"{self.path}/{name}")

    @property
    def files(self) -> tuple[str, ...]:
        """Where all that a proof reads of the repository is seen."""
        disks = self.content.disks
        beside = [*(one.blocks for one in disks), *filter(None, [self.content.nvram])]
        return (*(self.data(one.disk) for one in disks), *map(self.beside, beside))

    def overlay(self, disk: str) -> str:
        """Return the device that takes what is written to a disk."""
        return lv_path(self.vg, proof_lv(self.guest, disk))


def _shown(guest: str, group: int) -> Shown:
    return Shown(unit=proof_unit(guest), above=proof_run_dir(guest), group=group)


def overlay_size(size: Size, extent: Size) -> Size:
    """Return how large the overlay of a disk is, in whole extents."""
    least = max(_LEAST, Size(size.bytes // _SHARE))
    return Size(min(size, least).bytes + _HEADER.bytes).rounded_up(extent)


def make_overlay(parts: Parts, disk: str, size: Size) -> Command:
    """Return what makes the LV for an overlay, with the mark of the proof."""
    return Command(
        argv=(
            "lvcreate", "--yes", "--wipesignatures", "y", "--zero", "y", "--type", "linear",
            "--name", proof_lv(parts.guest, disk), "--size", f"{size.bytes}b",
            "--addtag", TAG_OURS, "--addtag", TAG_PROOF + parts.guest, parts.vg,
        ),
        why=f"take what is written to disk {disk}; while it is there, the proof is not over",
    )  # fmt: skip


def make_bridge(guest: str) -> Command:
    """Return what makes the bridge: without an uplink, without addresses, and down.

    The ports of a bridge that is down pass no frame on, not even to the host itself.
    """
    return Command(
        argv=("ip", "link", "add", "name", proof_bridge(guest), "type", "bridge"),
        why="make a bridge without an uplink, which is never up: no frame gets out of the guest",
    )


def end(host: str, guest: str) -> tuple[Command, ...]:
    """Return what ends a proof, whatever there is of it, but for its overlays' LVs."""
    console = proof_console(guest)
    log = console.removesuffix("-console.log") + ".log"
    logs = (console, *(f"{console}.{number}" for number in range(3)), log)
    return (
        Command(
            # By its UUID: no other domain ever has it. 1: there is none; if that is not the
            # reason, its disks are in use, and their LVs stay and tell of it.
            argv=("virsh", "destroy", "--", proof_uuid(host, guest)),
            why="end the guest that was started from the backup",
            ok=(0, 1),
            timeout=120.0,
        ),
        Command(
            argv=("ip", "link", "delete", "dev", proof_bridge(guest), "type", "bridge"),
            why="remove its bridge",
            ok=(0, 1),
        ),
        Command(
            argv=("test", "!", "-e", f"/sys/class/net/{proof_bridge(guest)}"),
            why="see that the bridge is gone",
        ),
        *hide(_shown(guest, 0)),
        Command(argv=("rm", "--force", "--", *logs), why="remove the log of its console"),
    )


def remove(vg: str, guest: str, overlays: tuple[str, ...]) -> tuple[Command, ...]:
    """Return what removes overlays, by their LVs' names; the last, since they tell of the rest."""
    removals = (
        removal(f"{vg}/{one}", (TAG_OURS, TAG_PROOF + guest), "remove what it has written")
        for one in overlays
    )
    return tuple(command for pair in removals for command in pair)


def results_dir(guest: str, run: str) -> str:
    """Return where the results of one run of a proof are kept until it is over."""
    return f"{PROOF_RUN_DIR}/{guest}/{run}"
