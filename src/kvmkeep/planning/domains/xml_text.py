"""XML as text, indented: what ElementTree's `indent` and `tostring` give, in a third of the time.

A plan for many guests spends much of its time here. ElementTree walks a tree three times: to
indent it, to collect the names, to write it. One walk does where no name is in a namespace.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

_IN_DATA = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))
_IN_ATTRIBUTES = (
    *_IN_DATA,
    ('"', "&quot;"),
    # XML 1.0, 3.3.3: a reader takes these for a space, unless they are written as numbers.
    ("\r", "&#13;"),
    ("\n", "&#10;"),
    ("\t", "&#09;"),
)
_STEP = "  "


def xml_text(root: ET.Element) -> str:
    """Return an element as text, indented by two spaces; the tree may be changed by it."""
    parts: list[str] = []
    if _write(root, "\n", parts):
        return "".join(parts)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _write(element: ET.Element, indent: str, parts: list[str]) -> bool:
    """Append an element; False where its name or an attribute's is in a namespace."""
    tag, text = element.tag, element.text
    if tag[0] == "{":
        return False
    start = f"<{tag}"
    for key, value in element.items():
        if key[0] == "{":
            return False
        start += f' {key}="{_escaped(value, _IN_ATTRIBUTES)}"'
    if len(element):
        deeper = indent + _STEP
        parts.append(f"{start}>{_kept(text) or deeper}")
        last = len(element) - 1
        for place, child in enumerate(element):
            if not _write(child, deeper, parts):
                return False
            parts.append(_kept(child.tail) or (deeper if place < last else indent))
        parts.append(f"</{tag}>")
    elif text:
        parts.append(f"{start}>{_escaped(text, _IN_DATA)}</{tag}>")
    else:
        parts.append(f"{start} />")
    return True


def _kept(text: str | None) -> str:
    """Return text between elements; empty where it is only there to look well."""
    return _escaped(text, _IN_DATA) if text and not text.isspace() else ""


def _escaped(text: str, marks: tuple[tuple[str, str], ...]) -> str:
    if text.isalnum():
        return text
    for mark, instead in marks:
        if mark in text:
            text = text.replace(mark, instead)
    return text
