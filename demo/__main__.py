"""`make demo`: bring up the lab, plan, apply, log in over the campus VLAN, show the status."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lab.errors import LabError
from lab.install import install
from lab.machine import Lab
from lab.ssh import run_through

HERE = Path(__file__).parent
NAME = "demo"
KEY = "/root/demo-key"
GUEST = "influxdb"
ADDRESS = "132.230.223.37"
STARTED = time.monotonic()


def title(text: str) -> None:
    """Begin a chapter of the demo."""
    print(f"\n=== {time.monotonic() - STARTED:4.0f} s  {text}\n", flush=True)


def show(lab: Lab, *argv: str) -> int:
    """Run a command in the lab as if typed there; its output is shown as it comes."""
    print("build# " + " ".join(argv), flush=True)
    return run_through(lab.demand_running(), argv)


def must(lab: Lab, *argv: str) -> None:
    """Run a command in the lab; the demo ends where it fails."""
    code = show(lab, *argv)
    if code != 0:
        hint = (
            f"look around with: python3 -m lab shell --name {NAME}; if something was "
            f"changed there, begin anew: python3 -m lab down --name {NAME}"
        )
        raise LabError(f"the command ended with exit code {code}", hint)


def write_spec(lab: Lab) -> None:
    """Put the demo's spec on the host: an SSH key, and the image's published checksum.

    The key of an earlier demo stays: the guest that it made knows that one.
    """
    if lab.run(["test", "-s", KEY + ".pub"]).returncode != 0:
        lab.run(["rm", "-f", KEY])
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "admin@demo", "-f", KEY]
        lab.run(make, check=True)
    key = lab.run(["cat", KEY + ".pub"], check=True).stdout.strip()
    sums = lab.run(["cat", "/srv/images/SHA256SUMS"], check=True).stdout
    digest = next(line.split()[0] for line in sums.splitlines() if line.endswith("cloud.raw.zst"))
    for file in sorted((HERE / "spec").rglob("*.yaml")):
        text = file.read_text().replace("@SHA256@", digest).replace("@SSH_KEY@", key)
        target = "/etc/kvmkeep/" + str(file.relative_to(HERE / "spec"))
        lab.run(["mkdir", "-p", target.rpartition("/")[0]], check=True)
        lab.run(["tee", target], input=text, check=True)


def login(lab: Lab, command: str) -> None:
    """Log in to the guest from the campus, over its tagged VLAN, as any user there would."""
    options = ["-i", KEY, "-o", "StrictHostKeyChecking=accept-new", "-o", "ConnectTimeout=20"]
    options += ["-o", "UserKnownHostsFile=/root/demo-known-hosts", "-o", "LogLevel=ERROR"]
    argv = ["ip", "netns", "exec", "campus", "ssh", *options, f"centos@{ADDRESS}", command]
    must(lab, *argv)


def demo() -> None:
    """Do the main job and leave the lab running."""
    title("A server like the site's: RAID-1, LVM, NetworkManager, libvirt, a tagged uplink")
    lab = Lab(NAME)
    lab.up()
    install(lab)
    write_spec(lab)
    show(lab, "lvs", "rl_build")

    title("The spec: a host file and a file per guest")
    must(lab, "cat", "/etc/kvmkeep/host.yaml", f"/etc/kvmkeep/guests/{GUEST}.yaml")
    must(lab, "kvmkeep", "validate")

    title("The plan: nothing is changed yet")
    must(lab, "kvmkeep", "plan")

    title("Apply")
    must(lab, "kvmkeep", "apply", "--yes")

    title("Log in over the campus VLAN with the administrator's key")
    login(lab, "hostname; ip -br address; df -h /; sudo -n true && echo sudo works")

    title("Is everything as the spec says?")
    show(lab, "lvs", "-o", "lv_name,lv_size,lv_tags", "rl_build")
    must(lab, "kvmkeep", "status")

    title("Done. The lab is still running. Three things to try next:")
    print(f"  python3 -m lab shell --name {NAME}      then: kvmkeep list, kvmkeep console {GUEST}")
    print(
        f"  python3 -m lab cut --name {NAME}        cut its power;"
        f" then: python3 -m lab boot --name {NAME}"
    )
    print(f"  python3 -m lab run --name {NAME} -- kvmkeep plan --script")
    print(f"\nTake it away with: python3 -m lab down --name {NAME}")


def main() -> int:
    """Run the demo; say plainly what was missing."""
    try:
        demo()
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "demo: stopped; the lab may still run: python3 -m lab down --name demo", file=sys.stderr
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
