"""The plans around a shell in a disk, and the verb with a stand-in for virt-rescue."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fakes.host import FakeHost
from fakes.stages import HostStages
from msgspec.structs import replace

from kvmkeep.errors import Unready
from kvmkeep.flow import Confirm, Planner, RunSettings
from kvmkeep.host.console import attend
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Plan, Report
from kvmkeep.model.spec import Spec
from kvmkeep.planning.offline.inspect import plan_inspect
from kvmkeep.planning.offline.shell import open_disk, plan_close, plan_open, shell_argv
from kvmkeep.planning.running.start import plan_start
from tests.unit.cli.site import Site
from tests.unit.planning.looked_into import ASKED
from tests.unit.planning.looked_into import site as inspected
from tests.unit.planning.rounds import reach

RUN = "20261123T071034Z-ab12"
TAG = f"kvmkeep.shell={RUN}"


def opened(host: FakeHost, wanted: Spec, *, read_only: bool) -> str:
    reach(host, wanted, lambda s, f: plan_open(s, f, "web", RUN, read_only=read_only))
    return open_disk(wanted, host.facts(wanted), "web", RUN)


def closed(host: FakeHost, wanted: Spec) -> None:
    reach(host, wanted, lambda s, f: plan_close(s, f, "web", RUN))
    assert open_disk(wanted, host.facts(wanted), "web", RUN) == ""
    assert host.lvm.volumes.keys() == {"vm-web"}
    assert not [tag for tag in host.lvm.volumes["vm-web"].tags if "shell" in tag]


def in_use(host: FakeHost, wanted: Spec, name: str) -> Facts:
    """Return what is seen while somebody has an LV open."""
    facts = host.facts(wanted)
    volumes = tuple(replace(one, opened=one.opened or one.name == name) for one in facts.volumes)
    return replace(facts, volumes=volumes)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_guest_that_is_off_is_marked_and_not_started_meanwhile(*, read_only: bool) -> None:
    host, wanted = inspected(running=False)
    host.lvm.volumes["vm-web"].active = False
    host.lvm.volumes["vm-web"].tags.add("kvmkeep.shell=20260101T000000Z-0000")
    assert opened(host, wanted, read_only=read_only) == "/dev/rl_build/vm-web"
    (refusal,) = plan_start(wanted, in_use(host, wanted, "vm-web"), ("web",)).refusals
    assert refusal.reason == "a shell is open in its disk vm-web"
    # A shell that was killed keeps nobody out.
    assert plan_start(wanted, host.facts(wanted), ("web",)).refusals == ()
    closed(host, wanted)
    assert plan_close(wanted, host.facts(wanted), "web", RUN) == Plan()


def test_a_guest_that_runs_is_looked_at_through_a_snapshot_and_never_written_to() -> None:
    host, wanted = inspected()
    plan = plan_open(wanted, host.facts(wanted), "web", RUN, read_only=False)
    assert "is not off" in plan.refusals[0].reason
    assert opened(host, wanted, read_only=True) == "/dev/rl_build/vm-web+look"
    busy = in_use(host, wanted, "vm-web+look")
    look = plan_inspect(wanted, busy, ASKED, None)
    assert "somebody looks into its disk" in look.refusals[0].reason
    assert look.steps == ()
    # What a killed shell has left goes with the next look.
    left = plan_open(wanted, host.facts(wanted), "web", "other", read_only=True)
    assert left.steps[0].what == "delete the snapshot rl_build/vm-web+look"
    closed(host, wanted)


def test_the_shell_is_told_the_format_and_whether_it_may_write() -> None:
    assert shell_argv("/dev/x", read_only=True) == (
        "virt-rescue", "--ro", "--format=raw", "-a", "/dev/x", "-i",
    )  # fmt: skip
    assert shell_argv("/dev/x", read_only=False)[1] == "--rw"


class Terminal:
    closed = False

    def isatty(self) -> bool:
        return True


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Site:
    """Return a host with a guest that runs, and a virt-rescue that tells how it was called."""
    made = Site(tmp_path)
    made.host.lvm.size <<= 2
    assert made.line("apply", "--yes") == 0
    capsys.readouterr()
    program = tmp_path / "bin/virt-rescue"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" "$LIBGUESTFS_BACKEND" > {tmp_path}/called\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return made


def test_the_terminal_goes_to_the_shell_and_then_all_is_put_away(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("shell", "web") == 2
    assert "needs a terminal" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert site.line("shell", "nobody") == 2
    assert site.line("shell", "web") == 4
    assert site.line("shell", "web", "--read-only") == 0
    called = (tmp_path / "called").read_text()
    assert called == "--ro --format=raw -a /dev/rl_build/vm-web+look -i direct\n"
    assert site.host.lvm.volumes.keys() == {"vm-web"}
    site.host.libvirt.domains["web"].live = None
    (tmp_path / "bin/virt-rescue").write_text("#!/bin/sh\nexit 3\n")
    capsys.readouterr()
    assert site.line("shell", "web") == 7
    assert "virt-rescue ended with 3" in capsys.readouterr().err
    assert not [tag for tag in site.host.lvm.volumes["vm-web"].tags if "shell" in tag]


def test_what_it_leaves_is_shown_by_no_dry_run_since_it_has_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recorded(HostStages):
        def run_goal(
            self,
            ctx: RunSettings,
            verb: str,
            planner: Planner,
            confirm: Confirm | None,
        ) -> Report:
            told.append(ctx.dry_run)
            return super().run_goal(ctx, verb, planner, confirm)

    told: list[bool] = []
    site.stages = Recorded(site.door, site.stages.directory, site.observe)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert site.line("shell", "web", "--read-only") == 0
    assert told == [False, False]


def test_a_missing_program_is_told() -> None:
    with pytest.raises(Unready, match="can't be run"):
        attend(("/nonexistent/virt-rescue",))
