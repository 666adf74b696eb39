"""What somebody does wrong, or a guest does out of spite, while its disks are worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from labhost import Host

pytestmark = pytest.mark.long

ALPHA = "10.5.68.11"
LOGS = "/dev/rl_build/vm-alpha-logs"
GROUP = """\
set -e
udevadm control --stop-exec-queue
trap 'udevadm control --start-exec-queue' EXIT
truncate -s 24M /root/pv
loop=$(losetup --find --show /root/pv)
quiet='backup{backup=0 archive=0}'
# A group is refused where /dev has its name already: this one's is looked for elsewhere.
mkdir -p /run/elsewhere
pvcreate -q --config "$quiet" --devices $loop $loop
vgcreate -q --config "$quiet devices{dir=\"/run/elsewhere\"}" --devices $loop rl_build $loop
lvcreate -q --config "$quiet" --devices $loop -an -Zn -Wn -n root -l 1 rl_build
losetup -d $loop
"""
"""Makes the content of a disk on which a guest has a group called as the host's, with a `root`."""


def good(site: Host, *words: str, limit: float = 900) -> str:
    done = site.kvmkeep(*words, limit=limit)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_guests_own_group_with_the_name_of_the_hosts_is_the_guests_business(site: Host) -> None:
    look = "vgs --noheadings -o vg_name,vg_uuid; lvs --noheadings -o lv_name,lv_uuid rl_build"
    before = site.must(look)
    site.must(GROUP)
    site.must(f"dd if=/root/pv of={LOGS} bs=1M conv=notrunc,fsync status=none; udevadm settle")
    assert "LVM2" in site.must(f"blkid -p {LOGS}")
    good(site, "plan", "--exit-code")
    good(site, "snapshot", "create", "alpha")
    site.must("udevadm settle")
    (name,) = {line.split()[1] for line in good(site, "snapshot", "list", "alpha").splitlines()[1:]}
    good(site, "snapshot", "delete", "--yes", "alpha", name)
    assert site.must(look) == before
    site.must(f"dd if=/dev/zero of={LOGS} bs=1M count=1 conv=notrunc,fsync status=none")


def test_a_disk_that_something_holds_open_stops_a_removal_before_anything_is_done(
    site: Host,
) -> None:
    site.must('dmsetup create held --table "0 8 linear /dev/rl_build/vm-alpha-data 0"')
    try:
        done = site.kvmkeep("remove", "--yes", "--shutdown", "alpha", limit=900)
    finally:
        site.must("dmsetup remove --retry held")
    assert done.returncode == 7, f"{done.stdout}\n{done.stderr}"
    assert "nothing to have rl_build/vm-alpha-data open" in done.stderr
    assert "kvmkeep.trash" not in site.must("lvs --noheadings -o lv_tags rl_build")
    assert "alpha" in site.must("virsh list --all --name").split()
    good(site, "start", "alpha")
    site.ssh("root", ALPHA, "true")
