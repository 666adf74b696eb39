"""A small spec that loads, and what is said about a changed one."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fakes.spec import load_text

from kvmkeep.errors import SpecError

KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPxhYQ3cWkXgq1f0Y4cL9t8D5b0nE6rVxT2mS7uJkP1w "
    "me@example.org"
)
HASH = "$5$saltsaltsalt$UzgPdi/4kedfLnSEam19.taIicopA0oiQKNTlgLXEfC"

HOST = """\
host:
  name: build.example.org
storage: {vg: rl_build}
uplink: ens802f1
networks:
  public: {vlan: 223, cidr: 132.230.223.0/24, gateway: 132.230.223.254, dns: [132.230.200.200]}
  internal: {vlan: 2368, cidr: 10.5.68.0/24}
images:
  rocky9: {file: /srv/images/rocky9.raw.zst}
"""

WEB = f"""\
image: rocky9
vcpus: 4
memory: 16GiB
disks: {{root: 20GiB, data: 100GiB}}
nics:
  - {{network: internal, address: 10.5.68.237/24}}
login: {{user: centos, ssh_keys: ["{KEY}"], sudo: true}}
"""

BARE = """\
image: rocky9
vcpus: 1
memory: 1GiB
disks: {root: 4GiB}
first_boot: none
"""
"""A guest that nothing can clash with, for sets of guests."""


def mistakes(files: Mapping[str, str]) -> list[str]:
    """Return the lines of the error that these files give; without one, the test fails."""
    with pytest.raises(SpecError) as caught:
        load_text(files)
    assert caught.value.exit_code == 3
    return caught.value.message.split("\n")


def changed(text: str, old: str, new: str) -> str:
    """Return a text with one part of it replaced."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the text"
    return text.replace(old, new)
