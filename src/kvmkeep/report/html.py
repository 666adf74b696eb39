"""One page about a host: how it is, the picture of it, what is wrong, and its guests.

The page holds everything itself and asks nobody for anything: it can be mailed, printed and kept.
It is built as a tree, so that whatever stands in a name is text and never markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from msgspec import Struct

from kvmkeep.model.facts import LIBVIRT, Facts
from kvmkeep.model.health import Finding, Severity, worst
from kvmkeep.model.spec import Guest, LvDisk, Spec
from kvmkeep.model.text import one_line
from kvmkeep.model.vitals import GuestAnswer, Vitals
from kvmkeep.report.picture import picture
from kvmkeep.report.topology import topology

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""A second lock: what the browser may load is nothing (www.w3.org/TR/CSP3)."""

_STYLE = """
:root { --ink: #1d2126; --soft: #5c6670; --line: #c9cfd6;
  --critical: #b3001b; --warning: #9a5b00; --unknown: #5b3aa5; --ok: #2f6b3a; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: #fff;
  margin: 0 auto; padding: 1rem; max-width: 1640px; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.5rem; } h2 { margin: 1.6rem 0 .5rem; font-size: 1.15rem; }
h3 { margin: 0; font-size: 1rem; } p { margin: .3rem 0; } .soft { color: var(--soft); }
.status { display: inline-block; padding: .15rem .6rem; border-radius: 4px; color: #fff;
  font-weight: 700; text-transform: uppercase; }
.status.critical { background: var(--critical); } .status.warning { background: var(--warning); }
.status.unknown { background: var(--unknown); } .status.ok { background: var(--ok); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 4px; }
svg { display: block; width: 100%; min-width: 1100px; height: auto; }
svg text { font: 11.5px system-ui, sans-serif; fill: var(--ink); }
svg text.name { font-weight: 700; font-size: 12.5px; }
svg text.head { fill: var(--soft); font-weight: 700; }
svg text.sign { font-weight: 700; font-size: 12.5px; text-anchor: end; }
svg rect { fill: #fff; stroke: #7b8794; stroke-width: 1.2; }
svg .idle rect { fill: #eceff2; } svg .foreign rect { stroke-dasharray: 4 3; }
svg .critical rect { fill: #fde4e7; stroke: var(--critical); stroke-width: 3; }
svg .warning rect { fill: #fff1d6; stroke: var(--warning); stroke-width: 2; }
svg .unknown rect { fill: #ece6f8; stroke: var(--unknown); stroke-width: 2; }
svg .critical .sign { fill: var(--critical); } svg .warning .sign { fill: var(--warning); }
svg .unknown .sign { fill: var(--unknown); }
svg path { fill: none; } svg .joins { stroke: #aab3bd; }
svg .broken { stroke: var(--critical); stroke-width: 3; stroke-dasharray: 7 5; }
ol { padding: 0; margin: 0; list-style: none; }
li { border-left: 6px solid var(--line); padding: .35rem .8rem; margin: .6rem 0; }
li.critical { border-color: var(--critical); } li.warning { border-color: var(--warning); }
li.unknown { border-color: var(--unknown); } li.ok { border-color: var(--ok); }
li.critical h3 { color: var(--critical); } li:target { background: #f2f5f8; }
code { font: 13px/1.4 ui-monospace, monospace; background: #f2f5f8; padding: .1rem .3rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; }
th { color: var(--soft); } tr { border-bottom: 1px solid var(--line); }
@media (max-width: 640px) {
  table, tbody, tr, td { display: block; } thead { display: none; } tr { padding: .4rem 0; }
  td { padding: .05rem 0; } td::before { content: attr(data-head) ": "; color: var(--soft); }
}
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { padding: 0; font-size: 10pt;
    print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  svg { min-width: 0; } li, tr { break-inside: avoid; } .wide { border: 0; overflow: visible; }
}
"""

_HEADS = ("Guest", "State", "Starts with the host", "Memory", "Networks", "Disks")


class Page(Struct, frozen=True, kw_only=True):
    """What the page tells."""

    spec: Spec
    facts: Facts
    vitals: Vitals
    findings: tuple[Finding, ...]


def html(page: Page) -> bytes:
    """Return the page as UTF-8."""
    name = page.spec.host.name
    whole = worst(page.findings)
    top = ET.Element("html", lang="en")
    head = ET.SubElement(top, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    ET.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", f"{name}: {whole.value}")
    ET.SubElement(head, "style").text = _STYLE
    body = ET.SubElement(top, "body")
    _add(body, "h1", name)
    line = ET.SubElement(body, "p")
    _add(line, "span", whole.value, f"status {whole.value}")
    _add(line, "span", f" {_summary(page.findings)}")
    _add(body, "p", f"Looked at {page.facts.time}, by kvmkeep.", "soft")
    _add(body, "h2", "From the uplink to the disks")
    wide = ET.SubElement(body, "div", {"class": "wide"})
    wide.append(picture(topology(page.spec, page.facts, page.vitals, page.findings)))
    _add(
        body,
        "p",
        "Red and !! is wrong, ! is a warning, ? could not be looked at; the number is that of the "
        "finding below. A broken red line joins what should be joined and is not. Grey is off, a "
        "dashed frame is not of the spec.",
        "soft",
    )
    _findings(body, page.findings)
    _guests(body, page)
    text: str = ET.tostring(top, "unicode", method="html")
    return f"<!DOCTYPE html>\n{text}\n".encode()


def _summary(findings: Sequence[Finding]) -> str:
    counts = {one: sum(f.severity is one for f in findings) for one in Severity}
    parts = [f"{n} {one.value}" for one, n in counts.items() if n and one is not Severity.OK]
    return ", ".join(parts) or "nothing is wrong"


def _findings(body: ET.Element, findings: Sequence[Finding]) -> None:
    _add(body, "h2", "What was found")
    if not findings:
        _add(body, "p", "Nothing.")
    items = ET.SubElement(body, "ol")
    for number, one in enumerate(findings, start=1):
        kind = {"id": f"finding-{number}", "class": one.severity.value}
        item = ET.SubElement(items, "li", kind)
        _add(item, "h3", f"{number}. {one.severity.value}: {one.subject}: {one.what}")
        _add(item, "p", f"Why it matters: {one.why}.")
        todo = ET.SubElement(item, "p")
        todo.text = "What to do: "
        _add(todo, "code", one.todo)


def _guests(body: ET.Element, page: Page) -> None:
    if not page.spec.guests:
        return
    _add(body, "h2", "Guests")
    table = ET.SubElement(body, "table")
    row = ET.SubElement(ET.SubElement(table, "thead"), "tr")
    for title in _HEADS:
        _add(row, "th", title)
    rows = ET.SubElement(table, "tbody")
    inside = {one.guest: one for one in page.vitals.inside}
    for guest in page.spec.guests:
        row = ET.SubElement(rows, "tr")
        cells = _cells(guest, page.facts, inside.get(guest.name))
        for title, text in zip(_HEADS, cells, strict=True):
            _add(row, "td", text).set("data-head", title)


def _cells(guest: Guest, facts: Facts, inside: GuestAnswer | None) -> tuple[str, ...]:
    domain = facts.domain(guest.name)
    absent = "is not seen" if facts.unseen(LIBVIRT) else "is not there"
    state = domain.state.value if domain is not None else absent
    if inside is not None and inside.ready is not None:
        state += ", ready" if inside.ready else ", not ready"
    networks = []
    for nic in guest.nics:
        where = ", ".join(map(str, nic.addresses)) or ("DHCP" if nic.dhcp else nic.mac)
        networks.append(f"{nic.network} {where}")
    disks = [
        f"{disk.lv if isinstance(disk, LvDisk) else disk.path} {disk.size}" for disk in guest.disks
    ]
    starts = "yes" if guest.run.autostart else "no"
    return (
        guest.name, state, starts, str(guest.memory), "; ".join(networks), "; ".join(disks),
    )  # fmt: skip


def _add(parent: ET.Element, tag: str, text: str, kind: str = "") -> ET.Element:
    made = ET.SubElement(parent, tag, {"class": kind} if kind else {})
    made.text = one_line(text)
    return made
