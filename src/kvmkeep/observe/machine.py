"""The whole look at the host: read-only, and never stopped by one thing that can't be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from kvmkeep.host.door import Door
from kvmkeep.model.agent import NOT_CONNECTED, AgentFacts
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.facts import FACTS_VERSION, Facts, SeedFile
from kvmkeep.model.names import SEED_DIR
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.observe.agents import observe_agents
from kvmkeep.observe.backups import observe_backups
from kvmkeep.observe.consoles import said
from kvmkeep.observe.disks import (
    disk_files,
    file_ways,
    loop_files,
    mounts,
    raw_files,
    with_disks_to_go,
    with_executing_agents,
    with_extents,
    with_stripes,
)
from kvmkeep.observe.domains import Looks, observe_domains
from kvmkeep.observe.firmware import observe_variables
from kvmkeep.observe.host_units import observe_units
from kvmkeep.observe.images import free_for, observe_images
from kvmkeep.observe.kept import observe_kept
from kvmkeep.observe.network import observe_network
from kvmkeep.observe.notebook import Notebook
from kvmkeep.observe.storage import observe_storage, settled
from kvmkeep.observe.tools import observe_tools
from kvmkeep.observe.trash import observe_trash

_MEMORY = re.compile(r"^MemTotal: *([0-9]{1,14}) kB$", re.MULTILINE)


def observe(
    door: Door,
    libvirt: Looks,
    spec: Spec | None,
    now: datetime | None = None,
    *,
    agents: Iterable[str] = (),
    others_files: bool = False,
    repositories: Iterable[str] = (),
) -> Facts:
    """Return the host as it is. `spec` names the images and the place of saved XML to look at.

    `agents` names the guests whose agents are asked too, in two seconds for all of them; so are
    those of guests with a disk that is to go. `others_files`: the raw files that are disks of
    guests beside the spec are looked at as well. `repositories` names those of the spec that are
    asked for their backups, which may take long. What can't be read is left empty and told in
    `problems`; what a repository has to tell stands with it.
    """
    notebook = Notebook(door)
    storage = observe_storage(notebook, "" if spec is None else spec.storage.vg)
    network = observe_network(notebook)
    domains = observe_domains(notebook, libvirt)
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    images = observe_images(notebook, spec.images) if spec is not None else ()
    known = {domain.name for domain in domains.domains if domain.persistent}
    saved = observe_kept(notebook, spec.xml_dir, known) if spec is not None else ()
    seeds = _seeds(notebook)
    trash = observe_trash(notebook)
    units = observe_units(notebook)
    volumes = settled(notebook, storage.volumes, domains.domains)
    volumes = with_extents(notebook, volumes)
    others = raw_files(domains.domains) if others_files else ()
    there = mounts(notebook, spec, others) if spec is not None else ()
    files = disk_files(notebook, spec, there, others) if spec is not None else ()
    ways = file_ways(notebook, spec, there, files) if spec is not None else ()
    loops = loop_files(notebook, spec) if spec is not None else ()
    guests, named = domains.domains, frozenset(agents)
    asking = named
    if spec is not None:
        volumes = with_stripes(notebook, spec, volumes)
        asking |= with_disks_to_go(spec, guests, volumes)
        guests = with_executing_agents(notebook, spec, guests, volumes, files)
    backups = observe_backups(notebook, spec, repositories, units.program, moment)
    memory = _memory(_text(notebook, "/proc/meminfo")) or domains.memory
    return Facts(
        version=FACTS_VERSION,
        time=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        hostname=_text(notebook, "/proc/sys/kernel/hostname").strip(),
        memory=memory,
        cpus=_cpus(_text(notebook, "/sys/devices/system/cpu/online").strip()),
        arrays=storage.arrays,
        guest_arrays=storage.guest_arrays,
        groups=storage.groups,
        volumes=volumes,
        links=network.links,
        nm=network.nm,
        management=network.management,
        domains=guests,
        libvirt=domains.version,
        emulator=domains.emulator,
        images=images,
        seeds=seeds,
        saved=saved,
        tools=observe_tools(door, _text(notebook, "/etc/os-release")),
        problems=notebook.problems,
        agents=asked(door, domains.domains, asking),
        said=() if spec is None else said(door, spec, domains.domains, named),
        trash=trash,
        variables=observe_variables(door, guests, trash),
        mounts=there,
        disk_files=files,
        ways=ways,
        loop_files=loops,
        units=units,
        backups=backups,
        images_free=free_for(notebook, () if spec is None else spec.images, images),
        qemu_group=domains.qemu_group,
        machines=domains.machines,
        proofs=domains.proofs,
    )


def asked(door: Door, domains: Iterable[Domain], names: frozenset[str]) -> tuple[AgentFacts, ...]:
    """Return the answers of the agents of those guests that run, without asking in vain."""
    running = [one for one in domains if one.name in names and one.state is DomainState.RUNNING]
    guests = {one.name: one.uuid for one in running if one.agent}
    agents = observe_agents(door, guests).agents if guests else ()
    silent = (AgentFacts(guest=o.name, problem=NOT_CONNECTED) for o in running if not o.agent)
    return tuple(sorted((*agents, *silent), key=lambda one: one.guest))


def _text(notebook: Notebook, path: str) -> str:
    return (notebook.read(path) or b"").decode("utf-8", "replace")


def _memory(meminfo: str) -> Size | None:
    """Return all memory that the kernel manages (proc(5): MemTotal, in KiB)."""
    found = _MEMORY.search(meminfo)
    return None if found is None else Size(int(found[1]) * 1024)


def _cpus(online: str) -> int:
    """Count a list such as `0-3,8` (the kernel's format of CPU lists)."""
    count = 0
    for part in online.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            count += (int(last) if last.isdecimal() else int(first)) - int(first) + 1
    return count


def _seeds(notebook: Notebook) -> tuple[SeedFile, ...]:
    names = (name for name in notebook.names(SEED_DIR) if name.endswith(".iso"))
    return tuple(
        SeedFile(guest=name.removesuffix(".iso"), path=f"{SEED_DIR}/{name}") for name in names
    )
