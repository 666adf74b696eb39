"""A fake of LVM and of what writes to its volumes; it knows which bytes are still stale."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from fakes.guestfish import FakeTree, debian
from fakes.words import UnknownCommandError, Words, take_apart

EXTENT = 4 << 20


class Tags(set[str]):
    """The tags of an LV; they print in one order, since two hosts are compared as text."""

    def __repr__(self) -> str:
        return repr(sorted(self))


@dataclass
class FakeVolume:
    """An LV. `stale` are the ranges that nobody has written since it was made."""

    vg: str
    name: str
    size: int
    tags: Tags
    minor: int
    active: bool = True
    holds: bytes = b""
    """The file that was written to it; guests boot from that."""
    stale: list[tuple[int, int]] = field(default_factory=list)
    instance: str = ""
    """The instance-id of the guest's cloud-init, once it ran."""
    drop_in: str = ""
    tree: FakeTree = field(default_factory=debian)
    """The guest's files, as far as somebody looks at them or changes them from outside."""
    origin: str = ""
    """Of a snapshot: what it is of. `size` then is that of its own blocks; `holds` is the past."""
    invalid: bool = False
    filled: float = 0.0
    merge_failed: bool = False
    past: tuple[bytes, str, str] = (b"", "", "")
    """Of an origin that is merging: what it will hold."""
    merging: str = ""
    """Of an origin: the snapshot that it takes its content back from."""
    waits: bool = False
    """The merge has not begun: the origin was open."""
    readonly: bool = False
    zeroed: bool = False
    """Whether all of it was zeroed, and nothing was written since."""

    striped: bool = False
    extents: tuple[str, ...] = ()
    """Where it lies on the physical volume."""
    used: int = 0
    """How much of it the guest's filesystem has."""

    @property
    def device(self) -> str:
        return f"253:{self.minor}"

    def overwrite(self, begin: int, end: int) -> None:
        left: list[tuple[int, int]] = []
        for a, b in self.stale:
            left += [(x, y) for x, y in ((a, min(b, begin)), (max(a, end), b)) if x < y]
        self.stale = left


class FakeLvm:
    """One volume group."""

    def __init__(self, vg: str, size: int) -> None:
        self.vg = vg
        self.size = size
        self.volumes: dict[str, FakeVolume] = {}
        self._minor = 0
        self._next = 0
        self._zeroed: dict[tuple[str, ...], bool] = {}
        self.is_open: Callable[[str], bool] = lambda _name: False

    @property
    def free(self) -> int:
        return self.size - sum(volume.size for volume in self.volumes.values())

    def add(self, name: str, size: int, *tags: str) -> FakeVolume:
        self._minor += 1
        volume = FakeVolume(
            vg=self.vg, name=name, size=size, tags=Tags(tags), minor=self._minor, stale=[(0, size)]
        )
        last = self._next + size // EXTENT - 1
        volume.extents, self._next = (f"/dev/md0:{self._next}-{last}",), last + 1
        self.volumes[name] = volume
        return volume

    @property
    def devices(self) -> tuple[tuple[str, str], ...]:
        """The path and the device number of each LV that is active."""
        there = (volume for volume in self.volumes.values() if volume.active)
        return tuple((f"/dev/{self.vg}/{volume.name}", volume.device) for volume in there)

    def at(self, path: str) -> FakeVolume | None:
        """Return the LV of a device path, if it is active."""
        volume = self.volumes.get(path.removeprefix(f"/dev/{self.vg}/"))
        return volume if volume is not None and volume.active and path.startswith("/dev/") else None

    def snapshots(self, name: str) -> list[FakeVolume]:
        return [volume for volume in self.volumes.values() if volume.origin == name]

    def lvconvert(self, argv: tuple[str, ...]) -> tuple[int, str]:
        """Merge a snapshot; its origin shows the old content at once.

        Where it is open, or not active, that comes later: at its activation, or a refresh.
        """
        if "--splitsnapshot" in argv:
            return self._split(argv)
        words = take_apart(
            argv, flags="--yes --background --merge", needs="--yes --background --merge"
        )
        snapshot = self._named(words.rest)
        if snapshot is None or not snapshot.origin or (snapshot.invalid and snapshot.active):
            return 5, "not found, no snapshot, or invalidated"
        origin = self.volumes[snapshot.origin]
        if origin.merging:
            return 5, "it is merging already"
        origin.merging, origin.waits = snapshot.name, True
        origin.past = (snapshot.holds, snapshot.instance, snapshot.drop_in)
        self._begin(origin)
        del self.volumes[snapshot.name]
        return 0, ""

    def _split(self, argv: tuple[str, ...]) -> tuple[int, str]:
        """Make an LV of a snapshot's own blocks; asks while it is active."""
        snapshot = self._named(take_apart(argv, flags="--splitsnapshot").rest)
        if snapshot is None or not snapshot.origin or snapshot.active:
            return 5, "not found, no snapshot, or nobody said yes"
        snapshot.origin = ""
        return 0, ""

    def _begin(self, origin: FakeVolume) -> None:
        if origin.merging and origin.active and not self.is_open(origin.name):
            origin.waits = False
            origin.holds, origin.instance, origin.drop_in = origin.past

    def lvcreate(self, argv: tuple[str, ...]) -> tuple[int, str]:
        if "--snapshot" in argv:
            return self._snapshot(argv)
        words = take_apart(
            argv,
            values="--wipesignatures --zero --type --name --size --addtag",
            flags="--yes",
            needs="--yes --wipesignatures --zero --type --name --size --addtag",
        )
        if words.rest != (self.vg,) or words.one("--type") != "linear":
            raise UnknownCommandError(str(argv))
        name, size = words.one("--name"), int(words.one("--size").removesuffix("b"))
        size = -(-size // EXTENT) * EXTENT
        if name in self.volumes or size > self.free or self._too_long(name):
            return 5, "already exists, insufficient free space, or a long name"
        self.add(name, size, *words.values["--addtag"]).overwrite(0, 4096)
        return 0, ""

    def _too_long(self, name: str, layer: str = "") -> bool:
        """Whether device mapper refuses an LV's name: LVM doubles each hyphen in it."""
        return len(f"{self.vg}-{name}".replace("-", "--")) - 1 + len(layer) > 127

    def _snapshot(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            argv,
            values="--permission --chunksize --extents --size --name --addtag",
            flags="--snapshot",
            needs="--snapshot --permission --chunksize --name --addtag",
        )
        origin = self._named(words.rest)
        name = words.one("--name")
        if origin is None or name in self.volumes or self._too_long(name, "-cow"):
            return 5, "not found, already exists, or a long name"
        if origin.origin or origin.merging:
            return 5, "Snapshots of snapshots, or of a merging origin, are not supported"
        if words.values.get("--extents"):
            assert words.one("--extents") == "100%ORIGIN"
            size = origin.size + EXTENT
        else:
            size = -(-int(words.one("--size").removesuffix("b")) // EXTENT) * EXTENT
        if size > self.free:
            return 5, "insufficient free space"
        made = self.add(name, size, *words.values["--addtag"])
        made.origin, made.stale = origin.name, []
        made.readonly = words.one("--permission") == "r"
        made.holds, made.instance, made.drop_in = origin.holds, origin.instance, origin.drop_in
        return 0, ""

    def lvextend(self, argv: tuple[str, ...]) -> tuple[int, str]:
        """Make an LV larger: a snapshot anyhow, a disk with the extents that are named.

        What is stale there stays stale.
        """
        words = take_apart(argv, values="--size", needs="--size")
        volume, ranges = self._named(words.rest[:1]), words.rest[1:]
        text = words.one("--size")
        size = int(text.removesuffix("b"))
        if size % 512:
            return 3, "Size is not a multiple of 512."
        size += volume.size if volume is not None and text.startswith("+") else 0
        if volume is None or volume.invalid or volume.merging or self.snapshots(volume.name):
            return 5, "not found, invalid, or an origin"
        size = -(-size // EXTENT) * EXTENT
        if volume.origin:
            size = min(size, self.volumes[volume.origin].size + EXTENT)
        if size <= volume.size or size - volume.size > self.free:
            return 5, "not larger than it is, or insufficient free space"
        if not volume.origin:
            if ranges not in self._zeroed or volume.striped:
                return 5, "Insufficient suitable allocatable extents"
            if not self._zeroed[ranges]:
                volume.stale.append((volume.size, size))
        volume.filled *= volume.size / size
        volume.size = size
        return 0, ""

    def lvrename(self, argv: tuple[str, ...]) -> tuple[int, str]:
        before, after = (path.removeprefix(f"{self.vg}/") for path in take_apart(argv).rest)
        if before not in self.volumes or after in self.volumes:
            return 5, "not found, or already exists"
        volume = self.volumes.pop(before)
        volume.name = after
        self.volumes[after] = volume
        for snapshot in self.snapshots(before):
            snapshot.origin = after
        return 0, ""

    def lvremove(self, argv: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        words = take_apart(argv, values="--select")
        volume = self._named(words.rest)
        if volume is None:
            return 5, "not found"
        for select in words.values.get("--select", []):
            if not set(re.findall('"([^"]*)"', select)) <= volume.tags:
                return 0, ""
        if volume.active and stdin != b"y\n":
            return 5, "not removed: nobody said yes"
        if self.is_open(volume.name):
            return 5, "Logical volume in use."
        if self.snapshots(volume.name) or volume.merging:
            return 5, "it has snapshots, or is merging"
        self._zeroed[volume.extents] = volume.stale == []
        del self.volumes[volume.name]
        return 0, ""

    def lvchange(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            argv, values="--addtag --deltag --activate --permission", flags="--refresh"
        )
        volumes = [self._named((name,)) for name in words.rest]
        for volume in volumes:
            if volume is None:
                return 5, "not found"
            volume.tags -= set(words.values.get("--deltag", []))
            volume.tags |= set(words.values.get("--addtag", []))
            if words.values.get("--permission") == ["rw"]:
                if not volume.readonly:
                    return 5, "is already writable"
                volume.readonly = False
            if words.values.get("--activate") == ["n"] and (
                volume.origin or self.is_open(volume.name)
            ):
                return 5, "in use, or nobody said yes to deactivate its origin as well"
            for switch in words.values.get("--activate", []):
                for one in (volume, *self.snapshots(volume.name)):
                    started = switch == "y" and not one.active
                    one.active = switch == "y"
                    if started:
                        self._begin(one)
            if "--refresh" in words.flags:
                self._begin(volume)
        return 0, ""

    def lvs(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            argv, values="--options --select", flags="--noheadings", needs="--noheadings --options"
        )
        volume = self._named(words.rest)
        if volume is None:
            return 5, "Failed to find logical volume"
        if words.one("--options") == "lv_tags" and "--select" not in words.values:
            return 0, f"  {','.join(sorted(volume.tags))}\n"
        return self._selected(volume, words)

    def _selected(self, volume: FakeVolume, words: Words) -> tuple[int, str]:
        if words.one("--options") != "lv_name":
            raise UnknownCommandError(str(words))
        if words.values.get("--select") == ["lv_merging!=merging || data_percent>=0"]:
            if volume.waits:
                return 0, ""
            volume.merging = ""
            return 0, f"  {volume.name}\n"
        if words.values.get("--select") == ["lv_device_open!=open"]:
            return 0, "" if self.is_open(volume.name) else f"  {volume.name}\n"
        for select in words.values.get("--select", []):
            match = re.fullmatch(
                r"(?:origin=(\S+) && )?lv_tags=\{(.*)\}"
                r"(?: && lv_size=(\d+)b)?( && lv_device_open!=open)?"
                r'( && lv_snapshot_invalid!="snapshot invalid")?',
                select,
            )
            if match is None:
                raise UnknownCommandError(select)
            in_use = match[4] is not None and self.is_open(volume.name)
            other = match[1] not in {None, volume.origin}
            # Only the kernel knows of that, and only while it is active.
            lost = match[5] is not None and volume.invalid and volume.active
            if in_use or other or lost or match[3] not in {None, str(volume.size)}:
                return 0, ""
            if not {tag.strip('"') for tag in match[2].split(" && ")} <= volume.tags:
                return 0, ""
        return 0, f"  {volume.name}\n"

    def blkdiscard(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            argv, values="--offset --length", flags="--zeroout", needs="--zeroout --offset --length"
        )
        (path,) = words.rest
        volume = self.at(path)
        if volume is None or volume.readonly:
            return 1, "no such device, or not permitted"
        begin, length = int(words.one("--offset")), int(words.one("--length"))
        if begin % 4096 or length % 4096 or begin + length > volume.size:
            return 1, "not aligned, or beyond the end"
        volume.overwrite(begin, begin + length)
        volume.zeroed = length == volume.size
        return 0, ""

    def _named(self, rest: tuple[str, ...]) -> FakeVolume | None:
        (full,) = rest
        vg, _, name = full.partition("/")
        return self.volumes.get(name) if vg == self.vg else None
