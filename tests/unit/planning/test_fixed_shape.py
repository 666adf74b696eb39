"""A definition that fixes CPUs or memory: what libvirt would refuse is refused before all steps."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import Size
from kvmkeep.planning.domains.fixed_shape import FixedShape, beyond_fixed, fixed_shape
from kvmkeep.planning.domains.xml import BASE, TemplateError, domain_xml
from tests.unit.planning.build import GIB, guest, network, spec
from tests.unit.planning.served import planned, serving

TOPOLOGY = "<topology sockets='1' cores='2' threads='1'/>"
CELLS = "<numa><cell id='0' cpus='0-1' memory='1048576' unit='KiB'/><cell memory='1048576'/></numa>"


def fixing(part: str) -> tuple[FakeHost, Guest]:
    host, web = serving()
    host.libvirt.domains["web"].xml.find("cpu").append(ET.fromstring(part))  # noqa: S314 - a part of a test
    return host, web


def reasons(host: FakeHost, web: Guest) -> list[str]:
    return [f"{one.reason} -> {one.hint}" for one in planned(host, web).refusals]


def test_a_topology_refuses_another_number_of_cpus() -> None:
    host, web = fixing(TOPOLOGY)
    assert planned(host, web).refusals == ()
    assert reasons(host, replace(web, vcpus=4)) == [
        "its definition has a CPU topology of 2 CPUs, and the spec says up to 4: libvirt changes "
        "both or none -> say vcpus_max: 2 in its file, with vcpus up to that; or "
        "change both in its definition: virsh edit web"
    ]
    assert reasons(host, replace(web, vcpus=1, vcpus_headroom=1)) == []
    setvcpus = ("virsh", "setvcpus", "--domain", "web", "--count", "4", "--config", "--maximum")
    assert not host.run(Command(argv=setvcpus, why="")).ok, "as libvirt does"


def test_numa_cells_refuse_another_size_and_fewer_cpus_than_they_have() -> None:
    host, web = fixing(CELLS)
    assert reasons(host, replace(web, vcpus=3)) == []
    assert reasons(host, replace(web, vcpus=1, memory=Size(3 * GIB))) == [
        "its definition has NUMA cells of 2 CPUs, and the spec says up to 1 -> say vcpus_max: 2 "
        "in its file; or change both in its definition: virsh edit web",
        "its definition has NUMA cells with 2 GiB of memory, and the spec says 3 GiB: libvirt "
        "changes neither alone -> put its memory (with memory_max, if there is one) back to 2 GiB "
        "in its file; or change both in its definition: virsh edit web",
    ]
    setmaxmem = ("virsh", "setmaxmem", "--domain", "web", "--size", "3145728", "--config")
    assert not host.run(Command(argv=setmaxmem, why="")).ok, "as libvirt does"


def test_what_a_domain_does_not_tell_is_not_blamed() -> None:
    host, web = serving()
    (domain,) = host.facts(spec(web)).domains
    assert list(beyond_fixed(web, replace(domain, defined=None))) == []


@pytest.mark.parametrize(
    ("part", "fixed"),
    [
        ("<topology sockets='2' dies='1' cores='4' threads='2'/>", (16, 0, 0)),
        ("<topology sockets='many'/>", (0, 0, 0)),
        ("<numa><cell cpus='0-3,^2,5' memory='1' unit='GiB'/></numa>", (0, 4, GIB)),
        ("<numa><cell cpus='all' memory='much'/></numa>", (0, 0, 0)),
    ],
)
def test_what_a_definition_fixes(part: str, fixed: tuple[int, int, int]) -> None:
    topology, cell_cpus, cells = fixed
    root = ET.fromstring(f"<domain><cpu>{part}</cpu></domain>")  # noqa: S314 - a part of a test
    assert fixed_shape(root) == FixedShape(
        topology=topology, cell_cpus=cell_cpus, cells=Size(cells)
    )


@pytest.mark.parametrize(
    ("part", "unfit"),
    [
        (
            "<topology sockets='1' cores='4' threads='1'/>",
            "a CPU topology of 4 CPUs, and web has 2",
        ),
        ("<numa><cell cpus='0-3' memory='2' unit='GiB'/></numa>", "NUMA cells of 4 CPUs"),
        ("<numa><cell cpus='0-1' memory='4' unit='GiB'/></numa>", "NUMA cells with 4 GiB, and web"),
        (TOPOLOGY, ""),
        (CELLS, ""),
    ],
)
def test_a_template_fits_the_guest_or_is_refused(part: str, unfit: str) -> None:
    element = "<cpu mode='host-passthrough' check='none'/>"
    template = BASE.replace(element, element.replace("/>", f">{part}</cpu>"))
    site = spec(guest(), template=template)
    if not unfit:
        assert "<cpu" in domain_xml(site, guest(), {network().name: network()})
        return
    with pytest.raises(TemplateError, match=f"the base template fixes {unfit}"):
        domain_xml(site, guest(), {network().name: network()})
