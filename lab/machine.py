"""A lab, for the command line and for tests: up, reset, run, copy, cut, boot, down."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cache, qemu, ssh
from lab.accel import accelerator
from lab.booted import BOOT_LIMIT, SAVED, booted_host, demand, wait_for_ssh
from lab.errors import LabError
from lab.guest_disk import plug_in
from lab.guest_images import built_meanwhile, guest_images
from lab.packages import demand_packages
from lab.state import State, all_states, check_name, load_state, new_state, state_root
from lab.tools import say, step, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RESUME_LIMIT = 60
ANSWER_LIMIT = 60
SETTLE_LIMIT = 240


@dataclasses.dataclass(frozen=True)
class Result:
    """How a command in the lab ended, and what it printed."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def check(self) -> Result:
        """Raise an error that shows the output unless the command succeeded."""
        if self.returncode:
            message = (
                f"{' '.join(self.argv)} ended with {self.returncode}\n{self.stdout}{self.stderr}"
            )
            raise LabError(message)
        return self


class Lab:
    """One lab, known by its name."""

    def __init__(
        self, name: str = "default", *, ssh_port: int = 0, forgetful: bool = False
    ) -> None:
        """Name a lab; nothing happens yet.

        The disks of a `forgetful` one lose at a power cut some of what was not flushed.
        """
        check_name(name)
        self.name = name
        self.forgetful = forgetful
        self.ssh_port = ssh_port

    def up(self, *, images: bool = True) -> Lab:
        """Build what is missing, start the lab unless it runs, and wait until it is settled.

        With `images`, the guest images are built too and stand under /srv/images in the lab.
        """
        demand_packages()
        with self._locked():
            state = load_state(self.name)
            if state and self._answers(state):
                self._settle(state)
            else:
                if state:
                    self._remove(state)
                if self.ssh_port:
                    qemu.demand_port(self.ssh_port)
                with built_meanwhile() if images else contextlib.nullcontext():
                    state = self._start_afresh()
            if images:
                plug_in(state, guest_images())
        return self

    def reset(self) -> Lab:
        """Throw the lab's disks away and give a pristine booted host."""
        with self._locked():
            state = self._known()
            port, images = state.port, state.images
            self._remove(state)
            self.ssh_port = self.ssh_port or port
            self.forgetful = self.forgetful or state.forgetful
            state = self._start_afresh()
            if images:
                plug_in(state, guest_images())
        return self

    def save(self, place: Path) -> None:
        """Write the running lab into a directory, its disks and its memory; it is gone then.

        A lab that goes on from there is where this one was: its guests run on, and their disks
        are as they were.
        """
        with self._locked():
            state = self.demand_running()
            base = Path(state.disks, "base").resolve()
            links = {"below": base, "base": (base / "base").resolve()}
            if state.images:
                links["guest-images"] = Path(state.images)
            for name, target in links.items():
                (place / name).symlink_to(target)
            with step("saving the running machine"):
                # What is only cached costs time twice: when saved, and when read again.
                demand(state, ["sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches"], limit=120)
                ssh.close_master(state)
                qemu.save_machine(state, place / SAVED)
                wait_for("QEMU to end", lambda: not qemu.is_there(state), limit=60)
                qemu.power_off(state)  # what serves its disks ends, too
                for disk in qemu.DISKS:
                    shutil.move(Path(state.disks, f"{disk}.qcow2"), place)
            self._remove(state)

    def go_on_from(self, place: Path) -> Lab:
        """Throw away what this lab is, and go on where the saved one was."""
        with self._locked():
            state = load_state(self.name)
            if state:
                self.ssh_port = self.ssh_port or state.port
                self._remove(state)
            if self._resumed(place) is None:
                message = f"the lab {self.name!r} can't go on from {place}"
                raise LabError(message, f"remove {place}, and it is made again")
        return self

    def cut(self) -> None:
        """Cut the power: kill the machine. The disks stay."""
        with self._locked():
            state = self._known()
            for word in qemu.power_off(state):
                say(word)
            ssh.close_master(state)
            state.save()

    def boot(self) -> Lab:
        """Switch the power on again after a cut, with the same disks."""
        with self._locked():
            state = self._known()
            if state.is_running():
                message = f"the lab {self.name!r} is running"
                raise LabError(message, "cut its power first, or run reboot in it")
            self._cold_boot(state, Path(state.disks, "base").resolve())
        return self

    def wait(self, *, limit: float = BOOT_LIMIT) -> Lab:
        """Wait until the lab is reachable and settled, as after a reboot from inside."""
        with self._locked():
            state = self._known()
            wait_for_ssh(state, limit=limit)
            self._settle(state)
        return self

    def down(self) -> None:
        """Stop the lab and leave nothing behind."""
        with self._locked():
            state = load_state(self.name)
            if state:
                self._remove(state)
            lock = self._lock_path()
            lock.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            lock.parent.rmdir()
        with contextlib.suppress(OSError):
            state_root().rmdir()

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002  (the name that subprocess uses)
        timeout: float | None = 300,
        check: bool = False,
    ) -> Result:
        """Run a command in the lab as root."""
        state = self.demand_running()
        data = input.encode() if isinstance(input, str) else input
        try:
            done = ssh.run_captured(state, argv, data=data, limit=timeout)
        except subprocess.TimeoutExpired as error:
            message = f"{' '.join(argv)} did not end within {timeout} s in the lab"
            raise LabError(message) from error
        texts = [stream.decode(errors="replace") for stream in (done.stdout, done.stderr)]
        result = Result(tuple(argv), done.returncode, *texts)
        return result.check() if check else result

    def copy_in(self, sources: Sequence[Path | str], target: str) -> None:
        """Copy files into the lab."""
        ssh.copy_in(self.demand_running(), [Path(source) for source in sources], target)

    def copy_out(self, sources: Sequence[str], target: Path | str) -> None:
        """Copy files out of the lab."""
        ssh.copy_out(self.demand_running(), sources, Path(target))

    def demand_running(self) -> State:
        """Return the state of the lab, which must be running."""
        state = self._known()
        if not state.is_running():
            message = f"the lab {self.name!r} is switched off"
            raise LabError(message, f"python3 -m lab boot --name {self.name}")
        return state

    @property
    def log(self) -> Path:
        """Return the log of the lab's console."""
        return self._known().place / "console.log"

    def _known(self) -> State:
        state = load_state(self.name)
        if state is None:
            message = f"there is no lab {self.name!r}"
            raise LabError(message, f"python3 -m lab up --name {self.name}")
        return state

    def _lock_path(self) -> Path:
        return state_root() / "locks" / self.name

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with cache.locked(self._lock_path(), f"it uses the lab {self.name!r}"):
            yield

    @staticmethod
    def _answers(state: State) -> bool:
        """Say whether a lab runs and can be reached; a busy one gets some time to answer."""
        if not state.is_running():
            return False
        try:
            wait_for(
                "the lab's SSH server", lambda: ssh.banner_answers(state.port), limit=ANSWER_LIMIT
            )
        except LabError as error:
            say(f"{error.message}; the lab starts afresh")
            return False
        return True

    @staticmethod
    def _remove(state: State) -> None:
        qemu.power_off(state)
        ssh.close_master(state)
        state.remove()

    def _start_afresh(self) -> State:
        begin = time.monotonic()
        base = booted_host()
        resumed = self._resumed(base) if (base / SAVED).exists() else None
        if resumed:
            say(f"the lab {self.name!r} is up (resumed in {time.monotonic() - begin:.0f} s)")
            return resumed
        say("it boots instead")
        state = self._new(base)
        try:
            self._cold_boot(state, base)
        except BaseException:
            self._remove(state)
            raise
        say(f"the lab {self.name!r} is up (booted in {time.monotonic() - begin:.0f} s)")
        return state

    def _new(self, base: Path) -> State:
        state = new_state(self.name)
        state.port = self.ssh_port
        state.accelerator = accelerator()
        state.forgetful = self.forgetful
        if (images := base / "guest-images").exists():
            state.images = str(images.resolve())
            Path(state.disks, "guest-images").symlink_to(state.images)
        Path(state.disks, "base").symlink_to(base)
        for disk in qemu.DISKS:
            qemu.make_overlay(Path(state.disks, f"{disk}.qcow2"), base / f"{disk}.qcow2", "qcow2")
        return state

    def _resumed(self, base: Path) -> State | None:
        """Start from the saved state; return nothing if that did not work."""
        state = self._new(base)
        host = (base / "base").resolve()
        guard = None
        try:
            with step(f"resuming the saved host ({state.accelerator})"):
                guard = qemu.launch(state, host, saved=base / SAVED)
                qemu.resume(state)
                ssh.write_config(state, host)
                wait_for_ssh(state, limit=RESUME_LIMIT)
                demand(state, ["date", "-u", "-s", f"@{time.time() + 0.3:.2f}"], limit=60)
                self._settle(state)
        except LabError as error:
            say(f"resuming failed: {error}")
            self._remove(state)
            return None
        except BaseException:
            self._remove(state)
            raise
        finally:
            if guard is not None:
                guard.release()
        return state

    def _cold_boot(self, state: State, base: Path) -> None:
        host = (base / "base").resolve()
        state.accelerator = accelerator()
        guard = None
        try:
            with step(f"booting the host ({state.accelerator})"):
                guard = qemu.launch(state, host, saved=None)
                ssh.write_config(state, host)
                wait_for_ssh(state, limit=BOOT_LIMIT)
                self._settle(state)
        except BaseException:
            qemu.power_off(state)
            ssh.close_master(state)
            state.save()
            raise
        finally:
            if guard is not None:
                guard.release()

    @staticmethod
    def _settle(state: State) -> None:
        demand(state, ["lab-settled", str(SETTLE_LIMIT)], limit=SETTLE_LIMIT + 60)
        if state.images:
            plug_in(state, Path(state.images))


def labs() -> list[State]:
    """Return all labs on this machine."""
    return all_states()
