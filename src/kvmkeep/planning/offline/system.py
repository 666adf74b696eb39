"""Changes of the system: hostname, serial console, network, cloud-init."""

from __future__ import annotations

import posixpath
import re

from kvmkeep.model.fittings import LARGEST, bytes_of
from kvmkeep.model.inside import Renderer
from kvmkeep.model.spec import Nic
from kvmkeep.planning.first_boot.network_files import (
    NO_DNS,
    RESOLV_CONF,
    directories,
    in_the_way,
    network_files,
)
from kvmkeep.planning.first_boot.seed import DROP_IN_FILE, HOSTNAME_FILE, NETWORK_FILE
from kvmkeep.planning.offline import kernel_console as console
from kvmkeep.planning.offline.editing import Editing

CLOUD_OFF = "/etc/cloud/cloud-init.disabled"
ENTRIES_DIR = "/boot/loader/entries"
_GRUB = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")
_HOST_KEY = re.compile(r"ssh_host_[a-z0-9]+_key")
_GETTY = "serial-getty@.service"
_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system")
_SYSTEMD = ("/usr/lib/systemd", "/lib/systemd")
_WITH_DNS = {Renderer.NETWORK_MANAGER, Renderer.IFCFG}
"""What brings name servers along in its own files."""
_WANTS = "/etc/systemd/system/getty.target.wants"


def set_hostname(editing: Editing, name: str) -> None:
    """Name the system, and have cloud-init leave the name alone."""
    editing.put("/etc/hostname", f"{name}\n".encode())
    hosts = editing.seen("/etc/hosts")
    # hostname(5) of Debian: 127.0.1.1 is the line of a host's own name.
    names = f"{name} {name.partition('.')[0]}" if "." in name else name
    own = re.compile(r"^127\.0\.1\.1[ \t].*$", re.MULTILINE)
    text = own.sub(f"127.0.1.1\t{names}", hosts.text)
    if own.search(text) is None and name not in text.split():
        text = text.rstrip("\n") + f"\n127.0.1.1\t{names}\n"
    if hosts.kind == "file" and hosts.content is not None:
        editing.put("/etc/hosts", bytes_of(text), hosts.mode, (hosts.uid, hosts.gid))
    elif hosts.kind:
        what = f"larger than {LARGEST >> 10} KiB" if hosts.kind == "file" else "no plain file"
        editing.notes.append(f"/etc/hosts in it is {what}, and stays: 127.0.1.1 may need {names}")
    _cloud(editing, HOSTNAME_FILE, "preserve_hostname: true\n")


def set_serial_console(editing: Editing) -> None:
    """Have the kernel, GRUB and a login on the first serial port."""
    entries = [one for one in editing.names(ENTRIES_DIR) if one.endswith(".conf")]
    changed = [_grub_cfg(editing, path) for path in _GRUB]
    changed += [_boot_entry(editing, f"{ENTRIES_DIR}/{name}") for name in entries]
    if not any(changed) and not editing.draft:
        hint = "its kernel's command line must be changed in the guest itself"
        editing.refuse("no configuration of a boot loader that is known was found in it", hint)
    for path, text in (
        ("/etc/default/grub", console.grub_default),
        ("/etc/kernel/cmdline", console.kernel_cmdline),
    ):
        old = editing.seen(path)
        editing.label_of(path)
        if old.kind == "file" and old.text:
            editing.put(path, bytes_of(text(old.text)), old.mode, (old.uid, old.gid))
    units = [path for path in _UNITS if editing.seen(f"{path}/{_GETTY}").kind == "file"]
    link = f"{_WANTS}/serial-getty@ttyS0.service"
    wanted = editing.seen(link).kind == ""
    label = editing.label_of(link)
    if units and wanted:
        editing.directory(_WANTS)
        editing.do("ln-sf", f"{units[0]}/{_GETTY}", link)
        editing.label(link, label)
        editing.touched[link] = None
    elif not units and not editing.draft:
        editing.notes.append("it has no systemd: a login on the serial port is up to its own init")


def _grub_cfg(editing: Editing, path: str) -> bool:
    """Change GRUB's configuration; return whether it names kernels."""
    old = editing.seen(path)
    folder = posixpath.dirname(path)
    custom = f"{folder}/custom.cfg"
    editing.label_of(custom)
    if old.kind != "file" or not old.text:
        return False
    if "custom.cfg" in old.text:
        editing.put(custom, console.CUSTOM_CFG.encode())
    editing.put(path, bytes_of(console.grub_cfg(old.text)), old.mode, (old.uid, old.gid))
    return console.boots_linux(old.text)


def _boot_entry(editing: Editing, path: str) -> bool:
    """Change an entry of the Boot Loader Specification; return whether it names a kernel."""
    old = editing.seen(path)
    if old.kind != "file" or not old.text:
        return False
    editing.put(path, bytes_of(console.bls_entry(old.text)), old.mode, (old.uid, old.gid))
    return "\noptions" in f"\n{old.text}"


def set_network(editing: Editing, nics: tuple[Nic, ...]) -> None:
    """Set the interfaces up, for whatever the system uses; cloud-init leaves them alone then."""
    _cloud(editing, NETWORK_FILE, "network: {config: disabled}\n")
    if editing.known is None:
        # Whichever it is: then one look is enough.
        for one in Renderer:
            _network_of(editing, one, nics)
        return
    renderer = editing.known.network
    if renderer is None:
        hint = "write the files it needs with --file, or set it up in the guest"
        editing.refuse("what sets its network up is not known", hint)
        return
    _network_of(editing, renderer, nics)
    if renderer is Renderer.IFUPDOWN:
        editing.notes.append("/etc/network/interfaces.d is not read any more")


def _network_of(editing: Editing, renderer: Renderer, nics: tuple[Nic, ...]) -> None:
    files = network_files(renderer, nics)
    for file in files:
        if file.path != RESOLV_CONF or _writes_resolv_conf(editing, renderer):
            editing.put(file.path, file.content.encode(), file.mode)
    new = {file.path for file in files}
    for directory in directories(renderer):
        for path in in_the_way(directory, editing.names(directory), new):
            editing.keep(path, move=True)
    told = any(nic.dhcp or nic.dns for nic in nics)
    if told and renderer in _WITH_DNS and editing.seen(NO_DNS).kind:
        editing.keep(NO_DNS, move=True)


def _writes_resolv_conf(editing: Editing, renderer: Renderer) -> bool:
    """Whether nothing else cares for resolv.conf: resolvconf(8), or whoever made a link of it.

    systemd.network(5), `DNS=`: networkd itself only hands them on to systemd-resolved, which many
    systems don't have. Where it is, it makes the file at boot if there is none.
    """
    programs = [editing.seen(path).kind for path in ("/sbin/resolvconf", "/usr/sbin/resolvconf")]
    resolved = [editing.seen(f"{path}/systemd-resolved").kind for path in _SYSTEMD]
    kind = editing.seen(RESOLV_CONF).kind
    made = renderer is not Renderer.IFUPDOWN and any(resolved)
    return not any(programs) and (kind == "file" or (kind == "" and not made))


def set_cloud_init(editing: Editing, *, on: bool | None, datasources: tuple[str, ...]) -> None:
    """Switch cloud-init on or off, and tell it where to look."""
    if on is None and not datasources:
        return
    if editing.known is not None and not editing.known.cloud_init:
        editing.refuse("cloud-init is not installed in it", "leave its settings alone")
        return
    if on is False:
        editing.put(CLOUD_OFF, b"")
        names = editing.names("/etc/ssh")
        if "sshd_config" in names and not any(_HOST_KEY.fullmatch(name) for name in names):
            editing.notes.append(
                "it has no SSH host keys, which cloud-init would have made, and sshd starts only "
                "with some: add --run 'ssh-keygen -A'"
            )
    elif on and editing.seen(CLOUD_OFF).kind:
        editing.keep(CLOUD_OFF, move=True)
    if datasources:
        # ds-identify reads lists on one line only, and the last file counts (cloud-init,
        # tools/ds-identify, parse_yaml_array).
        editing.put(DROP_IN_FILE, f"datasource_list: [{', '.join(datasources)}]\n".encode())


def _cloud(editing: Editing, path: str, content: str) -> None:
    if editing.known is None or editing.known.cloud_init:
        editing.put(path, content.encode())
