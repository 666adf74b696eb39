"""Disks changed from outside, looked at with debugfs and from inside the guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

ALPHA = "10.5.68.11"
LV = "/dev/rl_build/vm-alpha"


@pytest.fixture
def alpha_off(site: Host) -> Iterator[None]:
    """Have alpha off; afterwards it runs again, and nothing is left on the host."""
    site.must("kvmkeep shutdown alpha", limit=300)
    yield
    site.must("kvmkeep start alpha && rm -f /root/pw /root/other-key* /root/brought", limit=600)


def inside(site: Host, disk: str, command: str) -> str:
    """Ask debugfs: the disk has one partition, at 1 MiB."""
    return site.must(f"debugfs -R '{command}' '{disk}?offset=1048576' 2>/dev/null")


@pytest.mark.long
def test_a_guest_that_runs_or_whose_disk_is_open_is_left_alone(site: Host) -> None:
    refused = site.kvmkeep("tweak", "alpha", "--hostname", "x", "--yes")
    assert refused.returncode == 4
    assert "is not off" in refused.stderr


@pytest.mark.long
@pytest.mark.usefixtures("alpha_off")
def test_a_guest_gets_a_password_a_key_and_files_while_it_is_off(site: Host) -> None:
    site.put("/root/pw", "correct horse\n")
    site.must("ssh-keygen -q -t ed25519 -N '' -f /root/other-key; echo mine > /root/brought")
    words = "kvmkeep tweak alpha --password root=/root/pw --ssh-key root=/root/other-key.pub"
    opened = site.run(f"exec 9<{LV}; {words} --yes")
    assert opened.returncode == 4
    assert "has rl_build/vm-alpha open" in opened.stderr

    done = site.run(
        f"{words} --file /root/brought=/root/brought --run 'id -u > /ran' --yes", limit=1500
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "correct horse" not in done.stdout + done.stderr
    hashed = inside(site, LV, "cat /etc/shadow").split(":")[1]
    salt = hashed.split("$")[2]
    made = site.must(f"openssl passwd -6 -salt {salt} -stdin < /root/pw").strip()
    assert made == hashed
    assert hashed not in site.must("cat /var/lib/kvmkeep/journal/*; ls /run/kvmkeep/fittings")
    assert inside(site, LV, "cat /ran").strip() == "0"

    site.must("kvmkeep start alpha", limit=600)
    assert site.ssh("root", ALPHA, "cat /root/brought") == "mine\n"
    keys = site.ssh(
        "root", ALPHA, "ls -l /root/.ssh/authorized_keys; cat /root/.ssh/authorized_keys"
    )
    assert keys.startswith("-rw-------")
    assert site.must("cat /root/other-key.pub").strip() in keys
    assert len(keys.strip().splitlines()) == 3
