"""Whether a guest really starts under KVM on this machine."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

from lab.errors import LabError
from lab.tools import output_of, tool_environment

# mov al,0x10 ; out 0xf4,al ; hlt ; jmp back.  QEMU then ends with (0x10 << 1) | 1.
BOOT_CODE = bytes.fromhex("b010e6f4f4ebfd")
BOOT_SECTOR = BOOT_CODE + bytes(510 - len(BOOT_CODE)) + b"\x55\xaa"
EXIT_CODE = 0x21
START_LIMIT = 20
QEMU = "qemu-system-x86_64"


def guest_starts_under_kvm() -> bool:
    """Start a guest of 7 bytes under KVM and see whether it says goodbye."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with tempfile.TemporaryDirectory(prefix="kvmkeep-lab-probe-") as place:
        disk = Path(place, "boot.img")
        disk.write_bytes(BOOT_SECTOR + bytes(1024 * 1024 - len(BOOT_SECTOR)))
        argv = [
            QEMU,
            "-accel",
            "kvm",
            "-cpu",
            "max",
            "-machine",
            "q35",
            "-nodefaults",
            "-no-user-config",
        ]
        argv += ["-display", "none", "-m", "64", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        argv += ["-drive", f"file={disk},format=raw,if=ide"]
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=START_LIMIT,
                check=False,
                env=tool_environment(),
            )
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return False
    return done.returncode == EXIT_CODE


@functools.cache
def accelerator() -> str:
    """Return "kvm" or "tcg" (software emulation)."""
    wanted = os.environ.get("KVMKEEP_LAB_ACCEL", "")
    if wanted in {"kvm", "tcg"}:
        return wanted
    if wanted:
        message = f"KVMKEEP_LAB_ACCEL is {wanted!r}"
        raise LabError(message, "use kvm or tcg, or leave it unset")
    return "kvm" if guest_starts_under_kvm() else "tcg"


@functools.cache
def qemu_version() -> str:
    """Return the version line of QEMU; saved machine states depend on it."""
    return output_of([QEMU, "--version"]).splitlines()[0]
