"""Versioned JSON, without secrets, and facts that come back as they were."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest

from kvmkeep.model.command import Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.facts import FACTS_VERSION, Facts, Volume, VolumeGroup
from kvmkeep.model.image_facts import Contents, Fingerprint, Header, ImageFacts, ImageFile
from kvmkeep.model.network_facts import Link, Nm
from kvmkeep.model.plan import Failure, Note, Outcome, Plan, Refusal, Report, StepReport
from kvmkeep.model.units import Size
from kvmkeep.report.json import decode_facts, encoded, facts_json, plan_json, report_json
from tests.unit.apply.scripted import UNDO, command, step

FILE = ImageFile(
    path="/i",
    fingerprint=Fingerprint(device=1, inode=2, size=3, mtime_ns=4, ctime_ns=1 << 62),
    kind="file",
)
FACTS = Facts(
    version=FACTS_VERSION,
    time="2026-01-02T12:00:00+00:00",
    hostname="ünï\x1b",
    memory=Size(1 << 40),
    cpus=2,
    arrays=(),
    groups=(
        VolumeGroup(
            name="rl", extent=Size(4 << 20), size=Size(1), free=Size(0), pvs=("/dev/md0",),
            missing_pvs=0,
        ),
    ),
    volumes=(
        Volume(
            vg="rl", name="root", size=Size(5), tags=("a", "b"), active=True, opened=True,
            device="253:0", attributes="-wi-ao",
        ),
    ),
    links=(
        Link(
            name="eth0", kind="", mac="", up=True, carrier=False, mtu=1500, master="", parent="",
            vlan_id=-1, ageing_time=-1, stp=False, forward_delay=-1, addresses=(),
        ),
    ),
    nm=Nm(running=True, profiles=(), device_paths=(("eth0", "/d/1"),)),
    management=None,
    domains=(),
    libvirt="9.0.0",
    emulator="",
    images=(
        ImageFacts(
            name="i", original=FILE, usable=None,
            header=Header(format="raw", virtual_size=Size(7), refused=""),
            contents=Contents(
                os="x", cloud_init=True, datasources=("NoCloud",), agent=True, bakes_disks=False,
                detail="",
            ),
            digest_wanted="", digest_problem="", verified=False,
        ),
    ),
    seeds=(),
    saved=(),
    tools=(),
    problems=(),
)  # fmt: skip


def test_facts_come_back_as_they_were() -> None:
    text = facts_json(FACTS)
    assert decode_facts(text.encode()) == FACTS
    assert json.loads(text)["version"] == 1


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"\xff", b"null", b'{"version": 2}', b'{"version": "1"}',
        b'{"version": 1}', b"[" * 5000,
        facts_json(FACTS).replace('"bytes": 7', '"bytes": -7').encode(),
    ],
)  # fmt: skip
def test_what_holds_no_facts_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_facts(content)


def test_equal_values_give_equal_bytes() -> None:
    assert encoded((IPv4Address("1.2.3.4"), Size(1))) == b'["1.2.3.4",{"bytes":1}]'


SECRET = b"$6$abc"
PLAN = Plan(
    steps=(
        step(
            "go",
            Command(argv=("a", "b c"), why="w", stdin=b"text"),
            Command(argv=("a",), why="w", stdin=SECRET, secret_stdin=True),
            Command(argv=("a",), why="w", stdin=b"\xff"),
            WriteFile(path="/f", content=SECRET, why="w", secret=True),
            WriteFile(path="/g", content=b"open", why="w"),
            Poll(command=command("p"), limit=5, message="m"),
            Checkpoint(undo=UNDO,
                devices=("/d",), timeout=6, body=(command("q"),), why="w",
                verify=(Poll(command=command("r"), limit=5, message="m"),),
            ),
            probe=command("probe"),
        ),
        step("then", command("s"), assumes="something"),
    ),
    refusals=(Refusal(subject="s", reason="r", hint="h"),),
    notes=(Note(subject="s", text="t"),),
)  # fmt: skip


def test_a_plan_holds_every_command_and_no_secret() -> None:
    text = plan_json(PLAN)
    assert "$6$abc" not in text
    document = json.loads(text)
    assert document["version"] == 1
    plan = document["plan"]
    assert (plan["empty"], plan["certain"]) == (False, 1)
    one, two = plan["steps"]
    assert one["probe"]["argv"] == ["probe"]
    assert two["assumes"] == "something"
    assert [action["kind"] for action in one["actions"]] == [
        "command", "command", "command", "file", "file", "poll", "checkpoint",
    ]  # fmt: skip
    first, second, third, fourth, fifth, poll, checkpoint = one["actions"]
    assert (first["argv"], first["stdin"]) == (["a", "b c"], {"text": "text"})
    assert (second["stdin"], second["secret"]) == (None, True)
    assert third["stdin"] == {"base64": "/w=="}
    assert (fourth["content"], fourth["mode"]) == (None, "0600")
    assert fifth["content"] == {"text": "open"}
    assert poll["command"]["argv"] == ["p"]
    assert checkpoint["verify"][0]["command"]["argv"] == ["r"]
    assert plan["refusals"] == [{"subject": "s", "reason": "r", "hint": "h"}]
    assert plan["notes"] == [{"subject": "s", "text": "t", "pending": False}]


def test_an_empty_plan_has_no_steps() -> None:
    assert json.loads(plan_json(Plan()))["plan"]["steps"] == []


def test_a_report_tells_how_each_step_ended() -> None:
    one, two = PLAN.steps
    bad = Failure(doing="d", command=command("s"), code=3, said="x")
    steps = (
        StepReport(step=one, outcome=Outcome.DONE, seconds=1.23456),
        StepReport(step=two, outcome=Outcome.FAILED, seconds=0.0, detail="x", failure=bad),
        StepReport(step=two, outcome=Outcome.FAILED, seconds=0.0, failure=Failure(doing="d")),
    )
    report = json.loads(report_json(Report(steps=steps, total=3, journal="/j")))["report"]
    assert (report["ok"], report["total"], report["journal"]) == (False, 3, "/j")
    first, second, third = report["steps"]
    assert (first["outcome"], first["seconds"], first["failure"]) == ("done", 1.235, None)
    assert second["failure"]["command"]["argv"] == ["s"]
    assert second["failure"]["code"] == 3
    assert third["failure"]["command"] is None
