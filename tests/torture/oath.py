"""What must hold whenever the dust has settled, looked at with other tools than ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sites import ALPHA, BETA

if TYPE_CHECKING:
    from labhost import Host

CHECKPOINTS = (
    "busctl get-property org.freedesktop.NetworkManager /org/freedesktop/NetworkManager"
    " org.freedesktop.NetworkManager Checkpoints"
)
_STRAYS = """
test -d /srv/vault || exit 0
objects=$(restic --no-lock --cache-dir=/root/restic-cache --repo=/srv/vault \\
  --password-file=/root/vault.password snapshots --json | jq length)
backups=$(kvmkeep backup list --json | jq '.backups | length')
test "$objects" = $((4 * backups)) || echo "$objects objects of $backups backups"
"""
"""Each backup of alpha has three disks and a manifest."""
VOLUMES = "lvs -a --noheadings -o lv_name,lv_uuid rl_build | sort"
LOOKS = {
    "the group's volumes": "lvs -a --noheadings -o lv_name rl_build | sort",
    "the domains": "virsh list --all --name --uuid | sort",
    "the profiles": "nmcli -t -f UUID,NAME connection show | grep -vE ':(vnet[0-9]+|lo)$' | sort",
    "the kept definitions": "ls /root/kvm",
    "nothing of a seed": "ls -A /var/lib/kvmkeep/seed",
    "no half-written file": "find /var/lib/kvmkeep /root/kvm /etc/kvmkeep -name '*.part'",
    "nothing to be stored": "find /var/lib/kvmkeep/backup /run/kvmkeep/proof -type f 2>/dev/null; true",
    "no lock in the repository": "find /srv/vault/locks -type f 2>/dev/null; true",
    "no engine": "pgrep -x 'restic(\\.real)?'; true",
    "no object that is of no backup": _STRAYS,
    "no checkpoint of NetworkManager": CHECKPOINTS,
    "no unit of a run": "systemctl list-units --all --plain --no-legend 'kvmkeep-*' | awk '{print $1}' | sort",
    "no guest stands still": "virsh list --state-paused --name",
    "no merge": "lvs -a --noheadings -o lv_name --select 'lv_merging=1' rl_build",
}
_SAME = "the same volumes"
_ALL = (*LOOKS.items(), (_SAME, VOLUMES))


@dataclass(frozen=True, slots=True)
class Oath:
    """How a host was before the first cut."""

    foreign: str
    seen: dict[str, str]

    @classmethod
    def sworn(cls, host: Host) -> Oath:
        """Look at a host on which all is well."""
        return cls(host.foreign_things(), {name: host.must(line) for name, line in _ALL})

    def renewed(self, host: Host) -> Oath:
        """Return the oath after a guest has got other LVs of the same names."""
        return Oath(self.foreign, {**self.seen, _SAME: host.must(VOLUMES)})

    def broken(self, host: Host) -> list[str]:
        """Return what does not hold any more; both guests are to run."""
        found = []
        for name, line in _ALL:
            now = host.run(line).stdout
            if now != self.seen[name]:
                found.append(f"{name}: it was\n{self.seen[name]}and is\n{now}")
        if host.foreign_things() != self.foreign:
            found.append("foreign things have changed")
        found += [
            f"{address} does not answer"
            for address in (ALPHA, BETA)
            if host.run(f"ip netns exec campus ping -c 3 -W 30 {address}").returncode
        ]
        done = host.kvmkeep("plan", "--exit-code")
        if done.returncode:
            found.append(f"the plan is not empty:\n{done.stdout}{done.stderr}")
        return found
