"""What kvmkeep is doing when the blows fall."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labhost import HOST_YAML, QUICK, TINY_YAML
from sites import ALPHA, GUESTS

from tests.torture.aim import Aim, after, before, during

if TYPE_CHECKING:
    from labhost import Host

MARK = "of-alpha"
DISK_MIB = 64
GAMMA = "10.5.68.13"


def nothing(host: Host) -> None:
    """Prepare or undo nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One verb, and how a round with it begins and ends.

    `lasts` is about how many seconds it takes in the lab: the cut comes within them. `done` is a
    line of shell that succeeds once the deed was done, whether it was cut or not. `undo` leads
    back to where a round begins; what `renews` a guest leaves it with other LVs of the same names.
    `phases` are the moments at which a cut leaves it in another state, one by one.
    """

    name: str
    argv: tuple[str, ...]
    lasts: float
    done: str
    prepare: Callable[[Host], None] = nothing
    undo: Callable[[Host], None] = nothing
    renews: bool = False
    phases: tuple[Aim, ...] = ()


def good(host: Host, *argv: str) -> str:
    """Run kvmkeep; it must end well. Return what it printed."""
    done = host.kvmkeep(*argv)
    assert done.returncode == 0, f"kvmkeep {' '.join(argv)}\n{done.stdout}{done.stderr}"
    return done.stdout


def spec(
    host: Host, more: int = 0, host_yaml: str = HOST_YAML, alpha_has: str = "", **guests: str
) -> None:
    """Write the spec, with a larger disk, another host, more lines of alpha or further guests.

    The disk that an earlier round has made larger stays so: none is ever made smaller.
    """
    size = host.must("lvs --noheadings --units m --nosuffix -o lv_size rl_build/vm-alpha-data")
    data = f"data: {round(float(size)) + more}MiB"
    alpha = GUESTS["alpha"].replace(f"data: {DISK_MIB}MiB", data)
    host.put_spec({**GUESTS, "alpha": alpha + alpha_has, **guests}, host_yaml)
    host.must("sync")


def _larger(host: Host) -> None:
    spec(host, more=8)


def _snapshot(host: Host) -> None:
    good(host, "snapshot", "create", "alpha")
    host.ssh("root", ALPHA, "echo later > /root/mark; sync")


def _no_snapshots(host: Host) -> None:
    for one in json.loads(good(host, "snapshot", "list", "--json", "alpha"))["sets"]:
        good(host, "snapshot", "delete", "--yes", "alpha", one["set"])
    host.ssh("root", ALPHA, f"echo {MARK} > /root/mark; sync")


def _renamed_back(host: Host) -> None:
    good(host, "shutdown", "gamma")
    good(host, "rename", "--yes", "gamma", "alpha")
    good(host, "start", "alpha")


def _restored(host: Host) -> None:
    (one,) = json.loads(good(host, "trash", "list", "--json"))["entries"]
    good(host, "trash", "restore", "--yes", one["name"])
    good(host, "start", "alpha")


def _removed(host: Host) -> None:
    good(host, "remove", "--yes", "--shutdown", "alpha")


def _with_gamma(host: Host) -> None:
    spec(host, gamma=TINY_YAML.replace("ADDRESS", GAMMA))


def _without_gamma(host: Host) -> None:
    good(host, "remove", "--yes", "--shutdown", "gamma")
    (one,) = json.loads(good(host, "trash", "list", "--json"))["entries"]
    good(host, "trash", "empty", "--really", "gamma", one["name"])
    spec(host)


def _switched(word: str) -> Callable[[Host], None]:
    return lambda host: spec(host, host_yaml=HOST_YAML.replace(QUICK, f"{QUICK}, {word}"))


def _as_it_was(host: Host) -> None:
    spec(host)
    good(host, "apply", "--yes")


NEWEST = "$(kvmkeep snapshot list --json alpha | jq -r '.sets | max_by(.taken) | .set')"
DEEDS = (
    Deed(
        name="grow a disk",
        argv=("apply", "--yes", "alpha"),
        lasts=25,
        prepare=_larger,
        done="kvmkeep plan --exit-code alpha",
        phases=(
            after("lvcreate*+grow"),
            before("blkdiscard"),
            after("lvremove*+grow"),
            after("lvextend"),
            after("virsh blockresize"),
        ),
    ),
    Deed(
        name="take a snapshot",
        argv=("snapshot", "create", "alpha"),
        lasts=20,
        done="lvs --noheadings -o lv_name --select 'origin=vm-alpha-logs' rl_build | grep -q alpha",
        undo=_no_snapshots,
        phases=(
            after("virsh*fsfreeze-freeze"),
            after("lvcreate --snapshot"),
            before("virsh*fsfreeze-thaw"),
            after("lvchange --deltag kvmkeep.state=partial"),
        ),
    ),
    Deed(
        name="go back to a snapshot",
        argv=("snapshot", "revert", "--yes", "--shutdown", "alpha", NEWEST),
        lasts=70,
        prepare=_snapshot,
        done=f"kvmkeep start alpha && ip netns exec campus ping -c 1 -W 60 {ALPHA}",
        undo=_no_snapshots,
        phases=(
            after("lvchange --addtag kvmkeep.start="),
            after("virsh shutdown"),
            after("lvchange --addtag kvmkeep.revert="),
            after("lvconvert*--merge"),
            after("lvchange --refresh"),
            after("virsh start"),
        ),
    ),
    Deed(
        name="rename a guest",
        argv=("rename", "--yes", "alpha", "gamma"),
        lasts=20,
        prepare=lambda host: good(host, "shutdown", "alpha") and None,
        done="virsh domuuid gamma && ! virsh domuuid alpha",
        undo=_renamed_back,
        phases=(
            after("virsh domrename"),
            after("lvrename"),
            before("lvchange --deltag kvmkeep.guest="),
            after("virsh define"),
            before("mv*/etc/kvmkeep/guests/gamma.yaml"),
        ),
    ),
    Deed(
        name="remove a guest",
        argv=("remove", "--yes", "--shutdown", "alpha"),
        lasts=45,
        done="! virsh domuuid alpha",
        undo=_restored,
        phases=(
            after("virsh shutdown"),
            after("lvchange --addtag kvmkeep.trash="),
            after("virsh undefine"),
            after("lvrename"),
            before("mv*/etc/kvmkeep/guests/alpha.yaml"),
            after("lvrename rl_build/vm-alpha rl_build/trash"),
        ),
    ),
    Deed(
        name="take a removed guest back",
        argv=(
            "trash",
            "restore",
            "--yes",
            "$(kvmkeep trash list --json | jq -r '.entries[].name')",
        ),
        lasts=20,
        prepare=_removed,
        done="virsh domuuid alpha",
        undo=lambda host: good(host, "start", "alpha") and None,
        phases=(
            after("lvrename"),
            before("virsh define"),
            after("virsh define"),
            after("mv*/etc/kvmkeep/guests/alpha.yaml"),
            after("lvchange --deltag kvmkeep.trash="),
        ),
    ),
    Deed(
        name="make a guest",
        argv=("apply", "--yes", "gamma"),
        lasts=60,
        prepare=_with_gamma,
        done="kvmkeep plan --exit-code gamma && virsh domstate gamma | grep running",
        undo=_without_gamma,
        phases=(
            after("lvcreate"),
            during("qemu-img convert"),
            before("lvchange --deltag kvmkeep.state=filling"),
            after("virsh define"),
            after("xorriso"),
            after("virsh start"),
            after("virsh*--eject"),
        ),
    ),
    Deed(
        name="change a network",
        argv=("apply", "--yes"),
        lasts=25,
        prepare=_switched("ageing_time: 300"),
        done="grep -qx 30000 /sys/class/net/virbr1.2368/bridge/ageing_time",
        undo=_as_it_was,
        phases=(
            after("busctl*CheckpointCreate"),
            after("nmcli connection modify"),
            after("nmcli device reapply"),
            before("busctl*CheckpointDestroy"),
            after("busctl*CheckpointDestroy"),
        ),
    ),
    Deed(
        name="shut a guest down",
        argv=("shutdown", "alpha"),
        lasts=20,
        done="virsh domstate alpha | grep -q 'shut off'",
        undo=lambda host: good(host, "start", "alpha") and None,
        phases=(
            after('virsh metadata*wanted="off'),
            after("virsh shutdown"),
        ),
    ),
)
