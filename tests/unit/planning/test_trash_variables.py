"""The variables of a guest's firmware go into the trash with it, and come back with it."""

from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.facts import Variables
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning.domains.new_name import Renaming
from kvmkeep.planning.domains.rename import plan_rename
from kvmkeep.planning.domains.xml import BASE
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.trash.empty import plan_empty
from kvmkeep.planning.trash.remove import Removing, plan_remove
from kvmkeep.planning.trash.restore import TrashRestoreRequest, plan_restore
from tests.unit.planning.build import GIB, IMAGE, guest, nic, spec
from tests.unit.planning.rounds import StepError, carry_out, reach
from tests.unit.planning.test_remove import FOLDER, MOMENT, STAMP, WEB, told

GUESTS = "/etc/kvmkeep/guests"
NAME = f"web-{STAMP}"
PLACE = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"
COPY = f"{FOLDER}/nvram.fd"


def uefi(path: str = "/var/lib/libvirt/qemu/nvram/%CHANGEME-VM-NAME%_VARS.fd") -> str:
    """Return a template with UEFI."""
    loader = "<loader type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>"
    return BASE.replace("<os>", f"<os>{loader}<nvram>{path}</nvram>")


def site(template: str = "", *, place: str = PLACE) -> tuple[FakeHost, Spec]:
    """Return a host with the guest web, which is off and has stored something in its variables."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(WEB, template=template or uefi())
    reach(host, wanted)
    host.libvirt.domains["web"].live = None
    host.put(f"{GUESTS}/web.yaml", b"image: debian\n")
    host.put(place, b"of web", 0o600)
    return host, wanted


def removes(host: FakeHost, wanted: Spec, name: str = "web", **changes: object) -> Plan:
    facts = replace(host.facts(wanted), **changes)
    file = f"{GUESTS}/{name}.yaml"
    known = file in host.files
    asked = Removing(guest=name, moment=MOMENT, file=file if known else "")
    return plan_remove(wanted if known else without(wanted, name), facts, asked)


def without(wanted: Spec, name: str = "web") -> Spec:
    return replace(wanted, guests=tuple(one for one in wanted.guests if one.name != name))


def removed(host: FakeHost, wanted: Spec, name: str = "web") -> Spec:
    for step in removes(host, wanted, name).steps:
        carry_out(host, step)
    return without(wanted, name)


def restores(host: FakeHost, wanted: Spec, name: str = NAME, **changes: object) -> Plan:
    facts = replace(host.facts(wanted), **changes)
    return plan_restore(wanted, facts, TrashRestoreRequest(name=name, folder=GUESTS))


def restored(host: FakeHost, wanted: Spec, name: str = NAME) -> None:
    plan = restores(host, wanted, name)
    assert plan.refusals == ()
    for step in plan.steps:
        carry_out(host, step)


def older(host: FakeHost, wanted: Spec) -> Spec:
    """Remove web as it was done before: the file stays in its place."""
    after = removed(host, wanted)
    host.files[PLACE] = host.files.pop(COPY)
    return after


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (uefi(), PLACE),
        (uefi("/srv/firmware/%CHANGEME-VM-NAME%.fd"), "/srv/firmware/web.fd"),
        (uefi("<source file='/srv/%CHANGEME-VM-NAME%.fd'/>"), "/srv/web.fd"),
        (BASE.replace("<os>", "<os firmware='efi'>"), PLACE),
    ],
)
def test_they_lie_in_the_trash_and_come_back_from_there(template: str, path: str) -> None:
    host, wanted = site(template, place=path)
    after = removed(host, wanted)
    assert path not in host.files
    assert (host.files[COPY].content, host.files[COPY].mode) == (b"of web", 0o600)
    ran = [str(one) for step in restores(host, after).steps for one in step.actions]
    synced = next(line.split() for line in ran if line.startswith("sync --file-system "))
    assert synced[3:] == [GUESTS, "/root/kvm", path.rpartition("/")[0]]
    assert ran.index(" ".join(synced)) + 1 == ran.index(f"rm --recursive --force -- {FOLDER}")
    restored(host, after)
    assert (host.files[path].content, host.files[path].mode) == (b"of web", 0o600)
    assert host.names("/var/lib/kvmkeep/trash") == ()
    assert make_plan(wanted, host.facts(wanted)).empty
    assert [one for one in host.files if one.endswith(".part")] == []


def test_they_are_on_the_disks_before_libvirt_takes_the_file_away() -> None:
    host, wanted = site()
    (step,) = (one for one in removes(host, wanted).steps if "undefine" in one.what)
    kept = "its definition and its firmware's variables"
    assert step.what == f"undefine it, and keep {kept} in {FOLDER}"
    assert [str(one) for one in step.actions][-7:] == [
        f"rm --force -- {COPY}.part",
        f"cp --archive --no-target-directory -- {PLACE} {COPY}.part",
        f"sync -- {COPY}.part",
        f"mv --no-target-directory -- {COPY}.part {COPY}",
        f"sync -- {FOLDER}",
        "virsh domstate -- web",
        f"virsh undefine --nvram -- {WEB.uuid}",
    ]


def test_a_copy_that_fails_destroys_nothing() -> None:
    host, wanted = site()
    plan = removes(host, wanted)
    del host.files[PLACE]
    carry_out(host, plan.steps[0])
    with pytest.raises(StepError, match="cp --archive"):
        carry_out(host, plan.steps[1])
    assert "web" in host.libvirt.domains


def test_a_new_guest_of_the_name_begins_with_new_ones_and_each_keeps_its_own() -> None:
    host, wanted = site()
    removed(host, wanted)
    reach(host, wanted)
    assert host.read(PLACE) == b"new variables"
    assert host.read(COPY) == b"of web"
    host.libvirt.domains["web"].live = None
    refused = told(restores(host, wanted))
    assert any(
        f"the domain web has the variables of its firmware in {PLACE}" in one for one in refused
    )
    host.put(f"{GUESTS}/web.yaml", b"image: debian\n")
    later = Removing(guest="web", moment="2026-11-24T07:10:00+00:00", file=f"{GUESTS}/web.yaml")
    for step in plan_remove(wanted, host.facts(wanted), later).steps:
        carry_out(host, step)
    restored(host, without(wanted))
    assert host.read(PLACE) == b"of web"
    assert host.read("/var/lib/kvmkeep/trash/web-20261124T0710Z/nvram.fd") == b"new variables"


def test_a_guest_that_was_never_started_has_none_yet() -> None:
    host, wanted = site()
    del host.files[PLACE]
    (step,) = (one for one in removes(host, wanted).steps if "undefine" in one.what)
    # One that came to be meanwhile was not copied.
    assert str(step.actions[-1]) == f"virsh undefine --keep-nvram -- {WEB.uuid}"
    after = removed(host, wanted)
    assert "nvram.fd" not in host.names(FOLDER)
    restored(host, after)
    assert PLACE not in host.files
    assert host.libvirt.domains["web"].xml.findtext("os/nvram") == PLACE


def test_what_is_no_plain_file_stays_and_is_told() -> None:
    host, wanted = site()
    host.files[PLACE].kind = "symlink"
    plan = removes(host, wanted)
    assert [one.text for one in plan.notes] == [
        f"the variables of its firmware stay in {PLACE}: that is no plain file, but a symlink"
    ]
    removed(host, wanted)
    assert host.read(PLACE) == b"of web"


def test_what_another_domain_has_as_well_stays_and_is_told() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    (web,) = facts.domains
    app = replace(web, name="app", uuid="c0ffee", disks=(), ours=False)
    plan = removes(host, wanted, domains=(app, web))
    assert [one.text for one in plan.notes] == [
        f"the variables of its firmware stay in {PLACE}: the domain app has them as well"
    ]
    assert any("--keep-nvram" in str(one) for step in plan.steps for one in step.actions)


def test_what_can_not_be_seen_refuses_a_removal_and_a_return_of_its_own_guest_alone() -> None:
    host, wanted = site()
    hole = (Variables(path=PLACE, problem="it did not answer in time"),)
    plan = removes(host, wanted, variables=hole)
    assert plan.unready
    assert told(plan) == [
        f"the variables of its firmware, {PLACE}, can't be seen: it did not answer in time "
        f"(look at it: ls -l {PLACE})"
    ]
    assert make_plan(wanted, replace(host.facts(wanted), variables=hole)).empty
    after = removed(host, wanted)
    plan = restores(host, after, variables=hole)
    assert plan.unready
    assert "it did not answer in time" in told(plan)[0]


def test_a_renamed_guest_takes_the_file_of_its_old_name_along() -> None:
    host, wanted = site()
    names = Renaming(
        old=GuestName("web"), new=GuestName("shop"), file=f"{GUESTS}/web.yaml", takes_identity=True
    )
    for step in plan_rename(wanted, host.facts(wanted), names).steps:
        carry_out(host, step)
    shop = replace(guest("shop", data=GIB), identity=GuestName("web"), uuid=WEB.uuid, nics=WEB.nics)
    renamed = replace(wanted, guests=(shop,))
    after = removed(host, renamed, "shop")
    assert PLACE not in host.files
    entry = f"shop-{STAMP}"
    assert host.read(f"/var/lib/kvmkeep/trash/{entry}/nvram.fd") == b"of web"
    new = guest("web", identity=GuestName("new"), uuid=guest("new").uuid, nics=(nic("new", 7),))
    both = replace(after, guests=(new,))
    reach(host, both)
    assert host.read(PLACE) == b"new variables"
    (reason,) = told(restores(host, both, entry))
    assert f"the domain web has the variables of its firmware in {PLACE}" in reason
    assert "virsh edit web" in reason
    host.libvirt.domains.clear()
    del host.files[PLACE]
    host.lvm.volumes = {k: v for k, v in host.lvm.volumes.items() if "trash" in k}
    restored(host, after, entry)
    assert host.read(PLACE) == b"of web"


def test_a_file_that_lies_there_now_is_another_s() -> None:
    host, wanted = site()
    after = removed(host, wanted)
    host.put(PLACE, b"of who knows whom")
    assert told(restores(host, after)) == [
        f"there is a file {PLACE} now, where the variables of its firmware are to lie "
        f"(if nobody needs it, move it away: mv {PLACE} {PLACE}.old)"
    ]
    host.put(PLACE, b"OF WEB")
    assert len(told(restores(host, after))) == 1
    del host.files[PLACE]
    plan = restores(host, after)
    host.put(PLACE, b"came meanwhile")
    (step,) = (one for one in plan.steps if "variables" in one.what)
    with pytest.raises(StepError, match="test"):
        carry_out(host, step)
    assert host.read(PLACE) == b"came meanwhile"


@pytest.mark.parametrize("again", ["restore", "remove"])
def test_a_return_that_was_stopped_before_the_definition_goes_on_or_back(again: str) -> None:
    host, wanted = site()
    after = removed(host, wanted)
    for step in restores(host, after).steps[:3]:
        carry_out(host, step)
    assert host.read(PLACE) == b"of web"
    assert "web" not in host.libvirt.domains
    if again == "restore":
        restored(host, after)
        assert host.read(PLACE) == b"of web"
        assert make_plan(wanted, host.facts(wanted)).empty
    else:
        removed(host, wanted)
        assert PLACE not in host.files
        assert host.read(COPY) == b"of web"
        assert removes(host, wanted) == Plan()


@pytest.mark.parametrize("again", ["restore", "remove"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_removal_that_was_stopped_before_the_definition_went_loses_none(
    *, gone: bool, again: str
) -> None:
    """Libvirt takes the file away before the definition."""
    host, wanted = site()
    plan = removes(host, wanted)
    carry_out(host, plan.steps[0])
    carry_out(host, replace(plan.steps[1], actions=plan.steps[1].actions[:-1]))
    assert "web" in host.libvirt.domains
    if gone:
        del host.files[PLACE]
    if again == "restore":
        restored(host, wanted)
        assert host.read(PLACE) == b"of web"
        assert host.names("/var/lib/kvmkeep/trash") == ()
    else:
        removed(host, wanted)
        assert host.read(COPY) == b"of web"
        assert PLACE not in host.files


def test_an_older_entry_whose_file_stayed_in_its_place_comes_back_as_before() -> None:
    host, wanted = site()
    after = older(host, wanted)
    plan = restores(host, after)
    assert not any("variables" in one.what for one in plan.steps)
    restored(host, after)
    assert host.read(PLACE) == b"of web"
    assert make_plan(wanted, host.facts(wanted)).empty


def test_an_older_entry_does_not_mind_the_file_of_a_later_one() -> None:
    host, wanted = site()
    after = older(host, wanted)
    (folder,) = host.facts(after).trash
    later = replace(folder, name="web-20261124T0710Z", files=(*folder.files, "nvram.fd"))
    there = (Variables(path=PLACE, file=host.look(PLACE)),)
    assert told(restores(host, after, trash=(folder, later), variables=there)) == []


def test_they_are_emptied_with_the_rest() -> None:
    host, wanted = site()
    after = removed(host, wanted)
    reach(host, after, lambda s, f: plan_empty(s, f, (NAME,)))
    assert [path for path in host.files if "nvram" in path] == []
