"""What a definition itself fixes of CPUs and memory: a CPU topology, and NUMA cells.

libvirt's `setvcpus --maximum` and `setmaxmem` refuse to go beyond that (qemuDomainSetVcpusMax(),
qemuDomainSetMemoryFlags()); only a whole new definition changes both together.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from xml.etree import ElementTree as ET

from msgspec import Struct

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.domain_tree import domain_tree
from kvmkeep.model.plan import Reason
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import Size, parse_size

_SLACK = 1024
"""In KiB: QEMU's memory is whole MiB."""


class FixedShape(Struct, frozen=True, kw_only=True):
    """How many CPUs and how much memory a definition fixes; 0 for what it leaves open."""

    topology: int
    cell_cpus: int
    cells: Size


def fixed_shape(root: ET.Element) -> FixedShape:
    """Return what a domain's XML fixes."""
    topology = root.find("cpu/topology")
    counts = () if topology is None else topology.attrib.values()
    numbers = [int(one) for one in counts if one.isdecimal() and len(one) < 6]
    cells = root.findall("cpu/numa/cell")
    return FixedShape(
        topology=prod(numbers) if numbers else 0,
        cell_cpus=sum(_cpus(one.get("cpus", "")) for one in cells),
        cells=Size(sum(_memory(one) for one in cells)),
    )


def beyond_fixed(guest: Guest, domain: Domain) -> Iterator[Reason]:
    """Return why a guest in service can't be given the CPUs or memory of the spec."""
    defined = domain.defined
    if defined is None:
        return
    more_cpus = defined.vcpus_max != guest.vcpus_max
    more_memory = not _same(defined.memory_max, guest.memory_max)
    if not more_cpus and not more_memory:
        return
    fixed = fixed_shape(domain_tree(domain.xml))
    file, edit = "in its file", f"change both in its definition: virsh edit {guest.name}"
    has, says = "its definition has", f"and the spec says up to {guest.vcpus_max}"
    if more_cpus and fixed.topology not in {0, guest.vcpus_max}:
        reason = (
            f"{has} a CPU topology of {fixed.topology} CPUs, {says}: libvirt changes both or none"
        )
        yield reason, f"say vcpus_max: {fixed.topology} {file}, with vcpus up to that; or {edit}"
    if more_cpus and fixed.cell_cpus > guest.vcpus_max:
        reason = f"{has} NUMA cells of {fixed.cell_cpus} CPUs, {says}"
        yield reason, f"say vcpus_max: {fixed.cell_cpus} {file}; or {edit}"
    if more_memory and fixed.cells.bytes:
        reason = (
            f"{has} NUMA cells with {fixed.cells} of memory, and the spec says {guest.memory_max}: "
            "libvirt changes neither alone"
        )
        back = f"put its memory (with memory_max, if there is one) back to {fixed.cells} {file}"
        yield reason, f"{back}; or {edit}"


def unfit_shape(root: ET.Element, guest: Guest) -> str:
    """Return why a guest can't be defined from a template; empty where it can.

    libvirt refuses another number of CPUs, but takes the cells' memory for all that there is.
    """
    fixed = fixed_shape(root)
    if fixed.topology not in {0, guest.vcpus_max}:
        return f"a CPU topology of {fixed.topology} CPUs, and {guest.name} has {guest.vcpus_max}"
    if fixed.cell_cpus > guest.vcpus_max:
        return f"NUMA cells of {fixed.cell_cpus} CPUs, and {guest.name} has {guest.vcpus_max}"
    if fixed.cells.bytes and not _same(fixed.cells, guest.memory_max):
        return f"NUMA cells with {fixed.cells}, and {guest.name} has {guest.memory_max} of memory"
    return ""


def _same(one: Size, other: Size) -> bool:
    return abs(one.kib - other.kib) < _SLACK


def _memory(cell: ET.Element) -> int:
    try:
        return parse_size(cell.get("memory", "") + cell.get("unit", "KiB")).bytes
    except ValueError:
        return 0


def _cpus(text: str) -> int:
    """Count CPUs as in `0-3,^2,5` (formatdomain, `cell`)."""
    count = 0
    for part in text.split(","):
        first, _, last = part.removeprefix("^").partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            many = int(last or first) - int(first) + 1
            count += -many if part.startswith("^") else many
    return count
