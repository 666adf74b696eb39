"""Which parts of a domain's XML keep to the guest itself (https://libvirt.org/formatdomain.html).

The XML in a backup may be somebody else's. So all that is not listed here counts as reaching for
the host: a device of it, a file, a socket, a command line of QEMU's.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

_PARTS = (
    "name uuid genid title description metadata memory currentMemory maxMemory memoryBacking "
    "memtune blkiotune numatune vcpu vcpus iothreads iothreadids defaultiothread cputune os "
    "sysinfo features cpu clock pm perf on_poweroff on_reboot on_crash on_lockfailure devices"
)
"""The children of `<domain>`; each is there once."""
_OF_SYSTEM = "type boot bootmenu bios smbios firmware loader nvram"
"""The children of `<os>`: no kernel of the host, no tables."""
_APART = frozenset({"description", "devices", "metadata", "os", "sysinfo", "title"})
"""Those that are looked at one by one, or hold nothing but words."""
_REPEATED = frozenset({"boot"})
_OF_ANY = "acpi address alias"
_OF_TUNING: Mapping[str, str] = {
    "cputune": "emulator_period emulator_quota emulatorpin global_period global_quota "
    "iothread_period iothread_quota iothreadpin period quota shares vcpupin",
    "memoryBacking": "access allocation discard hugepages nosharepages source",
}
"""The children of what a guest takes of the host: no real-time scheduling, which can stop a host;
no memory that is locked, nor any in files."""
_MEMORY = frozenset({
    ("source", "type", "memfd"),
    ("source", "type", "anonymous"),
    ("allocation", "mode", "ondemand"),
})  # fmt: skip
_ENDINGS = ("on_poweroff", "on_reboot", "on_crash")
_ENDS = frozenset({"destroy", "preserve", "restart"})
"""What becomes of it then: a dump of its memory would fill the host each time."""
_DEVICES: Mapping[str, str] = {
    "audio": "",
    "channel": "target",
    "console": "target",
    "controller": "driver master model target",
    "disk": "blockio boot driver geometry iotune product readonly serial source target vendor wwn",
    "emulator": "",
    "graphics": "channel clipboard filetransfer gl image jpeg listen mouse playback streaming zlib",
    "hub": "",
    "input": "driver",
    "interface": "bandwidth boot coalesce driver filterref guest link mac model mtu port rom "
    "source target teaming vlan virtualport",
    "iommu": "driver",
    "memballoon": "driver stats",
    "panic": "",
    "redirdev": "boot",
    "rng": "backend driver rate",
    "serial": "target",
    "sound": "audio codec driver",
    "tpm": "backend",
    "video": "driver model",
    "vsock": "cid driver",
    "watchdog": "",
}
"""Devices, each with the children that it may have."""
_TYPES: Mapping[str, str] = {
    "audio": "none spice",
    "channel": "null pty qemu-vdagent spicevmc unix",
    "console": "null pty",
    "disk": "block file",
    "graphics": "spice vnc",
    "input": "keyboard mouse tablet",
    "interface": "bridge",
    "redirdev": "spicevmc",
    "serial": "null pty",
}
"""What the `type` of a device may be, where it has several."""
_BACKENDS: Mapping[str, frozenset[tuple[str, str]]] = {
    "rng": frozenset({("model", "builtin"), ("model", "random")}),
    "tpm": frozenset({("type", "emulator")}),
}
_OF_BACKEND = frozenset({"active_pcr_banks", "encryption", "profile"})
_RANDOM = frozenset({"/dev/random", "/dev/urandom", "/dev/hwrng"})
_OF_LOADER = frozenset({"format", "readonly", "secure", "stateless", "type"})
_REACHES = frozenset({"evdev", "file", "path", "rendernode", "socket"})
"""Attributes that name something of the host."""
_FIRMWARE = "/usr/share/"
"""Below it, all distributions keep firmware; only root writes there."""


def is_firmware(path: str) -> bool:
    """Whether a path is that of a firmware as the distributions bring it."""
    return path.startswith(_FIRMWARE) and posixpath.normpath(path) == path


def read_only_loader(loader: ET.Element) -> ET.Element | None:
    """Return a `<loader>` that QEMU only reads; None where it is not a distribution's firmware."""
    path = (loader.text or "").strip()
    if loader.get("readonly") == "no" or (path and not is_firmware(path)):
        return None
    made = ET.Element("loader", {key: text for key, text in loader.items() if key in _OF_LOADER})
    if path:
        made.text = path
        made.set("readonly", "yes")
    return made


def foreign_part(root: ET.Element) -> str:
    """Return what in a domain, its devices left out, reaches for the host; empty for nothing."""
    return next(_foreign_parts(root), "")


def foreign_in(device: ET.Element) -> str:
    """Return what in a device, or of it, reaches for the host; empty for nothing."""
    return next(_foreign_in(device), "")


def reaches(element: ET.Element) -> bool:
    """Whether an element or one below it names something of the host, or is no plain libvirt's."""
    return any(
        one.tag.startswith("{")
        or any(name in _REACHES or name.startswith("{") for name in one.keys())  # noqa: SIM118
        or any(text.strip().startswith("/") for text in (*one.attrib.values(), one.text or ""))
        for one in element.iter()
    )


def _foreign_parts(root: ET.Element) -> Iterator[str]:
    if root.get("type") not in {"kvm", "qemu"}:
        yield f"a <domain type={root.get('type', '')!a:.60}>"
    if any(name.startswith("{") for name in root.keys()):  # noqa: SIM118
        yield "a <domain> with attributes of another namespace"
    yield from _more_than(root, _PARTS, frozenset())
    for part in root:
        kind = part.get("type", "smbios")
        if part.tag == "sysinfo" and kind != "smbios":
            yield f"a <sysinfo type={kind!a:.60}>"
        elif part.tag not in _APART and reaches(part):
            yield f"a {_name(part)} that names something of this host"
    yield from _of_tuning(root)
    for system in root.iterfind("os"):
        yield from (f"{one} in <os>" for one in _more_than(system, _OF_SYSTEM, _REPEATED))
        for part in system:
            if part.tag not in {"loader", "nvram"} and reaches(part):
                yield f"a {_name(part)} in <os> that names something of this host"


def _of_tuning(root: ET.Element) -> Iterator[str]:
    for name, known in _OF_TUNING.items():
        for part in root.iterfind(f"{name}/*"):
            if part.tag not in known.split():
                yield f"a {_name(part)} in <{name}>"
    for part in root.iterfind("memoryBacking/*"):
        if part.tag in {"source", "allocation"}:
            odd = {(part.tag, *one) for one in part.items() if one[0] != "threads"} - _MEMORY
            yield from (f"a <{part.tag} {key}={text!a:.60}>" for _, key, text in sorted(odd))
    for name in _ENDINGS:
        end = root.findtext(name, "destroy").strip()
        if end not in _ENDS:
            yield f"an <{name}> that is {end!a:.60}"


def _more_than(parent: ET.Element, known: str, repeated: frozenset[str]) -> Iterator[str]:
    seen: set[str] = set()
    for part in parent:
        if part.tag not in known.split():
            yield f"a {_name(part)}"
        elif part.tag in seen - repeated:
            yield f"a second {_name(part)}"
        seen.add(part.tag)


def _foreign_in(device: ET.Element) -> Iterator[str]:
    name, kind = _name(device), device.get("type", "")
    if device.tag not in _DEVICES:
        yield f"a {name}"
    if device.tag in _TYPES and kind not in _TYPES[device.tag].split():
        yield f"a <{device.tag} type={kind!a:.60}>"
    known = {*_DEVICES.get(device.tag, "").split(), *_OF_ANY.split()}
    for part in device:
        if part.tag not in known:
            yield f"a {name} with a {_name(part)}"
        elif part.tag == "backend":
            yield from (f"a {name} with {one}" for one in _of_backend(device.tag, part))
        elif reaches(part) or (part.tag == "source" and len(part)):
            yield f"a {name} with a {_name(part)} that names something of this host"
    for target in device.iterfind("target") if device.tag == "channel" else ():
        if target.get("type", "virtio") != "virtio":
            yield f"a <channel> with a <target type={target.get('type')!a:.60}>"
    if reaches(ET.Element(device.tag, device.attrib)):
        yield f"a {name} that names something of this host"


def _of_backend(device: str, backend: ET.Element) -> Iterator[str]:
    text = (backend.text or "").strip()
    if not {*backend.items()} & _BACKENDS[device]:
        yield "another <backend> than usual"
    elif (text and text not in _RANDOM) or reaches(ET.Element("backend", backend.attrib)):
        yield "a <backend> that names something of this host"
    yield from (f"a {_name(one)}" for one in backend if one.tag not in _OF_BACKEND)
    if any(len(one) or reaches(one) for one in backend.iterfind("profile")):
        yield "a <profile> that is more than a name"


def _name(element: ET.Element) -> str:
    """Return an element's name; others may have chosen it, so it is kept short and harmless."""
    space, _, tag = element.tag.rpartition("}")
    shown = f"<{tag.encode('ascii', 'backslashreplace').decode():.60}>"
    return f"{shown} of {space[1:]!a:.80}" if space else shown
