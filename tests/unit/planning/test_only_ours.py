"""No LV without our marks is ever renamed, written, retagged or removed, whatever it is called."""

from __future__ import annotations

from fakes.files import roots_own
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kvmkeep.model.command import Command, Poll
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName, Size
from kvmkeep.planning.domains.new_name import Renaming
from kvmkeep.planning.domains.rename import plan_rename
from kvmkeep.planning.offline.copy_out import CopyOut, plan_copy_out
from kvmkeep.planning.offline.inspect import Question, plan_inspect
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create
from kvmkeep.planning.snapshots.delete import plan_delete
from kvmkeep.planning.snapshots.revert import plan_revert
from kvmkeep.planning.trash.empty import plan_empty
from kvmkeep.planning.trash.remove import Removing, plan_remove
from kvmkeep.planning.trash.remove_disk import RemovingDisk, plan_remove_disk
from kvmkeep.planning.trash.restore import TrashRestoreRequest, plan_restore
from tests.unit.planning.build import GIB
from tests.unit.planning.test_remove import FILE, MOMENT, STAMP, site

NAMES = (
    "vm-web", "vm-web-data", "vm-web-data-old", "vm-web-look", "vm-web+look", f"vm-web-{STAMP}", "vm-webs",
    f"vm-web-data-{STAMP}", f"trash-{STAMP}-vm-web", f"trash-{STAMP}-vm-web-data", "root", "home",
    f"trash-{STAMP}-root", "trash-web",
)  # fmt: skip
TAGS = (
    "kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=root", "kvmkeep.disk=data",
    f"kvmkeep.trash={STAMP}", "kvmkeep.was=vm-web", "kvmkeep.was=root", "kvmkeep.state=emptying",
    "kvmkeep.state=partial", "kvmkeep.state=look", f"kvmkeep.set={STAMP}", "kvmkeep.members=2",
    "kvmkeep.state=filling", "backup",
)  # fmt: skip
CHANGING = {"lvremove", "lvrename", "lvchange", "lvconvert", "lvextend", "blkdiscard", "qemu-img"}
HOST, SPEC = site()
FACTS = HOST.facts(SPEC)


def volume(name: str, tags: frozenset[str], origin: str, *, active: bool) -> Volume:
    return Volume(
        vg="rl_build", name=name, size=Size(GIB), tags=tuple(sorted(tags)), active=active,
        opened=False, device="253:9" if active else "", attributes="-wi-a-----", origin=origin,
    )  # fmt: skip


IN_TRASH = frozenset(TAGS[:3]) | {TAGS[4], TAGS[5]}
SNAPSHOT = frozenset(TAGS[:3]) | {f"kvmkeep.set={STAMP}", "kvmkeep.members=2"}
"""Tags of a disk in the trash, and of a snapshot: near to these it is most interesting."""


VOLUMES = st.lists(
    st.builds(
        volume,
        st.sampled_from(NAMES),
        st.builds(
            frozenset.symmetric_difference,
            st.sampled_from((IN_TRASH, SNAPSHOT, frozenset())),
            st.frozensets(st.sampled_from(TAGS), max_size=3),
        ),
        st.sampled_from(("", "", "vm-web", "root", f"trash-{STAMP}-vm-web")),
        active=st.booleans(),
    ),
    unique_by=lambda one: one.name,
    max_size=len(NAMES),
)


def plans(spec: Spec, facts: Facts) -> list[Plan]:
    name = f"web-{STAMP}"
    question = Question(name="web", asked="20261123T071034Z")
    copying = CopyOut(
        guest="web", paths=("/etc/fstab",), directory="/srv/x", largest=Size(1),
        way=roots_own("/srv/x"),
    )  # fmt: skip
    renaming = Renaming(old=GuestName("web"), new=GuestName("shop"), file=FILE, takes_identity=True)
    reading = (
        [plan_inspect(spec, facts, question, None), plan_copy_out(spec, facts, copying)]
        if spec.guests
        else []
    )
    return [
        *reading,
        make_plan(spec, facts),
        plan_remove(spec, facts, Removing(guest="web", moment=MOMENT, file=FILE, limit=9)),
        plan_remove_disk(spec, facts, RemovingDisk(guest="web", disk="data", moment=MOMENT)),
        plan_restore(spec, facts, TrashRestoreRequest(name=name, folder="/etc/kvmkeep/guests")),
        plan_empty(spec, facts, (name,)),
        plan_create(spec, facts, SnapshotRequest(guests=("web",), moment=MOMENT)),
        plan_delete(spec, facts, "web", (STAMP,)),
        plan_revert(spec, facts, "web", STAMP, 9),
        plan_start(spec, facts, ("web",)),
        plan_rename(spec, facts, renaming),
    ]


def commands(plan: Plan) -> list[Command]:
    actions = [one for step in plan.steps for one in (*step.all_actions, *step.ends)]
    inside = [one.command for one in actions if isinstance(one, Poll)]
    return [*inside, *(one for one in actions if isinstance(one, Command))]


@settings(max_examples=400, deadline=None)
@given(volumes=VOLUMES, known=st.booleans(), defined=st.booleans(), dropped=st.booleans())
def test_only_what_wears_our_mark_is_ever_changed(
    *, volumes: list[Volume], known: bool, defined: bool, dropped: bool
) -> None:
    guests = SPEC.guests if known else ()
    if known and dropped:
        guests = (replace(SPEC.guests[0], disks=SPEC.guests[0].disks[:1]),)
    wanted = replace(SPEC, guests=guests)
    facts = replace(
        FACTS, volumes=tuple(volumes), domains=FACTS.domains if defined else (),
    )  # fmt: skip
    foreign = {one.name for one in volumes if "kvmkeep" not in one.tags}
    there = {one.name: one for one in volumes}
    for plan in plans(wanted, facts):
        for command in commands(plan) if not plan.refusals else ():
            if command.argv[0] not in CHANGING:
                continue
            touched = {word.rpartition("/")[2] for word in command.argv if "rl_build/" in word}
            subject = touched if command.argv[0] != "lvrename" else {_first(command)}
            assert not subject & foreign, f"{command}"
            if command.argv[0] == "lvremove":
                demand_removable(command, there)


def test_what_wears_all_marks_is_removed_so_the_rest_is_no_wonder() -> None:
    name = f"trash-{STAMP}-vm-web"
    disk = volume(name, IN_TRASH, "", active=True)
    snapshot = volume(f"vm-web-{STAMP}", SNAPSHOT, "vm-web", active=True)
    facts = replace(FACTS, volumes=(disk, snapshot), domains=())
    removed = {
        command.argv[-1]
        for plan in plans(replace(SPEC, guests=()), facts)
        for command in commands(plan)
        if command.argv[0] == "lvremove"
    }
    assert removed == {f"rl_build/{name}", f"rl_build/vm-web-{STAMP}"}


def _first(command: Command) -> str:
    return next(word for word in command.argv if "rl_build/" in word).rpartition("/")[2]


def demand_removable(command: Command, there: dict[str, Volume]) -> None:
    """An lvremove has a full name, no force, and selects by marks that the LV wears by then."""
    program, option, select, lv = command.argv
    assert (program, option) == ("lvremove", "--select")
    assert '"kvmkeep"' in select
    assert lv.startswith("rl_build/")
    one = there.get(lv.removeprefix("rl_build/"))
    if one is None:
        return  # a snapshot that this plan has made for looking
    assert "kvmkeep" in one.tags
    in_trash = any(tag.startswith("kvmkeep.trash=") for tag in one.tags)
    assert one.origin or in_trash, command
    assert not in_trash or '"kvmkeep.trash=' in select or "look" in select
