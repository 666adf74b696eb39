"""The virtual server itself: QEMU's command line, its start and its end."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import write_cache
from lab.accel import QEMU
from lab.errors import LabError
from lab.guest_images import DISK
from lab.qmp import Qmp
from lab.tools import Guard, output_of, tail, tool_environment, wait_for

if TYPE_CHECKING:
    from lab.state import State

MEMORY = 6144
PROCESSORS_UNDER_KVM = 2
# With two emulated processors, QEMU 7.2 sometimes went on running code that Linux had just patched
# (KVM's static keys, as guests come and go): both hung for good.
PROCESSORS_EMULATED = 1
DISKS = ("root", "ssd-a", "ssd-b")
SSD_SIZE = "41G"
KERNEL_ARGUMENTS = (
    "root=LABEL=lab-root rw console=ttyS0,115200 loglevel=4 mitigations=off audit=0 tsc=reliable"
)
EMULATED_PROCESSOR = "max,-la57,-erms,-fsrm"
"""What costs most to emulate is left out: a fifth level of page tables, and `rep movsb`, with which
Linux copies and clears whole pages where it is said to be fast (ERMS). It takes 8 % less."""
LOCALHOST = "127.0.0.1"
PORT_TRIES = 5
IMAGES_DEVICE = {
    "driver": "virtio-blk-pci",
    "drive": "images",
    "serial": "images",
    "bus": "spare",
    "id": "imagedisk",
}
# They outlive us on purpose: `down` ends them, not Python.
MACHINES: list[subprocess.Popen[bytes]] = []


def command_line(state: State, host: Path) -> list[str]:
    """Return the command for QEMU. It must be the same for a machine that is saved and resumed."""
    accel = "kvm" if state.accelerator == "kvm" else "tcg,thread=multi,tb-size=1024"
    place = state.place
    # One option and its value per line.
    argv = [
        QEMU,
        "-name",
        f"kvmkeep-lab-{state.name}",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
    ]
    argv += [
        "-machine",
        "q35",
        "-accel",
        accel,
        "-cpu",
        "max" if accel == "kvm" else EMULATED_PROCESSOR,
        "-smp",
        str(PROCESSORS_UNDER_KVM if state.accelerator == "kvm" else PROCESSORS_EMULATED),
        "-m",
        str(MEMORY),
    ]
    argv += [
        "-kernel",
        str(host / "vmlinuz"),
        "-initrd",
        str(host / "initrd.img"),
        "-append",
        KERNEL_ARGUMENTS,
    ]
    for slot, disk in enumerate(DISKS, start=4):
        argv += [
            "-drive",
            disk_drive(state, disk),
            "-device",
            f"virtio-blk-pci,drive={disk},serial={disk},addr={slot}",
        ]
    argv += ["-netdev", f"user,id=mgmt,hostfwd=tcp:{LOCALHOST}:{state.port}-:22"]
    argv += ["-device", "virtio-net-pci,netdev=mgmt,mac=52:54:00:e0:00:f0,addr=8,romfile="]
    # Without ctrl_vlan: the table of VLANs does not survive saving and resuming the machine.
    argv += ["-netdev", "hubport,id=uplink,hubid=1", "-netdev", "hubport,id=campus,hubid=1"]
    argv += [
        "-device",
        "virtio-net-pci,netdev=uplink,mac=52:54:00:e0:00:f1,addr=9,romfile=,ctrl_vlan=off",
    ]
    argv += [
        "-device",
        "virtio-net-pci,netdev=campus,mac=52:54:00:e0:00:ca,addr=10,romfile=,ctrl_vlan=off",
    ]
    argv += [
        "-device",
        "virtio-rng-pci,addr=11",
        "-device",
        "pcie-root-port,id=spare,chassis=1,addr=12",
    ]
    argv += [
        "-chardev",
        f"socket,id=console,path={place}/console.sock,server=on,wait=off,logfile={place}/console.log",
    ]
    argv += ["-serial", "chardev:console", "-qmp", f"unix:{place}/qmp.sock,server=on,wait=off"]
    return argv


def disk_drive(state: State, disk: str) -> str:
    """Return where one of the host's disks is, and how it is cached."""
    drive = f"if=none,id={disk}"
    if state.forgetful:
        # Discarded blocks that the cache holds would come back; so none are discarded.
        return f"file={write_cache.drive_file(state, disk)},{drive},format=raw,cache=writeback"
    return f"file={state.disks}/{disk}.qcow2,{drive},format=qcow2,cache=unsafe,discard=unmap"


def free_port() -> int:
    """Return a TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])


def demand_port(port: int) -> None:
    """Refuse a port that somebody else uses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError as error:
            message = f"port {port} on {LOCALHOST} is taken: {error.strerror}"
            raise LabError(message, "leave --ssh-port out, and a free one is chosen") from error


def make_overlay(overlay: Path, base: Path, base_format: str) -> None:
    """Make a disk that holds only what changes against its base."""
    argv = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        base_format,
        "-b",
        str(base.resolve()),
        str(overlay),
    ]
    output_of(argv)


def images_drive(images: Path) -> str:
    """Return the drive with the guest images, for `IMAGES_DEVICE`."""
    return f"file={images / DISK},if=none,id=images,format=raw,cache=unsafe,readonly=on"


def saved_arguments(state: State, saved: Path) -> list[str]:
    """Return what QEMU needs more to go on with a saved machine: its memory, and what was plugged in."""
    argv = ["-incoming", f"exec:exec zstd -dcq '{saved}'"]
    if state.images:
        device = ",".join(f"{name}={value}" for name, value in IMAGES_DEVICE.items())
        argv += ["-drive", images_drive(Path(state.images)), "-device", device]
    return argv


def launch(state: State, host: Path, *, saved: Path | None) -> Guard:
    """Start QEMU; give the guard that stops it, should this process die before the lab is up."""
    wanted = state.port
    for attempt in range(PORT_TRIES):
        if state.forgetful:
            state.save()
            for disk in DISKS:
                write_cache.start(state, disk, Path(state.disks, f"{disk}.qcow2"))
        state.port = wanted or free_port()
        if wanted:
            demand_port(wanted)
        argv = command_line(state, host)
        if saved:
            argv += saved_arguments(state, saved)
        log = state.place / "qemu.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                env=tool_environment(),
            )
        MACHINES.append(process)
        state.pid = process.pid
        guard = Guard(process.pid)
        try:
            state.save()
            wait_for(
                "QEMU to start",
                functools.partial(up_or_ended, process, state),
                limit=60,
                pause=0.05,
            )
            if process.poll() is None:
                return guard
        except BaseException:
            power_off(state)
            raise
        finally:
            if process.poll() is not None:
                guard.release()
        power_off(state)
        state.save()
        if (
            "Could not set up host forwarding rule" in tail(log)
            and attempt + 1 < PORT_TRIES
            and not wanted
        ):
            continue
        message = f"QEMU did not start:\n{tail(log)}\n"
        raise LabError(message, "the port was taken" if "forwarding rule" in tail(log) else "")
    message = "found no free port"
    raise LabError(message)


def up_or_ended(process: subprocess.Popen[bytes], state: State) -> bool:
    """Say whether QEMU needs no more waiting for: it listens, or it is gone."""
    return process.poll() is not None or socket_ready(state)


def socket_ready(state: State) -> bool:
    """Say whether QEMU's control socket is there."""
    return (state.place / "qmp.sock").exists()


def resume(state: State, *, limit: float = 60) -> None:
    """Wait until the saved state is loaded, and let the machine run."""
    with Qmp(state.place / "qmp.sock") as qmp:
        qmp.wait_for_status("paused", "prelaunch", "postmigrate", "running", limit=limit)
        qmp.call("cont")
        qmp.wait_for_status("running", limit=10)


def save_machine(state: State, target: Path, *, limit: float = 300) -> None:
    """Write the state of the running machine to a file; the machine stays stopped."""
    with Qmp(state.place / "qmp.sock", limit=limit) as qmp:
        qmp.call("stop")
        qmp.call("migrate-set-parameters", max_bandwidth=2**40)
        qmp.call("migrate", uri=f"exec:exec zstd -q -1 -T2 -o '{target}'")
        end = time.monotonic() + limit
        while (status := qmp.call("query-migrate")["status"]) != "completed":
            if status == "failed" or time.monotonic() > end:
                message = f"saving the machine's state ended as {status!r}"
                raise LabError(message)
            time.sleep(0.1)
        qmp.call("quit")


def power_off(state: State, *, limit: float = 30) -> list[str]:
    """Kill QEMU, as a power cut does, and wait until it is gone.

    Return a word about each disk that had something to lose.
    """
    if state.forgetful:
        for disk in DISKS:
            write_cache.hold(state, disk)
    with contextlib.suppress(ProcessLookupError):
        # Held before the look: so it can't be another process of the same number.
        handle = os.pidfd_open(state.pid) if state.pid else -1
        try:
            if state.is_running():
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                wait_for_end(handle, limit=limit)
        finally:
            if handle >= 0:
                os.close(handle)
    reap(state.pid)
    state.pid = 0
    for name in ("qmp.sock", "console.sock"):
        (state.place / name).unlink(missing_ok=True)
    if not state.forgetful:
        return []
    words = ((disk, write_cache.drop(state, disk)) for disk in DISKS)
    return [f"{disk}: {word}" for disk, word in words if word]


def wait_for_end(handle: int, *, limit: float) -> None:
    """Wait until a process has let go of everything.

    A killed process gives back its memory first, for seconds if it is large. Its command line
    is gone by then, and its ports aren't. The handle tells the very end, see pidfd_open(2).
    """
    ended, _, _ = select.select([handle], [], [], limit)
    if not ended:
        message = f"QEMU did not end within {limit:.0f} s of being killed"
        raise LabError(message)


def is_there(state: State) -> bool:
    """Say whether the process is still there; reap it if it is ours."""
    reap(state.pid)
    return state.is_running()


def reap(pid: int) -> None:
    """Take the exit status of a process that is ours and has ended."""
    if pid:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
