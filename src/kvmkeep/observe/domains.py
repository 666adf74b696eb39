"""Domains: libvirt's XML as facts (https://libvirt.org/formatdomain.html)."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Protocol
from xml.etree import ElementTree as ET

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.host.door import Door
from kvmkeep.host.libvirt import Described, Hypervisor
from kvmkeep.model.domain_facts import (
    AGENT_CHANNEL,
    Born,
    Domain,
    DomainDisk,
    DomainNic,
    GivenNic,
    Shape,
)
from kvmkeep.model.facts import LIBVIRT, OF_DOMAIN, Machines
from kvmkeep.model.names import BORN_URI, METADATA_URI, READY_URI, REBOOT_URI, RUN_URI
from kvmkeep.model.proof import PROOF_URI, RunningProof
from kvmkeep.model.run_mark import NO_RUN_MARK, RunMark
from kvmkeep.model.units import Size
from kvmkeep.observe.capabilities import capabilities
from kvmkeep.observe.firmware import firmware_variables
from kvmkeep.observe.notebook import Notebook

_MARK = f"metadata/{{{METADATA_URI}}}guest"
_PROOF = f"metadata/{{{PROOF_URI}}}proof"


class Looks(Protocol):
    """A libvirt that can be asked once for everything."""

    def look(self) -> Hypervisor:
        """Return what libvirt knows of the host and of all domains; raises Unready."""


class Domains(Struct, frozen=True, kw_only=True):
    """What libvirt tells. `memory` is the host's.

    Domains that were started from a backup, to prove it, are not among `domains`, but `proofs`:
    they are nobody's guests. `qemu_group` and `machines` are those of `Capabilities`.
    """

    version: str
    emulator: str
    memory: Size
    domains: tuple[Domain, ...]
    qemu_group: int = -1
    machines: tuple[Machines, ...] = ()
    proofs: tuple[RunningProof, ...] = ()


_NONE = Domains(version="", emulator="", memory=Size(0), domains=())


def observe_domains(notebook: Notebook, libvirt: Looks) -> Domains:
    """Return what libvirt tells, or nothing where it can't be asked."""
    found = notebook.ask(LIBVIRT, lambda _: libvirt.look(), None)
    if found is None:
        return _NONE
    domains: list[Domain] = []
    proofs: list[RunningProof] = []
    for described in found.domains:
        try:
            domain = _guest(described, notebook.door)
        except ET.ParseError as error:
            reason = f"its XML can't be read: {error}"
            name = described.state.name
            hint = f"look at: virsh dumpxml {shlex.quote(name)}"
            notebook.note(f"{OF_DOMAIN}{name}", reason, hint)
        else:
            if isinstance(domain, RunningProof):
                proofs.append(domain)
            else:
                domains.append(domain)
    host = capabilities(found.capabilities)
    return Domains(
        version=found.version,
        emulator=host.emulator,
        memory=found.memory,
        domains=tuple(domains),
        qemu_group=host.qemu_group,
        machines=host.machines,
        proofs=tuple(proofs),
    )


def _guest(described: Described, door: Door) -> Domain | RunningProof:
    """Return a domain's facts, or what is known of one that proves a backup; raises ET.ParseError.

    A proof is gone once it does not run: libvirt keeps no definition of it.
    """
    root = ET.fromstring(described.xml)  # noqa: S314 - libvirt made it
    proof = root.find(_PROOF)
    if proof is None:
        return parse_domain(described, door, root)
    return RunningProof(guest=proof.get("guest", ""), memory=described.state.memory)


def parse_domain(described: Described, door: Door, tree: ET.Element | None = None) -> Domain:
    """Return a domain's facts; raises ET.ParseError. `tree` is its XML, if it was read already."""
    state = described.state
    root = ET.fromstring(described.xml) if tree is None else tree  # noqa: S314 - libvirt made it
    live = ET.fromstring(described.live) if described.live else None  # noqa: S314
    ready = None if live is None else live.find(f"metadata/{{{READY_URI}}}ready")
    kind = root.find("os/type") if root.get("type") == "kvm" else None
    disks = _merged(_disks(root, door), () if live is None else _disks(live, door))
    return Domain(
        name=state.name,
        uuid=state.uuid,
        state=state.state,
        persistent=state.persistent,
        autostart=state.autostart,
        run_mark=run_mark(root),
        variables=firmware_variables(root),
        ours=root.find(_MARK) is not None,
        memory=state.memory,
        vcpus=state.vcpus,
        disks=tuple(disks),
        nics=_nics(root),
        agent=live is not None and _agent_connected(live),
        serial_log=_serial_log(root),
        xml=described.xml,
        why=state.why,
        run=state.run,
        saved=state.saved,
        rebooted="" if live is None else _rebooted(live),
        defined=_shape(root),
        live=None if live is None else _shape(live),
        live_nics=() if live is None else _nics(live),
        ports=-1 if live is None else _ports(live),
        description=root.findtext("description", ""),
        labels=tuple(label.text or "" for label in root.iterfind(f"{_MARK}/{{*}}label")),
        was_ready=ready is not None,
        ready_line="" if ready is None else ready.get("line", ""),
        given=tuple(_given(nic) for nic in root.iterfind(f"{_MARK}/{{*}}nic")),
        born=_born(root),
        arch="" if kind is None else kind.get("arch", ""),
        machine="" if kind is None else kind.get("machine", ""),
        files=_files(root),
        live_files=() if live is None else _files(live),
    )


def _merged(defined: Sequence[DomainDisk], live: Sequence[DomainDisk]) -> list[DomainDisk]:
    """Return each disk once; one may have been added to the running guest only, or taken out."""
    # One that is only cached otherwise is the same.
    running = {replace(disk, cache=""): disk.cache for disk in live}
    alike = {replace(disk, cache="") for disk in defined}
    here = [
        replace(disk, attached=same in running, live_cache=running.get(same, ""))
        for disk in defined
        for same in (replace(disk, cache=""),)
    ]
    return here + [
        replace(disk, defined=False, cache="", live_cache=disk.cache)
        for disk in live
        if disk.source and replace(disk, cache="") not in alike
    ]


def _shape(root: ET.Element) -> Shape | None:
    """Return memory and CPUs; libvirt prints memory in KiB always."""
    vcpu = root.find("vcpu")
    most = root.findtext("memory", "")
    balloon = root.find("devices/memballoon")
    try:
        return Shape(
            memory=Size(int(root.findtext("currentMemory", most)) * 1024),
            memory_max=Size(int(most) * 1024),
            vcpus=int("" if vcpu is None else vcpu.get("current") or vcpu.text or ""),
            vcpus_max=int("" if vcpu is None else vcpu.text or ""),
            balloon=balloon is None or balloon.get("model") != "none",
        )
    except ValueError:
        return None


def _nics(root: ET.Element) -> tuple[DomainNic, ...]:
    return tuple(_nic(nic) for nic in root.iterfind("devices/interface"))


def _ports(live: ET.Element) -> int:
    """Count the free ports of a Q35 machine: each takes one device that is added."""
    ports = {
        int(one.get("index", "-1"))
        for one in live.iterfind("devices/controller")
        if one.get("model") == "pcie-root-port"
    }
    addresses = live.iterfind("devices/*/address")
    taken = {int(one.get("bus", "0"), 16) for one in addresses if one.get("type") == "pci"}
    return len(ports - taken) if ports else -1


def run_mark(root: ET.Element) -> RunMark:
    """Return what is kept of how it is to run; what can't be read is taken for missing."""
    mark = root.find(f"metadata/{{{RUN_URI}}}run")
    if mark is None:
        return NO_RUN_MARK
    return RunMark(
        starts=mark.get("starts") == "yes",
        wanted={"on": True, "off": False}.get(mark.get("wanted", "")),
        restarts=_count(mark, "restarts"),
        last=mark.get("last", ""),
        tries=_count(mark, "tries"),
        held=mark.get("held") == "yes",
    )


def _count(mark: ET.Element, name: str) -> int:
    text = mark.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def _given(nic: ET.Element) -> GivenNic:
    settings = (pair for pair in sorted(nic.attrib.items()) if pair[0] != "mac")
    return GivenNic(mac=nic.get("mac", ""), settings=tuple(settings))


def _born(root: ET.Element) -> Born | None:
    mark = root.find(f"metadata/{{{BORN_URI}}}born")
    if mark is None:
        return None
    return Born(
        image=mark.get("image", ""),
        hostname=mark.get("hostname", ""),
        login=mark.get("login", ""),
        user_data=mark.get("user-data", ""),
    )


def _files(root: ET.Element) -> tuple[str, ...]:
    return tuple(disk.get("file", "") for disk in root.iterfind(f"{_MARK}/{{*}}disk"))


def _disks(root: ET.Element, door: Door) -> list[DomainDisk]:
    found: list[DomainDisk] = []
    for disk in root.iterfind("devices/disk"):
        source = _source(disk.find("source"))
        found.append(
            DomainDisk(
                target=_get(disk, "target", "dev"),
                bus=_get(disk, "target", "bus"),
                kind=disk.get("device", "disk"),
                source=source,
                device=door.device(source) if source.startswith("/") else "",
                format=_get(disk, "driver", "type"),
                serial=disk.findtext("serial", ""),
                cache=_get(disk, "driver", "cache"),
            )
        )
    return found


def _source(source: ET.Element | None) -> str:
    if source is None:
        return ""
    if source.get("pool"):
        return f"{source.get('pool')}/{source.get('volume', '')}"
    words = (source.get(name, "") for name in ("dev", "file", "dir", "name"))
    return next((word for word in words if word), "")


def _nic(nic: ET.Element) -> DomainNic:
    return DomainNic(
        mac=_get(nic, "mac", "address"),
        bridge=_get(nic, "source", "bridge"),
        model=_get(nic, "model", "type"),
        kind=nic.get("type", ""),
        tap=_get(nic, "target", "dev"),
        xml=ET.tostring(nic, encoding="unicode").strip(),
    )


def _agent_connected(live: ET.Element) -> bool:
    return any(
        target.get("name") == AGENT_CHANNEL and target.get("state") == "connected"
        for target in live.iterfind("devices/channel/target")
    )


def _rebooted(live: ET.Element) -> str:
    mark = live.find(f"metadata/{{{REBOOT_URI}}}rebooted")
    return "" if mark is None else mark.get("asked", "")


def _serial_log(root: ET.Element) -> str:
    for place in ("devices/serial/log", "devices/console/log"):
        log = root.find(place)
        if log is not None:
            return log.get("file", "")
    return ""


def _get(parent: ET.Element, child: str, name: str) -> str:
    element = parent.find(child)
    return "" if element is None else element.get(name, "")
