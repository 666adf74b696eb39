"""The NICs of a guest in service: added, moved and taken out while it runs, and in its definition.

A NIC is known by its MAC address. Ours are those that the spec names, those that kvmkeep would
derive for this guest, and those that its domain remembers; any other one is left alone.
"""

from __future__ import annotations

from kvmkeep.model.command import Action, Command
from kvmkeep.model.domain_facts import Domain, DomainNic
from kvmkeep.model.names import guest_mac
from kvmkeep.model.plan import Note, Noun, Risk, Step
from kvmkeep.model.spec import Guest, Nic
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.domains.memory_and_cpus import runs
from kvmkeep.planning.domains.xml import moved_nic_xml, nic_xml
from kvmkeep.planning.running.waiting import let_go
from kvmkeep.planning.scene import Scene, free_ports

_POSITIONS = 64
"""So many MAC addresses of a guest are taken for ours, whatever the spec names."""


def nic_steps(scene: Scene, guest: Guest, domain: Domain) -> tuple[Step, ...]:
    """Return what gives a guest the NICs of the spec, but for moves; raises TemplateError.

    A live one is added last of all: only so many fit into the running machine.
    """
    defined, live = nics_by_mac(domain.nics), nics_by_mac(domain.live_nics)
    steps = [
        _removal(guest, domain, mac, defined.get(mac), live.get(mac))
        for mac in sorted({*defined, *live})
        if _to_go(scene, guest, domain, mac)
    ]
    fits = _fitting(guest, domain)
    for nic in guest.nics:
        lacks = ("--config",) if nic.mac not in defined else ()
        flags = (*lacks, *(("--live",) if nic in fits else ()))
        if flags:
            text = nic_xml(scene.spec, guest, scene.networks, nic)
            steps.append(_addition(guest, nic, text, flags, runs=domain.live is not None))
    return tuple(steps)


def move_steps(scene: Scene, guest: Guest, domain: Domain) -> tuple[Step, ...]:
    """Return what moves NICs of a guest to the bridges of their networks."""
    defined, live = nics_by_mac(domain.nics), nics_by_mac(domain.live_nics)
    steps: list[Step] = []
    for nic in guest.nics:
        bridge = scene.networks[nic.network].bridge
        moved = tuple(
            (found, flag)
            for found, flag in ((defined.get(nic.mac), "--config"), (live.get(nic.mac), "--live"))
            if found is not None and found.kind == "bridge" and found.bridge != bridge
        )
        if moved:
            steps.append(_move(guest, nic, bridge, moved))
    return tuple(steps)


def nic_notes(scene: Scene, guest: Guest, domain: Domain) -> tuple[Note, ...]:
    """Return which NICs are left alone, or wait for the guest's next start."""
    notes: list[Note] = []
    subject = f"guest {guest.name}"
    defined, live = nics_by_mac(domain.nics), nics_by_mac(domain.live_nics)
    wanted, fits = {nic.mac for nic in guest.nics}, _fitting(guest, domain)
    for mac, found in sorted({**live, **defined}.items()):
        if mac in wanted:
            if found.kind != "bridge":
                text = f"its NIC {mac} is not on a bridge, but of type {found.kind}: it is left so"
                notes.append(Note(subject=subject, text=text))
        elif not is_ours(scene, guest, domain, mac):
            where = f" (on {found.bridge})" if found.bridge else ""
            text = f"its NIC {mac}{where} is not in the spec, and not ours: it is left alone"
            notes.append(Note(subject=subject, text=text))
        elif mac in live and not runs(domain):
            text = f"when it is shut down and started again, it has no NIC {mac} any more"
            notes.append(Note(subject=subject, text=text, pending=True))
    if domain.live is not None:
        for nic in guest.nics:
            if nic.mac not in live and nic not in fits:
                text = (
                    f"when it is shut down and started again, it has the NIC {nic.mac} on network "
                    f"{nic.network}: the running machine has no free port for it"
                )
                notes.append(Note(subject=subject, text=text, pending=True))
    return tuple(notes)


def nics_by_mac(nics: tuple[DomainNic, ...]) -> dict[str, DomainNic]:
    """Return a domain's NICs by their MAC addresses."""
    return {nic.mac.lower(): nic for nic in nics}


def _fitting(guest: Guest, domain: Domain) -> tuple[Nic, ...]:
    """Return the NICs that the running guest lacks, as far as it has ports for them."""
    if domain.live is None:
        return ()
    live = nics_by_mac(domain.live_nics)
    missing = tuple(nic for nic in guest.nics if nic.mac not in live)
    return missing[: free_ports(domain)]


def is_ours(scene: Scene, guest: Guest, domain: Domain, mac: str) -> bool:
    """Whether a NIC was given to a guest by kvmkeep."""
    host = scene.spec.host.name
    return mac in {nic.mac for nic in domain.given} or any(
        mac == guest_mac(host, guest.identity, position) for position in range(_POSITIONS)
    )


def _to_go(scene: Scene, guest: Guest, domain: Domain, mac: str) -> bool:
    """Whether a NIC is ours and not wanted any more, and can be taken out of something now."""
    if any(nic.mac == mac for nic in guest.nics) or not is_ours(scene, guest, domain, mac):
        return False
    return mac in nics_by_mac(domain.nics) or runs(domain)


def _removal(
    guest: Guest, domain: Domain, mac: str, defined: DomainNic | None, live: DomainNic | None
) -> Step:
    actions: list[Action] = []
    if defined is not None:
        actions.append(_detach(guest, defined, "--config", "take it out of the definition"))
    if live is not None and runs(domain):
        actions.append(_detach(guest, live, "--live", "ask the running guest to let go of it"))
        actions.append(let_go(guest, f"the NIC {mac}", "NIC", f'interface/mac/@address="{mac}"'))
    found = defined or live
    where = f" on {found.bridge}" if found is not None and found.bridge else ""
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"take out its NIC {mac}{where}",
        why="the spec does not name it any more",
        probe=is_guest(guest),
        actions=tuple(actions),
        risk=Risk.GUEST,
    )


def _move(guest: Guest, nic: Nic, bridge: str, moved: tuple[tuple[DomainNic, str], ...]) -> Step:
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"move its NIC {nic.mac} from {moved[-1][0].bridge} to {bridge}",
        why=f"the spec has it on network {nic.network}",
        probe=is_guest(guest),
        actions=tuple(
            _device(guest, "update-device", moved_nic_xml(found.xml, bridge), (flag,))
            for found, flag in moved
        ),
        risk=Risk.GUEST,
    )


def _addition(guest: Guest, nic: Nic, xml: str, flags: tuple[str, ...], *, runs: bool) -> Step:
    later = runs and "--live" not in flags
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"give it the NIC {nic.mac} on network {nic.network}"
        + (", from its next start on" if later else ""),
        why="the spec says so; its addresses are set inside the guest",
        probe=is_guest(guest),
        actions=(_device(guest, "attach-device", xml, flags),),
        risk=Risk.GUEST if "--live" in flags else Risk.NONE,
    )


def _device(guest: Guest, verb: str, xml: str, flags: tuple[str, ...]) -> Command:
    places = {"--config": "definition", "--live": "running guest"}
    return Command(
        argv=("virsh", verb, "--domain", guest.name, "--file", "/dev/stdin", *flags),
        why=f"change the {' and the '.join(places[flag] for flag in flags)}",
        stdin=xml.encode(),
    )


def _detach(guest: Guest, nic: DomainNic, flag: str, why: str) -> Command:
    return Command(
        argv=(
            "virsh", "detach-interface", "--domain", guest.name, "--type", nic.kind,
            "--mac", nic.mac, flag,
        ),
        why=why,
    )  # fmt: skip
