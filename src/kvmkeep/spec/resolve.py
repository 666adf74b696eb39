"""Documents to the Spec: defaults filled in, references checked, names derived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from kvmkeep.model.spec import Guest, Host, Image, Network, Spec, Storage
from kvmkeep.model.units import GuestName
from kvmkeep.spec.addresses import parse_hostname
from kvmkeep.spec.backups import Backups, resolve_backups
from kvmkeep.spec.claims import Claims
from kvmkeep.spec.disks import parse_amount, resolve_storage
from kvmkeep.spec.guest_document import GuestFile, RunSection
from kvmkeep.spec.guests import guest_name, resolve_guest, stem
from kvmkeep.spec.host_document import HostFile, HostSection
from kvmkeep.spec.identity import claim_identities
from kvmkeep.spec.images import resolve_images
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.networks import resolve_networks
from kvmkeep.spec.nics import Surroundings
from kvmkeep.spec.run import check_needs
from kvmkeep.spec.source import Source
from kvmkeep.spec.sources import parse_directory


class _HostParts(Struct, frozen=True, kw_only=True):
    """What of the host file could be understood; None stands for what could not."""

    host: Host | None = None
    storage: Storage | None = None
    networks: dict[str, Network | None] | None = None
    images: dict[str, Image | None] | None = None
    xml_dir: str | None = None
    backups: Backups = Backups()


def resolve(
    host: Source[HostFile],
    guests: Sequence[Source[GuestFile]],
    *,
    directory: str,
    template: str,
    mistakes: Mistakes,
    shared: bool = False,
) -> Spec:
    """Return the Spec, or raise SpecError with all mistakes, those noted before included.

    `directory` is what relative paths are taken from; `template` is the text of the base template.
    `shared` is for `Claims`.
    """
    claims = Claims(mistakes, shared=shared)
    parts = _HostParts()
    if host.document is not None:
        parts = _host_parts(host, host.document, directory, claims)
    found = _guests(guests, parts, claims)
    mistakes.stop_if_any()
    document = _sure(host.document)
    return Spec(
        host=_sure(parts.host),
        storage=_sure(parts.storage),
        uplink=_sure(document.uplink),
        networks=tuple(_sure(network) for network in _sure(parts.networks).values()),
        images=tuple(_sure(image) for image in _sure(parts.images).values()),
        guests=tuple(sorted((_sure(guest) for guest in found), key=lambda guest: guest.name)),
        template=template,
        xml_dir=_sure(parts.xml_dir),
        repositories=tuple(map(_sure, _sure(parts.backups.repositories).values())),
    )


def _host_parts(
    source: Source[HostFile], document: HostFile, directory: str, claims: Claims
) -> _HostParts:
    host = storage = None
    if document.host is not None:
        host = _host(source, document.host)
    if document.storage is not None:
        storage = resolve_storage(source, document.storage)
    networks = resolve_networks(source, document, claims)
    images = resolve_images(source, document, directory)
    return _HostParts(
        host=host,
        storage=storage,
        networks=None if ("networks",) in source.broken else networks,
        images=None if ("images",) in source.broken else images,
        xml_dir=source.parse(("xml_dir",), parse_directory, document.xml_dir),
        backups=resolve_backups(source, document),
    )


def _host(source: Source[HostFile], section: HostSection) -> Host | None:
    name = source.parse(("host", "name"), parse_hostname, section.name)
    reserve = ("host", "reserve")
    memory = source.parse((*reserve, "memory"), parse_amount, section.reserve.memory)
    storage = source.parse((*reserve, "storage"), parse_amount, section.reserve.storage)
    if name is None or memory is None or storage is None:
        return None
    return Host(name=name, memory_reserve=memory, storage_reserve=storage)


def _guests(
    sources: Sequence[Source[GuestFile]], parts: _HostParts, claims: Claims
) -> list[Guest | None]:
    """Return the guests; None stands for each one with mistakes."""
    around = Surroundings(
        host="" if parts.host is None else parts.host.name, networks=parts.networks, claims=claims
    )
    guests: list[Guest | None] = []
    born: list[tuple[Source[GuestFile], Guest]] = []
    needs: dict[GuestName, tuple[Source[GuestFile], RunSection]] = {}
    known: set[str] = set()
    for source in sources:
        name = guest_name(source)
        twice = name in known
        known.add(name or stem(source.file))
        if name is not None:
            claims.guest(name, source.key("name"), source.file)
        if source.document is None:
            continue
        guest = resolve_guest(
            source,
            source.document,
            name,
            storage=parts.storage,
            images=parts.images,
            around=around,
            backups=parts.backups,
        )
        guests.append(guest)
        if guest is not None and not twice:
            born.append((source, guest))
        if name is not None:
            needs.setdefault(name, (source, source.document.run))
    claim_identities(born, claims)
    check_needs(needs, frozenset(known))
    return guests


Value = TypeVar("Value")


def _sure(value: Value | None) -> Value:
    """Return a value that can't be missing, since no mistake was found."""
    if value is None:
        raise AssertionError("a part of the spec is missing, and no mistake was told")
    return value
