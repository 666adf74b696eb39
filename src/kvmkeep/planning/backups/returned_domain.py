"""The definition that a lost guest comes back with: out of a repository, and held to that guest.

Others may write to a repository, so it is no text of libvirt's until it was looked through: it has
to be of this guest, with the disks of the backup, and to keep to them (`domain_parts`). What lies
elsewhere on this host than on the one that was backed up is put right: the paths of the disks, the
emulator, the firmware's variables, the bridges of its NICs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from msgspec import Struct

from kvmkeep.model.backup_manifest import DOMAIN_XML
from kvmkeep.model.domain_tree import DomainTreeError, domain_tree
from kvmkeep.model.names import (
    METADATA_URI,
    READY_URI,
    REBOOT_URI,
    RUN_URI,
    console_log,
    variables_path,
)
from kvmkeep.model.plan import Reason
from kvmkeep.model.proof import PROOF_URI
from kvmkeep.model.spec import Guest
from kvmkeep.planning.backups.fetch import Subject
from kvmkeep.planning.backups.returned_devices import (
    close_screens,
    give_nics,
    keep_own_mark,
)
from kvmkeep.planning.domains.parts import (
    foreign_in,
    foreign_part,
    is_firmware,
    read_only_loader,
)
from kvmkeep.planning.domains.xml_text import xml_text
from kvmkeep.planning.repositories.engine import driver
from kvmkeep.planning.scene import Scene

_TPM_DIR = "/var/lib/libvirt/swtpm"
"""Where it keeps the state of emulated TPMs, each guest's in a directory of its UUID."""
_CHANNELS = ("/var/lib/libvirt/qemu/channel/", "/run/libvirt/qemu/channel/")
"""Where libvirt has the sockets of channels; where none is told, it makes a name by itself."""
_EMULATOR = re.compile(r"/usr/(bin|libexec)/(qemu-system-[a-z0-9_]+|qemu-kvm|kvm)")
"""Where the distributions have QEMU; where none is told, libvirt takes this host's."""
_DRIVES = frozenset({"cdrom", "floppy"})
_OF_DISK = frozenset({"type", "device", "model", "snapshot"})
_OF_SOURCE = frozenset({"dev", "file", "index", "startupPolicy"})
_OF_LOG = frozenset({"append", "file"})
_LOOKED_AT = {"disk": "source", "serial": "log", "console": "log"}
"""Children that name something of the host, and are looked at here."""


class Returned(Struct, frozen=True, kw_only=True):
    """A definition to bring back, or why it is none. `notes` tell what is otherwise in it.

    `nvram` is where the variables of its firmware lie then; empty where it has none.
    """

    xml: str = ""
    nvram: str = ""
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()


def returned(scene: Scene, guest: Guest, subject: Subject) -> Returned:
    """Return a backup's definition as this host can have it."""
    try:
        root = domain_tree(subject.xml)
    except DomainTreeError as error:
        return Returned(reasons=((f"its {error}", _by_hand(scene, subject)),))
    # What is put right comes before what is looked at: the notes are made of what there was.
    notes = (
        *_remove_media(root),
        *give_nics(scene, guest, root),
        *close_screens(root),
        *_nvram_notes(guest, subject, root),
        *_tpm_notes(guest, root),
    )
    _forget_its_runs(root)
    keep_own_mark(guest, root)
    _let_libvirt_choose(root)
    found = [
        *_not_its_own(root, guest),
        *_beyond(root, guest),
        *_of_machine(scene, root),
        *_of_firmware(scene, guest, subject, root),
        *_of_disks(root, subject),
    ]
    if found:
        hint = _by_hand(scene, subject)
        return Returned(reasons=tuple((f"its definition {one}", hint) for one in found))
    _give_disks(scene, guest, subject, root)
    nvram = _give_firmware(guest, subject, root)
    return Returned(xml=xml_text(root) + "\n", nvram=nvram, notes=notes)


def _by_hand(scene: Scene, subject: Subject) -> str:
    """Return how to define it all the same: disks come back to a guest that is there."""
    entry, program = subject.entry, scene.facts.units.command
    words = driver(subject.repository, program).get(entry.manifest, f"{entry.path}/{DOMAIN_XML}")
    return (
        f"fetch it: {shlex.join(words)} > {entry.guest}.xml; look through it, correct it and "
        f"define it (virsh define {entry.guest}.xml), then type the same line again"
    )


def _not_its_own(root: ET.Element, guest: Guest) -> Iterator[str]:
    name, uuid = root.findtext("name", ""), root.findtext("uuid", "")
    if (name, uuid) != (guest.name, guest.uuid):
        yield f"is that of another guest, {name!a:.80} with the UUID {uuid!a:.60}"
    if root.find(f"metadata/{{{METADATA_URI}}}guest") is None:
        yield "does not wear kvmkeep's mark"
    if root.find(f"metadata/{{{PROOF_URI}}}proof") is not None:
        yield "is that of a proof"


def _beyond(root: ET.Element, guest: Guest) -> Iterator[str]:
    """Return what in it reaches for more of the host than what is looked at here."""
    part = foreign_part(root)
    if part:
        yield f"has {part}"
    for device in root.iterfind("devices/*"):
        child = _LOOKED_AT.get(device.tag, "")
        bare = ET.Element(device.tag, device.attrib)
        bare.extend(one for one in device if one.tag != child)
        part = foreign_in(bare)
        if part:
            yield f"has {part}"
        for log in device.findall("log"):
            if log.get("file") != console_log(guest.name) or log.attrib.keys() - _OF_LOG:
                yield f"has a <{device.tag}> with another log than {console_log(guest.name)}"
    for emulator in root.iterfind("devices/emulator"):
        yield f"has another <emulator> than usual, {emulator.text!a:.200}"


def _of_machine(scene: Scene, root: ET.Element) -> Iterator[str]:
    """Return what this host's QEMU lacks of it: `virsh define` tells that after all disks."""
    kind, known = root.find("os/type"), {one.arch: one.names for one in scene.facts.machines}
    if kind is None or not known or root.get("type") != "kvm":
        return
    arch, machine = kind.get("arch"), kind.get("machine")
    if arch is not None and arch not in known:
        yield f"is for the architecture {arch!a:.60}, and KVM is here for {', '.join(known)}"
    elif arch is not None and machine is not None and machine not in known[arch]:
        yield (
            f"has the machine type {machine!a:.100}, which this host's QEMU lacks (`virsh "
            "capabilities` lists what it has)"
        )


def _forget_its_runs(root: ET.Element) -> None:
    """Take out how it was to run, how often it had died, and that it was ready: it is said anew."""
    for metadata in root.iterfind("metadata"):
        for uri in (RUN_URI, READY_URI, REBOOT_URI):
            for mark in metadata.findall(f"{{{uri}}}*"):
                metadata.remove(mark)


def _let_libvirt_choose(root: ET.Element) -> None:
    """Take out what libvirt makes by itself, or this host may lack.

    That is its emulator, names of sockets, and the file that a TPM's profile was made from; its
    name, libvirt writes by itself from 10.10 on.
    """
    for devices in root.iterfind("devices"):
        for emulator in devices.findall("emulator"):
            if _EMULATOR.fullmatch(emulator.text or ""):
                devices.remove(emulator)
        for channel in devices.findall("channel[@type='unix']"):
            for source in channel.findall("source"):
                if source.get("path", _CHANNELS[0]).startswith(_CHANNELS):
                    channel.remove(source)
    for profile in root.iterfind("devices/tpm/backend/profile"):
        for key in profile.attrib.keys() - {"name"}:
            del profile.attrib[key]


def _remove_media(root: ET.Element) -> list[str]:
    """Take out what is in its drives, which is no part of a backup; return what is told of it."""
    told: list[str] = []
    for drive in root.iterfind("devices/disk"):
        for source in drive.findall("source") if drive.get("device") in _DRIVES else ():
            drive.remove(source)
            drive.set("type", "file")
            held = source.get("file") or source.get("dev") or "something else than a file"
            told.append(f"its {drive.get('device')} drive comes back empty: it held {held!a:.200}")
    return told


def _of_firmware(scene: Scene, guest: Guest, subject: Subject, root: ET.Element) -> Iterator[str]:
    for loader in root.iterfind("os/loader"):
        if read_only_loader(loader) is None:
            yield f"has a <loader> that is no firmware below /usr/share, {loader.text!a:.200}"
    for nvram in root.iterfind("os/nvram"):
        if nvram.get("format", "raw") != "raw":
            yield f"has variables of the format {nvram.get('format')!a:.60} (<nvram>)"
        if not is_firmware(nvram.get("template", "/usr/share/none")):
            yield f"has an <nvram> with the template {nvram.get('template')!a:.200}"
    has_some = bool(subject.manifest.nvram) or root.find("os/nvram") is not None
    for domain in scene.domains.values() if has_some else ():
        if domain.variables == variables_path(guest.name):
            yield f"has variables of its firmware, and those of {domain.name} lie in their place"


def _of_disks(root: ET.Element, subject: Subject) -> Iterator[str]:
    """Return what is wrong with its disks: they are those of the backup, each once, and raw."""
    left = {one.source: one.disk for one in subject.manifest.disks}
    for disk in _its_disks(root):
        source = _source(disk)
        if left.pop(source, "") == "":
            yield f"has a <disk> that is not in the backup, {source!a:.200}"
        elif _is_odd(disk):
            yield f"has {source!a:.200} otherwise than as a plain raw <disk>"
    yield from (f"lacks the disk {name} of the backup" for name in left.values())


def _is_odd(disk: ET.Element) -> bool:
    sources = disk.findall("source")
    return (
        [one.get("type") for one in disk.iterfind("driver")] != ["raw"]
        or disk.get("device", "disk") != "disk"
        or len(sources) != 1
        or bool(disk.attrib.keys() - _OF_DISK)
        or any(len(one) or one.attrib.keys() - _OF_SOURCE for one in sources)
    )


def _its_disks(root: ET.Element) -> list[ET.Element]:
    return [one for one in root.iterfind("devices/disk") if one.get("device") not in _DRIVES]


def _source(disk: ET.Element) -> str:
    source = disk.find("source")
    return "" if source is None else source.get("dev", "") or source.get("file", "")


def _give_disks(scene: Scene, guest: Guest, subject: Subject, root: ET.Element) -> None:
    """Have it name the disks as they are called here; those that the spec dropped are left out."""
    names = {one.source: one.disk for one in subject.manifest.disks}
    here = {str(disk.name): scene.path(disk) for disk in guest.volumes}
    for disk in _its_disks(root):
        path = here.get(names[_source(disk)], "")
        for devices in root.iterfind("devices") if not path else ():
            devices.remove(disk)
        for source in disk.iterfind("source") if path else ():
            disk.set("type", "block")
            source.attrib.pop("file", None)
            source.set("dev", path)


def _nvram_notes(guest: Guest, subject: Subject, root: ET.Element) -> list[str]:
    there = root.find("os/nvram")
    lay, stored = root.findtext("os/nvram", "").strip(), bool(subject.manifest.nvram)
    if there is not None and not stored:
        return ["its firmware begins with new variables: they are not in the backup"]
    path = variables_path(guest.name)
    if stored and lay not in {"", path}:
        return [f"its firmware's variables lie in {path} then; they lay in {lay!a:.200}"]
    return []


def _tpm_notes(guest: Guest, root: ET.Element) -> list[str]:
    if root.find("devices/tpm") is None:
        return []
    place = f"{_TPM_DIR}/{guest.uuid}"
    begins = f"it begins empty, unless its state still lies on this host, in {place}"
    return [f"the state of its TPM is in no backup, nor are keys of disks that it has: {begins}"]


def _give_firmware(guest: Guest, subject: Subject, root: ET.Element) -> str:
    """Have its variables lie where libvirt would put them; return the file, if it has any."""
    for system in root.iterfind("os"):
        for place, part in enumerate(system):
            loader = read_only_loader(part) if part.tag == "loader" else None
            if loader is not None:
                system[place] = loader
        old = system.find("nvram")
        if old is None and not subject.manifest.nvram:
            continue
        nvram = ET.SubElement(system, "nvram") if old is None else old
        template = nvram.get("template")
        nvram.clear()
        if template is not None:
            nvram.set("template", template)
        nvram.text = variables_path(guest.name)
        return nvram.text
    return ""
