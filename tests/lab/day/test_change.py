"""A running guest is changed: NICs, memory, CPUs, labels; what others put into it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sites import ALPHA, GUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

NIC = '{network: public, mac: "52:54:00:0a:0b:0c", address: 132.230.223.50/24}'
MOVED = '{network: internal, mac: "52:54:00:0a:0b:0c", address: 10.5.68.50/24}'
MAC = "52:54:00:0a:0b:0c"
FOREIGN_MAC = "52:54:00:66:66:66"


def want(site: Host, *changes: tuple[str, str], more: str = "") -> None:
    """Write alpha's spec with changes."""
    text = GUESTS["alpha"]
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    site.put_spec({**GUESTS, "alpha": text + more})


def second_nic(nic: str) -> tuple[str, str]:
    first = f"address: {ALPHA}/24}}"
    return f"nics: [{{network: internal, {first}]", f"nics: [{{network: internal, {first}, {nic}]"


def settled(site: Host) -> dict[str, Any]:
    """Demand that nothing is left to do, and that what is kept is what libvirt has."""
    plan = site.plan()
    assert plan["steps"] == [], plan
    site.must("virsh dumpxml --inactive alpha | cmp - /root/kvm/alpha.xml")
    return plan


def nics(site: Host, *words: str) -> dict[str, str]:
    """Return the bridge of each NIC as virsh shows it."""
    lines = site.must(f"virsh domiflist {' '.join(words)} alpha").splitlines()[2:]
    return {line.split()[4]: line.split()[2] for line in lines if line.strip()}


def inside(site: Host, command: str) -> str:
    return site.ssh("root", ALPHA, command).strip()


def memory(site: Host) -> int:
    """Return the guest's memory in MiB, as it sees it."""
    return int(inside(site, "awk '/MemTotal/ {print $2}' /proc/meminfo")) // 1024


@pytest.fixture(autouse=True, scope="module")
def what_others_put_in(site: Host) -> Iterator[None]:
    """Put something foreign into alpha, which must be there in the end."""
    site.must(
        "virsh metadata --domain alpha --uri urn:other --key other --set '<note>mine</note>' --config;"
        f"virsh attach-interface alpha bridge virbr1.2368 --mac {FOREIGN_MAC} --model virtio --config"
    )
    before = site.must("virsh dumpxml --inactive alpha --xpath /domain/metadata")
    yield
    after = site.must("virsh dumpxml --inactive alpha --xpath /domain/metadata")
    assert "mine" in before
    # libvirt gives the elements in any order.
    assert sorted(after.split()) == sorted(before.split())


@pytest.mark.long
def test_nics_and_labels_of_a_running_guest(site: Host) -> None:
    process = site.qemu_pid("alpha")
    want(site, second_nic(NIC), more="labels: [prod]\ndescription: the shop\n")
    site.apply()
    plan = settled(site)
    assert any(FOREIGN_MAC in note["text"] for note in plan["notes"])
    assert nics(site)[MAC] == nics(site, "--inactive")[MAC] == "virbr1.223"
    assert "the shop" in site.must("virsh desc alpha")
    assert "prod" in site.must("virsh metadata alpha --uri urn:kvmkeep:guest:1")
    name = inside(
        site,
        f"for n in /sys/class/net/eth*; do grep -q {MAC} $n/address && echo ${{n##*/}}; done",
    )
    inside(site, f"ip link set {name} up && ip address add 132.230.223.50/24 dev {name}")
    site.until(
        "ip netns exec campus ping -c 1 -W 5 132.230.223.50", limit=90, what="the new NIC to answer"
    )

    want(site, second_nic(MOVED), more="labels: [prod]\ndescription: the shop\n")
    site.apply()
    settled(site)
    assert nics(site)[MAC] == nics(site, "--inactive")[MAC] == "virbr1.2368"

    # Drift: somebody takes it out of the definition, and moves the running one.
    site.must(f"virsh detach-interface alpha bridge --mac {MAC} --config")
    whats = [step["what"] for step in site.plan()["steps"]]
    assert whats[0].startswith(f"give it the NIC {MAC} on network internal")

    want(site)
    site.apply()
    settled(site)
    assert MAC not in {**nics(site), **nics(site, "--inactive")}
    assert FOREIGN_MAC in nics(site, "--inactive")
    inside(site, f"! grep -q {MAC} /sys/class/net/*/address")
    assert site.qemu_pid("alpha") == process


@pytest.mark.long
def test_memory_and_cpus_within_their_headroom(site: Host) -> None:
    process = site.qemu_pid("alpha")
    room = "memory_max: 320MiB\nvcpus_max: 2\n"
    before = memory(site)
    want(site, ("memory: 256MiB", "memory: 224MiB"), more=room)
    site.apply()
    plan = settled(site)
    pending = [note["text"] for note in plan["notes"] if note["pending"]]
    assert len(pending) == 2
    told = site.kvmkeep("status")
    assert "started again, it has 1 CPU (up to 2)" in told.stdout
    assert memory(site) < before
    assert site.qemu_pid("alpha") == process

    assert site.kvmkeep("shutdown", "alpha").returncode == 0
    site.must("virsh undefine alpha")
    site.apply()
    assert "mine" in site.must("virsh dumpxml alpha")
    settled(site)
    started = site.kvmkeep("start", "alpha")
    assert started.returncode == 0, started.stderr
    process = site.qemu_pid("alpha")
    assert not [note for note in settled(site)["notes"] if note["pending"]]

    small = memory(site)
    want(site, ("memory: 256MiB", "memory: 320MiB"), ("vcpus: 1", "vcpus: 2"), more=room)
    site.apply()
    settled(site)
    assert memory(site) >= small + 64
    assert inside(site, "grep -c ^processor /proc/cpuinfo") == "2"
    assert site.qemu_pid("alpha") == process
    site.must("virsh setmem alpha 262144 --live")
    steps = site.plan()["steps"]
    assert [step["what"] for step in steps] == ["give it 320 MiB of memory"]
