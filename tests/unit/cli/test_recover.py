"""`recover`, from the command line down to a host in memory."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from itertools import count
from pathlib import Path

import pytest

from kvmkeep.errors import Unready
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import JOURNAL_DIR, LOCK_FILE
from tests.unit.cli.site import GUEST_YAML, HASH, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Three guests after a power cut: web needs db and a mount, mail needs nobody."""
    made = Site(tmp_path)
    text = GUEST_YAML.replace("HASH", HASH)
    runs = {"web": "{needs: [db, /data]}", "db": "{start_timeout: 5}", "mail": "{}"}
    made.host.mounts.add("/data")
    for number, (name, run) in enumerate(runs.items(), 37):
        changed = text.replace(".37", f".{number}") + f"run: {run}\n"
        Path(made.spec_dir, f"guests/{name}.yaml").write_text(changed)
    assert made.line("apply", "--yes") == 0
    for domain in made.host.libvirt.domains.values():
        domain.end()
    return made


def states(site: Site) -> dict[str, str]:
    return {name: one.state for name, one in site.host.libvirt.domains.items()}


def test_all_come_up_and_the_report_says_so(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert site.line("recover", "--dry-run") == 0
    assert set(states(site).values()) == {"shut off"}
    assert "start it" in capsys.readouterr().out
    assert site.line("recover") == 0
    assert set(states(site).values()) == {"running"}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["GUEST", "STATE", "READY", "AT", "NEEDS"]
    words = next(line.split() for line in lines if line.startswith("web"))
    assert words[1] == "up"
    assert words[3:] == ["db,", "/data"]
    assert site.line("--json", "recover") == 0
    found = json.loads(capsys.readouterr().out)
    assert {(one["guest"], one["state"], one["at"]) for one in found["guests"]} == {
        ("web", "up", ""), ("db", "up", ""), ("mail", "up", ""),
    }  # fmt: skip


def test_systemd_hears_that_it_has_started_once_it_holds_the_lock(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the watch, which comes after it, could have the lock first."""
    place = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(place)
        taken, heard_too_early = threading.Event(), []

        def another_run() -> None:
            with site.stages.lock(LOCK_FILE).hold("apply"):
                taken.set()
                time.sleep(0.5)
                heard_too_early.append(select.select([systemd], [], [], 0)[0])

        other = threading.Thread(target=another_run)
        other.start()
        assert taken.wait(10)
        assert site.line("recover") == 0
        other.join()
        assert heard_too_early == [[]]
        assert systemd.recv(100) == b"READY=1"
        assert not select.select([systemd], [], [], 0)[0]


def test_mounts_are_shown_among_what_a_guest_needs(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert site.line("show", "web") == 0
    needs = next(line for line in capsys.readouterr().out.splitlines() if "needs" in line)
    assert needs.split() == ["needs", "db", "/data"]


def test_who_is_held_back_is_told_and_the_others_come_up(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.mounts.clear()
    capsys.readouterr()
    assert site.line("recover") == 9
    assert states(site) == {"web": "shut off", "db": "running", "mail": "running"}
    told = capsys.readouterr()
    assert "held back: guest web: it needs /data, where nothing is mounted" in told.err
    assert told.err.count("nothing is mounted") <= 2


def test_a_guest_that_does_not_get_ready_stops_nobody_else(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.libvirt.silent_agents.add("db")
    capsys.readouterr()
    assert site.line("recover") == 7
    assert states(site) == {"web": "shut off", "db": "running", "mail": "running"}
    told = capsys.readouterr()
    assert "not up: guest db" in told.err
    assert "not up: guest web: guest db did not get so far" in told.err
    assert "trying again did not help" in told.err
    site.host.libvirt.silent_agents.clear()
    assert site.line("recover") == 0
    assert set(states(site).values()) == {"running"}


def test_a_guest_that_gets_ready_in_the_last_try_is_up(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    silent, looks = site.host.libvirt.silent_agents, iter(range(9))
    silent |= {"db", "mail"}

    def third(facts: Facts) -> Facts:
        silent.difference_update({"mail"} if next(looks) == 2 else ())
        return facts

    site.change = third
    capsys.readouterr()
    assert site.line("recover") == 7
    told = capsys.readouterr()
    words = [line.split()[:3] for line in told.out.splitlines()[1:]]
    assert [(name, state) for name, state, _ in words if name == "mail"] == [("mail", "up")]
    assert next(at for name, _, at in words if name == "mail").startswith("20")
    assert "not up: guest db" in told.err
    assert "guest mail:" not in told.err.rpartition("not up: guest db")[2]


def test_the_last_run_that_was_killed_and_a_wrong_clock_are_told_and_hold_nobody(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "20991122T010203.000000Z-apply-77.jsonl"
    begin = {"time": "", "kind": "begin", "verb": "apply", "argv": "kvmkeep apply", "pid": 77}
    site.host.put(f"{JOURNAL_DIR}/{name}", json.dumps(begin).encode() + b"\n")
    site.door.answers["timedatectl"] = b"NTPSynchronized=no\n"
    capsys.readouterr()
    assert site.line("recover", "--dry-run") == 0
    assert "is of 2099-11-22T01:02:03Z: it is wrong" in " ".join(capsys.readouterr().out.split())
    assert site.line("recover") == 0
    assert set(states(site).values()) == {"running"}
    told = capsys.readouterr().err
    assert f"run {name.removesuffix('.jsonl')}: it was killed" in told
    assert "clock: it says " in told
    assert "clock: nobody keeps it right yet" in told
    site.door.answers["timedatectl"] = b"NTPSynchronized=yes\n"
    site.host.files.pop(f"{JOURNAL_DIR}/{name}")
    assert site.line("recover") == 0
    told = capsys.readouterr().err
    assert "clock" not in told
    assert "killed" not in told


def test_what_came_up_is_told_although_the_last_look_failed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = count()

    def blind(facts: Facts) -> Facts:
        if next(looks) > 0:
            raise Unready("libvirt does not answer")
        return facts

    site.change = blind
    capsys.readouterr()
    assert site.line("recover") == 7
    told = capsys.readouterr()
    assert "the host can't be looked at again: libvirt does not answer" in told.err
    words = [line.split()[:2] for line in told.out.splitlines()[1:]]
    assert sorted(words) == [["db", "up"], ["mail", "up"], ["web", "up"]]


@pytest.mark.parametrize("silent", [{0}, {1}, {0, 1, 2, 4}])
def test_a_libvirt_that_is_silent_for_a_while_is_waited_for(
    site: Site, silent: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    looks = count()

    def blind(facts: Facts) -> Facts:
        if next(looks) in silent:
            raise Unready("libvirt does not answer")
        return facts

    site.change = blind
    assert site.line("recover") == 0
    assert set(states(site).values()) == {"running"}
    told = capsys.readouterr().err
    assert "waiting for what can't be seen (libvirt does not answer)" in told
    looks = count()
    assert site.line("shutdown", "--host") == 0
    assert set(states(site).values()) == {"shut off"}


def test_without_such_guests_this_is_said(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for domain in site.host.libvirt.domains.values():
        domain.autostart = False
    capsys.readouterr()
    assert site.line("recover") == 0
    assert capsys.readouterr().out == "No guest is to run with the host.\n"


def test_what_is_not_well_below_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.put("/var/lib/kvmkeep/seed/mail.iso", b"secret", 0o600)
    assert site.line("recover") == 0
    assert "guest mail: its seed lies on the host" in capsys.readouterr().err


def test_a_guest_that_left_the_spec_is_not_started_and_not_passed_over(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("install-units", "--yes") == 0
    Path(site.spec_dir, "guests/mail.yaml").unlink()
    capsys.readouterr()
    assert site.line("recover") == 9
    assert states(site) == {"web": "running", "db": "running", "mail": "shut off"}
    said = capsys.readouterr()
    (row,) = [line for line in said.out.splitlines() if line.startswith("mail")]
    assert "held back" in row
    assert "the spec does not name it, so kvmkeep does not start it (virsh start mail; " in said.err
    assert said.err.count("does not start it") == 1
    site.host.libvirt.domains["mail"].live = site.host.libvirt.domains["mail"].xml
    assert site.line("recover") == 0


def test_of_guests_that_left_the_spec_those_count_that_are_to_run(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("install-units", "--yes") == 0
    assert site.line("shutdown", "mail") == 0
    for file in Path(site.spec_dir, "guests").iterdir():
        file.unlink()
    capsys.readouterr()
    assert site.line("recover") == 9
    held = {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]}
    assert held == {"web", "db"}
