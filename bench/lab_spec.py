"""What is the same in every spec that the lab's host is measured with."""

from __future__ import annotations


def host_yaml(network: str = "", image: str = "tiny: {file: /srv/images/tiny.raw}") -> str:
    """Return a `host.yaml` with one network and one image; `network` is what else that has."""
    return f"""\
host:
  name: bench.example.org
  reserve: {{memory: 512MiB, storage: 1GiB}}
storage: {{vg: rl_build, lv_prefix: "vm-"}}
uplink: ens802f1
networks:
  internal: {{vlan: 2368, cidr: 10.5.68.0/24{network}}}
images:
  {image}
"""
