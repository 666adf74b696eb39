"""What refuses a plan: all reasons at once, each with what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import GROUPS, LIBVIRT, OF_DOMAIN, VOLUMES, Facts
from kvmkeep.model.look import NO_SYSTEM
from kvmkeep.model.names import METADATA_URI, same_log
from kvmkeep.model.plan import Note, Refusal
from kvmkeep.model.spec import Disk, FirstBoot, Guest
from kvmkeep.model.trash import is_trash
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.planning.disks.grow import room_needed
from kvmkeep.planning.disks.stage import Stage, cloned_from, fresh, needs_image, needs_seed, stage
from kvmkeep.planning.domains.kept_xml import kept_domain
from kvmkeep.planning.domains.metadata import KEY
from kvmkeep.planning.images.image import ImageWork
from kvmkeep.planning.proofs.beside import HOW_TO_END, proofs_memory, proofs_text
from kvmkeep.planning.scene import Scene, active, users
from kvmkeep.planning.unnamed import unnamed


def unseen(scene: Scene) -> tuple[Refusal, ...]:
    """Refuse to plan on facts that have holes."""
    return holes(scene.facts)


def holes(facts: Facts) -> tuple[Refusal, ...]:
    """Refuse the same where there is no spec to make a scene of."""
    return tuple(
        Refusal(subject=one.what, reason=one.reason, hint=one.hint, unready=True, unseen=True)
        for one in facts.problems
    )


def blind(scene: Scene, *needed: str) -> tuple[Refusal, ...]:
    """Refuse only where what is needed can't be seen: nobody is there to mend the rest."""
    return tuple(refusal for refusal in unseen(scene) if refusal.subject in needed)


def blind_below(scene: Scene, directory: str) -> tuple[Refusal, ...]:
    """Refuse only where a directory, or something in it, can't be seen."""
    return tuple(one for one in unseen(scene) if f"{one.subject}/".startswith(f"{directory}/"))


def blind_for(scene: Scene, guests: Iterable[Guest] = ()) -> tuple[Refusal, ...]:
    """Refuse only where LVs, domains or these guests' own files can't be seen.

    A file of another guest on a dead NFS server says nothing about theirs.
    """
    files = (disk.path for guest in guests for disk in guest.files)
    needed = {GROUPS, VOLUMES, LIBVIRT, *files}
    return tuple(
        one for one in unseen(scene) if one.subject in needed or one.subject.startswith(OF_DOMAIN)
    )


def unseen_beside_files(scene: Scene, guests: Iterable[Guest] = ()) -> tuple[Refusal, ...]:
    """Refuse to plan on facts with holes, but for files of images and of all other guests."""
    own = {disk.path for guest in guests for disk in guest.files}
    files = {disk.path for guest in scene.spec.guests for disk in guest.files}
    files.update(image.source for image in scene.spec.images)
    return tuple(one for one in unseen(scene) if one.subject not in files - own)


def half_blind(scene: Scene, *needed: str) -> tuple[Note, ...]:
    """Tell what else can't be seen."""
    return tuple(
        Note(subject=one.what, text=f"it can't be seen: {one.reason} ({one.hint})")
        for one in scene.facts.problems
        if one.what not in needed
    )


def capacity(scene: Scene) -> tuple[Refusal, ...]:
    """Refuse more than what the volume group has free, without the host's reserve."""
    group = scene.group
    if group is None:
        return ()
    wanted = [
        (guest, scene.rounded(disk.size))
        for guest in scene.guests
        for disk in guest.volumes
        if stage(scene, guest, disk) is Stage.ABSENT
    ]
    growing = ((guest, room_needed(scene, guest)) for guest in scene.guests)
    wanted += [(guest, more) for guest, more in growing if more.bytes]
    needed = Size(sum(size.bytes for _, size in wanted))
    reserve = scene.spec.host.storage_reserve
    free = group.free.minus(reserve)
    if not wanted or needed.bytes <= free.bytes:
        return ()
    names = ", ".join(dict.fromkeys(guest.name for guest, _ in wanted))
    return (
        Refusal(
            subject=f"volume group {group.name}",
            reason=(
                f"the new or larger disks of {_short(names)} need {_exact(needed)}, but "
                f"{_exact(free)} may be used ({group.free} are free, "
                f"{reserve} are the host's reserve)"
            ),
            hint="make disks smaller, or extend the volume group (vgextend)" + _in_trash(scene),
        ),
    )


def promised(domains: Iterable[Domain]) -> dict[str, Size]:
    """Return the most memory that each domain can have which runs or starts with the host."""
    return {one.name: _promised(one) for one in domains if active(one) or one.starts}


def memory(scene: Scene, *, starting: Iterable[Guest]) -> tuple[Refusal, ...]:
    """Refuse to promise more memory than the host has, without its reserve.

    Promised is what runs, what starts with the host, and what is to be started now: the most that
    each can be given. A guest to which the spec promises more than before counts as a new one.
    What a proof has is not there before that is over.
    """
    started = {guest.name: guest for guest in starting}
    sizes = promised(scene.facts.domains)
    for guest in scene.guests:
        if guest.name in sizes and sizes[guest.name] < guest.memory_max:
            started[guest.name] = guest
    new = [
        name
        for name, guest in started.items()
        if not _runs(scene.domains.get(name)) or sizes[name] < guest.memory_max
    ]
    if not new:
        return ()
    for name, guest in started.items():
        sizes[name] = max(guest.memory_max, sizes.get(name, Size(0)))
    total = Size(sum(size.bytes for size in sizes.values()))
    reserve = scene.spec.host.memory_reserve
    limit = scene.facts.memory.minus(reserve)
    now = limit.minus(proofs_memory(scene.facts))
    if total.bytes <= now.bytes:
        return ()
    fits = total.bytes <= limit.bytes
    why = f"the host has {scene.facts.memory}, its reserve is {reserve}"
    return (
        Refusal(
            subject="memory",
            reason=(
                f"with {_short(', '.join(new))}, guests are promised {_exact(total)}, but "
                f"{_exact(now if fits else limit)} may be used ({why}"
                f"{f', {proofs_text(scene.facts)}' if fits else ''})"
            ),
            hint=HOW_TO_END
            if fits
            else "give guests less memory, or switch autostart off for some of them",
        ),
    )


def identities(scene: Scene) -> tuple[Refusal, ...]:
    """Refuse names, UUIDs, MAC addresses and addresses that somebody else has."""
    found: list[Refusal] = []
    own = {guest.uuid for guest in scene.spec.guests}
    # `double_refusals` tells more of these where a guest is to be made.
    lost = {f"domain {one.name}" for one in unnamed(scene)}
    macs = {
        nic.mac.lower(): f"domain {domain.name}"
        for domain in scene.facts.domains
        if domain.uuid not in own
        for nic in (*domain.nics, *domain.live_nics)
    }
    macs.update((link.mac.lower(), f"this host's {link.name}") for link in scene.facts.links)
    addresses = {
        address.partition("/")[0]: link.name
        for link in scene.facts.links
        for address in link.addresses
    }
    for guest in scene.guests:
        found.extend(_domain_refusals(scene, guest))
        found.extend(_log_refusals(scene, guest))
        subject = f"guest {guest.name}"
        for nic in guest.nics:
            if nic.mac in macs and not (macs[nic.mac] in lost and fresh(scene, guest)):
                reason = f"its MAC address {nic.mac} belongs to {macs[nic.mac]}"
                hint = "give the NIC another `mac`"
                found.append(Refusal(subject=subject, reason=reason, hint=hint))
            for address in nic.addresses:
                if str(address.ip) in addresses:
                    link = addresses[str(address.ip)]
                    reason = f"its address {address.ip} is this host's own (on {link})"
                    hint = "choose another address"
                    found.append(Refusal(subject=subject, reason=reason, hint=hint))
    return tuple(found)


def shared_disks(scene: Scene) -> tuple[Refusal, ...]:
    """Refuse where another domain has a guest's LV as well, under whatever name."""
    return tuple(
        _shared(scene, guest, disk, name)
        for guest in scene.guests
        for disk in guest.disks
        for name in users(scene, disk)
        if name != guest.name and scene.domains[name].uuid != guest.uuid
    )


def of_another_birth(scene: Scene, guest: Guest) -> Refusal | None:
    """Refuse a guest whose domain is ours and has another UUID than the spec gives to it."""
    domain = scene.domain(guest)
    if domain is None or not domain.ours or domain.uuid == guest.uuid:
        return None
    there = [one for one in scene.spec.guests if one.name in scene.domains]
    of_all = not any(scene.own_domain(one) for one in there)
    what = f"host.name ({scene.spec.host.name}) or " if of_all else ""
    return Refusal(
        subject=f"guest {guest.name}",
        reason="its domain has another UUID than the spec gives to it",
        hint=f"that comes from {what}its `identity` (its name, if it has none): put back what was "
        f"changed of it; if the domain is another guest, see `virsh dumpxml {guest.name}`, and "
        "choose another name for this one",
    )


def half_renamed(scene: Scene, guest: Guest) -> Refusal | None:
    """Refuse a guest whose domain has another name already: a renaming was stopped."""
    twin = scene.domains_by_uuid.get(guest.uuid)
    if twin is None or twin.name == guest.name or not twin.ours:
        return None
    name = shlex.quote(twin.name)
    return Refusal(
        subject=f"guest {guest.name}",
        reason=f"its domain is called {twin.name}: it was being renamed",
        hint=f"finish that: kvmkeep rename {guest.name} {name}; or name it back: "
        f"virsh domrename {name} {guest.name}",
    )


def first_boots(scene: Scene, works: dict[Label, ImageWork]) -> tuple[Refusal, ...]:
    """Refuse images that do not fit on the root disk, or that understand no seed."""
    found: list[Refusal] = []
    for guest in scene.guests:
        work = works.get(guest.image)
        if work is None or cloned_from(scene, guest):
            continue
        subject = f"guest {guest.name}"
        size, room = work.source.virtual_size, scene.lv_size(guest.root)
        if needs_image(scene, guest) and size is not None and size.bytes > room.bytes:
            reason = f"image {guest.image} is {_exact(size)}, its root disk only {_exact(room)}"
            found.append(Refusal(subject=subject, reason=reason, hint="make disks.root larger"))
        if (
            needs_seed(scene, guest)
            and guest.first_boot is FirstBoot.AUTO
            and not work.source.contents.cloud_init
        ):
            detail = work.source.contents.detail
            reason = f"image {guest.image} has no cloud-init to set the guest up"
            reason += f" ({detail})" if detail else ""
            hint = "use another image, or `first_boot: none` if it is complete in itself"
            if detail == NO_SYSTEM:
                # guestfs-tools only recommends it (its spec file on EL), and so does Debian's.
                hint += "; if it has XFS: is the package libguestfs-xfs installed?"
            found.append(Refusal(subject=subject, reason=reason, hint=hint))
    return tuple(found)


def _domain_refusals(scene: Scene, guest: Guest) -> list[Refusal]:
    subject = f"guest {guest.name}"
    domain = scene.domain(guest)
    known = of_another_birth(scene, guest) or half_renamed(scene, guest)
    if known is not None:
        return [known]
    if domain is not None and scene.own_domain(guest) is None:
        reason = "there is a domain of that name that is not ours"
        hint = f"look at `virsh dumpxml {guest.name}`; choose another name for the guest"
        if guest.adopted and not domain.ours and domain.uuid == guest.uuid:
            hint = f"take it over: kvmkeep adopt {guest.name}"
        elif not domain.ours and domain.uuid == guest.uuid:
            hint = f"it has the guest's UUID: if it only lost its mark, {_mark_again(domain)}"
        return [Refusal(subject=subject, reason=reason, hint=hint)]
    twin = scene.domains_by_uuid.get(guest.uuid)
    if twin is not None and twin.name != guest.name:
        reason = f"the domain {twin.name} has its UUID {guest.uuid}"
        old = shlex.quote(twin.name)
        hint = f"if it was renamed, name it back: virsh domrename {old} {guest.name}"
        return [Refusal(subject=subject, reason=reason, hint=hint)]
    if domain is None and guest.adopted and kept_domain(scene, guest) is None:
        reason = "libvirt does not know it any more, and it can't be made anew: it was taken over"
        saved = shlex.quote(f"{scene.spec.xml_dir}/{guest.name}.xml")
        hint = (
            f"define it again (virsh define {saved}), or let it go (kvmkeep release {guest.name})"
        )
        return [Refusal(subject=subject, reason=reason, hint=hint)]
    if domain is not None and active(domain) and stage(scene, guest, guest.root) is Stage.FILLING:
        reason = "it runs, though its root disk is not complete"
        hint = f"shut it down: kvmkeep shutdown {guest.name}"
        return [Refusal(subject=subject, reason=reason, hint=hint)]
    return []


def _log_refusals(scene: Scene, guest: Guest) -> list[Refusal]:
    """Refuse a new guest whose log would be another one's; what is there already stays."""
    if scene.domain(guest) is not None or scene.volume(guest.root) is not None:
        return []
    other = log_of_another(scene, guest.name)
    if not other:
        return []
    reason = f"its log and that of {other} would be one file"
    return [Refusal(subject=f"guest {guest.name}", reason=reason, hint="choose another name")]


def log_of_another(scene: Scene, name: GuestName) -> str:
    """Return a guest or domain whose log would be that of a guest of this name."""
    known = {*scene.every_guest, *scene.domains}
    return next((one for one in same_log(name) if one in known), "")


def _mark_again(domain: Domain) -> str:
    """Return what gives a domain the bare mark; what else belongs to it comes with `apply`."""
    live = " --live" if active(domain) else ""
    return (
        f"virsh metadata {domain.name} --uri {METADATA_URI} --key {KEY} --set '<guest/>' "
        f"--config{live}"
    )


def _shared(scene: Scene, guest: Guest, disk: Disk, other: str) -> Refusal:
    return Refusal(
        subject=f"guest {guest.name}",
        reason=f"its disk {scene.path(disk)} is also a disk of the domain {other}",
        hint=f"take it out of {other} (virsh edit {shlex.quote(other)}): two guests on one disk "
        "destroy it",
    )


def _promised(domain: Domain) -> Size:
    """Return the most memory that a domain can have, now or from its next start on."""
    return max(domain.memory, domain.defined.memory_max if domain.defined else Size(0))


def _runs(domain: Domain | None) -> bool:
    return domain is not None and active(domain)


def _exact(size: Size) -> str:
    """Return a size with its bytes: a refusal may be about a single extent."""
    return f"{size} ({size.bytes} bytes)"


def _in_trash(scene: Scene) -> str:
    """Tell of what could be had by emptying the trash."""
    total = sum(one.size.bytes for one in scene.volumes.values() if is_trash(one))
    return f"; {Size(total)} lie in the trash: kvmkeep trash list" if total else ""


def _short(names: str) -> str:
    return names if len(names) <= 100 else names[:97] + "..."
