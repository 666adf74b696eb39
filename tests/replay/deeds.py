"""The deeds whose writes are logged, one after another: each begins where the one before ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labhost import HOST_YAML, KEY, TINY_YAML
from sites import GUESTS

if TYPE_CHECKING:
    from labhost import Host


def _off(yaml: str) -> str:
    """Return a guest that stays off: what is on the disk is what is looked at here."""
    return yaml.replace("autostart: true", "autostart: false, ready: 'delay:1'")


_GAMMA = (
    _off(TINY_YAML)
    .replace("ADDRESS", "10.5.68.13")
    .replace("{root: 256MiB}", "{root: 96MiB, data: 16MiB}")
)
_SUMS = "sed -E 's/^(\\S+) +\\*?(.+)$/\\1 \\2/' /srv/images/SHA256SUMS"


def put_spec(host: Host, **guests: str) -> None:
    """Write guests' files beside those that are there, and the host's.

    The directory is a mount: it can't be made anew.
    """
    key = host.must(f"cat {KEY}.pub").strip()
    for name, yaml in guests.items():
        host.put(f"/etc/kvmkeep/guests/{name}.yaml", yaml.replace("@KEY@", key))
    yaml = HOST_YAML
    for line in host.must(_SUMS).splitlines():
        checksum, file = line.split()
        yaml = yaml.replace(f"@{file}@", checksum)
    host.put("/etc/kvmkeep/host.yaml", yaml)
    host.must("sync")


def begin(host: Host) -> None:
    """Have both guests off, and staying off, also when libvirtd starts."""
    for guest in GUESTS:
        host.must(f"kvmkeep poweroff --yes {guest}")
    put_spec(host, **{name: _off(yaml) for name, yaml in GUESTS.items()})
    host.apply()


def _with_gamma(host: Host) -> None:
    put_spec(host, gamma=_GAMMA)


def _larger(host: Host) -> None:
    put_spec(host, gamma=_GAMMA.replace("data: 16MiB", "data: 32MiB"))


def _nothing(_host: Host) -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One verb: a line of shell, and another one that prints what stands for its `{}`."""

    name: str
    line: str
    of: str = "true"
    prepare: Callable[[Host], None] = _nothing


_SET = "kvmkeep snapshot list --json {} | jq -r '.sets | max_by(.taken) | .set'"
_ENTRY = "kvmkeep trash list --json | jq -r '.entries[].name'"

DEEDS = (
    Deed(name="make", prepare=_with_gamma, line="kvmkeep apply --yes gamma"),
    Deed(name="grow", prepare=_larger, line="kvmkeep apply --yes gamma"),
    Deed(name="snapshot", line="kvmkeep snapshot create gamma"),
    Deed(
        name="revert",
        of=_SET.format("gamma"),
        line="kvmkeep snapshot revert --yes gamma {}",
    ),
    Deed(name="rename", line="kvmkeep rename --yes gamma delta"),
    Deed(name="remove", line="kvmkeep remove --yes delta"),
    Deed(name="take-back", of=_ENTRY, line="kvmkeep trash restore --yes {}"),
    Deed(name="snapshot-again", line="kvmkeep snapshot create delta"),
    Deed(
        name="delete-snapshots",
        of=_SET.format("delta"),
        line="kvmkeep snapshot delete --yes delta {}",
    ),
    Deed(name="remove-again", line="kvmkeep remove --yes delta"),
    Deed(name="empty-trash", of=_ENTRY, line="kvmkeep trash empty --really delta {}"),
)
