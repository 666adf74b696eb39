"""`kvmkeep show`: everything about one guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, to_builtins

from kvmkeep.cli.guests import checked
from kvmkeep.cli.signs import look_inside, readiness
from kvmkeep.errors import Unready, UsageError
from kvmkeep.host.clock import utc_now
from kvmkeep.model.console import has_said
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import LIBVIRT, VOLUMES

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime

    from kvmkeep.cli.context import Context
    from kvmkeep.cli.signs import Signs
    from kvmkeep.model.agent import AgentFacts, AgentFilesystem
    from kvmkeep.model.domain_facts import Domain
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.spec import Guest, Spec


class Args(Struct, frozen=True, kw_only=True):
    """Which guest."""

    guest: str


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", help="the guest's name")


def run(args: Args, ctx: Context) -> int:
    """Print what the spec wants, what libvirt and LVM have, and what the agent answers."""
    name = checked(args.guest)
    spec = ctx.spec_or_none()
    facts = ctx.observe(spec)
    guest = spec.guest(name) if spec else None
    domain = facts.domain(name)
    if guest is None and domain is None:
        if facts.unseen(LIBVIRT):
            ctx.tell_problems(facts)
            raise Unready(f"nobody knows whether there is a guest {name}: libvirt is not seen")
        raise UsageError(f"there is no guest {name}", hint="`kvmkeep list` shows the names")
    signs = None
    now = utc_now()
    if domain is not None and domain.state is DomainState.RUNNING:
        wanted = {name: guest} if guest is not None else {}
        running = {name: domain.uuid}
        said = [name for guest in wanted.values() if has_said(guest, domain)]
        signs = look_inside(ctx.door(), ctx.connect, running, wanted, now, said=said)[name]
    shown = sections(name, spec, facts, signs, now)
    ctx.tell_problems(facts)
    if ctx.json:
        told = {title.lower(): dict(pairs) for title, pairs in shown.items()}
        inside = None if signs is None else to_builtins(signs)
        ctx.print_json({"name": name, **told, "inside": inside})
    else:
        ctx.streams.result(text(name, shown))
    return 0


Pairs = list[tuple[str, str]]


def sections(
    name: str, spec: Spec | None, facts: Facts, signs: Signs | None, now: datetime
) -> dict[str, Pairs]:
    """Return titled lists of what is known of a guest; `signs` only where it runs."""
    guest = spec.guest(name) if spec else None
    domain = facts.domain(name)
    shown: dict[str, Pairs] = {}
    if guest is not None:
        shown["Spec"] = _wanted(guest)
    if domain is not None:
        shown["Domain"] = _found(domain, guest, signs)
        shown["Disks"] = [(d.target, f"{d.source or '(empty)'} ({d.bus})") for d in domain.disks]
        shown["Nics"] = [(nic.mac, nic.bridge) for nic in domain.nics]
    if spec is not None and guest is not None:
        shown["Volumes"] = _volumes(spec, guest, facts)
        shown["Boot"] = [("first boot", _first_boot(spec, guest, facts))]
    if spec is not None:
        shown["Snapshots"] = _snapshots(name, spec, facts, now)
        shown["Backup"] = _backup(guest, facts, now) if guest is not None else []
        shown["Pending"] = _pending(name, spec, facts) if guest is not None else []
    if signs is not None and signs.agent is not None:
        shown["Agent"] = _told(signs.agent)
        shown["Filesystems"] = [_filesystem(one) for one in signs.agent.filesystems]
    return {title: pairs for title, pairs in shown.items() if pairs}


def _wanted(guest: Guest) -> Pairs:
    nics = (
        f"{nic.network}: {'dhcp' if nic.dhcp else ' '.join(map(str, nic.addresses)) or 'not told'}"
        for nic in guest.nics
    )
    return [
        ("where", str(guest.place)),
        ("image", guest.image or "none: it was taken over"),
        ("size", _size(guest)),
        ("networks", "; ".join(nics)),
        ("login", guest.login.user or "-"),
        ("autostart", "yes" if guest.run.autostart else "no"),
        ("needs", " ".join((*guest.run.needs, *guest.run.mounts)) or "-"),
        ("labels", " ".join(guest.labels) or "-"),
    ]


def _size(guest: Guest) -> str:
    most = f" (up to {guest.memory_max})" if guest.memory_headroom.bytes else ""
    cpus = f" (up to {guest.vcpus_max})" if guest.vcpus_headroom else ""
    return f"{guest.vcpus} CPUs{cpus}, {guest.memory}{most}"


def _found(domain: Domain, guest: Guest | None, signs: Signs | None) -> Pairs:
    state = domain.state.value + (f" ({domain.why})" if domain.why else "")
    return [
        ("state", state),
        *([("readiness", str(readiness(guest, signs)))] if signs is not None else []),
        ("uuid", domain.uuid),
        ("ours", "yes" if domain.ours else "no: kvmkeep doesn't touch it"),
        ("size", f"{domain.vcpus} CPUs, {domain.memory}"),
        ("autostart", "yes" if domain.starts else "no"),
        ("agent", "connected" if domain.agent else "not connected"),
        ("console log", domain.serial_log or "-"),
    ]


def _volumes(spec: Spec, guest: Guest, facts: Facts) -> Pairs:
    from kvmkeep.model.units import Size

    pairs = []
    absent = "not seen" if facts.unseen(VOLUMES) else "absent"
    for disk in guest.volumes:
        volume = facts.volume(spec.storage.vg, disk.lv)
        tags = "" if volume is None else f" [{' '.join(volume.tags)}]"
        size = absent if volume is None else f"{volume.size}{tags}"
        pairs.append((f"{spec.storage.vg}/{disk.lv}", size))
    files = {file.path: file.fingerprint.size for file in facts.disk_files}
    for file in guest.files:
        mounted = file.mount in facts.mounts
        told = str(Size(files[file.path])) if file.path in files else "absent"
        pairs.append((file.path, told if mounted else f"nothing is mounted at {file.mount}"))
    return pairs + _kept(spec, guest, facts)


def _kept(spec: Spec, guest: Guest, facts: Facts) -> Pairs:
    """Return the LVs of disks that the spec has no more."""
    from kvmkeep.model.names import TAG_GUEST, TAG_OURS
    from kvmkeep.model.trash import is_trash

    wanted = {disk.lv for disk in guest.volumes}
    return [
        (one.full_name, f"{one.size}, kept: the spec does not name it")
        for one in facts.volumes
        if one.vg == spec.storage.vg
        and {TAG_OURS, TAG_GUEST + guest.name} <= {*one.tags}
        and not one.origin
        and not is_trash(one)
        and one.name not in wanted
    ]


def _snapshots(name: str, spec: Spec, facts: Facts, now: datetime) -> Pairs:
    from kvmkeep.cli.snapshot_list import reverts, trouble
    from kvmkeep.model.snapshot import snapshot_sets

    vg = spec.storage.vg
    sets = [one for one in snapshot_sets(facts.volumes, vg) if one.guest == name]
    pairs = [
        (one.name, f"{trouble(one, now)}, {one.level}, {one.size}, {one.filled_percent:.0f} % full")
        for one in sets
    ]
    lines = reverts(facts.volumes, vg, frozenset({name}))
    return pairs + [(f"revert {number}", line) for number, line in enumerate(lines, 1)]


def _backup(guest: Guest, facts: Facts, now: datetime) -> Pairs:
    """Return what the spec wants, and what this host remembers of backup and proof."""
    from kvmkeep.cli.age import backup_age, proof_age, told

    policy, known = guest.backup, facts.backups
    last, proof = known.last_of(guest.identity), known.proof_of(guest.identity, now)
    pairs = [] if policy is None else [("to", f"{policy.repository}, {policy.schedule}")]
    if last is not None:
        old = told(backup_age(guest, known, now))
        pairs.append(("last", f"{last.moment} in {last.repository}, {last.level}, {old}"))
    elif policy is not None:
        pairs.append(("last", "none"))
    if proof is not None:
        pairs.append(("proof", f"of {proof.moment}, {proof_age(guest, known, now)}"))
    return pairs


def _pending(name: str, spec: Spec, facts: Facts) -> Pairs:
    """Return what `apply` would do to the guest, or why it can't."""
    from kvmkeep.planning.plan import make_plan

    plan, subject = make_plan(spec, facts, (name,)), f"guest {name}"
    pairs = [("refused", one.reason) for one in plan.refusals if one.subject == subject]
    pairs += [("to do", step.what) for step in plan.steps if step.subject == subject]
    pairs += [("note", note.text) for note in plan.notes if note.subject == subject]
    return [(f"{number} {kind}", text) for number, (kind, text) in enumerate(pairs, 1)]


def _told(agent: AgentFacts) -> Pairs:
    pairs = [("problem", f"agent of {agent.guest} {agent.problem}")] if agent.problem else []
    pairs += [("hostname", agent.hostname)] if agent.hostname else []
    return pairs + [(nic.name, " ".join(nic.addresses)) for nic in agent.nics if nic.addresses]


BAR = 10
"""Characters of a bar that shows how full something is."""


def _filesystem(one: AgentFilesystem) -> tuple[str, str]:
    where = " ".join(disk.serial or disk.device for disk in one.disks) or one.device
    kind = f"{one.type} on {where}" if where else one.type
    if one.percent is None:
        return one.mountpoint, kind
    filled = min(BAR, round(one.percent * BAR / 100))
    bar = f"[{'#' * filled}{'.' * (BAR - filled)}]"
    return one.mountpoint, f"{bar} {one.percent:3.0f} % of {one.total}, {kind}"


def _first_boot(spec: Spec, guest: Guest, facts: Facts) -> str:
    from kvmkeep.model.names import STATE_FILLING, STATE_FRESH

    volume = facts.volume(spec.storage.vg, guest.root.lv)
    if volume is None and facts.unseen(VOLUMES):
        return "not seen"
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
