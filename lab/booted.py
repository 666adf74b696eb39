"""The booted host: provisioned disks, and the saved state of the running machine."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from lab import cache, qemu, ssh
from lab.accel import accelerator, qemu_version
from lab.console import last_words
from lab.errors import LabError
from lab.host_image import HERE, host_image, host_key
from lab.state import State, all_states
from lab.tools import output_of, say, step, tail, wait_for

BOOT_LIMIT = 600
PROVISION_LIMIT = 300
SPACE = 3 * 2**30
SAVED = "saved.zst"
FIRST_BOOT = "first-boot-"


def wait_for_ssh(state: State, *, limit: float) -> None:
    """Wait until the machine's SSH server answers; a machine that has ended is an error at once."""

    def answers() -> bool:
        if not qemu.is_there(state):
            message = f"the machine ended while it started:\n{tail(state.place / 'qemu.log')}"
            raise LabError(message)
        return ssh.banner_answers(state.port)

    try:
        wait_for("the lab's SSH server", answers, limit=limit, pause=0.3)
    except LabError as error:
        console = last_words(state.place / "console.log")
        message = f"{error.message}; the console's last lines:\n{console}"
        raise LabError(message, error.hint) from error
    ssh.open_master(state, limit=60)


def demand(state: State, argv: list[str], *, limit: float) -> str:
    """Run a command in the lab that must succeed."""
    done = ssh.run_captured(state, argv, limit=limit)
    if done.returncode:
        text = (done.stderr + done.stdout).decode(errors="replace").strip()
        message = f"{argv[0]} failed in the lab with exit code {done.returncode}: {text}"
        raise LabError(message)
    return done.stdout.decode(errors="replace")


def build_booted(place: Path, host: Path) -> None:
    """Boot the host for the first time, make its volumes, and save the running machine."""
    (place / "base").symlink_to(Path("..", host.name))
    qemu.make_overlay(place / "root.qcow2", host / "root.img", "raw")
    for disk in qemu.DISKS[1:]:
        output_of(
            ["qemu-img", "create", "-q", "-f", "qcow2", str(place / f"{disk}.qcow2"), qemu.SSD_SIZE]
        )
    remove_leftovers(place.parent)
    # A short name: the sockets of this machine live in their own place for a moment.
    name = FIRST_BOOT + secrets.token_hex(3)
    state = State(name, str(place), accelerator=accelerator())
    state.save()
    guard = None
    try:
        with step(f"first boot of the host ({state.accelerator}; about 30 s)"):
            guard = qemu.launch(state, host, saved=None)
            ssh.write_config(state, host)
            wait_for_ssh(state, limit=BOOT_LIMIT)
        with step("making the RAID, the volume group and the volumes of the operating system"):
            demand(state, ["/usr/local/lib/kvmkeep-lab/provision.sh"], limit=PROVISION_LIMIT)
            demand(state, ["lab-settled", "120"], limit=150)
            demand(
                state,
                ["sh", "-c", "virsh version && nmcli general && sync && sleep 2 && sync"],
                limit=60,
            )
        with step("saving the running machine"):
            ssh.close_master(state)
            demand(state, ["sync"], limit=60)
            ssh.close_master(state)
            qemu.save_machine(state, place / SAVED)
            wait_for("QEMU to end", lambda: not qemu.is_there(state), limit=60)
    finally:
        qemu.power_off(state)
        ssh.close_master(state)
        if guard is not None:
            guard.release()
        shutil.rmtree(state.place, ignore_errors=True)


def remove_leftovers(root: Path) -> None:
    """Remove what a first boot left that was killed. The caller holds the lock of such builds."""
    for state in all_states():
        if state.name.startswith(FIRST_BOOT) and Path(state.disks).parent == root:
            qemu.power_off(state)
            state.remove()


def booted_host() -> Path:
    """Return the directory with the disks of a booted host and its saved state."""
    host = host_image()
    sample = State("any", "/disks", accelerator=accelerator())
    words = [word.replace(str(sample.place), "") for word in qemu.command_line(sample, Path("/"))]
    parts = cache.tree_parts(HERE / "booted.py") | {
        "command": "\0".join(words).encode(),
        "sizes": f"{qemu.SSD_SIZE} {qemu.DISKS}".encode(),
        "host": host_key().encode(),
        "qemu": qemu_version().encode(),
        "accel": accelerator().encode(),
    }
    key = cache.key_of(parts)
    place = cache.entry("booted", key, lambda target: build_booted(target, host), needs=SPACE)
    if not (place / "base" / "vmlinuz").exists():
        say("the host image behind the booted host has changed; booting again")
        shutil.rmtree(place)
        return booted_host()
    return place
