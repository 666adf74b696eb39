"""Damage in a repository is told and spoils nothing; and the ways back that leave the guest as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sites
from backing_up import LONG, ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

pytestmark = pytest.mark.long

SHOP = "10.5.68.15"
SPEC = "repositories: {vault: {url: /srv/vault, password_file: /root/backup.password}}\n"
AS_SHOP = ("backup", "restore", "alpha", "--as", "shop", "--address", f"internal={SHOP}/24")
HOST_KEY = "dropbearkey -y -f /etc/dropbear/key | grep ^ssh-"
MAC = "cat /sys/class/net/*/address | sort"
LVS = "lvs --noheadings --separator=' ' -o lv_name,lv_uuid,lv_size,lv_tags rl_build"
OTHERS = (
    f"{LVS}/vm-alpha {LVS.rsplit(maxsplit=1)[-1]}/vm-alpha-logs;"
    " md5sum /dev/rl_build/vm-alpha /dev/rl_build/vm-alpha-logs"
)
"""The disks of alpha that are not to come back, to the byte."""


def fails(site: Host, code: int, *words: str) -> str:
    """Demand that kvmkeep ends so, and return all that it said, on one line."""
    done = site.kvmkeep(*words, limit=LONG)
    print(done.stdout, done.stderr)  # noqa: T201 - seen where the test fails
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return " ".join((done.stdout + done.stderr).split())


def alphas(site: Host) -> str:
    """Return all there is of alpha: its LVs, its definition, its process."""
    lines = (
        f"{LVS} | grep -w kvmkeep.guest=alpha",
        "virsh dumpxml --inactive alpha",
        "cat /run/libvirt/qemu/alpha.pid || virsh domstate alpha",
    )
    return site.must(f"{'; '.join(lines)}; true")


@pytest.fixture(scope="module")
def pack(site: Host) -> str:
    """Return the path of a pack with data of alpha's disk `data` alone."""
    site.must("umask 077; echo horse-battery > /root/backup.password")
    site.must("cat >> /etc/kvmkeep/host.yaml", text=SPEC)
    site.must("echo 'backup: {repository: vault}' >> /etc/kvmkeep/guests/alpha.yaml")
    ours(site, "backup", "init", "vault")
    site.ssh(
        "root",
        sites.ALPHA,
        "echo precious > /root/mark;"
        "dd if=/dev/urandom of=/dev/vdb bs=1M count=24 conv=fsync 2>/dev/null;"
        "echo data-of-then | dd of=/dev/vdb conv=fsync,notrunc 2>/dev/null; sync",
    )
    ours(site, "backup", "run", "alpha")
    site.ssh(
        "root",
        sites.ALPHA,
        "echo changed > /root/mark; echo data-of-now | dd of=/dev/vdb conv=fsync,notrunc; sync",
    )
    # The last large one has the end of `data`: what is stored behind that is small.
    return site.must("find /srv/vault/data -type f -size +2M | xargs ls -t | head -1").strip()


@pytest.fixture
def bad_bit(site: Host, pack: str) -> Iterator[str]:
    """Flip a bit of the pack, as a disk that lies would, and put it right again after."""
    flip = (
        "import sys; f = open(sys.argv[1], 'r+b'); f.seek(200000); b = f.read(1)[0];"
        "f.seek(200000); f.write(bytes([b ^ 16]))"
    )
    site.must(f'cp -p {pack} /root/pack && chmod u+w {pack} && python3 -c "{flip}" {pack}')
    yield pack
    site.must(f"rm -f {pack} && mv /root/pack {pack}")


@pytest.fixture
def missing(site: Host, pack: str) -> Iterator[str]:
    """Take the pack away, and put it back after."""
    site.must(f"mv {pack} /root/pack")
    yield pack
    site.must(f"mv /root/pack {pack}")


def test_a_flipped_bit_is_found_where_the_data_is_read_and_becomes_no_guest(
    site: Host, bad_bit: str
) -> None:
    before = alphas(site)
    said = fails(site, 7, "backup", "verify", "--data", "100")
    assert bad_bit.rsplit("/", maxsplit=1)[1][:8] in said
    said = fails(site, 7, *AS_SHOP, "--yes")
    assert "disk data" in said
    assert site.run("virsh domstate shop").returncode != 0
    assert "shop" not in site.must("ls /etc/kvmkeep/guests /root/kvm")
    assert alphas(site) == before
    assert site.must("find /var/lib/kvmkeep/restore -type f 2>/dev/null || true") == ""


def test_the_same_line_makes_a_new_guest_once_the_data_is_whole_again(
    site: Host, pack: str
) -> None:
    assert pack
    before = alphas(site)
    ours(site, "backup", "verify", "--data", "100")
    ours(site, *AS_SHOP, "--yes")
    # Of what the run that failed had made, nothing is left beside the new guest.
    mine = site.must(f"{LVS} | grep -w kvmkeep.guest=shop").splitlines()
    assert len(mine) == 3
    assert not [line for line in mine if "kvmkeep.state=" in line]
    told = site.ssh("root", SHOP, "cat /root/mark; head -c 12 /dev/vdb; echo; hostname")
    assert told.split() == ["precious", "data-of-then", "shop"]
    for line in (HOST_KEY, MAC):
        assert site.ssh("root", SHOP, line) != site.ssh("root", sites.ALPHA, line)
    assert site.must("virsh domuuid shop") != site.must("virsh domuuid alpha")
    assert sites.ALPHA not in site.ssh("root", SHOP, "ip address")
    assert site.plan()["steps"] == []
    again = site.kvmkeep(*AS_SHOP, "--yes")
    assert (again.returncode, again.stdout.strip()) == (0, "Nothing to do.")
    assert alphas(site) == before
    assert site.ssh("root", sites.ALPHA, "cat /root/mark").strip() == "changed"


def test_a_missing_pack_is_told_and_the_disk_that_was_there_is_taken_out_of_the_trash_again(
    site: Host, missing: str
) -> None:
    said = fails(site, 7, "backup", "verify")
    assert missing.rsplit("/", maxsplit=1)[1][:8] in said
    one_disk = ("backup", "restore", "alpha", "--disk", "data", "--yes")
    before = alphas(site)
    assert "it runs" in fails(site, 4, *one_disk)
    assert alphas(site) == before
    ours(site, "shutdown", "alpha")
    others = site.must(OTHERS)
    fails(site, 7, *one_disk)
    assert "is not complete" in fails(site, 4, "start", "alpha")
    assert site.must(OTHERS) == others
    entry = ours(site, "trash", "list", "--names").strip()
    said = fails(site, 4, "trash", "restore", entry, "--yes")
    assert "lvrename rl_build vm-alpha-data NAME" in said
    site.must("lvrename rl_build vm-alpha-data spoiled")
    ours(site, "trash", "restore", entry, "--yes")
    ours(site, "start", "alpha")
    assert site.ssh("root", sites.ALPHA, "head -c 11 /dev/vdb").strip() == "data-of-now"
    site.must("lvremove -y rl_build/spoiled")
    assert site.plan()["steps"] == []
    ours(site, "shutdown", "alpha")


def test_one_disk_comes_back_and_the_present_one_lies_in_the_trash(site: Host, pack: str) -> None:
    assert pack
    others = site.must(OTHERS)
    ours(site, "backup", "restore", "alpha", "--disk", "data", "--yes")
    assert site.must(OTHERS) == others
    (old,) = site.must("lvs --noheadings -o lv_name rl_build | grep trash-").split()
    assert site.must(f"head -c 11 /dev/rl_build/{old}") == "data-of-now"
    ours(site, "start", "alpha")
    told = site.ssh("root", sites.ALPHA, "cat /root/mark; head -c 12 /dev/vdb")
    assert told.split() == ["changed", "data-of-then"]
    assert site.kvmkeep("plan", "--exit-code").returncode == 0
