"""The lab's host as tests see it: through lvs, virsh, ip, nmcli and ssh, not through kvmkeep."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.machine import Lab, Result

KEY = "/root/test-key"
PUBLIC, INTERNAL = 223, 2368
QUICK = ", forward_delay: 2"
"""With the document's 15, each guest that starts has no network for 30 seconds."""

HOST_YAML = """\
host:
  name: build.example.org
  reserve: {memory: 1GiB, storage: 4GiB}
storage: {vg: rl_build, lv_prefix: "vm-"}
uplink: ens802f1
networks:
  public:   {vlan: 223,  cidr: 132.230.223.0/24, gateway: 132.230.223.254@QUICK@}
  internal: {vlan: 2368, cidr: 10.5.68.0/24@QUICK@}
images:
  cloud: {file: /srv/images/cloud.raw}
  packed: {file: /srv/images/cloud.raw.zst, sha256: "@cloud.raw.zst@"}
  openstack: {file: /srv/images/openstack-only.raw}
  tiny: {file: /srv/images/tiny.raw, sha256: "@tiny.raw@"}
""".replace("@QUICK@", QUICK)
TINY_YAML = """\
image: tiny
vcpus: 1
memory: 256MiB
disks: {root: 256MiB}
nics: [{network: internal, address: ADDRESS/24}]
login: {user: root, ssh_keys: ["@KEY@"]}
run: {autostart: true, start_timeout: 5min}
"""
_NEW_SPEC = f"""
set -e
test -e {KEY} || ssh-keygen -q -t ed25519 -N '' -f {KEY}
rm -rf /etc/kvmkeep; mkdir -p /etc/kvmkeep/guests
"""
_FILL_SPEC = f"""
edit="s|@KEY@|$(cat {KEY}.pub)|;$(sed -E 's/^(\\S+) +\\*?(.+)$/s|@\\2@|\\1|/' /srv/images/SHA256SUMS | paste -sd ';')"
find /etc/kvmkeep -name '*.yaml' -exec sed -i "$edit" {{}} +; sync
"""
FOREIGN_DOMAIN = """\
<domain type='kvm'><name>legacy</name><uuid>2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01</uuid>
<memory unit='MiB'>128</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><disk type='block' device='disk'><driver name='qemu' type='raw'/>
<source dev='/dev/rl_build/vm-legacy'/><target dev='vda' bus='virtio'/></disk></devices></domain>
"""


SLOWER = 3
"""Limits are for a machine that this test has to itself; others at work make it this much slower."""


class Host:
    """A pristine host: write a spec on it, run kvmkeep, look at it with the usual tools."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def run(self, line: str, *, text: str | None = None, limit: float = 300) -> Result:
        """Run a line of shell; the caller judges how it ended."""
        return self.lab.run(["bash", "-c", line], input=text, timeout=SLOWER * limit)

    def must(self, line: str, *, text: str | None = None, limit: float = 300) -> str:
        """Run a line of shell that must succeed; return what it printed."""
        return self.lab.run(
            ["bash", "-c", line], input=text, timeout=SLOWER * limit, check=True
        ).stdout

    def kvmkeep(self, *arguments: str, limit: float = 1500) -> Result:
        """Run kvmkeep."""
        return self.lab.run(["kvmkeep", *arguments], timeout=SLOWER * limit)

    def apply(self, *arguments: str, limit: float = 1500) -> Result:
        """Apply without questions; it must end well."""
        done = self.kvmkeep("apply", "--yes", *arguments, limit=limit)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done

    def put(self, path: str, text: str) -> None:
        """Write a file on the host."""
        self.must(
            f"mkdir -p {shlex.quote(str(Path(path).parent))} && cat > {shlex.quote(path)}",
            text=text,
        )

    def put_spec(self, guests: dict[str, str], host: str = HOST_YAML) -> None:
        """Write the spec: `@KEY@` becomes the test's public key, `@FILE@` its published checksum."""
        files = {"host.yaml": host, **{f"guests/{name}.yaml": guests[name] for name in guests}}
        write = (
            f"printf %s {shlex.quote(text)} > /etc/kvmkeep/{shlex.quote(name)}"
            for name, text in files.items()
        )
        self.must("\n".join((_NEW_SPEC, *write, _FILL_SPEC)))

    def plan(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        done = self.kvmkeep("plan", "--json")
        assert done.returncode == 0, done.stderr
        plan: dict[str, Any] = json.loads(done.stdout)["plan"]
        return plan

    def ssh(self, user: str, address: str, command: str, *, limit: float = 120) -> str:
        """Run a command in a guest, logging in from the campus over its tagged VLAN."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        line = f"ip netns exec campus ssh -i {KEY} {options} -o ConnectTimeout=60 {user}@{address} {shlex.quote(command)}"
        return self.must(line, limit=limit)

    def until(self, line: str, *, limit: float, what: str) -> str:
        """Repeat a line of shell until it succeeds."""
        limit *= SLOWER
        end = time.monotonic() + limit
        while True:
            done = self.run(line)
            if done.returncode == 0:
                return done.stdout
            assert time.monotonic() < end, (
                f"{what}: not within {limit:.0f} s\n{done.stdout}{done.stderr}"
            )
            time.sleep(1)

    def qemu_pid(self, guest: str) -> str:
        """Return the process id of a running guest's QEMU."""
        return self.must(f"cat /run/libvirt/qemu/{shlex.quote(guest)}.pid").strip()

    def boot_id(self) -> str:
        """Return what changes with each boot of the host."""
        return self.must("cat /proc/sys/kernel/random/boot_id").strip()

    def plant_foreign_things(self) -> None:
        """Put things on the host that look like guests' and are not ours."""
        self.must(
            "set -e; cd /root;"
            "lvcreate -y -Wy -n vm-legacy -L 64m rl_build; lvcreate -y -Wy -n vm-tiny-old -L 16m --addtag other rl_build;"
            "echo precious | dd of=/dev/rl_build/vm-legacy conv=fsync status=none;"
            "cat > legacy.xml; virsh define legacy.xml;"
            "nmcli connection add type bridge ifname virbr1.999 con-name virbr1.999 autoconnect no"
            " ipv4.method disabled ipv6.method disabled",
            text=FOREIGN_DOMAIN,
        )

    def foreign_things(self) -> str:
        """Return all of the foreign things, to the byte: content and description."""
        return self.must(
            "set -e; for lv in root home opt vm-legacy vm-tiny-old; do"
            # Nobody forges here, and SHA-256 takes six times as long on the emulated processor.
            " md5sum < /dev/rl_build/$lv;"
            " lvs --noheadings -o lv_name,lv_uuid,lv_size,lv_tags,lv_attr,seg_pe_ranges rl_build/$lv | sed 's/o---/----/';"
            " done; virsh dumpxml --inactive legacy; virsh domstate legacy;"
            "cd /etc/NetworkManager/system-connections; sha256sum virbr1.999.nmconnection mgmt.nmconnection;"
            "ip -br address show ens802f0",
        )
