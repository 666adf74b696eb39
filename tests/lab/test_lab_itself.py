"""The lab itself, on real labs of these tests' own: what it promises to those who use it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess  # noqa: TID251 - the lab's own command line, killed and watched
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import write_cache
from lab.cache import cache_root
from lab.machine import Lab
from lab.state import State, load_state, state_root

TREE = Path(__file__).parents[2]
OUR = f"itself-{os.getpid()}"
TWIN = f"{OUR}-twin"
GUEST_DISK = "/dev/rl_build/itself"
GUEST = f"""\
<domain type='kvm'><name>nested</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><cpu mode='host-passthrough'/>
<features><acpi/><apic/></features>
<devices><disk type='block' device='disk'><driver name='qemu' type='raw' cache='none' io='native'/>
<source dev='{GUEST_DISK}'/><target dev='vda' bus='virtio'/></disk>
<serial type='pty'><log file='/var/log/libvirt/qemu/nested-serial.log' append='off'/></serial>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
</devices></domain>
"""


def command(*arguments: str, name: str = OUR) -> list[str]:
    verb, *rest = arguments
    return [sys.executable, "-m", "lab", verb, "--name", name, *rest]


def lab(*arguments: str, data: bytes = b"", name: str = OUR) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments, name=name),
        input=data,
        capture_output=True,
        check=False,
        cwd=TREE,
        timeout=600,
    )


def processes_of(name: str) -> list[str]:
    """Return the command lines of all processes that have to do with a lab, but not pytest's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(f"kvmkeep-lab-{name}" == word or f"/{name}/" in word for word in words):
            found.append(" ".join(words))
    return found


def until(condition: Callable[[], bool], what: str, *, limit: float = 120) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"waited for {what} in vain"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def ours() -> Iterator[Lab]:
    made = Lab(OUR)
    try:
        yield made.up()
    finally:
        made.down()
        Lab(TWIN).down()


def must(made: Lab, line: str) -> str:
    return made.run(["bash", "-c", line], check=True).stdout


# --- The host's facts -----------------------------------------------------------------------


def test_both_disks_are_in_the_raid_and_the_volume_group_is_on_it(ours: Lab) -> None:
    detail = must(ours, "mdadm --detail /dev/md0")
    assert "Raid Level : raid1" in detail
    assert "Active Devices : 2" in detail
    assert must(ours, "vgs --noheadings -o vg_name,pv_name").split() == ["rl_build", "/dev/md0"]
    names = must(ours, "lvs --noheadings -o lv_name rl_build").split()
    assert sorted(names) == ["home", "opt", "root"]


@pytest.mark.parametrize("name", ["root", "home", "opt"])
def test_the_systems_volumes_have_files_with_known_checksums(ours: Lab, name: str) -> None:
    place = f"/mnt/{name}"
    must(ours, f"mkdir -p {place} && mount -o ro,noload /dev/rl_build/{name} {place}")
    sums = must(ours, f"(cd {place} && sha256sum --strict -c SHA256SUMS); umount {place}")
    assert sums.count(": OK") == 32
    assert f"{name}-31.bin: OK" in sums
    assert "untouched" in must(ours, "lab-os-volumes check")


def test_a_change_in_a_volume_of_the_system_is_noticed(ours: Lab) -> None:
    keep = "dd if=/dev/rl_build/opt of=/tmp/opt.head bs=4096 count=1 skip=4000 status=none"
    spoil = "echo x | dd of=/dev/rl_build/opt bs=4096 seek=4000 conv=notrunc status=none"
    mend = "dd if=/tmp/opt.head of=/dev/rl_build/opt bs=4096 seek=4000 conv=notrunc status=none"
    must(ours, f"{keep} && {spoil} && sync")
    assert ours.run(["lab-os-volumes", "check"]).returncode == 1
    must(ours, f"{mend} && sync && lab-os-volumes check")


def test_the_uplink_has_no_address_and_the_campus_answers_only_with_tags(ours: Lab) -> None:
    assert must(ours, "ip -br address show ens802f1").split() == ["ens802f1", "UP"]
    assert "10.0.2.15/24" in must(ours, "ip -br address show ens802f0")
    script = """set -e
    trap 'ip link del test.223 2>/dev/null || :; ip link del test.2368; ip a flush dev ens802f1' EXIT
    ip link add link ens802f1 name test.223 type vlan id 223
    ip link add link ens802f1 name test.2368 type vlan id 2368
    ip link set test.223 up; ip link set test.2368 up
    ip a add 132.230.223.7/24 dev test.223; ip a add 10.5.68.7/24 dev test.2368
    ping -c1 -W20 -I test.223 132.230.223.254 >/dev/null && echo tagged 223 answers
    ping -c1 -W20 -I test.2368 10.5.68.254 >/dev/null && echo tagged 2368 answers
    ip link del test.223; ip a add 132.230.223.7/24 dev ens802f1
    ping -c1 -W3 -I ens802f1 132.230.223.254 >/dev/null || echo untagged is silent
    """
    said = must(ours, script)
    assert said.splitlines() == [
        "tagged 223 answers",
        "tagged 2368 answers",
        "untagged is silent",
    ]


def test_one_vlan_has_dhcp_and_the_other_has_none(ours: Lab) -> None:
    # Only the server's sockets are looked at: a lease would need a client on the bare uplink.
    sockets = must(ours, "campus ss -Hlunp 'sport = :67'")
    assert "campus0.223" in sockets
    assert "2368" not in sockets


@pytest.mark.long
def test_a_nested_guest_really_runs_under_kvm(ours: Lab) -> None:
    must(ours, f"lvcreate -q -y -Wy -L 96M -n itself rl_build && test -b {GUEST_DISK}")
    must(ours, f"qemu-img convert -n -f raw -O raw /srv/images/tiny.raw {GUEST_DISK}")
    ours.run(["sh", "-c", "cat > /root/nested.xml"], input=GUEST, check=True)
    must(ours, "virsh -q define /root/nested.xml && virsh -q start nested")
    answer = ["virsh", "qemu-agent-command", "nested", '{"execute":"guest-ping"}']
    until(lambda: ours.run(answer).returncode == 0, "the guest's agent", limit=240)
    assert "tiny login:" in must(ours, "cat /var/log/libvirt/qemu/nested-serial.log")
    monitor = must(ours, "virsh qemu-monitor-command nested --hmp info kvm")
    assert "kvm support: enabled" in monitor


def test_the_guest_images_are_there_read_only_and_as_published(ours: Lab) -> None:
    names = must(ours, "ls /srv/images").split()
    wanted = {"cloud.raw", "cloud.qcow2", "cloud.raw.zst", "openstack-only.raw", "tiny.raw"}
    assert wanted | {"SHA256SUMS"} <= set(names)
    assert "tiny.raw: OK" in must(
        ours, "cd /srv/images && sha256sum --ignore-missing -c <(grep tiny.raw SHA256SUMS)"
    )
    assert ours.run(["touch", "/srv/images/x"]).returncode != 0


# --- Commands and files ---------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 3, 127, 137, 255])
def test_the_exit_code_is_passed_on(ours: Lab, code: int) -> None:
    assert ours.log.exists()
    assert lab("run", "--", "sh", "-c", f"exit {code}").returncode == code


def test_a_killed_command_ends_as_in_a_shell(ours: Lab) -> None:
    assert ours.log.exists()
    done = lab("run", "--", "sh", "-c", "kill -KILL $$")
    assert (done.returncode, done.stdout, done.stderr) == (137, b"", b"")


def test_output_errors_and_input_pass_byte_for_byte(ours: Lab) -> None:
    assert ours.log.exists()
    data = bytes(range(256)) * 4096 + os.urandom(100_000)
    done = lab("run", "--", "sh", "-c", "cat; printf '\\377\\0 no newline' >&2", data=data)
    assert done.returncode == 0
    assert done.stdout == data
    assert done.stderr == b"\xff\0 no newline"


def test_files_come_back_as_they_went(ours: Lab, tmp_path: Path) -> None:
    assert ours.log.exists()
    tree = tmp_path / "tree"
    (tree / "a b" / "ü").mkdir(parents=True)
    data = os.urandom(3_000_000)
    (tree / "a b" / "ü" / "'quote\".bin").write_bytes(data)
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("run.sh")
    assert lab("copy", str(tree), "lab:/root/there/").returncode == 0
    assert must(ours, "stat -c '%a %U' /root/there/tree/run.sh").split() == ["755", "root"]
    back = tmp_path / "back"
    back.mkdir()
    assert lab("copy", "lab:/root/there/tree", str(back)).returncode == 0
    assert (back / "tree/a b/ü/'quote\".bin").read_bytes() == data
    assert (back / "tree" / "link").readlink() == Path("run.sh")
    one = tree / "run.sh"
    assert lab("copy", str(one), "lab:/root/renamed").returncode == 0
    assert lab("copy", "lab:/root/renamed", str(tmp_path / "one")).returncode == 0
    assert (tmp_path / "one").read_text() == "#!/bin/sh\n"
    missing = lab("copy", "lab:/root/no-such-file", str(tmp_path / "no"))
    assert missing.returncode == 1
    assert b"No such file" in missing.stderr
    assert not (tmp_path / "no").exists()


# --- Power, reset, and several labs -----------------------------------------------------------


@pytest.mark.long
def test_a_cut_is_no_shutdown_and_the_host_comes_back_whole(ours: Lab) -> None:
    must(ours, "mkdir -p /var/log/journal && journalctl --flush")
    must(ours, "logger -t itself before the cut; journalctl --sync; sync")
    must(
        ours, "lvcreate -q -y -Wy -L 8M -n kept rl_build </dev/null; echo kept > /dev/rl_build/kept"
    )
    must(ours, "sync")
    ours.cut()
    assert lab("run", "--", "true").returncode == 1, "a lab without power runs nothing"
    ours.boot()
    before = must(ours, "journalctl -q --no-pager -o cat")
    assert "before the cut" in before
    for word in ("Reached target Power-Off", "Reached target System Power Off", "Shutting down"):
        assert word not in before
    # settled means: not degraded. Resyncing would be fine, too.
    assert "[2/2] [UU]" in must(ours, "cat /proc/mdstat")
    assert must(ours, "head -c 4 /dev/rl_build/kept") == "kept"
    assert "untouched" in must(ours, "lab-os-volumes check")
    assert must(ours, "ls /srv/images/SHA256SUMS")


def test_a_forgetful_disk_keeps_what_was_flushed_and_some_of_the_rest(tmp_path: Path) -> None:
    # Without a host: in one, somebody always flushes, such as MD its bitmap.
    state = State(f"{OUR}-forgets", str(tmp_path))
    image, raw = tmp_path / "root.qcow2", tmp_path / "root.raw"
    state.place.mkdir(parents=True)

    def io(*commands: str, place: str = "", ends: int = 0) -> None:
        # By itself, qemu-io flushes after each write (writethrough).
        where = ["-t", "writeback", "-f", "raw", place] if place else ["-f", "qcow2", str(image)]
        words = [word for command in commands for word in ("-c", command)]
        argv = ["/usr/bin/qemu-io", *words, *where]
        done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
        assert done.returncode == ends, done.stdout

    def after_a_cut(*commands: str, seed: str) -> bytes:
        write_cache.start(state, "root", image, seed=seed)
        # One that ends in order flushes.
        served = write_cache.drive_file(state, "root")
        io(*commands, "abort", place=served, ends=-signal.SIGABRT)
        write_cache.hold(state, "root")
        word = write_cache.drop(state, "root")
        assert "256 blocks were not flushed" in word
        convert = ["/usr/bin/qemu-img", "convert", "-O", "raw", str(image), str(raw)]
        subprocess.run(convert, check=True)
        return raw.read_bytes()

    made = ["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", str(image), "4M"]
    try:
        subprocess.run(made, check=True)
        io("write -P 1 0 4M")
        flushed, alone, lost = "write -P 2 0 2M", "write -f -P 3 2M 1M", "write -P 4 3M 1M"
        # The smallest that can be read back, and is more than one block.
        found = after_a_cut(
            flushed,
            "write -P 5 512 512",
            "flush",
            "flush",
            alone,
            lost,
            "read -P 4 3M 1M",
            seed="half",
        )
        blocks = [found[start : start + 4096] for start in range(0, len(found), 4096)]
        assert found[:1536] == b"\2" * 512 + b"\5" * 512 + b"\2" * 512
        assert set(blocks[1:512]) == {b"\2" * 4096}
        assert set(blocks[512:768]) == {b"\3" * 4096}
        assert set(blocks[768:]) == {b"\1" * 4096, b"\4" * 4096}
        # A write past the cache does not bring back what was cached before it.
        found = after_a_cut(
            "write -P 6 0 8k", "write -z 4k 8k", "write -P 7 3M 1M", "write -P 8 0 4k", "flush",
            "write -P 9 3M 1M", seed="half",
        )  # fmt: skip
        assert found[:16384] == b"\x08" * 4096 + bytes(8192) + b"\2" * 4096
        assert set(found[3 << 20 :]) == {7, 9}
    finally:
        write_cache.drop(state, "root")
        shutil.rmtree(state.place)
    assert processes_of(state.name) == []


@pytest.mark.long
def test_two_labs_run_side_by_side_and_a_reset_touches_only_its_own(ours: Lab) -> None:
    twin = Lab(TWIN).up(images=False)
    first, second = load_state(OUR), load_state(TWIN)
    assert first
    assert second
    assert first.port != second.port
    assert first.pid != second.pid
    assert first.disks != second.disks
    must(ours, "echo ours > /root/mark; sync")
    must(twin, "echo twin > /root/mark; lvcreate -q -y -Wy -L 8M -n mark rl_build </dev/null; sync")
    assert must(ours, "cat /root/mark") == "ours\n"
    assert "mark" not in must(ours, "lvs --noheadings -o lv_name rl_build").split()
    twin.reset()
    assert must(twin, "ls /root").split() == ["kvm"]
    names = must(twin, "lvs --noheadings -o lv_name rl_build").split()
    assert sorted(names) == ["home", "opt", "root"]
    assert "untouched" in must(twin, "lab-os-volumes check")
    assert "running" not in must(twin, "virsh list --all --state-running --name")
    after = load_state(TWIN)
    assert after
    assert after.port == second.port, "the port stays, so that open notes of it stay true"
    assert must(ours, "cat /root/mark") == "ours\n"


@pytest.mark.long
def test_killing_the_way_up_in_the_middle_blocks_nobody(ours: Lab) -> None:
    assert ours.log.exists()
    Lab(TWIN).down()
    seen = state_root() / TWIN / "qmp.sock"
    with subprocess.Popen(
        command("up", "--no-images", name=TWIN),
        cwd=TREE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as rising:
        until(lambda: seen.exists() or rising.poll() is not None, "the machine to start")
        assert rising.poll() is None, "it was up too early for this test"
        rising.send_signal(signal.SIGKILL)
        rising.wait(timeout=30)
    until(lambda: processes_of(TWIN) == [], "the machine to be killed as well", limit=30)
    twin = Lab(TWIN).up(images=False)
    assert must(twin, "cat /etc/hostname") == "build\n"


@pytest.mark.long
def test_nothing_is_left_after_down(ours: Lab) -> None:
    assert ours.log.exists()
    Lab(TWIN).up(images=False)
    assert processes_of(TWIN) != []
    lab("down", name=TWIN)
    assert processes_of(TWIN) == []
    assert not (state_root() / TWIN).exists()
    assert not (state_root() / "locks" / TWIN).exists()
    assert list((cache_root() / "running").glob(f"{TWIN}-*")) == []
    assert not any(f"-{TWIN}" in path.name for path in cache_root().iterdir())
    assert TWIN.encode() not in lab("list", name=TWIN).stdout
