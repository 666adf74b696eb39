from __future__ import annotations

import pytest
from fakes.files import anybodys, roots_own
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.command import SPARE, Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.inside import parse_inside
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.model.way import Way
from kvmkeep.planning.offline.copy_out import WORK, CopyOut, plan_copy_out
from kvmkeep.planning.offline.inspect import Question, plan_inspect
from tests.unit.planning.build import GIB
from tests.unit.planning.looked_into import ASKED, site
from tests.unit.planning.rounds import carry_out, reach


def inspect(host: FakeHost, wanted: Spec, question: Question = ASKED) -> Plan:
    answer = host.read(question.path)
    known = parse_inside(answer.decode()) if answer is not None else None
    return plan_inspect(wanted, host.facts(wanted), question, known)


def test_a_running_guest_is_looked_at_through_a_snapshot_that_goes_again() -> None:
    host, wanted = site()
    (step,) = inspect(host, wanted).steps
    carry_out(host, step)
    assert [volume.name for volume in host.lvm.volumes.values()] == ["vm-web"]
    assert [call.argv[4] for call in host.calls if "-a" in call.argv][
        -1
    ] == "/dev/rl_build/vm-web+look"
    assert inspect(host, wanted).empty
    assert host.files[ASKED.path].mode == 0o600
    # Another time is another question.
    assert not inspect(host, wanted, replace(ASKED, asked="20261123T081034Z")).empty


def test_a_guest_that_is_off_is_read_where_it_lies() -> None:
    host, wanted = site(running=False)
    host.lvm.volumes["vm-web"].active = False
    reach(host, wanted, lambda s, _: inspect(host, s))
    assert host.lvm.volumes.keys() == {"vm-web"}


def test_a_killed_look_leaves_a_snapshot_that_the_next_one_removes() -> None:
    host, wanted = site()
    (step,) = inspect(host, wanted).steps
    carry_out(host, replace(step, actions=step.actions[:1], finally_=()))
    assert host.lvm.volumes.keys() == {"vm-web", "vm-web+look"}
    first, second = inspect(host, wanted).steps
    carry_out(host, first)
    carry_out(host, second)
    assert host.lvm.volumes.keys() == {"vm-web"}


def test_what_a_look_of_an_older_version_left_goes_as_well() -> None:
    host, wanted = site()
    tags = ("kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=root", "kvmkeep.state=look")
    host.lvm.add("vm-web-look", GIB, *tags).origin = "vm-web"
    first, _ = inspect(host, wanted).steps
    carry_out(host, first)
    assert host.lvm.volumes.keys() == {"vm-web"}


def test_a_disk_called_look_is_in_nobodys_way() -> None:
    host, wanted = site()
    host.lvm.add("vm-web-look", GIB, "kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=look")
    (step,) = inspect(host, wanted).steps
    carry_out(host, step)
    assert host.lvm.volumes.keys() == {"vm-web", "vm-web-look"}


def test_a_snapshot_of_that_name_that_is_not_ours_is_neither_used_nor_removed() -> None:
    host, wanted = site()
    host.lvm.add("vm-web+look", GIB)
    assert "not a snapshot of ours" in only_reason(inspect(host, wanted))
    assert inspect(host, wanted).steps == ()


def only_reason(plan: Plan) -> str:
    (refusal,) = plan.refusals
    assert refusal.hint
    return refusal.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda host: host.libvirt.domains.clear(), "has lost its definition"),
        (lambda host: host.lvm.volumes["vm-web"].tags.add("kvmkeep.state=fresh"), "first boot"),
        (lambda host: host.lvm.volumes["vm-web"].tags.clear(), "not ours"),
        (lambda host: host.lvm.volumes.clear(), "is gone"),
        (lambda host: setattr(host.lvm.volumes["vm-web"], "merging", "x"), "being reverted"),
        (lambda host: setattr(host.lvm, "size", 15 * GIB), "needs 412 MiB of the volume group"),
    ],
)
def test_what_refuses_a_look(change: object, reason: str) -> None:
    host, wanted = site()
    change(host)  # type: ignore[operator]
    if reason.startswith("needs"):
        host.lvm.size = 14 * GIB + 100 * (1 << 20)
    assert reason in only_reason(inspect(host, wanted))


def test_an_lv_that_somebody_has_open_is_not_read_while_its_guest_is_off() -> None:
    host, wanted = site(running=False)
    host.lvm.is_open = lambda name: name == "vm-web"
    facts = host.facts(wanted)
    volumes = tuple(replace(one, opened=True) for one in facts.volumes)
    plan = plan_inspect(wanted, replace(facts, volumes=volumes), ASKED, None)
    assert "open" in only_reason(plan)


def test_a_disk_that_another_domain_has_too_is_not_read() -> None:
    host, wanted = site(running=False)
    facts = host.facts(wanted)
    other = replace(facts.domains[0], name="other", uuid="c0ffee00-0000-4000-8000-000000000001")
    plan = plan_inspect(wanted, replace(facts, domains=(*facts.domains, other)), ASKED, None)
    assert "domain other" in only_reason(plan)


def of_image(host: FakeHost, wanted: Spec) -> Plan:
    return inspect(host, wanted, Question(name="debian", asked="20261123T071034Z"))


def test_an_image_is_looked_into_as_long_as_it_is_the_same_file() -> None:
    host, wanted = site()
    (step,) = of_image(host, wanted).steps
    carry_out(host, step)
    assert of_image(host, wanted).empty
    assert step.probe is not None
    assert step.probe.argv[0] == "stat"


def test_images_that_are_not_there_or_not_what_the_spec_says_are_refused() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    question = Question(name="debian", asked="x")
    known = facts.images[0]

    def reason(facts: Facts) -> str:
        return only_reason(plan_inspect(wanted, facts, question, None))

    assert "not on this host" in reason(replace(facts, images=()))
    header = replace(known.header, format="qcow2")  # type: ignore[type-var]
    assert "qcow2, not raw" in reason(replace(facts, images=(replace(known, header=header),)))
    header = replace(known.header, refused="it has a backing file")  # type: ignore[type-var]
    assert "backing" in reason(replace(facts, images=(replace(known, header=header),)))


WISH = CopyOut(
    guest="web", paths=("/etc/fstab", "/var/log"), directory="/srv/x", largest=Size(9),
    way=roots_own("/srv/x"),
)  # fmt: skip


def test_files_are_copied_to_where_nobody_looks_then_made_harmless_then_moved() -> None:
    host, wanted = site()
    plan = plan_copy_out(wanted, host.facts(wanted), WISH)
    reach(host, wanted, lambda s, f: plan_copy_out(s, f, replace(WISH, there=host.names("/srv/x"))))
    assert host.files["/srv/x/fstab"].content == b"vm-web+look /etc/fstab"
    assert host.names("/srv/x") == ("fstab", "log")
    assert host.lvm.volumes.keys() == {"vm-web"}
    (step, *_) = plan.steps
    words = [one.argv[0] for one in step.all_actions]  # type: ignore[union-attr]
    assert words == [
        "lvcreate", "rm", "mkdir", "mkdir", "prlimit", "find", "chown", "chmod", "mv", "mv",
    ]  # fmt: skip


def test_what_is_there_is_not_copied_again_and_half_a_copy_goes() -> None:
    host, wanted = site()
    there = replace(WISH, there=("fstab", "log", WORK))
    (step,) = plan_copy_out(wanted, host.facts(wanted), there).steps
    assert step.what == f"remove /srv/x/{WORK}"
    (step,) = plan_copy_out(wanted, host.facts(wanted), replace(WISH, there=("fstab",))).steps
    assert "/etc/fstab" not in str(step.actions)


def test_nothing_is_copied_to_where_others_could_lay_links() -> None:
    host, wanted = site()
    wish = replace(WISH, way=anybodys("/srv/x"), there=(WORK,))
    plan = plan_copy_out(wanted, host.facts(wanted), wish)
    assert "others than root may write to /srv/x" in only_reason(plan)
    assert "man kvmkeep" in plan.refusals[0].hint
    assert not plan.steps
    assert not plan.unready
    unseen = replace(WISH, way=Way(path="/srv/x", error="Permission denied"))
    assert plan_copy_out(wanted, host.facts(wanted), unseen).unready


def test_what_a_guest_holds_does_not_take_the_last_room_of_the_host() -> None:
    host, wanted = site()
    wish = replace(WISH, way=replace(WISH.way, free=SPARE))
    (step,) = plan_copy_out(wanted, host.facts(wanted), wish).steps
    copy = next(one for one in step.actions if isinstance(one, Command) and "copy-out" in one.argv)
    assert copy.spares == "/srv/x"
    assert copy.meanings[0].words in "less than 512 MiB would stay free at /srv/x"
    wish = replace(WISH, way=replace(WISH.way, free=Size(SPARE.bytes - 1)))
    plan = plan_copy_out(wanted, host.facts(wanted), wish)
    assert "are free at /srv/x, of which 512 MiB stay so" in only_reason(plan)
    # What was copied before that is no reason to fail.
    assert plan_copy_out(wanted, host.facts(wanted), replace(wish, there=("fstab", "log"))).empty


def test_copying_is_refused_as_looking_is() -> None:
    host, wanted = site()
    host.libvirt.domains.clear()
    assert "has lost its definition" in only_reason(plan_copy_out(wanted, host.facts(wanted), WISH))
