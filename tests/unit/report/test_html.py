"""The page about a host: as it was, whole in itself, and harmless whatever names there are.

To write the golden page anew: python tests/unit/report/test_html.py
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kvmkeep.health.judge import judge
from kvmkeep.model.domain_facts import DomainDisk, DomainState
from kvmkeep.model.facts import ArrayState, Facts
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import FileDisk
from kvmkeep.model.units import Label, Size
from kvmkeep.model.vitals import GuestAnswer, PhysicalDisk, Vitals
from kvmkeep.report.html import Page, html
from kvmkeep.report.topology import HOST, Column, Topology, topology
from tests.unit.health.build import (
    ARRAY,
    BRIDGE,
    FACTS,
    GROUP,
    NIC,
    PORT,
    SPEC,
    TAP,
    VITALS,
    domain,
    link,
    volume,
)
from tests.unit.planning.build import GIB, guest, network, nic, spec

GOLDEN = Path(__file__).parent / "host.html"

DB = guest("db", data=40 * GIB, nics=(nic("db", on="internal"), nic("db", 1)))
MAIL = guest("mail", autostart=False)
SICK_SPEC = spec(
    SPEC.guests[0], DB, MAIL,
    networks=(*SPEC.networks, network("internal", 2368)),
)  # fmt: skip


def raw(lv: str) -> DomainDisk:
    source = f"/dev/rl_build/{lv}"
    return DomainDisk(
        target="vda", bus="virtio", kind="block", source=source, device="", format="raw"
    )


SICK = replace(
    FACTS,
    arrays=(
        replace(
            ARRAY, state=ArrayState.DEGRADED, missing=1, faulty=("sdb2",),
            members=("sda2", "sdb2"), detail="1 of 2 run, sdb2 is faulty",
        ),
    ),
    groups=(replace(GROUP, free=Size(5 * GIB)),),
    links=(
        *FACTS.links,
        replace(BRIDGE, name="virbr1.2368"),
        replace(PORT, name="uplink0.2368", vlan_id=2368, master=""),
    ),
    volumes=(
        *FACTS.volumes, volume("vm-db"), volume("vm-db-data", size=Size(40 * GIB)),
        volume("vm-old"), volume("vm-mail"),
        volume("vm-mail-s", origin="vm-mail", size=Size(GIB), filled_percent=83.0),
    ),
    domains=(
        *FACTS.domains,
        domain("db", uuid=DB.uuid, disks=(raw("vm-db"), raw("vm-db-data")), live_nics=()),
        domain("mail", uuid=MAIL.uuid, state=DomainState.SHUTOFF, live_nics=()),
        domain(
            "legacy", uuid="x", ours=False, disks=(raw("vm-old"),), nics=(NIC,), live_nics=(),
        ),
    ),
)  # fmt: skip
SICK_VITALS = replace(
    VITALS,
    disks=(
        PhysicalDisk(name="sda", model="HGST HUS726020ALE614", passed=True, pending=8),
        PhysicalDisk(name="sdb", model="HGST HUS726020ALE614", passed=False),
    ),
    synchronized=False,
    inside=(
        GuestAnswer(guest="web", ready=True, silent="", up=9.0),
        GuestAnswer(guest="db", ready=False, silent="did not answer within 2 s", up=900.0),
    ),
)


def page(facts: Facts = SICK, vitals: Vitals = SICK_VITALS, more: tuple[Finding, ...] = ()) -> Page:
    found = judge(SICK_SPEC, facts, Plan(), vitals)
    return Page(spec=SICK_SPEC, facts=facts, vitals=vitals, findings=(*found, *more))


def seen(shown: Page) -> Topology:
    return topology(shown.spec, shown.facts, shown.vitals, shown.findings)


class Reader(HTMLParser):
    """Reads a page as a browser does: tags with attributes, and texts."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(content.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attributes)) for tag, attributes in self.tags]


def test_the_page_is_as_it_was() -> None:
    assert html(page()).decode() == GOLDEN.read_text("utf-8")


def test_the_page_asks_nobody_for_anything() -> None:
    read = Reader(html(page()))
    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "image", "use", "base", "form"}
    for tag, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"], tag
        assert (attributes.get("href") or "#").startswith("#")
    (style,) = re.findall("<style>(.*?)</style>", GOLDEN.read_text(), re.DOTALL)
    assert not re.search(r"url\(|@import|expression", style)
    policy = [a["content"] for tag, a in read.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_each_link_leads_to_its_finding() -> None:
    shown = page()
    read = Reader(html(shown))
    there = {f"#{a['id']}" for _, a in read.tags if "id" in a}
    links = {a["href"] for tag, a in read.tags if tag == "a"}
    assert links <= there == {f"#finding-{n}" for n in range(1, len(shown.findings) + 1)}
    # Each finding stands at some thing of the picture.
    at = {number for node in seen(shown).nodes for number in node.numbers}
    assert at == set(range(1, len(shown.findings) + 1))


def test_what_is_wrong_is_at_its_place() -> None:
    nodes = {node.key: node for node in seen(page()).nodes}
    worst = {key: node.severity for key, node in nodes.items()}
    assert worst["array md0"] is worst["disk sdb"] is Severity.CRITICAL
    assert worst["network internal"] is worst["guest db"] is Severity.CRITICAL
    assert worst["group rl_build"] is worst["disk sda"] is worst[HOST] is Severity.WARNING
    assert worst["guest mail"] is Severity.OK
    assert (nodes["guest mail"].idle, nodes["guest legacy"].foreign) == (True, True)
    assert nodes["volume rl_build/vm-mail"].line == "4 GiB, 1 snapshot, 83 % full"
    # A snapshot that nobody marked is told at its origin.
    assert worst["volume rl_build/vm-mail"] is Severity.WARNING


def test_what_is_torn_apart_is_drawn_so() -> None:
    broken = {(e.left, e.right) for e in seen(page()).edges if e.broken}
    assert broken == {("vlan uplink0.2368", "network internal"), ("array md0", "disk sdb")}
    cut = replace(
        SICK, links=tuple(replace(one, master="") if one == TAP else one for one in SICK.links)
    )
    broken = {(e.left, e.right) for e in seen(page(cut)).edges if e.broken}
    assert ("network public", "guest web") in broken
    dark = replace(SICK, links=(link("uplink0", carrier=False), *SICK.links[1:]))
    broken = {(e.left, e.right) for e in seen(page(dark)).edges if e.broken}
    assert ("uplink uplink0", "vlan uplink0.223") in broken
    port = link("eno9", master="uplink0", carrier=False)
    half = replace(SICK, links=(link("uplink0", kind="bond"), port, *SICK.links[1:]))
    broken = {(e.left, e.right) for e in seen(page(half)).edges if e.broken}
    assert ("uplink uplink0", "vlan uplink0.223") not in broken


def test_a_host_with_nothing_yet() -> None:
    bare = replace(FACTS, arrays=(), groups=(), volumes=(), links=(), domains=())
    nothing = spec()
    shown = topology(nothing, bare, Vitals(), ())
    lines = {node.key: node.line for node in shown.nodes}
    assert lines["uplink uplink0"] == lines["vlan uplink0.223"] == "is not there"
    assert lines["network public"] == "public: is not there"
    content = html(Page(spec=nothing, facts=bare, vitals=Vitals(), findings=()))
    assert b"nothing is wrong" in content
    missing = topology(SICK_SPEC, bare, Vitals(), ())
    lines = {node.key: node.line for node in missing.nodes}
    assert lines["volume rl_build/vm-db"] == "is not there"
    assert lines["guest db"] == "is not there, 2 CPU, 2 GiB"


def test_a_group_on_a_plain_disk_and_a_guest_with_a_file() -> None:
    disk = FileDisk(name=Label("nfs"), path="/data/web.raw", mount="/data", size=Size(GIB))
    web = replace(SPEC.guests[0], disks=(*SPEC.guests[0].disks, disk))
    wanted = spec(web)
    facts = replace(FACTS, arrays=(), groups=(replace(GROUP, pvs=("/dev/nvme0n1p2", "/dev/vdb")),))
    vitals = Vitals(
        disks=(PhysicalDisk(name="nvme0n1", model="Fast"), PhysicalDisk(name="nvme0n10"))
    )
    shown = topology(wanted, facts, vitals, ())
    assert [node.title for node in shown.of(Column.DISK)] == ["nvme0n1", "vdb"]
    pairs = {(edge.left, edge.right) for edge in shown.edges}
    assert ("group rl_build", "disk nvme0n1") in pairs
    assert ("guest web", "file /data/web.raw") in pairs
    assert b"/data/web.raw 1 GiB" in html(
        Page(spec=wanted, facts=facts, vitals=vitals, findings=())
    )


def test_a_group_on_a_partition_of_an_array() -> None:
    facts = replace(FACTS, groups=(replace(GROUP, pvs=("/dev/md0p3",)),))
    shown = topology(SPEC, facts, Vitals(), ())
    assert [node.title for node in shown.of(Column.DISK)] == ["sda", "sdb"]
    assert ("group rl_build", "array md0") in {(edge.left, edge.right) for edge in shown.edges}


HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style></title></svg>",
    "&lt;b&gt;", "'; DROP", "\x1b[2J\x00\x07", "a\u202egnp.exe", "javascript:alert(1)", "]]>",
    "<!--", "\ud800",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text(name: str) -> None:
    check_hostile(name)


@given(st.text(st.characters(), max_size=30))
def test_any_name_is_text(name: str) -> None:
    check_hostile(name)


def check_hostile(name: str) -> None:
    """Have the name wherever a name can be: the page keeps its shape."""

    def made(text: str) -> Page:
        bad = Finding(
            name="x", severity=Severity.CRITICAL, subject=f"guest {text}", what=text, why=text,
            todo=text,
        )  # fmt: skip
        facts = replace(
            FACTS,
            domains=(*FACTS.domains, domain(f"q{text}", ours=False, live_nics=())),
            arrays=(replace(ARRAY, detail=text, members=("sda",)),),
            groups=(GROUP, replace(GROUP, name=f"q{text}", pvs=())),
        )
        vitals = Vitals(disks=(PhysicalDisk(name="sda", model=text),))
        return Page(spec=SPEC, facts=facts, vitals=vitals, findings=(bad,))

    read = Reader(html(made(name)))
    assert read.shape == Reader(html(made("plain"))).shape
    for text in read.texts:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)


def test_many_guests_stand_beside_their_disks() -> None:
    many = tuple(guest(f"g{n}", data=GIB) for n in range(50))
    content = html(Page(spec=spec(*many), facts=FACTS, vitals=VITALS, findings=())).decode()
    boxes = re.findall(r'<rect x="(\d+)" y="(\d+)"', content)
    assert len(set(boxes)) == len(boxes) > 150


if __name__ == "__main__":
    GOLDEN.write_bytes(html(page()))
