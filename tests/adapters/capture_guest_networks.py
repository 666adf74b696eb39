"""Capture what the programs of guests' systems make of the files that set up their networks.

    apt-get download netplan.io libnetplan0 ifupdown cloud-init python3-configobj
    for deb in *.deb; do dpkg --extract $deb TREE; done
    PYTHONPATH=src:tests:. python tests/adapters/capture_guest_networks.py TREE

`TREE` is where the packages of a Debian were unpacked; nmcli and Python are those of this machine,
with PyYAML. Nothing of
it needs a network or root. What went in and what came out is kept as `path:line`, like grep
prints it: `in/` is our file, `out/` what the program has read or would do.
"""

from __future__ import annotations

import os
import subprocess  # noqa: TID251 - the guests' own programs are run
import sys
import tempfile
from pathlib import Path

from kvmkeep.model.inside import Renderer
from kvmkeep.planning.first_boot.network_files import network_files
from tests.unit.planning.test_network_files import BOTH

CAPTURED = Path(__file__).parent / "captured"
CLOUD_INIT = """\
import sys
sys.path.insert(0, sys.argv[1] + "/usr/lib/python3/dist-packages")
from cloudinit.distros import rhel
from cloudinit.net import eni, netplan, network_manager, network_state, networkd, sysconfig
four = {"type": "static", "address": "10.223.0.20/24", "gateway": "10.223.0.254"}
nics = [
    {"type": "physical", "name": "eth0", "mac_address": "52:54:00:aa:bb:01", "subnets": [four]},
    {"type": "physical", "name": "eth1", "mac_address": "52:54:00:aa:bb:02",
     "subnets": [{"type": "dhcp4"}]},
]
state = network_state.parse_net_config_data({"version": 1, "config": nics})
renderers = {
    "netplan": netplan.Renderer({"netplan_path": "etc/netplan/50-cloud-init.yaml"}),
    "NetworkManager": network_manager.Renderer(),
    "networkd": networkd.Renderer({}),
    "ifcfg": sysconfig.Renderer(rhel.Distro.renderer_configs["sysconfig"]),
    "ifupdown": eni.Renderer({"eni_path": "etc/network/interfaces.d/50-cloud-init"}),
}
for name, renderer in renderers.items():
    renderer.render_network_state(state, target=f"{sys.argv[2]}/{name}")
"""


def lines_of(where: str, text: str) -> list[str]:
    return [f"{where}:{line}\n" for line in text.splitlines()]


def ours(renderer: Renderer) -> dict[str, str]:
    return {file.path: file.content for file in network_files(renderer, BOTH)}


def run(*argv: str, text: str = "", tree: str = "") -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    environment |= {"LD_LIBRARY_PATH": f"{tree}/usr/lib/x86_64-linux-gnu"} if tree else {}
    done = subprocess.run(
        argv, input=text, capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout + done.stderr


def netplan(tree: str, there: Path) -> list[str]:
    found: list[str] = []
    for path, content in ours(Renderer.NETPLAN).items():
        found += lines_of(f"in{path}", content)
        (there / path[1:]).parent.mkdir(parents=True)
        (there / path[1:]).write_text(content)
    run(f"{tree}/usr/libexec/netplan/generate", "--root-dir", str(there), tree=tree)
    for made in sorted(there.glob("run/systemd/network/*")):
        found += lines_of(f"out/{made.relative_to(there)}", made.read_text())
    return found


def network_manager() -> list[str]:
    found: list[str] = []
    for path, content in ours(Renderer.NETWORK_MANAGER).items():
        read = run(
            "nmcli", "--offline", "connection", "modify", "connection.zone", "", text=content
        )
        found += [*lines_of(f"in{path}", content), *lines_of(f"out{path}", read)]
    return found


def ifupdown(tree: str, there: Path) -> list[str]:
    path = "/etc/network/interfaces"
    content = ours(Renderer.IFUPDOWN)[path]
    found = lines_of(f"in{path}", content)
    file = there / "interfaces"
    file.write_text(content)
    options = ("--no-act", "--force", "--verbose", "--no-mappings", "--no-scripts")
    where = (f"--interfaces={file}", f"--state-dir={there}")
    for number in range(len(BOTH)):
        said = run(f"{tree}/sbin/ifup", *options, *where, f"eth{number}=kvmkeep{number}")
        found += lines_of(f"out/ifup/eth{number}", said)
    return found


def cloud_init(tree: str, there: Path) -> list[str]:
    run("python3", "-c", CLOUD_INIT, tree, str(there))
    found: list[str] = []
    for made in sorted(path for path in there.rglob("*") if path.is_file()):
        found += lines_of(str(made.relative_to(there)), made.read_text())
    return found


def main() -> None:
    tree = str(Path(sys.argv[1]).absolute())
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        for name in ("netplan", "ifupdown", "cloud-init"):
            (top / name).mkdir()
        made = {
            "netplan": ("0.106", netplan(tree, top / "netplan")),
            "nmcli-offline": ("1.42.4", network_manager()),
            "ifupdown": ("0.8.41", ifupdown(tree, top / "ifupdown")),
            "cloud-init": ("22.4.2", cloud_init(tree, top / "cloud-init")),
        }
    for name, (version, lines) in made.items():
        (CAPTURED / f"{name}-{version}-guest.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
