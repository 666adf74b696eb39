"""What kvmkeep does with backups when the blows fall; the repository is on the host itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from labhost import HOST_YAML

from tests.torture.aim import after, before, during
from tests.torture.deeds import Deed, good, spec

if TYPE_CHECKING:
    from labhost import Host

REPOSITORY = "repositories: {vault: {url: /srv/vault, password_file: /root/vault.password}}\n"
POLICY = "backup: {repository: vault, check: [/bin/grep, -q, of-alpha, /root/mark]}\n"
_COUNT = "kvmkeep backup list --json | jq '.backups | length'"
_TRASH = "kvmkeep trash list --json | jq -e '.entries | length > 0'"


def prepare(host: Host) -> None:
    """Give alpha a repository and a first backup."""
    spec(host, host_yaml=HOST_YAML + REPOSITORY, alpha_has=POLICY)
    host.must("umask 077; echo of-the-repository > /root/vault.password; sync")
    good(host, "apply", "--yes")
    good(host, "backup", "init", "vault")
    good(host, "backup", "run", "alpha")
    host.must("sync")


def _counted(host: Host) -> None:
    host.must(f"{_COUNT} > /root/count; sync")


def _timed(host: Host) -> None:
    host.must("touch /root/begun; sync")


def _off(host: Host) -> None:
    good(host, "shutdown", "alpha")


def _emptied(host: Host) -> None:
    for one in json.loads(good(host, "trash", "list", "--json"))["entries"]:
        good(host, "trash", "empty", "--really", "alpha", one["name"])


DEEDS = (
    Deed(
        name="back a guest up",
        argv=("backup", "run", "alpha"),
        lasts=100,
        prepare=_counted,
        done=f'test "$({_COUNT})" -gt "$(cat /root/count)"',
        phases=(
            after("virsh*fsfreeze-freeze"),
            after("lvcreate --snapshot"),
            during("restic*backup*--stdin"),
            after("restic*backup*--stdin"),
            after("restic*backup*manifest"),
            before("lvremove"),
        ),
    ),
    Deed(
        name="restore a guest",
        argv=("backup", "restore", "--yes", "alpha"),
        lasts=120,
        prepare=_off,
        done=f"{_TRASH} && kvmkeep start alpha",
        undo=_emptied,
        renews=True,
        phases=(
            after("lvchange --addtag kvmkeep.trash="),
            after("lvrename"),
            after("lvcreate"),
            during("restic*dump*.raw"),
            after("restic*dump*.raw"),
            before("lvchange --deltag kvmkeep.state=filling"),
            after("lvchange --deltag kvmkeep.state=filling"),
        ),
    ),
    Deed(
        name="prove a backup",
        argv=("backup", "prove", "alpha"),
        lasts=200,
        prepare=_timed,
        done="find /var/lib/kvmkeep/proofs -name '*.json' -newer /root/begun | grep -q .",
        phases=(
            after("lvcreate*kvmkeep-proof"),
            during("restic*mount"),
            after("qemu-img create"),
            during("guestfish"),
            after("virsh create"),
            before("virsh destroy"),
            before("lvremove*kvmkeep-proof"),
        ),
    ),
)
