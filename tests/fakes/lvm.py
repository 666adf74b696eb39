"""A fake of LVM and of what writes to its volumes; it knows which bytes are still stale."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fakes.words import UnknownCommandError, take_apart

EXTENT = 4 << 20


@dataclass
class FakeVolume:
    """An LV. `stale` are the ranges that nobody has written since it was made."""

    vg: str
    name: str
    size: int
    tags: set[str]
    minor: int
    active: bool = True
    holds: bytes = b""
    """The file that was written to it; guests boot from that."""
    stale: list[tuple[int, int]] = field(default_factory=list)
    instance: str = ""
    """The instance-id of the guest's cloud-init, once it ran."""
    drop_in: str = ""

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

    @property
    def free(self) -> int:
        return self.size - sum(volume.size for volume in self.volumes.values())

    def add(self, name: str, size: int, *tags: str) -> FakeVolume:
        self._minor += 1
        volume = FakeVolume(
            vg=self.vg, name=name, size=size, tags=set(tags), minor=self._minor, stale=[(0, size)]
        )
        self.volumes[name] = volume
        return volume

    def at(self, path: str) -> FakeVolume | None:
        """Return the LV of a device path, if it is active."""
        volume = self.volumes.get(path.removeprefix(f"/dev/{self.vg}/"))
        return volume if volume is not None and volume.active and path.startswith("/dev/") else None

    def lvcreate(self, argv: tuple[str, ...]) -> tuple[int, str]:
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
        if name in self.volumes or size > self.free:
            return 5, "already exists, or insufficient free space"
        self.add(name, size, *words.values["--addtag"]).overwrite(0, 4096)
        return 0, ""

    def lvchange(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(argv, values="--addtag --deltag --activate")
        volume = self._named(words.rest)
        if volume is None:
            return 5, "not found"
        volume.tags -= set(words.values.get("--deltag", []))
        volume.tags |= set(words.values.get("--addtag", []))
        if words.values.get("--activate") == ["y"]:
            volume.active = True
        return 0, ""

    def lvs(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            argv, values="--options --select", flags="--noheadings", needs="--noheadings --options"
        )
        volume = self._named(words.rest)
        if volume is None:
            return 5, "Failed to find logical volume"
        if words.one("--options") != "lv_name":
            raise UnknownCommandError(str(argv))
        for select in words.values.get("--select", []):
            match = re.fullmatch(r"lv_tags=\{(.*)\}", select)
            if match is None:
                raise UnknownCommandError(select)
            if not {tag.strip('"') for tag in match[1].split(" && ")} <= volume.tags:
                return 0, ""
        return 0, f"  {volume.name}\n"

    def blkdiscard(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            argv, values="--offset --length", flags="--zeroout", needs="--zeroout --offset --length"
        )
        (path,) = words.rest
        volume = self.at(path)
        if volume is None:
            return 1, "no such device"
        begin, length = int(words.one("--offset")), int(words.one("--length"))
        if begin % 4096 or length % 4096 or begin + length > volume.size:
            return 1, "not aligned, or beyond the end"
        volume.overwrite(begin, begin + length)
        return 0, ""

    def _named(self, rest: tuple[str, ...]) -> FakeVolume | None:
        (full,) = rest
        vg, _, name = full.partition("/")
        return self.volumes.get(name) if vg == self.vg else None
