"""What guests' agents answer: as they do, as old ones do, and as liars do."""

from __future__ import annotations

import json

import pytest
from adapters.replay import Replay, ended
from msgspec.structs import replace

from kvmkeep.host.door import Result
from kvmkeep.model.agent import AgentDisk, AgentFacts, AgentFilesystem, AgentNic
from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.units import Size
from kvmkeep.observe.agents import agent_questions, observe_agents, parse_answers
from kvmkeep.observe.machine import asked

UUID = "2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01"
GIB = 1 << 30
NICS = [
    {
        "name": "lo",
        "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8}],
        "hardware-address": "00:00:00:00:00:00",
    },
    {
        "name": "enp1s0",
        "ip-addresses": [
            {"ip-address-type": "ipv4", "ip-address": "10.5.68.9", "prefix": 24},
            {"ip-address-type": "ipv6", "ip-address": "FE80::0:1", "prefix": 64},
        ],
        "statistics": {"tx-packets": 5},
        "hardware-address": "52:54:00:AA:BB:01",
    },
]
DISK = {
    "bus-type": "virtio", "bus": 0, "unit": 0, "target": 0, "serial": "vm-web", "dev": "/dev/vda1",
    "pci-controller": {"bus": 4, "slot": 0, "domain": 0, "function": 0},
}  # fmt: skip
FILESYSTEM = {
    "name": "vda1", "mountpoint": "/", "type": "ext4", "total-bytes": 4 * GIB, "used-bytes": GIB,
    "disk": [DISK],
}  # fmt: skip


def said(
    host: object = None, nics: object = None, filesystems: object = None, *, returned: bool = True
) -> bytes:
    """Return what virsh 9.0 prints of the answers, with no newline after what `echo` says.

    None stands for an error of the agent.
    """
    questions = ("guest-get-host-name", "guest-network-get-interfaces", "guest-get-fsinfo")
    text = ""
    for question, answer in zip(questions, (host, nics, filesystems), strict=True):
        text += f"@{question}"
        if answer is not None:
            text += json.dumps({"return": answer} if returned else answer) + "\n"
    return text.encode()


def facts(stdout: bytes, code: int = 0, stderr: bytes = b"") -> AgentFacts:
    return parse_answers("web", ended(code, stdout, stderr))


def test_an_agent_that_tells_everything() -> None:
    told = facts(said({"host-name": "web"}, NICS, [FILESYSTEM]))
    assert told == AgentFacts(
        guest="web",
        hostname="web",
        nics=(
            AgentNic(name="lo", mac="00:00:00:00:00:00", addresses=()),
            AgentNic(
                name="enp1s0", mac="52:54:00:aa:bb:01", addresses=("10.5.68.9/24", "fe80::1/64")
            ),
        ),
        filesystems=(
            AgentFilesystem(
                mountpoint="/", type="ext4", device="vda1", used=Size(GIB), total=Size(4 * GIB),
                disks=(AgentDisk(serial="vm-web", device="/dev/vda1"),),
            ),
        ),
    )  # fmt: skip
    assert told.answers
    assert told.filesystems[0].percent == 25.0
    assert told.addresses("52:54:00:aa:bb:01") == ("10.5.68.9/24", "fe80::1/64")
    assert told.addresses("52:54:00:aa:bb:02") == ()


def test_an_old_agent_knows_less_and_is_no_problem() -> None:
    old = {"name": "vda1", "mountpoint": "/", "type": "xfs", "disk": []}
    told = facts(said(None, NICS, [old]), 1, b"error: unable to execute QEMU agent command")
    assert told.problem == ""
    (filesystem,) = told.filesystems
    assert (filesystem.used, filesystem.total, filesystem.percent) == (None, None, None)


def timed_out(stdout: bytes = b"") -> Result:
    return replace(ended(-15, stdout), timed_out=True)


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (timed_out(said()), "did not answer within 2 s"),
        (timed_out(said({"host-name": "x"}, NICS)), "did not answer within 2 s"),
        (
            ended(1, said(), b"error: Guest agent is not responding: QEMU guest agent is not connected\n"),
            "is not connected",
        ),
        (
            ended(1, said(), b"error: argument unsupported: QEMU guest agent is not configured"),
            "is not there: the domain has no channel for it",
        ),
        (
            ended(1, said(), b"error: Guest agent is not responding: Guest agent not available for now"),
            "did not answer within 2 s",
        ),
        (
            ended(1, b"", b"error: failed to connect to the hypervisor\n"),
            "could not be asked: error: failed to connect to the hypervisor",
        ),
        (ended(127), "could not be asked: virsh says nothing"),
        (ended(1, b"", b"error: \x1b[2J\xff\n"), "could not be asked: error: ?[2J\ufffd"),
    ],
)  # fmt: skip
def test_why_there_is_no_answer(result: Result, problem: str) -> None:
    told = parse_answers("web", result)
    assert told.problem == problem
    assert not told.answers


def test_a_newline_after_what_echo_says_does_no_harm() -> None:
    told = facts(said({"host-name": "web"}).replace(b"name{", b"name\n{"))
    assert told.hostname == "web"


def test_what_was_answered_before_it_fell_silent_is_kept() -> None:
    told = parse_answers("web", timed_out(said({"host-name": "x"}, NICS)))
    assert (told.hostname, len(told.nics)) == ("x", 2)


@pytest.mark.parametrize(
    "answer",
    [
        "nonsense", "[]", "{}", '{"return": 5}', '{"return": {}}', '{"error": {}}', "{" * 5000,
        '{"return": ' + "[" * 100_000, '{"return": null}', '{"return": "x"}', "@\n[]", "\xff\xfe",
        '{"return": 1e999}',
    ],
)  # fmt: skip
def test_nonsense_is_told_and_nothing_else(answer: str) -> None:
    questions = ("guest-get-host-name", "guest-network-get-interfaces", "guest-get-fsinfo")
    text = "".join(f"@{question}\n{answer}\n" for question in questions)
    told = facts(text.encode("latin-1"))
    assert told == AgentFacts(guest="web", problem="answered with something that can't be read")


@pytest.mark.parametrize(
    "change",
    [
        {"used-bytes": -1}, {"used-bytes": 5 * GIB}, {"total-bytes": 1 << 70}, {"used-bytes": "1"},
        {"total-bytes": 1.5}, {"mountpoint": 5}, {"mountpoint": None}, {"disk": "vda"},
        {"type": ["ext4"]}, {"used-bytes": 10**400},
    ],
)  # fmt: skip
def test_a_filesystem_that_makes_no_sense_is_left_out(change: dict[str, object]) -> None:
    told = facts(said({"host-name": "x"}, NICS, [FILESYSTEM | change, FILESYSTEM]))
    assert [one.mountpoint for one in told.filesystems] == ["/"]


def test_an_empty_filesystem_has_no_percentage() -> None:
    told = facts(said(None, None, [FILESYSTEM | {"used-bytes": 0, "total-bytes": 0}]))
    assert told.filesystems[0].percent is None


def test_addresses_that_are_none_are_left_out() -> None:
    addresses = [
        {"ip-address": "999.1.1.1", "prefix": 24}, {"ip-address": "10.0.0.1", "prefix": 33},
        {"ip-address": "10.0.0.1", "prefix": -1}, {"ip-address": "\x1b[2J", "prefix": 8}, 5, None,
        {"prefix": 8}, {"ip-address": "fe80::1%eth0\n", "prefix": 64},
        {"ip-address": "10.0.0.1", "prefix": "24"}, {"ip-address": "10.0.0.2", "prefix": 24},
    ]  # fmt: skip
    nic = {"name": "a\nb\x1b]0;x\x07", "hardware-address": "zz", "ip-addresses": addresses}
    (told,) = facts(said({"host-name": "h"}, [nic, 7, {"name": "none"}], [])).nics
    assert told.addresses == ("10.0.0.2/24",)
    assert told.mac == ""
    assert told.name.isprintable()


def test_long_answers_are_cut() -> None:
    names = "\x1b[31m" + "x" * 300
    disks = [{"serial": names, "dev": names}] * 20
    filesystem = {"name": names, "mountpoint": names, "type": names, "disk": disks}
    addresses = [{"ip-address": f"10.0.{n >> 8}.{n & 255}", "prefix": 8} for n in range(20)]
    nics = [{"name": names, "hardware-address": names, "ip-addresses": addresses}] * 200
    told = facts(said({"host-name": names}, nics, [filesystem] * 300))
    assert (len(told.nics), len(told.nics[0].addresses)) == (64, 16)
    assert (len(told.filesystems), len(told.filesystems[0].disks)) == (128, 16)
    texts = [told.hostname, told.nics[0].name]
    for one in told.filesystems:
        texts += [one.mountpoint, one.type, one.device, one.disks[0].serial, one.disks[0].device]
    assert max(len(text) for text in texts) <= 256
    assert all(text.isprintable() for text in texts)


def test_a_gigabyte_is_nonsense_since_the_door_cuts_it() -> None:
    cut = b"@guest-get-fsinfo\n" + b"[" * (1 << 19) + b"\n[... 9 bytes left out ...]\n" + b"]" * 99
    assert facts(cut).problem == "answered with something that can't be read"


def test_all_are_asked_at_once_through_one_door() -> None:
    door = Replay({"virsh": said({"host-name": "x"}, NICS, []), "nc": ended(1)})
    other = Command(argv=("nc", "-z", "10.0.0.1", "22"), why="try")
    uuids = {"web": UUID, "db": UUID.replace("2f", "3f")}
    answers = observe_agents(door, uuids, others=(other,))
    assert [one.guest for one in answers.agents] == ["db", "web"]
    assert answers.others == (False,)
    assert door.ran[0] == other.argv
    assert max(door.timeouts[1:]) <= 2
    assert all(
        argv[:4] == ("virsh", "--connect", "qemu:///system", "--quiet") for argv in door.ran[1:]
    )
    questions = door.ran[1][4]
    assert questions.count("qemu-agent-command --timeout 2 3f5b0b0e-") == 3


def test_a_question_that_got_no_answer_in_time_says_nothing() -> None:
    door = Replay({"nc": timed_out()})
    other = Command(argv=("nc", "-z", "10.0.0.1", "22"), why="try")
    assert observe_agents(door, {}, others=(other,)).others == (None,)


@pytest.mark.parametrize("uuid", ["", "web", UUID + "; destroy web", UUID.replace("-", "")])
def test_nothing_but_a_uuid_gets_into_virshs_language(uuid: str) -> None:
    with pytest.raises(ValueError, match="is no UUID"):
        agent_questions(uuid)


def domain(name: str, state: DomainState = DomainState.RUNNING, *, agent: bool = True) -> Domain:
    return Domain(
        name=name, uuid=UUID, state=state, persistent=True, autostart=True, ours=True,
        memory=Size(GIB), vcpus=1, disks=(), nics=(), agent=agent, serial_log="", xml="<domain/>",
    )  # fmt: skip


def test_only_agents_that_can_answer_are_asked() -> None:
    door = Replay({"virsh": said({"host-name": "x"}, NICS, [])})
    domains = [
        domain("web"), domain("other"), domain("off", DomainState.SHUTOFF),
        domain("paused", DomainState.PAUSED), domain("deaf", agent=False),
    ]  # fmt: skip
    told = asked(door, domains, frozenset({"web", "off", "paused", "deaf", "nobody"}))
    assert [(one.guest, one.problem) for one in told] == [("deaf", "is not connected"), ("web", "")]
    assert len(door.ran) == 1
    assert asked(Replay({}), domains, frozenset()) == ()
