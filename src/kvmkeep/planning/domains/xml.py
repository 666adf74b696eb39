"""A guest's domain XML: the base template with this guest's name, size, disks and networks.

Elements are those of libvirt's domain format. What a site's template says and kvmkeep does not
set is kept. The XML never names the seed: defining from it can't bring first boot back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from itertools import count

# Expat is given only text without a document type: no entity can be declared or expanded.
from xml.etree import ElementTree as ET

from msgspec.structs import replace

from kvmkeep.model.domain_facts import AGENT_CHANNEL, GivenNic
from kvmkeep.model.domain_tree import DomainTreeError, domain_tree
from kvmkeep.model.names import METADATA_URI, console_log, disk_path
from kvmkeep.model.spec import Disk, FileDisk, Guest, LvDisk, Network, Nic, Spec
from kvmkeep.model.template import (
    BRIDGE_NAME,
    NUM_CPUS,
    PLACEHOLDER,
    RAM_SIZE,
    VM_NAME,
    unknown_placeholders,
)
from kvmkeep.model.units import Label
from kvmkeep.planning.domains.born import born_element
from kvmkeep.planning.domains.firmware_choice import set_firmware
from kvmkeep.planning.domains.fixed_shape import unfit_shape
from kvmkeep.planning.domains.metadata import given_now, mark, record
from kvmkeep.planning.domains.xml_text import xml_text

BASE = """\
<domain type='kvm'>
  <name>%CHANGEME-VM-NAME%</name>
  <memory unit='KiB'>%CHANGEME-RAM-SIZE%</memory>
  <vcpu placement='static'>%CHANGEME-NUM-CPUS%</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough' check='none'/>
  <clock offset='utc'>
    <timer name='rtc' tickpolicy='catchup'/>
    <timer name='pit' tickpolicy='delay'/>
    <timer name='hpet' present='no'/>
  </clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>restart</on_crash>
  <devices>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native' discard='unmap' error_policy='stop'/>
      <source dev='/dev/null'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <source bridge='%CHANGEME-BRIDGE-NAME%'/>
      <model type='virtio'/>
    </interface>
    <memballoon model='virtio'><stats period='10'/></memballoon>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <panic model='isa'/>
  </devices>
</domain>
"""
"""The built-in base template: one host and no migration, hence the host's own CPU."""

CDROM = "sda"
"""The CD-ROM for seeds. It is SCSI: Debian's cloud kernel has no AHCI, so no SATA."""

_OTHER_PORTS = 5
"""What libvirt puts behind ports besides: SCSI, USB, serial ports, balloon, random numbers."""
_SPARE_PORTS = 8

_REPLACED_ON_DISKS = ("source", "target", "serial", "boot", "address", "alias", "driver")
_REPLACED_ON_NICS = ("mac", "source", "target", "address", "alias", "boot")


class TemplateError(ValueError):
    """The site's base template can't be used; the message is a sentence."""


def domain_xml(
    spec: Spec,
    guest: Guest,
    networks: dict[Label, Network],
    emulator: str = "",
    *,
    young: bool = False,
) -> str:
    """Return a guest's domain XML; raises TemplateError where the site's template is wrong.

    `emulator` is the path of QEMU on this host; empty keeps the template's. `young` tells that its
    first boot is before it, which gives it what the spec says.
    """
    root = _parse(_filled(spec.template or BASE, guest, networks))
    unfit = unfit_shape(root, guest)
    if unfit:
        raise TemplateError(f"the base template fixes {unfit}")
    set_firmware(root, guest)
    _set_head(root, guest, record(spec, guest, given_now(guest) if young else {}))
    if young:
        _child(root, "metadata").append(born_element(guest))
    devices = _child(root, "devices")
    if emulator:
        _child(devices, "emulator", first=True).text = emulator
    _set_disks(devices, spec.storage.vg, guest)
    _set_nics(devices, guest, networks)
    _set_console(devices, guest)
    _set_agent(devices)
    _set_ports(root, devices, guest)
    return xml_text(root) + "\n"


def disk_xml(
    spec: Spec, guest: Guest, disk: Disk, target: str, networks: dict[Label, Network]
) -> str:
    """Return a further disk's XML, as `domain_xml` makes it of the base template."""
    root = _parse(_filled(spec.template or BASE, guest, networks))
    like = _template_disk(_child(root, "devices"))
    path = disk_path(spec.storage.vg, disk)
    element = _disk(like, path, disk, target, disk_serial(guest, disk))
    return xml_text(element) + "\n"


def free_target(taken: Iterable[str]) -> str:
    """Return the first virtio target that no other disk has."""
    names = {*taken}
    return next(name for number in count() if (name := f"vd{_letters(number)}") not in names)


def nic_xml(spec: Spec, guest: Guest, networks: dict[Label, Network], nic: Nic) -> str:
    """Return the element of a NIC as the guest's domain XML would have it."""
    devices = _child(_parse(_filled(spec.template or BASE, guest, networks)), "devices")
    _set_nics(devices, replace(guest, nics=(nic,)), networks)
    element = _child(devices, "interface")
    return xml_text(element) + "\n"


def moved_nic_xml(xml: str, bridge: str) -> str:
    """Return the element of a NIC with another bridge; all else of it stays."""
    element = ET.fromstring(xml)  # noqa: S314 - a part of what libvirt made
    _child(element, "source").set("bridge", bridge)
    return ET.tostring(element, encoding="unicode").strip() + "\n"


def sha256(text: str) -> str:
    """Return the digest that observation gives for a saved XML file."""
    return hashlib.sha256(text.encode()).hexdigest()


def _filled(template: str, guest: Guest, networks: dict[Label, Network]) -> str:
    bridge = networks[guest.nics[0].network].bridge if guest.nics else ""
    values = {
        VM_NAME: guest.name,
        RAM_SIZE: str(guest.memory_max.kib),
        NUM_CPUS: str(guest.vcpus_max),
        BRIDGE_NAME: bridge,
    }
    unknown = sorted({name for _, name in unknown_placeholders(template)})
    if unknown:
        raise TemplateError(f"the base template has unknown placeholders: {', '.join(unknown)}")
    # The header comment of a template may name placeholders of its own; it isn't kept anyway.
    text = re.sub(r"<!--.*?-->", "", template, flags=re.DOTALL)
    return PLACEHOLDER.sub(lambda match: values[match[0]], text)


def _parse(text: str) -> ET.Element:
    try:
        return domain_tree(text)
    except DomainTreeError as error:
        raise TemplateError(f"the {error}") from error


def _set_head(root: ET.Element, guest: Guest, nics: tuple[GivenNic, ...]) -> None:
    _first(root, "name").text = guest.name
    _after(root, "name", "uuid").text = guest.uuid
    if guest.description:
        _after(root, "uuid", "description").text = guest.description
    _set_metadata(root, guest, nics)
    for element, size in (
        (_child(root, "memory"), guest.memory_max),
        (_after(root, "memory", "currentMemory"), guest.memory),
    ):
        element.attrib.clear()
        element.set("unit", "KiB")
        element.text = str(size.kib)
    vcpu = _child(root, "vcpu")
    vcpu.attrib.pop("current", None)
    if guest.vcpus_headroom:
        vcpu.set("current", str(guest.vcpus))
    vcpu.text = str(guest.vcpus_max)


def _set_metadata(root: ET.Element, guest: Guest, nics: tuple[GivenNic, ...]) -> None:
    before = "description" if root.find("description") is not None else "uuid"
    metadata = _after(root, before, "metadata")
    for old in metadata.findall(f"{{{METADATA_URI}}}guest"):
        metadata.remove(old)
    metadata.append(mark(guest, nics))


def _set_disks(devices: ET.Element, vg: str, guest: Guest) -> None:
    old = devices.findall("disk")
    like = _template_disk(devices)
    for disk in old:
        devices.remove(disk)
    for number, wanted in enumerate(guest.disks):
        path, serial = disk_path(vg, wanted), disk_serial(guest, wanted)
        devices.append(_disk(like, path, wanted, f"vd{_letters(number)}", serial))
    if not any(one.get("type") == "scsi" for one in devices.findall("controller")):
        ET.SubElement(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    cdrom = ET.SubElement(devices, "disk", type="file", device="cdrom")
    ET.SubElement(cdrom, "driver", name="qemu", type="raw")
    ET.SubElement(cdrom, "target", dev=CDROM, bus="scsi")
    ET.SubElement(cdrom, "readonly")


def _template_disk(devices: ET.Element) -> ET.Element | None:
    """Return the disk that all are made like.

    Only virtio_blk shows a disk's serial as /sys/block/DISK/serial, by which a guest's agent finds
    it; and what is added to a running guest must not be SATA, which libvirt plugs into none.
    """
    disks = devices.findall("disk")
    like = next((disk for disk in disks if disk.get("device", "disk") == "disk"), None)
    target = None if like is None else like.find("target")
    if target is not None:
        name, bus = target.get("dev", ""), target.get("bus", "")
        if bus != "virtio" and (bus or not name.startswith("vd")):
            raise TemplateError(
                f"the base template is for another kind of disk: its first disk is {name} on "
                f"{f'bus {bus}' if bus else 'no bus'}, and kvmkeep makes virtio disks alone"
            )
    return like


def _disk(like: ET.Element | None, path: str, wanted: Disk, target: str, serial: str) -> ET.Element:
    """Return a disk that is in all else as the template's."""
    driver = {"name": "qemu", "cache": "none", "io": "native"}
    kept: list[ET.Element] = []
    if like is not None:
        found = like.find("driver")
        driver = dict(found.attrib) if found is not None else driver
        kept = [element for element in like if element.tag not in _REPLACED_ON_DISKS]
    file = isinstance(wanted, FileDisk)
    disk = ET.Element("disk", type="file" if file else "block", device="disk")
    # Never anything but raw: a guest can write the header of another format to its disk.
    ET.SubElement(disk, "driver", {**driver, "type": "raw"})
    ET.SubElement(disk, "source", {"file" if file else "dev": path})
    ET.SubElement(disk, "target", dev=target, bus="virtio")
    ET.SubElement(disk, "serial").text = serial
    disk.extend(kept)
    return disk


def _set_nics(devices: ET.Element, guest: Guest, networks: dict[Label, Network]) -> None:
    old = devices.findall("interface")
    for interface in old:
        devices.remove(interface)
    kept = [element for element in old[0] if element.tag not in _REPLACED_ON_NICS] if old else []
    if not any(element.tag == "model" for element in kept):
        kept.append(ET.Element("model", type="virtio"))
    for nic in guest.nics:
        interface = ET.SubElement(devices, "interface", type="bridge")
        ET.SubElement(interface, "mac", address=nic.mac)
        ET.SubElement(interface, "source", bridge=networks[nic.network].bridge)
        interface.extend(kept)


def _set_console(devices: ET.Element, guest: Guest) -> None:
    serial = devices.find("serial")
    if serial is None:
        serial = ET.SubElement(devices, "serial", type="pty")
        ET.SubElement(serial, "target", type="isa-serial", port="0")
    log = serial.find("log")
    if log is None:
        log = ET.Element("log")
        serial.insert(0, log)
    log.set("file", console_log(guest.name))
    log.set("append", "on")


def _set_agent(devices: ET.Element) -> None:
    targets = devices.findall("channel/target")
    if not any(target.get("name") == AGENT_CHANNEL for target in targets):
        channel = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name=AGENT_CHANNEL)


def _set_ports(root: ET.Element, devices: ET.Element, guest: Guest) -> None:
    """Give a Q35 machine ports for devices that are added while it runs: it can't grow any.

    libvirt itself leaves just one (its pci-hotplug.html). A template that has PCI controllers
    of its own knows better.
    """
    machine = root.find("os/type")
    if machine is None or "q35" not in machine.get("machine", ""):
        return
    if any(one.get("type") == "pci" for one in devices.findall("controller")):
        return
    # libvirt takes the first PCI controller for the root, and refuses a port there.
    ET.SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
    for _ in range(len(guest.disks) + len(guest.nics) + _OTHER_PORTS + _SPARE_PORTS):
        ET.SubElement(devices, "controller", type="pci", model="pcie-root-port")


def _child(parent: ET.Element, tag: str, *, first: bool = False) -> ET.Element:
    found = parent.find(tag)
    if found is None:
        found = ET.Element(tag)
        parent.insert(0 if first else len(parent), found)
    return found


def _first(parent: ET.Element, tag: str) -> ET.Element:
    return _child(parent, tag, first=True)


def _after(parent: ET.Element, tag: str, wanted: str) -> ET.Element:
    """Return a child; where there is none, it is made behind another, if that is there."""
    found = parent.find(wanted)
    if found is None:
        found = ET.Element(wanted)
        before = next((at for at, child in enumerate(parent) if child.tag == tag), -1)
        parent.insert(before + 1, found)
    return found


def disk_serial(guest: Guest, disk: Disk) -> str:
    """Return the serial that a guest's disk is known by inside."""
    return serial_of(disk.lv if isinstance(disk, LvDisk) else f"{guest.name}-{disk.name}")


def serial_of(lv: str) -> str:
    """Return a disk's serial: the LV's name, or its beginning and a hash of it.

    virtio-blk passes on 20 bytes (VIRTIO_BLK_ID_BYTES); udev names links after them.
    """
    return lv if len(lv) <= 20 else f"{lv[:11]}-{sha256(lv)[:8]}"


def _letters(number: int) -> str:
    """Return a, b ... z, aa, ab ..., as the kernel counts disks."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text
