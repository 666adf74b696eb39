"""What `adopt` is about: which guests and networks others made, and what the spec lacks of them."""

from __future__ import annotations

import shlex

from msgspec import Struct, field

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Facts
from kvmkeep.model.found import Found, FoundGuest, SpecChange
from kvmkeep.model.network_facts import Profile
from kvmkeep.model.plan import Note, Reason, Refusal, refused
from kvmkeep.model.spec import Network, Spec
from kvmkeep.model.units import GuestName, Label
from kvmkeep.planning.adoption.domain import find
from kvmkeep.planning.adoption.drift import differences, settings
from kvmkeep.planning.networks.profiles import own_profile
from kvmkeep.planning.scene import Scene, make_scene

_HARMLESS = {
    "ipv4.method": {"", "disabled", "manual"},
    "ipv6.method": {"", "disabled", "ignore", "manual"},
}
"""With these, `connection.stable-id` has no effect: nm-settings-nmcli(5)."""


class AdoptRequest(Struct, frozen=True, kw_only=True):
    """Which guests and networks, by name. Without any, all that are not in the spec yet."""

    guests: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    @property
    def all(self) -> bool:
        """Whether nothing was named."""
        return not self.guests and not self.networks


def taking(spec: Spec, facts: Facts, wish: AdoptRequest) -> Found:
    """Return what is to be taken over.

    What was named and can't be is refused; of the rest it is only told why it is left alone.
    """
    scene = make_scene(spec, facts, ())
    telling = _Telling()
    guests = _guests(scene, wish, telling)
    used = {nic.network for guest in guests.values() for nic in guest.nics}
    named = _named_networks(scene, wish, telling)
    networks: list[Label] = []
    for network in spec.networks:
        asked = network.name in used or network in named
        if wish.all or asked:
            wrong = _unfit(scene, network)
            telling.tell(f"network {network.name}", wrong, asked=asked)
            if not wrong and unmarked(scene, network):
                networks.append(network.name)
    known = {name: scene.every_guest[name] for name in guests if name in scene.every_guest}
    changed = {
        name: differences(guest, guests[name], scene.rounded) for name, guest in known.items()
    }
    settings_of = {network.name: _settings(scene, network) for network in named}
    return Found(
        guests=tuple(guests),
        networks=tuple(networks),
        new=tuple(one for name, one in guests.items() if name not in known),
        changed={name: changes for name, changes in changed.items() if changes},
        settings={name: changes for name, changes in settings_of.items() if changes},
        refusals=tuple(telling.refusals),
        notes=tuple(telling.notes),
    )


class _Telling(Struct):
    """What is told of things that can't be taken over, or not wholly."""

    refusals: list[Refusal] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def tell(self, subject: str, wrong: list[Reason], *, asked: bool) -> None:
        if asked:
            self.refusals.extend(refused(subject, wrong))
        else:
            self.notes.extend(
                Note(subject=subject, text=f"left alone: {r} ({h})") for r, h in wrong
            )


def _guests(scene: Scene, wish: AdoptRequest, telling: _Telling) -> dict[GuestName, FoundGuest]:
    found: dict[GuestName, FoundGuest] = {}
    for name in dict.fromkeys(wish.guests):
        if name not in scene.domains:
            wrong = [("libvirt has no domain of that name", "`kvmkeep list` shows all domains")]
            telling.tell(f"guest {name}", wrong, asked=True)
    for domain in _domains(scene, wish):
        subject = f"guest {domain.name}"
        finding = find(scene, domain)
        wrong = [*_clash(scene, domain), *finding.wrong]
        telling.tell(subject, wrong, asked=bool(wish.guests))
        if finding.guest is not None and not wrong:
            found[finding.guest.name] = finding.guest
            telling.notes.extend(
                Note(subject=subject, text=f"stays as it is: {text}") for text in finding.remarks
            )
    return found


def _named_networks(scene: Scene, wish: AdoptRequest, telling: _Telling) -> list[Network]:
    named = dict.fromkeys(Label(name) for name in wish.networks)
    for name in named:
        if name not in scene.networks:
            wrong = [("the spec has no such network", "see `networks` of host.yaml")]
            telling.tell(f"network {name}", wrong, asked=True)
    return [scene.networks[name] for name in named if name in scene.networks]


def _settings(scene: Scene, network: Network) -> tuple[SpecChange, ...]:
    profiles = _profiles(scene, "bridge", network.bridge)
    return settings(network, profiles[0]) if len(profiles) == 1 else ()


def left_out(spec: Spec, facts: Facts) -> dict[str, str]:
    """Return the networks that a spec made from these facts has no use for, and why."""
    scene = make_scene(spec, facts, ())
    found: dict[str, str] = {}
    for network in spec.networks:
        wrong = _unfit(scene, network)
        if network.bridge not in scene.links:
            wrong = [("it has no bridge", "")]
        if wrong:
            found[network.name] = wrong[0][0]
    return found


def unmarked(scene: Scene, network: Network) -> tuple[Profile, ...]:
    """Return the profiles of a network that do not wear our mark."""
    return tuple(
        found[0]
        for kind, interface in _interfaces(network)
        if own_profile(scene, kind, interface) is None
        and len(found := _profiles(scene, kind, interface)) == 1
    )


def _domains(scene: Scene, wish: AdoptRequest) -> list[Domain]:
    if wish.guests:
        names = dict.fromkeys(wish.guests)
        return [scene.domains[name] for name in names if name in scene.domains]
    if wish.networks:
        return []
    ours = {(guest.name, guest.uuid) for guest in scene.spec.guests}
    return [
        domain
        for domain in scene.facts.domains
        if not domain.ours or (domain.name, domain.uuid) not in ours
    ]


def _clash(scene: Scene, domain: Domain) -> list[Reason]:
    """Return why the spec has no room for a domain: another guest has its name or its UUID."""
    namesake = scene.every_guest.get(GuestName(domain.name))
    if namesake is not None and namesake.uuid != domain.uuid:
        reason = f"the spec has a guest of that name with another UUID, at {namesake.place}"
        return [(reason, f"move {namesake.place.file} away, or write uuid: {domain.uuid} into it")]
    twin = next((guest for guest in scene.spec.guests if guest.uuid == domain.uuid), None)
    if twin is not None and namesake is None:
        name = shlex.quote(domain.name)
        hint = f"if it was renamed, name it back: virsh domrename {name} {twin.name}"
        return [(f"the spec knows it as {twin.name}, at {twin.place}", hint)]
    return []


def _unfit(scene: Scene, network: Network) -> list[Reason]:
    """Return why the profiles of a network can't wear our mark."""
    found: list[Reason] = []
    for kind, interface in _interfaces(network):
        if own_profile(scene, kind, interface) is not None:
            continue
        profiles = _profiles(scene, kind, interface)
        if not profiles:
            if interface in scene.links:
                hint = f"look at: nmcli device show {shlex.quote(interface)}"
                found.append((f"no {kind} profile of NetworkManager has made {interface}", hint))
        elif len(profiles) > 1:
            names = ", ".join(f"{profile.name} ({profile.uuid})" for profile in profiles)
            hint = "delete those that are not in use: nmcli connection delete UUID"
            found.append((f"{interface} has several profiles: {names}", hint))
        else:
            found.extend(_unfit_profile(profiles[0]))
    return found


def _unfit_profile(profile: Profile) -> list[Reason]:
    found: list[Reason] = []
    look = f"look at: nmcli connection show {profile.uuid}"
    if not profile.filename.startswith("/etc/"):
        reason = (
            f"its profile {profile.name} does not lie in /etc but in {profile.filename or 'memory'}"
        )
        found.append((f"{reason}: something else writes it", look))
    if profile.setting("connection.stable-id") not in {"", "--"}:
        found.append((f"its profile {profile.name} has a connection.stable-id of its own", look))
    found.extend(
        (
            f"the host gets addresses by its profile {profile.name} ({key} {profile.setting(key)})",
            f"if it needs none: nmcli connection modify {profile.uuid} {key} disabled",
        )
        for key, harmless in _HARMLESS.items()
        if profile.setting(key) not in harmless
    )
    return found


def _interfaces(network: Network) -> tuple[tuple[str, str], ...]:
    return (("bridge", network.bridge), ("vlan", network.vlan_interface))


def _profiles(scene: Scene, kind: str, interface: str) -> list[Profile]:
    return [
        profile
        for profile in scene.facts.nm.profiles
        if profile.type == kind and profile.interface == interface
    ]
