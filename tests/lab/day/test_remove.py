"""A guest is removed and comes back, then it is destroyed: nothing else is touched or readable."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest
from labhost import TINY_YAML
from sites import GUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

    from lab.machine import Result

GAMMA = "10.5.68.13"
FILE = "/etc/kvmkeep/guests/gamma.yaml"
YAML = (
    TINY_YAML.replace("5min", "15min")
    .replace("ADDRESS", GAMMA)
    .replace("{root: 256MiB}", "{root: 256MiB, data: 32MiB}")
)
FOREIGN = {
    "vm-gamma-data-old": (),
    "trash-20200101T0000Z-vm-gamma": (),
    "trash-vm-gamma": ("kvmkeep",),
    "vm-gammas": ("kvmkeep.guest=gamma", "kvmkeep.trash=20200101T0000Z"),
}
"""LVs of somebody else whose names or tags come near to ours."""
SECRET = "the content of a disk that nobody shall read"


@pytest.fixture(scope="module", autouse=True)
def foreign(site: Host) -> Iterator[None]:
    """Plant LVs that look like ours; in the end each is as it was, to the byte."""
    for name, tags in FOREIGN.items():
        words = " ".join(f"--addtag {shlex.quote(tag)}" for tag in tags)
        site.must(
            f"lvcreate -y -Wy -n {name} -L 4m {words} rl_build &&"
            f" echo {name} is precious | dd of=/dev/rl_build/{name} conv=fsync status=none"
        )
    look = "; ".join(
        f"sha256sum < /dev/rl_build/{name}; lvs --noheadings -o"
        f" lv_name,lv_uuid,lv_size,lv_tags,seg_pe_ranges rl_build/{name}"
        for name in FOREIGN
    )
    before = site.must(look)
    yield
    after = site.must(look)
    for name in FOREIGN:
        site.must(f"lvchange -an rl_build/{name} && lvremove rl_build/{name}")
    site.put_spec(GUESTS)
    assert after == before


def good(done: Result) -> str:
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def refused(done: Result, *words: str) -> None:
    assert done.returncode == 4, f"{done.stdout}\n{done.stderr}"
    for word in words:
        assert word in done.stdout + done.stderr


def lvs(site: Host) -> set[str]:
    """Return the names of all LVs that are ours and gamma's, as LVM tells them."""
    select = 'lv_tags={"kvmkeep" && "kvmkeep.guest=gamma"}'
    out = site.must(f"lvs --noheadings -o lv_name --select {shlex.quote(select)} rl_build")
    return set(out.split())


def entry(site: Host) -> dict[str, object]:
    (one,) = json.loads(good(site.kvmkeep("trash", "list", "--json")))["entries"]
    return one


def machine(site: Host) -> str:
    return site.must("virsh domuuid gamma; virsh domiflist gamma --inactive | grep virbr1")


@pytest.mark.long
def test_removed_and_taken_back_and_destroyed(site: Host) -> None:
    site.put_spec({**GUESTS, "gamma": f"protect: true\n{YAML}"})
    site.apply("gamma", limit=900)
    site.ssh("root", GAMMA, f"echo '{SECRET}' > /root/kept; sync; echo '{SECRET}' > /dev/vdb; sync")
    before, process = machine(site), site.qemu_pid("gamma")

    refused(site.kvmkeep("remove", "--yes", "gamma"), "protected", "protect: true", "it runs")
    refused(site.kvmkeep("remove", "--yes", "--shutdown", "gamma"), "protected")
    assert site.qemu_pid("gamma") == process
    site.must(f"sed -i /^protect/d {FILE}")
    good(site.kvmkeep("snapshot", "create", "gamma"))
    names = lvs(site)
    assert len(names) == 4

    good(site.kvmkeep("remove", "--yes", "--shutdown", "gamma", limit=900))
    assert "gamma" not in site.must("virsh list --all --name").split()
    stamp = str(entry(site)["name"]).removeprefix("gamma-")
    assert lvs(site) == {f"trash-{stamp}-{name}" for name in names}
    site.must(f"! test -e {FILE} && ! test -e /root/kvm/gamma.xml")
    name = str(entry(site)["name"])
    assert site.must(f"stat -c %a /var/lib/kvmkeep/trash/{name}").strip() == "700"
    good(site.kvmkeep("plan", "--exit-code"))

    good(site.kvmkeep("trash", "restore", "--yes", name))
    assert lvs(site) == names
    assert machine(site) == before
    assert "kvmkeep.trash" not in site.must("lvs --noheadings -o lv_tags rl_build/vm-gamma")
    good(site.kvmkeep("plan", "--exit-code", "gamma"))
    good(site.kvmkeep("start", "gamma", limit=900))
    assert SECRET in site.ssh("root", GAMMA, "cat /root/kept")
    assert "good" in good(site.kvmkeep("snapshot", "list", "gamma"))
    remove_what_the_spec_lacks(site)
    destroy(site, str(entry(site)["name"]))


def remove_what_the_spec_lacks(site: Host) -> None:
    """A guest whose file was deleted is not managed, and `remove` still knows it."""
    process = site.qemu_pid("gamma")
    site.must(f"rm {FILE}")
    assert "kvmkeep remove gamma" in good(site.kvmkeep("plan", "--exit-code", "-v"))
    assert site.qemu_pid("gamma") == process
    good(site.kvmkeep("remove", "--yes", "--shutdown", "gamma", limit=900))
    assert "gamma" not in site.must("virsh list --all --name").split()


def destroy(site: Host, name: str) -> None:
    """Only what lies in the trash, nobody uses and was named once more is destroyed."""
    names = lvs(site)
    ranges = site.must(
        "lvs --noheadings -o seg_pe_ranges " + " ".join(f"rl_build/{one}" for one in sorted(names))
    ).split()
    (root,) = (one for one in names if one.endswith("-vm-gamma"))
    site.must(f"grep -q '{SECRET}' /dev/rl_build/{root}")
    site.must(f'dmsetup create held --table "0 8 linear /dev/rl_build/{root} 0"')
    refused(site.kvmkeep("trash", "empty", "--really", "gamma", name), f"has rl_build/{root} open")
    site.must("dmsetup remove --retry held")

    def typed(text: str) -> int:
        """Type this at a terminal once it is asked for."""
        line = f"script -qefc 'kvmkeep trash empty {name}' /run/said"
        asked = "until grep -qs 'type the name' /run/said; do kill -0 $run || exit 1; sleep 1; done"
        return site.run(
            f"rm -f /run/said /run/typed; mkfifo /run/typed; {line} < /run/typed & run=$!;"
            f" exec 9> /run/typed; {asked}; echo {text} >&9; wait $run",
            limit=900,
        ).returncode

    assert typed("beta") == 130
    assert lvs(site) == names
    assert typed("gamma") == 0
    assert lvs(site) == set()
    site.must(f"! test -e /var/lib/kvmkeep/trash/{name}")
    # The next LV on the very same extents shows nothing of it, nor anything else.
    for number, place in enumerate(ranges):
        first, _, last = place.rpartition(":")[2].partition("-")
        count = int(last) - int(first) + 1
        site.must(
            f"lvcreate -y -Wn -Zn -n next{number} -l {count} rl_build {place} &&"
            f" cmp -n $(blockdev --getsize64 /dev/rl_build/next{number}) /dev/zero"
            f" /dev/rl_build/next{number} && lvchange -an rl_build/next{number} &&"
            f" lvremove rl_build/next{number}"
        )
