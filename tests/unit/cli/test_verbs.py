"""The verbs that plan and run, from the command line down to a host in memory."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from kvmkeep.cli.main import main
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.facts import Facts, Problem
from kvmkeep.model.names import LOCK_FILE
from kvmkeep.report.json import facts_json
from tests.unit.cli.site import GIB, Site

Line = Callable[..., int]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_from_a_bare_host_to_a_running_guest(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("validate") == 0
    assert site.line("status") == 9
    assert site.line("plan") == 0
    assert site.line("plan", "--exit-code") == 9
    assert site.host.lvm.volumes.keys().isdisjoint({"vm-web"})
    capsys.readouterr()
    assert site.line("apply", "--yes") == 0
    said = capsys.readouterr()
    assert re.search(r"Done: \d+ steps in ", said.out)
    assert "To run it, type" not in said.out
    assert "[1/" in said.err
    assert "CANARY" not in said.out + said.err
    assert site.line("status") == 0
    assert site.line("plan", "--exit-code") == 0
    calls = len(site.host.calls)
    assert site.line("apply", "--yes") == 0
    assert "Nothing to do." in capsys.readouterr().out
    assert len(site.host.calls) - calls < 5
    assert site.line("show", "web") == 0
    assert "first boot  done" in capsys.readouterr().out


def test_start_and_shutdown(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("apply", "--yes") == 0
    assert site.line("shutdown", "--dry-run", "web") == 0
    assert site.line("shutdown", "--limit", "60", "web") == 0
    assert site.line("status", "--json") in {0, 9}
    assert site.line("start", "web") == 0
    capsys.readouterr()
    assert site.line("start", "web") == 0
    assert "Nothing to do." in capsys.readouterr().out


def test_apply_asks_once_and_no_means_nothing_touched(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.StringIO("n\n")
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert site.line("apply") == 130
    said = capsys.readouterr()
    assert said.err.count("[y/N]") == 1
    assert "Nothing was touched." in said.err
    assert "vm-web" not in site.host.lvm.volumes
    assert site.line("journal") == 0
    assert "No runs yet." in capsys.readouterr().err


def test_apply_goes_on_with_yes(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.StringIO("y\n" * 5)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert site.line("apply") == 0
    assert "vm-web" in site.host.lvm.volumes
    assert 1 <= capsys.readouterr().err.count("[y/N]") <= 2


def test_a_dry_run_touches_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("apply", "--dry-run") == 0
    assert "vm-web" in capsys.readouterr().out
    assert site.host.calls == []


def test_a_failing_command_is_told_and_the_next_run_goes_on(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.door.failing = "lvcreate"
    assert site.line("apply", "--yes") == 7
    said = capsys.readouterr().err
    assert "lvcreate" in said
    assert "exit code 5" in said
    assert "room" in said
    assert "\x1b" not in said
    assert "To go on, type: kvmkeep apply" in said
    assert said.count("Nothing was lost") == 1
    site.door.failing = ""
    assert site.line("apply", "--yes") == 0
    assert site.line("journal", "last") == 0


@pytest.mark.parametrize("words", [("plan",), ("apply", "--yes"), ("apply", "--dry-run")])
def test_a_refused_plan_is_exit_code_4_with_all_reasons(
    site: Site, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    site.change = lambda facts: replace(facts, groups=(), memory=replace(facts.memory, bytes=GIB))
    assert site.line(*words) == 4
    said = capsys.readouterr()
    text = said.out + said.err
    assert "rl_build" in text
    assert "memory" in text
    assert "Nothing was touched." in said.err
    assert not site.host.lvm.volumes
    assert site.host.files.keys() == {"/srv/debian.raw"}


def test_json_everywhere(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["validate", "status", "plan", "observe", "apply --yes", "show web", "journal"]
    for line in [*lines, "init --show"]:
        site.line(*line.split(), "--json")
        document = json.loads(capsys.readouterr().out)
        assert document["version"] == 1, line


def test_json_of_a_plan_and_of_an_error(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.line("plan", "--json")
    out = capsys.readouterr().out
    assert json.loads(out)["plan"]["steps"]
    assert "CANARY" not in out
    assert site.line("plan", "nobody", "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "UsageError"


def test_plan_from_facts_looks_at_no_host(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "facts.json"
    file.write_text(facts_json(site.observe(None)))

    def never(_: object) -> Facts:
        raise AssertionError("the host was looked at")

    site.stages.look = never
    assert site.line("plan", "--facts", str(file)) == 0
    said = capsys.readouterr().out
    assert "vm-web" in said
    assert "kvmkeep apply" not in said, "they may be another host's"


@pytest.mark.parametrize("content", [None, "", "{}", "<html>", '{"version": 99}'])
def test_facts_that_are_none(
    site: Site, tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "facts.json"
    if content is not None:
        file.write_text(content)
    assert site.line("plan", "--facts", str(file)) == 2
    assert "facts.json" in capsys.readouterr().err


def test_the_script_is_bash_and_warns_of_secrets(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.door.failing = "lvcreate"
    assert site.line("apply", "--yes") == 7  # by now the image has been looked into
    capsys.readouterr()
    assert site.line("plan", "--script") == 0
    said = capsys.readouterr()
    assert said.out.startswith("#!/bin/bash\n")
    assert "lvcreate" in said.out
    assert "secrets" in said.err
    site.line("plan", "--json")
    assert "CANARY" not in capsys.readouterr().out
    site.line("plan", "-v")
    assert "CANARY" not in capsys.readouterr().out
    assert site.line("plan", "--script", "--json") == 2


def test_what_is_to_be_typed_next_is_for_what_was_shown(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("plan", "web") == 0
    said = capsys.readouterr().out
    assert said.endswith(f"kvmkeep apply --spec {site.spec_dir} web\n")
    hole = Problem(what="libvirt", reason="it is silent", hint="start it")
    site.change = lambda facts: replace(facts, problems=(hole,))
    assert site.line("start", "web", "--dry-run") == 5
    said = capsys.readouterr().out
    assert said.endswith(f"kvmkeep start web --dry-run --spec {site.spec_dir}\n")


def test_who_is_not_seen_may_be_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    hole = Problem(what="libvirt", reason="it is silent", hint="start it")
    site.change = lambda facts: replace(facts, problems=(hole,))
    assert site.line("show", "legacy") == 5
    said = capsys.readouterr().err
    assert "libvirt: it is silent (start it)" in said
    assert "nobody knows whether there is a guest legacy" in said


def test_explain_shows_commands(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.line("plan")
    assert "$ " not in capsys.readouterr().out
    for option in ("--explain", "-v"):
        site.line("plan", option)
        assert "$ lvcreate" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["apply --yes", "start", "shutdown", "plan"])
def test_an_unknown_guest_is_a_usage_error(
    site: Site, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line(*verb.split(), "wbe") == 2
    assert "the spec has no guest 'wbe'; did you mean web?" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["apply --yes", "start web", "shutdown web"])
def test_another_libvirt_is_not_changed(site: Site, verb: str) -> None:
    assert site.line(*verb.split(), "--connect", "test:///default") == 2


def test_mistakes_of_the_spec_are_exit_code_3(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(site.spec_dir, "guests/web.yaml").write_text("image: nothing\nvcpus: 0\n")
    assert site.line("validate") == 3
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if re.match(r".*web\.yaml:\d+:\d+: ", line)]) >= 2
    assert lines[-1] == "Nothing was touched."


def test_init_never_overwrites(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(site.spec_dir, "host.yaml").read_text()
    assert site.line("init") == 4
    assert "not empty" in capsys.readouterr().err
    assert Path(site.spec_dir, "host.yaml").read_text() == before


def test_init_writes_a_spec_that_loads(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new"
    found = site.observe(None)
    site.stages.look = lambda _: found
    site.stages.host = MachineDoor()
    assert main(["init", "--show", "--spec", str(new)], site.stages) == 0
    assert "host:" in capsys.readouterr().out
    assert not new.exists()
    assert main(["init", "--spec", str(new)], site.stages) == 0
    assert f"`kvmkeep --spec {new} validate`" in capsys.readouterr().err
    made = (new, new / "guests", new / "host.yaml")
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700, 0o700, 0o600]
    assert main(["validate", "--spec", str(new)], site.stages) == 0
    assert main(["init", "--spec", str(new)], site.stages) == 4
    capsys.readouterr()
    assert main(["init", "--spec", str(new / "host.yaml")], site.stages) == 5
    told = capsys.readouterr().err
    assert "root" not in told.replace(str(new), "")
    assert "name another directory with --spec" in told


def test_the_schema_is_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("schema") == 0
    assert "$schema" in json.loads(capsys.readouterr().out)


def test_two_runs_at_once(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with site.stages.lock(LOCK_FILE).hold("shutdown"):
        assert site.line("apply", "--yes") == 6
    assert "shutdown, pid" in capsys.readouterr().err


def test_a_bug_is_exit_code_1(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: object) -> Facts:
        raise ZeroDivisionError("odd")

    site.stages.look = broken
    assert site.line("observe", "--debug") == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_ctrl_c_is_one_line(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    def pressed(_: object) -> Facts:
        raise KeyboardInterrupt

    site.stages.look = pressed
    assert site.line("observe") == 130
    assert capsys.readouterr().err == "kvmkeep: interrupted\n"


def test_the_consoles_log(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("console", "--log", "web") == 5
    assert "first start" in capsys.readouterr().err
    site.host.put("/var/log/libvirt/qemu/web-console.log", b"one\r\n\x1b[2Jtwo\r\nthree\r\n")
    assert site.line("console", "--log", "web") == 0
    assert capsys.readouterr().out == "one\ntwo\nthree\n"
    assert site.line("console", "--log", "--lines", "1", "web") == 0
    assert capsys.readouterr().out == "three\n"
    assert site.line("console", "--log", "--lines", "-1", "web") == 2
    assert site.line("shutdown", "--limit", "0", "web") == 2


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_verbs_and_options(
    site: Site, shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("completion", shell) == 0
    out = capsys.readouterr().out
    assert "--dry-run" in out
    assert "shutdown" in out
    assert re.search("@[A-Z_]+@", out) is None


def test_labels_and_addresses_come_from_the_spec(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    class Libvirt:
        def states(self) -> tuple[object, ...]:
            return ()

    site.stages.asked_libvirt = Libvirt()
    file = Path(site.spec_dir, "guests/web.yaml")
    file.write_text(file.read_text() + "labels: [prod]\n")
    assert site.line("list", "-l") == 0
    out = capsys.readouterr().out
    assert "132.230.223.37" in out
    assert "prod" in out
    site.line("list", "--label", "other", "--json")
    assert json.loads(capsys.readouterr().out)["guests"] == []


def test_a_spec_that_may_not_be_read_is_exit_code_5(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.door.forbidden = True
    assert site.line("validate") == 5
    assert "root" in capsys.readouterr().err
    site.line("show", "web")
    assert "can't be read" in capsys.readouterr().err
    assert site.line("init") == 5
    assert "can't be read: Permission denied" in capsys.readouterr().err


def test_a_file_that_nobody_gets_in_time_ends_status_with_its_name(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    def hang(_facts: Facts) -> Facts:
        raise TimeoutError(110, "no answer within 20 s", "/srv/debian.raw")

    site.change = hang
    assert site.line("status") == 5
    assert "/srv/debian.raw: no answer within 20 s" in capsys.readouterr().err
