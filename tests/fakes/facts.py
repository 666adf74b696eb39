"""What observation would find on the fake host, as facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from fakes.lvm import EXTENT
from fakes.virsh import told, xml_text
from msgspec.structs import replace

from kvmkeep.host.libvirt import Described, State
from kvmkeep.model.agent import AgentDisk, AgentFacts, AgentFilesystem
from kvmkeep.model.backup import BackupFacts
from kvmkeep.model.domain_facts import PANICKED, Domain, DomainState
from kvmkeep.model.facts import (
    FACTS_VERSION,
    Array,
    ArrayState,
    Facts,
    SeedFile,
    Tool,
    Volume,
    VolumeGroup,
)
from kvmkeep.model.image_facts import Header, ImageFacts
from kvmkeep.model.names import seed_path
from kvmkeep.model.network_facts import Link, Management, Nm, Profile
from kvmkeep.model.proof import PROOF_URI
from kvmkeep.model.spec import Checksum, ChecksumList, Image, Packing, Spec
from kvmkeep.model.store import (
    fetched_path,
    list_path,
    look_path,
    unpacked_path,
    verified_memo,
    verified_path,
)
from kvmkeep.model.units import Size
from kvmkeep.observe.backups import observe_backups
from kvmkeep.observe.disks import disk_files, file_ways, loop_files, raw_files
from kvmkeep.observe.domains import parse_domain
from kvmkeep.observe.firmware import observe_variables
from kvmkeep.observe.host_units import observe_units
from kvmkeep.observe.kept import observe_kept
from kvmkeep.observe.network import undoing
from kvmkeep.observe.notebook import Notebook
from kvmkeep.observe.trash import observe_trash

if TYPE_CHECKING:
    from fakes.host import FakeHost
    from fakes.virsh import FakeDomain


def facts_of(host: FakeHost, spec: Spec | None) -> Facts:
    lvm = host.lvm
    images, guests = ((), ()) if spec is None else (spec.images, spec.guests)
    interface, gateway, answers = host.management
    opened = host.opened
    domains = tuple(
        _domain(host, one)
        for one in host.libvirt.domains.values()
        if one.xml.find(f"metadata/{{{PROOF_URI}}}proof") is None
    )
    there = tuple(sorted(host.mounts))
    files = () if spec is None else disk_files(Notebook(host), spec, there, raw_files(domains))
    trash = observe_trash(Notebook(host))
    volumes = tuple(
        Volume(
            vg=lvm.vg, name=volume.name, size=Size(volume.size), tags=tuple(sorted(volume.tags)),
            active=volume.active, opened=volume.name in opened,
            device=volume.device if volume.active else "", attributes="-ri-a-----" if volume.readonly else "-wi-a-----",
            origin=volume.origin, invalid=volume.invalid and volume.active,
            merging=bool(volume.merging),
            merge_waits=bool(volume.merging) and (volume.waits or not volume.active),
            filled_percent=volume.filled,
            merge_failed=volume.merge_failed, striped=volume.striped,
            extents=volume.extents if "kvmkeep.state=spare" in volume.tags else (),
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
                name=one.name, kind=one.kind, mac=one.mac, up=one.up, carrier=one.carrier,
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
                    device=one.device, filename=one.path,
                    settings=tuple(sorted({**one.settings, "connection.id": one.name}.items())),
                )
                for one in host.nm.profiles.values()
            ),
            device_paths=tuple(
                (name, f"/org/freedesktop/NetworkManager/Devices/{number}")
                for number, name in enumerate(host.nm.links)
            ),
            undoing=undoing(host),
        ),
        management=Management(
            interface=interface, gateway=gateway, answers=answers, peers=tuple(host.peers)
        ),
        domains=domains,
        libvirt="9.0.0",
        emulator="/usr/bin/qemu-system-x86_64",
        qemu_group=64055,
        images=tuple(_image(host, image) for image in images),
        images_free=host.images_free,
        seeds=tuple(
            SeedFile(guest=guest.name, path=seed_path(guest.name))
            for guest in guests
            if seed_path(guest.name) in host.files
        ),
        saved=()
        if spec is None
        else observe_kept(
            Notebook(host), spec.xml_dir, {one.name for one in domains if one.persistent}
        ),
        tools=tuple(
            Tool(name=name, path=path, package=f"{name}-package")
            for name, path in host.tools.items()
        ),
        problems=(),
        agents=tuple(
            _agent(one)
            for one in host.libvirt.domains.values()
            if one.agent and one.awake and one.mounted
        ),
        trash=trash,
        variables=observe_variables(host, domains, trash),
        mounts=there,
        disk_files=files,
        ways=() if spec is None else file_ways(Notebook(host), spec, there, files),
        loop_files=() if spec is None else loop_files(Notebook(host), spec),
        units=observe_units(Notebook(host)),
        backups=_backups(host, spec),
    )  # fmt: skip


_END = datetime.max.replace(tzinfo=UTC)  # a test may choose any time


class _Looking:
    """The host's door for what only looks."""

    def __init__(self, host: FakeHost) -> None:
        self.run = host.quietly
        self.names, self.read, self.locked = host.names, host.read, host.locked
        self.secret, self.which = host.secret, host.which


def _backups(host: FakeHost, spec: Spec | None) -> BackupFacts:
    names = () if spec is None else [one.name for one in spec.repositories]
    return observe_backups(Notebook(_Looking(host)), spec, names, host.which("kvmkeep"), _END)  # type: ignore[arg-type]


def _domain(host: FakeHost, domain: FakeDomain) -> Domain:
    """Return what our own observation makes of libvirt's XML; what is not in it is added."""
    shape = domain.live if domain.live is not None else domain.xml
    state = State(
        name=domain.name,
        uuid=domain.uuid,
        state=DomainState("suspended" if domain.asleep else domain.state),
        autostart=domain.autostart,
        persistent=not domain.transient,
        # As libvirt tells it of a running domain: what it was started with.
        memory=Size(int(shape.findtext("memory", "0")) * 1024),
        vcpus=int(shape.findtext("vcpu", "1")),
        why=domain.why if domain.paused or domain.live is None else domain.panicked * PANICKED,
        run=domain.run if domain.live is not None else -1,
        saved=domain.saved,
    )
    live = "" if domain.live is None else xml_text(domain.live)
    described = Described(state=state, xml=xml_text(told(domain.xml)), live=live)
    found = _parsed(described, _Devices(host.lvm.devices))
    agent = domain.agent and domain.live is not None
    executes = agent and domain.awake and domain.executes
    ready = domain.was_ready and domain.live is not None
    return replace(
        found, agent=agent, executes=executes, rebooted=domain.rebooted,
        was_ready=ready, ready_line=domain.ready_line if ready else "",
    )  # fmt: skip


@dataclass(frozen=True)
class _Devices:
    """The one thing that is asked of a door while XML is read."""

    there: tuple[tuple[str, str], ...]

    def device(self, path: str) -> str:
        return dict(self.there).get(path, "")


@lru_cache(maxsize=4096)
def _parsed(described: Described, devices: _Devices) -> Domain:
    """Read a domain's XML; one that was read before is known."""
    return parse_domain(described, devices)


def _agent(domain: FakeDomain) -> AgentFacts:
    return AgentFacts(
        guest=domain.name,
        filesystems=tuple(
            AgentFilesystem(
                mountpoint=point, type="ext4", device="", used=None, total=None,
                disks=(AgentDisk(serial=serial, device=""),),
            )
            for point, serial in domain.mounted.items()
        ),
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
        keyring_is_text=not wanted
        and isinstance(image.check, ChecksumList)
        and (host.read(image.check.keyring) or b"").startswith(b"-----BEGIN PGP "),
    )
