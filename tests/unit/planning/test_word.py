"""The word whether a guest is to run: kept before it is acted upon, and what it means later."""

from __future__ import annotations

from collections.abc import Iterable

from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.names import RUN_URI, STATE_FRESH
from kvmkeep.model.plan import Plan
from kvmkeep.model.run_mark import NO_RUN_MARK, RunMark
from kvmkeep.model.spec import Spec
from kvmkeep.planning.running.autostart import plan_autostart
from kvmkeep.planning.running.poweroff import plan_poweroff
from kvmkeep.planning.running.reboot import plan_cold_reboot
from kvmkeep.planning.running.recover import recovery
from kvmkeep.planning.running.shutdown import plan_shutdown
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.units.install import plan_install
from tests.unit.planning.cut_off import cut, site
from tests.unit.planning.rounds import reach


def acts(plan: Plan) -> list[str]:
    found = (action for step in plan.steps for action in step.actions)
    return [" ".join(one.argv[:2]) for one in found if isinstance(one, Command)]


def kept(host: FakeHost, wanted: Spec, name: str) -> RunMark:
    domain = host.facts(wanted).domain(name)
    assert domain is not None
    return domain.run_mark


def after_a_cut(host: FakeHost, wanted: Spec) -> set[str]:
    cut(host)
    return {guest.name for guest in recovery(wanted, host.facts(wanted)).guests}


def shutting(names: Iterable[str]) -> object:
    chosen = tuple(names)
    return lambda s, f: plan_shutdown(s, f, chosen)


def test_who_was_shut_down_stays_off_after_a_cut_until_it_is_started() -> None:
    host, wanted = site()
    reach(host, wanted, lambda s, f: plan_start(s, f, ("lone", "web")))
    assert kept(host, wanted, "web") == NO_RUN_MARK, "autostart says so anyhow"
    plan = plan_shutdown(wanted, host.facts(wanted), ("lone",))
    assert acts(plan) == ["virsh metadata", "virsh dumpxml", "virsh shutdown"]
    reach(host, wanted, shutting(["lone"]))
    assert kept(host, wanted, "lone") == RunMark(wanted=False)
    assert after_a_cut(host, wanted) == {"web", "db", "dns"}
    reach(host, wanted, lambda s, f: plan_start(s, f, ("lone",)))
    assert kept(host, wanted, "lone") == NO_RUN_MARK
    assert "lone" in after_a_cut(host, wanted)


def test_a_cut_between_word_and_deed_loses_neither() -> None:
    host, wanted = site()
    reach(host, wanted, lambda s, f: plan_start(s, f, ("lone",)))
    (step,) = plan_shutdown(wanted, host.facts(wanted), ("lone",)).steps
    for action in step.actions[:1]:
        assert isinstance(action, Command)
        assert host.run(action).ok
    assert "lone" not in after_a_cut(host, wanted)
    plan = plan_shutdown(wanted, host.facts(wanted), ("lone",))
    assert acts(plan) == ["virsh dumpxml"], "only the kept file is old"
    reach(host, wanted, shutting(["lone"]))


def test_a_guest_that_does_not_start_with_the_host_runs_after_a_cut_if_it_was_started() -> None:
    host, wanted = site()
    host.libvirt.domains["lone"].autostart = False
    assert "lone" not in after_a_cut(host, wanted)
    reach(host, wanted, lambda s, f: plan_start(s, f, ("lone",)))
    assert kept(host, wanted, "lone") == RunMark(wanted=True)
    assert "lone" in after_a_cut(host, wanted)
    reach(host, wanted, lambda s, f: plan_autostart(s, f, ("lone",), on=True))
    reach(host, wanted, lambda s, f: plan_autostart(s, f, ("lone",), on=False))
    assert kept(host, wanted, "lone") == NO_RUN_MARK, "the later word counts"
    assert "lone" not in after_a_cut(host, wanted)


def test_who_is_as_the_word_says_already_is_only_remembered() -> None:
    host, wanted = site()
    assert acts(plan_shutdown(wanted, host.facts(wanted), ("web",))) == [
        "virsh metadata", "virsh dumpxml",
    ]  # fmt: skip
    reach(host, wanted, shutting(["web"]))
    host.libvirt.virsh(("start", "--", "web"))
    (step,) = plan_start(wanted, host.facts(wanted), ("web",)).steps[-1:]
    assert step.what == "remember that it is to run"
    reach(host, wanted, lambda s, f: plan_start(s, f, ("web",)))
    cut_off = plan_poweroff(wanted, host.facts(wanted), ("web",))
    assert acts(cut_off) == ["virsh metadata", "virsh dumpxml", "virsh destroy"]
    reach(host, wanted, lambda s, f: plan_poweroff(s, f, ("web",)))
    assert plan_poweroff(wanted, host.facts(wanted), ("web",)).empty


def test_a_reboot_is_no_word() -> None:
    host, wanted = site()
    reach(host, wanted, lambda s, f: plan_start(s, f, ("lone",)))
    before = host.facts(wanted)
    plan = plan_cold_reboot(wanted, host.facts(wanted), before, ("lone",))
    assert acts(plan) == ["virsh shutdown", "virsh start", "virsh metadata"]
    assert RUN_URI not in str(plan)


def test_a_guest_in_its_first_boot_has_no_word() -> None:
    host, wanted = site()
    reach(host, wanted, lambda s, f: plan_start(s, f, ("lone",)))
    host.lvm.volumes["vm-lone"].tags.add(STATE_FRESH)
    assert acts(plan_shutdown(wanted, host.facts(wanted), ("lone",))) == ["virsh shutdown"]


def test_with_units_autostart_is_kept_by_kvmkeep() -> None:
    host, wanted = site()
    reach(host, wanted, plan_install)
    reach(host, wanted, lambda s, f: plan_autostart(s, f, ("web",), on=False))
    assert (host.libvirt.domains["web"].autostart, kept(host, wanted, "web")) == (
        False, NO_RUN_MARK,
    )  # fmt: skip
    host.libvirt.domains["web"].autostart = True
    facts = host.facts(wanted)
    (take, keep) = plan_autostart(wanted, facts, ("web",), on=True).steps
    assert acts(Plan(steps=(take,))) == ["virsh metadata", "virsh autostart"]
    assert "keep its definition" in keep.what
    unknown = replace(facts, domains=())
    assert plan_autostart(wanted, unknown, ("web",), on=True).steps == ()


def test_a_word_and_the_count_of_restarts_go_with_the_next_word() -> None:
    host, wanted = site()
    domain = host.facts(wanted).domain("web")
    assert domain is not None
    counted = replace(domain, run_mark=RunMark(starts=True, restarts=3, last="x", held=True))
    facts = replace(host.facts(wanted), domains=(counted,))
    order = [step for step in plan_start(wanted, facts, ("web",)).steps if "web" in step.subject]
    first = order[0].actions[0]
    assert isinstance(first, Command)
    assert first.argv[first.argv.index("--set") + 1] == '<run starts="yes" />'
