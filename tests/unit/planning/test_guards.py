from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from fakes.nm import FakeLink
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainDisk, DomainState
from kvmkeep.model.facts import ArrayState, Facts, Problem
from kvmkeep.model.look import NO_SYSTEM
from kvmkeep.model.names import STATE_FILLING, lv_tags
from kvmkeep.model.network_facts import Nm
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import FirstBoot, Packing, Spec
from kvmkeep.model.units import GuestName, Label, Mac, Size
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, network, nic, spec
from tests.unit.planning.rounds import reach

EXTENT = 4 << 20


def looked_at(contents: object = CLOUD, **image: object) -> FakeHost:
    """A host that knows its image already."""
    host = FakeHost()
    made = FakeImage(**{"format": "raw", "virtual_size": 2 * GIB, "contents": contents, **image})
    host.add_image(IMAGE.source, made)
    return host


def plan(host: FakeHost, wanted: Spec, **changes: object) -> Plan:
    facts: Facts = replace(host.facts(wanted), **changes)
    found = make_plan(wanted, facts)
    if found.steps and found.steps[0].what == "look into it" and not found.refusals:
        host.run(found.steps[0].actions[1])
        return make_plan(wanted, replace(host.facts(wanted), **changes))
    return found


def reasons(found: Plan) -> str:
    assert all(one.hint for one in found.refusals)
    return "\n".join(f"{one.subject}: {one.reason}" for one in found.refusals)


def running(host: FakeHost, wanted: Spec) -> Facts:
    reach(host, wanted)
    return host.facts(wanted)


def test_nothing_refuses_a_plain_guest() -> None:
    assert reasons(plan(looked_at(), spec(guest()))) == ""


def test_what_could_not_be_seen_refuses() -> None:
    hole = Problem(what="libvirt", reason="it does not answer", hint="start it")
    found = plan(looked_at(), spec(guest()), problems=(hole,))
    assert reasons(found) == "libvirt: it does not answer"


@pytest.mark.parametrize(
    "gone",
    [
        {"what": "libvirt", "domains": ()},
        {"what": "volume groups", "groups": ()},
        {"what": "logical volumes", "volumes": ()},
        {"what": "network interfaces", "links": ()},
        {"what": "NetworkManager", "nm": Nm(running=False, profiles=(), device_paths=())},
    ],
)
def test_what_could_not_be_seen_is_not_taken_for_missing(gone: dict[str, Any]) -> None:
    host, wanted = looked_at(), spec(guest())
    hole = Problem(what=gone.pop("what"), reason="it does not answer", hint="start it")
    found = make_plan(wanted, replace(running(host, wanted), problems=(hole,), **gone))
    assert [one.subject for one in found.refusals] == [hole.what]
    assert found.steps == ()


def test_missing_program_refuses_once_and_only_where_it_is_needed() -> None:
    host = looked_at()
    host.tools = {"qemu-img": "", "xz": "", "virsh": "/usr/bin/virsh"}
    text = reasons(plan(host, spec(guest("a"), guest("b"))))
    assert text.count("program qemu-img") == 1
    assert "xz" not in text


def test_program_that_unpacks_is_seen_behind_the_one_that_limits_it() -> None:
    host = FakeHost()
    host.put("/srv/debian.xz", b"xz:")
    host.tools = {"xz": ""}
    image = replace(IMAGE, source="/srv/debian.xz", packing=Packing.XZ)
    assert "program xz" in reasons(plan(host, spec(guest(), images=(image,))))


@pytest.mark.parametrize("program", ["arping", "ping"])
def test_program_that_only_asks_whether_a_network_is_still_reached_is_needed(program: str) -> None:
    host = FakeHost()
    host.tools = {program: ""}
    host.management = ("mgmt0", "192.0.2.1", True)
    one = spec(networks=(network(gateway=ip_address("10.223.0.254")),))
    assert f"program {program}" in reasons(plan(host, one))


def test_volume_group_must_be_there_and_whole() -> None:
    wanted = spec(guest())
    facts = looked_at().facts(wanted)
    assert "there is no such volume group" in reasons(plan(looked_at(), wanted, groups=()))
    group = replace(facts.groups[0], missing_pvs=1)
    assert "1 of its physical volumes" in reasons(plan(looked_at(), wanted, groups=(group,)))


@pytest.mark.parametrize("state", [s for s in ArrayState if s is not ArrayState.CLEAN])
def test_array_that_is_not_well_gets_no_new_disk(state: ArrayState) -> None:
    wanted = spec(guest())
    host = looked_at()
    sick = replace(host.facts(wanted).arrays[0], state=state)
    made = plan(host, wanted, arrays=(sick,))
    assert f"array md0: it is {state}" in reasons(made)
    hint = made.refusals[0].hint
    assert ("mdadm --readwrite /dev/md0" in hint) == (state is ArrayState.READ_ONLY)
    assert hint.endswith("; then run this again")
    facts = running(looked_at(), wanted)
    assert make_plan(wanted, replace(facts, arrays=(sick,))).empty


def test_array_below_is_told_by_its_name_or_else_all_count() -> None:
    wanted = spec(guest())
    facts = looked_at().facts(wanted)
    sick = replace(facts.arrays[0], name="md9", state=ArrayState.DEGRADED)
    arrays = (facts.arrays[0], sick)
    assert reasons(plan(looked_at(), wanted, arrays=arrays)) == ""
    # A name that begins with that of another one is another one.
    arrays = (replace(facts.arrays[0], name="md127"), replace(sick, name="md1"))
    for pv, refused in (("/dev/md127", False), ("/dev/md127p3", False), ("/dev/md1p2", True)):
        on = (replace(facts.groups[0], pvs=(pv,)),)
        assert bool(reasons(plan(looked_at(), wanted, arrays=arrays, groups=on))) is refused
    arrays = (facts.arrays[0], sick)
    hidden = (replace(facts.groups[0], pvs=("/dev/mapper/crypt",)),)
    assert "array md9" in reasons(plan(looked_at(), wanted, arrays=arrays, groups=hidden))


def test_array_of_one_guest_keeps_nothing_from_the_others() -> None:
    wanted = spec(guest())
    facts = looked_at().facts(wanted)
    group = replace(facts.groups[0], pvs=("/dev/sda3",))
    inside = replace(facts.arrays[0], name="md127", state=ArrayState.FAILED)
    found = plan(looked_at(), wanted, groups=(group,), arrays=(), guest_arrays=(inside,))
    assert reasons(found) == ""


@pytest.mark.parametrize(("free", "refused"), [(14 * GIB, False), (14 * GIB - EXTENT, True)])
def test_one_extent_more_than_may_be_used(free: int, *, refused: bool) -> None:
    host = looked_at()
    host.lvm.size = free
    text = reasons(plan(host, spec(guest())))
    assert ("the new or larger disks of web need 4 GiB (4294967296 bytes)" in text) == refused


def test_size_is_counted_in_whole_extents() -> None:
    host = looked_at()
    host.lvm.size = 14 * GIB + EXTENT
    assert reasons(plan(host, spec(guest(data=1)))) == ""
    assert "volume group" in reasons(plan(host, spec(guest(data=EXTENT + 1))))


def test_memory_counts_what_runs_and_what_starts_with_the_host() -> None:
    host = looked_at()
    host.memory = 8 * GIB
    wanted = spec(guest("a"), guest("b"))
    assert reasons(plan(host, wanted)) == ""
    host.memory -= 1
    assert "with a, b, guests are promised 4 GiB" in reasons(plan(host, wanted))
    host.memory += 1
    reach(host, wanted)
    new = guest("c", autostart=False, memory=Size(1 * GIB), nics=(nic("c", 1),))
    more = spec(*wanted.guests, new)
    assert "with c, guests are promised 5 GiB" in reasons(plan(host, more))
    host.libvirt.domains["a"].live = None
    assert "with c" in reasons(plan(host, more))
    host.libvirt.domains["a"].autostart = False
    without = spec(*more.guests[1:])
    assert reasons(plan(host, without)) == ""


def test_long_lists_of_names_are_cut() -> None:
    host = looked_at()
    host.memory = 8 * GIB
    names = [f"guest-with-a-long-name-{number}" for number in range(9)]
    found = plan(host, spec(*(guest(n, nics=(nic(n, addresses=()),)) for n in names)))
    assert all(len(one.reason) < 400 for one in found.refusals)


def test_memory_that_a_guest_can_be_given_later_is_promised_to_it() -> None:
    host = looked_at()
    host.memory = 8 * GIB
    more = spec(guest(memory_headroom=Size(2 * GIB)))
    assert reasons(plan(host, more)) == ""
    host.memory -= 1
    assert "with web, guests are promised 4 GiB" in reasons(plan(host, more))
    host.memory += 1
    reach(host, spec(guest()))
    assert reasons(plan(host, more)) == ""
    host.memory -= 1
    assert "with web, guests are promised 4 GiB" in reasons(plan(host, more))
    assert reasons(plan(host, spec(guest()))) == ""
    host.memory += 1
    reach(host, more)
    host.memory -= 1
    assert reasons(plan(host, more)) == "", "it is promised already, though it counts later"


def test_over_promised_memory_does_not_refuse_what_runs_already() -> None:
    host, wanted = looked_at(), spec(guest())
    running(host, wanted)
    host.memory = GIB
    assert make_plan(wanted, host.facts(wanted)).empty


def test_first_boot_that_is_under_way_is_not_counted_twice() -> None:
    host, wanted = looked_at(), spec(guest())
    running(host, wanted)
    host.lvm.volumes["vm-web"].tags.add("kvmkeep.state=fresh")
    host.memory = GIB
    assert "memory" not in reasons(plan(host, wanted))


def test_domain_of_somebody_else_is_not_touched() -> None:
    host, wanted = looked_at(), spec(guest())
    facts = running(host, wanted)
    foreign = replace(facts.domains[0], ours=False)
    assert "a domain of that name that is not ours" in reasons(
        plan(host, wanted, domains=(foreign,))
    )
    other = replace(facts.domains[0], uuid="11111111-1111-4111-8111-111111111111")
    found = plan(host, wanted, domains=(other,))
    assert "its domain has another UUID than the spec gives to it" in reasons(found)
    assert f"host.name ({wanted.host.name}) or its `identity`" in found.refusals[0].hint
    two = spec(guest(), guest("db", nics=(nic("db", 1),)))
    reach(host, two)
    db = next(one for one in host.facts(two).domains if one.name == "db")
    found = plan(host, two, domains=(other, db))
    assert "that comes from its `identity`" in found.refusals[0].hint
    renamed = replace(facts.domains[0], name="web2")
    assert "its domain is called web2" in reasons(plan(host, wanted, domains=(renamed,)))
    twin = replace(renamed, ours=False)
    assert "the domain web2 has its UUID" in reasons(plan(host, wanted, domains=(twin,)))
    renamed = replace(facts.domains[0], name="w; reboot", ours=False)
    hints = [one.hint for one in plan(host, wanted, domains=(renamed,)).refusals]
    assert "if it was renamed, name it back: virsh domrename 'w; reboot' web" in hints


def test_two_guests_do_not_get_one_log() -> None:
    both = spec(guest("web"), guest("web-console"))
    host = looked_at()
    assert "its log and that of web-console would be one file" in reasons(plan(host, both))
    assert "its log and that of web would be one file" in reasons(plan(host, both))
    running(host, spec(guest("web")))
    assert reasons(plan(host, both)).count("would be one file") == 1, "what is there stays"


def test_guest_that_runs_on_an_incomplete_disk() -> None:
    host, wanted = looked_at(), spec(guest())
    running(host, wanted)
    host.lvm.volumes["vm-web"].tags.add(STATE_FILLING)
    text = reasons(plan(host, wanted))
    assert "it runs, though its root disk is not complete" in text
    assert "something holds it open" in text


def test_mac_address_and_address_of_somebody_else() -> None:
    host, wanted = looked_at(), spec(guest())
    facts = running(host, wanted)
    mac = wanted.guests[0].nics[0].mac
    twin = replace(facts.domains[0], name="x", uuid="y", ours=False, disks=())
    text = reasons(plan(host, wanted, domains=(facts.domains[0], twin)))
    assert text == f"guest web: its MAC address {mac} belongs to domain x"
    host.nm.links["mgmt0"].mac = mac.upper()
    host.nm.links["mgmt0"].addresses = ("10.223.0.20/24",)
    text = reasons(plan(host, wanted))
    assert f"its MAC address {mac} belongs to this host's mgmt0" in text
    assert "its address 10.223.0.20 is this host's own (on mgmt0)" in text


@pytest.mark.parametrize(
    "disk",
    [
        DomainDisk(target="vdb", bus="virtio", kind="disk", source=source, device=device, format="")
        for source, device in [
            ("/dev/rl_build/vm-web", ""),
            ("/dev/mapper/rl_build-vm--web", ""),
            ("/dev/disk/by-id/dm-name-whatever", "253:1"),
        ]
    ],
)
def test_lv_that_two_guests_have_under_any_name(disk: DomainDisk) -> None:
    host, wanted = looked_at(), spec(guest())
    facts = running(host, wanted)
    twin = replace(
        facts.domains[0], name="x", uuid="y", disks=(disk,), nics=(), live_nics=(),
        state=DomainState.SHUTOFF,
    )  # fmt: skip
    text = reasons(plan(host, wanted, domains=(facts.domains[0], twin)))
    assert text == "guest web: its disk /dev/rl_build/vm-web is also a disk of the domain x"


def test_image_larger_than_the_root_disk() -> None:
    host = looked_at(virtual_size=4 * GIB + 1)
    assert "image debian is 4.0 GiB (4294967297 bytes), its root disk only 4 GiB" in reasons(
        plan(host, spec(guest()))
    )


def test_image_without_cloud_init_needs_a_word_of_the_spec() -> None:
    none = replace(CLOUD, cloud_init=False)
    assert "has no cloud-init to set the guest up" in reasons(plan(looked_at(none), spec(guest())))
    told = replace(none, detail="no root filesystem found")
    assert "(no root filesystem found)" in reasons(plan(looked_at(told), spec(guest())))
    for kind in (FirstBoot.NONE, FirstBoot.NOCLOUD):
        assert reasons(plan(looked_at(none), spec(guest(first_boot=kind)))) == ""


def test_an_image_in_which_no_system_was_found_may_have_xfs() -> None:
    none = replace(CLOUD, cloud_init=False, detail=NO_SYSTEM)
    (refusal,) = plan(looked_at(none), spec(guest())).refusals
    assert refusal.hint.endswith("if it has XFS: is the package libguestfs-xfs installed?")


def test_unknown_and_circular_needs_are_refused() -> None:
    web = guest("a", needs=(GuestName("gone"), GuestName("b")))
    text = reasons(plan(looked_at(), spec(web, guest("b", needs=(GuestName("a"),)))))
    assert "it needs gone, which is no guest of the spec" in text
    assert "the guests need each other in a circle: a -> b -> a" in text


def test_unknown_name_is_refused() -> None:
    found = make_plan(spec(guest()), FakeHost().facts(spec(guest())), ("nobody",))
    assert "guest nobody: there is no such guest in the spec" in reasons(found)


def test_all_reasons_are_given_at_once() -> None:
    host = FakeHost(size=GIB)
    host.memory = GIB
    host.nm.running = False
    host.lvm.add("vm-b", EXTENT)
    text = reasons(plan(host, spec(guest("a"), guest("b", nics=(nic("b", addresses=()),)))))
    for one in ("NetworkManager", "no file /srv/debian.raw", "vm-b exists and is not ours",
                "the new or larger disks of a need", "memory"):  # fmt: skip
        assert one in text


def test_lvs_of_others_and_lost_ones() -> None:
    host, wanted = looked_at(), spec(guest("a"), guest("b", nics=(nic("b", addresses=()),)))
    host.lvm.add("vm-a", 4 * GIB, *lv_tags(GuestName("b"), Label("root")))
    host.lvm.add("vm-b", 4 * GIB, *lv_tags(GuestName("b"), Label("data")))
    text = reasons(plan(host, wanted))
    assert "guest a: the LV rl_build/vm-a exists and belongs to guest b" in text
    assert "guest b: the LV rl_build/vm-b exists and is another disk of this guest" in text


def test_the_tags_of_a_guests_disk_are_given_back_unless_it_wears_anothers() -> None:
    host, wanted = looked_at(), spec(guest("a"))
    reach(host, wanted)
    volume = host.lvm.volumes["vm-a"]
    volume.tags.clear()
    (lost,) = plan(host, wanted).refusals
    assert lost.reason == "the LV rl_build/vm-a exists and is not ours"
    assert lost.hint.startswith("the guest has it: if it only lost its tags, lvchange --addtag ")
    volume.tags.update(lv_tags(GuestName("b"), Label("root")))
    (others,) = plan(host, wanted).refusals
    assert others.reason == "the LV rl_build/vm-a exists and belongs to guest b"
    assert "lvchange" not in others.hint


def test_lost_disks_are_not_made_anew() -> None:
    host, wanted = looked_at(), spec(guest(data=GIB))
    running(host, wanted)
    data = host.lvm.volumes.pop("vm-web-data")
    assert "its LV rl_build/vm-web-data is gone" in reasons(plan(host, wanted))
    host.lvm.volumes = {data.name: data}
    assert "its LV rl_build/vm-web is gone" in reasons(plan(host, wanted))


def test_host_interfaces_of_guests_do_not_count_as_theirs() -> None:
    host, wanted = looked_at(), spec(guest())
    running(host, wanted)
    host.nm.links["vnet0"] = FakeLink("vnet0", "tun", mac="fe:54:00:00:00:01")
    assert make_plan(wanted, host.facts(wanted)).empty


def test_same_address_in_another_family_is_no_clash() -> None:
    host = looked_at()
    wanted = spec(guest(nics=(nic("web", mac=Mac("52:54:00:00:00:01"),
                                  addresses=(ip_interface("2001:db8::1/64"),)),)))  # fmt: skip
    assert reasons(plan(host, wanted)) == ""
