"""A domain's XML from outside, as a tree."""

from __future__ import annotations

import xml.etree.ElementTree as ET


class DomainTreeError(ValueError):
    """What is wrong with it, in words that go on from `the` or `its`."""


def domain_tree(text: str) -> ET.Element:
    """Return the root; raises DomainTreeError for anything but one plain domain.

    libvirt never writes a document type, and entities may grow without limit.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DomainTreeError("XML has a document type or entities, which are not allowed")
    try:
        root = ET.fromstring(text)  # noqa: S314 - no document type, so no entities
    except ET.ParseError as error:
        raise DomainTreeError(f"XML can't be read: {error}") from error
    if root.tag != "domain":
        raise DomainTreeError(f"XML's root element is <{root.tag}>, not <domain>")
    return root
