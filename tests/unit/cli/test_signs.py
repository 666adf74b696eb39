"""What is told of running guests: readiness, addresses, the fullest filesystem."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from ipaddress import ip_interface
from pathlib import Path

import pytest
from fakes.stages import HostStages
from msgspec.structs import replace

from kvmkeep.cli.signs import (
    Readiness,
    Signs,
    addresses,
    fullest,
    look_inside,
    question,
    readiness,
)
from kvmkeep.cli.stages import Stages
from kvmkeep.host.door import Door
from kvmkeep.model.agent import AgentFacts, AgentFilesystem, AgentNic
from kvmkeep.model.console import has_said
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import console_log
from kvmkeep.model.run import ReadyAgent, ReadyConsole, ReadyDelay, ReadyTcp
from kvmkeep.model.units import Size
from kvmkeep.planning.running.waiting import was_ready
from tests.unit.cli.running import ANSWERS, Libvirt
from tests.unit.cli.site import Site
from tests.unit.planning.build import guest, nic

GOOD = AgentFacts(guest="web")
SILENT = AgentFacts(guest="web", problem="did not answer within 2 s")


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """Return a host with a running guest whose agent answers."""
    made = Site(tmp_path)
    assert made.line("apply", "--yes") == 0
    made.stages.asked_libvirt = Libvirt(made)
    domain = made.host.libvirt.domains["web"]
    mac = domain.xml.find("devices/interface/mac")
    assert mac is not None
    domain.told = {
        key: text.replace("MAC", mac.get("address", "")) for key, text in ANSWERS.items()
    }
    capsys.readouterr()
    return made


def listed(site: Site, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert site.line("list", "-l", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["guests"]
    return one


def test_a_long_list_tells_what_is_inside(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(site, capsys)["inside"] == {
        "ready": "ready", "silent": "", "fullest": "/", "percent": 64.0, "snapshots": 0,
        "backup": "", "proof": "",
    }  # fmt: skip
    assert site.line("list", "-l") == 0
    said = capsys.readouterr()
    assert "64 % /" in said.out
    assert "BACKUP" not in said.out
    assert "(the guest has 10.0.0.5)" in said.out
    assert said.err == ""


def test_a_short_list_asks_nobody(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.calls.clear()
    assert site.line("list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["guests"][0]["inside"] is None
    assert site.host.calls == []


def test_a_silent_agent_is_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.libvirt.silent_agents.add("web")
    assert site.line("list", "-l") == 0
    said = capsys.readouterr()
    assert said.err == "agent of web did not answer within 2 s\n"
    assert "not ready" in said.out
    assert site.line("show", "web") == 0
    assert "agent of web did not answer within 2 s" in capsys.readouterr().out


def test_a_guest_that_is_off_is_not_asked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.libvirt.domains["web"].end()
    assert listed(site, capsys)["inside"] == {
        "ready": "", "silent": "", "fullest": "", "percent": None, "snapshots": 0,
        "backup": "", "proof": "",
    }  # fmt: skip
    assert site.line("list", "-l", "nobody") == 0
    assert "No guests." in capsys.readouterr().err


class ThroughTheDoor(HostStages):
    """Volumes are asked for, as the machine's are."""

    def volumes(self, door: Door) -> tuple[Volume, ...]:
        return Stages().volumes(door)


def test_without_lvm_the_rest_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.stages = ThroughTheDoor(**vars(site.stages))
    site.host.tools["lvs"] = ""
    assert site.line("list", "-l", "--json") == 0
    said = capsys.readouterr()
    assert "not seen: logical volumes" in said.err
    assert json.loads(said.out)["guests"][0]["inside"]["snapshots"] == -1


@pytest.mark.parametrize("width", [40, 80])
def test_everything_about_a_guest_is_shown(
    site: Site, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    site.host.lvm.size <<= 2
    assert site.line("snapshot", "create", "web", "--size", "1GiB") == 0
    file = Path(site.spec_dir, "guests/web.yaml")
    file.write_text(file.read_text().replace("autostart: true", "autostart: false"))
    capsys.readouterr()
    assert site.line("show", "web") == 0
    out = capsys.readouterr().out
    for text in ("[######....]  64 % of 100 B, ext4 on vm-web", "iso9660 on sr0", "good, crash"):
        assert text in out
    assert "readiness" in out
    assert "10.0.0.5/24" in out
    assert "shop?[2J" in out
    assert site.line("show", "web", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["inside"]["agent"]["filesystems"][0]["used"] == {"bytes": 64}
    assert len(told["snapshots"]) == 1


def test_what_waits_and_what_is_reverted_is_shown(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.libvirt.domains["web"].autostart ^= True
    site.host.lvm.volumes["vm-web"].merging = "vm-web-20261123T0710Z"
    assert site.line("show", "web") == 0
    out = capsys.readouterr().out
    assert "1 to do" in out
    assert "revert 1" in out


def test_readiness_is_what_the_spec_says() -> None:
    one = guest()
    assert one.run.ready == ReadyAgent()
    assert readiness(one, Signs(agent=GOOD)) is Readiness.YES
    assert readiness(one, Signs(agent=SILENT)) is Readiness.NO
    assert readiness(one, Signs()) is Readiness.UNKNOWN
    assert readiness(one, None) is Readiness.UNKNOWN
    assert readiness(None, Signs(agent=GOOD)) is Readiness.YES
    for wanted in (ReadyTcp(port=22), ReadyConsole(pattern="x")):
        asked = guest(ready=wanted)
        for tried, word in (
            (True, Readiness.YES),
            (False, Readiness.NO),
            (None, Readiness.UNKNOWN),
        ):
            assert readiness(asked, Signs(agent=SILENT, tried=tried)) is word
    slow = guest(ready=ReadyDelay(seconds=60))
    for up, word in ((61.0, Readiness.YES), (59.0, Readiness.NO), (None, Readiness.UNKNOWN)):
        assert readiness(slow, Signs(agent=GOOD, up=up)) is word


def test_questions_are_those_of_the_wait_after_a_start() -> None:
    assert question(guest()) is None
    assert question(guest(ready=ReadyDelay(seconds=5))) is None
    tcp, console = (
        question(guest(ready=ReadyTcp(port=22))),
        question(guest(ready=ReadyConsole(pattern="a.b"))),
    )
    assert tcp is not None
    assert console is not None
    assert tcp.argv == ("nc", "-z", "-w", "3", "10.223.0.20", "22")
    assert console.argv[0] == "grep"


def test_signs_come_from_one_look(site: Site) -> None:
    door, uri = site.host, "qemu:///system"
    uuid = site.host.libvirt.domains["web"].uuid
    wanted = {
        "web": guest(ready=ReadyConsole(pattern="n.w ready")),
        "off": guest("off", ready=ReadyTcp(port=1)),
    }
    now = datetime.fromtimestamp(time.time(), UTC)
    signs = look_inside(door, uri, {"web": uuid}, wanted, now)
    assert signs.keys() == {"web"}
    assert (signs["web"].tried, signs["web"].up) == (False, None)
    site.host.put(console_log("web"), b"now ready")
    assert look_inside(door, uri, {"web": uuid}, wanted, now)["web"].tried is True
    slow = {"web": guest(ready=ReadyDelay(seconds=5))}
    assert look_inside(door, uri, {"web": uuid}, slow, now)["web"].up is None
    site.host.put("/run/libvirt/qemu/web.pid", b"1")
    up = look_inside(door, uri, {"web": uuid}, slow, now)["web"].up
    assert up is not None
    assert up > 1_000_000  # the host in memory counts its changes instead of seconds
    (alone,) = look_inside(door, uri, {"web": uuid}, {}, now).values()
    assert alone.agent is not None


def test_a_line_that_was_seen_on_the_console_need_not_be_in_the_log_for_ever(site: Site) -> None:
    uuid = site.host.libvirt.domains["web"].uuid
    wanted = guest(ready=ReadyConsole(pattern="<n.w> ready"))
    now = datetime.fromtimestamp(time.time(), UTC)

    def tried(said: tuple[str, ...]) -> bool | None:
        running, guests = {"web": uuid}, {"web": wanted}
        return look_inside(site.host, "qemu:///system", running, guests, now, said=said)[
            "web"
        ].tried

    assert (tried(()), tried(("web",))) == (False, True)
    assert site.host.run(was_ready(wanted)).ok
    (found,) = [one for one in site.host.facts(None).domains if one.name == "web"]
    assert (found.was_ready, found.ready_line) == (True, "<n.w> ready")
    assert has_said(wanted, found)
    assert not has_said(guest(ready=ReadyConsole(pattern="other")), found)
    assert not has_said(guest(), replace(found, ready_line=""))


def test_addresses_are_those_of_the_spec_unless_the_guest_says_otherwise() -> None:
    one = guest()
    mac = one.nics[0].mac

    def has(*claims: str, mac: str = mac) -> AgentFacts:
        return replace(GOOD, nics=(AgentNic(name="e", mac=mac, addresses=claims),))

    assert addresses(one, None) == ("10.223.0.20",)
    assert addresses(one, has("10.223.0.20/24", "fe80::1/64")) == ("10.223.0.20",)
    assert addresses(one, has("10.9.9.9/24")) == ("10.223.0.20", "(the guest has 10.9.9.9)")
    assert addresses(one, has()) == ("10.223.0.20", "(the guest has none)")
    assert addresses(one, has("10.9.9.9/24", mac="52:54:00:00:00:99")) == ("10.223.0.20",)
    free = guest(nics=(nic("web", dhcp=True, addresses=(), gateway=None),))
    assert addresses(free, None) == ("dhcp",)
    assert addresses(free, has("10.9.9.9/24")) == ("10.9.9.9 (dhcp)",)
    untold = guest(nics=(nic("web", addresses=(), gateway=None),))
    assert addresses(untold, None) == ()
    assert addresses(untold, has("10.9.9.9/24")) == ("10.9.9.9",)
    assert addresses(None, None) == ()
    assert addresses(None, has("10.9.9.9/24", "169.254.1.1/16")) == ("10.9.9.9",)
    both = guest(
        nics=(nic("web", addresses=(ip_interface("10.1.1.1/24"), ip_interface("10.1.1.2/24"))),)
    )
    assert addresses(both, None) == ("10.1.1.1", "10.1.1.2")


def filesystem(mountpoint: str, used: int | None, kind: str = "ext4") -> AgentFilesystem:
    return AgentFilesystem(
        mountpoint=mountpoint, type=kind, device="vda1", disks=(),
        used=None if used is None else Size(used), total=Size(100),
    )  # fmt: skip


def test_the_fullest_filesystem_is_one_that_can_be_written() -> None:
    some = [
        filesystem("/", 20), filesystem("/data", 90), filesystem("/snap", 100, "squashfs"),
        filesystem("/old", None),
    ]  # fmt: skip
    found = fullest(replace(GOOD, filesystems=tuple(some)))
    assert found is not None
    assert found.mountpoint == "/data"
    assert fullest(GOOD) is None
    assert fullest(None) is None
