"""The command line of the lab."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab import ssh
from lab.errors import LabError
from lab.guest_images import guest_images
from lab.install import install
from lab.machine import Lab, labs
from lab.packages import demand_packages, package_names
from lab.tools import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERRUPTED = 130
FAILED = 1


def verb_up(options: argparse.Namespace) -> int:
    """Bring the lab up."""
    Lab(options.name, ssh_port=options.ssh_port, forgetful=options.forgetful).up(
        images=options.images
    )
    return 0


def verb_reset(options: argparse.Namespace) -> int:
    """Give a pristine booted host again."""
    Lab(options.name, ssh_port=options.ssh_port).reset()
    return 0


def verb_shell(options: argparse.Namespace) -> int:
    """Open a shell in the lab."""
    state = Lab(options.name).demand_running()
    return ssh.run_through(state, [], terminal=True)


def verb_run(options: argparse.Namespace) -> int:
    """Run a command in the lab; output and exit code are passed on."""
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        message = "run needs a command"
        raise LabError(message, "python3 -m lab run -- lvs")
    return ssh.run_through(Lab(options.name).demand_running(), argv, terminal=options.tty)


def verb_copy(options: argparse.Namespace) -> int:
    """Copy into the lab (TARGET begins with lab:) or out of it (each SOURCE does)."""
    lab = Lab(options.name)
    inward = options.target.startswith(ssh.PREFIX)
    outward = [source.startswith(ssh.PREFIX) for source in options.source]
    if inward and not any(outward):
        lab.copy_in(options.source, options.target.removeprefix(ssh.PREFIX))
    elif all(outward) and not inward:
        lab.copy_out([source.removeprefix(ssh.PREFIX) for source in options.source], options.target)
    else:
        message = "either the target or all sources must begin with lab:"
        raise LabError(message, "python3 -m lab copy FILE lab:/root/")
    return 0


def verb_install(options: argparse.Namespace) -> int:
    """Copy kvmkeep into the lab."""
    install(Lab(options.name))
    return 0


def verb_images(_options: argparse.Namespace) -> int:
    """Build the guest images and print their paths."""
    demand_packages()
    for path in sorted((guest_images() / "images").iterdir()):
        print(path)
    return 0


def verb_cut(options: argparse.Namespace) -> int:
    """Cut the lab's power."""
    Lab(options.name).cut()
    say(f"the power of the lab {options.name!r} is cut")
    return 0


def verb_boot(options: argparse.Namespace) -> int:
    """Switch the lab on again after a cut."""
    Lab(options.name).boot()
    say(f"the lab {options.name!r} is up")
    return 0


def verb_wait(options: argparse.Namespace) -> int:
    """Wait until the lab is settled."""
    Lab(options.name).wait()
    return 0


def verb_down(options: argparse.Namespace) -> int:
    """Stop the lab and remove its disks."""
    Lab(options.name).down()
    say(f"the lab {options.name!r} is gone")
    return 0


def verb_list(_options: argparse.Namespace) -> int:
    """List the labs."""
    for state in labs():
        power = (
            f"running (process {state.pid}, SSH port {state.port})" if state.is_running() else "off"
        )
        print(f"{state.name:20} {state.accelerator:4} {power}  {state.disks}")
    return 0


def verb_log(options: argparse.Namespace) -> int:
    """Print the log of the console."""
    sys.stdout.write(Lab(options.name).log.read_text(errors="replace"))
    return 0


def verb_packages(_options: argparse.Namespace) -> int:
    """Print the Debian packages that the lab needs."""
    print("\n".join(package_names()))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="python3 -m lab", description="A virtual server like a real KVM server."
    )
    verbs = top.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, function: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        text = function.__doc__ or ""
        made = verbs.add_parser(name, help=text, description=text)
        made.set_defaults(function=function)
        made.add_argument(
            "--name", default=os.environ.get("KVMKEEP_LAB_NAME", "default"), help="which lab"
        )
        return made

    up = verb("up", verb_up)
    up.add_argument(
        "--no-images", dest="images", action="store_false", help="without the guest images"
    )
    up.add_argument(
        "--forgetful",
        action="store_true",
        help="with disks that lose at a power cut some of what was not flushed",
    )
    for starting in (up, verb("reset", verb_reset)):
        starting.add_argument("--ssh-port", type=int, default=0, help="default: any free port")
    verb("images", verb_images)
    verb("shell", verb_shell)
    run = verb("run", verb_run)
    run.add_argument("--tty", action="store_true", help="with a terminal")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND...")
    copy = verb("copy", verb_copy)
    copy.add_argument("source", nargs="+")
    copy.add_argument("target")
    verb("install", verb_install)
    verb("cut", verb_cut)
    verb("boot", verb_boot)
    verb("wait", verb_wait)
    verb("down", verb_down)
    verb("list", verb_list)
    verb("log", verb_log)
    verb("packages", verb_packages)
    return top


def stop_on_signal(number: int, _frame: object) -> None:
    """Turn a polite request to end into the same as Ctrl-C."""
    raise KeyboardInterrupt(number)


def main(arguments: Sequence[str]) -> int:
    """Run one command."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, stop_on_signal)
    signal.signal(signal.SIGHUP, stop_on_signal)
    try:
        return int(options.function(options))
    except LabError as error:
        print(f"lab: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"lab: hint: {error.hint}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        print(f"lab: {error.strerror or error}: {error.filename or Path.cwd()}", file=sys.stderr)
        return FAILED
