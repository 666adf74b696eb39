"""`kvmkeep show`: everything about one guest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvmkeep.cli.guests import checked
from kvmkeep.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.agent import AgentFacts
    from kvmkeep.model.facts import Domain, Facts
    from kvmkeep.model.spec import Guest, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Which guest."""

    guest: str


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", help="the guest's name")


def run(args: Args, ctx: Context) -> int:
    """Print what the spec wants, what libvirt and LVM have, and what the agent answers."""
    name = checked(args.guest)
    spec = ctx.spec_or_none()
    facts = ctx.observe(spec, (name,))
    guest = next((g for g in spec.guests if g.name == name), None) if spec else None
    domain = facts.domain(name)
    if guest is None and domain is None:
        raise UsageError(f"there is no guest {name}", hint="`kvmkeep list` shows the names")
    shown = sections(name, spec, facts)
    if ctx.json:
        ctx.print_json({"name": name, **{t.lower(): dict(pairs) for t, pairs in shown.items()}})
    else:
        ctx.streams.result(text(name, shown))
    return 0


Pairs = list[tuple[str, str]]


def sections(name: str, spec: Spec | None, facts: Facts) -> dict[str, Pairs]:
    """Return titled lists of what is known of a guest."""
    guest = next((g for g in spec.guests if g.name == name), None) if spec else None
    domain = facts.domain(name)
    shown: dict[str, Pairs] = {}
    if guest is not None:
        shown["Spec"] = _wanted(guest)
    if domain is not None:
        shown["Domain"] = _found(domain)
        shown["Disks"] = [(d.target, f"{d.source or '(empty)'} ({d.bus})") for d in domain.disks]
        shown["Nics"] = [(nic.mac, nic.bridge) for nic in domain.nics]
    if spec is not None and guest is not None:
        shown["Volumes"] = _volumes(spec, guest, facts)
        shown["Boot"] = [("first boot", _first_boot(spec, guest, facts))]
    agent = facts.agent(name)
    if agent is not None:
        shown["Agent"] = _told(agent)
    return shown


def _wanted(guest: Guest) -> Pairs:
    nics = (
        f"{nic.network}: {'dhcp' if nic.dhcp else ' '.join(map(str, nic.addresses)) or 'not told'}"
        for nic in guest.nics
    )
    return [
        ("where", str(guest.place)),
        ("image", guest.image or "none: it was taken over"),
        ("size", f"{guest.vcpus} CPUs, {guest.memory}"),
        ("networks", "; ".join(nics)),
        ("login", guest.login.user or "-"),
        ("autostart", "yes" if guest.run.autostart else "no"),
        ("needs", " ".join(guest.run.needs) or "-"),
        ("labels", " ".join(guest.labels) or "-"),
    ]


def _found(domain: Domain) -> Pairs:
    return [
        ("state", domain.state.value),
        ("uuid", domain.uuid),
        ("ours", "yes" if domain.ours else "no: kvmkeep doesn't touch it"),
        ("size", f"{domain.vcpus} CPUs, {domain.memory}"),
        ("autostart", "yes" if domain.autostart else "no"),
        ("agent", "connected" if domain.agent else "not connected"),
        ("console log", domain.serial_log or "-"),
    ]


def _volumes(spec: Spec, guest: Guest, facts: Facts) -> Pairs:
    pairs = []
    for disk in guest.volumes:
        volume = facts.volume(spec.storage.vg, disk.lv)
        tags = "" if volume is None else f" [{' '.join(volume.tags)}]"
        size = "absent" if volume is None else f"{volume.size}{tags}"
        pairs.append((f"{spec.storage.vg}/{disk.lv}", size))
    return pairs


def _told(agent: AgentFacts) -> Pairs:
    pairs = [("problem", f"its agent {agent.problem}")] if agent.problem else []
    return pairs + [(nic.name, " ".join(nic.addresses)) for nic in agent.nics if nic.addresses]


def _first_boot(spec: Spec, guest: Guest, facts: Facts) -> str:
    from kvmkeep.model.names import STATE_FILLING, STATE_FRESH  # noqa: PLC0415

    volume = facts.volume(spec.storage.vg, guest.root.lv)
    if volume is None:
        return "not yet: there is no root volume"
    if STATE_FILLING in volume.tags:
        return "not yet: the image is not wholly written"
    if STATE_FRESH in volume.tags:
        return "not finished yet"
    seed = any(seed.guest == guest.name for seed in facts.seeds)
    return "done, but its seed still lies on the host" if seed else "done"


def text(name: str, shown: dict[str, Pairs]) -> str:
    """Return the sections for a terminal."""
    lines = [name]
    for title, pairs in shown.items():
        lines += ["", title]
        wide = max((len(key) for key, _ in pairs), default=0)
        lines += [f"  {key.ljust(wide)}  {value}" for key, value in pairs]
    return "\n".join(lines)
