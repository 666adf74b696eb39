"""A topology drawn as SVG, for a page that holds everything itself."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from msgspec import Struct

from kvmkeep.model.health import Severity
from kvmkeep.model.text import one_line
from kvmkeep.report.topology import Column, Edge, Node, Topology

_WIDTH, _HEIGHT = 164, 40
"""Of a box, in the picture's own units; letters are about 6.5 of them wide."""
_ACROSS, _DOWN = 200, 50
_MARGIN, _HEAD = 12, 30
_SCREEN = 14
"""Rows that are seen at once: with many guests, all else is not far from the top."""
_TITLE_LETTERS, _LINE_LETTERS = 18, 25
_SIGNS = {Severity.CRITICAL: "!!", Severity.WARNING: "!", Severity.UNKNOWN: "?", Severity.OK: ""}
"""What is wrong can be told without colours: on paper, and by eyes that see no red."""

_HEADS = ("Uplink", "VLANs", "Bridges", "Guests", "Disks of guests", "Group", "Array", "Disks")


class _Spot(Struct, frozen=True, kw_only=True):
    """Where a box stands: its upper left corner."""

    x: int
    y: int


def picture(seen: Topology) -> ET.Element:
    """Return the picture; boxes that have findings are links to them (`#finding-1`)."""
    spots = _spots(seen)
    height = max(spot.y for spot in spots.values()) + _HEIGHT + _MARGIN
    width = 2 * _MARGIN + (len(Column) - 1) * _ACROSS + _WIDTH
    svg = ET.Element(
        "svg", viewBox=f"0 0 {width} {height}", role="img", xmlns="http://www.w3.org/2000/svg"
    )
    _text(svg, "title", "From the uplink over bridges and guests to the disks")
    for column, head in zip(Column, _HEADS, strict=True):
        _text(svg, "text", head, x=_MARGIN + column * _ACROSS, y=_HEAD - 12, **{"class": "head"})
    # What is broken is drawn last, above the others.
    for edge in sorted(seen.edges, key=lambda one: one.broken):
        _line(svg, edge, spots)
    for node in seen.nodes:
        _box(svg, node, spots[node.key])
    return svg


def _spots(seen: Topology) -> dict[str, _Spot]:
    """Have guests stand beside their disks, and spread the other columns over the first screen."""
    rows = _rows(seen)
    tall = max([1, *rows.values()]) + 1
    high = min(tall, _SCREEN) * _DOWN
    found = {key: row * _DOWN for key, row in rows.items()}
    for column in Column:
        nodes = [node for node in seen.of(column) if node.key not in found]
        if column in {Column.GUEST, Column.VOLUME}:
            # Those without a guest stand below all others.
            below = {node.key: (tall + i) * _DOWN for i, node in enumerate(nodes)}
            found |= below
            continue
        step = max(_DOWN, high // max(1, len(nodes)))
        first = (step - _DOWN) // 2
        found |= {node.key: first + i * step for i, node in enumerate(nodes)}
    return {
        node.key: _Spot(x=_MARGIN + node.column * _ACROSS, y=_HEAD + found[node.key])
        for node in seen.nodes
    }


def _rows(seen: Topology) -> dict[str, int]:
    """Return a row for each guest, and for its disks from that one on."""
    disks: dict[str, list[str]] = {}
    volumes = {node.key for node in seen.of(Column.VOLUME)}
    for edge in seen.edges:
        if edge.right in volumes:
            disks.setdefault(edge.left, []).append(edge.right)
    rows: dict[str, int] = {}
    row = 0
    for guest in seen.of(Column.GUEST):
        own = [disk for disk in disks.get(guest.key, []) if disk not in rows]
        rows[guest.key] = row
        rows |= {disk: row + i for i, disk in enumerate(own)}
        row += max(1, len(own))
    return rows


def _line(svg: ET.Element, edge: Edge, spots: dict[str, _Spot]) -> None:
    left, right = spots[edge.left], spots[edge.right]
    x1, y1 = left.x + _WIDTH, left.y + _HEIGHT // 2
    x2, y2 = right.x, right.y + _HEIGHT // 2
    middle = (x1 + x2) // 2
    path = f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"
    ET.SubElement(svg, "path", {"d": path, "class": "broken" if edge.broken else "joins"})


def _box(svg: ET.Element, node: Node, spot: _Spot) -> None:
    parent = svg
    if node.numbers:
        parent = ET.SubElement(svg, "a", href=f"#finding-{node.numbers[0]}")
    kinds = [node.severity.value, *(["foreign"] if node.foreign else [])]
    kinds += ["idle"] if node.idle else []
    group = ET.SubElement(parent, "g", {"class": " ".join(kinds)})
    see = f"; findings: {_listed(node.numbers)}" if node.numbers else ""
    _text(group, "title", f"{node.title}: {node.line}{see}")
    size = {"width": str(_WIDTH), "height": str(_HEIGHT), "rx": "4"}
    ET.SubElement(group, "rect", {"x": str(spot.x), "y": str(spot.y), **size})
    x = spot.x + 7
    sign = f"{_SIGNS[node.severity]} {node.numbers[0]}" if _SIGNS[node.severity] else ""
    room = _TITLE_LETTERS - len(sign)
    _text(group, "text", _cut(node.title, room), x=x, y=spot.y + 17, **{"class": "name"})
    _text(group, "text", _cut(node.line, _LINE_LETTERS), x=x, y=spot.y + 32)
    if sign:
        right = spot.x + _WIDTH - 6
        _text(group, "text", sign, x=right, y=spot.y + 17, **{"class": "sign"})


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _text(parent: ET.Element, tag: str, text: str, **attributes: object) -> None:
    made = ET.SubElement(parent, tag, {key: str(value) for key, value in attributes.items()})
    made.text = one_line(text)
