"""Capture what the tools of a lab's host print, for the tests of what reads it.

    python3 -m lab up
    PYTHONPATH=src python tests/adapters/capture.py [LAB [NAME...]]

With `namespace` in place of a lab's name, `ip` is asked in a network namespace of this machine
with a bridge and its port, which needs root; with `twins`, `vgs` is asked about two groups of
one name in files of this machine. Else only read-only questions are asked. Each answer goes to
`captured/`, under the tool's name and version. Files are kept as `path:line`, like grep prints them.
"""

from __future__ import annotations

import re
import shlex
import subprocess  # noqa: TID251 - the lab's own program is run
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from kvmkeep.host import iproute, lvm, nmcli, space, upkeep

CAPTURED = Path(__file__).parent / "captured"
TOP = Path(__file__).parents[2]

MD_FILES = (
    "grep -H '' /sys/block/md*/md/array_state /sys/block/md*/md/level /sys/block/md*/md/raid_disks "
    "/sys/block/md*/md/degraded /sys/block/md*/md/sync_action /sys/block/md*/md/dev-*/state "
    "/sys/block/md*/md/mismatch_cnt /sys/block/md*/md/last_sync_action"
)
HOST_FILES = (
    "grep -H '' /proc/meminfo /proc/sys/kernel/hostname /sys/devices/system/cpu/online "
    "/etc/os-release"
)
STATE_FILES = "grep -H '' /etc/lvm/backup/* /proc/self/mountinfo"
# A member of the array fails, and comes back at once.
FAILED = f"""\
mdadm --quiet /dev/md0 --fail /dev/vdc
{MD_FILES}
mdadm --quiet /dev/md0 --remove /dev/vdc
mdadm --quiet /dev/md0 --re-add /dev/vdc
"""
FILTERS = "modprobe br_netfilter; grep -rH '' /proc/sys/net/bridge; rmmod br_netfilter"


def configured(more: str) -> str:
    """Return the question for groups with more settings: LVM takes --config only once."""
    _, _, ours, *words = lvm.VGS
    return f'vgs --config "{ours} {more}" {shlex.join(words)}'


# Spares the lab's own groups: a group in a disk of a guest, while LVM looks into LVs.
NESTED = f"""\
config=devices{{scan_lvs=1}}
lvcreate -qq -y -n t -L 16m rl_build
pvcreate -qq --config $config /dev/rl_build/t
vgcreate -qq --config $config guestvg /dev/rl_build/t
{configured("$config")}
vgremove -qq --config $config guestvg
lvchange -a n rl_build/t
echo y | lvremove -q rl_build/t >&2
"""
PROFILES = "$(nmcli -t -f UUID connection show | sed 's/^/uuid /')"

# Name, where the tool's version is told, question.
QUESTIONS = (
    ("lvs", "lvs --version", shlex.join(lvm.LVS), "json"),
    ("vgs", "lvs --version", shlex.join(lvm.VGS), "json"),
    ("ip-address", "ip -V", shlex.join(iproute.LINKS), "json"),
    ("ip-route", "ip -V", shlex.join(iproute.ROUTES), "json"),
    ("ip-route6", "ip -V", shlex.join(iproute.ROUTES6), "json"),
    ("nmcli-profiles", "nmcli --version", shlex.join(nmcli.PROFILES), "txt"),
    ("nmcli-settings", "nmcli --version", f"{shlex.join(nmcli.SETTINGS)} {PROFILES}", "txt"),
    ("nmcli-devices", "nmcli --version", shlex.join(nmcli.DEVICES), "txt"),
    ("virsh-capabilities", "virsh --version", "virsh capabilities", "xml"),
    ("virsh-dumpxml", "virsh --version",
     "virsh dumpxml --inactive $(virsh list --all --name | grep . | sort | head -n 1)", "xml"),
    ("md", "uname -r", MD_FILES, "txt"),
    ("host", "uname -r", HOST_FILES, "txt"),
    ("state", "uname -r", STATE_FILES, "txt"),
    ("df", "df --version", shlex.join((*space.DF, *space.PLACES)), "txt"),
    ("timedatectl", "systemctl --version", shlex.join(upkeep.CLOCK), "txt"),
    ("systemctl", "systemctl --version", shlex.join(upkeep.UNITS), "txt"),
    ("vgs-state", "lvs --version", shlex.join(lvm.STATES), "json"),
    ("vgs-nested", "lvs --version", NESTED, "json"),
    ("md-failed", "uname -r", FAILED, "txt"),
    ("bridge-filters", "uname -r", FILTERS, "txt"),
    ("lvs-as-nobody", "lvs --version",
     f"runuser -u nobody -- {shlex.join(lvm.LVS)} 2>&1; echo exit code $?", "txt"),
)  # fmt: skip

# A bridge whose port still listens, and the far end of that port.
NAMESPACE = f"""\
ip link add virbr1.223 type bridge ageing_time 0 stp_state 1
ip link add port0 type veth peer name far0
ip link set port0 master virbr1.223 up
ip link set far0 up
ip link set virbr1.223 up
ip address add 192.0.2.1/24 dev far0
{shlex.join(iproute.LINKS)}
"""

# Two groups of one name: the second is made while LVM does not see the disks of the first.
TWINS = f"""\
cd $1
export LVM_SYSTEM_DIR=$1 LC_ALL=C.UTF-8
truncate -s 48M a; truncate -s 40M b; truncate -s 64M c
a=$(losetup -f --show a); b=$(losetup -f --show b); c=$(losetup -f --show c)
trap 'losetup -d $a $b $c' EXIT
see() {{ printf 'devices{{use_devicesfile=0 obtain_device_list_from_udev=0 global_filter=['
         printf '"a|^%s$|",' $@; printf '"r|.*|"]}}'; }}
vgcreate -qq --config "$(see $a $b)" rl_build $a $b
vgcreate -qq --config "$(see $c)" rl_build $c
{configured("$(see $a $b $c)")}
"""


def ask(lab: str, command: str) -> str:
    """Run a shell command in the lab, with the environment that kvmkeep gives its commands."""
    argv = ["/usr/bin/python3", "-m", "lab", "run", "--name", lab, "--"]
    script = f"export LC_ALL=C.UTF-8; {command}"
    done = subprocess.run([*argv, "bash", "-c", script], cwd=TOP, check=True, stdout=-1, text=True)
    return done.stdout


def version(text: str) -> str:
    """Return the version in a tool's answer."""
    found = re.search(r"\d+\.\d+(?:\.\d+)*(?:-\d+[\w-]*)?", text)
    if found is None:
        sys.exit(f"no version in {text!r}")
    return found[0]


def capture(lab: str, wanted: list[str]) -> None:
    """Ask everything, or what is wanted of it, and write each answer."""
    CAPTURED.mkdir(exist_ok=True)
    for name, told_by, question, ending in QUESTIONS:
        if wanted and name not in wanted:
            continue
        known = version(ask(lab, told_by))
        path = CAPTURED / f"{name}-{known}-lab.{ending}"
        path.write_text(ask(lab, question), "utf-8")
        sys.stdout.write(f"{path.name}\n")


def capture_namespace() -> None:
    """Ask `ip` about a bridge that nothing else sees."""
    told = subprocess.run(["/usr/sbin/ip", "-V"], check=True, stdout=-1, text=True).stdout
    argv = ["/usr/bin/unshare", "--net", "/bin/bash", "-euc", NAMESPACE]
    done = subprocess.run(argv, check=True, stdout=-1, text=True)
    path = CAPTURED / f"ip-address-{version(told)}-namespace.json"
    path.write_text(done.stdout, "utf-8")


def capture_twins() -> None:
    """Ask `vgs` about two groups of one name that no other LVM command here sees."""
    told = subprocess.run(["/usr/sbin/lvs", "--version"], check=True, stdout=-1, text=True).stdout
    with TemporaryDirectory() as directory:
        argv = ["/bin/bash", "-euc", TWINS, "twins", directory]
        done = subprocess.run(argv, check=True, stdout=-1, text=True)
    (CAPTURED / f"vgs-twins-{version(told)}-here.json").write_text(done.stdout, "utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["namespace"]:
    capture_namespace()
elif __name__ == "__main__" and sys.argv[1:] == ["twins"]:
    capture_twins()
elif __name__ == "__main__":
    capture(*sys.argv[1:2] or ["default"], sys.argv[2:])
