"""The look into an image: what guestfish is asked, and how its answer is read.

The script mounts each likely root filesystem read-only, inside libguestfs's appliance, and prints
a few small files. It does not rest on libguestfs's inspection, which knows only certain systems.
The answer comes from the image and may say anything: it is bounded, and only printable text gets
out of here. Whoever made the image could as well have put other files into it, so there is
nothing to gain by forging the markers.
"""

from __future__ import annotations

import re

from msgspec import Struct, field

from kvmkeep.model.image_facts import Contents
from kvmkeep.model.spec import Format
from kvmkeep.model.text import masked

LOOK_LIMIT = 8 << 20
"""How much of an answer is read, in bytes; what the script prints stays below."""

MARK = "@kvmkeep "
NO_SYSTEM = "no filesystem with an operating system was found in it"
_VERSION = "look 1"
_END = "end"
_PARTITIONS = 9
_CONFIG_LIMIT = 131072

# guestfish(1), "WILDCARDS AND GLOBBING": `glob` expands the names of LVs, but also the mount
# point, for which something must be mounted already; /boot is, in images with LVM.
_ROOT_VOLUMES = ("/dev/*/root", "/dev/*/rootlv", "/dev/*/ubuntu-lv")

Questions = tuple[tuple[str, str], ...]
"""Kinds of answers, each with a line for guestfish (where `{root}` is the system) or a path."""

FIRST_FILES: Questions = (
    ("os-release", "-pread {root}/etc/os-release 4096 0"),
    ("os-release", "-pread {root}/usr/lib/os-release 4096 0"),
    ("ds-identify", "-pread {root}/etc/cloud/ds-identify.cfg 4096 0"),
    ("config", f"-head-n 5000 {{root}}/etc/cloud/cloud.cfg | head -c {_CONFIG_LIMIT}"),
    # `head-n` and not `pread`: it ends each file with a newline, so files can't grow together.
    ("config", f"-glob head-n 5000 {{root}}/etc/cloud/cloud.cfg.d/*.cfg | head -c {_CONFIG_LIMIT}"),
)
FIRST_PATHS: Questions = (
    ("cloud-init", "/usr/bin/cloud-init"),
    ("cloud-init", "/usr/local/bin/cloud-init"),
    ("cloud-init", "/usr/bin/cloud-init-like"),
    ("disabled", "/etc/cloud/cloud-init.disabled"),
    ("agent", "/usr/sbin/qemu-ga"),
    ("agent", "/usr/bin/qemu-ga"),
)


def look_argv(path: str, form: Format) -> tuple[str, ...]:
    """Return the command that looks into an image; the script is its stdin, the answer stdout."""
    return ("guestfish", "--ro", f"--format={form}", "-a", path)


def look_script(
    form: Format, disk: tuple[str, ...] = (), files: Questions = (), paths: Questions = ()
) -> bytes:
    """Return what guestfish is asked.

    More than first boot needs may be asked: lines about the `disk`, and of each filesystem,
    lines that print `files`, and `paths` that may exist.

    A leading `-` lets guestfish go on after an error: most of the questions do not apply. The
    last `ping-daemon` has none, so an appliance that died makes the command fail.
    """
    lines = [head_of(form), "run", *disk]

    def ask(name: str, mount: tuple[str, ...], root: str) -> list[str]:
        return _ask(name, mount, root, (*FIRST_FILES, *files), (*FIRST_PATHS, *paths))

    for device in ("/dev/sda", *(f"/dev/sda{number}" for number in range(1, _PARTITIONS + 1))):
        lines += ask(device, (f"-mount-ro {device} /",), "")
    for number in range(1, _PARTITIONS + 1):
        device = f"/dev/sda{number}"
        btrfs = f"-mount-options ro,subvol=root {device} /"
        lines += ask(f"{device} subvol=root", (btrfs,), "")
    for volume in _ROOT_VOLUMES:
        mount = (
            "-mkmountpoint /boot",
            "-mkmountpoint /root",
            *(f"-mount-ro /dev/sda{number} /boot" for number in range(1, 4)),
            f"-glob mount-ro {volume} /root",
        )
        lines += ask(volume, mount, "/root")
    return "\n".join([*lines, *last_of()]).encode() + b"\n"


def head_of(form: Format) -> str:
    """Return the line that begins an answer."""
    return f'echo "{MARK}{_VERSION} {form}"'


def last_of() -> tuple[str, ...]:
    """Return the lines that end a whole answer."""
    return ("ping-daemon", f'echo "{MARK}{_END}"')


def parse_filesystems(text: str) -> list[Filesystem]:
    """Return what was printed, by filesystem; raise ValueError where it is not a whole answer."""
    lines = text[:LOOK_LIMIT].splitlines()
    if not lines or not lines[0].startswith(MARK + _VERSION + " "):
        raise ValueError("it is not the answer of a look")
    if lines[-1] != MARK + _END:
        raise ValueError("the answer is not complete")
    return _filesystems(lines[1:-1])


def root_of(systems: list[Filesystem]) -> Filesystem | None:
    """Return the filesystem with an operating system, if there is one."""
    found = [system for system in systems if system.os or system.config]
    return max(found, key=lambda one: (bool(one.os), bool(one.config)), default=None)


def contents_of(system: Filesystem | None) -> Contents:
    """Return what first boot has to know of a system."""
    if system is not None:
        return _contents(system)
    return Contents(
        os="",
        cloud_init=False,
        datasources=(),
        agent=False,
        bakes_disks=False,
        detail=NO_SYSTEM,
    )


class Filesystem(Struct):
    """What was printed about one filesystem. `answers` are those to the further questions."""

    name: str
    os: str = ""
    identify: str = ""
    config: str = ""
    programs: frozenset[str] = frozenset()
    answers: dict[str, list[str]] = field(default_factory=dict)

    def take(self, kind: str, lines: list[str]) -> None:
        """Add the lines that followed a marker."""
        body = "\n".join(lines)
        if kind == "os-release":
            self.os = self.os or body.strip()
        elif kind == "ds-identify":
            self.identify = body
        elif kind == "config":
            self.config += body.rstrip("\n") + "\n" if body.strip() else ""
        elif lines[:1] == ["true"]:
            self.programs |= {kind}
        else:
            self.answers.setdefault(kind, []).extend(line for line in lines if line)


def _ask(
    name: str, mount: tuple[str, ...], root: str, files: Questions, paths: Questions
) -> list[str]:
    lines = [f'echo "{MARK}filesystem {name}"', *mount]
    for kind, command in files:
        lines += [f'echo "{MARK}{kind}"', command.format(root=root), "echo"]
    for kind, path in paths:
        lines += [f'echo "{MARK}{kind}"', f"-exists {root}{path}"]
    return [*lines, "-umount-all"]


def _filesystems(lines: list[str]) -> list[Filesystem]:
    systems: list[Filesystem] = []
    kind, body = "", list[str]()
    for line in [*lines, MARK]:
        if not line.startswith(MARK):
            body.append(line)
            continue
        if systems and kind:
            systems[-1].take(kind, body)
        kind, _, rest = line.removeprefix(MARK).partition(" ")
        body = []
        if kind == "filesystem":
            systems.append(Filesystem(name=rest))
            kind = ""
    return systems


def _contents(system: Filesystem) -> Contents:
    detail = [f"root filesystem {system.name}"]
    forced = _value(system.identify, "datasource")
    policy = _value(system.identify, "policy")
    disabled = "disabled" in system.programs or policy.split(",")[0] == "disabled"
    installed = "cloud-init" in system.programs
    sources = datasource_list(f"datasource_list: [{forced}]" if forced else system.config)
    if not installed:
        detail.append("cloud-init is not installed")
    elif disabled:
        detail.append("cloud-init is installed but disabled")
    elif sources:
        detail.append("its list of datasources is " + ", ".join(sources))
    else:
        detail.append("cloud-init has its default list of datasources")
    if len(system.config) >= _CONFIG_LIMIT:
        detail.append("its configuration is very large and was not read to its end")
    return Contents(
        os=masked(_os_name(system.os), 80),
        cloud_init=installed and not disabled,
        datasources=sources,
        agent="agent" in system.programs,
        bakes_disks=_BAKED.search(system.config) is not None,
        detail=masked("; ".join(detail), 300),
        on_volume=system.name in _ROOT_VOLUMES,
    )


# A key of the top level that holds something: `disk_setup:` with a block or a value below it.
_BAKED = re.compile(
    r"^(?:disk_setup|fs_setup)[ \t]*:[ \t]*+(?!(?:null|~|\{\}|\[\])?[ \t]*(?:#.*)?$)\S"
    r"|^(?:disk_setup|fs_setup)[ \t]*:[ \t]*(?:#.*)?\n(?:[ \t]*(?:#.*)?\n)*"
    r"(?:[ \t]+[^\s#]|-(?:[ \t]|$))",
    re.MULTILINE,
)


def datasource_list(config: str) -> tuple[str, ...]:
    """Return the datasources as cloud-init's ds-identify reads them; empty is its default list.

    `config` is cloud.cfg and then cloud.cfg.d/*.cfg in the order of their names. ds-identify
    (cloud-init, tools/ds-identify, `check_config` and `parse_yaml_array`) is a shell script and
    no YAML reader: it knows lists on one line only, and the last one wins, at whatever depth.
    """
    value = ""
    for line in config.splitlines():
        bare = line.strip(" \t").partition("#")[0]
        if bare == "datasource_list:" or bare.startswith("datasource_list: "):
            value = bare.removeprefix("datasource_list:").removeprefix(" ")
    names = value.removeprefix("[").removesuffix("]").split(",")
    stripped = (_unquoted(name.strip()) for name in names)
    return tuple(masked(name, 40) for name in stripped if name)[:40]


def _unquoted(text: str) -> str:
    for quote in "\"'":
        if len(text) >= 2 and text[0] == text[-1] == quote:
            return text[1:-1]
    return text


def _value(text: str, key: str) -> str:
    """Return a `key: value` of ds-identify.cfg (read by `read_config` of tools/ds-identify)."""
    found = ""
    for line in text.splitlines():
        name, colon, value = line.partition("#")[0].partition(":")
        if colon and name.strip() == key:
            found = _unquoted(value.strip())
    return found


def _os_name(text: str) -> str:
    """Return the system's name (os-release(5))."""
    values = dict[str, str]()
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip()] = _unquoted(value.strip())
    named = f"{values.get('NAME') or values.get('ID', '')} {values.get('VERSION_ID', '')}"
    return values.get("PRETTY_NAME") or named.strip() or "unnamed"
