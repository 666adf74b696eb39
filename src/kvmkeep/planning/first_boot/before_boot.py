"""Changes to the filesystem of a guest that has not booted yet: its LV is not complete.

libguestfs's appliance does it, a small virtual machine: the host's kernel mounts nothing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from kvmkeep.model.command import Command
from kvmkeep.model.guestfish import line
from kvmkeep.model.spec import Guest
from kvmkeep.planning.first_boot.network_files import INTERFACES, NO_DNS
from kvmkeep.planning.first_boot.seed import (
    CACHE_FILE,
    DROP_IN,
    DROP_IN_FILE,
    HOSTNAME_FILE,
    NETWORK_FILE,
)
from kvmkeep.planning.scene import Scene

_CLOUD_CFG = "/etc/cloud/cloud.cfg"
_DROP_IN = (
    f'write {DROP_IN_FILE} "{DROP_IN.strip()}\\n"',
    # SELinux's label, if there are labels: that of the file beside which cloud-init reads it.
    f"-copy-attributes {_CLOUD_CFG} {DROP_IN_FILE} xattributes:true",
)
_SECRETS = ("/etc/ssh/ssh_host_*", "/etc/dropbear/*key")
_STATE = (
    # systemd makes it from nothing; a link to /etc/machine-id is made anew by systemd-tmpfiles.
    "/var/lib/dbus/machine-id",
    # Two machines must not begin with the same randomness.
    "/var/lib/systemd/random-seed",
    "/etc/cloud/cloud-init.disabled",
    CACHE_FILE,
    NETWORK_FILE,
    HOSTNAME_FILE,
    NO_DNS,
)
_CLOUD = tuple(f"/var/lib/cloud/{name}" for name in ("instance", "instances", "data", "sem"))
_NETWORK = (
    "/etc/NetworkManager/system-connections/*",
    "/etc/netplan/*.yaml",
    "/etc/systemd/network/*.network",
    "/etc/network/interfaces.d/*",
    "/etc/sysconfig/network-scripts/ifcfg-[!l]*",
    "/etc/sysconfig/network-scripts/ifcfg-l[!o]*",
    "/etc/sysconfig/network-scripts/route*-*",
    "/etc/sysconfig/network-scripts/rule*-*",
    "/etc/udev/rules.d/*persistent-net*.rules",
    "/var/lib/NetworkManager/*.lease",
    "/var/lib/dhclient/*",
    "/var/lib/dhcp/*",
)
"""Addresses of the machine that was copied: the clone's come from its seed."""
# As Debian has it; cloud-init writes into that directory.
_INTERFACES = "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n"
_IFUPDOWN = (
    # cloud-init takes a system for one with ifupdown only if this file is there (cloudinit/net/
    # eni.py, `available`), and neither command makes it (libguestfs, daemon/truncate.c, and
    # `do_pwrite` of daemon/file.c). The second prints how much it wrote.
    f"-truncate {INTERFACES}",
    line("-pwrite", INTERFACES, _INTERFACES, "0") + " | cat >/dev/null",
)
_END = "kvmkeep: done"


def tell_of_seed(scene: Scene, guest: Guest) -> Command:
    """Return what tells a guest's cloud-init where its seed is."""
    why = "put a file into the guest's disk: its image would look for no seed"
    return _change(scene, guest, _DROP_IN, why)


def new_identity(scene: Scene, guest: Guest) -> Command:
    """Return what makes a copied system one that has never booted, and knows of its seed.

    machine-id(5): an empty /etc/machine-id is filled at the next boot. At the end guestfish
    prints what is left of what must not be there, which then is not what is expected.
    """
    lines = (
        'write /etc/machine-id ""',
        *(f"rm-f {path}" for path in _STATE),
        *(f"rm-rf {path}" for path in _CLOUD),
        # `glob` fails where nothing matches.
        *(f"-glob rm-f {path}" for path in (*_SECRETS, *_NETWORK)),
        *_IFUPDOWN,
        f"mkdir-p {posixpath.dirname(DROP_IN_FILE)}",
        *_DROP_IN,
        *(f"glob-expand {path}" for path in (*_SECRETS, *_NETWORK)),
        f'-grep "^[^#]*address" {INTERFACES}',
        f'echo "{_END}"',
    )
    why = "forget which machine it was: machine-id, SSH host keys, addresses, cloud-init's notes"
    return _change(scene, guest, lines, why, expect=_END)


def _change(
    scene: Scene, guest: Guest, lines: Iterable[str], why: str, *, expect: str = ""
) -> Command:
    return Command(
        argv=("guestfish", "--rw", "--format=raw", "-a", scene.path(guest.root), "-i"),
        why=why,
        stdin="".join(f"{one}\n" for one in (*lines, "sync")).encode(),
        expect=expect,
        timeout=900.0,
    )
