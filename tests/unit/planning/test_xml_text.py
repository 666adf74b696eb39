from __future__ import annotations

from copy import deepcopy
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.planning.domains.xml_text import xml_text

CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cs"])
TEXT = st.text(st.one_of(st.sampled_from(" \t\r\n<>&\"'ab"), CHARACTERS), max_size=8)
NAME = st.sampled_from(["domain", "disk", "source", "kvmkeep:guest", "{urn:example:site}x"])
PLAIN = NAME.filter(lambda name: not name.startswith("{"))


@st.composite
def elements(draw: st.DrawFn, names: st.SearchStrategy[str], depth: int = 4) -> ET.Element:
    element = ET.Element(draw(names), draw(st.dictionaries(names, TEXT, max_size=3)))
    element.text = draw(st.none() | TEXT)
    if depth:
        for child in draw(st.lists(elements(names, depth - 1), max_size=3)):
            child.tail = draw(st.none() | TEXT)
            element.append(child)
    return element


@given(elements(PLAIN))
def test_it_is_byte_for_byte_what_elementtree_writes(tree: ET.Element) -> None:
    theirs = deepcopy(tree)
    ET.indent(theirs)
    assert xml_text(tree) == ET.tostring(theirs, encoding="unicode")


@given(elements(NAME, 2))
def test_names_in_a_namespace_are_written_by_elementtree_itself(tree: ET.Element) -> None:
    theirs = deepcopy(tree)
    ET.indent(theirs)
    assert xml_text(tree) == ET.tostring(theirs, encoding="unicode")


@pytest.mark.parametrize(
    "text",
    [
        "<a />",
        '<a b="&lt;&#10;&quot;" />',
        "<a>\n  <b> </b>\n</a>",
        '<ns0:a xmlns:ns0="urn:example">\n  <b ns0:c="1" />\n</ns0:a>',
    ],
)
def test_what_it_wrote_reads_back_as_it_was(text: str) -> None:
    assert xml_text(ET.fromstring(text)) == text  # noqa: S314 - our own
