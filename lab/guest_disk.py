"""The disk with the guest images, which the lab sees under /srv/images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab import ssh
from lab.errors import LabError
from lab.qemu import IMAGES_DEVICE, images_drive
from lab.qmp import Qmp

if TYPE_CHECKING:
    from lab.state import State

MOUNT = """
for try in $(seq 150); do
    [ -e /dev/disk/by-label/lab-images ] && { mountpoint -q /srv/images || mount /srv/images; exit; }
    sleep 0.2
done
echo "the disk with the guest images does not appear" >&2
exit 1
"""


def plug_in(state: State, images: Path) -> None:
    """Attach the disk with the guest images to a running lab, unless it is there."""
    with Qmp(state.place / "qmp.sock") as qmp:
        attached = any(block["device"] == "images" for block in qmp.call("query-block"))
        if not attached:
            qmp.human(f"drive_add 0 {images_drive(images)}")
            qmp.call("device_add", **IMAGES_DEVICE)
    done = ssh.run_captured(state, ["sh", "-c", MOUNT], limit=120)
    if done.returncode:
        message = f"the guest images can't be mounted in the lab: {done.stderr.decode(errors='replace').strip()}"
        raise LabError(message)
    if state.images != str(images):
        link = Path(state.disks, "guest-images")
        link.unlink(missing_ok=True)
        link.symlink_to(images)
        state.images = str(images)
        state.save()
