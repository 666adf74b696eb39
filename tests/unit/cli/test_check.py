"""The verb that tells what is wrong, from the command line down to a host in memory."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.host import FakeFile
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import ArrayState, Facts, Problem
from kvmkeep.model.health import worst_first
from kvmkeep.model.journal import run_name
from kvmkeep.model.names import JOURNAL_DIR, LOCK_FILE, TRENDS
from kvmkeep.model.trend import decoded
from kvmkeep.spec.good import keep_good
from kvmkeep.spec.load import load
from tests.unit.cli.running import ANSWERS
from tests.unit.cli.site import Site


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """Return a host with a running guest that is well."""
    made = Site(tmp_path)
    assert made.line("apply", "--yes") == 0
    made.host.libvirt.domains["web"].agent = True
    made.host.libvirt.domains["web"].told = dict(ANSWERS)
    made.change = with_taps
    capsys.readouterr()
    return made


def with_taps(facts: Facts) -> Facts:
    """Add what the kernel has of a running guest: its tap device in the bridge."""
    bridge = facts.link("virbr1.223")
    assert bridge is not None
    domains = tuple(
        replace(
            domain,
            live_nics=tuple(
                replace(nic, tap=f"{domain.name}-{number}")
                for number, nic in enumerate(domain.live_nics)
            ),
        )
        for domain in facts.domains
    )
    taps = [
        replace(bridge, name=nic.tap, kind="tun", master=nic.bridge)
        for domain in domains
        for nic in domain.live_nics
    ]
    return replace(facts, links=(*facts.links, *taps), domains=domains)


def degraded(facts: Facts) -> Facts:
    array = replace(
        facts.arrays[0], state=ArrayState.DEGRADED, missing=1, faulty=("vdc",),
        detail="1 of 2 run, vdc is faulty",
    )  # fmt: skip
    return replace(with_taps(facts), arrays=(array,))


def test_a_host_that_is_well(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("check") == 0
    said = capsys.readouterr().out
    first, _, rest = said.partition("\n")
    assert first == "OK: build.example.org is well | warning=0 critical=0 unknown=0"
    # What its settings mean is told all the same.
    assert "floods like a hub" in rest


def test_the_worst_comes_first_with_its_exit_code(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.vitals = replace(site.vitals, synchronized=False)
    assert site.line("check") == 1
    site.change = degraded
    capsys.readouterr()
    assert site.line("check") == 2
    said = capsys.readouterr().out
    assert said.startswith(
        "CRITICAL: array md0: it is degraded: 1 of 2 run, vdc is faulty; left is vdb: "
        "do not pull that one (and 1 more) "
        "| warning=1 critical=1 unknown=0\n"
    )
    assert "do:  mdadm --detail /dev/md0; replace the disk, then: mdadm /dev/md0 --remove" in said
    assert said.index("CRITICAL  array") < said.index("WARNING   clock")


def test_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.change = degraded
    assert site.line("check", "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["host"], told["status"]) == (1, "build.example.org", "critical")
    assert set(told["findings"][0]) == {"name", "severity", "subject", "what", "why", "todo"}
    assert told["findings"][0]["name"] == "array-degraded"


@pytest.mark.parametrize("json_too", [True, False])
def test_what_could_not_be_looked_at_is_unknown(
    site: Site, capsys: pytest.CaptureFixture[str], *, json_too: bool
) -> None:
    Path(site.spec_dir, "host.yaml").write_text("uplink: [")
    assert site.line("check", *(["--json"] if json_too else [])) == 3
    said = capsys.readouterr().out
    assert "host.yaml" in said
    assert ('"status": "unknown"' if json_too else "UNKNOWN: spec: ") in said


@pytest.mark.parametrize("kept", [True, False])
def test_a_mistake_in_the_spec_blinds_nobody(
    site: Site, capsys: pytest.CaptureFixture[str], *, kept: bool
) -> None:
    """An alert that fires must not be resolved by a typo."""
    if kept:
        files: dict[str, bytes] = {}
        load(site.spec_dir, MachineDoor(), seen=files)
        keep_good(site.spec_dir, files, "2026-11-24T07:00:00Z", site.door)
    site.change = degraded
    site.host.libvirt.silent_agents.add("web")
    site.host.files["/"] = FakeFile(content=b"", inode=1, stamp=1, kind="directory")
    file = Path(site.spec_dir, "guests/web.yaml")
    file.write_text("memry: 2GiB\n" + file.read_text().replace("vcpus: 2", "vcpus: many"))
    assert site.line("check", "--prometheus", "/x.prom", "--json") == 2
    told = json.loads(capsys.readouterr().out)
    found = {one["name"]: one for one in told["findings"]}
    assert "web.yaml:1:1: " in found["spec-mistakes"]["what"]
    assert found["spec-mistakes"]["what"].endswith("(and 1 more)")
    assert ("last good one, of 2026-11-24T07:00:00Z" in found["spec-mistakes"]["why"]) is kept
    assert "array-degraded" in found
    assert ("guest-not-ready" in found) is kept
    assert told["host"] == ("build.example.org" if kept else "this host")
    assert kept or found.keys() <= {"spec-mistakes", "array-degraded"}
    text = site.host.files["/x.prom"].content.decode()
    assert "kvmkeep_array_missing_members" in text
    assert ("kvmkeep_trash_bytes 0" in text) is kept
    assert site.line("status") == 3
    capsys.readouterr()


def test_a_hole_in_the_facts_is_worse_than_a_warning(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    hole = Problem(what="libvirt", reason="it is\nsilent | as ever", hint="start it")
    site.vitals = replace(site.vitals, problems=(hole,), synchronized=False)
    assert site.line("check") == 3
    first = capsys.readouterr().out.partition("\n")[0]
    # A bar would begin performance data.
    assert first.count("|") == 1
    assert "libvirt: it can't be looked at: it is silent / as ever" in first


def test_guests_are_not_missing_where_lvm_hangs(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    hole = Problem(what="logical volumes", reason="lvs did not answer", hint="")
    site.change = lambda facts: replace(facts, volumes=(), problems=(hole,))
    site.line("check")
    said = capsys.readouterr().out
    assert "logical volumes: it can't be looked at: lvs did not answer" in said
    assert "apply would" not in said


def test_guests_are_asked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.libvirt.silent_agents.add("web")
    assert site.line("check") == 2
    assert "guest web: it runs, but its agent did not answer within 2 s" in capsys.readouterr().out


def journal(site: Site, *, lines: int | None = None) -> None:
    """Have the host keep the last run's journal, as far as it was written."""
    name = site.stages.journals().names()[-1]
    content = (Path(site.spec_dir).parent / "journal" / name).read_bytes()
    site.host.put(f"{JOURNAL_DIR}/{name}", b"".join(content.splitlines(keepends=True)[:lines]))


def test_a_run_that_was_killed_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    journal(site)
    assert site.line("check") == 0
    journal(site, lines=-1)
    assert site.line("check") == 1
    assert ": it was killed" in capsys.readouterr().out
    # Its number may have become another program's.
    site.host.put(f"/proc/{os.getpid()}", b"")
    assert site.line("check") == 1
    site.host.working = True
    assert site.line("check") == 0
    del site.host.files[f"/proc/{os.getpid()}"]
    assert site.line("check") == 1, "another run is at work"


END = b'{"time": "", "kind": "end", "outcome": "done"}\n'


def test_a_run_that_was_killed_is_told_though_others_came_since(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)

    def put(minutes: int, verb: str, *lines: bytes) -> None:
        name = f"{run_name(now - timedelta(minutes=minutes), verb, 77)}.jsonl"
        begin = {"time": "", "kind": "begin", "verb": verb, "argv": f"kvmkeep {verb}", "pid": 77}
        site.host.put(
            f"{JOURNAL_DIR}/{name}", b"".join((json.dumps(begin).encode(), b"\n", *lines))
        )

    put(9, "rename", END.replace(b"done", b"StepFailed: no room"))
    put(8, "apply")
    put(2, "watch", END)
    capsys.readouterr()
    assert site.line("check") == 1
    assert "-apply-77: it was killed" in capsys.readouterr().out
    put(1, "apply", END)
    assert site.line("check") == 0
    put(0, "watch", END.replace(b"done", b"StepFailed: no room"))
    assert site.line("check") == 1


def test_a_run_that_holds_the_lock_for_long_and_does_nothing_is_told(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.working = True
    for text in (b"", b"garbage", b'{"verb": "apply", "pid": 77, "since": -1, "user": "bob"}'):
        site.host.put(LOCK_FILE, text)
        assert site.line("check") == 0
    signed = {"verb": "apply", "pid": 77, "since": 99999, "user": "bob", "argv": ["kvmkeep"]}
    site.host.put(LOCK_FILE, json.dumps(signed).encode())
    assert site.line("check") == 0, "the signature is of a dead one"
    site.host.put("/proc/77", b"")
    capsys.readouterr()
    assert site.line("check") == 1
    told = capsys.readouterr().out
    assert "apply, pid 77, by bob, has held it since 1970-01-0" in told
    assert "kill 77" in told
    # An older run, and one of another process.
    for name in ("19700102T034638.000000Z-apply-77", "19700103T000000.000000Z-apply-177"):
        site.host.put(f"{JOURNAL_DIR}/{name}.jsonl", END)
        assert site.line("check") == 1
    site.host.put(f"{JOURNAL_DIR}/19700102T034640.000000Z-apply-77.jsonl", END)
    assert site.line("check") == 0
    site.host.working = False
    assert site.line("check") == 0


def test_a_lock_that_cannot_be_seen_is_held_by_nobody(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(path: str) -> bool:
        raise PermissionError(13, "Permission denied", path)

    journal(site, lines=-1)
    site.door.locked = denied  # type: ignore[attr-defined]
    assert site.line("check") == 1
    assert "was killed" in capsys.readouterr().out


def test_a_journal_that_nobody_gets_is_unknown(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """The look has to end where the journal's disk hangs: it goes through the same door."""
    names = site.door.names

    def hangs(directory: str) -> tuple[str, ...]:
        if directory == JOURNAL_DIR:
            raise TimeoutError(110, "it did not answer in time", directory)
        return names(directory)

    site.door.names = hangs  # type: ignore[method-assign]
    assert site.line("check") == 3
    said = capsys.readouterr().out
    assert "the journal: it can't be looked at: it can't be read: it did not answer in" in said


def test_metrics_are_written_whole_and_understood(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.change = degraded
    site.host.files["/var/lib/prom"] = FakeFile(content=b"", inode=1, stamp=1, kind="directory")
    assert site.line("check", "--prometheus", "/var/lib/prom/kvmkeep.prom") == 2
    file = site.host.files["/var/lib/prom/kvmkeep.prom"]
    assert file.mode == 0o644
    families = {f.name: f for f in text_string_to_metric_families(file.content.decode())}
    assert families["kvmkeep_check_status"].samples[0].value == 2
    assert families["kvmkeep_guest_ready"].samples[0].labels == {"guest": "web"}
    assert families["kvmkeep_group_free_bytes"].samples[0].value > 1 << 30
    capsys.readouterr()


def test_metrics_of_a_check_that_failed_say_so(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(site.spec_dir, "host.yaml").write_text("uplink: [")
    site.host.files["/"] = FakeFile(content=b"", inode=1, stamp=1, kind="directory")
    assert site.line("check", "--prometheus", "/x.prom") == 3
    text = site.host.files["/x.prom"].content.decode()
    assert "kvmkeep_check_status 3\n" in text
    assert f"do:  kvmkeep --spec {site.spec_dir} validate" in capsys.readouterr().out


def test_metrics_go_into_no_directory_that_is_not_there(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped path would be made, and nobody would ever read it."""
    assert site.line("check", "--prometheus", "/var/lib/pron/x.prom") == 3
    assert "metrics /var/lib/pron/x.prom: there is no directory /var/lib/pron" in (
        capsys.readouterr().out
    )
    assert "/var/lib/pron/x.prom" not in site.host.files


def test_metrics_that_cannot_be_written(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    site.host.files["/"] = FakeFile(content=b"", inode=1, stamp=1, kind="directory")
    site.door.write = full  # type: ignore[attr-defined]
    assert site.line("check", "--prometheus", "/x.prom") == 3
    said = capsys.readouterr().out
    assert "UNKNOWN: metrics /x.prom: /x.prom can't be written: No space left on device" in said


def test_status_begins_with_the_trouble(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("status") == 0
    assert "Trouble" not in capsys.readouterr().out
    site.vitals = replace(site.vitals, synchronized=False)
    site.change = degraded
    assert site.line("status") == 9
    said = capsys.readouterr().out
    head = said.partition("\nHost\n")[0].splitlines()
    assert head == [
        "build.example.org: NOT as the spec says",
        "",
        "Trouble",
        "  CRITICAL array md0: it is degraded: 1 of 2 run, vdc is faulty; left is vdb: "
        "do not pull that one",
        "  WARNING  clock: nobody keeps the host's clock right",
    ]
    assert f"See: kvmkeep --spec {site.spec_dir} check" in said
    assert site.line("status", "--json") == 9
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told["trouble"]] == ["array-degraded", "clock-not-synchronized"]


def test_status_does_not_ask_guests(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.libvirt.silent_agents.add("web")
    assert site.line("status") == 0
    assert "agent" not in capsys.readouterr().out


def test_what_check_and_status_find_is_the_same(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    def off(facts: Facts) -> Facts:
        domains = tuple(replace(one, state=DomainState.SHUTOFF) for one in facts.domains)
        return replace(degraded(facts), domains=domains)

    site.change = off
    assert site.line("check", "--json") == 2
    found = json.loads(capsys.readouterr().out)["findings"]
    assert site.line("status", "--json") == 9
    trouble = json.loads(capsys.readouterr().out)["trouble"]
    assert trouble
    assert [
        one for one in found if one["severity"] != "ok" and "spec" not in one["name"]
    ] == trouble
    assert worst_first(()) == ()


def test_a_look_has_a_limit(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("--limit", "3"), ("--limit", "x"), ("--nonsense",), ("web",)):
        assert site.line("check", *words) == 3, "2 would be told as critical"
    assert "--limit takes a number of seconds, at least 4" in capsys.readouterr().err
    assert site.line("check", "--limit", "4") == 0


def test_a_file_that_nobody_gets_is_unknown(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    def observe(_: object) -> Facts:
        raise TimeoutError(110, "it did not answer in time", "/root/kvm/web.xml")

    site.stages.look = observe
    assert site.line("check") == 3
    assert "/root/kvm/web.xml: it did not answer in time" in capsys.readouterr().out


def test_a_bug_is_unknown_and_metrics_tell_of_it(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code of other verbs, 1, would be told as a warning."""

    def observe(_: object) -> Facts:
        raise RuntimeError("odd")

    site.stages.look = observe
    site.host.files["/"] = FakeFile(content=b"", inode=1, stamp=1, kind="directory")
    assert site.line("check", "--debug", "--prometheus", "/x.prom") == 3
    told = capsys.readouterr()
    assert told.out.startswith("UNKNOWN: check: a bug in kvmkeep: RuntimeError: odd ")
    assert "Traceback" in told.err
    text = site.host.files["/x.prom"].content.decode()
    assert "kvmkeep_check_status 3\n" in text


def counts(site: Site, sectors: int) -> None:
    """Have the kernel tell of a check that is over."""
    place = "/sys/block/md0/md"
    site.host.put(f"{place}/mismatch_cnt", f"{sectors}\n".encode())
    site.host.put(f"{place}/last_sync_action", b"check\n")
    site.host.put(f"{place}/sync_action", b"idle\n")


@pytest.mark.parametrize("line", [("watch",), ("check", "--prometheus", "/var/lib/prom/x.prom")])
def test_a_timers_look_keeps_what_checks_of_arrays_counted(
    site: Site, line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.directories["/var/lib/prom"] = 0o755
    for sectors in (0, 128, 128, 512):
        counts(site, sectors)
        site.line(*line)
    kept = decoded(site.host.files[TRENDS].content)
    assert [one.sectors for one in kept[0].counts] == [0, 128, 512]
    mode, before = site.host.files[TRENDS].mode, site.host.files[TRENDS].inode
    site.line(*line)
    assert (site.host.files[TRENDS].mode, site.host.files[TRENDS].inode) == (mode, before)
    site.host.put("/sys/block/md0/md/mismatch_cnt", b"8\n")
    site.line("check")
    assert decoded(site.host.files[TRENDS].content) == kept, "a look of a person changes nothing"
    capsys.readouterr()
