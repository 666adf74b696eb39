"""What a host is made of, from its uplink to its disks, and what is wrong where; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from enum import IntEnum

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import LIBVIRT, LINKS, VOLUMES, Facts
from kvmkeep.model.health import Finding, Severity, worst
from kvmkeep.model.names import lv_path
from kvmkeep.model.spec import LvDisk, Spec
from kvmkeep.model.units import Size
from kvmkeep.model.vitals import Vitals

HOST = "host"
OTHERS = "other volumes"


class Column(IntEnum):
    """Where a thing stands, from the outer world to the inner one."""

    UPLINK = 0
    VLAN = 1
    BRIDGE = 2
    GUEST = 3
    VOLUME = 4
    GROUP = 5
    ARRAY = 6
    DISK = 7


class Node(Struct, frozen=True, kw_only=True):
    """A thing. `key` is the subject that findings have for it; `line` is how it is.

    `numbers` are those of its findings, counted from 1. `foreign` where it is not of the spec,
    `idle` where it is off.
    """

    key: str
    column: Column
    title: str
    line: str
    severity: Severity = Severity.OK
    numbers: tuple[int, ...] = ()
    foreign: bool = False
    idle: bool = False


class Edge(Struct, frozen=True, kw_only=True):
    """What joins two things, by their keys; `broken` where it should and does not."""

    left: str
    right: str
    broken: bool = False


class Topology(Struct, frozen=True, kw_only=True):
    """All things in the order in which they stand, and what joins them.

    The findings that belong to no thing stand at the host itself.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def of(self, column: Column) -> tuple[Node, ...]:
        """Return the things of a column."""
        return tuple(node for node in self.nodes if node.column is column)


def topology(spec: Spec, facts: Facts, vitals: Vitals, findings: tuple[Finding, ...]) -> Topology:
    """Return what a host is made of; each finding's number is its place among all."""
    nodes = {
        node.key: node
        for node in (
            *_outside(spec, facts),
            *_guests(spec, facts),
            *_volumes(spec, facts),
            *_inside(spec, facts, vitals),
        )
    }
    told: dict[str, list[tuple[int, Finding]]] = {}
    for number, one in enumerate(findings, start=1):
        for key in _places(one.subject, nodes, facts):
            told.setdefault(key, []).append((number, one))
    marked = tuple(_marked(node, told.get(node.key, [])) for node in nodes.values())
    edges = (
        *_frames(spec, facts, findings),
        *_wires(spec, facts),
        *_blocks(spec, facts),
        *_parts(spec, facts, vitals),
    )
    known = tuple(one for one in edges if one.left in nodes and one.right in nodes)
    return Topology(nodes=marked, edges=tuple(dict.fromkeys(known)))


def _marked(node: Node, told: list[tuple[int, Finding]]) -> Node:
    severity = worst(one for _, one in told)
    return replace(node, severity=severity, numbers=tuple(number for number, _ in told))


def _places(subject: str, nodes: dict[str, Node], facts: Facts) -> tuple[str, ...]:
    """Return the keys of the things that a finding is about."""
    kind, _, name = subject.partition(" ")
    if kind == "snapshot":
        guest = f"guest {name.partition(' of ')[2]}"
        vg, _, lv = name.partition("/")
        origins = [f"volume {v.vg}/{v.origin}" for v in facts.volumes if (v.vg, v.name) == (vg, lv)]
        keys = [guest, *origins]
    else:
        keys = [f"{kind} {one}" for one in name.split(", ")]
    return tuple(key for key in keys if key in nodes) or (HOST,)


def _absent(facts: Facts, what: str) -> str:
    """Return the word for a thing that was not found, where things such as `what` were seen."""
    return "is not seen" if facts.unseen(what) else "is not there"


def _outside(spec: Spec, facts: Facts) -> Iterator[Node]:
    """Return the host, the uplink, and each network's VLAN and bridge."""
    line = f"{facts.cpus} CPUs, {facts.memory}"
    yield Node(key=HOST, column=Column.UPLINK, title=spec.host.name, line=line)
    links = {link.name: link for link in facts.links}
    up = links.get(spec.uplink)
    absent = _absent(facts, LINKS)
    state = absent if up is None else "carrier" if up.carrier else "no carrier"
    yield Node(key=f"uplink {spec.uplink}", column=Column.UPLINK, title=spec.uplink, line=state)
    for one in spec.networks:
        port, bridge = links.get(one.vlan_interface), links.get(one.bridge)
        yield Node(
            key=f"vlan {one.vlan_interface}",
            column=Column.VLAN,
            title=one.vlan_interface,
            line=f"VLAN {one.vlan}" if port is not None else absent,
        )
        flags = f"ageing {one.ageing_time} s{', STP' if one.stp else ''}"
        yield Node(
            key=f"network {one.name}",
            column=Column.BRIDGE,
            title=one.bridge,
            line=f"{one.name}: {flags if bridge is not None else absent}",
        )


def _guests(spec: Spec, facts: Facts) -> Iterator[Node]:
    domains = {domain.name: domain for domain in facts.domains}
    for guest in spec.guests:
        domain = domains.get(guest.name)
        state = domain.state.value if domain is not None else _absent(facts, LIBVIRT)
        yield Node(
            key=f"guest {guest.name}",
            column=Column.GUEST,
            title=guest.name,
            line=f"{state}, {guest.vcpus} CPU, {guest.memory}",
            idle=domain is None or domain.state is not DomainState.RUNNING,
        )
    ours = {guest.name for guest in spec.guests}
    for domain in facts.domains:
        if domain.name not in ours:
            yield Node(
                key=f"guest {domain.name}",
                column=Column.GUEST,
                title=domain.name,
                line=f"{domain.state.value}, {domain.vcpus} CPU, {domain.memory}",
                foreign=True,
                idle=domain.state is not DomainState.RUNNING,
            )


def _volumes(spec: Spec, facts: Facts) -> Iterator[Node]:
    """Return the disks of guests, and one thing for all else that takes room of the group."""
    vg = spec.storage.vg
    volumes = {v.name: v for v in facts.volumes if v.vg == vg}
    seen: set[str] = set()
    for guest in spec.guests:
        for disk in guest.disks:
            if isinstance(disk, LvDisk):
                volume = volumes.get(disk.lv)
                copies = [v for v in volumes.values() if v.origin == disk.lv]
                seen |= {disk.lv, *(copy.name for copy in copies)}
                line = str(volume.size) if volume is not None else _absent(facts, VOLUMES)
                if copies:
                    full = max(copy.filled_percent for copy in copies)
                    line += f", {_some(copies, 'snapshot')}, {full:.0f} % full"
                yield Node(
                    key=f"volume {vg}/{disk.lv}", column=Column.VOLUME, title=disk.lv, line=line
                )
            else:
                yield Node(
                    key=f"file {disk.path}", column=Column.VOLUME, title=disk.path,
                    line=f"file, {disk.size}",
                )  # fmt: skip
    shared = {disk.source for domain in facts.domains for disk in domain.disks}
    for volume in volumes.values():
        if volume.name not in seen and lv_path(vg, volume.name) in shared:
            seen.add(volume.name)
            yield Node(
                key=f"volume {vg}/{volume.name}", column=Column.VOLUME, title=volume.name,
                line=str(volume.size), foreign=True,
            )  # fmt: skip
    rest = [volume.size.bytes for name, volume in volumes.items() if name not in seen]
    if rest:
        yield Node(
            key=OTHERS, column=Column.VOLUME, title=_some(rest, "other volume"),
            line=str(Size(sum(rest))), foreign=True,
        )  # fmt: skip


def _some(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _inside(spec: Spec, facts: Facts, vitals: Vitals) -> Iterator[Node]:
    """Return the group, the arrays and the disks."""
    for group in facts.groups:
        yield Node(
            key=f"group {group.name}", column=Column.GROUP, title=group.name,
            line=f"{group.free} of {group.size} free", foreign=group.name != spec.storage.vg,
        )  # fmt: skip
    models = {disk.name: disk.model for disk in vitals.disks or ()}
    for array in facts.arrays:
        yield Node(
            key=f"array {array.name}", column=Column.ARRAY, title=array.name,
            line=f"{array.level}, {array.detail}",
        )  # fmt: skip
        for member in array.members:
            disk = _disk(member, models)
            line = "failed" if member in array.faulty else models.get(disk, "")
            yield Node(key=f"disk {disk}", column=Column.DISK, title=disk, line=line)
    for pv in (pv for group in facts.groups for pv in group.pvs if not _array(facts, pv)):
        disk = _disk(_device(pv), models)
        yield Node(key=f"disk {disk}", column=Column.DISK, title=disk, line=models.get(disk, ""))


def _array(facts: Facts, pv: str) -> str:
    """Return the key of the array that a physical volume is, or is a partition of."""
    return next((f"array {one.name}" for one in facts.arrays if one.holds(pv)), "")


def _device(path: str) -> str:
    return path.removeprefix("/dev/")


def _disk(part: str, models: Iterable[str]) -> str:
    """Return the disk that is, or holds, a partition; itself where no such disk is known."""
    for disk in models:
        rest = part.removeprefix(disk)
        if part.startswith(disk) and (not rest or rest.removeprefix("p").isdecimal()):
            return disk
    return part


def _frames(spec: Spec, facts: Facts, findings: tuple[Finding, ...]) -> Iterator[Edge]:
    """Return how frames go between the uplink and the bridges."""
    masters = {link.name: link.master for link in facts.links}
    dead = {
        one.subject
        for one in findings
        if one.name.startswith("uplink-") and one.severity is Severity.CRITICAL
    }
    for one in spec.networks:
        uplink, port = f"uplink {spec.uplink}", f"vlan {one.vlan_interface}"
        lost = one.vlan_interface not in masters
        yield Edge(left=uplink, right=port, broken=lost or uplink in dead)
        apart = masters.get(one.vlan_interface) != one.bridge
        yield Edge(left=port, right=f"network {one.name}", broken=apart)


def _wires(spec: Spec, facts: Facts) -> Iterator[Edge]:
    """Return how guests hang at bridges: by their taps if they run, else by the spec."""
    masters = {link.name: link.master for link in facts.links}
    bridges = {one.bridge: f"network {one.name}" for one in spec.networks}
    live = {domain.name: domain for domain in facts.domains}
    for guest in spec.guests:
        domain = live.get(guest.name)
        taps = {} if domain is None else {n.mac: n for n in domain.live_nics if n.tap}
        for nic in guest.nics:
            tap = taps.get(nic.mac)
            broken = tap is not None and masters.get(tap.tap) != tap.bridge
            yield Edge(left=f"network {nic.network}", right=f"guest {guest.name}", broken=broken)
    ours = {guest.name for guest in spec.guests}
    for domain in facts.domains:
        for one in domain.nics if domain.name not in ours else ():
            if one.bridge in bridges:
                yield Edge(left=bridges[one.bridge], right=f"guest {domain.name}")


def _blocks(spec: Spec, facts: Facts) -> Iterator[Edge]:
    """Return which disks guests have, as the spec and libvirt say."""
    vg = spec.storage.vg
    paths = {lv_path(vg, v.name): f"volume {vg}/{v.name}" for v in facts.volumes if v.vg == vg}
    for guest in spec.guests:
        for disk in guest.disks:
            name = f"volume {vg}/{disk.lv}" if isinstance(disk, LvDisk) else f"file {disk.path}"
            yield Edge(left=f"guest {guest.name}", right=name)
    for domain in facts.domains:
        for had in domain.disks:
            if had.source in paths:
                yield Edge(left=f"guest {domain.name}", right=paths[had.source])


def _parts(spec: Spec, facts: Facts, vitals: Vitals) -> Iterator[Edge]:
    """Return what lies on what, from volumes to disks."""
    group = f"group {spec.storage.vg}"
    for volume in facts.volumes:
        if volume.vg == spec.storage.vg:
            yield Edge(left=f"volume {volume.full_name}", right=group)
    yield Edge(left=OTHERS, right=group)
    disks = [disk.name for disk in vitals.disks or ()]
    for one in facts.groups:
        for pv in one.pvs:
            right = _array(facts, pv) or f"disk {_disk(_device(pv), disks)}"
            yield Edge(left=f"group {one.name}", right=right)
    for array in facts.arrays:
        for member in array.members:
            yield Edge(
                left=f"array {array.name}",
                right=f"disk {_disk(member, disks)}",
                broken=member in array.faulty,
            )
