"""Backups to a store that is slow or falls silent, and while clock and guest change meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sites
import stores
from backing_up import LONG, backups, begin, ended, fails, keys, nothing_is_left, ours, store
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

pytestmark = pytest.mark.long

SLOW = 5 << 20
DAYS = 2 * 24 * 3600


@pytest.fixture(scope="module")
def wire(site: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Give alpha a repository behind a wire, and its data disk what can't be packed."""
    place = tmp_path_factory.mktemp("stores")
    with stores.Rest(stores.stores(site.lab), place) as server, Wire(server.port) as wire:
        server.serve()
        site.lab.copy_in([server.ca], "/root/ca.pem")
        site.must("umask 077; echo of-the-repository > /root/vault.password")
        keys(
            site, RESTIC_REST_USERNAME=server.USER, RESTIC_REST_PASSWORD=server.PASSWORD,
            SSL_CERT_FILE="/root/ca.pem",
        )  # fmt: skip
        url = f"rest:https://{stores.OUTSIDE}:{wire.port}/build/"
        store(site, url=url, environment_file="/root/backup.keys")
        ours(site, "backup", "init", "vault")
        yield wire


def filled_anew(site: Host) -> None:
    site.ssh("root", sites.ALPHA, "dd if=/dev/urandom of=/dev/vdb bs=1M count=56 conv=fsync")


def goes_on(site: Host, process: str) -> None:
    """Demand that the guest works as if nothing happened."""
    assert site.qemu_pid("alpha") == process
    site.ssh("root", sites.ALPHA, "echo of-alpha > /root/mark; sync")


@pytest.fixture(autouse=True)
def at_once(wire: Wire) -> Iterator[None]:
    """Have each test begin with a store that takes what it is given."""
    wire.rate, wire.silent = 0, False
    yield
    wire.rate, wire.silent = 0, False


def test_a_slow_one_while_the_guest_grows_and_a_second_run_is_asked_for(
    site: Host, wire: Wire
) -> None:
    process = site.qemu_pid("alpha")
    filled_anew(site)
    wire.rate = SLOW
    begin(site)
    goes_on(site, process)
    assert "another" in fails(site, 6, "backup", "run", "alpha")
    site.must("sed -i 's/data: 64MiB/data: 72MiB/' /etc/kvmkeep/guests/alpha.yaml")
    said = fails(site, 4, "apply", "--yes", "alpha")
    assert "wait until the backup that it is for has ended" in said
    assert ended(site).returncode == 0
    site.apply("alpha")
    (one,) = backups(site)
    sizes = {disk["disk"]: disk["size"] for disk in one["disks"]}
    assert sizes["data"] == 64 << 20
    nothing_is_left(site)
    size = "lvs --noheadings --units m --nosuffix -o lv_size rl_build/vm-alpha-data"
    assert float(site.must(size)) == 72
    wire.rate = 0
    ours(site, "backup", "run", "alpha")
    sizes = {disk["disk"]: disk["size"] for disk in backups(site)[-1]["disks"]}
    assert sizes["data"] == 72 << 20
    goes_on(site, process)


def test_one_that_falls_silent_in_the_middle(site: Host, wire: Wire) -> None:
    process = site.qemu_pid("alpha")
    before = backups(site)
    filled_anew(site)
    wire.rate = SLOW
    begin(site)
    wire.silent = True
    listing = site.kvmkeep("backup", "list")
    assert listing.returncode != 0
    assert "repository vault can't be seen" in listing.stderr
    goes_on(site, process)
    site.must("kill -INT $(cat /root/run)")
    done = ended(site)
    assert done.returncode != 0
    assert "alpha" in done.stdout
    nothing_is_left(site)
    wire.silent, wire.rate = False, 0
    assert backups(site) == before
    ours(site, "backup", "run", "alpha")
    assert len(backups(site)) == len(before) + 1
    ours(site, "backup", "verify", "--data", "100")
    goes_on(site, process)


def test_the_clock_jumps_forth_and_back_again(site: Host, wire: Wire) -> None:
    process = site.qemu_pid("alpha")
    before = len(backups(site))
    filled_anew(site)
    wire.rate = SLOW
    begin(site)
    site.must(f"date --set=@$(($(date +%s) + {DAYS}))")
    assert ended(site).returncode == 0
    wire.rate = 0
    nothing_is_left(site)
    ours(site, "backup", "run", "alpha")
    site.must(f"date --set=@$(($(date +%s) - {DAYS}))")
    goes_on(site, process)
    ours(site, "backup", "run", "alpha")
    found = backups(site)
    assert len(found) == before + 3
    site.must("mkdir -p /root/out && rm -f /root/out/mark")
    latest = max(one["moment"] for one in found)
    ours(site, "backup", "copy-out", f"alpha@{latest}", "/root/mark", "/root/out")
    assert site.must("cat /root/out/mark").strip() == "of-alpha"
    nothing_is_left(site)
    said = site.kvmkeep("check", limit=LONG)
    assert "Traceback" not in said.stderr
    assert said.returncode in {0, 1, 2}
    goes_on(site, process)
