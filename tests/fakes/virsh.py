"""A fake of libvirt as virsh shows it: domains by name, each with its inactive XML."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from fakes.tree import tree_text
from fakes.words import UnknownCommandError, take_apart

from kvmkeep.observe.firmware import firmware_variables

_OURS = "{urn:kvmkeep:guest:1}guest"


@dataclass
class FakeDomain:
    """A domain. `live` is the XML it runs with, or None while it is off."""

    xml: ET.Element
    live: ET.Element | None = None
    autostart: bool = False
    ignores_shutdown: bool = False
    paused: bool = False
    frozen: bool = False
    agent: bool = False
    """Whether the agent's channel is connected, as libvirt tells it."""
    ignores_reboot: bool = False
    ignores_sigterm: bool = False
    asleep: bool = False
    panicked: bool = False
    """Whether libvirt has reset it, since its kernel panicked: in the same QEMU."""
    why: str = "user"
    """Why it is paused, while it is."""
    run: int = -1
    silent_for: int = 0
    """How many questions its agent leaves without an answer: it boots."""
    rebooted: str = ""
    was_ready: bool = False
    ready_line: str = ""
    boots: int = 0
    executes: bool = True
    """Whether its agent runs programs when it is asked to."""
    shows_files: bool = True
    """Whether its agent opens files when it is asked to."""
    grows: bool = True
    """Whether the filesystem takes the room that it is given."""
    sizes: dict[str, int] = field(default_factory=dict)
    """How large each disk looks to the running guest, where that was changed since its start."""
    own_files: set[str] = field(default_factory=set)
    """Files that a program in the guest has made."""
    uses: set[str] = field(default_factory=set)
    """Serials of disks that something in it uses."""
    mounted: dict[str, str] = field(default_factory=dict)
    """What its agent tells of its mount points: the serial of the disk below each."""
    told: dict[str, str] = field(default_factory=dict)
    """What its agent answers to questions about the guest."""
    saved: bool = False
    """Whether libvirt keeps its memory for its next start."""
    transient: bool = False
    """Whether libvirt forgets it when it ends."""

    @property
    def name(self) -> str:
        return self.xml.findtext("name", "")

    @property
    def uuid(self) -> str:
        return self.xml.findtext("uuid", "")

    @property
    def ours(self) -> bool:
        return self.xml.find(f"metadata/{_OURS}") is not None

    @property
    def state(self) -> str:
        if self.live is None:
            return "shut off"
        return "pmsuspended" if self.asleep else "paused" if self.paused else "running"

    @property
    def awake(self) -> bool:
        return self.live is not None and not self.paused and not self.asleep

    def end(self, why: str = "crashed") -> None:
        """Let its QEMU end."""
        self.why = why
        self.live, self.paused, self.asleep, self.run, self.rebooted = None, False, False, -1, ""
        self.sizes, self.own_files, self.panicked = {}, set(), False


@dataclass
class FakeVirsh:
    """`boots` is called when a domain starts; it returns what is wrong, or nothing."""

    boots: Callable[[FakeDomain], str]
    reads: Callable[[str], bytes | None]
    domains: dict[str, FakeDomain] = field(default_factory=dict)
    silent_agents: set[str] = field(default_factory=set)
    stubborn_agents: set[str] = field(default_factory=set)
    """Those that answer, but can't freeze."""
    stiff: set[str] = field(default_factory=set)
    """Those that don't let go of a NIC, or of memory."""
    mounted: object = field(default_factory=lambda: [{"mountpoint": "/"}])
    """What the agent of a proof says that is mounted, and what its check ends with."""
    checked: int = 0
    runs: int = 0
    disk: Callable[[str], Any] = lambda _: None
    """Returns the LV or file of a path."""
    drops: Callable[[str], object] = lambda _: None
    """Removes a file."""
    bridged: Callable[[str, str], object] = lambda _port, _bridge: None
    """Puts an interface of a running domain into a bridge."""

    def virsh(self, argv: tuple[str, ...], stdin: bytes = b"") -> tuple[int, str]:
        verb, rest = argv[0], argv[1:]
        simple = {
            "domuuid": lambda d: (0, d.uuid + "\n"),
            "domstate": lambda d: (0, d.state + "\n"),
            "start": self._start,
            "shutdown": self._shutdown,
            "reboot": self._reboot,
            "suspend": self._suspend,
            "resume": self._resume,
            "dompmwakeup": self._wake,
        }
        if verb == "define":
            return self._define(rest)
        if verb in simple:
            if rest[0] != "--" or len(rest) != 2:
                raise UnknownCommandError(f"virsh {argv}")
            domain = self.domains.get(rest[1])
            return simple[verb](domain) if domain is not None else _missing(rest[1])
        others = {
            "autostart": self._autostart,
            "desc": self._desc,
            "dumpxml": self._dumpxml,
            "undefine": self._undefine,
            "domrename": self._domrename,
            "domif-getlink": self._getlink,
            "create": self._create,
            "destroy": self._destroy,
            "metadata": self._metadata,
            "qemu-agent-command": self._agent,
            "change-media": self._change_media,
            "blockresize": self._blockresize,
            "attach-device": self._attach,
            "detach-disk": self._detach,
        }
        if verb in {"update-device", "detach-interface"} or "/dev/stdin" in rest:
            return self._devices(verb, rest, stdin)
        if verb in others:
            return others[verb](rest)
        if verb in {"setmem", "setmaxmem", "setvcpus"}:
            return self._shape(verb, rest)
        raise UnknownCommandError(f"virsh {argv}")

    def _undefine(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, flags="--nvram --keep-nvram --keep-tpm")
        assert len(words.flags & {"--nvram", "--keep-nvram"}) == 1, "libvirt has to be told"
        domain = self._known(words.rest[0])
        if domain is None:
            return _missing(words.rest[0])
        assert domain.live is None, "a running domain was made a transient one"
        if domain.saved:
            return 1, "error: Refusing to undefine while domain managed save image exists"
        if "--nvram" in words.flags:
            self.drops(firmware_variables(domain.xml))
        del self.domains[domain.name]
        return 0, ""

    def _known(self, word: str) -> FakeDomain | None:
        """Return a domain by its name or UUID."""
        return next((d for d in self.domains.values() if word in {d.name, d.uuid}), None)

    def several(self, line: str) -> str | None:
        """Return what virsh prints of several questions to one agent; None if it falls silent."""
        said = ""
        for part in line.split("; "):
            words = part.split(" ", 4)
            if words[0] == "echo":
                said += part.removeprefix("echo ") + "\n"
                continue
            assert words[:3] == ["qemu-agent-command", "--timeout", "2"], part
            (domain,) = [one for one in self.domains.values() if one.uuid == words[3]]
            if domain.name in self.silent_agents:
                return None
            said += domain.told.get(json.loads(words[4].strip("'"))["execute"], "") + "\n"
        return said

    def _autostart(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, flags="--disable")
        domain = self.domains.get(words.rest[0])
        if domain is None:
            return _missing(words.rest[0])
        if domain.transient:
            return (
                1,
                "error: Requested operation is not valid: cannot set autostart for transient domain",
            )
        domain.autostart = "--disable" not in words.flags
        return 0, ""

    def _agent(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, values="--timeout", needs="--timeout")
        name, text = words.rest
        answers: dict[str, Callable[[FakeDomain], object]] = {
            "guest-ping": lambda _: {},
            "guest-fsfreeze-status": lambda d: "frozen" if d.frozen else "thawed",
            "guest-fsfreeze-freeze": self._freeze,
            "guest-fsfreeze-thaw": self._thaw,
            "guest-exec": lambda d: self._execute(d, **question["arguments"]),
            "guest-file-open": lambda d: _open(d, **question["arguments"]),
            "guest-get-fsinfo": lambda _: self.mounted,
            "guest-exec-status": lambda _: {"exited": True, "exitcode": self.checked},
            "guest-set-vcpus": lambda d: _use_cpus(d, question["arguments"]["vcpus"]),
        }
        question = json.loads(text)
        if not question.keys() <= {"execute", "arguments"} or question["execute"] not in answers:
            raise UnknownCommandError(text)
        domain = self.domains.get(name)
        if domain is None or domain.state != "running" or name in self.silent_agents:
            return 1, "error: guest agent is not connected, or the domain is not running"
        if domain.silent_for:
            domain.silent_for -= 1
            return 1, "error: guest agent is not connected"
        answer = answers[question["execute"]](domain)
        if answer is None:
            return 1, "error: internal error: unable to execute QEMU agent command"
        return 0, json.dumps({"return": answer}, separators=(",", ":")) + "\n\n"

    def _freeze(self, domain: FakeDomain) -> int | None:
        if domain.name in self.stubborn_agents:
            return None
        domain.frozen = True
        return 1

    def _thaw(self, domain: FakeDomain) -> int:
        was, domain.frozen = domain.frozen, False
        return int(was)

    def _execute(self, domain: FakeDomain, path: str, arg: list[str], **_: object) -> object | None:
        """Run the script of a growth, or of a look who uses a disk; both end at once."""
        if domain.transient:
            return {"pid": 9}
        assert (path, arg[0], arg[2]) == ("/bin/sh", "-c", "kvmkeep")
        if "holders" in arg[1]:
            return self._look_who_uses(domain, arg[3])
        assert "resize2fs" in arg[1]
        serial, size, stamp = arg[3:]
        if not domain.executes or domain.live is None:
            return None
        disks = domain.live.findall("devices/disk")
        found = [disk for disk in disks if disk.findtext("serial") == serial]
        place = f"/run/kvmkeep-grow.{stamp}"
        domain.own_files |= {f"{place}.log", f"{place}.ended"}
        if domain.grows and found and domain.sizes.get(target(found[0])) == int(size):
            domain.own_files.add(f"{place}.grown")
            disk = self.disk(source(found[0]))
            disk.used = disk.size
        return {"pid": 7}

    def _look_who_uses(self, domain: FakeDomain, serial: str) -> object | None:
        place = f"/run/kvmkeep-free.{serial}"
        domain.own_files.discard(place)
        if not domain.executes or domain.live is None:
            return None
        there = [disk.findtext("serial") for disk in domain.live.findall("devices/disk")]
        if there.count(serial) == 1 and not {serial} & {*domain.uses, *domain.mounted.values()}:
            domain.own_files.add(place)
        return {"pid": 8}

    def _blockresize(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, values="--domain --path --size", needs="--domain --path --size")
        domain, size = self.domains.get(words.one("--domain")), words.one("--size")
        assert size.endswith("B"), "without a suffix, it is KiB"
        if domain is None or domain.live is None:
            return 1, "error: domain is not running"
        found = [d for d in domain.live.findall("devices/disk") if target(d) == words.one("--path")]
        disk = self.disk(source(found[0])) if found else None
        if disk is None:
            return 1, "error: invalid argument: invalid path"
        bytes_ = int(size.removesuffix("B"))
        assert bytes_ >= domain.sizes.get(target(found[0]), 0), "it would shrink"
        if found[0].get("type") == "file":
            disk.size = bytes_
        if bytes_ > disk.size:
            return 1, "error: Cannot grow device files"
        assert bytes_ == disk.size, "the guest would see less than there is"
        domain.sizes[target(found[0])] = bytes_
        return 0, ""

    def _attach(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            rest, values="--domain --file", flags="--live --config", needs="--domain --file"
        )
        domain, text = self.domains.get(words.one("--domain")), self.reads(words.one("--file"))
        if domain is None or text is None:
            return 1, "error: no such domain or file"
        disk = ET.fromstring(text)  # noqa: S314 - our own
        driver = disk.find("driver")
        assert driver is not None
        assert driver.get("type") == "raw", "a disk that is not raw"
        behind = self.disk(source(disk))
        if behind is None:
            return 1, f"error: Cannot access storage file '{source(disk)}'"
        trees = self._trees(domain, words.flags)
        if trees is None:
            return 1, "error: Requested operation is not valid: domain is not running"
        if any(target(one) == target(disk) for t in trees for one in t.findall("devices/disk")):
            return 1, f"error: operation failed: target {target(disk)} already exists"
        if "--live" in words.flags and not _takes_port(trees[0], disk):
            return 1, "error: internal error: No more available PCI slots"
        for tree in trees:
            devices = tree.find("devices")
            assert devices is not None
            devices.append(copy.deepcopy(disk))
        behind.used = behind.size
        return 0, ""

    def _detach(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            rest, values="--domain --target", flags="--live --config", needs="--domain --target"
        )
        domain = self.domains.get(words.one("--domain"))
        if domain is None:
            return _missing(words.one("--domain"))
        trees = self._trees(domain, words.flags)
        if trees is None:
            return 1, "error: Requested operation is not valid: domain is not running"
        for tree in trees:
            devices = tree.find("devices")
            assert devices is not None
            found = [d for d in devices.findall("disk") if target(d) == words.one("--target")]
            if not found:
                return 1, "error: No disk found whose source path or target is that"
            serial = found[0].findtext("serial")
            if tree is domain.live:
                assert serial not in {*domain.uses, *domain.mounted.values()}, "it was in use"
            if tree is not domain.live or domain.name not in self.stiff:
                devices.remove(found[0])
        return 0, ""

    def _trees(self, domain: FakeDomain, flags: frozenset[str]) -> list[ET.Element] | None:
        assert flags, "neither --live nor --config"
        assert not (domain.transient and "--config" in flags), _NO_DEFINITION
        if "--live" in flags and domain.live is None:
            return None
        live = [domain.live] if "--live" in flags and domain.live is not None else []
        return [*live, *([domain.xml] if "--config" in flags else [])]

    def _getlink(self, rest: tuple[str, ...]) -> tuple[int, str]:
        dashes, name, tap = rest
        assert dashes == "--"
        domain = self.domains.get(name)
        if domain is None or domain.live is None:
            return 1, "error: domain is not running"
        taps = [one.get("dev") for one in domain.live.iterfind("devices/interface/target")]
        return (0, f"{tap} default\n") if tap in taps else (1, "error: Interface not found")

    def _domrename(self, rest: tuple[str, ...]) -> tuple[int, str]:
        before, after = rest
        domain = self.domains.get(before)
        if domain is None or domain.live is not None or domain.saved or after in self.domains:
            return 1, "error: Requested operation is not valid"
        name = domain.xml.find("name")
        assert name is not None
        name.text = after
        self.domains[after] = self.domains.pop(before)
        return 0, ""

    def _define(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, flags="--validate")
        text = self.reads(words.rest[0])
        if text is None:
            return 1, "error: Failed to open file"
        xml = ET.fromstring(text)  # noqa: S314 - our own
        for driver in xml.findall("devices/disk/driver"):
            assert driver.get("type") == "raw", "a disk that is not raw"
        if _topology(xml) not in {0, int(xml.findtext("vcpu", "1"))}:
            return (
                1,
                "error: unsupported configuration: CPU topology doesn't match maximum vcpu count",
            )
        _plug(xml)
        new = FakeDomain(xml)
        twin = next((d for d in self.domains.values() if d.uuid == new.uuid), None)
        old = self.domains.get(new.name)
        if (twin is not None and twin.name != new.name) or (
            old is not None and old.uuid != new.uuid
        ):
            return 1, "error: operation failed: domain already exists with uuid"
        if old is None:
            self.domains[new.name] = new
        else:
            old.xml, old.transient = xml, False
        return 0, ""

    def _create(self, rest: tuple[str, ...]) -> tuple[int, str]:
        """Start a domain that libvirt keeps nothing of."""
        words = take_apart(rest)
        text = self.reads(words.rest[0])
        if text is None:
            return 1, "error: Failed to open file"
        new = FakeDomain(ET.fromstring(text), transient=True, agent=True)  # noqa: S314 - our own
        if any(new.name == one.name or new.uuid == one.uuid for one in self.domains.values()):
            return 1, "error: operation failed: domain already exists"
        wrong = self.boots(new)
        if wrong:
            return 1, f"error: {wrong}"
        new.live = copy.deepcopy(new.xml)
        self.domains[new.name] = new
        return 0, ""

    def _dumpxml(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, values="--domain --xpath", flags="--inactive --security-info")
        name = words.one("--domain") if words.values.get("--domain") else words.rest[0]
        domain = self._known(name)
        if domain is None:
            return _missing(name)
        if words.values.get("--xpath"):
            found = _asked(domain, words.one("--xpath"))
            return 0, f"<name>{name}</name>\n\n" if found else "\n"
        if "--inactive" not in words.flags:
            raise UnknownCommandError(f"dumpxml {rest}")
        tree = domain.xml if "--security-info" in words.flags else told(domain.xml)
        return 0, f"{xml_text(tree)}\n"

    def _start(self, domain: FakeDomain) -> tuple[int, str]:
        if domain.live is not None:
            return 1, "error: Domain is already active"
        wrong = self.boots(domain)
        if wrong:
            domain.why = "failed"
            return 1, f"error: {wrong}"
        domain.live = copy.deepcopy(domain.xml)
        domain.why, domain.saved = "user", False
        self.runs += 1
        domain.run = self.runs
        domain.boots += 1
        domain.was_ready, domain.ready_line = False, ""
        return 0, ""

    def _shutdown(self, domain: FakeDomain) -> tuple[int, str]:
        if domain.live is None:
            return 1, "error: Requested operation is not valid: domain is not running"
        if not domain.ignores_shutdown and domain.awake:
            domain.end("shutdown")
        return 0, ""

    def _reboot(self, domain: FakeDomain) -> tuple[int, str]:
        if domain.live is None:
            return 1, "error: Requested operation is not valid: domain is not running"
        if domain.ignores_reboot or not domain.awake:
            return 0, ""
        wrong = self.boots(domain)
        if wrong:
            return 1, f"error: {wrong}"
        domain.boots += 1
        domain.silent_for = 3
        return 0, ""

    def _suspend(self, domain: FakeDomain) -> tuple[int, str]:
        if domain.live is None:
            return 1, "error: Requested operation is not valid: domain is not running"
        domain.paused = True
        return 0, ""

    def _resume(self, domain: FakeDomain) -> tuple[int, str]:
        if domain.live is None or not domain.paused:
            return 1, "error: Requested operation is not valid: domain is not paused"
        domain.paused = False
        return 0, ""

    def _wake(self, domain: FakeDomain) -> tuple[int, str]:
        if not domain.asleep:
            return 1, "error: Requested operation is not valid: domain is not suspended"
        domain.asleep = False
        return 0, ""

    def _destroy(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, flags="--graceful")
        domain = self._known(words.rest[0])
        if domain is None:
            return _missing(words.rest[0])
        if domain.transient:
            del self.domains[domain.name]
            return 0, ""
        if domain.live is None:
            return 1, "error: Requested operation is not valid: domain is not running"
        if domain.ignores_sigterm and "--graceful" in words.flags:
            return 1, "error: Failed to terminate process with SIGTERM: Device or resource busy"
        domain.end("destroyed")
        return 0, ""

    def _metadata(self, rest: tuple[str, ...]) -> tuple[int, str]:
        if "urn:kvmkeep:guest:1" in rest:
            return self._mark(rest)
        for key in ("run", "born"):
            if f"urn:kvmkeep:{key}:1" in rest:
                return self._mark_definition(rest, f"kvmkeep-{key}", f"urn:kvmkeep:{key}:1")
        words = take_apart(
            rest,
            values="--domain --uri --key --set",
            flags="--live --config",
            needs="--domain --uri --key --set",
        )
        domain = self.domains.get(words.one("--domain"))
        if domain is None:
            return _missing(words.one("--domain"))
        trees = _trees(domain, words.flags)
        if trees is None:
            return _NOT_RUNNING
        assert trees == [domain.live]
        if words.one("--uri") == "urn:kvmkeep:ready:1":
            domain.was_ready = True
            said = ET.fromstring(words.one("--set"))  # noqa: S314 - our own
            domain.ready_line = said.get("line", "")
            return 0, ""
        if words.one("--uri") != "urn:kvmkeep:reboot:1":
            raise UnknownCommandError(str(rest))
        element = ET.fromstring(words.one("--set"))  # noqa: S314 - our own
        domain.rebooted = element.get("asked", "")
        return 0, ""

    def _mark(self, rest: tuple[str, ...]) -> tuple[int, str]:
        """Set or remove our element of the definition, and of the running domain."""
        words = take_apart(
            rest, values="--domain --uri --key --set", flags="--remove --config --live",
            needs="--domain --uri",
        )  # fmt: skip
        domain = self.domains.get(words.one("--domain"))
        if domain is None:
            return _missing(words.one("--domain"))
        trees = _trees(domain, words.flags)
        if trees is None:
            return _NOT_RUNNING
        assert trees
        for tree in trees:
            metadata = tree.find("metadata")
            if metadata is None:
                metadata = ET.SubElement(tree, "metadata")
            for old in metadata.findall(_OURS):
                metadata.remove(old)
            if "--remove" not in words.flags:
                assert words.one("--key") == "kvmkeep"
                inner = ET.fromstring(words.one("--set"))  # noqa: S314 - our own
                for one in inner.iter():
                    assert ":" not in one.tag, "libvirt fails to create a namespace that is there"
                    one.tag = f"{{urn:kvmkeep:guest:1}}{one.tag}"
                metadata.append(inner)
            elif len(metadata) == 0:
                tree.remove(metadata)
        return 0, ""

    def _mark_definition(self, rest: tuple[str, ...], key: str, uri: str) -> tuple[int, str]:
        """Set or remove an element that stands in the definition alone."""
        words = take_apart(
            rest, values="--domain --uri --key --set", flags="--remove --config",
            needs="--domain --uri --config",
        )  # fmt: skip
        domain = self.domains.get(words.one("--domain"))
        if domain is None:
            return _missing(words.one("--domain"))
        assert not domain.transient, _NO_DEFINITION
        metadata = domain.xml.find("metadata")
        assert metadata is not None, "not a domain of ours"
        for old in metadata.findall(f"{{{uri}}}*"):
            metadata.remove(old)
        if "--remove" in words.flags:
            return 0, ""
        assert words.one("--key") == key
        inner = ET.fromstring(words.one("--set"))  # noqa: S314 - our own
        inner.tag = f"{{{uri}}}{inner.tag}"
        metadata.append(inner)
        return 0, ""

    def _change_media(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            rest,
            values="--domain --path --source",
            flags="--update --eject --config --live --force",
            needs="--domain --path --config",
        )
        domain = self.domains.get(words.one("--domain"))
        if domain is None:
            return _missing(words.one("--domain"))
        if "--live" in words.flags and domain.live is None:
            return 1, "error: domain is not running"
        if "--live" in words.flags and "--force" not in words.flags:
            # A guest that is busy, or has locked the drive, does not open it within 5 s.
            return 1, "error: operation failed: timed out waiting to open tray of 'sda'"
        trees = [domain.xml]
        if "--live" in words.flags and domain.live is not None:
            trees.append(domain.live)
        for tree in trees:
            drive = next(
                disk
                for disk in tree.findall("devices/disk")
                if disk.find("target").get("dev") == words.one("--path")
            )
            source = drive.find("source")
            if "--eject" in words.flags:
                if source is None:
                    return 1, "error: The disk device 'sda' doesn't have media"
                drive.remove(source)
            else:
                if source is None:
                    source = ET.SubElement(drive, "source")
                source.set("file", words.one("--source"))
        return 0, ""

    def _shape(self, verb: str, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            rest,
            values="--domain --size --count",
            flags="--config --live --maximum",
            needs="--domain",
        )
        domain = self.domains.get(words.one("--domain"))
        if domain is None:
            return _missing(words.one("--domain"))
        trees = _trees(domain, words.flags)
        if trees is None:
            return _NOT_RUNNING
        number = int(words.one("--count" if verb == "setvcpus" else "--size"))
        if verb == "setvcpus":
            return _set_vcpus(domain, trees, number, maximum="--maximum" in words.flags)
        wrong = _wrong_memory(domain, trees, number, most=verb == "setmaxmem")
        if wrong:
            return 1, f"error: {wrong}"
        for tree in trees:
            current = tree.find("currentMemory")
            if verb == "setmaxmem":
                tree.find("memory").text = str(number)
                number = min(number, int(current.text or 0))
            if tree is not domain.live or domain.name not in self.stiff:
                current.text = str(number)
        return 0, ""

    def _devices(self, verb: str, rest: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        words = take_apart(
            rest,
            values="--domain --file --type --mac",
            flags="--config --live",
            needs="--domain --file" if verb != "detach-interface" else "--domain --type --mac",
        )
        domain = self.domains.get(words.one("--domain"))
        if domain is None:
            return _missing(words.one("--domain"))
        trees = _trees(domain, words.flags)
        if trees is None:
            return _NOT_RUNNING
        if verb == "detach-interface":
            return self._detach_nic(domain, trees, words.one("--type"), words.one("--mac"))
        assert words.one("--file") == "/dev/stdin"
        new = ET.fromstring(stdin)  # noqa: S314 - our own
        mac = new.find("mac").get("address")
        found = [_nic_of(tree, mac) for tree in trees]
        if (verb == "attach-device") == any(nic is not None for nic in found):
            return 1, f"error: there is such a NIC, or none: {mac}"
        for tree, old in zip(trees, found, strict=True):
            devices = tree.find("devices")
            if old is None and tree is domain.live and _free_ports(tree) == []:
                return 1, "error: internal error: No more available PCI slots"
            if old is not None:
                assert _without_bridge(old) == _without_bridge(new), "something else is changed"
                devices.remove(old)
            if old is not None and tree is domain.live:
                self.bridged(_port_of(old), _bridge_of(new))
            devices.append(copy.deepcopy(new))
            _plug(tree)
        return 0, ""

    def _detach_nic(
        self, domain: FakeDomain, trees: list[ET.Element], kind: str, mac: str
    ) -> tuple[int, str]:
        for tree in trees:
            nic = _nic_of(tree, mac)
            if nic is None or nic.get("type") != kind:
                return 1, f"error: No interface with MAC address {mac} was found"
            if tree is not domain.live or (domain.awake and domain.name not in self.stiff):
                tree.find("devices").remove(nic)
        return 0, ""

    def _desc(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            rest,
            values="--domain --new-desc",
            flags="--config --live",
            needs="--domain --new-desc --config",
        )
        domain = self.domains.get(words.one("--domain"))
        trees = None if domain is None else _trees(domain, words.flags)
        if trees is None:
            return _missing(words.one("--domain"))
        for tree in trees:
            found = tree.find("description")
            if found is None:
                found = ET.Element("description")
                tree.insert(2, found)
            found.text = words.one("--new-desc")
        return 0, ""


def _port_of(nic: ET.Element) -> str:
    target = nic.find("target")
    return "" if target is None else target.get("dev", "")


def _bridge_of(nic: ET.Element) -> str:
    source = nic.find("source")
    return "" if source is None else source.get("bridge", "")


_NO_DEFINITION = "cannot change persistent config of a transient domain"
_FIXED_BY_NUMA = (
    "Requested operation is not valid: initial memory size of a domain with NUMA nodes cannot be "
    "modified with this API"
)
_NOT_RUNNING = (1, "error: Requested operation is not valid: domain is not running")


def _trees(domain: FakeDomain, flags: frozenset[str]) -> list[ET.Element] | None:
    """Return what a change is made to, or None where the domain does not run."""
    if not flags & {"--config", "--live"}:
        raise UnknownCommandError(f"without --config or --live: {sorted(flags)}")
    assert not (domain.transient and "--config" in flags), _NO_DEFINITION
    if "--live" in flags and domain.live is None:
        return None
    trees = [domain.xml] if "--config" in flags else []
    return [*trees, domain.live] if "--live" in flags else trees


def _set_vcpus(
    domain: FakeDomain, trees: list[ET.Element], number: int, *, maximum: bool
) -> tuple[int, str]:
    for tree in trees:
        if maximum and _topology(tree) not in {0, number}:
            return (
                1,
                "error: invalid argument: CPU topology doesn't match the desired vcpu count",
            )
        vcpu = tree.find("vcpu")
        most = int(vcpu.text or 0)
        now = int(vcpu.get("current", most))
        assert not (tree is domain.live and (maximum or number < now)), "that is not hot-pluggable"
        if not maximum and number > most:
            return 1, "error: requested vcpus is greater than max allowable"
        most = number if maximum else most
        now = min(now, number) if maximum else number
        vcpu.text = str(most)
        vcpu.attrib.pop("current", None)
        if now != most:
            vcpu.set("current", str(now))
    return 0, ""


def _wrong_memory(domain: FakeDomain, trees: list[ET.Element], number: int, *, most: bool) -> str:
    if not most:
        above = any(number > int(tree.findtext("memory", "0")) for tree in trees)
        return "cannot set memory higher than max memory" if above else ""
    assert trees == [domain.xml], "QEMU's memory can't grow"
    return _FIXED_BY_NUMA if domain.xml.find("cpu/numa/cell") is not None else ""


def _topology(tree: ET.Element) -> int:
    """Return how many CPUs a topology is for; 0 where there is none."""
    found = tree.find("cpu/topology")
    return 0 if found is None else math.prod(int(one) for one in found.attrib.values())


def _use_cpus(domain: FakeDomain, cpus: list[dict[str, int]]) -> int:
    plugged = int(domain.live.find("vcpu").get("current", domain.live.findtext("vcpu")))
    assert all(one["online"] is True and one["logical-id"] < plugged for one in cpus)
    return len(cpus)


def _plug(tree: ET.Element) -> None:
    """Number the ports of a Q35 machine, and put each disk and NIC that has none into one."""
    ports = tree.findall("devices/controller[@model='pcie-root-port']")
    for number, port in enumerate(ports, 1):
        port.set("index", str(number))
    disks = tree.findall("devices/disk[@device='disk']")
    for device in [*disks, *tree.findall("devices/interface")]:
        free = _free_ports(tree)
        if device.find("address") is None and free:
            ET.SubElement(device, "address", type="pci", bus=f"0x{free[0]:02x}")


def _free_ports(tree: ET.Element) -> list[int] | None:
    """Return the numbers of the free ports, or None where the machine has none at all."""
    ports = tree.findall("devices/controller[@model='pcie-root-port']")
    numbers = [int(one.get("index", "0")) for one in ports]
    taken = {int(one.get("bus", "0"), 16) for one in tree.iterfind("devices/*/address")}
    return [one for one in numbers if one not in taken] if ports else None


def _nic_of(tree: ET.Element, mac: str) -> ET.Element | None:
    nics = tree.findall("devices/interface")
    return next((one for one in nics if one.find("mac").get("address") == mac), None)


def _without_bridge(nic: ET.Element) -> str:
    nic = copy.deepcopy(nic)
    nic.find("source").attrib.pop("bridge", None)
    return ET.canonicalize(ET.tostring(nic, encoding="unicode"), strip_text=True)


def _asked(domain: FakeDomain, xpath: str) -> bool:
    """Answer the three questions about a running domain that are asked in XPath."""
    tree = domain.live if domain.live is not None else domain.xml
    gone = re.fullmatch(r'/domain\[not\(devices/interface/mac/@address="(.*)"\)\]/name', xpath)
    if gone:
        return _nic_of(tree, gone[1]) is None
    away = re.fullmatch(r'/domain\[not\(devices/disk/target/@dev="(.*)"\)\]/name', xpath)
    if away:
        return away[1] not in [target(disk) for disk in tree.findall("devices/disk")]
    near = re.fullmatch(r"/domain\[currentMemory > (\d+) and currentMemory < (\d+)\]/name", xpath)
    if near is None:
        raise UnknownCommandError(xpath)
    return int(near[1]) < int(tree.findtext("currentMemory", "0")) < int(near[2])


def told(tree: ET.Element) -> ET.Element:
    """Return what libvirt shows of a domain where nobody asks for secrets."""
    shown = copy.deepcopy(tree)
    for console in shown.findall("devices/graphics"):
        console.attrib.pop("passwd", None)
    return shown


def xml_text(tree: ET.Element) -> str:
    """Return a domain's XML as libvirt's library prints it."""
    return tree_text(tree) + "\n"


def target(disk: ET.Element) -> str:
    found = disk.find("target")
    return "" if found is None else found.get("dev", "")


def source(disk: ET.Element) -> str:
    found = disk.find("source")
    return "" if found is None else found.get("dev") or found.get("file", "")


def _takes_port(live: ET.Element, disk: ET.Element) -> bool:
    """Put a device behind a port that is free, on a machine that needs that."""
    ports = {
        one.get("index", "")
        for one in live.findall("devices/controller")
        if one.get("model") == "pcie-root-port"
    }
    used = {str(int(one.get("bus", "0"), 0)) for one in live.findall("devices/*/address")}
    if live.find("devices/controller[@model='pcie-root']") is None:
        return True
    if not ports - used:
        return False
    ET.SubElement(disk, "address", type="pci", bus=min(ports - used))
    return True


def _open(domain: FakeDomain, path: str, mode: str) -> int | None:
    assert mode == "r"
    return 1000 if domain.shows_files and path in domain.own_files else None


def _missing(name: str) -> tuple[int, str]:
    return 1, f"error: failed to get domain '{name}'"
