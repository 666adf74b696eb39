"""NetworkManager as `nmcli --terse` tells it (nmcli(1))."""

from __future__ import annotations

from kvmkeep.host.door import Door
from kvmkeep.host.tools import Unanswered, answer, ask, question
from kvmkeep.model.network_facts import NO_NM, Nm, Profile

_TERSE = ("nmcli", "--terse", "--escape", "yes", "--fields")

PROFILES = (*_TERSE, "NAME,UUID,TYPE,DEVICE,FILENAME", "connection", "show")
SETTINGS = (
    *_TERSE,
    "connection,802-3-ethernet,bridge,bridge-port,vlan,ipv4,ipv6",
    "connection",
    "show",
)
DEVICES = (*_TERSE, "GENERAL.DEVICE,GENERAL.DBUS-PATH", "device", "show")

_NOT_RUNNING = 8
"""nmcli(1), EXIT STATUS: NetworkManager is not running."""

_NOT_INSTALLED = 127
_NO_BUS = b"Could not create NMClient object"
_HINT = "look at: systemctl status NetworkManager"


def network_manager(door: Door) -> Nm:
    """Return NetworkManager's state, profiles and devices; raises Unanswered.

    That it is not running, or not installed, is an answer and no problem.
    """
    first = question(door, "network profiles", PROFILES)
    if first.code in {_NOT_RUNNING, _NOT_INSTALLED} or _NO_BUS in first.stderr:
        return NO_NM
    known, settings = _profiles(door, answer(first, "network profiles", PROFILES, hint=_HINT))
    devices = blocks(ask(door, "devices of NetworkManager", DEVICES))
    return Nm(
        running=True,
        profiles=tuple(
            Profile(
                uuid=uuid,
                name=name,
                type=kind,
                interface=settings.get(uuid, {}).get("connection.interface-name", ""),
                device=device,
                filename=filename,
                settings=tuple(sorted(settings.get(uuid, {}).items())),
            )
            for name, uuid, kind, device, filename in known
        ),
        device_paths=tuple(
            (block["GENERAL.DEVICE"], block["GENERAL.DBUS-PATH"])
            for block in devices
            if block.keys() >= {"GENERAL.DEVICE", "GENERAL.DBUS-PATH"}
        ),
    )


def _profiles(door: Door, text: str) -> tuple[list[list[str]], dict[str, dict[str, str]]]:
    """Return the rows of all profiles, and their settings by UUID, asked for in one call.

    NetworkManager makes and drops profiles by itself for interfaces that others make, such as
    those of starting guests: one that vanished in between makes nmcli fail, and the list is
    asked for again.
    """
    for last in (False, False, True):
        rows = [row for row in map(split, text.split("\n")) if len(row) == 5]
        if not rows:
            break
        names = tuple(word for row in rows for word in ("uuid", row[1]))
        try:
            found = blocks(ask(door, "settings of network profiles", (*SETTINGS, *names)))
        except Unanswered:
            if last:
                raise
            text = ask(door, "network profiles", PROFILES)
            continue
        return rows, {block.get("connection.uuid", ""): block for block in found}
    return [], {}


def split(line: str) -> list[str]:
    r"""Split a terse line at its colons; `\:` and `\\` stand for a colon and a backslash."""
    fields = [""]
    characters = iter(line)
    for character in characters:
        if character == "\\":
            fields[-1] += next(characters, "")
        elif character == ":":
            fields.append("")
        else:
            fields[-1] += character
    return fields


def blocks(text: str) -> list[dict[str, str]]:
    """Read `key:value` lines; an empty line ends a block. Values are not escaped here."""
    found: list[dict[str, str]] = [{}]
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        if not line:
            found.append({})
        elif colon:
            found[-1].setdefault(key, value)
    return [block for block in found if block]
