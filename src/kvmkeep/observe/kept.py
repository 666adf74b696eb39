"""The XML files that are kept of guests: their checksums, and what they hold where it matters."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from xml.etree import ElementTree as ET

from kvmkeep.host.libvirt import Described, State
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.domain_tree import domain_tree
from kvmkeep.model.facts import SavedXml
from kvmkeep.model.store import part_path
from kvmkeep.model.units import Size
from kvmkeep.observe.domains import parse_domain
from kvmkeep.observe.notebook import Notebook

_LIMIT = 16 << 20


def observe_kept(
    notebook: Notebook, directory: str, known: Collection[str]
) -> tuple[SavedXml, ...]:
    """Return the kept files; those of domains that libvirt has not defined are read.

    `known` are the names of those that it has.
    """
    found: list[SavedXml] = []
    names = notebook.names(directory)
    for name in names:
        path, guest = f"{directory}/{name}", name.removesuffix(".xml")
        content = notebook.read(path, _LIMIT) if name.endswith(".xml") else None
        if content is not None:
            domain = None if guest in known else _domain(notebook, content)
            digest = hashlib.sha256(content).hexdigest()
            torn = part_path(name) in names
            found.append(SavedXml(guest=guest, path=path, sha256=digest, domain=domain, torn=torn))
    return tuple(found)


def _domain(notebook: Notebook, content: bytes) -> Domain | None:
    """Return what a file would define, or None where it is not libvirt's own XML of a domain."""
    try:
        text = content.decode()
        root = domain_tree(text)
        state = State(
            name=root.findtext("name", ""),
            uuid=root.findtext("uuid", ""),
            state=DomainState.SHUTOFF,
            autostart=False,
            persistent=False,
            vcpus=int(root.findtext("vcpu", "")),
            memory=_kib(root.find("memory")),
        )
        return parse_domain(Described(state=state, xml=text, live=""), notebook.door, root)
    except ValueError:
        return None


def _kib(memory: ET.Element | None) -> Size:
    """Return a size; libvirt prints KiB always, so another unit is not its own XML."""
    if memory is None or memory.get("unit", "KiB") != "KiB":
        raise ValueError("no memory in KiB")
    return Size(int(memory.text or "") * 1024)
