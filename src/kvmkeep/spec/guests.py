"""One guest file to one guest."""

from __future__ import annotations

import json
import posixpath
import re

from kvmkeep.model.names import guest_uuid
from kvmkeep.model.spec import LEAST_MEMORY, Disk, FirstBoot, Guest, Image, Place, Storage
from kvmkeep.model.text import printable
from kvmkeep.model.units import GuestName, Label, Size, parse_guest_name, parse_label, parse_size
from kvmkeep.spec.addresses import parse_hostname
from kvmkeep.spec.backups import Backups, resolve_backup
from kvmkeep.spec.disks import parse_amount, resolve_disks
from kvmkeep.spec.guest_document import GuestFile
from kvmkeep.spec.login import NO_LOGIN, resolve_login
from kvmkeep.spec.nics import Surroundings, resolve_nics
from kvmkeep.spec.run import resolve_run
from kvmkeep.spec.source import Source

_LONGEST_DESCRIPTION = 1000
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_LISTS = {
    "packages": "[vim]",
    "runcmd": '["touch /srv/x"]',
    "users": "[{name: bob}]",
    "write_files": "[{path: /srv/x, content: hello}]",
}
"""What cloud-init would take in other forms as well, with an example of a list."""


def guest_name(source: Source[GuestFile]) -> GuestName | None:
    """Return the guest's name: given in the file, or else that of the file."""
    document = source.document
    if document is not None and document.name is not None:
        return source.parse(("name",), parse_guest_name, document.name)
    if ("name",) in source.broken:
        return None
    try:
        return parse_guest_name(stem(source.file))
    except ValueError as error:
        text = str(error).removesuffix(")")
        source.wrong((), f"{text}; rename the file, or add name)")
        return None


def stem(file: str) -> str:
    """Return the name of a file without its directory and ending."""
    return posixpath.splitext(posixpath.basename(file))[0]


def resolve_guest(
    source: Source[GuestFile],
    document: GuestFile,
    name: GuestName | None,
    *,
    storage: Storage | None,
    images: dict[str, Image | None] | None,
    around: Surroundings,
    backups: Backups,
) -> Guest | None:
    """Return the guest, or None after noting what is wrong with it."""
    identity = source.parse(("identity",), parse_guest_name, document.identity) or name
    image = _image(source, document, images)
    uuid = source.parse(("uuid",), _parse_uuid, document.uuid)
    parse_memory = _parse_exact_memory if document.adopted else _parse_memory
    memory = source.parse(("memory",), parse_memory, document.memory)
    memory_max = source.parse(("memory_max",), parse_memory, document.memory_max)
    _check_headroom(source, document, memory, memory_max)
    disks: tuple[Disk, ...] = ()
    if document.disks is not None:
        disks = resolve_disks(source, name, document.disks, storage, around.claims)
    nics = resolve_nics(source, name, identity, document.nics, around)
    login = None
    if document.login is not None:
        login = resolve_login(source, document.login)
    run = resolve_run(source, document.run, static=any(nic.addresses for nic in nics))
    backup = resolve_backup(source, document, backups)
    hostname = source.parse(("hostname",), parse_hostname, document.hostname)
    description = source.parse(("description",), _parse_description, document.description)
    labels = [
        source.parse(("labels", position), parse_label, text)
        for position, text in enumerate(document.labels)
    ]
    if document.adopted:
        _check_adopted(source, document)
    else:
        _check_first_boot(source, document)
    if name is None or identity is None:
        return None
    if image is None or document.vcpus is None or memory is None:
        return None
    return Guest(
        name=name,
        identity=identity,
        uuid=uuid or guest_uuid(around.host, identity),
        hostname=hostname or name,
        description=description or "",
        image=image,
        vcpus=document.vcpus,
        memory=memory,
        disks=disks,
        nics=nics,
        login=login or NO_LOGIN,
        run=run,
        first_boot=FirstBoot.NONE if document.adopted else document.first_boot,
        user_data=_canonical(document.user_data),
        labels=tuple(label for label in labels if label is not None),
        place=Place(file=source.file, line=1, column=1),
        autostart_place=source.key("run", "autostart"),
        adopted=document.adopted,
        protect=document.protect,
        memory_headroom=(memory_max or memory).minus(memory),
        vcpus_headroom=max((document.vcpus_max or 0) - document.vcpus, 0),
        backup=backup,
        firmware=document.firmware,
    )


def _image(
    source: Source[GuestFile], document: GuestFile, images: dict[str, Image | None] | None
) -> Label | None:
    if document.adopted:
        return Label("")
    if not source.has("image"):
        source.mistakes.add(source.place(), "image is missing (such as image: rocky9)")
    label = source.parse(("image",), parse_label, document.image)
    if label is not None and images is not None and label not in images:
        known = ", ".join(images) or "none"
        source.wrong(
            ("image",), f"there is no image {printable(label)} in host.yaml (known: {known})"
        )
    return label


def _parse_uuid(text: str) -> str:
    """Accept a UUID in the form that libvirt shows; letter case doesn't matter."""
    if _UUID.fullmatch(text) is None or not text.strip("0-"):
        raise ValueError(
            f"{printable(text)} is not a UUID (such as 2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01)"
        )
    return text.lower()


def _parse_memory(text: str) -> Size:
    return _enough_memory(parse_amount(text))


def _parse_exact_memory(text: str) -> Size:
    """Accept any number of KiB, libvirt's unit: whoever made the guest may have chosen it."""
    size = parse_size(text)
    if size.bytes % 1024:
        raise ValueError(f"{printable(text)} is not a whole number of KiB")
    return _enough_memory(size)


def _enough_memory(size: Size) -> Size:
    if size < LEAST_MEMORY:
        raise ValueError(f"{size} is too little for a guest (at least {LEAST_MEMORY})")
    return size


def _parse_description(text: str) -> str:
    """Accept text that a terminal and an XML file can hold."""
    if not all(line.isprintable() for line in text.split("\n")):
        raise ValueError("control characters can't stand in a description")
    if len(text) > _LONGEST_DESCRIPTION:
        raise ValueError(f"longer than {_LONGEST_DESCRIPTION} characters")
    return text.strip()


def _check_headroom(
    source: Source[GuestFile], document: GuestFile, memory: Size | None, memory_max: Size | None
) -> None:
    """Note maxima that are less than what they are to be more than."""
    if memory is not None and memory_max is not None and memory_max < memory:
        source.wrong(("memory_max",), f"it is less than memory ({memory})")
    vcpus, vcpus_max = document.vcpus, document.vcpus_max
    if vcpus is not None and vcpus_max is not None and vcpus_max < vcpus:
        source.wrong(("vcpus_max",), f"it is less than vcpus ({vcpus})")


def _check_first_boot(source: Source[GuestFile], document: GuestFile) -> None:
    """Note a login that is missing, or settings that would never reach the guest."""
    if document.first_boot is not FirstBoot.NONE:
        if not source.has("login") and ("first_boot",) not in source.broken:
            source.wrong(
                (),
                "login is missing: nobody could log in "
                "(such as login: {user: admin, ssh_keys: [...]}, or first_boot: none)",
            )
        _check_lists(source, document.user_data or {})
        return
    for field in ("login", "hostname", "user_data"):
        if source.has(field):
            source.wrong_key((field,), f"{field} has no effect with first_boot: none (remove it)")


def _check_lists(source: Source[GuestFile], user_data: dict[str, object]) -> None:
    """Note what is added to a list of ours and is none: it would be dropped without a word."""
    for key, example in _LISTS.items():
        if not isinstance(user_data.get(key, []), list | None):
            source.wrong(
                ("user_data", key),
                f"a list is wanted, which is added to ours (such as {key}: {example})",
            )


def _check_adopted(source: Source[GuestFile], document: GuestFile) -> None:
    """Note what a guest lacks that can't be derived, or has that would never reach it."""
    if not source.has("uuid"):
        source.mistakes.add(source.place(), "uuid is missing (virsh domuuid tells it)")
    for position in range(len(document.nics)):
        if document.nics[position] is not None and not source.has("nics", position, "mac"):
            where = source.place("nics", position)
            source.mistakes.add(where, "mac is missing (virsh domiflist tells it)")
    for field in ("image", "login", "first_boot", "hostname", "firmware", "user_data"):
        if source.has(field):
            source.wrong_key((field,), f"{field} has no effect on an adopted guest (remove it)")


def _canonical(user_data: dict[str, object] | None) -> str:
    """Return JSON that is the same for the same content, or nothing."""
    if not user_data:
        return ""
    return json.dumps(user_data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
