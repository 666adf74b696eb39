from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_interface

import pytest
from fakes.guestfish import debian
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.facts import Facts
from kvmkeep.model.inside import Renderer
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import FileDisk, FirstBoot, Guest, Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.planning.clones.clone import Cloning, plan_clone, uncloneable
from kvmkeep.planning.clones.origin import Wanted
from kvmkeep.planning.first_boot.network_files import network_files
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create
from tests.unit.planning.build import GIB, IMAGE, guest, nic, spec
from tests.unit.planning.rounds import carry_out, reach

MOMENT = "2026-11-23T07:10:34+00:00"
SET = "20261123T0710Z"
FILE = "/etc/kvmkeep/guests/copy.yaml"
WEB = guest(data=GIB)
COPY = guest("copy", data=GIB, nics=(nic("copy", addresses=(ip_interface("10.223.0.99/24"),)),))

BOTH = spec(COPY, WEB)


def site(web: Guest = WEB) -> FakeHost:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(web))
    host.libvirt.domains["web"].agent = True
    return host


def off(host: FakeHost) -> FakeHost:
    host.libvirt.domains["web"].end()
    return host


def cloning(clone: Guest = COPY, **wanted: object) -> Cloning:
    return Cloning(
        source=GuestName("web"), clone=clone, file=FILE, content=b"image: debian\n",
        wanted=replace(Wanted(moment=MOMENT), **wanted),
    )  # fmt: skip


def planner(host: FakeHost, web: Guest = WEB, **wanted: object) -> Callable[[Spec, Facts], Plan]:
    """Plan with the spec as it then is: the clone is in it once its file is there."""

    def plan(_: Spec, facts: Facts) -> Plan:
        now = spec(COPY, web) if FILE in host.files else spec(web)
        return plan_clone(now, facts, cloning(**wanted))

    return plan


def planned(host: FakeHost, wanted: Spec | None = None, **changes: object) -> Plan:
    wanted = wanted or spec(WEB)
    return plan_clone(wanted, replace(host.facts(wanted), **changes), cloning())


def reasons(plan: Plan) -> list[str]:
    return [refusal.reason for refusal in plan.refusals]


def commands(plan: Plan) -> list[str]:
    return [
        str(action)
        for step in plan.steps
        for action in (*step.all_actions, *step.ends)
        if isinstance(action, Command)
    ]


def test_a_running_guest_is_copied_through_a_set_that_is_deleted_again() -> None:
    host = site()
    before = host.libvirt.domains["web"].boots
    reach(host, BOTH, planner(host))
    web, copy = host.libvirt.domains["web"], host.libvirt.domains["copy"]
    assert (web.state, web.boots, web.frozen, copy.state) == ("running", before, False, "running")
    assert not [volume for volume in host.lvm.volumes.values() if volume.origin]
    root = host.lvm.volumes["vm-copy"]
    assert (root.holds, root.instance) == (host.lvm.volumes["vm-web"].holds, COPY.uuid)
    assert root.tags == {
        "kvmkeep", "kvmkeep.guest=copy", "kvmkeep.disk=root", "kvmkeep.clone=web",
    }  # fmt: skip
    assert root.stale == host.lvm.volumes["vm-copy-data"].stale == []
    assert host.files[FILE].content == b"image: debian\n"
    assert make_plan(spec(COPY, WEB), host.facts(spec(COPY, WEB))).empty


def test_a_guest_that_is_off_is_copied_as_it_is() -> None:
    host = off(site())
    host.lvm.volumes["vm-web"].active = False
    plan = planner(host)(spec(WEB), host.facts(spec(WEB)))
    assert not [line for line in commands(plan) if "--snapshot" in line]
    states = [line for line in commands(plan) if line == "virsh domstate -- web"]
    assert len(states) == 2
    reach(host, BOTH, planner(host))
    assert host.libvirt.domains["web"].state == "shut off"
    assert host.lvm.volumes["vm-copy"].instance == COPY.uuid


def test_a_set_is_copied_and_stays() -> None:
    host = site()
    reach(
        host,
        spec(WEB),
        lambda s, f: plan_create(s, f, SnapshotRequest(guests=("web",), moment=MOMENT)),
    )
    host.lvm.volumes["vm-web"].holds = b"newer"
    host.lvm.volumes[f"vm-web-{SET}"].active = False
    reach(host, BOTH, planner(host, from_set=SET))
    assert host.lvm.volumes["vm-copy"].holds in host.images
    assert len([volume for volume in host.lvm.volumes.values() if volume.origin]) == 2


DEBIAN_INTERFACES = "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n"


def identity(host: FakeHost) -> str:
    """Return the script that makes the copy another machine."""
    (script,) = {
        action.stdin.decode()
        for step in planned(host).steps
        for action in step.actions
        if isinstance(action, Command) and b"machine-id" in action.stdin
    }
    return script


@pytest.mark.parametrize(
    "interfaces", ["", "auto eth0\niface eth0 inet static\n  address 10.223.0.20/24\n" * 9]
)
@pytest.mark.parametrize("renderer", list(Renderer))
def test_a_clone_of_a_guest_whose_network_was_set_from_outside_gets_its_own(
    renderer: Renderer, interfaces: str
) -> None:
    tree = debian()
    if interfaces:
        tree.put("/etc/network/interfaces", interfaces)
    tree.make("/etc/network")
    for name in ("network", "hostname"):
        tree.put(f"/etc/cloud/cloud.cfg.d/99-zz-kvmkeep-{name}.cfg")
    for file in network_files(renderer, WEB.nics):
        tree.put(file.path, file.content)
    assert tree.run(identity(site()), lambda _: None) == ""
    assert tree.below("/etc/cloud/cloud.cfg.d")[1:] == ["/etc/cloud/cloud.cfg.d/99-zz-kvmkeep.cfg"]
    addressed = [
        path
        for path, inode in tree.inodes.items()
        if str(WEB.nics[0].addresses[0].ip).encode() in inode.content
    ]
    assert addressed == []
    if interfaces or renderer is Renderer.IFUPDOWN:
        assert tree.text("/etc/network/interfaces") == DEBIAN_INTERFACES
    else:
        assert tree.below("/etc/network") == ["/etc/network"]


def test_a_clone_of_el_keeps_no_interface_but_the_loopback() -> None:
    tree, folder = debian(), "/etc/sysconfig/network-scripts"
    for name in ("ifcfg-eth0", "ifcfg-lan0", "ifcfg-lo", "route-eth0", "route6-eth0", "rule-eth0"):
        tree.put(f"{folder}/{name}")
    tree.put("/etc/NetworkManager/conf.d/99-cloud-init.conf", "[main]\ndns = none\n")
    assert tree.run(identity(site()), lambda _: None) == ""
    assert tree.below(folder) == [folder, f"{folder}/ifcfg-lo"]
    assert "/etc/NetworkManager/conf.d/99-cloud-init.conf" not in tree.inodes


def test_addresses_that_are_left_in_a_clone_are_told() -> None:
    lines = identity(site()).splitlines()
    (last,) = [line for line in lines if "grep" in line]
    assert last == '-grep "^[^#]*address" /etc/network/interfaces'
    assert lines.index(last) < lines.index('echo "kvmkeep: done"')


def test_sets_that_are_no_good() -> None:
    host = site()
    wish = SnapshotRequest(guests=("web",), moment=MOMENT)
    reach(host, spec(WEB), lambda s, f: plan_create(s, f, wish))

    def told(name: str) -> list[str]:
        plan = plan_clone(spec(WEB), host.facts(spec(WEB)), cloning(from_set=name))
        return reasons(plan)

    assert told("x") == ["it has no set x"]
    host.lvm.volumes[f"vm-web-{SET}"].origin = "vm-other"
    assert told(SET) == [f"the set {SET} is not of all its disks"]
    host.lvm.volumes[f"vm-web-{SET}"].invalid = True
    assert told(SET) == [f"the set {SET} is no good: invalid"]


def test_the_seed_needs_no_image_and_formats_nothing() -> None:
    text = '{"disk_setup":{"/dev/vdb":{}},"fs_setup":[{}],"packages":["vim"]}'
    host = site()
    del host.files[IMAGE.source]
    facts = host.facts(spec(WEB))
    clone = cloning(replace(COPY, user_data=text))
    plan = plan_clone(spec(WEB), facts, clone)
    assert plan.refusals == ()
    files = [a for step in plan.steps for a in step.actions if isinstance(a, WriteFile)]
    (seed,) = [file.content.decode() for file in files if file.path.endswith("user_data")]
    assert '"vim"' in seed
    assert '"disk_setup": null' in seed
    assert "fs_setup" in seed
    assert "/dev/vdb" not in seed
    (spec_file,) = [file for file in files if file.path == FILE]
    assert spec_file.secret


def test_what_is_larger_than_its_copy_is_zeroed_behind_it() -> None:
    host = off(site())
    host.lvm.volumes["vm-web-data"].size += 5 << 20
    larger = replace(COPY, disks=(replace(COPY.root, size=Size(8 * GIB)), COPY.disks[1]))
    plan = plan_clone(spec(WEB), host.facts(spec(WEB)), cloning(larger))
    made = [line.split() for line in commands(plan) if line.startswith("lvcreate")]
    sizes = [words[words.index("--size") + 1] for words in made]
    assert sizes == [f"{8 * GIB}b", f"{GIB + (8 << 20)}b"]
    assert [line for line in commands(plan) if line.startswith("blkdiscard")] == [
        f"blkdiscard --zeroout --offset {4 * GIB} --length {4 * GIB} -- /dev/rl_build/vm-copy",
        f"blkdiscard --zeroout --offset {GIB + (5 << 20)} --length {3 << 20} -- "
        "/dev/rl_build/vm-copy-data",
    ]


def test_names_that_can_be_no_clone() -> None:
    host = site()
    plan = plan_clone(spec(guest("db")), host.facts(spec(WEB)), cloning())
    assert reasons(plan) == ["there is no guest of that name in the spec"]
    assert reasons(plan_clone(spec(WEB), host.facts(spec(WEB)), cloning(WEB))) == [
        "it can't be a clone of itself"
    ]
    other = guest("copy")
    reach(host, spec(WEB, other))
    assert reasons(planned(host, spec(WEB, other))) == [
        "there is a guest of that name, which is no clone",
        "the LV rl_build/vm-copy exists already",
        "it has no disk data, which web has",
    ]
    assert "there is a domain of that name" in reasons(planned(host))
    assert "the LV rl_build/vm-copy exists already" in reasons(planned(host))


def test_a_spec_that_has_the_clone_already_counts() -> None:
    host = site()
    wanted = spec(replace(COPY, memory=Size(3 * GIB)), WEB)
    plan = planned(host, wanted)
    assert plan.refusals == ()
    assert not [step for step in plan.steps if FILE in step.what]
    small = replace(COPY, disks=(COPY.root, replace(COPY.disks[1], size=Size(1 << 20))))
    assert reasons(planned(host, spec(small, WEB))) == ["its disk data is smaller than vm-web-data"]


def test_a_run_that_was_killed_begins_again_and_nothing_else_fills_its_disks() -> None:
    host = site()
    steps = planned(host).steps
    for step in steps[:2]:
        carry_out(host, step)
    host.lvm.volumes["vm-copy-data"].tags.discard("kvmkeep.state=filling")
    plan = planned(host)
    assert plan.steps[0].what == "mark rl_build/vm-copy-data as not complete"
    apply = make_plan(spec(COPY, WEB), host.facts(spec(COPY, WEB)))
    assert reasons(apply) == [
        "rl_build/vm-copy is to become a copy of web's disk, and is not complete"
    ]
    host.lvm.volumes["vm-copy"].active = False
    reach(host, BOTH, planner(host))


def test_copies_that_will_not_do() -> None:
    host = off(site())
    for step in planned(host).steps[:2]:
        carry_out(host, step)
    host.lvm.volumes["vm-web"].size += 4 << 20
    facts = host.facts(spec(WEB))
    volumes = tuple(replace(v, opened=v.name == "vm-copy-data") for v in facts.volumes)
    assert reasons(planned(host, volumes=volumes)) == [
        "rl_build/vm-copy is smaller than vm-web, which was grown since",
        "something has rl_build/vm-copy-data open",
    ]


def test_sets_that_killed_runs_have_left_are_deleted() -> None:
    host = site()
    wish = SnapshotRequest(guests=("web",), moment="2026-11-22T07:10:34+00:00", new_guest="copy")
    reach(host, spec(WEB), lambda s, f: plan_create(s, f, wish))
    kept = SnapshotRequest(guests=("web",), moment="2026-11-21T07:10:34+00:00", new_guest="other")
    reach(host, spec(WEB), lambda s, f: plan_create(s, f, kept))
    reach(host, BOTH, planner(host))
    left = {volume.name for volume in host.lvm.volumes.values() if volume.origin}
    assert left == {"vm-web-20261121T0710Z", "vm-web-data-20261121T0710Z"}
    reach(host, spec(WEB), lambda s, f: plan_create(s, f, wish))
    reach(host, BOTH, planner(host))
    assert {volume.name for volume in host.lvm.volumes.values() if volume.origin} == left


def test_guests_that_can_not_be_cloned() -> None:
    host = site()
    facts = host.facts(spec(WEB))
    assert reasons(planned(host, domains=())) == ["libvirt does not know it yet"]
    root = host.lvm.volumes["vm-web"]
    root.tags.add("kvmkeep.state=fresh")
    assert reasons(planned(host)) == ["its first boot is not done yet"]
    root.tags = (root.tags - {"kvmkeep.state=fresh"}) | {f"kvmkeep.revert={SET}"}
    assert reasons(planned(host)) == ["vm-web is being reverted to a snapshot"]
    hint = f"finish that: kvmkeep snapshot revert web {SET}"
    assert planned(host).refusals[0].hint == hint
    volumes = tuple(replace(v, merging=v.name == "vm-web-data") for v in facts.volumes)
    assert "wait until" in planned(host, volumes=volumes).refusals[0].hint
    plain = replace(WEB, first_boot=FirstBoot.NONE)
    assert reasons(planned(host, spec(plain), volumes=facts.volumes)) == [
        "no seed would give the clone its own name and addresses (`first_boot: none`)"
    ]
    file = FileDisk(name=Label("logs"), path="/data/x.img", mount="/data", size=Size(GIB))
    other = replace(plain, adopted=True, disks=(*WEB.disks, file))
    assert [one.reason for one in uncloneable(other)] == [
        "no seed would give the clone its own name and addresses (it was taken over)",
        "its disk logs is the file /data/x.img: only LVs are cloned",
    ]


def test_a_disk_that_is_only_in_the_spec_is_made_empty() -> None:
    host = site(guest())
    plan = planned(host)
    assert "zero /dev/rl_build/vm-copy-data (1 GiB)" in [step.what for step in plan.steps]


def test_guests_that_are_off_and_in_use() -> None:
    host = off(site())
    facts = host.facts(spec(WEB))
    volumes = tuple(replace(v, opened=v.name == "vm-web-data") for v in facts.volumes)
    assert reasons(planned(host, volumes=volumes)) == [
        "it is off, but something has rl_build/vm-web-data open"
    ]


@pytest.mark.parametrize(("free", "told"), [(12, "the copies of 2 disks"), (17, "the set needs")])
def test_room_is_wanted_for_the_copies_and_for_the_set(free: int, told: str) -> None:
    host = site()
    host.lvm.size = host.lvm.size - host.lvm.free + free * GIB
    assert told in reasons(planned(host))[0]


def test_disks_that_are_not_in_the_spec_are_told() -> None:
    host = site()
    facts = host.facts(spec(WEB))
    (domain,) = facts.domains
    foreign = replace(domain.disks[0], source="/srv/other.img", device="", target="vdz")
    domains = (replace(domain, disks=(*domain.disks, foreign)),)
    told = [note.text for note in planned(host, domains=domains).notes]
    assert "web's disk /srv/other.img is not copied: it is no LV of the spec" in told
