"""Made-up sites of any size: a spec, the facts of a host for it, and libvirt's test driver.

Everything is written guest by guest, so that this process stays small (see `clock.child`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
IMAGE = "/srv/images/debian.raw"

_HOST = """\
host:
  name: bench.example.org
  reserve: {{memory: 16GiB, storage: 100GiB}}
storage: {{vg: rl_build, lv_prefix: "vm-"}}
uplink: ens802f1
networks:
  public:   {{vlan: 223,  cidr: 172.16.0.0/16, gateway: 172.16.255.254, dns: [172.16.255.253]}}
  internal: {{vlan: 2368, cidr: 10.5.0.0/16}}
images:
  debian: {{file: {image}, sha256: "{digest}"}}
"""
_GUEST = """\
image: debian
vcpus: 4
memory: 16GiB
disks: {{root: 20GiB, data: 100GiB}}
nics:
  - {{network: internal, address: 10.5.{high}.{low}/16, mac: "{mac}:01"}}
  - {{network: public, address: dhcp, mac: "{mac}:02"}}
login:
  user: centos
  sudo: true
  ssh_keys:
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Zt0l0k3bJ0m1s3m8qk3o2k9h6v1x5c7d0u4n2b8Lr admin
run: {{autostart: true, ready: agent}}
"""
_DOMAIN = """\
<domain type='test'><name>guest-{number:05}</name>
<uuid>4dea22b3-1d52-d8f3-2516-{number:012}</uuid><memory unit='GiB'>16</memory><vcpu>4</vcpu>
<os><type arch='i686'>hvm</type></os>
<metadata><kvmkeep:guest xmlns:kvmkeep='urn:kvmkeep:guest:1'/></metadata>
<devices><disk type='block' device='disk'><driver name='qemu' type='raw'/>
<source dev='/dev/rl_build/vm-guest-{number:05}'/><target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><mac address='52:54:00:00:{high:02x}:{low:02x}'/>
<source bridge='virbr1.2368'/><model type='virtio'/></interface></devices></domain>
"""


def write_spec(place: Path, guests: int) -> Path:
    """Write a spec with so many guests like the site's, and return its directory.

    The MACs are given: among 20,000 derived ones, of 24 bits, some would be the same.
    """
    folder = place / f"spec-{guests}"
    (folder / "guests").mkdir(parents=True, exist_ok=True)
    (folder / "host.yaml").write_text(_HOST.format(image=IMAGE, digest="ab" * 32))
    for number in range(guests):
        high, low = divmod(number + 256, 256)
        mac = f"52:54:{high:02x}:{low:02x}:00"
        text = _GUEST.format(high=high, low=low, mac=mac)
        (folder / "guests" / f"guest-{number:05}.yaml").write_text(text)
    return folder


def write_driver(place: Path, guests: int) -> str:
    """Write a host of libvirt's test driver with so many domains, and return its URI."""
    path = place / f"test-{guests}.xml"
    with path.open("w") as sink:
        sink.write("<node>\n")
        for number in range(guests):
            high, low = divmod(number, 256)
            sink.write(_DOMAIN.format(number=number, high=high, low=low))
        sink.write("</node>\n")
    return f"test://{path}"
