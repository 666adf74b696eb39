"""The images of the host file."""

from __future__ import annotations

from functools import partial

from kvmkeep.model.spec import Algorithm, Checksum, ChecksumList, Image
from kvmkeep.model.units import Label
from kvmkeep.spec.host_document import ChecksumsSection, HostFile, ImageSection
from kvmkeep.spec.source import Path, Source
from kvmkeep.spec.sources import (
    parse_digest,
    parse_path,
    parse_place,
    parse_rate,
    parse_url,
    told_by_name,
)


def resolve_images(
    source: Source[HostFile], host: HostFile, directory: str
) -> dict[str, Image | None]:
    """Return the images by the names they were given; None stands for a wrong one."""
    images: dict[str, Image | None] = {}
    for name, section in host.images.items():
        path: Path = ("images", name)
        label = source.label(path)
        images[name] = None
        if section is not None:
            images[name] = _image(source, path, label, section, directory)
    return images


def _image(
    source: Source[HostFile],
    path: Path,
    label: Label | None,
    section: ImageSection,
    directory: str,
) -> Image | None:
    where = _origin(source, path, section, directory)
    check = _check(source, path, section, directory)
    rate = source.parse((*path, "write_rate"), parse_rate, section.write_rate)
    if where is None or label is None:
        return None
    told, packing = told_by_name(where)
    form = section.format or told
    if form is None:
        if (*path, "format") not in source.broken:
            field = "file" if section.file else "url"
            source.wrong(
                (*path, field),
                "the name's ending tells no format (add format: raw or format: qcow2)",
            )
        return None
    return Image(
        name=label,
        source=where,
        format=form,
        packing=packing if section.compression is None else section.compression,
        check=check,
        write_rate=rate or 0,
        place=source.key(*path),
    )


def _origin(
    source: Source[HostFile], path: Path, section: ImageSection, directory: str
) -> str | None:
    """Return the absolute path or URL of an image."""
    given = [field for field in ("file", "url") if source.has(*path, field)]
    if len(given) != 1:
        source.wrong_key(path, "an image needs either file or url, and not both")
        return None
    if section.url is not None:
        return source.parse((*path, "url"), parse_url, section.url)
    return source.parse((*path, "file"), partial(parse_path, directory=directory), section.file)


def _check(
    source: Source[HostFile], path: Path, section: ImageSection, directory: str
) -> Checksum | ChecksumList | None:
    """Return how the file is checked; a file from the network must be."""
    given = [field for field in ("sha256", "sha512", "checksums") if source.has(*path, field)]
    if len(given) > 1:
        source.wrong_key(path, f"one of {' and '.join(given)} is enough (remove the other)")
        return None
    if not given and section.url is not None:
        source.wrong_key(
            path, "an image from a URL needs a checksum (add sha256, sha512 or checksums)"
        )
    if section.checksums is not None:
        return _list(source, (*path, "checksums"), section.checksums, directory)
    for algorithm, text in ((Algorithm.SHA256, section.sha256), (Algorithm.SHA512, section.sha512)):
        if text is not None:
            return source.parse((*path, str(algorithm)), partial(parse_digest, algorithm), text)
    return None


def _list(
    source: Source[HostFile], path: Path, section: ChecksumsSection, directory: str
) -> ChecksumList | None:
    place = partial(parse_place, directory=directory)
    where = source.parse((*path, "source"), place, section.source)
    signature: str | None = section.signature
    if signature not in {"", "inline"}:
        signature = source.parse((*path, "signature"), place, section.signature)
    keyring: str | None = section.keyring
    if keyring:
        keyring = source.parse(
            (*path, "keyring"), partial(parse_path, directory=directory), section.keyring
        )
    if bool(section.signature) != bool(section.keyring):
        source.wrong_key(path, "signature and keyring need each other (add the missing one)")
    if where is None or signature is None or keyring is None:
        return None
    return ChecksumList(source=where, signature=signature, keyring=keyring)
