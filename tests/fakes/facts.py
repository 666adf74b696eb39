"""What observation would find on the fake host, as facts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fakes.lvm import EXTENT

from kvmkeep.model.facts import (
    FACTS_VERSION,
    Array,
    ArrayState,
    Domain,
    DomainDisk,
    DomainNic,
    DomainState,
    Facts,
    Header,
    ImageFacts,
    Link,
    Management,
    Nm,
    Profile,
    SavedXml,
    SeedFile,
    Tool,
    Volume,
    VolumeGroup,
)
from kvmkeep.model.names import seed_path
from kvmkeep.model.spec import Checksum, Image, Packing, Spec
from kvmkeep.model.store import (
    fetched_path,
    list_path,
    look_path,
    unpacked_path,
    verified_memo,
    verified_path,
)
from kvmkeep.model.units import Size

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from fakes.host import FakeHost
    from fakes.virsh import FakeDomain


def facts_of(host: FakeHost, spec: Spec) -> Facts:
    lvm = host.lvm
    interface, gateway, answers = host.management
    volumes = tuple(
        Volume(
            vg=lvm.vg, name=volume.name, size=Size(volume.size), tags=tuple(sorted(volume.tags)),
            active=volume.active, opened=bool(host._open(volume.name)),
            device=volume.device if volume.active else "", attributes="-wi-a-----",
            origin=volume.origin, invalid=volume.invalid, merging=bool(volume.merging),
            merge_waits=volume.waits, filled_percent=volume.filled,
            merge_failed=volume.merge_failed,
        )
        for volume in lvm.volumes.values()
    )  # fmt: skip
    return Facts(
        version=FACTS_VERSION,
        time="2026-01-01T00:00:00Z",
        hostname="host",
        memory=Size(host.memory),
        cpus=8,
        arrays=(
            Array(
                name="md0", level="raid1", state=ArrayState.CLEAN, members=("vdb", "vdc"),
                detail="2 of 2 run",
            ),
        ),
        groups=(
            VolumeGroup(
                name=lvm.vg, extent=Size(EXTENT), size=Size(lvm.size), free=Size(lvm.free),
                pvs=("/dev/md0",), missing_pvs=0,
            ),
        ),
        volumes=volumes,
        links=tuple(
            Link(
                name=one.name, kind=one.kind, mac=one.mac, up=True, carrier=one.carrier,
                mtu=one.mtu, master=one.master, parent=one.parent, vlan_id=one.vlan_id,
                ageing_time=one.ageing_time, stp=one.stp, forward_delay=one.forward_delay,
                addresses=one.addresses, topology_change=one.topology_change,
            )
            for one in host.nm.links.values()
        ),
        nm=Nm(
            running=host.nm.running,
            profiles=tuple(
                Profile(
                    uuid=one.uuid, name=one.name, type=one.type, interface=one.interface,
                    device=one.device, filename=f"/etc/NetworkManager/{one.name}.nmconnection",
                    settings=tuple(sorted(one.settings.items())),
                )
                for one in host.nm.profiles.values()
            ),
            device_paths=tuple(
                (name, f"/org/freedesktop/NetworkManager/Devices/{number}")
                for number, name in enumerate(host.nm.links)
            ),
        ),
        management=Management(interface=interface, gateway=gateway, answers=answers),
        domains=tuple(_domain(host, one) for one in host.libvirt.domains.values()),
        libvirt="9.0.0",
        emulator="/usr/bin/qemu-system-x86_64",
        images=tuple(_image(host, image) for image in spec.images),
        seeds=tuple(
            SeedFile(guest=guest.name, path=seed_path(guest.name))
            for guest in spec.guests
            if seed_path(guest.name) in host.files
        ),
        saved=tuple(_saved(host, spec)),
        tools=tuple(
            Tool(name=name, path=path, package=f"{name}-package")
            for name, path in host.tools.items()
        ),
        problems=(),
    )  # fmt: skip


def _saved(host: FakeHost, spec: Spec) -> list[SavedXml]:
    found = []
    for guest in spec.guests:
        path = f"{spec.xml_dir}/{guest.name}.xml"
        if path in host.files:
            digest = hashlib.sha256(host.files[path].content).hexdigest()
            found.append(SavedXml(guest=guest.name, path=path, sha256=digest))
    return found


def _domain(host: FakeHost, domain: FakeDomain) -> Domain:
    xml = domain.xml
    disks = []
    for disk in xml.findall("devices/disk"):
        source, target, driver = disk.find("source"), disk.find("target"), disk.find("driver")
        path = "" if source is None else source.get("dev") or source.get("file", "")
        disks.append(
            DomainDisk(
                target=_get(target, "dev"), bus=_get(target, "bus"),
                kind=disk.get("device", "disk"), source=path, device=host.device(path),
                format=_get(driver, "type"),
            )
        )  # fmt: skip
    return Domain(
        name=domain.name,
        uuid=domain.uuid,
        state=DomainState("suspended" if domain.asleep else domain.state),
        persistent=True,
        autostart=domain.autostart,
        ours=domain.ours,
        # As libvirt tells it of a running domain: what it was started with.
        memory=Size(int((domain.live or xml).findtext("memory", "0")) * 1024),
        vcpus=int((domain.live or xml).findtext("vcpu", "1")),
        disks=tuple(disks),
        nics=tuple(
            DomainNic(
                mac=_get(one.find("mac"), "address"), bridge=_get(one.find("source"), "bridge"),
                model=_get(one.find("model"), "type"),
            )
            for one in xml.findall("devices/interface")
        ),
        agent=domain.agent and domain.live is not None,
        serial_log="",
        xml=_text(xml),
        why=domain.why if domain.paused else "",
        run=domain.run if domain.live is not None else -1,
        rebooted=domain.rebooted,
    )  # fmt: skip


def _image(host: FakeHost, image: Image) -> ImageFacts:
    original = host.look(fetched_path(image) if image.remote else image.source)
    usable = original
    if image.packing is not Packing.NONE:
        usable = host.look(unpacked_path(image, original.fingerprint)) if original else None
    behind = host.images.get(host.files[usable.path].content) if usable else None
    wanted = ""
    problem = ""
    if isinstance(image.check, Checksum):
        wanted = f"{image.check.algorithm}:{image.check.digest}"
    elif image.check is not None and list_path(image) in host.files:
        wanted = host.lists.get(host.files[list_path(image)].content, "")
        problem = "" if wanted else "the list does not name the image"
    verified = bool(original and wanted) and host.read(
        verified_path(original.fingerprint, wanted)
    ) == verified_memo(wanted)
    looked = usable is not None and look_path(usable.fingerprint) in host.files
    header = None
    if usable is not None:
        header = Header(
            format=behind.format if behind else "",
            virtual_size=Size(behind.virtual_size if behind else 0),
            refused=behind.refused if behind else "it is no image",
        )
    return ImageFacts(
        name=image.name,
        original=original,
        usable=usable,
        header=header,
        contents=behind.contents if behind is not None and looked else None,
        digest_wanted=wanted,
        digest_problem=problem,
        verified=verified,
    )


def _get(element: ET.Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")


def _text(xml: ET.Element) -> str:
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - a detail of this function

    return ET.tostring(xml, encoding="unicode")
