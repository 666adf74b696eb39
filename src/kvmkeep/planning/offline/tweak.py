"""The plan of `tweak`: change what is in a disk that nobody uses, from outside."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.facts import Facts
from kvmkeep.model.fittings import Fittings
from kvmkeep.model.plan import Plan, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.tweak import NewFile, Tweak
from kvmkeep.model.units import Label
from kvmkeep.planning.domains.kept_xml import kept_step
from kvmkeep.planning.domains.record import given_steps, named_steps
from kvmkeep.planning.offline.accounts import add_keys, allow_sudo, set_passwords
from kvmkeep.planning.offline.editing import Editing
from kvmkeep.planning.offline.rewriting import OfflineChange, Work, plan_for_guest, plan_for_image
from kvmkeep.planning.offline.system import (
    set_cloud_init,
    set_hostname,
    set_network,
    set_serial_console,
)
from kvmkeep.planning.scene import Scene, make_scene


def plan_tweak(
    spec: Spec, facts: Facts, change: OfflineChange, tweak: Tweak, known: Fittings | None
) -> Plan:
    """Plan the changes; `known` is the answer that lies there, perhaps to an older question."""
    fresh = known if known is not None and known.asked == change.asked else None
    work = Work(
        says="; ".join(sentences(tweak)),
        why="you asked for it",
        editing=editing_of(tweak, fresh, change.asked),
        secret=tweak.secret,
    )
    guest = spec.guest(change.name)
    if guest is not None:
        scene = make_scene(spec, facts, (guest,))
        work = replace(work, then=_remembered(scene, guest, tweak))
        return plan_for_guest(scene, guest, change, work)
    image = spec.image(Label(change.name))
    return plan_for_image(make_scene(spec, facts, ()), image, change, work)


def _remembered(scene: Scene, guest: Guest, tweak: Tweak) -> tuple[Step, ...]:
    """Return what has the guest's domain, and its kept XML, remember its addresses and its name."""
    domain = scene.own_domain(guest)
    if domain is None or not (tweak.nics or tweak.hostname):
        return ()
    steps = named_steps(guest, domain, tweak.hostname)
    if tweak.nics:
        steps = (*given_steps(scene.spec, guest, domain, tweak.nics), *steps)
    kept = kept_step(scene, guest, steps, "")
    return steps if kept is None else (*steps, kept)


def editing_of(tweak: Tweak, known: Fittings | None, stamp: str) -> Editing:
    """Return all changes as lines, or what must be known first."""
    editing = Editing(known=known, stamp=stamp)
    set_passwords(editing, tweak.passwords)
    for keys in tweak.ssh_keys:
        add_keys(editing, keys)
    for user in tweak.sudo:
        allow_sudo(editing, user)
    if tweak.hostname:
        set_hostname(editing, tweak.hostname)
    if tweak.serial_console:
        set_serial_console(editing)
    if tweak.nics:
        set_network(editing, tweak.nics)
    set_cloud_init(editing, on=tweak.cloud_init, datasources=tweak.datasources)
    for file in tweak.files:
        _put_file(editing, file, replace=tweak.replace)
    for command in tweak.commands:
        editing.do("sh", command)
    editing.finish(everything=bool(tweak.commands))
    return editing


def _put_file(editing: Editing, file: NewFile, *, replace: bool) -> None:
    account = editing.account(file.owner)
    old = editing.seen(file.path)
    editing.label_of(file.path)
    if account is None:
        return
    if old.kind == "file" and old.content != file.content and not replace:
        editing.refuse(f"{file.path} is there already in it", "replace it: add --replace")
        return
    editing.put(file.path, file.content, file.mode, (account.uid, account.gid))


def sentences(tweak: Tweak) -> tuple[str, ...]:
    """Return what is wanted, each in some words."""
    found = [f"set the password of {one.user}" for one in tweak.passwords]
    for keys in tweak.ssh_keys:
        count = len(keys.keys)
        found.append(f"have {count} SSH key{'s' * (count > 1)} open {keys.user}")
    found += [f"let {user} become root with sudo" for user in tweak.sudo]
    found += [f"name it {tweak.hostname}"] if tweak.hostname else []
    found += ["have a login and the kernel on the serial port"] if tweak.serial_console else []
    for nic in tweak.nics:
        addresses = ", ".join(str(one) for one in nic.addresses) or "DHCP"
        found.append(f"set {nic.mac} up with {addresses}")
    if tweak.cloud_init is not None:
        found.append(f"switch cloud-init {'on' if tweak.cloud_init else 'off'}")
    if tweak.datasources:
        found.append(f"have cloud-init look at {', '.join(tweak.datasources)}")
    found += [f"write {file.path}" for file in tweak.files]
    found += [f"run {command}" for command in tweak.commands]
    return tuple(found)
