"""Boot, shutdown and watch, from the command line down to a host in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kvmkeep import flow
from kvmkeep.model.command import WriteFile
from kvmkeep.model.host_units import GUESTS, RECOVER, UNIT_DIR
from kvmkeep.model.names import GOOD_SPEC, LOCK_FILE, TRENDS
from kvmkeep.model.plan import Report
from kvmkeep.spec.load import load
from tests.unit.cli.conftest import Terminal
from tests.unit.cli.site import Site
from tests.unit.cli.test_recover import site, states

__all__ = ["site"]


def unit(site: Site, name: str) -> str:
    return site.host.files[f"{UNIT_DIR}/{name}"].content.decode()


def test_units_are_installed_for_this_spec_and_go_again(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("recover") == 0
    capsys.readouterr()
    assert site.line("install-units", "--dry-run") == 0
    assert f"write {GUESTS}, {RECOVER}," in capsys.readouterr().out
    assert f"{UNIT_DIR}/{RECOVER}" not in site.host.files
    assert site.line("install-units", "--yes") == 0
    assert f"ExecStart=/usr/bin/kvmkeep recover --spec {site.spec_dir}\n" in unit(site, RECOVER)
    assert f"ExecStop=/usr/bin/kvmkeep shutdown --host --spec {site.spec_dir}\n" in unit(
        site, GUESTS
    )
    assert {one.autostart for one in site.host.libvirt.domains.values()} == {False}
    assert site.line("install-units", "--yes") == 0
    assert capsys.readouterr().out.endswith("Nothing to do.\n")
    assert site.line("uninstall-units", "--dry-run") == 0
    assert site.line("uninstall-units", "--yes") == 0
    assert {one.autostart for one in site.host.libvirt.domains.values()} == {True}
    assert f"{UNIT_DIR}/{RECOVER}" not in site.host.files


def test_a_mistake_in_the_spec_keeps_no_unit(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("install-units", "--yes") == 0
    site.stages.look = lambda _: site.host.facts(None)
    Path(site.spec_dir, "guests/db.yaml").write_text("vcpus: many\n")
    capsys.readouterr()
    assert site.line("uninstall-units", "--dry-run") == 0
    told = capsys.readouterr()
    assert "spec: it has mistakes, so this goes by the guests' own marks" in told.out + told.err
    assert site.line("uninstall-units", "--yes") == 0
    assert {one.autostart for one in site.host.libvirt.domains.values()} == {True}
    assert f"{UNIT_DIR}/{RECOVER}" not in site.host.files


def test_all_guests_go_down_with_the_host_and_come_up_with_it(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("recover") == 0
    assert site.line("shutdown", "--host", "--dry-run") == 0
    assert set(states(site).values()) == {"running"}
    assert site.line("shutdown", "--host") == 0
    assert set(states(site).values()) == {"shut off"}
    assert site.line("recover") == 0
    assert set(states(site).values()) == {"running"}
    assert site.line("shutdown", "--host", "web") == 2
    assert "--host is about all guests" in capsys.readouterr().err


def test_a_guest_that_is_deaf_keeps_no_other_from_going_down(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("recover") == 0
    site.host.libvirt.domains["web"].ignores_shutdown = True
    site.host.libvirt.domains["mail"].paused = True
    before = site.host.now
    assert site.line("shutdown", "--host") == 7
    assert states(site) == {"web": "running", "db": "shut off", "mail": "paused"}
    assert site.host.now - before < 2 * 300, "it was asked once, and waited for once"
    told = capsys.readouterr().err
    assert "guest mail: it is paused (user), so it can't hear anything: its power goes" in told
    assert "guest web: wait until it is off: failed" in told
    assert "trying again" not in told
    site.host.libvirt.domains["web"].ignores_shutdown = False
    assert site.line("shutdown", "--host") == 9


def test_a_run_that_does_not_end_keeps_no_guest_from_being_asked(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("recover") == 0
    site.stages.hasty = True
    with site.stages.lock(LOCK_FILE).hold("trash empty"):
        assert site.line("recover") == 6
        assert site.line("shutdown", "--host") == 0
    assert set(states(site).values()) == {"shut off"}
    told = capsys.readouterr().err
    assert "another run of kvmkeep is at work: trash empty, pid" in told
    assert "shutdown --host goes on without the lock" in told


def test_a_look_starts_the_dead_and_tells_what_it_leaves(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("recover") == 0
    capsys.readouterr()
    assert site.line("watch") == 0
    site.host.libvirt.domains["web"].end()
    assert site.line("watch", "--dry-run") == 0
    assert states(site)["web"] == "shut off"
    assert site.line("watch") == 0
    assert states(site)["web"] == "running"
    site.host.libvirt.domains["web"].end("destroyed")
    assert site.line("watch") == 9
    assert "guest web: it is to run, and is off (destroyed)" in capsys.readouterr().err


def test_what_nobody_attends_to_is_told_as_one_document(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*line: str) -> tuple[set[str], set[str]]:
        capsys.readouterr()
        assert site.line(*line, "--json") == 9
        found = json.loads(capsys.readouterr().out)
        assert (found["version"], found["report"]["ok"]) == (1, True)
        steps, notes = found["report"]["steps"], found["notes"]
        return {one["subject"] for one in steps}, {one["subject"] for one in notes}

    assert site.line("recover") == 0
    site.host.libvirt.domains["db"].end()
    site.host.libvirt.domains["web"].end("destroyed")
    assert told("watch") == ({"guest db"}, {"guest web"})
    site.host.libvirt.domains["mail"].paused = True
    assert told("shutdown", "--host") == ({"guest db"}, {"guest mail"})


def test_what_is_kept_of_arrays_never_keeps_a_guest_off(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("recover") == 0
    capsys.readouterr()
    site.host.put(TRENDS, b'[{"array":"m\xe40","counts":[]}]\n')
    site.host.libvirt.domains["web"].end()
    assert site.line("watch") == 0
    assert states(site)["web"] == "running"


def test_guests_are_looked_after_before_what_is_kept_of_arrays(site: Site) -> None:
    assert site.line("recover") == 0
    site.host.put("/sys/block/md0/md/mismatch_cnt", b"0\n")
    site.host.put("/sys/block/md0/md/last_sync_action", b"check\n")
    site.host.libvirt.domains["web"].end()
    off: list[str] = []
    write = site.host.write

    def told(file: WriteFile) -> None:
        if file.path == TRENDS:
            off.extend(name for name, state in states(site).items() if state != "running")
        write(file)

    site.host.write = told  # type: ignore[method-assign]
    assert site.line("watch") == 0
    assert TRENDS in site.host.files
    assert off == []


def broken(site: Site) -> None:
    """Keep the spec as a run would, and then make a mistake in it."""
    context = flow.RunSettings(
        spec_dir=site.spec_dir,
        door=site.door,  # type: ignore[arg-type]
        libvirt=object(),  # type: ignore[arg-type]
    )
    files: dict[str, bytes] = {}
    flow.load_spec(context, files)
    flow.keep_spec(context, files)
    Path(site.spec_dir, "guests/db.yaml").write_text("vcpus: many\n")


def test_a_verb_is_typed_where_it_has_a_terminal(
    site: Site, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    run = site.stages.run_goal

    def told(ctx: flow.RunSettings, *others: Any) -> Report:  # noqa: ANN401
        seen.append(ctx.typed)
        return run(ctx, *others)

    site.stages.run_goal = told  # type: ignore[method-assign]
    assert site.line("recover") == 0
    assert site.line("shutdown", "web") == 0
    monkeypatch.setattr("sys.stdin", terminal)
    assert site.line("start", "web") == 0
    assert seen == [False, False, True]


@pytest.mark.parametrize("line", [("recover",), ("watch",), ("shutdown", "--host")])
def test_where_the_spec_has_a_mistake_the_last_good_one_counts(
    site: Site, line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    good = load(site.spec_dir, site.door)  # type: ignore[arg-type]
    assert site.line("recover") == 0
    broken(site)
    site.stages.look = lambda spec: site.host.facts(spec or good)
    if line[0] != "shutdown":
        for domain in site.host.libvirt.domains.values():
            domain.end()
    capsys.readouterr()
    before = states(site)
    assert site.line(*line, "--dry-run") == 0
    assert states(site) == before
    assert "goes by the last good one, of 20" in capsys.readouterr().err
    assert site.line(*line) == 0
    wanted = "shut off" if line[0] == "shutdown" else "running"
    assert set(states(site).values()) == {wanted}
    told = capsys.readouterr().err
    assert "the spec has mistakes, so this goes by the last good one, of 20" in told
    assert "db.yaml" in told
    del site.host.files[GOOD_SPEC]
    if line[0] != "shutdown":
        assert site.line(*line) == site.line(*line, "--dry-run") == 3
        return
    for name in states(site):
        site.host.libvirt.virsh(("start", "--", name))
    assert site.line(*line, "--dry-run") == 0
    assert "by the guests' own marks alone" in capsys.readouterr().err
    assert site.line(*line) == 0
    assert set(states(site).values()) == {"shut off"}
    assert (
        "the spec has mistakes, and no good one is kept, so this goes by the guests' own marks "
        f"alone; kvmkeep --spec {site.spec_dir} validate tells all; the first is: "
    ) in capsys.readouterr().err


def test_the_journal_tells_who_was_held_back_even_if_nobody_was_started(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("recover") == 0
    site.host.libvirt.domains["web"].end()
    site.host.mounts.clear()
    assert site.line("recover") == 9
    capsys.readouterr()
    assert site.line("--json", "journal", "last") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verb"] == "recover"
    assert site.line("journal", "last") == 0
    assert "guest web: held back: it needs /data, where nothing is mounted" in (
        capsys.readouterr().out
    )
