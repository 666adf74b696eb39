"""Guests that were found, as the text of their files of the spec."""

from __future__ import annotations

import json

from kvmkeep.model.found import FoundGuest, FoundNic
from kvmkeep.model.spec import Disk, FileDisk, LvDisk
from kvmkeep.model.text import masked
from kvmkeep.model.units import Size
from kvmkeep.spec.nodes import Kind, plain_kind

_UNSEEN = "It was off: `ready: agent` if an agent answers once it runs."


def guest_text(found: FoundGuest, identity: str = "") -> str:
    """Return the file of a guest that is taken over; its identity, where that is not its name."""
    lines = [
        f"# {found.name} was not made by kvmkeep, but taken over: it can't be made anew from this.",
        *_remarks(found),
        "adopted: true",
        f"uuid: {quoted(found.uuid)}",
        *([f"identity: {quoted(identity)}"] if identity else []),
    ]
    if found.description:
        lines.append(f"description: {json.dumps(found.description, ensure_ascii=False)}")
    lines += [
        f"vcpus: {found.vcpus}",
        f"memory: {found.memory.written}",
        *([f"vcpus_max: {found.vcpus_max}"] if found.vcpus_max else []),
        *([f"memory_max: {found.memory_max.written}"] if found.memory_max else []),
        "disks:",
        *(f"  {quoted(disk.name)}: {value_text(disk)}" for disk in found.disks),
    ]
    if found.nics:
        lines += [
            "nics:",
            "  # With `address: 10.5.68.237/24` (its own), nobody else can be given the same.",
            *(f"  - {value_text(nic)}" for nic in found.nics),
        ]
    lines += [
        "run:",
        f"  autostart: {value_text(found.autostart)}",
        *(
            ["  # It was off: `ready: agent` if an agent answers once it runs."]
            * found.agent_unseen
        ),
        f"  ready: {found.ready}",
    ]
    return "\n".join(lines) + "\n"


def value_text(value: str | int | Size | Disk | FoundNic) -> str:
    """Return what the spec says of a value, as YAML on one line."""
    match value:
        case bool() | int():
            text = str(value).lower()
        case str():
            text = quoted(value)
        case Size():
            text = value.written
        case FileDisk():
            path, mount = (json.dumps(text) for text in (value.path, value.mount))
            text = f"{{file: {path}, size: {value.size.written}, mount: {mount}}}"
        case LvDisk():
            size = value.size.written
            text = f"{{size: {size}, lv: {quoted(value.lv)}}}" if value.named else size
        case _:
            text = f'{{network: {quoted(value.network)}, mac: "{value.mac}"}}'
    return text


def quoted(name: str) -> str:
    """Return a checked name as YAML text: quoted where YAML would read something else."""
    harmless = plain_kind(name) is Kind.TEXT and name[0].isalnum()
    return name if harmless else json.dumps(name)


def _remarks(found: FoundGuest) -> list[str]:
    if not found.remarks:
        return []
    head = "# It has more than a spec can say. All of that stays as it is:"
    return [head, *(f"#   - {masked(text)}" for text in found.remarks)]
