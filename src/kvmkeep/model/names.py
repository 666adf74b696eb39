"""Names that are derived, never asked for: the same spec gives the same names each time.

Marks live here too: only what wears ours is touched.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime

from kvmkeep.model.spec import ROOT_DISK, Disk, LvDisk
from kvmkeep.model.times import utc
from kvmkeep.model.units import GuestName, Label, Mac

_NAMESPACE = uuid.UUID("5f0b5c5e-2f0c-5d0e-9c0d-6b766d6b6570")

LIBVIRT_URI = "qemu:///system"
"""The libvirt of this host's guests; what runs virsh names it, or libvirt.conf(5) chooses one."""
METADATA_URI = "urn:kvmkeep:guest:1"
"""Namespace of our element in a domain's `<metadata>`."""
REBOOT_URI = "urn:kvmkeep:reboot:1"
"""Namespace of the element in a running domain's `<metadata>` that tells of its last reboot."""
REBOOT_KEY = "kvmkeep-reboot"
"""Prefix of that namespace."""
READY_URI = "urn:kvmkeep:ready:1"
"""Namespace of the element in a running domain's `<metadata>` that tells that it was ready."""
READY_KEY = "kvmkeep-ready"
"""Prefix of that namespace."""
RUN_URI = "urn:kvmkeep:run:1"
"""Namespace of the element in a domain's `<metadata>` that tells whether it is to run."""
RUN_KEY = "kvmkeep-run"
"""Prefix of that namespace."""
BORN_URI = "urn:kvmkeep:born:1"
"""Namespace of the element in a domain's `<metadata>` that tells what its first boot gave it."""
BORN_KEY = "kvmkeep-born"
"""Prefix of that namespace."""

TAG_OURS = "kvmkeep"
TAG_GUEST = "kvmkeep.guest="
TAG_DISK = "kvmkeep.disk="
TAG_STATE = "kvmkeep.state="
STATE_FILLING = TAG_STATE + "filling"
"""The LV's content is not complete yet: it may be written again from the beginning."""
STATE_FRESH = TAG_STATE + "fresh"
"""The LV is complete, but its guest has not finished its first boot. No state tag: in service."""
STATE_SPARE = TAG_STATE + "spare"
"""The LV is zeroed, and there to give its extents to a disk that grows."""
STATE_PARTIAL = TAG_STATE + "partial"
"""On a snapshot: its set is not complete, being taken or deleted; the rest of it may be deleted."""
STATE_LOOK = TAG_STATE + "look"
"""On a snapshot: made to look into a running guest's disk, and worth nothing afterwards."""
STATE_EMPTYING = TAG_STATE + "emptying"
"""In the trash: its content is being destroyed, or its guest's other disks are."""
TAG_TWEAK = "kvmkeep.tweak="
"""On a root LV: the run that last changed its content from outside; begins with its time."""
TAG_SHELL = "kvmkeep.shell="
"""On a root LV or a snapshot of it: the run whose shell is in it, as long as it is open as well."""
TAG_CLONE = "kvmkeep.clone="
"""Of which guest an LV's content is a copy: it is never made from an image."""
TAG_FOR = "kvmkeep.for="
"""On a snapshot: for which new guest it was taken; worth nothing once that one is copied."""
TAG_SET = "kvmkeep.set="
"""Which set a snapshot belongs to: the UTC time of the set, as `utc_stamp` writes it."""
TAG_TAKEN = "kvmkeep.taken="
"""When a snapshot's set was taken, as `second_stamp` writes it."""
TAG_LEVEL = "kvmkeep.level="
"""How consistent a snapshot's content is: a word of `model.snapshot.Level`."""
TAG_MEMBERS = "kvmkeep.members="
"""How many snapshots the set has: if there are fewer, some were removed by hand."""
TAG_EXPIRES = "kvmkeep.expires="
"""Until when a snapshot is wanted, as `second_stamp` writes it."""
TAG_HELD = "kvmkeep.held="
"""On a root LV, while its guest may be frozen or suspended by us; a word of `Level`."""
TAG_START = "kvmkeep.start="
"""On a root LV: the guest ran, and is to be started again after what is being done to it."""
TAG_GROW = "kvmkeep.grow="
"""On a root LV: the name of a disk that was made larger, which the guest has yet to use."""
TAG_REVERT = "kvmkeep.revert="
"""On an origin, while it is being reverted to the snapshot of that set."""
TAG_KEPT = "kvmkeep.kept="
"""On a snapshot: its set was taken to keep what a revert to that set takes away."""
TAG_TRASH = "kvmkeep.trash="
"""Since when (`utc_stamp`) an LV lies in the trash, or is on its way there or back."""
TAG_WAS = "kvmkeep.was="
"""On an LV in the trash: its name before."""
TAG_RESTORE = "kvmkeep.restore="
"""On an LV: from which backup, and by which run, its content is; `MOMENT/STAMP`."""
TAG_BACKUP = "kvmkeep.backup="
"""On a snapshot: into which repository its set is to be backed up; worth nothing afterwards."""

NM_MARK = "kvmkeep"
"""`connection.stable-id` of our profiles: it has no effect where IPv4 and IPv6 are disabled."""

STATE_DIR = "/var/lib/kvmkeep"
UNDO_DIR = f"{STATE_DIR}/network-undo"
"""Profiles as they were before a change of the network, until it is kept or undone."""
UNDO_UNIT = "kvmkeep-network-undo.service"
"""What undoes a change of the network; as long as its file is there, none is kept."""
UNDO_TIMER = "kvmkeep-network-undo.timer"
UNDO_FILE = f"/etc/systemd/system/{UNDO_UNIT}"
UNDO_LINK = f"/etc/systemd/system/multi-user.target.wants/{UNDO_UNIT}"
RUN_DIR = "/run/kvmkeep"
UNDO_BOOT = f"{RUN_DIR}/network-undo"
"""Says that a change is one of this boot: the next one activates all profiles anyhow."""
IMAGE_DIR = STATE_DIR + "/images"
SEED_DIR = STATE_DIR + "/seed"
GOOD_SPEC = STATE_DIR + "/spec.json"
"""The files of the last spec without mistakes that a run was made by."""
TRENDS = STATE_DIR + "/mismatches.json"
"""How the mismatches of arrays went from check to check."""
TRASH_DIR = STATE_DIR + "/trash"
"""What is kept of removed guests besides their LVs: a folder for each, `GUEST-STAMP`."""
JOURNAL_DIR = STATE_DIR + "/journal"
STAGING_DIR = STATE_DIR + "/backup"
"""What is to be stored with a backup besides its disks, while it is made: `GUEST/MOMENT/`."""
PROOF_RUN_DIR = STATE_DIR + "/proof"
"""What a guest writes that is started from a backup, while it runs."""
BACKUP_MEMO_DIR = STATE_DIR + "/backups"
"""What is remembered of backups: the last one of each guest, and the upkeep of repositories."""
VERDICT_DIR = STATE_DIR + "/proofs"
"""How proofs of backups ended: `GUEST/MOMENT.json`, and the console's last screen."""
CACHE_DIR = "/var/cache/kvmkeep"
"""What engines of backups keep; may be deleted at any time."""
RESTIC_CACHE = CACHE_DIR + "/restic"
INSIDE_DIR = RUN_DIR + "/inside"
"""Where the answers of `inspect` lie: in memory, for root alone."""
FITTINGS_DIR = RUN_DIR + "/fittings"
"""Where lies what was seen in a disk that is to be changed: in memory, for root alone."""
LOCK_FILE = RUN_DIR + "/lock"
BACKUP_LOCK = RUN_DIR + "/backup.lock"
"""Held as long as a run makes backups: what it has of them is no leftover."""
READING_LOCK = RUN_DIR + "/reading.lock"
"""Held by all that read out of a repository, together; who forgets or prunes holds it alone."""
COPY_DIR = RUN_DIR + "/copy"
FETCH_DIR = STATE_DIR + "/restore"
"""Not in memory: a large disk's block list has up to 256 MiB."""
PROOF_LOCK = RUN_DIR + "/proof.lock"
"""Held as long as a run proves a backup: other verbs go on beside it, another proof does not."""
CONSOLE_DIR = "/var/log/libvirt/qemu"
_CONSOLE = "-console"

LONGEST_MAPPED_NAME = 127
"""Device mapper's limit, DM_NAME_LEN of dm-ioctl.h without the closing zero."""
FIRST_BOOT_DONE = "kvmkeep: first boot done"
"""What the guest writes to its serial port as the last act of its first boot."""


def guest_uuid(host: str, guest: GuestName) -> str:
    """Return the domain's UUID: name-based (RFC 4122), so that a plan is the same twice."""
    return str(uuid.uuid5(_NAMESPACE, f"guest/{host}/{guest}"))


def nic_uuid(mac: Mac) -> str:
    """Return the UUID of the profile for a NIC, inside a guest."""
    return str(uuid.uuid5(_NAMESPACE, f"nic/{mac}"))


def profile_uuid(host: str, interface: str) -> str:
    """Return the UUID of the NetworkManager profile for an interface of ours."""
    return str(uuid.uuid5(_NAMESPACE, f"profile/{host}/{interface}"))


def guest_mac(host: str, guest: GuestName, position: int) -> Mac:
    """Return the MAC of a guest's n-th NIC, in QEMU's range 52:54:00."""
    digest = hashlib.sha256(f"nic/{host}/{guest}/{position}".encode()).digest()
    return Mac("52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3]))


def lv_name(prefix: str, guest: GuestName, disk: Label) -> str:
    """Return the LV's name: `vm-influxdb` for the root disk, `vm-influxdb-data` for another."""
    return f"{prefix}{guest}" if disk == ROOT_DISK else f"{prefix}{guest}-{disk}"


def spare_name(lv: str) -> str:
    """Return the LV that a disk's new extents are zeroed in; no disk's label holds a `+`."""
    return f"{lv}+grow"


def lv_path(vg: str, lv: str) -> str:
    """Return the device path of an LV, as the site writes it."""
    return f"/dev/{vg}/{lv}"


def disk_path(vg: str, disk: Disk) -> str:
    """Return the path of a guest's disk: of its device or its file."""
    return lv_path(vg, disk.lv) if isinstance(disk, LvDisk) else disk.path


def mapped_name(vg: str, lv: str) -> str:
    """Return the device mapper's name of an LV: hyphens are doubled (dmsetup(8), "MANGLING")."""
    return f"{vg.replace('-', '--')}-{lv.replace('-', '--')}"


def check_snapshot_name(vg: str, lv: str) -> str:
    """Accept the name of a snapshot, or say why device mapper would not.

    LVM keeps a snapshot's blocks in a device of its own, whose name ends with `-cow`; that of its
    origin, `-real`, is never the longer one, since the snapshot's name holds that of the origin.
    """
    name = f"{mapped_name(vg, lv)}-cow"
    if len(name) > LONGEST_MAPPED_NAME:
        raise ValueError(
            f"its snapshot would have a device {name[:20]}...-cow of {len(name)} characters "
            f"(device mapper allows {LONGEST_MAPPED_NAME}; LVM doubles each '-')"
        )
    return lv


def trash_name(vg: str, stamp: str, lv: str) -> str:
    """Return the name of an LV in the trash; it tells of its old one where there is room."""
    name = f"trash-{stamp}-{lv}"
    if len(mapped_name(vg, name)) <= LONGEST_MAPPED_NAME:
        return name
    return f"trash-{stamp}-{hashlib.sha256(lv.encode()).hexdigest()[:16]}"


def lv_tags(guest: GuestName, disk: Label) -> tuple[str, ...]:
    """Return the tags that mark an LV as ours, without its state."""
    return (TAG_OURS, TAG_GUEST + guest, TAG_DISK + disk)


def utc_stamp(time: str) -> str:
    """Return a time of ISO 8601 in UTC as the site writes it in names: `20261123T0710Z`."""
    return utc(time).strftime("%Y%m%dT%H%MZ")


def second_stamp(time: str) -> str:
    """Return a time of ISO 8601 in UTC, to the second: `20261123T071034Z`."""
    return utc(time).strftime("%Y%m%dT%H%M%SZ")


def stamped_time(stamp: str) -> datetime | None:
    """Return the time of a stamp to the minute or to the second, or None if it is none."""
    # By length: strptime(3) would read the minute's digits as minute and second.
    form = {14: "%Y%m%dT%H%MZ", 16: "%Y%m%dT%H%M%SZ"}.get(len(stamp))
    try:
        return datetime.strptime(stamp, form).replace(tzinfo=UTC) if form else None
    except ValueError:
        return None


def seed_path(guest: GuestName) -> str:
    """Return where a guest's seed lies until its first boot is done."""
    return f"{SEED_DIR}/{guest}.iso"


def copy_dir(guest: str) -> str:
    """Return where a repository is seen as files while something of a guest is copied out."""
    return f"{COPY_DIR}/{guest}"


def fetch_dir(name: str) -> str:
    """Return where lists of blocks lie while disks are brought back to a guest or a file."""
    return f"{FETCH_DIR}/{name}"


def staging_dir(guest: str, moment: str) -> str:
    """Return where lies what is to be stored with a backup besides its disks."""
    return f"{STAGING_DIR}/{guest}/{moment}"


def variables_path(guest: str) -> str:
    """Return where libvirt puts the variables of a guest's UEFI firmware by itself."""
    return f"/var/lib/libvirt/qemu/nvram/{guest}_VARS.fd"


def console_log(guest: str) -> str:
    """Return the file that virtlogd writes a guest's serial console to."""
    return f"{CONSOLE_DIR}/{guest}{_CONSOLE}.log"


def same_log(guest: str) -> tuple[str, ...]:
    """Return the names that no guest may have beside this one.

    libvirt's own log of a guest called `web-console` is the console's log of `web`.
    """
    shorter = guest.removesuffix(_CONSOLE)
    return (f"{guest}{_CONSOLE}", *((shorter,) if shorter != guest else ()))
