"""Guest agents (qemu-ga-ref(7)): many asked at once, for two seconds in all, and none believed.

The questions are virsh's `qemu-agent-command`, with a time limit of libvirt's own: `guestinfo`
has none, so that an agent which answers the greeting and then falls silent would hold one of
libvirtd's few workers for good. One virsh asks all questions of one guest, since starting it costs
more than asking. libvirt accepts up to 10 MB from an agent (QEMU_AGENT_MAX_RESPONSE), and writes
the answer as JSON of its own, on one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_interface
from typing import Annotated, TypeVar

import msgspec

from kvmkeep.host.door import Door, Result
from kvmkeep.model.agent import (
    NO_CHANNEL,
    NOT_CONNECTED,
    AgentDisk,
    AgentFacts,
    AgentFilesystem,
    AgentNic,
    Answer,
    agent_argv,
    agent_text,
)
from kvmkeep.model.command import Command
from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.names import LIBVIRT_URI
from kvmkeep.model.text import masked, masked_lines
from kvmkeep.model.units import Size

LIMIT = 2
"""Seconds that all agents together get to answer."""
AT_ONCE = 16
"""Agents asked at the same time: a silent one holds one of libvirtd's 20 workers (max_workers)."""

_QUESTIONS = ("guest-get-host-name", "guest-network-get-interfaces", "guest-get-fsinfo")
_NEEDED = frozenset({"guest-exec", "guest-file-open"})
"""What an agent must allow: the first begins a program, the second tells how it went on."""
_PATIENCE = 5.0
"""Seconds for virsh to ask so many agents at once, with those that it waits for their answers."""
_LARGEST_ANSWER = 1 << 18
_MARK = "@"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_MOST = {"nics": 64, "addresses": 16, "filesystems": 128, "disks": 16}
_SAID = (
    # libvirt's messages: qemuDomainAgentAvailable(), qemuAgentSend().
    ("not connected", NOT_CONNECTED),
    ("not configured", NO_CHANNEL),
    ("not available for now", f"did not answer within {LIMIT} s"),
)

T = TypeVar("T")


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What the agents told, and for each of the other questions whether it ended well.

    None stands for a question that got no answer in time.
    """

    agents: tuple[AgentFacts, ...]
    others: tuple[bool | None, ...] = ()


def observe_agents(
    door: Door, guests: Mapping[str, str], *, others: Iterable[Command] = (), uri: str = LIBVIRT_URI
) -> Answers:
    """Ask the agents of running guests, given by name with their UUIDs; sorted by name.

    `others` are harmless commands that are to be asked within the same time.
    """
    names = sorted(guests)
    more = tuple(others)
    commands = [agent_questions(guests[name], uri) for name in names]
    results = door.run_all((*more, *commands), limit=LIMIT, at_once=AT_ONCE)
    return Answers(
        agents=tuple(
            parse_answers(name, result)
            for name, result in zip(names, results[len(more) :], strict=True)
        ),
        others=tuple(None if one.timed_out else one.ok for one in results[: len(more)]),
    )


def agent_questions(uuid: str, uri: str = LIBVIRT_URI) -> Command:
    """Return what asks an agent everything; a UUID needs no quoting in virsh's little language."""
    if _UUID.fullmatch(uuid) is None:
        raise ValueError(f"{masked_lines(uuid)} is no UUID")
    ask = f"qemu-agent-command --timeout {LIMIT} {uuid}"
    lines = (f"echo {_MARK}{one}; {ask} '{agent_text(one)}'" for one in _QUESTIONS)
    argv = ("virsh", "--connect", uri, "--quiet", "; ".join(lines))
    return Command(argv=argv, why="ask the guest agent", timeout=float(LIMIT))


def parse_answers(guest: str, result: Result) -> AgentFacts:
    """Return what an agent answered; what is not of the form of an answer is left out."""
    answers: dict[str, str] = {}
    question = ""
    for line in result.text.splitlines():
        # `virsh --quiet` ends what its `echo` says with no newline: what follows a mark is the
        # answer, or the next mark where there was none.
        while line.startswith(_MARK):
            question = next((one for one in _QUESTIONS if line.startswith(_MARK + one)), "")
            line = line.removeprefix(_MARK + question)  # noqa: PLW2901 - what is left of it
        if line.strip():
            answers[question] = line
    said = [answers.get(question, "") for question in _QUESTIONS]
    hostname, nics, filesystems = _hostname(said[0]), _list(said[1]), _list(said[2])
    return AgentFacts(
        guest=guest,
        problem=_problem(result, answers, [hostname, nics, filesystems]),
        hostname=masked(hostname or "", 64),
        nics=_nics(nics or ()),
        filesystems=_filesystems(filesystems or ()),
    )


def _problem(result: Result, answers: Mapping[str, str], found: list[object]) -> str:
    if result.timed_out:
        return f"did not answer within {LIMIT} s"
    if any(one is not None for one in found):
        return ""  # an old agent doesn't know all of the questions
    said = result.stderr.decode("utf-8", "replace")
    for words, problem in _SAID:
        if words in said:
            return problem
    if answers:
        return "answered with something that can't be read"
    lines = [line for line in masked_lines(said).splitlines() if line.strip()]
    return f"could not be asked: {lines[0] if lines else 'virsh says nothing'}"[:200]


def executing(door: Door, guests: Iterable[str]) -> frozenset[str]:
    """Return those of these guests whose agents say that they run programs for us.

    Our programs look into the /sys and /proc of Linux. A silent or lying agent says no.
    """
    why = "ask the guest agent what it allows"
    allow = _answers(door, sorted(guests), "guest-info", why, Answer[_Info])
    able = [name for name, info in allow.items() if info.allowed >= _NEEDED]
    why = "ask the guest agent which system it is"
    systems = _answers(door, able, "guest-get-osinfo", why, Answer[_System])
    return frozenset(name for name in able if name not in systems or systems[name].linux)


def _answers(
    door: Door, guests: list[str], question: str, why: str, form: type[Answer[T]]
) -> dict[str, T]:
    """Ask agents side by side; return what those tell that answer in time, as is the form."""
    commands = [
        Command(argv=agent_argv(name, question, LIMIT), why=why, timeout=_PATIENCE)
        for name in guests
    ]
    turns = -(-len(commands) // AT_ONCE)
    results = door.run_all(commands, limit=_PATIENCE * turns, at_once=AT_ONCE) if commands else ()
    found: dict[str, T] = {}
    for name, result in zip(guests, results, strict=True):
        good = result.ok and len(result.stdout) <= _LARGEST_ANSWER
        answer = decoded_or_none(result.stdout, form) if good else None
        if answer is not None:
            found[name] = answer.returned
    return found


class _Known(msgspec.Struct):
    name: str
    enabled: bool


class _Info(msgspec.Struct):
    supported_commands: list[_Known]

    @property
    def allowed(self) -> frozenset[str]:
        return frozenset(one.name for one in self.supported_commands if one.enabled)


class _System(msgspec.Struct):
    id: str = ""
    kernel_version: str = msgspec.field(default="", name="kernel-version")

    @property
    def linux(self) -> bool:
        """Whether nothing tells of another system.

        Windows has the id `mswindows`; the BSDs have no id of their own before they got an
        os-release(5), but say so as their kernel's version.
        """
        return self.id != "mswindows" and "BSD" not in self.kernel_version


class _Hostname(msgspec.Struct):
    name: str = msgspec.field(name="host-name")


class _Address(msgspec.Struct, rename="kebab"):
    ip_address: str
    prefix: Annotated[int, msgspec.Meta(ge=0, le=128)]


class _Interface(msgspec.Struct, rename="kebab"):
    name: str
    hardware_address: str = ""
    ip_addresses: list[msgspec.Raw] = []


_Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]


class _Filesystem(msgspec.Struct, rename="kebab"):
    mountpoint: str
    type: str
    name: str = ""
    used_bytes: _Bytes | None = None
    total_bytes: _Bytes | None = None
    disk: list[msgspec.Raw] = []


class _Disk(msgspec.Struct, rename="kebab"):
    serial: str = ""
    dev: str = ""


def _hostname(line: str) -> str | None:
    answer = decoded_or_none(line.encode("utf-8", "replace"), Answer[_Hostname])
    return None if answer is None else answer.returned.name


def _list(line: str) -> list[msgspec.Raw] | None:
    answer = decoded_or_none(line.encode("utf-8", "replace"), Answer[list[msgspec.Raw]])
    return None if answer is None else answer.returned


def _all(raw: Iterable[msgspec.Raw], form: type[T], what: str) -> list[T]:
    """Return the first so many entries that have the form."""
    found: list[T] = []
    for one in raw:
        value = decoded_or_none(one, form)
        if value is not None:
            found.append(value)
        if len(found) == _MOST[what]:
            break
    return found


def _nics(raw: Iterable[msgspec.Raw]) -> tuple[AgentNic, ...]:
    found: list[AgentNic] = []
    for one in _all(raw, _Interface, "nics"):
        mac = one.hardware_address.lower()
        texts = (_address(address) for address in _all(one.ip_addresses, _Address, "addresses"))
        nic = AgentNic(
            name=masked(one.name, 32),
            mac=mac if _MAC.fullmatch(mac) else "",
            addresses=tuple(text for text in texts if text),
        )
        if nic.mac or nic.addresses:
            found.append(nic)
    return tuple(found)


def _address(address: _Address) -> str:
    """Return an address with its prefix in their usual form, or nothing."""
    try:
        found = ip_interface(f"{address.ip_address}/{address.prefix}")
    except ValueError:
        return ""
    return "" if found.ip.is_loopback or "%" in str(found) else str(found)


def _filesystems(raw: Iterable[msgspec.Raw]) -> tuple[AgentFilesystem, ...]:
    return tuple(
        AgentFilesystem(
            mountpoint=masked(one.mountpoint, 256),
            type=masked(one.type, 32),
            device=masked(one.name, 64),
            used=None if one.used_bytes is None else Size(one.used_bytes),
            total=None if one.total_bytes is None else Size(one.total_bytes),
            disks=tuple(
                AgentDisk(serial=masked(disk.serial, 64), device=masked(disk.dev, 64))
                for disk in _all(one.disk, _Disk, "disks")
            ),
        )
        for one in _all(raw, _Filesystem, "filesystems")
        # More than there is: neither number means anything.
        if one.used_bytes is None or one.used_bytes <= (one.total_bytes or one.used_bytes)
    )
