"""The verbs of a guest's life, from the command line down to a host in memory."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from kvmkeep.cli.progress import waiting_text
from tests.unit.cli.conftest import Terminal
from tests.unit.cli.site import GUEST_YAML, HASH, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two guests that run: web and db, both of the shop, db also of the lab."""
    made = Site(tmp_path)
    text = GUEST_YAML.replace("HASH", HASH)
    for name, number, labels in (("web", 37, "[shop]"), ("db", 38, "[shop, lab]")):
        changed = (
            text.replace(".37", f".{number}") + f"labels: {labels}\nrun: {{autostart: true}}\n"
        )
        Path(made.spec_dir, f"guests/{name}.yaml").write_text(changed)
    assert made.line("apply", "--yes") == 0
    return made


def states(site: Site) -> dict[str, str]:
    return {name: one.state for name, one in site.host.libvirt.domains.items()}


def types(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    stdin = Terminal(text)
    monkeypatch.setattr(sys, "stdin", stdin)


def test_each_verb_does_what_it_says(site: Site) -> None:
    assert site.line("suspend", "web") == 0
    assert states(site) == {"web": "paused", "db": "running"}
    assert site.line("start", "web") == 4
    assert site.line("reboot", "web") == 4
    assert site.line("resume", "web") == 0
    assert site.line("reboot", "web", "db") == 0
    assert site.line("reboot", "--cold", "db") == 0
    assert [one.boots for one in site.host.libvirt.domains.values()] in ([3, 2], [2, 3])
    assert site.line("poweroff", "--yes", "web") == 0
    assert states(site) == {"web": "shut off", "db": "running"}


@pytest.mark.parametrize("verb", ["reboot", "suspend", "poweroff", "shutdown", "autostart"])
def test_a_dry_run_touches_nothing(
    site: Site, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = len(site.host.calls)
    switch = ["off"] if verb == "autostart" else []
    assert site.line(verb, "--dry-run", "web", *switch) == 0
    assert "guest web" in capsys.readouterr().out
    assert len(site.host.calls) == calls


def test_power_is_cut_only_after_just_these_names_were_typed(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("", "y\n", "web\n", "web db dns\n"):
        types(monkeypatch, text)
        assert site.line("poweroff", "web", "db") == 130
        assert "type the name of each guest (db web)" in capsys.readouterr().err
        assert set(states(site).values()) == {"running"}
    types(monkeypatch, "db web\n")
    assert site.line("poweroff", "web", "db") == 0
    assert set(states(site).values()) == {"shut off"}


def test_power_is_not_cut_where_nobody_can_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("web\n"))
    assert site.line("poweroff", "web") == 2
    assert states(site)["web"] == "running"


def test_labels_choose_guests_that_have_them_all(site: Site) -> None:
    assert site.line("suspend", "--label", "shop", "--label", "lab") == 0
    assert states(site) == {"web": "running", "db": "paused"}
    assert site.line("suspend", "--label", "shop") == 0
    assert states(site) == {"web": "paused", "db": "paused"}


@pytest.mark.parametrize(
    "words", ["suspend", "suspend web --label shop", "suspend --label none", "reboot --limit 0 web"]
)
def test_what_chooses_nothing_or_too_much_is_a_usage_error(site: Site, words: str) -> None:
    assert site.line(*words.split()) == 2
    assert set(states(site).values()) == {"running"}


def test_autostart_tells_the_line_of_the_spec(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert site.line("autostart", "web", "off") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "apply` would undo this" in said
    assert "guests/web.yaml:8:7" in said
    assert site.host.libvirt.domains["web"].autostart is False
    assert "autostart: true" in Path(site.spec_dir, "guests/web.yaml").read_text()


def test_a_wait_counts_down() -> None:
    assert waiting_text("it", 12.4, 300.0) == "waiting for it: 4 min 48 s left of 5 min 00 s"
    assert waiting_text("it", 57.0, 60.0) == "waiting for it: 3 s left of 1 min 00 s"
    assert waiting_text("it", 61.0, 60.0) == "waiting for it: 0 s left of 1 min 00 s"


@pytest.mark.parametrize(
    "lie", ['{"return": "\x1b[2J\x1b]0;owned\x07"}', "A" * 20_000_000, "", "null"]
)
@pytest.mark.parametrize("verb", ["start", "shutdown", "reboot", "reboot --cold", "show"])
def test_what_an_agent_says_reaches_no_terminal(
    site: Site, verb: str, lie: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if verb == "start":
        site.host.libvirt.domains["web"].end()
    site.door.answers["qemu-agent-command"] = lie.encode()
    capsys.readouterr()
    code = site.line(*verb.split(), "web")
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert len(said.out + said.err) < 10_000
    # An agent that always answers is never seen to go down: no reboot is claimed.
    assert code == (7 if verb == "reboot" else 0)
    assert states(site)["web"] == ("shut off" if verb == "shutdown" else "running")


@pytest.mark.parametrize("verb", ["start", "shutdown", "reboot --cold", "show"])
def test_a_silent_agent_is_no_end_of_a_guest(site: Site, verb: str) -> None:
    site.host.libvirt.silent_agents.add("web")
    if verb == "start":
        site.host.libvirt.domains["web"].end()
    waits = verb in {"start", "reboot --cold"}
    assert site.line(*verb.split(), "web") == (7 if waits else 0)
    assert states(site)["web"] == ("shut off" if verb == "shutdown" else "running")
