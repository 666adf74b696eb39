"""What guests, disks and networks are called changes behind them, or in the spec alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from labhost import HOST_YAML, QUICK
from sites import ALPHA, BETA, GUESTS

if TYPE_CHECKING:
    from labhost import Host

INNER = HOST_YAML.replace(f"10.5.68.0/24{QUICK}", f"10.5.68.0/24{QUICK}, bridge: inner")
OTHER_GROUP = HOST_YAML.replace("vg: rl_build", "vg: rl_other")
UPLINK = "ens802f1.2368"


def good(site: Host, *words: str, limit: float = 900) -> str:
    done = site.kvmkeep(*words, limit=limit)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def refused(site: Host, *words: str) -> str:
    done = site.kvmkeep(*words)
    assert done.returncode == 4, f"{words}\n{done.stdout}\n{done.stderr}"
    return " ".join(f"{done.stdout} {done.stderr}".split())


def answer(site: Host, *addresses: str) -> None:
    for address in addresses:
        line = f"ip netns exec campus ping -c 1 -W 2 {address}"
        site.until(line, limit=300, what=f"{address} answers")


def ports(site: Host, bridge: str) -> set[str]:
    return {one["ifname"] for one in json.loads(site.must(f"ip -j link show master {bridge}"))}


def test_a_guest_whose_file_is_renamed_by_hand_is_not_made_a_second_time(site: Host) -> None:
    look = "lvs --noheadings -o lv_name,lv_uuid rl_build; virsh list --all --uuid --name"
    before = site.must(look)
    site.must("mv /etc/kvmkeep/guests/alpha.yaml /etc/kvmkeep/guests/gamma.yaml")
    try:
        said = refused(site, "apply", "--yes")
        found = json.loads(site.kvmkeep("check", "--json").stdout)["findings"]
    finally:
        site.must("mv /etc/kvmkeep/guests/gamma.yaml /etc/kvmkeep/guests/alpha.yaml")
    assert f"its address {ALPHA} is that of guest alpha" in said
    assert "kvmkeep rename alpha gamma" in said
    assert {"guest alpha"} == {one["subject"] for one in found if one["name"] == "guest-unnamed"}
    assert site.must(look) == before
    assert site.kvmkeep("plan", "--exit-code").returncode == 0


def test_a_file_of_a_guest_goes_only_to_where_root_alone_may_write(site: Host) -> None:
    site.must("install -d -o nobody /srv/job; mkdir -p /srv/job/deeper")
    for there in ("/srv/job", "/srv/job/deeper", "/tmp"):
        said = refused(site, "copy-out", "alpha", "/etc/hostname", there)
        assert "could have root write anywhere" in said, said
    assert site.must("find /srv/job -mindepth 1").split() == ["/srv/job/deeper"]
    site.must("rm -r /srv/job")


@pytest.mark.long
def test_a_network_gets_another_bridge_with_all_its_guests_or_not_at_all(site: Host) -> None:
    site.put_spec(GUESTS, INNER)
    before = ports(site, "virbr1.2368")
    said = refused(site, "apply", "--yes", "alpha")
    assert "would stay behind, without a way out: beta" in said
    assert ports(site, "virbr1.2368") == before >= {UPLINK}
    good(site, "apply", "--yes")
    assert ports(site, "inner") == before
    answer(site, ALPHA, BETA)
    site.put_spec(GUESTS)
    good(site, "apply", "--yes")
    assert ports(site, "virbr1.2368") == before
    answer(site, ALPHA, BETA)
    uuids = "nmcli -g UUID,DEVICE connection show | sed -n 's/:inner$//p'"
    site.must(f"nmcli connection delete uuid $({uuids})")


@pytest.mark.long
def test_a_volume_group_that_is_renamed_under_its_guests_is_followed(site: Host) -> None:
    good(site, "shutdown", "alpha")
    site.must("vgrename rl_build rl_other; udevadm settle")
    try:
        site.put_spec(GUESTS, OTHER_GROUP)
        said = site.kvmkeep("start", "alpha")
        assert said.returncode == 4, said.stdout + said.stderr
        assert "kvmkeep apply alpha" in " ".join(said.stderr.split())
        good(site, "apply", "--yes")
        sources = site.must("for g in alpha beta; do virsh domblklist --inactive $g; done")
        assert sources.count("/dev/rl_other/") == 4
        assert "rl_build" not in sources
        assert site.kvmkeep("plan", "--exit-code").returncode == 0
        good(site, "start", "alpha")
        answer(site, ALPHA)
        good(site, "shutdown", "alpha")
    finally:
        site.must("vgrename rl_other rl_build; udevadm settle")
        site.put_spec(GUESTS)
    good(site, "apply", "--yes")
    assert site.must("virsh domblklist --inactive beta").count("/dev/rl_build/") == 1
    good(site, "start", "alpha")
    answer(site, ALPHA)
    assert site.kvmkeep("plan", "--exit-code").returncode == 0
