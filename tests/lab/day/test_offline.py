"""Disks changed from outside, looked at with debugfs and from inside the guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

ALPHA = "10.5.68.11"
LV = "/dev/rl_build/vm-alpha"
IMAGE = "/root/changed.raw"
CHANGES = """\
passwords: {root: {file: /root/pw}}
ssh_keys: {root: [/root/other-key.pub]}
sudo: [root]
hostname: kiosk.example.org
serial_console: true
addresses:
  - {mac: "52:54:00:12:34:56", address: 10.5.68.77/24, gateway: 10.5.68.254, dns: [192.0.2.53]}
cloud_init: false
datasources: [NoCloud, None]
files:
  /etc/kiosk: {content: "it's \\"quoted\\" $HOME\\n", mode: "0640"}
run: ["id -u > /root/ran"]
"""


@pytest.fixture
def alpha_off(site: Host) -> Iterator[None]:
    """Have alpha off; afterwards it runs again, and nothing is left on the host."""
    site.must("kvmkeep shutdown alpha", limit=300)
    yield
    site.must("kvmkeep start alpha && rm -f /root/pw /root/other-key* /root/brought", limit=600)


def inside(site: Host, disk: str, command: str) -> str:
    """Ask debugfs: both images have one partition, at 1 MiB."""
    return site.must(f"debugfs -R '{command}' '{disk}?offset=1048576' 2>/dev/null")


def test_a_guest_that_runs_or_whose_disk_is_open_is_left_alone(site: Host) -> None:
    refused = site.kvmkeep("tweak", "alpha", "--hostname", "x", "--yes")
    assert refused.returncode == 4
    assert "is not off" in refused.stderr


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

    copied = site.run("kvmkeep copy-in alpha /root/brought /etc --mode 0600 --yes", limit=1500)
    assert copied.returncode == 0, f"{copied.stdout}\n{copied.stderr}"
    assert "Mode:  0600" in inside(site, LV, "stat /etc/brought")

    site.must("kvmkeep start alpha", limit=600)
    assert site.ssh("root", ALPHA, "cat /root/brought /etc/brought").split() == ["mine", "mine"]
    keys = site.ssh(
        "root", ALPHA, "ls -l /root/.ssh/authorized_keys; cat /root/.ssh/authorized_keys"
    )
    assert keys.startswith("-rw-------")
    assert site.must("cat /root/other-key.pub").strip() in keys
    assert len(keys.strip().splitlines()) == 3


def test_an_image_stays_and_its_copy_has_all_that_was_asked_for(site: Host) -> None:
    site.put("/root/pw", "correct horse\n")
    site.put("/root/changes.yaml", CHANGES)
    site.must("test -e /root/other-key || ssh-keygen -q -t ed25519 -N '' -f /root/other-key")
    before = site.must("stat -c '%y %s %i' /srv/images/cloud.raw")
    done = site.kvmkeep(
        "tweak", "cloud", "--from", "/root/changes.yaml", "--output", IMAGE, "--yes", limit=1500
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert site.must("stat -c '%y %s %i' /srv/images/cloud.raw") == before

    def cat(path: str) -> str:
        return inside(site, IMAGE, f"cat {path}")

    assert cat("/etc/hostname") == "kiosk.example.org\n"
    assert cat("/etc/kiosk") == 'it\'s "quoted" $HOME\n'
    assert "console=tty0 console=ttyS0,115200n8\n" in cat("/boot/grub/grub.cfg")
    assert "auto mac/52:54:00:12:34:56=kvmkeep0" in cat("/etc/network/interfaces")
    assert "    address 10.5.68.77/24" in cat("/etc/network/interfaces")
    assert cat("/etc/resolv.conf").endswith("nameserver 192.0.2.53\n")
    folder = "/etc/cloud/cloud.cfg.d"
    assert cat(f"{folder}/99-zz-kvmkeep-network.cfg") == "network: {config: disabled}\n"
    assert cat(f"{folder}/99-zz-kvmkeep.cfg") == "datasource_list: [NoCloud, None]\n"
    assert cat("/etc/sudoers.d/kvmkeep-root") == "root ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert cat("/root/ran") == "0\n"
    assert "Type: regular" in inside(site, IMAGE, "stat /etc/cloud/cloud-init.disabled")
    again = site.kvmkeep("tweak", "cloud", "--hostname", "x", "--output", IMAGE, "--yes")
    assert again.returncode == 4
    site.must(f"rm -f {IMAGE} /root/changes.yaml /root/pw /root/other-key*")
