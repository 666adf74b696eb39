"""The script of a plan, run on a bare host, gives what apply gives."""

from __future__ import annotations

import pytest
from labhost import TINY_YAML, Host

pytestmark = pytest.mark.long

GUESTS = {"tiny": TINY_YAML.replace("ADDRESS", "10.5.68.5")}


def test_the_script_on_a_bare_host_leaves_an_empty_plan(host: Host) -> None:
    host.put_spec(GUESTS)
    # Looking into the image is the one thing that must come first; it changes no guest.
    host.must("kvmkeep plan --script > /root/first.sh", limit=120)
    host.must("bash /root/first.sh > /root/first.log 2>&1; cat /root/first.log", limit=600)
    host.must("kvmkeep plan --script > /root/second.sh", limit=120)
    host.must("bash -n /root/second.sh")
    host.must(
        "bash /root/second.sh > /root/second.log 2>&1 || { cat /root/second.log; false; }",
        limit=900,
    )
    assert host.ssh("root", "10.5.68.5", "hostname").strip() == "tiny"
    assert host.plan()["steps"] == []
    assert host.kvmkeep("plan", "--exit-code").returncode == 0
