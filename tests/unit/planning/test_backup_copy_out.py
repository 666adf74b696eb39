from __future__ import annotations

import pytest
from fakes.files import anybodys
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.planning.backups.copy_out import plan_copy_out_of
from kvmkeep.planning.backups.fetch import Subject
from kvmkeep.planning.offline.copy_out import CopyOut
from kvmkeep.planning.running.watch import plan_look_after
from tests.unit.planning.build import GIB
from tests.unit.planning.proven import site_with_backup
from tests.unit.planning.rounds import StepError, carry_out, reach


def planner(host: FakeHost, subject: Subject):  # noqa: ANN201 - a planner
    def plan(site: Spec, facts: Facts) -> Plan:
        wish = CopyOut(
            guest="web", paths=("/etc/fstab", "/srv/shop"), directory="/root/back",
            largest=Size(8 * GIB), there=host.names("/root/back"),
            way=host.way("/root/back"),
        )  # fmt: skip
        return plan_copy_out_of(site, facts, subject, wish)

    return plan


def left(host: FakeHost) -> list[str]:
    found = [*host.proof.services, *(one for one in host.mounts if "copy" in one)]
    return found + [path for path in host.files if "/copy/" in path or "/.kvmkeep" in path]


def test_files_come_out_and_nothing_is_left_of_the_repository() -> None:
    host, site, subject = site_with_backup()
    before = dict(host.lvm.volumes)
    reach(host, site, planner(host, subject))
    assert host.names("/root/back") == ("fstab", "shop")
    assert b"/ids/0000" in host.files["/root/back/fstab"].content
    assert left(host) == []
    assert host.lvm.volumes == before
    places = [one.argv[2:5] for one in host.calls if "--mode=0710" in one.argv]
    assert places == [("--mode=0710", "--owner=0", "--group=0")]


@pytest.mark.parametrize("kind", ["link", "device"])
def test_a_disk_in_the_repository_that_is_none_is_not_read(kind: str) -> None:
    host, site, subject = site_with_backup()
    path = f"/run/kvmkeep/copy/web/repository/ids/{subject.manifest.disks[1].object}/web-data.raw"
    (host.links if kind == "link" else host.devices).update({path: "/dev/sda"})
    (step,) = planner(host, subject)(site, host.facts(site)).steps
    with pytest.raises(StepError):
        carry_out(host, step)
    assert not [one for one in host.calls if path in one.argv and "guestfish" in one.argv]
    assert left(host) == []


def test_a_killed_copy_is_begun_anew() -> None:
    host, site, subject = site_with_backup()
    (step,) = planner(host, subject)(site, host.facts(site)).steps
    host.proof.services["kvmkeep-copy-web.service"] = ("restic", "mount", "/x")
    host.put("/root/back/.kvmkeep-copy-out/fstab", b"half")
    carry_out(host, step)
    assert host.names("/root/back") == ("fstab", "shop")
    assert left(host) == []
    assert planner(host, subject)(site, host.facts(site)).empty


@pytest.mark.parametrize("whose", ["the same once more", "the watch"])
def test_what_one_left_that_was_killed_in_the_end_is_taken_away(whose: str) -> None:
    host, site, subject = site_with_backup()
    (step,) = planner(host, subject)(site, host.facts(site)).steps
    carry_out(host, replace(step, finally_=()))
    host.put("/var/lib/kvmkeep/restore/root.raw/root.blocks", b"of another one")
    assert "kvmkeep-copy-web.service" in left(host)
    again = plan_look_after if whose == "the watch" else planner(host, subject)
    steps = reach(host, site, again)
    assert [one.what for one in steps] == [
        "remove /run/kvmkeep/copy/web", "remove /var/lib/kvmkeep/restore/root.raw",
    ]  # fmt: skip
    work = "/root/back/.kvmkeep-copy-out"
    assert [one for one in left(host) if not one.startswith(work)] == []
    assert not [path for path in host.files if "/kvmkeep/copy/" in path or "/restore/" in path]


def test_of_one_that_had_copied_all_only_its_place_is_removed() -> None:
    host, site, subject = site_with_backup()
    for name in ("fstab", "shop", ".kvmkeep-copy-out/more"):
        host.put(f"/root/back/{name}", b"there")
    (step,) = reach(host, site, planner(host, subject))
    assert step.what == "remove /root/back/.kvmkeep-copy-out"
    assert host.names("/root/back") == ("fstab", "shop")


def test_nothing_is_copied_to_where_others_could_lay_links() -> None:
    host, site, subject = site_with_backup()
    host.ways["/root/back"] = anybodys("/root/back")
    plan = planner(host, subject)(site, host.facts(site))
    assert [one.subject for one in plan.refusals] == [f"backup web@{subject.entry.moment}"]
    assert not plan.steps


def test_what_can_not_be_read_leaves_nothing() -> None:
    host, site, subject = site_with_backup()
    host.proof.repository.objects = {}
    with pytest.raises(StepError, match="guestfish"):
        reach(host, site, planner(host, subject))
    assert host.names("/root/back") == ()
    assert left(host) == []


def test_a_program_that_is_missing_is_told() -> None:
    host, site, subject = site_with_backup()
    host.tools["fusermount3"] = ""
    plan = planner(host, subject)(site, host.facts(site))
    assert [one.subject for one in plan.refusals] == ["program fusermount3"]
