"""A fake of libvirt as virsh shows it: domains by name, each with its inactive XML."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from fakes.words import UnknownCommandError, take_apart

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
    why: str = "user"
    """Why it is paused, while it is."""
    run: int = -1
    silent_for: int = 0
    """How many questions its agent leaves without an answer: it boots."""
    rebooted: str = ""
    boots: int = 0

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

    def end(self) -> None:
        """Let its QEMU end."""
        self.live, self.paused, self.asleep, self.run, self.rebooted = None, False, False, -1, ""


@dataclass
class FakeVirsh:
    """`boots` is called when a domain starts; it returns what is wrong, or nothing."""

    boots: Callable[[FakeDomain], str]
    reads: Callable[[str], bytes | None]
    domains: dict[str, FakeDomain] = field(default_factory=dict)
    silent_agents: set[str] = field(default_factory=set)
    stubborn_agents: set[str] = field(default_factory=set)
    """Those that answer, but can't freeze."""
    runs: int = 0

    def virsh(self, argv: tuple[str, ...]) -> tuple[int, str]:
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
            "dumpxml": self._dumpxml,
            "undefine": self._undefine,
            "domrename": self._domrename,
            "destroy": self._destroy,
            "metadata": self._metadata,
            "qemu-agent-command": self._agent,
            "change-media": self._change_media,
        }
        if verb in others:
            return others[verb](rest)
        if verb in {"setmem", "setmaxmem", "setvcpus"}:
            return self._shape(verb, rest)
        raise UnknownCommandError(f"virsh {argv}")

    def _undefine(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, flags="--keep-nvram --keep-tpm", needs="--keep-nvram")
        domain = self._known(words.rest[0])
        if domain is None:
            return _missing(words.rest[0])
        assert domain.live is None, "a running domain was made a transient one"
        del self.domains[domain.name]
        return 0, ""

    def _known(self, word: str) -> FakeDomain | None:
        """Return a domain by its name or UUID."""
        return next((d for d in self.domains.values() if word in {d.name, d.uuid}), None)

    def _autostart(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, flags="--disable")
        domain = self.domains.get(words.rest[0])
        if domain is None:
            return _missing(words.rest[0])
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
        }
        question = json.loads(text)
        if question.keys() != {"execute"} or question["execute"] not in answers:
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

    def _domrename(self, rest: tuple[str, ...]) -> tuple[int, str]:
        before, after = rest
        domain = self.domains.get(before)
        if domain is None or domain.live is not None or after in self.domains:
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
            old.xml = xml
        return 0, ""

    def _dumpxml(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(rest, flags="--inactive --security-info", needs="--inactive")
        domain = self._known(words.rest[0])
        return _missing(words.rest[0]) if domain is None else (0, f"{xml_text(domain.xml)}\n")

    def _start(self, domain: FakeDomain) -> tuple[int, str]:
        if domain.live is not None:
            return 1, "error: Domain is already active"
        wrong = self.boots(domain)
        if wrong:
            return 1, f"error: {wrong}"
        domain.live = copy.deepcopy(domain.xml)
        self.runs += 1
        domain.run = self.runs
        domain.boots += 1
        return 0, ""

    def _shutdown(self, domain: FakeDomain) -> tuple[int, str]:
        if domain.live is None:
            return 1, "error: Requested operation is not valid: domain is not running"
        if not domain.ignores_shutdown and domain.awake:
            domain.end()
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
        domain = self.domains.get(words.rest[0])
        if domain is None:
            return _missing(words.rest[0])
        if domain.live is None:
            return 1, "error: Requested operation is not valid: domain is not running"
        if domain.ignores_sigterm and "--graceful" in words.flags:
            return 1, "error: Failed to terminate process with SIGTERM: Device or resource busy"
        domain.end()
        return 0, ""

    def _metadata(self, rest: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            rest,
            values="--domain --uri --key --set",
            flags="--live",
            needs="--domain --uri --key --set --live",
        )
        domain = self.domains.get(words.one("--domain"))
        if domain is None:
            return _missing(words.one("--domain"))
        if domain.live is None:
            return 1, "error: Requested operation is not valid: domain is not running"
        if words.one("--uri") != "urn:kvmkeep:reboot:1":
            raise UnknownCommandError(str(rest))
        domain.rebooted = ET.fromstring(words.one("--set")).get("asked", "")  # noqa: S314
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
            flags="--config --maximum",
            needs="--domain --config",
        )
        domain = self.domains.get(words.one("--domain"))
        if domain is None:
            return _missing(words.one("--domain"))
        xml = domain.xml
        if verb == "setvcpus":
            vcpu = xml.find("vcpu")
            count = int(words.one("--count"))
            if "--maximum" in words.flags:
                vcpu.text = str(count)
            elif count > int(vcpu.text or 0):
                return 1, "error: requested vcpus is greater than max allowable"
        else:
            size = int(words.one("--size"))
            if verb == "setmem" and size > int(xml.findtext("memory", "0")):
                return 1, "error: cannot set memory higher than max memory"
            xml.find("memory" if verb == "setmaxmem" else "currentMemory").text = str(size)
        return 0, ""


def xml_text(tree: ET.Element) -> str:
    """Return a domain's XML as libvirt's library prints it."""
    return ET.tostring(tree, encoding="unicode") + "\n"


def _missing(name: str) -> tuple[int, str]:
    return 1, f"error: failed to get domain '{name}'"
