from __future__ import annotations

import pytest
from fakes.files import roots_own
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.fittings import parse_fittings
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.planning.offline.copy_in import CopyIn, plan_copy_in
from kvmkeep.planning.offline.rewriting import OfflineChange
from tests.unit.planning.looked_into import site
from tests.unit.planning.rounds import reach

STAMP = "20261123T071034Z"
CHANGE = OfflineChange(name="web", asked=STAMP)
PATHS = ("/srv/x/hosts", "/srv/y/-new one")


def off(directory: str = "/etc", **changes: object) -> tuple[FakeHost, Spec, CopyIn]:
    host, wanted = site(running=False)
    host.lvm.volumes["vm-web"].active = False
    for path in PATHS:
        host.put(path, path.encode(), 0o600)
    files = tuple(file for path in PATHS if (file := host.look(path)))
    return host, wanted, replace(CopyIn(files=files, directory=directory), **changes)


def plan(host: FakeHost, wanted: Spec, wish: CopyIn, change: OfflineChange = CHANGE) -> Plan:
    answer = host.read(change.answer)
    known = parse_fittings(answer.decode()) if answer is not None else None
    change = replace(change, there=host.names("/srv/out"))
    return plan_copy_in(wanted, host.facts(wanted), change, wish, known)


def copy(host: FakeHost, wanted: Spec, wish: CopyIn, change: OfflineChange = CHANGE) -> list[str]:
    steps = reach(host, wanted, lambda s, _: plan(host, s, wish, change))
    return [step.what for step in steps]


def test_files_come_as_roots_and_what_was_there_is_kept() -> None:
    host, wanted, wish = off(replace=True, mode="0640")
    assert copy(host, wanted, wish)[-1] == (
        "change its disk vm-web: copy /srv/x/hosts, /srv/y/-new one to /etc in it"
    )
    tree = host.lvm.volumes["vm-web"].tree
    for path in PATHS:
        inode = tree.inodes[f"/etc/{path.rpartition('/')[2]}"]
        assert (inode.content.decode(), inode.mode, inode.uid) == (path, 0o640, 0)
    assert "old.example.org" in tree.text(f"/var/lib/kvmkeep-old/{STAMP}/etc/hosts")
    assert not [path for path in tree.inodes if ".kvmkeep-copy-in" in path]
    assert not [path for path in host.files if path.endswith(".tar")]
    assert plan(host, wanted, wish) == Plan()


def test_each_has_the_label_of_what_it_replaces_or_of_the_directory() -> None:
    host, wanted, wish = off(replace=True)
    tree = host.lvm.volumes["vm-web"].tree
    tree.relabels = False
    for path, kind in (("/etc", "etc_t"), ("/etc/hosts", "net_conf_t")):
        tree.inodes[path].label = f"system_u:object_r:{kind}:s0"
    copy(host, wanted, wish)
    assert tree.inodes["/etc/-new one"].label == "system_u:object_r:etc_t:s0"
    assert tree.inodes["/etc/hosts"].label == "system_u:object_r:net_conf_t:s0"
    assert tree.inodes[f"/var/lib/kvmkeep-old/{STAMP}/etc/hosts"].label.endswith("net_conf_t:s0")


def test_a_label_that_tar_can_not_be_told_is_refused() -> None:
    host, wanted, wish = off(replace=True)
    tree = host.lvm.volumes["vm-web"].tree
    tree.relabels = False
    tree.inodes["/etc"].label = "system_u:object_r:etc_t:s0:c1,c3"
    reach_look(host, wanted, wish)
    (refusal,) = plan(host, wanted, wish).refusals
    assert "several categories" in refusal.reason
    assert "s0:c1,c3" in refusal.reason
    assert "move it" in refusal.hint


def test_nothing_is_replaced_unless_that_is_wanted() -> None:
    host, wanted, wish = off()
    reach_look(host, wanted, wish)
    (refusal,) = plan(host, wanted, wish).refusals
    assert refusal.reason == "/etc/hosts is there already in it"
    assert "--replace" in refusal.hint


def reach_look(host: FakeHost, wanted: Spec, wish: CopyIn, change: OfflineChange = CHANGE) -> None:
    look = plan(host, wanted, wish, change).steps[0]
    for action in look.actions:
        assert host.run(action).ok  # type: ignore[arg-type]


def test_what_an_interrupted_run_has_brought_is_not_brought_again() -> None:
    host, wanted, wish = off("/root")
    copy(host, wanted, wish)
    tree = host.lvm.volumes["vm-web"].tree
    del tree.inodes["/root/hosts"]
    later = replace(CHANGE, asked="20261123T081034Z")
    copy(host, wanted, wish, later)
    pack = [call.argv for call in host.calls if call.argv[0] == "tar"][-1]
    assert [word for word in pack if word.startswith("--add-file")] == ["--add-file=hosts"]
    again = replace(CHANGE, asked="20261123T091034Z")
    assert copy(host, wanted, wish, again) == ["look into its disk vm-web"]
    other = replace(wish, mode="0600", replace=True)
    assert copy(host, wanted, other, replace(CHANGE, asked="x")) == ["look into its disk vm-web"]
    assert len(copy(host, wanted, replace(other, mode="0644"), replace(CHANGE, asked="y"))) == 2


def with_directory(**changes: object) -> tuple[FakeHost, Spec, CopyIn]:
    """Return a host with a directory that was copied in, one of whose files is another by now."""
    host, wanted, _ = off()
    host.put("/srv/site", b"", 0o755)
    host.files["/srv/site"].kind = "directory"
    host.put("/srv/site/page", b"old")
    folder = host.look("/srv/site")
    assert folder is not None
    wish = CopyIn(files=(folder,), directory="/etc")
    copy(host, wanted, wish)
    host.put("/srv/site/page", b"new")
    return host, wanted, replace(wish, **changes)


LATER = replace(CHANGE, asked="20261123T081034Z")
KEPT = f"/var/lib/kvmkeep-old/{LATER.asked}/etc/site"


def test_a_directorys_own_time_tells_nothing_of_what_is_below_it() -> None:
    host, wanted, wish = with_directory()
    tree = host.lvm.volumes["vm-web"].tree
    reach_look(host, wanted, wish, LATER)
    (refusal,) = plan(host, wanted, wish, LATER).refusals
    assert refusal.reason == "/etc/site is there already in it"
    copy(host, wanted, replace(wish, replace=True), LATER)
    assert tree.text("/etc/site/page") == "new"
    assert tree.text(f"{KEPT}/page") == "old"
    assert plan(host, wanted, wish, LATER) == Plan()


@pytest.mark.parametrize("left", range(30))
def test_a_run_that_failed_anywhere_loses_no_directory(left: int) -> None:
    host, wanted, wish = with_directory(replace=True)
    tree = host.lvm.volumes["vm-web"].tree
    reach_look(host, wanted, wish, LATER)
    (edit,) = plan(host, wanted, wish, LATER).steps
    for action in edit.actions:
        assert isinstance(action, Command)
        if "--rw" in action.argv:
            lines = action.stdin.decode().splitlines()
            tree.run("\n".join(lines[:left]), host.trees.get)
            break
        assert host.run(action).ok
    copy(host, wanted, wish, LATER)
    assert tree.text("/etc/site/page") == "new"
    assert tree.text(f"{KEPT}/page") == "old"


def test_what_was_kept_in_part_is_no_hindrance() -> None:
    host, wanted, wish = with_directory(replace=True)
    tree = host.lvm.volumes["vm-web"].tree
    tree.put(f"{KEPT}/part", "of what was kept")
    copy(host, wanted, wish, LATER)
    host.lvm.volumes["vm-web"].tags.discard(f"kvmkeep.tweak={LATER.asked}")
    copy(host, wanted, wish, LATER)
    assert tree.text(f"{KEPT}~/page") == "old"
    assert tree.text("/etc/site/page") == tree.text(f"{KEPT}~~/page") == "new"


@pytest.mark.parametrize("directory", ["/nowhere", "/etc/hosts"])
def test_a_directory_that_is_not_there_is_refused(directory: str) -> None:
    host, wanted, wish = off(directory)
    reach_look(host, wanted, wish)
    reasons = [refusal.reason for refusal in plan(host, wanted, wish).refusals]
    assert f"there is no directory {directory} in it" in reasons


def test_an_image_gets_them_in_a_copy() -> None:
    host, wanted, wish = off("/")
    way = roots_own("/srv/out")
    change = OfflineChange(name="debian", asked=STAMP, output="/srv/out/new.raw", way=way)
    copy(host, wanted, wish, change)
    assert host.trees["/srv/out/new.raw"].text("/hosts") == "/srv/x/hosts"
