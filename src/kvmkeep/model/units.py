"""Sizes, MAC addresses and names: parsed once, at the border, into types that can't be wrong.

Every parse function raises `ValueError` with a sentence for the administrator.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NewType

from msgspec import Struct

from kvmkeep.model.text import printable

GuestName = NewType("GuestName", str)
"""Name of a guest: also the domain's name and a part of its LVs' names."""

Label = NewType("Label", str)
"""Name of a network, an image or a disk in the spec."""

Mac = NewType("Mac", str)
"""Unicast MAC address, lower case, colons."""

_UNITS = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_SIZE = re.compile(r"(?P<number>[0-9]{1,20}(?:\.[0-9]{1,20})?)\s*(?P<unit>[A-Za-z]+)")
_LARGEST = 1 << 60
MIB = 1 << 20

LONGEST_GUEST_NAME = 63
_GUEST_NAME = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{LONGEST_GUEST_NAME - 2}}}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_IFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")

PROOF_PREFIX = "kvmkeep-proof-"
"""What a guest is called that is started from a backup of the guest named behind it."""

# lvm(8), "VALID NAMES": prefixes and infixes LVM keeps for itself.
_LVM_RESERVED_PREFIXES = ("snapshot", "pvmove")
_LVM_RESERVED_INFIXES = (
    "_cdata", "_cmeta", "_corig", "_iorig", "_mimage", "_mlog", "_pmspare", "_rimage",
    "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_cvol", "_wcorig",
)  # fmt: skip


class Size(Struct, frozen=True, order=True):
    """An amount of storage or memory, in bytes; never negative."""

    bytes: int

    def __post_init__(self) -> None:
        if not 0 <= self.bytes <= _LARGEST:
            raise ValueError(f"a size of {self.bytes} bytes makes no sense")

    def __add__(self, other: Size) -> Size:
        return Size(self.bytes + other.bytes)

    def minus(self, other: Size) -> Size:
        """Return the difference, or zero where `other` is the larger one."""
        return Size(max(0, self.bytes - other.bytes))

    def rounded_up(self, step: Size) -> Size:
        """Return the smallest multiple of `step` that is not less than this size."""
        return Size(-(-self.bytes // step.bytes) * step.bytes)

    @property
    def kib(self) -> int:
        """Whole KiB, rounded up: libvirt's unit of memory."""
        return -(-self.bytes // 1024)

    @property
    def written(self) -> str:
        """The size as a spec takes it, without loss: `20GiB`, `1000001KiB`."""
        units = (unit for unit in ("TiB", "GiB", "MiB", "KiB") if not self.bytes % _UNITS[unit])
        unit = next(units, "B")
        return f"{self.bytes // _UNITS[unit]}{unit}"

    def __str__(self) -> str:
        for unit in ("TiB", "GiB", "MiB", "KiB"):
            scale = _UNITS[unit]
            if self.bytes >= scale:
                number = self.bytes / scale
                exact = self.bytes % scale == 0
                return f"{number:.0f} {unit}" if exact else f"{number:.1f} {unit}"
        return f"{self.bytes} B"


def parse_size(text: str) -> Size:
    """Parse `20GiB`, `1.5 TiB` or `512MB`: a number and a unit, both required."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{printable(text)} is not a size (write a number and a unit, such as 20GiB)"
        )
    unit = match["unit"]
    if unit not in _UNITS:
        known = ", ".join(_UNITS)
        raise ValueError(
            f"{printable(text)} has no known unit (one of {known}; letter case matters)"
        )
    whole, _, fraction = match["number"].partition(".")
    amount = int(whole + fraction) * _UNITS[unit]
    scale = 10 ** len(fraction)
    if amount % scale:
        raise ValueError(f"{printable(text)} is not a whole number of bytes (use a smaller unit)")
    if amount == 0:
        raise ValueError("a size of zero makes no sense here (write how much it needs)")
    if amount // scale > _LARGEST:
        raise ValueError(f"{printable(text)} is too large")
    return Size(amount // scale)


def parse_guest_name(text: str) -> GuestName:
    """Accept 1 to 63 of a-z, 0-9 and inner '-', not as LVM's own or a proof's names begin.

    A guest's name becomes a hostname (RFC 1123), a domain's name, a part of LVs' names and of
    file names. libvirt itself would accept `..` and `-x`.
    """
    if _GUEST_NAME.fullmatch(text) is None:
        raise ValueError(
            f"{printable(text)} can't be a guest's name "
            "(1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit)"
        )
    if text.startswith(_LVM_RESERVED_PREFIXES):
        raise ValueError(f"{text} begins with a word that LVM reserves (choose another name)")
    if text.startswith(PROOF_PREFIX):
        raise ValueError(f"{text} is a name of a backup's proof (choose another name)")
    return GuestName(text)


def accepted(parse: Callable[[str], str], text: str) -> bool:
    """Whether a parser that raises ValueError takes a text."""
    try:
        parse(text)
    except ValueError:
        return False
    return True


def parse_label(text: str) -> Label:
    """Accept the name of a network, an image or a disk: 1 to 32 of a-z, 0-9, '.', '_', '-'."""
    if _LABEL.fullmatch(text) is None or ".." in text:
        raise ValueError(
            f"{printable(text)} can't be a name here "
            "(1 to 32 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit)"
        )
    return Label(text)


def parse_mac(text: str) -> Mac:
    """Accept a unicast MAC address with colons; letter case doesn't matter."""
    lower = text.lower()
    if _MAC.fullmatch(lower) is None:
        raise ValueError(f"{printable(text)} is not a MAC address (such as 52:54:00:12:34:56)")
    if int(lower[:2], 16) & 1:
        raise ValueError(f"{text} is a multicast address (the first byte must be even)")
    if lower.startswith("fe:"):
        # The host's end of the NIC gets the address with this first byte, so that no bridge takes
        # its own from it (virNetDevTapCreateInBridgePort() in libvirt's virnetdevtap.c).
        raise ValueError(
            f"{text} begins with fe, which libvirt keeps for itself (write 52 instead)"
        )
    if lower == "00:00:00:00:00:00":
        raise ValueError("the MAC address of all zeros is not valid (leave mac out to get one)")
    return Mac(lower)


def parse_interface(text: str) -> str:
    """Accept the name of a network interface: 1 to 15 bytes (IFNAMSIZ, netdevice(7))."""
    if _IFACE.fullmatch(text) is None:
        raise ValueError(
            f"{printable(text)} can't be an interface's name "
            "(1 to 15 letters, digits, '.', '_' or '-')"
        )
    return text


def check_lv_name(text: str) -> str:
    """Accept a name for a logical volume, or say why LVM would not (lvm(8), "VALID NAMES")."""
    if len(text) > 127:
        raise ValueError(f"the LV name {text[:20]}... has {len(text)} characters (LVM allows 127)")
    if re.fullmatch(r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*", text) is None or text in {".", ".."}:
        raise ValueError(f"{printable(text)} can't be an LV's name")
    if text.startswith(_LVM_RESERVED_PREFIXES):
        raise ValueError(f"the LV name {text} begins with a word that LVM reserves")
    if any(infix in text for infix in _LVM_RESERVED_INFIXES):
        raise ValueError(f"the LV name {text} holds a word that LVM reserves")
    return text
