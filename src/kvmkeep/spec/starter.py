"""A commented spec to begin with, made from what was found on the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kvmkeep.model.facts import Facts, VolumeGroup
from kvmkeep.model.links import is_team, rests_on, team_of
from kvmkeep.model.network_facts import Link
from kvmkeep.model.text import masked
from kvmkeep.model.units import Size, accepted, parse_interface
from kvmkeep.spec.addresses import parse_hostname
from kvmkeep.spec.disks import parse_group
from kvmkeep.spec.load import HOST_FILE
from kvmkeep.spec.nodes import Kind, plain_kind

SAMPLE_FILE = "guests/example.yaml.sample"
"""Not read, since its name does not end in .yaml: nothing is made by mistake."""

_UNKNOWN = "change-me"
_GIB = 1 << 30

_BACKUPS = """\
# Backups of all guests, which are proven by starting them: docs/how-to/backups.md. Make a password,
#   (umask 077; head -c 33 /dev/urandom | base64 > /root/backup.password)
# keep a copy of it elsewhere, take the "# " away from all lines below, and make the repository:
#   kvmkeep backup init vault

# repositories:
#   vault:
#     url: sftp:backup@vault.example.org:/srv/backup
#     password_file: /root/backup.password
# backup:
#   repository: vault
#   schedule: "*-*-* 01:30"
#   keep: {last: 3, daily: 7, weekly: 5, monthly: 12}
#   prove: "Sun 06:00"
"""

_NOBODYS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINktY9ZgBjtudkMvqwgwPVfskfWqU6nQtKnC2nsaygG0"
"""A hash in place of a public key, so that nobody has the private one.

The hash is SHA-256 of `kvmkeep: replace this key`.
"""


def starter(facts: Facts) -> dict[str, str]:
    """Return the texts of a starter spec by their file names.

    The host file loads as it is; the sample does too once it is renamed.
    """
    uplinks = _uplinks(facts)
    networks = _networks(facts, uplinks[0] if uplinks else "")
    return {
        HOST_FILE: _host_text(
            facts, uplinks, networks, "images:\n  example: {file: /srv/images/example.qcow2}"
        ),
        SAMPLE_FILE: _sample_text([name for name, _ in networks]),
    }


def host_text(facts: Facts, left_out: Mapping[str, str]) -> str:
    """Return the host file alone, for a host that is taken over: without an image.

    `left_out` are networks that stay as they are, each with the reason.
    """
    uplinks = _uplinks(facts)
    networks = _networks(facts, uplinks[0] if uplinks else "")
    comments = "".join(
        f"# Left as it is: {name}: {masked(left_out[name])}.\n"
        for name, _ in networks
        if name in left_out
    )
    used = [pair for pair in networks if pair[0] not in left_out]
    return _host_text(facts, uplinks, used, f"{comments}images: {{}}")


def _host_text(
    facts: Facts, uplinks: list[str], networks: list[tuple[str, str]], images: str
) -> str:
    groups = sorted(
        facts.groups, key=lambda group: (-_used(facts, group), -group.free.bytes, group.name)
    )
    names = [group.name for group in groups if accepted(parse_group, group.name)]
    ways = facts.management.ways if facts.management else ()
    management = ", ".join(ways) or "unknown"
    name = facts.hostname if accepted(parse_hostname, facts.hostname) else _UNKNOWN
    group = next((group for group in groups if group.name in names), None)
    return f"""\
# The server, and what its guests may use. `kvmkeep validate` checks this file.
# All keys: docs/reference-spec.md

host:
  # UUIDs and MAC addresses are derived from this name: choose it once.
  name: {_plain(name)}
  # What guests never get. This host has {facts.memory} of memory.
  reserve: {{memory: {_memory_reserve(facts.memory)}, storage: {_storage_reserve(group)}}}

storage:
  # {_found("Volume groups", (f"{g.name} ({g.free} free)" for g in groups if g.name in names))}
  vg: {_plain(names[0] if names else _UNKNOWN)}
  # Begins the name of each guest's logical volume.
  lv_prefix: "vm-"

# The interface that carries the guests' VLANs. Never {masked(management)}: over it the host is
# reached. {_found("Candidates", uplinks)}
uplink: {_plain(uplinks[0] if uplinks else _UNKNOWN)}

# A bridge for each VLAN. One in full:
#   internal: {{vlan: 2368, cidr: 10.5.68.0/24, gateway: 10.5.68.254, dns: [10.5.68.1]}}
# {_found("VLANs on the uplink", (name for name, _ in networks))}
networks:{_entries(networks)}

# Local files are used where they lie; a URL needs a checksum:
#   debian12: {{url: "https://images.example.org/debian12.qcow2", sha512: "..."}}
{images}

{_BACKUPS}"""


def _sample_text(networks: list[str]) -> str:
    nics = f"\n  - {{network: {networks[0]}, address: dhcp}}" if networks else " []"
    return f"""\
# A guest. Copy this file to NAME.yaml in the same directory; the guest is then called NAME.

image: example
vcpus: 2
memory: 4GiB
# Logical volumes: root is made from the image, the others begin empty.
disks: {{root: 20GiB}}

# With a static address: {{network: internal, address: 10.5.68.237/24}}
# Its network then says `gateway` and `dns`: an image without the guest agent has to fetch it.
nics:{nics}

login:
  user: admin
  sudo: true
  # Your public keys, each as one line of authorized_keys. This one fits no private key.
  ssh_keys:
    - {_NOBODYS_KEY} replace-this-key
  # For the console, made by `openssl passwd -6`:
  # password_hash: "$6$..."

run:
  autostart: true
  # Guests that must be ready first: needs: [dns]
  # Ready when the guest agent answers; or tcp:22, console:REGEX, delay:30.
  ready: agent
"""


def _uplinks(facts: Facts) -> list[str]:
    """Return the NICs, bonds and teams that the host is not reached over, the likeliest first."""
    ways = facts.management.ways if facts.management else ()
    used = {name for way in ways for name in rests_on(facts, way)}
    carriers = {link.parent for link in facts.links if link.kind == "vlan"}
    found = [
        link
        for link in facts.links
        if (not link.kind or is_team(link))
        and not team_of(facts, link)
        and link.name != "lo"
        and link.name not in used
        and accepted(parse_interface, link.name)
    ]
    found.sort(key=lambda link: (link.name not in carriers, not link.carrier, link.name))
    return [link.name for link in found]


def _networks(facts: Facts, uplink: str) -> list[tuple[str, str]]:
    """Return a name and the YAML of each VLAN on the uplink, with its bridge if it has one."""
    found: dict[int, tuple[str, str]] = {}
    for link in sorted(facts.links, key=lambda link: (link.vlan_id, link.name)):
        if link.kind != "vlan" or link.parent != uplink or not 1 <= link.vlan_id <= 4094:
            continue
        found.setdefault(link.vlan_id, (f"vlan{link.vlan_id}", _network(facts, link)))
    return list(found.values())


def _network(facts: Facts, link: Link) -> str:
    parts = [f"vlan: {link.vlan_id}"]
    bridge = facts.link(link.master)
    if bridge is not None and bridge.kind == "bridge" and accepted(parse_interface, bridge.name):
        parts.append(f"bridge: {_plain(bridge.name)}")
        parts.extend(_settings(facts, bridge))
    if accepted(parse_interface, link.name):
        parts.append(f"vlan_interface: {_plain(link.name)}")
    return f"{{{', '.join(parts)}}}"


def _settings(facts: Facts, bridge: Link) -> list[str]:
    """Return how a bridge is set, where a spec would not say it by saying nothing.

    What its profile says lasts; the kernel's ageing time may be one of the moment.
    """
    profiles = [
        one for one in facts.nm.profiles if (one.type, one.interface) == ("bridge", bridge.name)
    ]
    said = dict(profiles[0].settings) if len(profiles) == 1 else {}
    stp = said.get("bridge.stp", "yes" if bridge.stp else "no") == "yes"
    ageing = _seconds(said.get("bridge.ageing-time", ""), bridge.ageing_time)
    delay = _seconds(said.get("bridge.forward-delay", ""), bridge.forward_delay)
    parts = [f"ageing_time: {ageing}"] if ageing > 0 else []
    if not stp:
        parts.append("stp: false")
    if 0 <= delay <= 30 and delay != 15 and (delay >= 2 or not stp):
        parts.append(f"forward_delay: {delay}")
    return parts


def _seconds(said: str, kernel: int) -> int:
    return int(said) if said.isdecimal() and len(said) < 7 else kernel


def _used(facts: Facts, group: VolumeGroup) -> int:
    """Return how many disks of domains are LVs of a group."""
    begins = (f"/dev/{group.name}/", f"/dev/mapper/{group.name.replace('-', '--')}-")
    return sum(disk.source.startswith(begins) for domain in facts.domains for disk in domain.disks)


def _entries(networks: list[tuple[str, str]]) -> str:
    return "".join(f"\n  {name}: {text}" for name, text in networks) or " {}"


def _memory_reserve(memory: Size) -> str:
    """Return an eighth of the memory, at least 2 GiB."""
    return f"{max(2, -(-memory.bytes // (8 * _GIB)))}GiB"


def _storage_reserve(group: VolumeGroup | None) -> str:
    """Return a twentieth of the volume group, at least 10 GiB."""
    size = 0 if group is None else group.size.bytes
    return f"{max(10, -(-size // (20 * _GIB)))}GiB"


def _found(what: str, names: Iterable[str]) -> str:
    return f"{what}: {masked(', '.join(names)) or 'none found'}."


def _plain(name: str) -> str:
    """Return a checked name as YAML text: quoted where YAML would read a number."""
    return name if plain_kind(name) is Kind.TEXT else f'"{name}"'
