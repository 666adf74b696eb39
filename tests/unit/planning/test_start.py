from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.command import Poll
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Machines, Problem
from kvmkeep.model.names import console_log
from kvmkeep.model.plan import Plan
from kvmkeep.model.run import ReadyConsole, ReadyTcp
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.poweroff import plan_poweroff
from kvmkeep.planning.running.shutdown import plan_shutdown
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.suspend_resume import plan_resume, plan_suspend
from kvmkeep.planning.running.waiting import ready
from tests.unit.planning.build import GIB, IMAGE, guest, nic, spec
from tests.unit.planning.rounds import StepError, reach


def site(**changes: object) -> tuple[FakeHost, Spec]:
    """Three running guests: web needs db, db needs dns."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(
        guest("web", needs=(GuestName("db"),), **changes),
        guest("db", needs=(GuestName("dns"),)),
        guest("dns"),
    )
    host.mounts.update(mount for one in wanted.guests for mount in one.run.mounts)
    reach(host, wanted)
    host.calls.clear()
    host.mounts.clear()
    return host, wanted


def off(host: FakeHost, *names: str) -> None:
    for name in names or host.libvirt.domains:
        host.libvirt.domains[name].live = None


def start(host: FakeHost, wanted: Spec, *names: str) -> list[str]:
    reach(host, wanted, lambda s, f: plan_start(s, f, names))
    return [call.argv[-1] for call in host.calls if call.argv[:2] == ("virsh", "start")]


def refusals(wanted: Spec, host: FakeHost, *names: str) -> str:
    return "\n".join(one.reason for one in plan_start(wanted, host.facts(wanted), names).refusals)


def test_a_guest_that_is_half_removed_or_lost_its_disk_is_not_started() -> None:
    host, wanted = site()
    off(host)
    host.lvm.volumes["vm-web"].tags.add("kvmkeep.trash=20261123T0710Z")
    del host.lvm.volumes["vm-db"]
    text = refusals(wanted, host, "web")
    assert "vm-web is on its way into the trash, or out of it" in text
    assert "but its LV rl_build/vm-db is gone" in text
    assert len(text.splitlines()) == 2


def test_guest_is_started_after_all_that_it_needs() -> None:
    host, wanted = site()
    off(host)
    assert start(host, wanted, "web") == ["dns", "db", "web"]


@pytest.mark.parametrize(
    "planner",
    [plan_start, plan_shutdown, plan_poweroff, plan_suspend, plan_resume],
)
def test_a_guest_that_is_not_seen_is_not_said_to_be_missing(planner: Callable[..., Plan]) -> None:
    host, wanted = site()
    hole = Problem(what="libvirt", reason="it is silent", hint="systemctl start libvirtd")
    plan = planner(wanted, replace(host.facts(wanted), domains=(), problems=(hole,)), ("dns",))
    assert plan.unready
    (one,) = plan.refusals
    assert (one.subject, one.reason) == ("guest dns", "it can't be seen: it is silent")
    assert one.hint == "systemctl start libvirtd"


def test_who_was_waited_for_keeps_that_it_was_ready() -> None:
    host, wanted = site()
    ready = {name: one.was_ready for name, one in host.libvirt.domains.items()}
    assert ready == {"web": True, "db": True, "dns": True}
    off(host, "dns")
    host.libvirt.domains["dns"].was_ready = False
    start(host, wanted, "dns")
    assert host.libvirt.domains["dns"].was_ready


def test_what_runs_is_left_alone() -> None:
    host, wanted = site()
    off(host, "web")
    assert start(host, wanted, "web") == ["web"]
    assert start(host, wanted, "web") == ["web"]


def test_disks_are_activated_first() -> None:
    host, wanted = site()
    off(host, "dns")
    host.lvm.volumes["vm-dns"].active = False
    assert start(host, wanted, "dns") == ["dns"]


def test_old_console_log_does_not_count_and_is_kept() -> None:
    host, wanted = site(ready=ReadyConsole(pattern="first boot done"))
    off(host, "web")
    log = console_log("web")
    host.put(f"{log}.0", b"of long ago: first boot done\n")
    with pytest.raises(StepError, match="to say so on its console"):
        start(host, wanted, "web")
    assert b"first boot done" in host.files[f"{log}.before"].content
    assert b"of long ago" in host.files[f"{log}.0.before"].content


def test_what_a_guest_has_said_counts_also_after_virtlogd_began_a_new_log() -> None:
    host, web = FakeHost(), guest("web", ready=ReadyConsole(pattern="login:"))
    (poll, *_) = ready(web)
    assert isinstance(poll, Poll)
    host.put(console_log("web"), b"a line of the new log\n")
    assert not host.run(poll.command).ok
    host.put(f"{console_log('web')}.0", b"web login:\n")
    assert host.run(poll.command).ok


def test_guest_without_static_address_is_reached_by_name() -> None:
    dhcp = (nic("web", dhcp=True, addresses=()),)
    host, wanted = site(ready=ReadyTcp(port=22), nics=dhcp)
    off(host, "web")
    start(host, wanted, "web")
    assert ("nc", "-z", "-w", "3", "web", "22") in [call.argv for call in host.calls]


def test_apply_does_not_start_what_somebody_shut_down() -> None:
    host, wanted = site()
    off(host)
    assert make_plan(wanted, host.facts(wanted)).empty


def test_names_that_can_not_be_started_are_refused_all_at_once() -> None:
    host, wanted = site()
    more = spec(*wanted.guests, guest("new"), guest("foreign"), guest("fresh"), guest("paused"))
    facts = host.facts(more)
    web = facts.domain("web")
    volume = facts.volume("rl_build", "vm-web")
    assert web is not None
    assert volume is not None
    fresh = more.guests[-2]
    facts = replace(
        facts,
        domains=(
            replace(web, name="foreign", uuid="1", ours=False),
            replace(web, name="fresh", uuid=fresh.uuid),
            replace(web, name="paused", uuid=more.guests[-1].uuid, state=DomainState.PAUSED),
        ),
        volumes=tuple(
            replace(volume, name=f"vm-{name}", tags=("kvmkeep", f"kvmkeep.guest={name}",
                                                     "kvmkeep.disk=root", *state))
            for name, state in (("fresh", ("kvmkeep.state=fresh",)), ("paused", ()))
        ),
    )  # fmt: skip
    found = plan_start(more, facts, ("new", "foreign", "fresh", "paused", "nobody"))
    text = "\n".join(f"{one.subject}: {one.reason}" for one in found.refusals)
    for one in (
        "guest new: libvirt does not know it yet",
        "guest foreign: the domain of that name is not ours",
        "guest fresh: its first boot is not done yet",
        "guest paused: it is paused",
        "guest nobody: there is no such guest in the spec",
    ):
        assert one in text


def test_a_guest_waits_for_a_mount_that_it_needs() -> None:
    host, wanted = site(mounts=("/data",))
    off(host, "web")
    assert refusals(wanted, host, "web") == "it needs /data, where nothing is mounted"
    host.mounts.add("/data")
    assert start(host, wanted, "web") == ["web"]
    assert ("mountpoint", "--quiet", "/data/") in [call.argv for call in host.calls]


def test_a_first_boot_is_refused_without_its_mount() -> None:
    host, wanted = site()
    more = spec(*wanted.guests, guest("new", mounts=("/data",)))
    assert "needs /data" in "\n".join(
        one.reason for one in make_plan(more, host.facts(more)).refusals
    )
    host.mounts.add("/data")
    assert not make_plan(more, host.facts(more)).refusals


def test_a_running_guest_is_left_alone_when_its_mount_goes() -> None:
    host, wanted = site(mounts=())
    needy = spec(guest("web", mounts=("/data",), needs=(GuestName("db"),)), *wanted.guests[1:])
    assert make_plan(needy, host.facts(needy)).empty


def test_memory_is_counted() -> None:
    host, wanted = site()
    off(host)
    for domain in host.libvirt.domains.values():
        domain.autostart = False
    host.memory = 8 * GIB
    assert refusals(wanted, host, "db") == ""
    assert "with dns, db, web, guests are promised 6 GiB" in refusals(wanted, host, "web")


def test_shutdown_goes_the_other_way_and_waits() -> None:
    host, wanted = site()
    reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("dns", "web", "db"), 60))
    asked = [call.argv[-1] for call in host.calls if call.argv[:2] == ("virsh", "shutdown")]
    assert asked == ["web", "db", "dns"]
    assert {domain.state for domain in host.libvirt.domains.values()} == {"shut off"}


def test_each_guest_has_its_own_time_to_shut_down() -> None:
    host, wanted = site(stop_timeout=42)
    (step,) = plan_shutdown(wanted, host.facts(wanted), ("web",)).steps
    assert [action.limit for action in step.actions if isinstance(action, Poll)] == [42.0]
    (step,) = plan_shutdown(wanted, host.facts(wanted), ("web",), 7).steps
    assert [action.limit for action in step.actions if isinstance(action, Poll)] == [7.0]


def test_guest_that_does_not_listen_is_not_forced() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].ignores_shutdown = True
    with pytest.raises(StepError, match="guest web to shut down"):
        reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("web",), 60))
    assert host.libvirt.domains["web"].state == "running"


def test_shutdown_tells_who_still_needs_it_and_refuses_strangers() -> None:
    host, wanted = site()
    found = plan_shutdown(wanted, host.facts(wanted), ("db", "nobody"), 60)
    assert [(note.subject, note.text) for note in found.notes] == [
        ("guest web", "it goes on running, and needs db")
    ]
    assert [one.subject for one in found.refusals] == ["guest nobody"]
    off(host)
    (step,) = plan_shutdown(wanted, host.facts(wanted), ("db",), 60).steps
    assert step.what == "remember that it is to stay off"
    reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("db",), 60))
    new = spec(guest("new"))
    assert plan_shutdown(new, host.facts(new), ("new",), 60).refusals


def test_a_machine_type_that_qemu_has_no_more_is_told_before_the_start() -> None:
    host, wanted = site()
    off(host, "web")
    facts = host.facts(wanted)
    machines = (Machines(arch="x86_64", names=("pc", "pc-q35-7.2", "q35")),)
    assert plan_start(wanted, replace(facts, machines=machines), ("web",)).notes == ()
    web = next(one for one in facts.domains if one.name == "web")
    assert (web.arch, web.machine) == ("x86_64", "q35")
    for old, new in (("pc-q35-2.4", "q35"), ("pc-i440fx-2.1", "pc")):
        gone = tuple(
            replace(one, machine=old) if one.name == "web" else one for one in facts.domains
        )
        (note,) = plan_start(
            wanted, replace(facts, domains=gone, machines=machines), ("web",)
        ).notes
        assert note.text.startswith(
            f"QEMU here does not know its machine type {old}, so its start fails; virsh edit web: "
            f"machine='{new}' in the place of '{old}'"
        )
