"""The spec as it is written: one class for each mapping of the YAML files.

The docstrings and descriptions feed the JSON Schema and the reference. A field without a default
is required. `None` stands for a value that is absent or whose mistake was told already; nobody
can write it, since an empty value is refused.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

LONGEST = 86400
"""Seconds of a day: nobody waits longer for a guest."""

# These refuse nothing that is parsed. That a size is whole MiB, no pattern can tell.
_AMOUNT = r"(?=[0.]*[1-9])[0-9]+(\.[0-9]+)?\s*(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)"
_SIZE = rf"^\s*{_AMOUNT}\s*$"
_RATE = rf"^\s*{_AMOUNT}\s*(/s)?$"
_TIME = r"^\s*0*[1-9][0-9]{0,4}\s*(s|min|h)?\s*$"
_LABEL = r"^[a-z0-9]([a-z0-9._-]{0,30}[a-z0-9])?$"
_GUEST = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_NEED = rf"^(/.*|{_GUEST[1:-1]})$"
_INTERFACE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$"
_UUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_MAC = r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"

_WRITE_A_UNIT = {"number": "write a unit, such as 20GiB"}

SizeText = Annotated[str, Meta(title="size", pattern=_SIZE, extra=_WRITE_A_UNIT)]
RateText = Annotated[str, Meta(title="size", pattern=_RATE, extra=_WRITE_A_UNIT)]
LabelText = Annotated[str, Meta(title="name", pattern=_LABEL)]
GuestText = Annotated[str, Meta(title="name", pattern=_GUEST)]
NeedText = Annotated[str, Meta(title="name or path", pattern=_NEED)]
InterfaceText = Annotated[str, Meta(title="interface name", pattern=_INTERFACE)]
UuidText = Annotated[str, Meta(title="UUID", pattern=_UUID)]
MacText = Annotated[str, Meta(title="MAC address", pattern=_MAC)]
Seconds = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": LONGEST})]
TimeText = Annotated[str, Meta(title="time", pattern=_TIME)]
Texts = tuple[str | None, ...]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the spec."""
