"""A domain that others made, as a guest of a spec: what fits, what does not, what refuses it."""

from __future__ import annotations

import shlex

# Expat is given only what libvirt wrote.
from xml.etree import ElementTree as ET

from msgspec import Struct, field

from kvmkeep.model.domain_facts import AGENT_CHANNEL, Domain, DomainDisk, Shape
from kvmkeep.model.facts import Volume
from kvmkeep.model.found import FoundGuest, FoundNic
from kvmkeep.model.names import (
    TAG_DISK,
    TAG_GUEST,
    TAG_OURS,
    TAG_STATE,
    TAG_TRASH,
    lv_name,
)
from kvmkeep.model.plan import Reason
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import LEAST_MEMORY, MOST_VCPUS, ROOT_DISK, Disk, LvDisk
from kvmkeep.model.units import (
    MIB,
    GuestName,
    Size,
    check_lv_name,
    parse_guest_name,
    parse_mac,
)
from kvmkeep.planning.adoption.disks import file_disk, free_label
from kvmkeep.planning.scene import Scene, active, aliases

_NO_SHAPE = Shape(memory=Size(0), memory_max=Size(0), vcpus=0, vcpus_max=0)
_LONGEST = 1000
_OURS_TO_SAY = frozenset(
    ["name", "uuid", "description", "metadata", "memory", "currentMemory", "vcpu", "devices"]
)
_ORDINARY = frozenset(
    ["os", "features", "clock", "on_poweroff", "on_reboot", "on_crash", "pm", "resource", "cpu",
     "disk", "interface", "emulator", "controller", "input", "memballoon", "rng", "serial",
     "console", "channel", "audio", "panic"]
)  # fmt: skip
"""What nearly each domain has: not worth a remark."""


class AdoptResult(Struct):
    """A domain beside the spec. `wrong` is why it can't be taken over, each with what to do."""

    guest: FoundGuest | None = None
    wrong: list[Reason] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def find(scene: Scene, domain: Domain) -> AdoptResult:
    """Return a domain as a guest of the spec, or why it can't be one."""
    finding = AdoptResult()
    try:
        name = parse_guest_name(domain.name)
    except ValueError as error:
        old = shlex.quote(domain.name)
        hint = f"give it another name while it is off: virsh domrename {old} NAME"
        finding.wrong.append((str(error), hint))
        name = GuestName("")
    root = ET.fromstring(domain.xml)  # noqa: S314 - libvirt made it
    shape = domain.defined or _NO_SHAPE
    memory, vcpus = shape.memory, shape.vcpus
    _check_shape(finding, domain, shape)
    finding.remarks.extend(_remarks(root))
    disks = _disks(scene, name, domain, root, finding)
    nics = _nics(scene, domain, finding)
    if not finding.wrong:
        finding.guest = FoundGuest(
            name=name,
            uuid=domain.uuid,
            description=_description(root),
            vcpus=vcpus,
            memory=memory,
            disks=tuple(disks),
            nics=tuple(nics),
            autostart=domain.starts,
            ready=_ready(domain),
            agent_unseen=_agent_unseen(root, domain),
            remarks=tuple(finding.remarks),
            memory_max=shape.memory_max if memory < shape.memory_max else None,
            vcpus_max=shape.vcpus_max if vcpus < shape.vcpus_max else None,
        )
    return finding


def _check_shape(finding: AdoptResult, domain: Domain, shape: Shape) -> None:
    name = shlex.quote(domain.name)
    if not domain.persistent:
        file = shlex.quote(f"/root/{domain.name}.xml")
        hint = f"define it: virsh dumpxml {name} > {file} && virsh define {file}"
        finding.wrong.append(("it is transient: libvirt forgets it once it is off", hint))
    if shape.memory < LEAST_MEMORY:
        hint = f"give it more: virsh setmaxmem {name} 64M --config"
        finding.wrong.append((f"it has {shape.memory} of memory, a spec says {LEAST_MEMORY}", hint))
    if not 1 <= shape.vcpus_max <= MOST_VCPUS:
        finding.wrong.append((f"it has {shape.vcpus_max} CPUs", f"a spec says 1 to {MOST_VCPUS}"))


def _disks(
    scene: Scene, name: GuestName, domain: Domain, root: ET.Element, finding: AdoptResult
) -> list[Disk]:
    """Return the disks that a spec can say; the first one must be among them."""
    found: list[Disk] = []
    remarks = finding.remarks
    # Those of the running guest alone come last.
    lasting = len(root.findall("devices/disk"))
    wanted = [disk for disk in domain.disks[:lasting] if disk.kind == "disk"]
    remarks.extend(
        f"disk {disk.target}: {_source(disk)}, but only until the guest is shut down"
        for disk in domain.disks[lasting:]
        if disk.kind == "disk"
    )
    for disk in wanted:
        volume = _volume(scene, disk)
        if volume is not None and disk.format == "raw":
            problem = _unfit(domain, volume)
            if problem is not None:
                finding.wrong.append(problem)
            found.append(_lv_disk(scene, name, disk, volume, found))
        elif not found:
            vg = scene.spec.storage.vg
            reason = f"its first disk {disk.target} is not a raw LV of {vg}: {_source(disk)}"
            edit = f"virsh edit {shlex.quote(domain.name)}"
            hint = f"copy it to one (qemu-img convert -O raw) and change it: {edit}"
            finding.wrong.append((reason, hint))
            return []
        else:
            file, why = file_disk(scene, name, disk, found)
            if file is not None:
                found.append(file)
            else:
                remarks.append(
                    f"disk {disk.target}: {_source(disk)}" + (f" ({why})" if why else "")
                )
    if not wanted:
        finding.wrong.append(("it has no disk", "a guest of a spec has one, an LV"))
    remarks.extend(
        f"{disk.kind} {disk.target}: {disk.source or 'empty'}"
        for disk in domain.disks[:lasting]
        if disk.kind != "disk"
    )
    return found


def _volume(scene: Scene, disk: DomainDisk) -> Volume | None:
    """Return the LV of the spec's group that a disk is, under whichever of its names."""
    vg = scene.spec.storage.vg
    for volume in scene.volumes.values():
        names = aliases(vg, volume.name, volume.device)
        if disk.source in names or (disk.device and disk.device == volume.device):
            return volume
    return None


def _unfit(domain: Domain, volume: Volume) -> Reason | None:
    lv = volume.full_name
    look = f"look at: lvs -a -o +lv_tags,origin {lv}"
    owner = tag_value(volume, TAG_GUEST)
    if TAG_OURS in volume.tags and owner != domain.name:
        return f"its LV {lv} belongs to guest {owner}", look
    if tag_value(volume, TAG_STATE) or tag_value(volume, TAG_TRASH):
        return f"its LV {lv} is not in service: it wears {', '.join(volume.tags)}", look
    if volume.origin or volume.merging:
        return f"its LV {lv} is a snapshot, or on its way back to one", look
    if volume.size.bytes % MIB:
        return f"its LV {lv} has {volume.size.bytes} bytes, which is no whole number of MiB", look
    try:
        check_lv_name(volume.name)
    except ValueError as error:
        return f"its LV {lv}: {error}", look
    return None


def _lv_disk(
    scene: Scene, name: GuestName, disk: DomainDisk, volume: Volume, before: list[Disk]
) -> LvDisk:
    """Return a disk under the name that it has by its tag, its LV's name, or its device."""
    root_lv = next((one.lv for one in before if isinstance(one, LvDisk)), "")
    names = (
        tag_value(volume, TAG_DISK) if before else ROOT_DISK,
        volume.name.removeprefix(f"{root_lv}-") if volume.name.startswith(f"{root_lv}-") else "",
        disk.target,
    )
    label = free_label(names, before)
    named = volume.name != lv_name(scene.spec.storage.lv_prefix, name, label)
    return LvDisk(name=label, lv=volume.name, size=volume.size, named=named)


def _nics(scene: Scene, domain: Domain, finding: AdoptResult) -> list[FoundNic]:
    found: list[FoundNic] = []
    networks = {network.bridge: network.name for network in scene.spec.networks}
    for nic in domain.nics:
        network = networks.get(nic.bridge)
        if network is None:
            where = (
                f"on {nic.bridge}, which is no network of the spec" if nic.bridge else "elsewhere"
            )
            finding.remarks.append(f"NIC {nic.mac} {where}")
        else:
            try:
                found.append(FoundNic(network=network, mac=parse_mac(nic.mac)))
            except ValueError as error:
                finding.remarks.append(f"NIC on {nic.bridge}: {error}")
    return found


def _description(root: ET.Element) -> str:
    text = (root.findtext("description") or "").strip()
    return text if text.isprintable() and len(text) <= _LONGEST else ""


def _ready(domain: Domain) -> str:
    """Return how it may be told that the guest is ready; an agent that nobody saw tells nothing."""
    return "agent" if domain.agent else "delay:30"


def _agent_unseen(root: ET.Element, domain: Domain) -> bool:
    """Whether an agent may answer once the guest runs: many images have the channel alone."""
    targets = root.iterfind("devices/channel/target")
    return not active(domain) and any(target.get("name") == AGENT_CHANNEL for target in targets)


def _remarks(root: ET.Element) -> list[str]:
    """Return what else is in the XML that is not in each."""
    found: list[str] = []
    cpu = root.find("cpu")
    if cpu is not None:
        model = cpu.findtext("model") or ""
        found.append(f"cpu {cpu.get('mode', '')} {model}".strip().replace("  ", " "))
    parts = [*root, *root.iterfind("devices/*")]
    for element in parts:
        name = element.tag.rpartition("}")[2]
        if name not in _ORDINARY and name not in _OURS_TO_SAY:
            kind = element.get("type") or element.get("model") or ""
            found.append(f"{name} {kind}".strip())
    own = (one for one in root.iterfind("metadata/*") if "urn:kvmkeep" not in one.tag)
    found.extend(f"metadata {one.tag}" for one in own)
    return list(dict.fromkeys(found))


def _source(disk: DomainDisk) -> str:
    return f"{disk.format or 'unknown format'} {disk.source or 'without a file or device'}"
