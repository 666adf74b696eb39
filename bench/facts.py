"""Facts of made-up hosts: without any guest, and as the spec says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from kvmkeep.model.command import WriteFile
from kvmkeep.model.domain_facts import Domain, DomainDisk, DomainNic, DomainState
from kvmkeep.model.facts import (
    FACTS_VERSION,
    Array,
    ArrayState,
    Facts,
    SavedXml,
    Volume,
    VolumeGroup,
)
from kvmkeep.model.image_facts import Contents, Fingerprint, Header, ImageFacts, ImageFile
from kvmkeep.model.names import NM_MARK, console_log, lv_path, lv_tags, profile_uuid
from kvmkeep.model.network_facts import Link, Management, Nm, Profile
from kvmkeep.model.units import Size
from kvmkeep.planning.domains.metadata import given_now, record
from kvmkeep.planning.domains.xml import sha256
from kvmkeep.planning.plan import make_plan

if TYPE_CHECKING:
    from kvmkeep.model.spec import Guest, Network, Spec

GIB = 1 << 30


def bare_host(spec: Spec) -> Facts:
    """Return a host without any guest, and with room for all of them."""
    guests = max(1, len(spec.guests))
    return Facts(
        version=FACTS_VERSION,
        time="2026-11-23T12:00:00+00:00",
        hostname="bench",
        memory=Size(64 * GIB * guests),
        cpus=64,
        arrays=(
            Array(
                name="md0",
                level="raid1",
                state=ArrayState.CLEAN,
                members=("nvme0n1", "nvme1n1"),
                detail="2 of 2 members",
            ),
        ),
        groups=(
            VolumeGroup(
                name="rl_build",
                extent=Size(4 << 20),
                size=Size(500 * GIB * guests),
                free=Size(450 * GIB * guests),
                pvs=("/dev/md0",),
                missing_pvs=0,
            ),
        ),
        volumes=(),
        links=(link("ens802f0"), link(spec.uplink)),
        nm=Nm(
            running=True,
            profiles=(),
            device_paths=((spec.uplink, "/org/freedesktop/NetworkManager/Devices/3"),),
        ),
        management=Management(interface="ens802f0", gateway="10.0.2.2", answers=True),
        domains=(),
        libvirt="9.0.0",
        emulator="/usr/bin/qemu-system-x86_64",
        images=tuple(_image(image.name, image.source) for image in spec.images),
        seeds=(),
        saved=(),
        tools=(),
        problems=(),
    )


def link(name: str) -> Link:
    """Return a network card."""
    return Link(
        name=name,
        kind="",
        mac="52:54:00:e0:00:f1",
        up=True,
        carrier=True,
        mtu=1500,
        master="",
        parent="",
        vlan_id=-1,
        ageing_time=-1,
        stp=False,
        forward_delay=-1,
        addresses=(),
    )


def _image(name: str, path: str) -> ImageFacts:
    print_ = Fingerprint(device=64768, inode=131, size=2 * GIB, mtime_ns=1, ctime_ns=1)
    file = ImageFile(path=path, fingerprint=print_, kind="file")
    return ImageFacts(
        name=name,
        original=file,
        usable=file,
        header=Header(format="raw", virtual_size=Size(2 * GIB), refused=""),
        contents=Contents(
            os="Debian GNU/Linux 12",
            cloud_init=True,
            datasources=(),
            agent=True,
            bakes_disks=False,
            detail="",
        ),
        digest_wanted="sha256:" + "ab" * 32,
        digest_problem="",
        verified=True,
    )


def made_host(spec: Spec) -> Facts:
    """Return the host that the spec asks for, everything running; nothing is left to plan."""
    bare = bare_host(spec)
    texts = {
        action.path: action.content.decode()
        for step in make_plan(spec, bare).steps
        for action in step.all_actions
        if isinstance(action, WriteFile) and action.path.endswith(".xml")
    }
    paths = {guest.name: f"{spec.xml_dir}/{guest.name}.xml" for guest in spec.guests}
    facts = replace(
        bare,
        volumes=tuple(volume for guest in spec.guests for volume in _volumes(spec, guest)),
        links=(*bare.links, *(one for network in spec.networks for one in _links(spec, network))),
        nm=replace(
            bare.nm, profiles=tuple(one for net in spec.networks for one in _profiles(spec, net))
        ),
        domains=tuple(_domain(spec, guest, texts[paths[guest.name]]) for guest in spec.guests),
        saved=tuple(
            SavedXml(guest=name, path=path, sha256=sha256(texts[path]))
            for name, path in paths.items()
        ),
    )
    rest = make_plan(spec, facts)
    if not rest.empty:
        message = f"something is left to plan: {(rest.refusals or rest.steps)[0]}"
        raise ValueError(message)
    return facts


def _volumes(spec: Spec, guest: Guest) -> list[Volume]:
    return [
        Volume(
            vg=spec.storage.vg,
            name=disk.lv,
            size=disk.size,
            tags=lv_tags(guest.name, disk.name),
            active=True,
            opened=True,
            device="",
            attributes="-wi-ao----",
        )
        for disk in guest.volumes
    ]


def _links(spec: Spec, network: Network) -> tuple[Link, Link]:
    bridge = replace(
        link(network.bridge),
        kind="bridge",
        ageing_time=network.ageing_time,
        stp=network.stp,
        forward_delay=network.forward_delay,
    )
    vlan = replace(
        link(network.vlan_interface),
        kind="vlan",
        master=network.bridge,
        parent=spec.uplink,
        vlan_id=network.vlan,
    )
    return bridge, vlan


def _profiles(spec: Spec, network: Network) -> list[Profile]:
    kinds = {network.bridge: "bridge", network.vlan_interface: "vlan"}
    return [
        Profile(
            uuid=profile_uuid(spec.host.name, interface),
            name=interface,
            type=kind,
            interface=interface,
            device=interface,
            filename=f"/etc/NetworkManager/system-connections/{interface}.nmconnection",
            settings=(("connection.stable-id", NM_MARK),),
        )
        for interface, kind in kinds.items()
    ]


def _domain(spec: Spec, guest: Guest, xml: str) -> Domain:
    disks = tuple(
        DomainDisk(
            target=f"vd{letter}",
            bus="virtio",
            kind="disk",
            source=lv_path(spec.storage.vg, disk.lv),
            device="",
            format="raw",
        )
        for letter, disk in zip("abcdefgh", guest.volumes, strict=False)
    )
    bridges = {network.name: network.bridge for network in spec.networks}
    nics = tuple(
        DomainNic(mac=nic.mac, bridge=bridges[nic.network], model="virtio") for nic in guest.nics
    )
    return Domain(
        name=guest.name,
        uuid=guest.uuid,
        state=DomainState.RUNNING,
        persistent=True,
        autostart=guest.run.autostart,
        ours=True,
        memory=guest.memory,
        vcpus=guest.vcpus,
        disks=disks,
        nics=nics,
        agent=True,
        serial_log=console_log(guest.name),
        given=record(spec, guest, given_now(guest)),
        xml=xml,
    )
