"""Commands that more than one noun uses."""

from __future__ import annotations

from kvmkeep.model.command import Command, Meaning
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.image_facts import Fingerprint
from kvmkeep.model.units import Size
from kvmkeep.planning.scene import Known

HOUR = 3600.0

DENIED = Meaning(
    words="Permission denied",
    sentence="With SELinux, `ausearch -m avc -ts recent` tells what was denied; disks in files on"
    " NFS need `setsebool -P virt_use_nfs on`, on CIFS virt_use_samba.",
)
"""libvirt can't label files of NFS, and EL's policy denies them to guests (virt_selinux(8)).

Owner and mode look right then, and QEMU says no more than that.
"""


def has_state(guest: Known, state: DomainState, why: str = "") -> Command:
    """Succeed only while the guest is in a state."""
    return Command(
        argv=("virsh", "domstate", "--", guest.name),
        why=why or f"see that the guest is still {state}",
        expect=state.virsh,
    )


def is_guest(guest: Known) -> Command:
    """Succeed only while the domain of that name is this guest."""
    return Command(
        argv=("virsh", "domuuid", "--", guest.name),
        why="see that the domain is still this guest",
        expect=guest.uuid,
    )


def no_domain(name: str) -> Command:
    """Succeed only while there is no domain of that name."""
    # virsh(1) ends with 1 for each kind of error; then whatever comes next fails as well.
    return Command(
        argv=("virsh", "domuuid", "--", name),
        why="see that there is still no domain of that name",
        ok=(1,),
    )


def start_command(guest: Known) -> Command:
    """Return what starts a guest."""
    return Command(
        argv=("virsh", "start", "--", guest.name),
        why="start the guest",
        timeout=300.0,
        meanings=(DENIED,),
    )


def stat_text(fingerprint: Fingerprint) -> str:
    """Return a fingerprint as `stat_command` prints it."""
    times = (fingerprint.mtime_ns, fingerprint.ctime_ns)
    seconds = (f"{time // 10**9}.{time % 10**9:09}" for time in times)
    numbers = (fingerprint.device, fingerprint.inode, fingerprint.size)
    return "-".join([*(str(number) for number in numbers), *seconds])


def same_file(path: str, fingerprint: Fingerprint) -> Command:
    """Succeed only while the file is the one that was observed (stat(1); no link is followed)."""
    return Command(
        argv=("stat", "--format=%d-%i-%s-%.9Y-%.9Z", "--", path),
        why="see that the file is still the one that was looked at",
        expect=stat_text(fingerprint),
    )


def remove_tree(path: str, why: str) -> Command:
    """Return what removes a directory with all that is in it; it need not be there."""
    return Command(argv=("rm", "--recursive", "--force", "--", path), why=why)


def moved(path: str, to: str, why: str) -> Command:
    """Return what moves a file; one that has its new name already stays, with a number behind."""
    argv = ("mv", "--backup=numbered", "--no-target-directory", "--", path, to)
    return Command(argv=argv, why=why)


def zero(device: str, offset: int, length: int, why: str) -> Command:
    """Return what zeroes a part of a device; both numbers are in bytes."""
    return Command(
        argv=(
            "blkdiscard", "--zeroout", "--offset", str(offset), "--length", str(length), "--",
            device,
        ),
        why=why,
        timeout=long_enough(Size(length)),
    )  # fmt: skip


def synced(device: str, why: str = "flush it to disk before it counts") -> Command:
    """Return what has all that was written to a device on the disks."""
    return Command(argv=("sync", "--", device), why=why, timeout=1800.0)


def long_enough(size: Size, per_second: int = 5 * 10**6) -> float:
    """Return a time limit in seconds for moving so many bytes at a rate that is far too slow."""
    return 600.0 + size.bytes / per_second
